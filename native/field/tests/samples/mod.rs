//! Elements that the tests of this crate's operations share: random ones, and the edges of a field.

use ark_ff::{AdditiveGroup, Field, MontConfig, PrimeField};
use w3bstream_field::Element;

/// Numbers that reach every bit, from a multiplicative generator of 64-bit words (Knuth's MMIX).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 ^ self.0 >> 29
    }

    pub fn element<F: PrimeField>(&mut self) -> F {
        let bytes: Vec<u8> = (0..8).flat_map(|_| self.word().to_le_bytes()).collect();
        F::from_le_bytes_mod_order(&bytes)
    }
}

/// 0, 1, p - 1, the powers of two at `bits` and their neighbours, and what Montgomery's form makes of them.
pub fn edges<C: MontConfig<W>, const W: usize>(bits: &[u64]) -> Vec<Element<C, W>> {
    let mut found = vec![Element::<C, W>::ZERO, Element::ONE, -Element::<C, W>::ONE, Element::from(2u64)];
    for bits in bits {
        let power = Element::<C, W>::from(2u64).pow([*bits]);
        found.extend([power, -power, power - Element::ONE]);
    }
    let inverse = Element::<C, W>::from(2u64).pow([64 * W as u64]).inverse().expect("not zero");
    found.extend(found.clone().iter().map(|value| *value * inverse));
    found.push(Element::<C, W>::from_bigint(Element::<C, W>::MODULUS_MINUS_ONE_DIV_TWO).expect("below p"));
    found
}
