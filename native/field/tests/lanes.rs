//! Every operation on eight lanes against ark-ff's on one, at the edges of the field and at random, on both of BN254's.
#![cfg(target_arch = "x86_64")]

use ark_ff::{AdditiveGroup, BigInt, Field, MontConfig, PrimeField};
use w3bstream_field::{Constant, Element, Ifma, LANES, Lanes, Wide};

/// Numbers that reach every bit, from a multiplicative generator of 64-bit words (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 ^ self.0 >> 29
    }

    fn element<F: PrimeField<BigInt = BigInt<4>>>(&mut self) -> F {
        let bytes: Vec<u8> = (0..4).flat_map(|_| self.word().to_le_bytes()).collect();
        F::from_le_bytes_mod_order(&bytes)
    }
}

/// 0, 1, p - 1, what fills limbs of 52 and words of 64 bits with ones, and what Montgomery's form makes of them.
fn edges<C: MontConfig<4>>() -> Vec<Element<C>> {
    let mut found = vec![Element::<C>::ZERO, Element::ONE, -Element::<C>::ONE, Element::from(2u64)];
    for bits in [51, 52, 53, 63, 64, 103, 104, 128, 156, 192, 208, 252] {
        let power = Element::<C>::from(2u64).pow([bits]);
        found.extend([power, -power, power - Element::ONE]);
    }
    let inverse = Element::<C>::from(2u64).pow([256]).inverse().expect("not zero");
    found.extend(found.clone().iter().map(|value| *value * inverse));
    found.push(Element::<C>::from_bigint(Element::<C>::MODULUS_MINUS_ONE_DIV_TWO).expect("below p"));
    found
}

type Eight<C> = [Element<C>; LANES];

fn groups<C: MontConfig<4>>() -> Vec<(Eight<C>, Eight<C>)> {
    let (edges, mut numbers) = (edges::<C>(), Numbers(7));
    let mut pairs: Vec<_> = edges.iter().flat_map(|a| edges.iter().map(|b| (*a, *b))).collect();
    pairs.extend((0..4096).map(|_| (numbers.element(), numbers.element())));
    let full = pairs.chunks_exact(LANES);
    full.map(|chunk| (std::array::from_fn(|at| chunk[at].0), std::array::from_fn(|at| chunk[at].1))).collect()
}

fn each<T>(values: &[T; LANES]) -> [&T; LANES] {
    std::array::from_fn(|at| &values[at])
}

fn both<C: MontConfig<4>>(
    a: &[Element<C>; LANES],
    b: &[Element<C>; LANES],
    operation: impl Fn(Element<C>, Element<C>) -> Element<C>,
) -> [Element<C>; LANES] {
    std::array::from_fn(|at| operation(a[at], b[at]))
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn agree_with_single_elements<C: MontConfig<4>>() {
    for (a, b) in groups::<C>() {
        let (x, y) = (Lanes::<C>::load(each(&a)), Lanes::load(each(&b)));
        assert_eq!(x.store(), a);
        assert_eq!(x.integers(), a.map(|value| value.into_bigint()));
        assert_eq!(x.plus(y).store(), both(&a, &b, |a, b| a + b));
        assert_eq!(x.minus::<16>(y).store(), both(&a, &b, |a, b| a - b));
        assert_eq!(x.times(y).store(), both(&a, &b, |a, b| a * b));
        assert_eq!(x.squared().store(), a.map(|value| value.square()));
        assert_eq!(x.squared_often(9).store(), a.map(|value| value.pow([512])));
        let constant = Constant::new(b[3]);
        assert_eq!(x.times_constant(&constant).store(), a.map(|value| value * b[3]));
        assert_eq!(x.plus_constant(&constant).store(), a.map(|value| value + b[3]));
        assert_eq!(Lanes::<C>::splat(&constant).store(), [b[3]; LANES]);
        for lane in 0..LANES {
            assert_eq!(x.zeros() >> lane & 1 == 1, a[lane] == Element::ZERO);
            assert_eq!(x.equals(y) >> lane & 1 == 1, a[lane] == b[lane]);
        }
        let mixed = Lanes::select(0b1010_0110, x, y).store();
        assert_eq!(
            mixed,
            std::array::from_fn(|lane| if 0b1010_0110 >> lane & 1 == 1 { a[lane] } else { b[lane] })
        );
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn hold_at_their_bounds<C: MontConfig<4>>() {
    let top = [-Element::<C>::ONE; LANES];
    let loaded = Lanes::<C>::load(each(&top));
    let high = loaded.plus(loaded).plus(loaded).plus(Lanes::<C>::splat(&Constant::new(top[0])));
    // 4 * (p - 1), held as a value that may reach 49p: nothing above was reduced.
    let expected = Element::<C>::from(4u64) * top[0];
    assert_eq!(high.store(), [expected; LANES]);
    assert_eq!(high.times(high).store(), [expected.square(); LANES]);
    assert_eq!(high.squared().squared().times(high).store(), [expected.pow([5]); LANES]);
    assert_eq!(Lanes::zero().minus::<62>(high).store(), [-expected; LANES]);
    assert_eq!(high.minus::<12>(Lanes::zero()).squared().store(), [expected.square(); LANES]);
    let (mut products, mut constants) = (Wide::zero(), Wide::zero());
    for _ in 0..16 {
        products.add_product(&loaded, &loaded);
        constants.add_constant_product(&high, &Constant::new(top[0]));
    }
    assert_eq!(products.reduce().store(), [Element::<C>::from(16u64); LANES]);
    assert_eq!(constants.reduce().store(), [Element::<C>::from(64u64); LANES]);
}

#[test]
fn eight_lanes_are_eight_elements() {
    if Ifma::detect().is_some() {
        // SAFETY: the CPU has the features, as `detect` says.
        unsafe {
            agree_with_single_elements::<ark_bn254::FrConfig>();
            agree_with_single_elements::<ark_bn254::FqConfig>();
        }
    }
}

#[test]
fn values_that_nobody_reduced_stay_in_bounds() {
    if Ifma::detect().is_some() {
        // SAFETY: the CPU has the features, as `detect` says.
        unsafe {
            hold_at_their_bounds::<ark_bn254::FrConfig>();
            hold_at_their_bounds::<ark_bn254::FqConfig>();
        }
    }
}
