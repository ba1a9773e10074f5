//! Coordinates with `mulx`, `adcx` and `adox`, on the CPUs of x86-64 that have them.

use std::marker::PhantomData;

use ark_ff::MontConfig;
use w3bstream_field::{Element, Mulx};

use super::arithmetic::Arithmetic;
use crate::curve::Curve;

/// Arithmetic on `D` parts of `W` words in the field `P`; two parts are a + bi with i² = -1.
pub struct Assembly<P, const W: usize, const D: usize> {
    proof: Mulx,
    field: PhantomData<fn() -> P>,
}

impl<P, const W: usize, const D: usize> From<Mulx> for Assembly<P, W, D> {
    fn from(proof: Mulx) -> Self {
        Self { proof, field: PhantomData }
    }
}

/// The first `N` parts.
#[inline(always)]
fn parts<const W: usize, const N: usize>(words: &[u64]) -> &[[u64; W]; N] {
    words.as_chunks().0.first_chunk().expect("the words of a coordinate")
}

#[inline(always)]
fn parts_mut<const W: usize, const N: usize>(words: &mut [u64]) -> &mut [[u64; W]; N] {
    words.as_chunks_mut().0.first_chunk_mut().expect("the words of a coordinate")
}

impl<G, P, const W: usize, const D: usize> Arithmetic<G> for Assembly<P, W, D>
where
    G: Curve<Prime = Element<P, W>>,
    P: MontConfig<W>,
{
    #[inline]
    fn multiply(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        if D == 2 {
            self.proof.multiply_pairs::<P, W>(parts_mut(out), parts(a), parts(b));
        } else {
            let ([out], [a], [b]) = (parts_mut(out), parts(a), parts(b));
            self.proof.multiply::<P, W>(out, a, b);
        }
    }

    #[inline]
    fn scale(&self, out: &mut [u64], a: &[u64], by: &[u64]) {
        let [by] = parts(by);
        for (out, a) in parts_mut::<W, D>(out).iter_mut().zip(parts::<W, D>(a)) {
            self.proof.multiply::<P, W>(out, a, by);
        }
    }

    #[inline]
    fn square(&self, out: &mut [u64], a: &[u64]) {
        if D == 2 {
            self.proof.square_pair::<P, W>(parts_mut(out), parts(a));
        } else {
            let ([out], [a]) = (parts_mut(out), parts(a));
            self.proof.multiply::<P, W>(out, a, a);
        }
    }

    #[inline]
    fn add(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        let (out, a, b) = (parts_mut::<W, D>(out), parts::<W, D>(a), parts::<W, D>(b));
        for at in 0..D {
            self.proof.add::<P, W>(&mut out[at], &a[at], &b[at]);
        }
    }

    #[inline]
    fn subtract(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        let (out, a, b) = (parts_mut::<W, D>(out), parts::<W, D>(a), parts::<W, D>(b));
        for at in 0..D {
            self.proof.subtract::<P, W>(&mut out[at], &a[at], &b[at]);
        }
    }

    #[inline]
    fn negate_if(&self, out: &mut [u64], a: &[u64], yes: bool) {
        let (out, a) = (parts_mut::<W, D>(out), parts::<W, D>(a));
        for at in 0..D {
            self.proof.negate_if::<P, W>(&mut out[at], &a[at], yes);
        }
    }
}
