//! The log of phase-2 contributions, and the proof of knowledge that each carries.
//!
//! Bowe, Gabizon, Miers, "Scalable Multi-party Computation for zk-SNARK Parameters in the Random Beacon Model" (eprint
//! 2017/1050), §3.1: to show that it knows x, a contributor publishes (s, x·s) for a random s in G1 and x·R, where R in
//! G2 is the hash of the transcript so far with (s, x·s). The same x·R then ties δ' to δ.
//!
//! The transcript that R hashes holds everything the contribution does: all entries before it, the contributor's name
//! and time, the key's hash before and after (the body holds δ', L and H), s, x·s and δ'. So a proof of knowledge cannot
//! be carried to another key, place or name.

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{PrimeField, Zero};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::encoding::{read_g1, read_g2, write_g1, write_g2};
use crate::error::malformed;
use crate::key::ProvingKey;

const GENESIS_TAG: &[u8] = b"W3bstream Groth16 phase 2 v1";
const ENTRY_TAG: &[u8] = b"W3bstream Groth16 contribution v1";
const POINT_TAG: &[u8] = b"W3bstream Groth16 hash to G2 v1";

/// A contribution's points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ProofHex", into = "ProofHex")]
pub struct Knowledge {
    /// δ' = x·δ in G1.
    pub delta_g1: G1Affine,
    /// δ' in G2.
    pub delta_g2: G2Affine,
    /// s, a random point.
    pub s: G1Affine,
    /// x·s.
    pub s_x: G1Affine,
    /// x·R.
    pub r_x: G2Affine,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// Position, from 0.
    pub index: u32,
    /// Who contributed, as they call themselves.
    pub name: String,
    /// Seconds since the Unix epoch, the contributor's clock.
    pub time: u64,
    /// Hash of the key's body before, hex.
    #[serde(with = "hex32")]
    pub key_before: [u8; 32],
    /// Hash of the key's body after, hex.
    #[serde(with = "hex32")]
    pub key_after: [u8; 32],
    /// The points, each as hex of its EIP-196/197 encoding.
    pub proof: Knowledge,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofHex {
    delta_g1: String,
    delta_g2: String,
    s: String,
    s_x: String,
    r_x: String,
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Error> {
    let bad = || malformed("contribution log", "not an even number of hex digits");
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(bad());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad()))
        .collect()
}

mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_hex(value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = super::from_hex(&text).map_err(serde::de::Error::custom)?;
        bytes.try_into().map_err(|_| serde::de::Error::custom("a hash has 32 bytes"))
    }
}

impl From<Knowledge> for ProofHex {
    fn from(proof: Knowledge) -> Self {
        Self {
            delta_g1: to_hex(&write_g1(&proof.delta_g1)),
            delta_g2: to_hex(&write_g2(&proof.delta_g2)),
            s: to_hex(&write_g1(&proof.s)),
            s_x: to_hex(&write_g1(&proof.s_x)),
            r_x: to_hex(&write_g2(&proof.r_x)),
        }
    }
}

impl TryFrom<ProofHex> for Knowledge {
    type Error = Error;

    fn try_from(text: ProofHex) -> Result<Self, Error> {
        Ok(Self {
            delta_g1: read_g1("delta in G1", &from_hex(&text.delta_g1)?)?,
            delta_g2: read_g2("delta in G2", &from_hex(&text.delta_g2)?)?,
            s: read_g1("s", &from_hex(&text.s)?)?,
            s_x: read_g1("s_x", &from_hex(&text.s_x)?)?,
            r_x: read_g2("r_x", &from_hex(&text.r_x)?)?,
        })
    }
}

/// A G2 point whose discrete logarithm nobody knows: x from SHA-256 with a counter until one is on the curve, then the
/// cofactor is cleared. Not constant time; its input is public.
pub fn hash_to_g2(seed: &[u8; 32]) -> G2Affine {
    let coordinate = |counter: u32, part: u8| {
        let wide: Vec<u8> = (0u8..2)
            .flat_map(|half| {
                let digest = Sha256::new().chain_update(POINT_TAG).chain_update(seed);
                digest.chain_update(counter.to_be_bytes()).chain_update([part, half]).finalize()
            })
            .collect();
        Fq::from_be_bytes_mod_order(&wide)
    };
    (0u32..)
        .find_map(|counter| {
            let x = Fq2::new(coordinate(counter, 0), coordinate(counter, 1));
            let point =
                G2Affine::get_point_from_x_unchecked(x, false)?.mul_by_cofactor_to_group().into_affine();
            (!point.is_zero()).then_some(point)
        })
        .expect("half of all x are on the curve")
}

/// Where a chain starts: the constraint system and the initial key.
pub fn genesis(r1cs: &[u8; 32], initial_key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(GENESIS_TAG).chain_update(r1cs).chain_update(initial_key).finalize().into()
}

impl Contribution {
    /// The seed of R: the chain so far with everything of this entry but x·R.
    pub fn challenge(&self, previous: &[u8; 32]) -> [u8; 32] {
        Sha256::new()
            .chain_update(ENTRY_TAG)
            .chain_update(previous)
            .chain_update(self.index.to_be_bytes())
            .chain_update((self.name.len() as u32).to_be_bytes())
            .chain_update(self.name.as_bytes())
            .chain_update(self.time.to_be_bytes())
            .chain_update(self.key_before)
            .chain_update(self.key_after)
            .chain_update(write_g1(&self.proof.s))
            .chain_update(write_g1(&self.proof.s_x))
            .chain_update(write_g1(&self.proof.delta_g1))
            .chain_update(write_g2(&self.proof.delta_g2))
            .finalize()
            .into()
    }

    /// The chain's hash after this entry.
    pub fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.challenge(previous))
            .chain_update(write_g2(&self.proof.r_x))
            .finalize()
            .into()
    }

    fn verify(&self, previous: &[u8; 32], delta_before: &G1Affine) -> Result<(), Error> {
        let refuse = |reason| Err(Error::Chain { index: self.index as usize, reason });
        let Knowledge { delta_g1, delta_g2, s, s_x, r_x } = &self.proof;
        let r = hash_to_g2(&self.challenge(previous));
        if !same_ratio(s, s_x, &r, r_x) {
            return refuse("its proof of knowledge does not hold");
        }
        if !same_ratio(delta_before, delta_g1, &r, r_x) {
            return refuse("its delta in G1 is not the one before times its secret");
        }
        if !same_ratio(&G1Affine::generator(), delta_g1, &G2Affine::generator(), delta_g2) {
            return refuse("its delta differs between G1 and G2");
        }
        if delta_g1 == delta_before {
            return refuse("it changes nothing");
        }
        Ok(())
    }
}

/// Whether b/a in G1 equals d/c in G2: e(a, d) = e(b, c).
pub fn same_ratio(a: &G1Affine, b: &G1Affine, c: &G2Affine, d: &G2Affine) -> bool {
    Bn254::multi_pairing([*a, -*b], [*d, *c]).is_zero()
}

/// The chain's hash after the last entry of `log`.
pub fn chain_hash(r1cs: &[u8; 32], initial_key: &[u8; 32], log: &[Contribution]) -> [u8; 32] {
    log.iter().fold(genesis(r1cs, initial_key), |previous, entry| entry.hash(&previous))
}

/// Checks the log against the key: unbroken hashes, every proof of knowledge, every δ, and that the last entry is this
/// key. An empty log passes when the key is an initial key (δ = 1). That L and H follow δ is `ceremony`'s check.
pub fn verify_log(key: &ProvingKey) -> Result<(), Error> {
    let refuse = |index: usize, reason| Err(Error::Chain { index, reason });
    let (mut delta_g1, mut delta_g2) = (G1Affine::generator(), G2Affine::generator());
    let mut key_hash = key.log.first().map_or(key.hash, |entry| entry.key_before);
    let mut chain = genesis(&key.body.system.sha256, &key_hash);
    for (index, entry) in key.log.iter().enumerate() {
        if entry.index as usize != index {
            return refuse(index, "its index is not its position");
        }
        if entry.key_before != key_hash {
            return refuse(index, "it does not start from the key before it");
        }
        entry.verify(&chain, &delta_g1)?;
        chain = entry.hash(&chain);
        (key_hash, delta_g1, delta_g2) = (entry.key_after, entry.proof.delta_g1, entry.proof.delta_g2);
    }
    if key_hash != key.hash || delta_g1 != key.body.points.delta_g1 || delta_g2 != key.body.points.delta_g2 {
        return refuse(key.log.len().saturating_sub(1), "the log does not end at this key");
    }
    Ok(())
}
