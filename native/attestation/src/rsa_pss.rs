//! RSASSA-PSS-VERIFY (RFC 8017 §8.1.2) for the one parameter set that AMD's key distribution service uses: a modulus of
//! 4096 bits, exponent 65537, SHA-384 for the message and for MGF1, a salt of 48 bytes.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U4096};
use sha2::{Digest, Sha384};

/// Octets of the modulus, of a signature and of the encoded message.
pub const OCTETS: usize = 512;
const DIGEST: usize = 48;
const SALT: usize = 48;
/// Octets of the masked data block: all but the digest H and the trailer.
const BLOCK: usize = OCTETS - DIGEST - 1;
const TRAILER: u8 = 0xbc;

/// A modulus of exactly 4096 bits; the exponent is 65537.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    modulus: Odd<U4096>,
}

impl PublicKey {
    /// The key with this modulus (big-endian, without a sign octet), if it is odd and has 4096 bits.
    pub fn new(modulus: &[u8]) -> Option<Self> {
        if modulus.len() != OCTETS || modulus[0] < 0x80 {
            return None;
        }
        Odd::new(U4096::from_be_slice(modulus)).into_option().map(|modulus| Self { modulus })
    }

    /// Whether this is the key's signature of the message with this SHA-384 digest.
    pub fn verifies(&self, digest: &[u8; DIGEST], signature: &[u8]) -> bool {
        if signature.len() != OCTETS {
            return false;
        }
        let signature = U4096::from_be_slice(signature);
        if signature >= *self.modulus.as_ref() {
            return false;
        }
        let encoded = self.raised(&signature).to_be_bytes();
        is_encoding_of(digest, encoded.as_ref())
    }

    /// The value to the power of 65537 = 2^16 + 1.
    fn raised(&self, value: &U4096) -> U4096 {
        let parameters = FixedMontyParams::new_vartime(self.modulus);
        let base = FixedMontyForm::new(value, &parameters);
        let mut power = base;
        for _ in 0..16 {
            power = power.square();
        }
        (power * base).retrieve()
    }
}

/// EMSA-PSS-VERIFY (RFC 8017 §9.1.2) for 4095 bits.
fn is_encoding_of(digest: &[u8; DIGEST], encoded: &[u8]) -> bool {
    let (masked, rest) = encoded.split_at(BLOCK);
    let (hash, trailer) = rest.split_at(DIGEST);
    if trailer != [TRAILER] || masked[0] >= 0x80 {
        return false;
    }
    let mut block = [0; BLOCK];
    block.copy_from_slice(masked);
    for (counter, chunk) in (0u32..).zip(block.chunks_mut(DIGEST)) {
        let mask = Sha384::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        for (octet, mask) in chunk.iter_mut().zip(mask) {
            *octet ^= mask;
        }
    }
    block[0] &= 0x7f;
    let (padding, salt) = block.split_at(BLOCK - SALT);
    let Some((1, zeros)) = padding.split_last() else { return false };
    if zeros.iter().any(|&octet| octet != 0) {
        return false;
    }
    let expected = Sha384::new().chain_update([0; 8]).chain_update(digest).chain_update(salt).finalize();
    expected.as_slice() == hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulus_is_odd_and_of_4096_bits() {
        let mut modulus = [0xff; OCTETS];
        assert!(PublicKey::new(&modulus).is_some());
        assert!(PublicKey::new(&modulus[1..]).is_none());
        modulus[0] = 0x7f;
        assert!(PublicKey::new(&modulus).is_none());
        modulus[0] = 0xff;
        modulus[OCTETS - 1] = 0xfe;
        assert!(PublicKey::new(&modulus).is_none());
    }

    #[test]
    fn trivial_signatures_are_refused() {
        let key = PublicKey::new(&[0xff; OCTETS]).unwrap();
        let mut one = [0; OCTETS];
        one[OCTETS - 1] = 1;
        for signature in [[0; OCTETS], one, [0xff; OCTETS]] {
            assert!(!key.verifies(&[0; DIGEST], &signature));
        }
        assert!(!key.verifies(&[0; DIGEST], &[]));
    }
}
