//! Genuine evidence is accepted with the fields it has, at its time and at no other.

mod vectors;

use vectors::{Vector, file, pem};
use w3bstream_attestation::sev_snp::{Product, Signer, SigningKey};
use w3bstream_attestation::x509::Certificate;
use w3bstream_attestation::{Error, Reason, nitro, nvidia_h100, sev_snp};

fn snp(vector: &Vector) -> sev_snp::Verified {
    sev_snp::verify(&vector.evidence, &vector.chain(), vector.trust()).unwrap()
}

#[test]
fn a_milan_report() {
    let verified = snp(&vectors::sev_snp());
    let report = verified.report;
    assert_eq!((report.version, report.guest_svn, report.policy, report.vmpl), (2, 0, 0x3_0000, 0));
    assert!(report.allows_smt());
    assert!(!report.is_debug() && !report.allows_migration_agent() && !report.requires_single_socket());
    assert_eq!(report.signing_key, SigningKey::Vcek);
    assert_eq!(verified.endorsement.product, Product::Milan);
    assert_eq!(verified.endorsement.product_name, "Milan-B0");
    let tcb = report.reported_tcb;
    assert_eq!((tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode), (None, 3, 0, 8, 0x73));
    assert_eq!(tcb.raw, 0x7308_0000_0000_0003);
    assert_eq!(verified.endorsement.signer, Signer::Chip(report.chip_id.to_vec()));
    assert_eq!((report.cpuid, report.launch_mitigations), (None, None));
    assert_eq!(verified.root, vectors::anchors(&w3bstream_attestation::roots::SEV_SNP)[0]);
    assert_eq!(verified.valid_until, vectors::sev_snp().to);
}

#[test]
fn a_debug_report_says_so() {
    let report = snp(&vectors::sev_snp_debug()).report;
    assert!(report.is_debug());
    assert_eq!((report.policy, report.vmpl), (0xb_0000, 0));
}

#[test]
fn a_nitro_document() {
    let vector = vectors::nitro();
    let verified = nitro::verify(&vector.evidence, vector.trust()).unwrap();
    assert_eq!(verified.module_id, "i-0bbf1bfe232b8c2ce-enc0191ba35c9d1b77a");
    assert_eq!((verified.timestamp, verified.digest), (1_725_911_352_400, "SHA384"));
    assert_eq!(
        verified.pcrs.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (0..16).collect::<Vec<_>>()
    );
    assert!(verified.is_debug());
    assert_eq!(verified.pcrs[3].1[..4], [0x67, 0x1c, 0xa1, 0xe3]);
    assert_eq!(verified.public_key.as_deref(), Some(&b"dummy"[..]));
    assert_eq!(verified.user_data.map(|data| data.len()), Some(68));
    assert_eq!(verified.nonce.map(|nonce| nonce.len()), Some(20));
}

#[test]
fn a_nitro_document_of_an_enclave_in_use() {
    let vector = vectors::nitro_enclave();
    let verified = nitro::verify(&vector.evidence, vector.trust()).unwrap();
    assert!(!verified.is_debug());
    assert_eq!(verified.timestamp, 1_734_707_282_370);
    assert_eq!(verified.pcrs[0].1[..4], [0xa6, 0xa7, 0x4c, 0x6b]);
    assert_eq!(
        (verified.public_key.map(|key| key.len()), verified.user_data, verified.nonce),
        (Some(32), None, None)
    );
    assert_eq!(verified.valid_until, vector.to);
    for time in [vector.from, vector.to] {
        assert!(nitro::verify(&vector.evidence, vector.trust_at(time)).is_ok());
    }
}

#[test]
fn a_nitro_document_of_2021() {
    let vector = Vector { evidence: file("nitro/debug_aws.bin"), time: 1_614_963_710, ..vectors::nitro() };
    let verified = nitro::verify(&vector.evidence, vector.trust()).unwrap();
    assert!(verified.is_debug());
    assert!(verified.module_id.starts_with("i-026ae32a18c80f866-enc0178"));
    assert_eq!((verified.public_key, verified.user_data, verified.nonce), (None, None, None));
}

#[test]
fn the_invalid_twin_of_a_nitro_document() {
    let vector = vectors::nitro();
    let twin = vectors::base64("nitro/invalid_2024.b64");
    for time in [vector.time, 1_725_900_000, 1_725_990_000] {
        assert!(nitro::verify(&twin, vector.trust_at(time)).is_err());
    }
}

#[test]
fn an_h100_report() {
    let vector = vectors::nvidia_h100();
    let verified = nvidia_h100::verify(&vector.evidence, &vector.chain(), vector.trust()).unwrap();
    assert_eq!(
        const_hex::encode(verified.nonce),
        "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"
    );
    assert_eq!(verified.measurements.len(), 64);
    assert!(verified.measurements.iter().all(|block| block.value.len() == 48));
    assert_eq!(verified.driver_version.as_deref(), Some("550.90.07"));
    assert_eq!(verified.vbios_version.as_deref(), Some("96.00.9F.00.01"));
    assert_eq!(verified.opaque.len(), 14);
    assert!(verified.firmware_digest.is_some());
    assert_eq!(verified.valid_until, vector.to);
}

/// There is no genuine Turin report in the registries, but its chain and its certificate's claims can be checked.
#[test]
fn a_turin_endorsement_is_read() {
    let mut vector = vectors::sev_snp();
    vector.certificates = [vec![file("sev_snp/vcek_turin.der")], pem("sev_snp/cert_chain_turin")].concat();
    vector.time = 1_760_000_000;
    let certificate = &vector.certificates[0];
    assert_eq!(
        Certificate::parse(certificate)
            .unwrap()
            .extension(b"\x2b\x06\x01\x04\x01\x9c\x78\x01\x04")
            .map(<[u8]>::len),
        Some(8)
    );
    // A report of Milan's TCB, which Turin's layout does not take.
    let error = sev_snp::verify(&vector.evidence, &vector.chain(), vector.trust()).unwrap_err();
    assert!(["report.current_tcb", "report.reported_tcb"].contains(&error.field()), "{error}");
}

fn refused(result: Result<impl std::fmt::Debug, Error>) -> (Reason, &'static str) {
    let error = result.unwrap_err();
    (error.reason(), error.field())
}

/// Accepted from the chain's first second to its last one, refused a second before and after.
#[test]
fn validity_ends_on_both_sides() {
    let before = (Reason::NotYetValid, "certificate.validity");
    let after = (Reason::Expired, "certificate.validity");
    let vector = vectors::sev_snp();
    let at = |time| sev_snp::verify(&vector.evidence, &vector.chain(), vector.trust_at(time));
    assert!(at(vector.from).is_ok() && at(vector.to).is_ok());
    assert_eq!(refused(at(vector.from - 1)), before);
    assert_eq!(refused(at(vector.to + 1)), after);
    assert_eq!(refused(at(i64::MIN)), before);
    assert_eq!(refused(at(i64::MAX)), after);

    let vector = vectors::nvidia_h100();
    let at = |time| nvidia_h100::verify(&vector.evidence, &vector.chain(), vector.trust_at(time));
    assert!(at(vector.from).is_ok() && at(vector.to).is_ok());
    assert_eq!(refused(at(vector.from - 1)), before);
    assert_eq!(refused(at(vector.to + 1)), after);

    let vector = vectors::nitro();
    let at = |time| nitro::verify(&vector.evidence, vector.trust_at(time));
    assert!(at(vector.from).is_ok() && at(vector.to).is_ok());
    assert_eq!(refused(at(vector.from - 1)), before);
    assert_eq!(refused(at(vector.to + 1)), after);
    // More than a minute before the timestamp, the document is of the future.
    assert_eq!(refused(at(1_725_911_352 - 61)), (Reason::NotYetValid, "document.timestamp"));
    assert_eq!(refused(at(-1)), (Reason::NotYetValid, "document.timestamp"));
}
