//! Every byte of the evidence and of its chain is covered: another value at any place, also outside what is signed, is
//! refused.

mod vectors;

use vectors::Vector;
use w3bstream_attestation::{Error, nitro, nvidia_h100, sev_snp};

/// Changes each byte in turn, by one bit that moves with the place, and expects a refusal.
fn every_byte(bytes: &[u8], mut verify: impl FnMut(&[u8]) -> Result<(), Error>) {
    let mut changed = bytes.to_vec();
    for place in 0..bytes.len() {
        changed[place] ^= 1 << (place % 8);
        assert!(verify(&changed).is_err(), "accepted with another byte at {place}");
        changed[place] = bytes[place];
    }
    verify(bytes).unwrap();
}

fn every_byte_of_the_chain(vector: &Vector, verify: impl Fn(&[&[u8]]) -> Result<(), Error>) {
    for (index, certificate) in vector.certificates.iter().enumerate() {
        every_byte(certificate, |changed| {
            let mut chain = vector.chain();
            chain[index] = changed;
            verify(&chain)
        });
    }
}

#[test]
fn a_sev_snp_report() {
    for vector in [vectors::sev_snp(), vectors::sev_snp_debug()] {
        every_byte(&vector.evidence, |bytes| {
            sev_snp::verify(bytes, &vector.chain(), vector.trust()).map(drop)
        });
    }
}

#[test]
fn a_sev_snp_chain() {
    let vector = vectors::sev_snp();
    every_byte_of_the_chain(&vector, |chain| {
        sev_snp::verify(&vector.evidence, chain, vector.trust()).map(drop)
    });
}

#[test]
fn a_nitro_document_with_its_chain() {
    let vector = vectors::nitro();
    every_byte(&vector.evidence, |bytes| nitro::verify(bytes, vector.trust()).map(drop));
}

#[test]
fn an_h100_report() {
    let vector = vectors::nvidia_h100();
    every_byte(&vector.evidence, |bytes| {
        nvidia_h100::verify(bytes, &vector.chain(), vector.trust()).map(drop)
    });
}

#[test]
fn an_h100_chain() {
    let vector = vectors::nvidia_h100();
    every_byte_of_the_chain(&vector, |chain| {
        nvidia_h100::verify(&vector.evidence, chain, vector.trust()).map(drop)
    });
}

/// Evidence cut at every length, and with a byte behind it.
#[test]
fn truncated_and_extended() {
    let (snp, document, h100) = (vectors::sev_snp(), vectors::nitro(), vectors::nvidia_h100());
    let check = |evidence: &[u8], verify: &dyn Fn(&[u8]) -> Result<(), Error>| {
        for length in 0..evidence.len() {
            assert!(verify(&evidence[..length]).is_err(), "accepted {length} bytes");
        }
        for more in [0x00, 0xff] {
            assert!(verify(&[evidence, &[more]].concat()).is_err());
        }
    };
    check(&snp.evidence, &|bytes| sev_snp::verify(bytes, &snp.chain(), snp.trust()).map(drop));
    check(&document.evidence, &|bytes| nitro::verify(bytes, document.trust()).map(drop));
    check(&h100.evidence, &|bytes| nvidia_h100::verify(bytes, &h100.chain(), h100.trust()).map(drop));
}
