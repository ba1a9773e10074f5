//! The path over eight lanes and the path over single elements give the same verdicts, good and bad.

use ark_ff::{BigInt, BigInteger, Field, PrimeField};
use w3bstream_babyjubjub::curve::{Affine, Extended, ORDER, base_table};
use w3bstream_babyjubjub::poseidon::p5;
use w3bstream_babyjubjub::reading::{message, signed_messages_on};
use w3bstream_babyjubjub::tree::roots_on;
use w3bstream_babyjubjub::{Fr, field_to_be};
use w3bstream_field::Ifma;

const UNSIGNED: usize = 66;

fn times_base(scalar: &BigInt<4>) -> Affine {
    base_table().accumulate(Extended::IDENTITY, scalar, false).to_affine()
}

/// left + right modulo the subgroup's order; both below it.
fn sum(left: &BigInt<4>, right: &BigInt<4>) -> BigInt<4> {
    let mut total = *left;
    assert!(!total.add_with_carry(right));
    if total >= ORDER {
        total.sub_with_borrow(&ORDER);
    }
    total
}

fn product(left: &BigInt<4>, right: &BigInt<4>) -> BigInt<4> {
    let mut total = BigInt::zero();
    for bit in right.to_bits_be() {
        total = sum(&total, &total);
        if bit {
            total = sum(&total, left);
        }
    }
    total
}

struct Signer {
    secret: BigInt<4>,
    public: Affine,
}

impl Signer {
    fn new(number: u64) -> Self {
        let secret = BigInt::new([number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number, number << 7, number]);
        Self { secret, public: times_base(&secret) }
    }

    fn public_bytes(&self) -> Vec<u8> {
        [field_to_be(&self.public.x), field_to_be(&self.public.y)].concat()
    }

    /// A reading in wire form, signed: S = n + 8*h*k modulo the order.
    fn reading(&self, sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![0u8; UNSIGNED];
        (wire[0], wire[1]) = (1, 3);
        wire.extend(7u64.to_be_bytes());
        wire.extend(&self.public_bytes()[12..32]);
        wire.extend(sequence.to_be_bytes());
        wire.extend((1_700_000_000_000 + sequence).to_be_bytes());
        wire.extend(u32::try_from(payload.len()).expect("short").to_be_bytes());
        wire.extend(payload);
        let m = message(&wire).expect("one reading");
        let nonce = BigInt::new([sequence + 1, sequence << 9, 77, 1]);
        let r8 = times_base(&nonce);
        let h = p5(&[r8.x, r8.y, self.public.x, self.public.y, m]).into_bigint();
        let eightfold = product(&BigInt::new([8, 0, 0, 0]), &product(&self.secret, &h));
        let s = sum(&nonce, &eightfold);
        let mut point = r8.y.into_bigint().to_bytes_le();
        point[31] |= u8::from(r8.x.into_bigint() > Fr::MODULUS_MINUS_ONE_DIV_TWO) << 7;
        wire[2..34].copy_from_slice(&point);
        wire[34..66].copy_from_slice(&s.to_bytes_le());
        wire
    }
}

type Pair = (Vec<u8>, Vec<u8>);

/// Payloads around the borders of 31-byte chunks, by three keys in turn.
fn good() -> Vec<Pair> {
    let signers = [1, 2, 3].map(Signer::new);
    let lengths = [0, 1, 4, 30, 31, 32, 61, 62, 63, 93, 100, 250, 4, 4, 4, 4, 4, 4, 4];
    let each = lengths.iter().zip(0u64..).map(|(length, at)| {
        let signer = &signers[at as usize % 3];
        let payload: Vec<u8> = (0..*length).map(|byte| (byte * 7 + at) as u8 | 0x80).collect();
        (signer.public_bytes(), signer.reading(at, &payload))
    });
    each.collect()
}

fn verdicts(pairs: &[Pair]) -> Vec<Option<Fr>> {
    let single = signed_messages_on(None, pairs);
    assert_eq!(signed_messages_on(Ifma::detect(), pairs), single);
    single
}

#[test]
fn good_signatures_pass_in_every_place() {
    let pairs = good();
    let expected: Vec<_> = pairs.iter().map(|(_, wire)| message(wire)).collect();
    assert_eq!(verdicts(&pairs), expected);
    for count in 0..pairs.len() {
        assert_eq!(verdicts(&pairs[..count]), expected[..count]);
        assert_eq!(verdicts(&pairs[count..]), expected[count..]);
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_and_its_neighbours_pass() {
    let pairs = good();
    let (key, wire) = &pairs[5];
    let flips = (0..8 * wire.len()).map(|bit| {
        let mut flipped = wire.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (key.clone(), flipped)
    });
    let mixed: Vec<Pair> =
        flips.enumerate().flat_map(|(at, flipped)| [pairs[at % 3].clone(), flipped]).collect();
    for (at, verdict) in verdicts(&mixed).into_iter().enumerate() {
        assert_eq!(verdict, if at % 2 == 0 { message(&mixed[at].1) } else { None }, "bit {}", at / 2);
    }
    for bit in 0..512 {
        let mut other = key.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verdicts(&[(other, wire.clone()), pairs[0].clone()]),
            [None, message(&pairs[0].1)],
            "key bit {bit}"
        );
    }
}

#[test]
fn what_is_not_canonical_or_swapped_is_refused() {
    let pairs = good();
    let add = |wire: &[u8], at: usize, modulus: &BigInt<4>| {
        let mut value = BigInt::<4>::zero();
        value.0 = std::array::from_fn(|k| {
            u64::from_le_bytes(wire[at + 8 * k..at + 8 * k + 8].try_into().expect("8"))
        });
        assert!(!value.add_with_carry(modulus));
        let mut changed = wire.to_vec();
        changed[at..at + 32].copy_from_slice(&value.to_bytes_le());
        changed
    };
    let mut bad: Vec<Pair> = Vec::new();
    for (key, wire) in &pairs {
        bad.push((key.clone(), add(wire, 34, &ORDER)));
        if wire[33] & 0x80 == 0 {
            bad.push((key.clone(), add(wire, 2, &Fr::MODULUS)));
        }
        bad.push((key.clone(), wire[..wire.len() - 1].to_vec()));
        bad.push((key.clone(), [wire, &[0u8][..]].concat()));
    }
    for at in 0..pairs.len() - 1 {
        // Another reading's signature, and another key's.
        let mut swapped = pairs[at].1.clone();
        swapped[2..66].copy_from_slice(&pairs[at + 1].1[2..66]);
        bad.push((pairs[at].0.clone(), swapped));
        bad.push((pairs[at + 1].0.clone(), pairs[at].1.clone()));
    }
    // R8 = (0, 1) and (0, -1), once with the sign that x = 0 cannot have; S = 0.
    for y in [Fr::ONE, -Fr::ONE, Fr::from(0u64)] {
        for sign in [0, 0x80] {
            let mut wire = pairs[0].1.clone();
            wire[2..34].copy_from_slice(&y.into_bigint().to_bytes_le());
            wire[33] |= sign;
            wire[34..66].fill(0);
            bad.push((pairs[0].0.clone(), wire));
        }
    }
    assert_eq!(verdicts(&bad), vec![None; bad.len()]);
}

#[test]
fn roots_agree_for_any_number_of_leaves() {
    let leaves: Vec<Fr> = (1u64..70).map(|k| Fr::from(k).inverse().expect("not zero")).collect();
    let trees: Vec<Vec<Fr>> =
        (0..=16).flat_map(|count| [leaves[..count].to_vec(), leaves[3..3 + count].to_vec()]).collect();
    let single = roots_on(None, trees.clone(), 16).expect("room for 16");
    assert_eq!(roots_on(Ifma::detect(), trees.clone(), 16), Some(single.clone()));
    for (tree, root) in trees.iter().zip(&single) {
        assert_eq!(roots_on(Ifma::detect(), vec![tree.clone()], 16), Some(vec![*root]));
    }
    assert_eq!(
        roots_on(Ifma::detect(), vec![leaves[..64].to_vec()], 64),
        roots_on(None, vec![leaves[..64].to_vec()], 64)
    );
    assert_eq!(roots_on(Ifma::detect(), trees.clone(), 8), None);
    assert_eq!(roots_on(Ifma::detect(), trees, 12), None);
}
