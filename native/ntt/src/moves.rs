//! Elements into vectors and out of them, and blocks of 8 x 8 words transposed.

use std::arch::x86_64::*;

use ark_ff::MontConfig;
use w3bstream_field::{Element, LANES};

/// Where element i of eight consecutive ones lies in a vector, and which element lies in lane i: the order that takes
/// two shuffles for each vector.
pub(crate) const ORDER: [usize; LANES] = [0, 2, 1, 3, 4, 6, 5, 7];

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: `words` are the 64 bytes that are read; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn store(words: &mut [u64; LANES], vector: __m512i) {
    // SAFETY: `words` has room for the 64 bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
}

/// Word j of the eight elements in vector j, in the lanes' order.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn load_eight<C: MontConfig<4>>(elements: &[Element<C>; LANES]) -> [__m512i; 4] {
    const { assert!(size_of::<Element<C>>() == 32, "four words and nothing else") };
    let from = elements.as_ptr().cast::<__m512i>();
    // SAFETY: the elements are 256 bytes, an element is its four words, and the loads ask for no alignment.
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| unsafe { _mm512_loadu_si512(from.add(at)) });
    let (low, low_next) = (_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d));
    let (high, high_next) = (_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d));
    [
        _mm512_shuffle_i64x2::<0x88>(low, low_next),
        _mm512_shuffle_i64x2::<0x88>(high, high_next),
        _mm512_shuffle_i64x2::<0xDD>(low, low_next),
        _mm512_shuffle_i64x2::<0xDD>(high, high_next),
    ]
}

/// The opposite of [`load_eight`].
///
/// # Safety
///
/// `to` points to eight elements that nobody else uses, and every lane of `words` is a number below the modulus.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) unsafe fn store_eight<C: MontConfig<4>>(to: *mut Element<C>, words: [__m512i; 4]) {
    let [a, b, c, d] = words;
    let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    let (low, low_next) = (_mm512_permutex2var_epi64(a, first, c), _mm512_permutex2var_epi64(a, second, c));
    let (high, high_next) = (_mm512_permutex2var_epi64(b, first, d), _mm512_permutex2var_epi64(b, second, d));
    let rows = [
        _mm512_unpacklo_epi64(low, high),
        _mm512_unpackhi_epi64(low, high),
        _mm512_unpacklo_epi64(low_next, high_next),
        _mm512_unpackhi_epi64(low_next, high_next),
    ];
    for (at, row) in rows.into_iter().enumerate() {
        // SAFETY: the caller's eight elements are 256 bytes; the store asks for no alignment.
        unsafe { _mm512_storeu_si512(to.cast::<__m512i>().add(at), row) };
    }
}

/// Word j of vector i goes to word i of vector j.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn transposed(vectors: [__m512i; LANES]) -> [__m512i; LANES] {
    let [a, b, c, d, e, f, g, h] = vectors;
    let even = quarters(
        _mm512_unpacklo_epi64(a, b),
        _mm512_unpacklo_epi64(c, d),
        _mm512_unpacklo_epi64(e, f),
        _mm512_unpacklo_epi64(g, h),
    );
    let odd = quarters(
        _mm512_unpackhi_epi64(a, b),
        _mm512_unpackhi_epi64(c, d),
        _mm512_unpackhi_epi64(e, f),
        _mm512_unpackhi_epi64(g, h),
    );
    [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
}

/// Quarter j of vector i goes to quarter i of vector j.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn quarters(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
    let (low_ab, high_ab) = (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xEE>(a, b));
    let (low_cd, high_cd) = (_mm512_shuffle_i64x2::<0x44>(c, d), _mm512_shuffle_i64x2::<0xEE>(c, d));
    [
        _mm512_shuffle_i64x2::<0x88>(low_ab, low_cd),
        _mm512_shuffle_i64x2::<0xDD>(low_ab, low_cd),
        _mm512_shuffle_i64x2::<0x88>(high_ab, high_cd),
        _mm512_shuffle_i64x2::<0xDD>(high_ab, high_cd),
    ]
}
