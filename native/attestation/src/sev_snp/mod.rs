//! AMD SEV-SNP attestation reports.
//!
//! Layout and reserved bits: "SEV Secure Nested Paging Firmware ABI Specification", AMD document 56860 (revision 1.58),
//! table ATTESTATION_REPORT. Certificates: "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface
//! Specification", AMD document 57230 (revision 1.00), §3.

mod endorsement;
mod report;

use sha2::{Digest, Sha384};

pub use endorsement::{Endorsement, Signer};
pub use report::{Firmware, Product, REPORT_BYTES, Report, SIGNED_BYTES, SigningKey, Tcb};

use crate::Fingerprint;
use crate::error::{Error, Reason, require};
use crate::signature::Algorithm;
use crate::x509::{Trust, verify_chain};

/// Certificates of a chain: VCEK, ASK, ARK, or VLEK, ASVK, ARK.
pub const CHAIN: usize = 3;

/// A report whose signature, chain and endorsement hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub report: Report,
    /// What AMD says about the key that signed it.
    pub endorsement: Endorsement,
    /// The trusted root that it goes back to.
    pub root: Fingerprint,
    /// Unix seconds of the last second in which every certificate and revocation list given is valid.
    pub valid_until: i64,
}

/// Verifies a report of versions 2 to 5 with its chain, leaf first: VCEK or VLEK, ASK or ASVK, ARK.
///
/// Debug policy, privilege level, least firmware and the expected measurement are the caller's to decide.
///
/// # Errors
/// A report or certificate that is malformed or does not hold; a TCB or chip in the VCEK other than in the report.
pub fn verify(report: &[u8], certificates: &[&[u8]], trust: Trust<'_>) -> Result<Verified, Error> {
    let layout = report::Layout::read(report)?;
    if certificates.len() != CHAIN {
        let text = format!("{} certificates, expected 3: VCEK or VLEK, ASK or ASVK, ARK", certificates.len());
        return Err(Error::new(Reason::Length, "certificates", text));
    }
    let chain = verify_chain(certificates, trust, &[Algorithm::RsaPss4096], &[Algorithm::EcdsaP384])?;
    let endorsement = Endorsement::read(&chain.leaf)?;
    let report = layout.interpret(endorsement.product)?;
    endorsement.require_matches(&report)?;
    let (r, s) = layout.signature()?;
    let digest = Sha384::digest(layout.signed()).into();
    let holds = chain.leaf.key.verifies_p384(&digest, &r, &s);
    require(holds, Reason::Signature, "report.signature", "not signed by the VCEK or VLEK")?;
    Ok(Verified { report, endorsement, root: chain.root, valid_until: chain.valid_until })
}
