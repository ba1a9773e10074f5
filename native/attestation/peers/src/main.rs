//! Verifications per second of genuine evidence, ours and a peer's in turn: `cargo run --release`.
//!
//! Every round runs each verifier once over, so that all meet the same machine; printed are medians and ratios. What each
//! one does is not the same: `sev` 8.0.0 verifies the root's signature on itself too, and neither dates nor TCB nor chip;
//! `remote-attestation-verifier` 0.1.2 verifies dates through webpki and takes any encoding of the payload. NVIDIA's
//! verifier is Python and not measured here, so H100 stands alone.

#[path = "../../tests/vectors/mod.rs"]
mod vectors;

use std::hint::black_box;
use std::time::Instant;

use remote_attestation_verifier::{parse_document, parse_payload, parse_verify_with};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use w3bstream_attestation::{nitro, nvidia_h100, sev_snp};

const ROUNDS: usize = 41;
const CALLS: u32 = 10;

/// Microseconds of a call.
fn time(work: &dyn Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        work();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn compare(platform: &str, runs: &[(&str, &dyn Fn())]) {
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for ((_, work), times) in runs.iter().zip(&mut times) {
            times.push(time(work));
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for ((name, _), median) in runs.iter().zip(&medians) {
        let ratio = median / medians[0];
        println!("{platform:<12} {name:<36} {median:>9.1} us {:>8.0} /s  {ratio:.2}x ours", 1e6 / median);
    }
}

fn main() {
    let snp = vectors::sev_snp();
    let ours = || {
        black_box(sev_snp::verify(black_box(&snp.evidence), &snp.chain(), snp.trust()).unwrap());
    };
    let peer = || {
        let der = |index: usize| Certificate::from_der(&snp.certificates[index]).unwrap();
        let chain = Chain { ca: ca::Chain { ark: der(2), ask: der(1) }, vek: der(0) };
        let report = AttestationReport::from_bytes(black_box(&snp.evidence)).unwrap();
        (&chain, &report).verify().unwrap();
    };
    compare("sev-snp", &[("ours", &ours), ("sev 8.0.0 (crypto_nossl)", &peer)]);

    let document = vectors::nitro_enclave();
    let envelope = parse_document(&document.evidence).unwrap();
    let nonce = parse_payload(&envelope.payload).unwrap().nonce;
    let ours = || {
        black_box(nitro::verify(black_box(&document.evidence), document.trust()).unwrap());
    };
    let peer = || {
        let at = document.time as u64;
        parse_verify_with(document.evidence.clone(), nonce.clone(), vec![], at).unwrap();
    };
    compare("nitro", &[("ours", &ours), ("remote-attestation-verifier 0.1.2", &peer)]);

    let gpu = vectors::nvidia_h100();
    let ours = || {
        black_box(nvidia_h100::verify(black_box(&gpu.evidence), &gpu.chain(), gpu.trust()).unwrap());
    };
    compare("nvidia-h100", &[("ours", &ours)]);
}
