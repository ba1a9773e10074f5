//! What the verifiers of attestation evidence share: the frame of their input, and the words of their answer.
//!
//! | bytes | |
//! |---|---|
//! | 0 | 1, the frame's version |
//! | 1 to 8 | time, Unix seconds |
//! | 9 | number of certificates |
//! | 10 | number of revocation lists |
//! | from 11 | evidence, certificates, lists: each a length of 4 bytes, then as many bytes |
//!
//! Integers are big-endian. The root that the evidence brings is taken as it comes and named in the answer, because a
//! precompile has no list of roots that would be every contract's: whoever calls compares. Evidence that can be read and
//! does not hold is answered with one word of zeros; what cannot be read is refused.

use std::ops::RangeInclusive;

use alloy_primitives::{B256, Bytes, U256};
use sha2::{Digest, Sha256};
use w3bstream_attestation::Error;

use super::Refusal;

/// Bytes of an input at most: three times what the largest genuine evidence needs with its chain and lists.
pub const MAX_INPUT_BYTES: usize = 65_536;
/// Revocation lists of an input at most: AMD has one for each product, by the ARK; NVIDIA has none.
pub const MAX_LISTS: u8 = 1;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 11;
const LENGTH_BYTES: usize = 4;

/// An input, taken apart.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub time: i64,
    pub evidence: &'a [u8],
    pub certificates: Vec<&'a [u8]>,
    pub lists: Vec<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// Reads an input with so many certificates and lists.
    pub fn read(
        input: &'a [u8],
        certificates: RangeInclusive<u8>,
        lists: RangeInclusive<u8>,
    ) -> Result<Self, Refusal> {
        if input.len() > MAX_INPUT_BYTES {
            return Err(Refusal(format!("{} bytes of input, at most {MAX_INPUT_BYTES}", input.len())));
        }
        let Some((&[version, t0, t1, t2, t3, t4, t5, t6, t7, certified, listed], mut rest)) =
            input.split_first_chunk::<HEAD_BYTES>()
        else {
            return Err(Refusal(format!("{} bytes of input, expected {HEAD_BYTES} or more", input.len())));
        };
        if version != VERSION {
            return Err(Refusal(format!("version {version}, expected {VERSION}")));
        }
        let time = i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        if time < 0 {
            return Err(Refusal("time: 2^63 or more".into()));
        }
        require_count(certified, certificates, "certificates")?;
        require_count(listed, lists, "revocation lists")?;
        let evidence = take_part(&mut rest, "evidence")?;
        let mut parts = |count: u8, name| {
            (0..count).map(|_| take_part(&mut rest, name)).collect::<Result<Vec<&[u8]>, Refusal>>()
        };
        let certificates = parts(certified, "certificate")?;
        let lists = parts(listed, "revocation list")?;
        if !rest.is_empty() {
            return Err(Refusal(format!("{} bytes after the last part", rest.len())));
        }
        Ok(Self { time, evidence, certificates, lists })
    }

    /// The fingerprint of the root that the input brings; nothing for an input without certificates.
    pub fn root(&self) -> Vec<[u8; 32]> {
        self.certificates.last().map(|der| digest(der)).into_iter().collect()
    }
}

fn require_count(count: u8, allowed: RangeInclusive<u8>, name: &str) -> Result<(), Refusal> {
    if allowed.contains(&count) {
        return Ok(());
    }
    Err(Refusal(format!("{count} {name}, expected {} to {}", allowed.start(), allowed.end())))
}

fn take_part<'a>(rest: &mut &'a [u8], name: &str) -> Result<&'a [u8], Refusal> {
    let split = rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, behind)| {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        behind.split_at_checked(length)
    });
    let Some((part, behind)) = split else {
        return Err(Refusal(format!("{name}: the input ends within it")));
    };
    *rest = behind;
    Ok(part)
}

/// SHA-256.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The answer to what holds; zeros where it can be read and does not hold.
pub(super) fn answer<T>(
    verified: Result<T, Error>,
    words: impl FnOnce(&T) -> Words,
) -> Result<Bytes, Refusal> {
    match verified {
        Ok(verified) => Ok(words(&verified).0.into()),
        Err(error) if error.reason().is_malformed() => Err(Refusal(error.to_string())),
        Err(_) => Ok(B256::ZERO.into()),
    }
}

/// An answer of 32-byte words, as Solidity decodes a tuple of static types.
pub(super) struct Words(Vec<u8>);

impl Words {
    /// The head of every answer.
    pub fn new(root: &[u8; 32], valid_until: i64, issued_at: u64) -> Self {
        // Every certificate held at a time that is not below 0, so none ended before.
        Self(Vec::new()).number(1u8).word(root).number(valid_until.unsigned_abs()).number(issued_at)
    }

    pub fn word(mut self, word: &[u8; 32]) -> Self {
        self.0.extend_from_slice(word);
        self
    }

    pub fn number(self, value: impl Into<u64>) -> Self {
        self.word(&U256::from(value.into()).to_be_bytes())
    }

    /// Two words: 48 bytes, then 16 zeros.
    pub fn digest_384(mut self, digest: &[u8; 48]) -> Self {
        self.0.extend_from_slice(digest);
        self.0.extend_from_slice(&[0; 16]);
        self
    }

    /// Two words.
    pub fn double(mut self, bytes: &[u8; 64]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The hash of what is there; zeros where nothing is.
    pub fn hash_of(self, bytes: Option<&[u8]>) -> Self {
        self.word(&bytes.map(digest).unwrap_or_default())
    }
}
