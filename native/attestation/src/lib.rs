//! Attestation evidence checked once, for the Python verifier and for consensus: AMD SEV-SNP reports, AWS Nitro Enclaves
//! documents and NVIDIA H100 measurement reports, each with its certificate chain.
//!
//! A call is a function of its arguments alone: bytes, the roots that are trusted, and the time in Unix seconds. There is
//! no clock, no I/O, no randomness and no thread, so that every node of a chain answers the same. Any input is answered
//! within a bounded time: each format has a greatest size, nothing recurses, and the number of signatures that are
//! checked is bounded by the length of a chain. DER and CBOR are read by parsers of our own that take one encoding for
//! each value, so that no update of a library changes which evidence is accepted; signatures are RustCrypto's.
//!
//! A verdict here says "this hardware vendor's key signed these fields". What the fields must be (measurement, policy,
//! least firmware, nonce, age) is the caller's to decide.
//!
//! | file | job |
//! |---|---|
//! | `der`, `cbor` | strict readers |
//! | `signature`, `rsa_pss` | ECDSA on P-256 and P-384, RSA-4096 PSS |
//! | `x509` | certificates, revocation lists, chains |
//! | `roots` | the vendors' roots, as fingerprints |
//! | `sev_snp` | report versions 2 to 5, VCEK and VLEK |
//! | `nitro` | attestation documents |
//! | `nvidia_h100` | SPDM measurement reports |

#![forbid(unsafe_code)]

mod cbor;
mod der;
mod error;
pub mod nitro;
pub mod nvidia_h100;
pub mod roots;
mod rsa_pss;
pub mod sev_snp;
mod signature;
pub mod x509;

pub use error::{Error, Reason};

/// SHA-256 of a certificate's DER: how a trust anchor is named.
pub type Fingerprint = [u8; 32];
