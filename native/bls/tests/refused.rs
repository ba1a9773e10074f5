//! What must be refused: bytes that are no key or signature, and signatures that sign something else.

use proptest::prelude::*;
use w3bstream_bls::{
    Claim, Committee, Error, PublicKey, SecretKey, Signature, aggregate_verify, batch_verify,
    fast_aggregate_verify, invalid_claims,
};

fn key(seed: u8) -> SecretKey {
    SecretKey::key_gen(&[seed; 32], &[]).expect("32 bytes")
}

/// The other point with this x: the sign bit of a compressed encoding.
fn negated<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[0] ^= 0x20;
    bytes
}

/// p, the modulus of the base field (draft-irtf-cfrg-pairing-friendly-curves §4.2.1), big-endian.
const MODULUS: [u8; 48] = [
    0x1a, 0x01, 0x11, 0xea, 0x39, 0x7f, 0xe6, 0x9a, 0x4b, 0x1b, 0xa7, 0xb6, 0x43, 0x4b, 0xac, 0xd7, 0x64,
    0x77, 0x4b, 0x84, 0xf3, 0x85, 0x12, 0xbf, 0x67, 0x30, 0xd2, 0xa0, 0xf6, 0xb0, 0xf6, 0x24, 0x1e, 0xab,
    0xff, 0xfe, 0xb1, 0x53, 0xff, 0xff, 0xb9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xaa, 0xab,
];

#[test]
fn bytes_that_are_no_key() {
    let good = *key(1).public_key().to_bytes();
    let kind = |bytes: &[u8]| PublicKey::from_bytes(bytes).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind(&good), Ok(()));
    assert_eq!(kind(&good[..47]), Err("length"));
    assert_eq!(kind(&[&good[..], &[0]].concat()), Err("length"));
    assert_eq!(kind(&[]), Err("length"));
    assert_eq!(kind(&[0; 96]), Err("length"), "an uncompressed point is none of ours");
    let mut uncompressed = good;
    uncompressed[0] &= 0x7f;
    assert_eq!(kind(&uncompressed), Err("encoding"));
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    assert_eq!(kind(&infinity), Err("infinity"));
    infinity[47] = 1;
    assert_eq!(kind(&infinity), Err("encoding"), "infinity with a coordinate");
    infinity = [0; 48];
    infinity[0] = 0xe0;
    assert_eq!(kind(&infinity), Err("encoding"), "infinity with a sign");
    let mut too_large = MODULUS;
    too_large[0] |= 0x80;
    assert_eq!(kind(&too_large), Err("encoding"), "x = p");
    too_large[47] += 1;
    assert_eq!(kind(&too_large), Err("encoding"), "x = p + 1");
    // Of x = 0, 1, 2, … some are on no point and some on a point of another order.
    let small = |x: u8| {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, x);
        kind(&bytes)
    };
    let kinds: Vec<_> = (0..32).map(small).collect();
    assert!(kinds.contains(&Err("curve")) && kinds.contains(&Err("subgroup")), "{kinds:?}");
    assert!(!kinds.contains(&Ok(())));
}

#[test]
fn bytes_that_are_no_signature() {
    let good = key(1).sign(b"m").to_bytes();
    let kind = |bytes: &[u8]| Signature::from_bytes(bytes).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind(&good), Ok(()));
    assert_eq!(kind(&good[..95]), Err("length"));
    assert_eq!(kind(&[0; 192]), Err("length"));
    let mut uncompressed = good;
    uncompressed[0] &= 0x7f;
    assert_eq!(kind(&uncompressed), Err("encoding"));
    let mut second = [0; 96];
    second[..48].copy_from_slice(&MODULUS);
    second[0] |= 0x80;
    assert_eq!(kind(&second), Err("encoding"), "imaginary part p");
    second = [0; 96];
    second[0] = 0x80;
    second[48..].copy_from_slice(&MODULUS);
    assert_eq!(kind(&second), Err("encoding"), "real part p");
    let small = |x: u8| {
        let mut bytes = [0; 96];
        (bytes[0], bytes[95]) = (0x80, x);
        kind(&bytes)
    };
    let kinds: Vec<_> = (0..32).map(small).collect();
    assert!(kinds.contains(&Err("curve")) && kinds.contains(&Err("subgroup")), "{kinds:?}");
    assert!(!kinds.contains(&Ok(())));
}

#[test]
fn infinity_signs_nothing() {
    let mut bytes = [0; 96];
    bytes[0] = 0xc0;
    let infinity = Signature::from_bytes(&bytes).expect("a point of the subgroup");
    let (public, other) = (key(1).public_key(), key(2).public_key());
    assert!(!public.verifies(b"m", &infinity));
    assert!(!public.verifies_possession(&infinity));
    assert_eq!(fast_aggregate_verify(&[&public, &other], b"m", &infinity), Ok(false));
    assert_eq!(batch_verify(&[Claim { key: &public, message: b"m", signature: &infinity }]), Ok(false));
    // The sum of nobody's signatures is not offered as valid.
    assert_eq!(fast_aggregate_verify(&[], b"m", &infinity).map_err(|e| e.kind()), Err("empty"));
    assert_eq!(aggregate_verify(&[], &infinity).map_err(|e| e.kind()), Err("empty"));
    assert_eq!(batch_verify(&[]).map_err(|e| e.kind()), Err("empty"));
    assert_eq!(Signature::aggregate(&[]).map_err(|e| e.kind()), Err("empty"));
}

#[test]
fn keys_that_cancel() {
    let one = key(1).public_key();
    let minus = PublicKey::from_bytes(&negated(*one.to_bytes())).expect("the opposite key");
    assert_eq!(PublicKey::aggregate(&[&one, &minus]).map_err(|e| e.kind()), Err("infinity"));
    let sum = Signature::aggregate(&[key(1).sign(b"m"), key(1).sign(b"m")]).expect("not empty");
    assert_eq!(fast_aggregate_verify(&[&one, &minus], b"m", &sum), Ok(false));
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    let infinity = Signature::from_bytes(&infinity).expect("a point of the subgroup");
    assert_eq!(fast_aggregate_verify(&[&one, &minus], b"anything", &infinity), Ok(false));
}

/// Eve publishes her key less Alice's: together with Alice's it is a key that she alone signs for.
#[test]
fn a_rogue_key_forges_without_proof_of_possession() {
    let (alice, eve) = (key(1).public_key(), key(2));
    let minus_alice = PublicKey::from_bytes(&negated(*alice.to_bytes())).expect("the opposite key");
    let rogue = PublicKey::aggregate(&[&eve.public_key(), &minus_alice]).expect("another point");
    let forged = eve.sign(b"Alice and I agree");
    assert_eq!(fast_aggregate_verify(&[&alice, &rogue], b"Alice and I agree", &forged), Ok(true));
    // She cannot prove possession: she does not know the logarithm of her key. What she can make is refused.
    for attempt in [
        eve.prove_possession(),
        eve.sign(rogue.to_bytes()),
        Signature::from_bytes(&negated(eve.prove_possession().to_bytes())).expect("a signature"),
    ] {
        assert!(!rogue.verifies_possession(&attempt));
        let members = [(alice.clone(), key(1).prove_possession()), (rogue.clone(), attempt)];
        assert_eq!(Committee::new(&members).map(|_| ()), Err(Error::Unproven { index: 1 }));
    }
}

#[test]
fn a_signature_is_no_proof_of_possession() {
    let (one, public) = (key(1), key(1).public_key());
    assert!(public.verifies_possession(&one.prove_possession()));
    assert!(!public.verifies_possession(&one.sign(public.to_bytes())));
    assert!(!public.verifies(public.to_bytes(), &one.prove_possession()));
    assert!(!key(2).public_key().verifies_possession(&one.prove_possession()), "replayed for another key");
}

#[test]
fn a_batch_does_not_let_errors_cancel() {
    let (keys, messages): (Vec<_>, [&[u8]; 2]) = ((1..3).map(key).collect(), [b"one", b"two"]);
    let publics: Vec<_> = keys.iter().map(SecretKey::public_key).collect();
    let good: Vec<_> = keys.iter().zip(messages).map(|(key, message)| key.sign(message)).collect();
    let error = key(9).sign(b"an error");
    let minus = Signature::from_bytes(&negated(error.to_bytes())).expect("a signature");
    let bad: Vec<_> = [&error, &minus]
        .iter()
        .zip(&good)
        .map(|(error, good)| Signature::aggregate(&[(*error).clone(), good.clone()]).expect("not empty"))
        .collect();
    let claims = |signatures: &[Signature]| -> Result<bool, Error> {
        let claims: Vec<_> = (0..2)
            .map(|at| Claim { key: &publics[at], message: messages[at], signature: &signatures[at] })
            .collect();
        batch_verify(&claims)
    };
    assert_eq!(claims(&good), Ok(true));
    assert_eq!(claims(&bad), Ok(false));
    // They do cancel: the plain sum, which has no coefficients, accepts them.
    let sum = Signature::aggregate(&bad).expect("not empty");
    let signed: Vec<(&PublicKey, &[u8])> = publics.iter().zip(messages).collect();
    assert_eq!(aggregate_verify(&signed, &sum), Ok(true));
}

#[test]
fn the_wrong_ones_of_a_batch_are_named() {
    let keys: Vec<_> = (1..14).map(key).collect();
    let publics: Vec<_> = keys.iter().map(SecretKey::public_key).collect();
    let messages: Vec<[u8; 1]> = (0..13).map(|at| [at]).collect();
    let mut signatures: Vec<_> = keys.iter().zip(&messages).map(|(key, message)| key.sign(message)).collect();
    let wrong = |signatures: &[Signature]| {
        let claims: Vec<_> = (0..13)
            .map(|at| Claim { key: &publics[at], message: &messages[at], signature: &signatures[at] })
            .collect();
        assert_eq!(batch_verify(&claims).expect("randomness"), invalid_claims(&claims) == Ok(vec![]));
        invalid_claims(&claims).expect("randomness")
    };
    assert_eq!(wrong(&signatures), Vec::<usize>::new());
    signatures.swap(3, 12);
    assert_eq!(wrong(&signatures), [3, 12]);
    signatures.swap(3, 12);
    signatures[0] = keys[0].sign(b"replayed from elsewhere");
    assert_eq!(wrong(&signatures), [0]);
}

#[test]
fn committees_and_bitmaps() {
    let keys: Vec<_> = (1..11).map(key).collect();
    let members: Vec<_> = keys.iter().map(|key| (key.public_key(), key.prove_possession())).collect();
    let committee = Committee::new(&members).expect("proven");
    let votes: Vec<_> = [9, 0, 4].map(|at| (at, keys[at].sign(b"block"))).into();
    let (bitmap, sum) = committee.aggregate(&votes).expect("three votes");
    assert_eq!(bitmap, [0b0001_0001, 0b10]);
    assert_eq!(committee.signers(&bitmap), Ok(vec![0, 4, 9]));
    assert_eq!(committee.verifies(&bitmap, b"block", &sum), Ok(true));
    assert_eq!(committee.verifies(&bitmap, b"another", &sum), Ok(false));
    assert_eq!(committee.verifies(&[0b0001_0011, 0b10], b"block", &sum), Ok(false));
    assert_eq!(committee.verifies(&[0b0000_0001, 0b10], b"block", &sum), Ok(false));
    let kind = |bitmap: &[u8]| committee.verifies(bitmap, b"block", &sum).map_err(|error| error.kind());
    assert_eq!(kind(&[0; 2]), Err("empty"));
    assert_eq!(kind(&[1, 0b100]), Err("no-member"));
    assert_eq!(kind(&[1]), Err("length"));
    assert_eq!(kind(&[1, 0, 0]), Err("length"));
    let refused = |votes: &[(usize, Signature)]| committee.aggregate(votes).map_err(|error| error.kind());
    assert_eq!(refused(&[]), Err("empty"));
    assert_eq!(refused(&[votes[0].clone(), votes[0].clone()]), Err("duplicate"));
    assert_eq!(refused(&[(10, votes[0].1.clone())]), Err("no-member"));
    let twice = Committee::of_proven(vec![members[0].0.clone(), members[1].0.clone(), members[0].0.clone()]);
    assert_eq!(twice.map(|_| ()), Err(Error::Duplicate { what: "public key", index: 2 }));
    assert_eq!(Committee::new(&[]).map(|_| ()).map_err(|error| error.kind()), Err("empty"));
}

#[test]
fn secret_keys() {
    let kind = |bytes: &[u8]| SecretKey::from_bytes(bytes).map(|_| ()).map_err(|error| error.kind());
    let order = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
    let mut order: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&order[at..at + 2], 16).expect("hex")).collect();
    assert_eq!(kind(&[0; 32]), Err("scalar"));
    assert_eq!(kind(&order), Err("scalar"));
    order[31] = 0;
    assert_eq!(kind(&order), Ok(()), "r - 1");
    assert_eq!(kind(&[0xff; 32]), Err("scalar"));
    assert_eq!(kind(&[1; 31]), Err("length"));
    assert_eq!(SecretKey::key_gen(&[1; 31], &[]).map(|_| ()).map_err(|e| e.kind()), Err("key-material"));
    assert_ne!(key(1).to_bytes(), SecretKey::key_gen(&[1; 32], b"info").expect("32 bytes").to_bytes());
    let secret = key(1);
    let shown = format!("{secret:?}");
    let digits: String = secret.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&digits[..16]), "{shown}");
    let fresh = [SecretKey::generate(), SecretKey::generate()].map(|key| key.expect("randomness").to_bytes());
    assert_ne!(fresh[0], fresh[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_flipped_bit_is_refused(
        seed in 1u8..255,
        message in prop::collection::vec(any::<u8>(), 0..80),
        bit in 0usize..768,
    ) {
        let (secret, public) = (key(seed), key(seed).public_key());
        let signature = secret.sign(&message);
        prop_assert!(public.verifies(&message, &signature));
        let mut bytes = signature.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted = Signature::from_bytes(&bytes).is_ok_and(|flipped| public.verifies(&message, &flipped));
        prop_assert!(!accepted);
        let mut bytes = *public.to_bytes();
        let bit = bit % 384;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted = PublicKey::from_bytes(&bytes).is_ok_and(|flipped| flipped.verifies(&message, &signature));
        prop_assert!(!accepted);
        let mut other = message.clone();
        other.push(0);
        prop_assert!(!public.verifies(&other, &signature));
        prop_assert!(!key(seed.wrapping_add(1).max(1)).public_key().verifies(&message, &signature));
    }

    #[test]
    fn any_bytes_are_refused_or_decode_to_themselves(
        bytes in prop::array::uniform32(any::<u8>()),
        flags in 0u8..8,
    ) {
        let mut key = [0; 48];
        key[16..].copy_from_slice(&bytes);
        key[0] |= flags << 5;
        if let Ok(decoded) = PublicKey::from_bytes(&key) {
            prop_assert_eq!(decoded.to_bytes(), &key);
        }
        let mut signature = [0; 96];
        signature[64..].copy_from_slice(&bytes);
        signature[0] |= flags << 5;
        if let Ok(decoded) = Signature::from_bytes(&signature) {
            prop_assert_eq!(decoded.to_bytes(), signature);
        }
    }
}
