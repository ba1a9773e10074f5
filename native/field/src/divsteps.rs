//! The inverse by division steps, 62 of them at a time on the lowest words alone.
//!
//! Source: Bernstein and Yang, "Fast constant-time gcd computation and modular inversion" (TCHES 2019/3), in the form
//! for numbers in words by Wuille, "The safegcd implementation in libsecp256k1 explained" (2021), sections 1 to 7. Runs
//! of zero bits are stepped over at once, so the time depends on the number: for proving, never for signing.
//!
//! It takes a quarter (254 bits) to a fifth (381) of the time of ark-ff's binary extended gcd, whose every step waits for
//! a branch that nobody can guess. A batch of additions waits for one inversion.

use std::marker::PhantomData;

use ark_ff::{BigInt, Fp, MontConfig, Zero};

use crate::Element;

/// Steps at a time, and bits of a limb.
const STEPS: u32 = 62;
const LIMB_MASK: u64 = u64::MAX >> (64 - STEPS);
/// Limbs of the largest modulus, 384 bits, and a sign.
const MOST: usize = 7;

/// A signed number: limbs of 62 bits, of which the highest used one has the sign.
type Signed = [i64; MOST];

/// Limbs of numbers of `words` words and a sign.
const fn limbs(words: usize) -> usize {
    (64 * words + 2).div_ceil(STEPS as usize)
}

const fn split<const W: usize>(words: [u64; W]) -> Signed {
    assert!(limbs(W) <= MOST);
    let (mut number, mut at) = ([0; MOST], 0);
    while at < limbs(W) {
        let (word, shift) = (at * 62 / 64, at * 62 % 64);
        let low = if word < W { words[word] >> shift } else { 0 };
        let high = if shift > 2 && word + 1 < W { words[word + 1] << (64 - shift) } else { 0 };
        number[at] = ((low | high) & LIMB_MASK) as i64;
        at += 1;
    }
    number
}

fn joined<const W: usize>(number: &Signed) -> [u64; W] {
    let mut words = [0; W];
    for (at, word) in words.iter_mut().enumerate() {
        let (limb, shift) = (64 * at / 62, 64 * at % 62);
        *word = number[limb] as u64 >> shift | (number[limb + 1] as u64) << (62 - shift);
        if shift > 60 && limb + 2 < MOST {
            *word |= (number[limb + 2] as u64) << (124 - shift);
        }
    }
    words
}

/// 2^62 times what the steps do to f and g: f' = u·f + v·g, g' = q·f + r·g.
#[derive(Clone, Copy)]
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// 62 division steps on the lowest words of f, which is odd, and g; `eta` is minus their δ.
#[inline]
fn steps(mut eta: i64, f: u64, g: u64) -> (i64, Matrix) {
    let (mut f, mut g) = (f, g);
    let (mut u, mut v, mut q, mut r) = (1u64, 0u64, 0u64, 1u64);
    let mut left = STEPS;
    loop {
        // Even g: halve it, up to the steps that are left.
        let zeros = (g | u64::MAX << left).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            break;
        }
        // Both are odd. With `times` · f added, so many of the lowest bits of g become 0 as neither eta nor the number
        // of steps ends before.
        let times;
        if eta < 0 {
            eta = -eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
            let inverse = f.wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)); // -1 / f modulo 2^6
            times = inverse.wrapping_mul(g) & lowest(eta, left, 6);
        } else {
            let inverse = f.wrapping_add((f.wrapping_add(1) & 4) << 1); // 1 / f modulo 2^4
            times = inverse.wrapping_neg().wrapping_mul(g) & lowest(eta, left, 4);
        }
        g = g.wrapping_add(f.wrapping_mul(times));
        q = q.wrapping_add(u.wrapping_mul(times));
        r = r.wrapping_add(v.wrapping_mul(times));
    }
    (eta, Matrix { u: u as i64, v: v as i64, q: q as i64, r: r as i64 })
}

/// A mask of eta + 1 bits, but no more than `left` or `most`.
#[inline]
fn lowest(eta: i64, left: u32, most: u32) -> u64 {
    let bits = (eta + 1).min(i64::from(left)).min(i64::from(most));
    (1 << bits) - 1
}

/// (u·d + v·e) / 2^62 and (q·d + r·e) / 2^62 modulo the modulus; all stay above -2 times the modulus and below it.
#[inline]
fn apply_modulo<C: MontConfig<W>, const W: usize>(matrix: Matrix, d: &mut Signed, e: &mut Signed) {
    let modulus = const { split::<W>(C::MODULUS.0) };
    let inverse = const { C::INV.wrapping_neg() & LIMB_MASK };
    let top = const { limbs(W) - 1 };
    let Matrix { u, v, q, r } = matrix;
    // What is negative gets the modulus once; then a multiple of it that makes the lowest 62 bits 0.
    let (d_sign, e_sign) = (d[top] >> 63, e[top] >> 63);
    let mut first = wide(u, d[0]) + wide(v, e[0]);
    let mut second = wide(q, d[0]) + wide(r, e[0]);
    let cleared = |base: i64, sum: i128| {
        base - (inverse.wrapping_mul(sum as u64).wrapping_add(base as u64) & LIMB_MASK) as i64
    };
    let d_times = cleared((u & d_sign) + (v & e_sign), first);
    let e_times = cleared((q & d_sign) + (r & e_sign), second);
    first = (first + wide(modulus[0], d_times)) >> STEPS;
    second = (second + wide(modulus[0], e_times)) >> STEPS;
    for at in 1..=top {
        first += wide(u, d[at]) + wide(v, e[at]) + wide(modulus[at], d_times);
        second += wide(q, d[at]) + wide(r, e[at]) + wide(modulus[at], e_times);
        (d[at - 1], e[at - 1]) = ((first as u64 & LIMB_MASK) as i64, (second as u64 & LIMB_MASK) as i64);
        first >>= STEPS;
        second >>= STEPS;
    }
    (d[top], e[top]) = (first as i64, second as i64);
}

/// (u·f + v·g) / 2^62 and (q·f + r·g) / 2^62, which are whole, of `used` limbs.
#[inline]
fn apply(matrix: Matrix, f: &mut Signed, g: &mut Signed, used: usize) {
    let Matrix { u, v, q, r } = matrix;
    let mut first = (wide(u, f[0]) + wide(v, g[0])) >> STEPS;
    let mut second = (wide(q, f[0]) + wide(r, g[0])) >> STEPS;
    for at in 1..used {
        first += wide(u, f[at]) + wide(v, g[at]);
        second += wide(q, f[at]) + wide(r, g[at]);
        (f[at - 1], g[at - 1]) = ((first as u64 & LIMB_MASK) as i64, (second as u64 & LIMB_MASK) as i64);
        first >>= STEPS;
        second >>= STEPS;
    }
    (f[used - 1], g[used - 1]) = (first as i64, second as i64);
}

#[inline]
fn wide(a: i64, b: i64) -> i128 {
    i128::from(a) * i128::from(b)
}

/// The number plus the modulus where `sign` is -1, with carries moved up.
fn plus_modulus<C: MontConfig<W>, const W: usize>(number: &mut Signed, sign: i64) {
    let modulus = const { split::<W>(C::MODULUS.0) };
    let (top, mut carry) = (const { limbs(W) - 1 }, 0);
    for at in 0..=top {
        carry += number[at] + (modulus[at] & sign);
        if at < top {
            number[at] = carry & LIMB_MASK as i64;
            carry >>= STEPS;
        }
    }
    number[top] = carry;
}

/// The inverse, or nothing for 0.
pub fn inverse<C: MontConfig<W>, const W: usize>(element: &Element<C, W>) -> Option<Element<C, W>> {
    if element.is_zero() {
        return None;
    }
    // d·a = f·R² and e·a = g·R² modulo the modulus, for the element's Montgomery form a: at the end, with f = ±1 and
    // g = 0, ±d = R² / a is the form of the inverse.
    let (mut f, mut g) = (const { split::<W>(C::MODULUS.0) }, split::<W>(element.0.0));
    let (mut d, mut e) = ([0; MOST], const { split::<W>(C::R2.0) });
    let (mut eta, mut used) = (-1, const { limbs(W) });
    loop {
        let word = |number: &Signed| number[0] as u64 | (number[1] as u64) << STEPS;
        let (next, matrix) = steps(eta, word(&f), word(&g));
        eta = next;
        apply_modulo::<C, W>(matrix, &mut d, &mut e);
        apply(matrix, &mut f, &mut g, used);
        if g[..used].iter().all(|limb| *limb == 0) {
            break;
        }
        let (last_f, last_g) = (f[used - 1], g[used - 1]);
        if used > 2 && last_f == last_f >> 63 && last_g == last_g >> 63 {
            // Nothing but signs: the limb below takes them.
            f[used - 2] |= last_f << STEPS;
            g[used - 2] |= last_g << STEPS;
            used -= 1;
        }
    }
    let top = const { limbs(W) - 1 };
    let below_zero = d[top] >> 63;
    plus_modulus::<C, W>(&mut d, below_zero);
    if f[used - 1] < 0 {
        for limb in &mut d {
            *limb = -*limb;
        }
        plus_modulus::<C, W>(&mut d, 0);
    }
    let below_zero = d[top] >> 63;
    plus_modulus::<C, W>(&mut d, below_zero);
    Some(Fp(BigInt(joined(&d)), PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{Field, PrimeField, UniformRand};

    fn inverts<C: MontConfig<W>, const W: usize>() {
        assert_eq!(inverse(&Element::<C, W>::zero()), None);
        let (mut rng, one) = (ark_std::test_rng(), Element::<C, W>::ONE);
        let forms = [[0u64; W], [u64::MAX; W], C::R.0, C::R2.0].map(BigInt::<W>);
        let forms = forms.into_iter().filter(|form| *form < C::MODULUS).map(|form| Fp(form, PhantomData));
        let mut elements: Vec<Element<C, W>> = forms.collect();
        for power in 0..Element::<C, W>::MODULUS_BIT_SIZE {
            let two = Element::<C, W>::from(2u8).pow([u64::from(power)]);
            let mut form = [0; W];
            form[(power / 64) as usize] = 1 << (power % 64);
            elements.extend([two, -two, two - one, two + one, -two - one]);
            elements.push(Fp(BigInt(form), PhantomData));
        }
        elements.extend((0..20_000).map(|_| Element::<C, W>::rand(&mut rng)));
        for element in elements {
            assert_eq!(inverse(&element), element.inverse(), "{element}");
        }
    }

    #[test]
    fn inverses_are_those_of_arkworks() {
        inverts::<ark_bn254::FqConfig, 4>();
        inverts::<ark_bn254::FrConfig, 4>();
        inverts::<ark_bls12_381::FqConfig, 6>();
        inverts::<ark_bls12_381::FrConfig, 4>();
    }
}
