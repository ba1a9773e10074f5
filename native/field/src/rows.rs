//! Eight rows of four words, as they lie in memory, and four vectors with one word of each row.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;

/// Word j of row i goes to lane i of vector j.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn to_columns(rows: [__m256i; 8]) -> [__m512i; 4] {
    let [a, b, c, d, e, f, g, h] = rows;
    let (ac, bd, eg, fh) = (joined(a, c), joined(b, d), joined(e, g), joined(f, h));
    let (low, low_next) = (_mm512_unpacklo_epi64(ac, bd), _mm512_unpacklo_epi64(eg, fh));
    let (high, high_next) = (_mm512_unpackhi_epi64(ac, bd), _mm512_unpackhi_epi64(eg, fh));
    [
        _mm512_shuffle_i64x2::<0x88>(low, low_next),
        _mm512_shuffle_i64x2::<0x88>(high, high_next),
        _mm512_shuffle_i64x2::<0xDD>(low, low_next),
        _mm512_shuffle_i64x2::<0xDD>(high, high_next),
    ]
}

/// Lane i of vector j goes to word j of row i.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn to_rows(columns: [__m512i; 4]) -> [__m256i; 8] {
    let [a, b, c, d] = columns;
    // Words 0 and 1 of every second row, and words 2 and 3.
    let (even, even_next) = (_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d));
    let (odd, odd_next) = (_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d));
    let first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    let second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    let (r0, r2) = halves(_mm512_permutex2var_epi64(even, first, even_next));
    let (r1, r3) = halves(_mm512_permutex2var_epi64(odd, first, odd_next));
    let (r4, r6) = halves(_mm512_permutex2var_epi64(even, second, even_next));
    let (r5, r7) = halves(_mm512_permutex2var_epi64(odd, second, odd_next));
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn joined(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(both: __m512i) -> (__m256i, __m256i) {
    (_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both))
}
