//! Every operation on eight lanes against ark-ff's on one, at the edges of the field and at random, on both fields of
//! BN254 and both of BLS12-381.
#![cfg(target_arch = "x86_64")]

mod samples;

use std::arch::x86_64::{__m256i, __m512i};

use ark_ff::{AdditiveGroup, Field, MontConfig, PrimeField};
use samples::{Numbers, edges};
use w3bstream_field::{Constant, Element, Ifma, LANES, Lanes, Loose, Wide, limit, rows};

/// Vectors of random elements: more than a million products, sums and differences a field in a release build.
const VECTORS: usize = if cfg!(debug_assertions) { 4096 } else { 65536 };

/// Ends of limbs of 52 bits and of words of 64.
const ENDS: [u64; 16] = [51, 52, 53, 63, 64, 103, 104, 128, 156, 192, 208, 252, 312, 320, 364, 379];

type Eight<C, const W: usize> = [Element<C, W>; LANES];

/// Every pair of edges, eight at a time.
fn pairs_of_edges<C: MontConfig<W>, const W: usize>() -> Vec<(Eight<C, W>, Eight<C, W>)> {
    let edges = edges::<C, W>(&ENDS);
    let pairs: Vec<_> = edges.iter().flat_map(|a| edges.iter().map(|b| (*a, *b))).collect();
    let full = pairs.chunks_exact(LANES);
    full.map(|chunk| (std::array::from_fn(|at| chunk[at].0), std::array::from_fn(|at| chunk[at].1))).collect()
}

fn each<T>(values: &[T; LANES]) -> [&T; LANES] {
    std::array::from_fn(|at| &values[at])
}

fn both<F: Copy>(a: &[F; LANES], b: &[F; LANES], operation: impl Fn(F, F) -> F) -> [F; LANES] {
    std::array::from_fn(|at| operation(a[at], b[at]))
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn agree_at_the_edges<C: MontConfig<W>, const W: usize, const L: usize>() {
    for (a, b) in pairs_of_edges::<C, W>() {
        let (x, y) = (Lanes::<C, W, L>::load(each(&a)), Lanes::<C, W, L>::load(each(&b)));
        assert_eq!(x.store(), a);
        assert_eq!(x.integers(), a.map(|value| value.into_bigint()));
        assert_eq!(x.plus(y).store(), both(&a, &b, |a, b| a + b));
        assert_eq!(x.times(y).store(), both(&a, &b, |a, b| a * b));
        assert_eq!(x.squared().store(), a.map(|value| value.square()));
        assert_eq!(x.squared_often(9).store(), a.map(|value| value.pow([512])));
        let one = Constant::new(Element::ONE);
        let (low, less) = (x.times_constant(&one), y.times_constant(&one));
        assert_eq!(low.minus::<2>(less).store(), both(&a, &b, |a, b| a - b));
        assert_eq!(Lanes::<C, W, L>::unpacked(low.packed()).store(), a);
        let constant = Constant::new(b[3]);
        assert_eq!(x.times_constant(&constant).store(), a.map(|value| value * b[3]));
        assert_eq!(x.plus_constant(&constant).store(), a.map(|value| value + b[3]));
        assert_eq!(Lanes::<C, W, L>::splat(&constant).store(), [b[3]; LANES]);
        for lane in 0..LANES {
            assert_eq!(x.zeros() >> lane & 1 == 1, a[lane] == Element::ZERO);
            assert_eq!(x.equals(y) >> lane & 1 == 1, a[lane] == b[lane]);
        }
        let mixed = Lanes::select(0b1010_0110, x, y).store();
        assert_eq!(
            mixed,
            std::array::from_fn(|lane| if 0b1010_0110 >> lane & 1 == 1 { a[lane] } else { b[lane] })
        );
        match x.inverse() {
            Some(inverse) => assert_eq!(inverse.store(), a.map(|value| value.inverse().expect("not zero"))),
            None => assert!(a.contains(&Element::ZERO)),
        }
    }
}

/// Long sums of products, differences and squares of random elements.
#[target_feature(enable = "avx512f,avx512ifma")]
fn agree_at_random<C: MontConfig<W>, const W: usize, const L: usize>() {
    let mut numbers = Numbers(7);
    let mut next = || -> Eight<C, W> { std::array::from_fn(|_| numbers.element()) };
    let constants: [_; 4] = std::array::from_fn(|_| next());
    let mut low = [Lanes::<C, W, L>::zero(); 4];
    for (low, constant) in low.iter_mut().zip(&constants) {
        *low = Lanes::load(each(constant)).times_constant(&Constant::new(Element::ONE));
    }
    let (mut a, mut b) = (next(), next());
    let one = Constant::new(Element::ONE);
    let mut x = Lanes::<C, W, L>::load(each(&a)).times_constant(&one);
    let mut y = Lanes::<C, W, L>::load(each(&b)).times_constant(&one);
    for at in 0..VECTORS {
        let (factor, low) = (constants[at % constants.len()], low[at % low.len()]);
        (a, b) = (both(&a, &b, |a, b| a * b), both(&a, &b, |a, b| a - b));
        b = both(&b, &factor, |b, factor| b.square() + factor);
        // Below 2p + 5p, and 49 / 35 p + p + 2p is below 5p again.
        let difference = x.minus::<5>(y);
        (x, y) = (x.times(y), difference.squared().plus(low));
        if at % 64 == 0 {
            assert_eq!((x.store(), y.store()), (a, b));
        }
    }
    assert_eq!((x.store(), y.store()), (a, b));
}

/// The largest values that may stand in a vector, and the largest sums of products.
#[target_feature(enable = "avx512f,avx512ifma")]
fn hold_at_their_bounds<C: MontConfig<W>, const W: usize, const L: usize, const MOST: u64>() {
    assert_eq!(MOST, limit::<C, W, L>() - 2);
    let top = -Element::<C, W>::ONE;
    let low = Lanes::<C, W, L>::splat(&Constant::new(top));
    let zero = Lanes::<C, W, L>::zero();
    // MOST * p and p - 1, held as what they are: nothing was reduced.
    let high = zero.minus::<MOST>(zero);
    assert_eq!(high.store(), [Element::ZERO; LANES]);
    assert_eq!(high.zeros(), 0xFF);
    assert_eq!(high.times(high).store(), [Element::ZERO; LANES]);
    let high = high.minus::<1>(low);
    assert_eq!(high.store(), [-top; LANES]);
    assert_eq!(high.times(high).store(), [Element::ONE; LANES]);
    assert_eq!(high.squared().squared().times(high).store(), [Element::ONE; LANES]);
    assert_eq!(zero.minus::<MOST>(low).squared().store(), [Element::ONE; LANES]);
    assert!(is_below(high.times(low).reduced(), 2));
    let (mut products, mut constants) = (Wide::<C, W, L>::zero(), Wide::<C, W, L>::zero());
    for _ in 0..16 {
        products.add_product(&low, &low);
        constants.add_constant_product(&low.plus(low), &Constant::new(top));
    }
    assert_eq!(products.reduce().store(), [Element::<C, W>::from(16u64); LANES]);
    assert_eq!(constants.reduce().store(), [Element::<C, W>::from(32u64); LANES]);
}

/// Sums of a few values of both signs, at the ends of what `settled` and `lowered` take and at random.
#[target_feature(enable = "avx512f,avx512ifma")]
fn loose_sums_come_down<C: MontConfig<W>, const W: usize, const L: usize>() {
    let (mut numbers, one) = (Numbers(11), Constant::new(Element::ONE));
    for at in 0..VECTORS / 16 {
        let (mut a, mut b): (Eight<C, W>, Eight<C, W>) = (Default::default(), Default::default());
        for lane in 0..LANES {
            let edge = if at % 4 == 0 { Element::ZERO } else { -Element::<C, W>::ONE };
            (a[lane], b[lane]) = (if at % 2 == 0 { edge } else { numbers.element() }, numbers.element());
        }
        let x = Lanes::<C, W, L>::load(each(&a)).times_constant(&one).reduced();
        let y = Lanes::<C, W, L>::load(each(&b)).times_constant(&one).reduced();
        let mask = numbers.word() as u8;
        let signed = y.loose().negated(mask);
        let expected: Eight<C, W> =
            std::array::from_fn(
                |lane| if mask >> lane & 1 == 1 { a[lane] + b[lane] } else { a[lane] - b[lane] },
            );
        let difference = x.loose().minus(signed);
        assert_eq!(difference.settled::<1>().store(), expected);
        let low = difference.lowered::<1>();
        assert_eq!(low.store(), expected);
        assert!(is_below(low, 5));
        // 2a - 3b - p and 7a, just above -4p and just below 7p.
        let down = x.loose().plus(x.loose()).minus(y.loose()).minus(y.loose()).minus(y.loose());
        let up = (0..6).fold(x.loose(), |sum, _| sum.plus(x.loose()));
        for (value, times) in [(down.lowered::<3>(), 2), (down.lowered::<5>(), 2), (up.lowered::<1>(), 7)] {
            let of_b = if times == 2 { Element::from(3u64) } else { Element::ZERO };
            let sum = both(&a, &b, |a, b| a * Element::from(times) - b * of_b);
            assert_eq!(value.store(), sum);
            assert!(is_below(value, 5));
        }
        let chosen = Loose::select(mask, x.loose(), y.loose()).settled::<0>();
        assert_eq!(chosen.store(), Lanes::select(mask, x, y).store());
    }
}

/// Whether every lane's value is below so many halves of the modulus; values of 2^(64 W) and more look smaller.
#[target_feature(enable = "avx512f,avx512ifma")]
fn is_below<C: MontConfig<W>, const W: usize, const L: usize>(value: Lanes<C, W, L>, halves: u64) -> bool {
    // SAFETY: both are eight words without padding, and any bits are words.
    let words = value.packed().map(|word| unsafe { std::mem::transmute::<__m512i, [u64; LANES]>(word) });
    let limit = product(C::MODULUS.0, halves);
    (0..LANES).all(|lane| product(std::array::from_fn::<_, W, _>(|at| words[at][lane]), 2) < limit)
}

/// The words of a number, the highest first.
fn product<const W: usize>(words: [u64; W], factor: u64) -> Vec<u64> {
    let (mut found, mut carry) = (Vec::new(), 0);
    for word in words {
        let wide = u128::from(word) * u128::from(factor) + carry;
        found.push(wide as u64);
        carry = wide >> 64;
    }
    found.push(carry as u64);
    found.reverse();
    found
}

#[target_feature(enable = "avx512f")]
fn rows_become_columns() {
    type Rows = [[u64; 4]; 8];
    type Columns = [[u64; 8]; 4];
    let rows: Rows = std::array::from_fn(|row| std::array::from_fn(|at| (row * 4 + at) as u64));
    // SAFETY: both are 32 words without padding, and any bits are words.
    let columns = rows::to_columns(unsafe { std::mem::transmute::<Rows, [__m256i; 8]>(rows) });
    // SAFETY: likewise.
    let words = unsafe { std::mem::transmute::<[__m512i; 4], Columns>(columns) };
    for (row, column) in (0..32).map(|at| (at / 4, at % 4)) {
        assert_eq!(words[column][row], rows[row][column]);
    }
    // SAFETY: likewise.
    assert_eq!(unsafe { std::mem::transmute::<[__m256i; 8], Rows>(rows::to_rows(columns)) }, rows);
}

macro_rules! in_every_field {
    ($($name:ident: $function:ident $(, $bounds:expr)?;)*) => {$(
        #[test]
        fn $name() {
            if Ifma::detect().is_some() {
                // SAFETY: the CPU has the features, as `detect` says.
                unsafe {
                    $function::<ark_bn254::FrConfig, 4, 5 $(, { $bounds[0] })?>();
                    $function::<ark_bn254::FqConfig, 4, 5 $(, { $bounds[0] })?>();
                    $function::<ark_bls12_381::FrConfig, 4, 5 $(, { $bounds[1] })?>();
                    $function::<ark_bls12_381::FqConfig, 6, 8 $(, { $bounds[2] })?>();
                }
            }
        }
    )*};
}

/// What `limit` says, less the two that products need: 2^260 / p is 84.7 and 35.3, 2^416 / p is 42,282,111,731.8.
const MOST: [u64; 3] = [82, 33, 42_282_111_729];

in_every_field! {
    eight_lanes_are_eight_elements: agree_at_the_edges;
    a_million_operations_agree: agree_at_random;
    sums_that_wait_for_carries_agree: loose_sums_come_down;
    values_that_nobody_reduced_stay_in_bounds: hold_at_their_bounds, MOST;
}

#[test]
fn rows_turn_into_columns() {
    if Ifma::detect().is_some() {
        // SAFETY: the CPU has the features, as `detect` says.
        unsafe { rows_become_columns() }
    }
}
