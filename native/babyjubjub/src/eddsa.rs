//! EdDSA-Poseidon over Baby Jubjub, docs/reference/encodings.md §1.2: S*B8 = R8 + 8*h*A, without a cofactor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use ark_ff::{BigInt, PrimeField};

use crate::curve::{Affine, Extended, ORDER, Table, base_table, table_of_eightfold};
use crate::poseidon::p5;
use crate::{Fr, field_from_be};

/// Keys whose tables are kept, 48 KiB each; when there are more, all are forgotten and made again as they come.
const KEPT: usize = 1024;

/// A public key of prime order and the multiples of its eightfold.
pub struct Key {
    pub(crate) point: Affine,
    pub(crate) table: Table<4>,
}

/// A signature's parts in range: R8's compressed form and S. Whether there is such an R8 is not known yet.
pub(crate) struct Signature {
    pub(crate) y: Fr,
    /// Whether R8's x is above r/2.
    pub(crate) negative: bool,
    pub(crate) s: BigInt<4>,
}

impl Key {
    /// x ‖ y, 64 bytes big-endian; `None` unless it is a point of prime order (§1.2).
    fn decode(bytes: &[u8; 64]) -> Option<Self> {
        let point = Affine { x: field_from_be(&bytes[..32])?, y: field_from_be(&bytes[32..])? };
        let good = point.on_curve() && !point.is_identity() && point.in_subgroup();
        good.then(|| Self { point, table: table_of_eightfold(&point) })
    }

    /// The key of these bytes, from the cache where it is known; `None` for bytes that are no key.
    pub fn cached(bytes: &[u8]) -> Option<Arc<Self>> {
        type Cache = Mutex<HashMap<[u8; 64], Option<Arc<Key>>>>;
        static CACHE: OnceLock<Cache> = OnceLock::new();
        let bytes: [u8; 64] = bytes.try_into().ok()?;
        let cache = CACHE.get_or_init(Cache::default);
        if let Some(found) = cache.lock().expect("no panic while held").get(&bytes) {
            return found.clone();
        }
        let made = Self::decode(&bytes).map(Arc::new);
        let mut kept = cache.lock().expect("no panic while held");
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(bytes, made.clone());
        made
    }

    /// Whether `signature` (compressed R8 ‖ S, both little-endian, 64 bytes, canonical) signs `message`.
    pub fn verifies(&self, message: Fr, signature: &[u8]) -> bool {
        Signature::decode(signature).is_some_and(|signature| self.signed(message, &signature))
    }

    /// Whether the signature signs `message`.
    pub(crate) fn signed(&self, message: Fr, signature: &Signature) -> bool {
        let Some(r8) = Affine::decompress(signature.y, signature.negative) else { return false };
        let h = p5(&[r8.x, r8.y, self.point.x, self.point.y, message]).into_bigint();
        let left = base_table().accumulate(Extended::IDENTITY, &signature.s, false);
        self.table.accumulate(left, &h, true).is(&r8)
    }
}

fn little_endian(bytes: &[u8]) -> BigInt<4> {
    BigInt::new(std::array::from_fn(|at| {
        u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().expect("eight bytes"))
    }))
}

impl Signature {
    /// Compressed R8 ‖ S; `None` when the bytes are not 64, S is not below the order, or R8's y not below r.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 64 {
            return None;
        }
        let s = little_endian(&bytes[32..]);
        if s >= ORDER {
            return None;
        }
        let mut y = little_endian(&bytes[..32]);
        let negative = y.0[3] >> 63 == 1;
        y.0[3] &= (1 << 63) - 1;
        Some(Self { y: Fr::from_bigint(y)?, negative, s })
    }
}
