//! X.509 certificates, revocation lists and chains (RFC 5280), as far as the vendors' hierarchies need them and no further.

mod certificate;
mod chain;
mod revocation;

pub use crate::signature::{Algorithm, PublicKey};
pub use certificate::{Certificate, MAX_CERTIFICATE_BYTES, MAX_EXTENSIONS};
pub use chain::{Chain, MAX_CHAIN, Trust, verify_chain};
pub use revocation::{MAX_REVOCATION_LIST_BYTES, MAX_REVOCATION_LISTS, RevocationList};
