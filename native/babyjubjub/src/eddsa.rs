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
    point: Affine,
    table: Table<4>,
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
        let Some((r8, s)) = decode_signature(signature) else { return false };
        let h = p5(&[r8.x, r8.y, self.point.x, self.point.y, message]).into_bigint();
        let left = base_table().accumulate(Extended::IDENTITY, &s, false);
        self.table.accumulate(left, &h, true).is(&r8)
    }
}

fn little_endian(bytes: &[u8]) -> BigInt<4> {
    BigInt::new(std::array::from_fn(|at| {
        u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().expect("eight bytes"))
    }))
}

/// (R8, S), or `None` when the bytes are not canonical.
fn decode_signature(signature: &[u8]) -> Option<(Affine, BigInt<4>)> {
    if signature.len() != 64 {
        return None;
    }
    let s = little_endian(&signature[32..]);
    if s >= ORDER {
        return None;
    }
    let mut y = little_endian(&signature[..32]);
    let negative = y.0[3] >> 63 == 1;
    y.0[3] &= (1 << 63) - 1;
    Some((Affine::decompress(Fr::from_bigint(y)?, negative)?, s))
}
