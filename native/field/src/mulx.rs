//! One element at a time with `mulx`, `adcx` and `adox`: two chains of carries side by side.
//!
//! Rows of products and reductions in turns (Montgomery, Math. Comp. 44, 1985; the order of Koç, Acar and Kaliski's CIOS,
//! IEEE Micro 16, 1996). Everything goes from memory to memory: a result that the compiler copies with vectors, right
//! after it was written in words, waits for the words to reach the cache, and an addition of points copies a dozen.
//!
//! Operands are below the modulus p or p itself. Results are congruent and below p, where a function says nothing else.

use std::arch::asm;

use ark_ff::MontConfig;

/// Proof that this CPU has BMI2 and ADX: it exists only where `detect` found them.
#[derive(Clone, Copy, Debug)]
pub struct Mulx(());

impl Mulx {
    /// The proof, or nothing on a CPU without.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("adx")).then_some(Self(()))
    }
}

/// The modulus in W words, -1 / modulus modulo 2^64, and W words more: zeros, or another factor.
type Constants = [u64; 13];

const fn constants<C: MontConfig<W>, const W: usize>() -> Constants {
    // Sums of two elements fit, and of two products.
    assert!(
        (W == 4 || W == 6) && C::MODULUS.0[W - 1] >> 62 == 0,
        "words that are written out, and two free bits"
    );
    let (mut words, mut at) = ([0; 13], 0);
    while at < W {
        words[at] = C::MODULUS.0[at];
        at += 1;
    }
    words[W] = C::INV;
    words
}

/// Adds `rdx` times the words at `$from` to a row of one word more, which has room.
macro_rules! add_row {
    ($from:literal; $($low:literal $high:literal $at:literal),*; $top:literal) => {
        concat!(
            "xor {low:e}, {low:e}\n",
            $("mulx {high}, {low}, [", $from, " + ", $at, "]\n",
              "adcx {", $low, "}, {low}\n",
              "adox {", $high, "}, {high}\n",)*
            "adc {", $top, "}, 0\n",
        )
    };
}

/// Adds the multiple of the modulus that makes the row's lowest word 0: that word is the highest of the next row.
macro_rules! reduce {
    ($inverse:literal; $first:literal; $($row:tt)*) => {
        concat!(
            "mov rdx, {", $first, "}\n",
            "imul rdx, [{constants} + ", $inverse, "]\n",
            add_row!("{constants}"; $first $($row)*),
        )
    };
}

/// The row of words at `$a` times the first word at `$b`.
macro_rules! first_row {
    ($a:literal $b:literal; $first:literal $second:literal; $($low:literal $high:literal $at:literal $add:literal),*; $top:literal) => {
        concat!(
            "mov rdx, [", $b, "]\n",
            "mulx {", $second, "}, {", $first, "}, [", $a, "]\n",
            $("mulx {", $high, "}, {low}, [", $a, " + ", $at, "]\n",
              $add, " {", $low, "}, {low}\n",)*
            "adc {", $top, "}, 0\n",
        )
    };
}

macro_rules! first_row_of_four {
    ($from:literal $by:literal; $a:literal $b:literal $c:literal $d:literal $e:literal) => {
        first_row!($from $by; $a $b; $b $c "8" "add", $c $d "16" "adc", $d $e "24" "adc"; $e)
    };
}

macro_rules! row_of_four {
    ($from:literal $by:literal $word:literal; $a:literal $b:literal $c:literal $d:literal $e:literal) => {
        concat!(
            "mov rdx, [", $by, " + ", $word, "]\n",
            add_row!($from; $a $b "0", $b $c "8", $c $d "16", $d $e "24"; $e),
        )
    };
}

macro_rules! reduce_four {
    ($a:literal $b:literal $c:literal $d:literal $e:literal) => {
        reduce!("32"; $a; $b "0", $b $c "8", $c $d "16", $d $e "24"; $e)
    };
}

macro_rules! first_row_of_six {
    ($from:literal $by:literal; $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal) => {
        first_row!($from $by; $a $b;
            $b $c "8" "add", $c $d "16" "adc", $d $e "24" "adc", $e $f "32" "adc", $f $g "40" "adc"; $g)
    };
}

macro_rules! row_of_six {
    ($from:literal $by:literal $word:literal; $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal) => {
        concat!(
            "mov rdx, [", $by, " + ", $word, "]\n",
            add_row!($from; $a $b "0", $b $c "8", $c $d "16", $d $e "24", $e $f "32", $f $g "40"; $g),
        )
    };
}

macro_rules! reduce_six {
    ($a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal) => {
        reduce!("48"; $a; $b "0", $b $c "8", $c $d "16", $d $e "24", $e $f "32", $f $g "40"; $g)
    };
}

/// Writes a row below twice the modulus, less the modulus where it is not below; the second of each pair is free.
macro_rules! write_below {
    ($first:literal $spare:literal, $($row:literal $left:literal $at:literal),*) => {
        concat!(
            "mov ", $spare, ", ", $first, "\n",
            $("mov ", $left, ", ", $row, "\n",)*
            "sub ", $spare, ", [{constants}]\n",
            $("sbb ", $left, ", [{constants} + ", $at, "]\n",)*
            "cmovnc ", $first, ", ", $spare, "\n",
            "mov [{out}], ", $first, "\n",
            $("cmovnc ", $row, ", ", $left, "\n",
              "mov [{out} + ", $at, "], ", $row, "\n",)*
        )
    };
}

macro_rules! write_four {
    ($a:literal $b:literal $c:literal $d:literal) => {
        write_below!($a "{a}", $b "{b}" "8", $c "{low}" "16", $d "{high}" "24")
    };
}

macro_rules! write_six {
    ($a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $spare:literal) => {
        write_below!($a "{a}", $b "{b}" "8", $c "{low}" "16", $d "{high}" "24", $e "rdx" "32", $f $spare "40")
    };
}

/// Writes the product of elements of four words.
///
/// # Safety
///
/// The CPU must have BMI2 and ADX.
#[inline(never)]
unsafe fn product_of_four(out: &mut [u64; 4], a: &[u64; 4], b: &[u64; 4], constants: &Constants) {
    // SAFETY: the caller has the instructions. The four words of `a` and `b` and five of `constants` are read, and the
    // four of `out` written.
    unsafe {
        asm!(
            first_row_of_four!("{a}" "{b}"; "t0" "t1" "t2" "t3" "t4"),
            reduce_four!("t0" "t1" "t2" "t3" "t4"),
            row_of_four!("{a}" "{b}" "8"; "t1" "t2" "t3" "t4" "t0"),
            reduce_four!("t1" "t2" "t3" "t4" "t0"),
            row_of_four!("{a}" "{b}" "16"; "t2" "t3" "t4" "t0" "t1"),
            reduce_four!("t2" "t3" "t4" "t0" "t1"),
            row_of_four!("{a}" "{b}" "24"; "t3" "t4" "t0" "t1" "t2"),
            reduce_four!("t3" "t4" "t0" "t1" "t2"),
            write_four!("{t4}" "{t0}" "{t1}" "{t2}"),
            out = in(reg) out.as_mut_ptr(),
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            constants = in(reg) constants.as_ptr(),
            low = out(reg) _,
            high = out(reg) _,
            t0 = out(reg) _,
            t1 = out(reg) _,
            t2 = out(reg) _,
            t3 = out(reg) _,
            t4 = out(reg) _,
            out("rdx") _,
            options(nostack),
        );
    }
}

/// Writes the product of elements of six words.
///
/// # Safety
///
/// The CPU must have BMI2 and ADX.
#[inline(never)]
unsafe fn product_of_six(out: &mut [u64; 6], a: &[u64; 6], b: &[u64; 6], constants: &Constants) {
    // SAFETY: the caller has the instructions. The six words of `a` and `b` and seven of `constants` are read, and the
    // six of `out` written.
    unsafe {
        asm!(
            first_row_of_six!("{a}" "{b}"; "t0" "t1" "t2" "t3" "t4" "t5" "t6"),
            reduce_six!("t0" "t1" "t2" "t3" "t4" "t5" "t6"),
            row_of_six!("{a}" "{b}" "8"; "t1" "t2" "t3" "t4" "t5" "t6" "t0"),
            reduce_six!("t1" "t2" "t3" "t4" "t5" "t6" "t0"),
            row_of_six!("{a}" "{b}" "16"; "t2" "t3" "t4" "t5" "t6" "t0" "t1"),
            reduce_six!("t2" "t3" "t4" "t5" "t6" "t0" "t1"),
            row_of_six!("{a}" "{b}" "24"; "t3" "t4" "t5" "t6" "t0" "t1" "t2"),
            reduce_six!("t3" "t4" "t5" "t6" "t0" "t1" "t2"),
            row_of_six!("{a}" "{b}" "32"; "t4" "t5" "t6" "t0" "t1" "t2" "t3"),
            reduce_six!("t4" "t5" "t6" "t0" "t1" "t2" "t3"),
            row_of_six!("{a}" "{b}" "40"; "t5" "t6" "t0" "t1" "t2" "t3" "t4"),
            reduce_six!("t5" "t6" "t0" "t1" "t2" "t3" "t4"),
            write_six!("{t6}" "{t0}" "{t1}" "{t2}" "{t3}" "{t4}" "{t5}"),
            out = in(reg) out.as_mut_ptr(),
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            constants = in(reg) constants.as_ptr(),
            low = out(reg) _,
            high = out(reg) _,
            t0 = out(reg) _,
            t1 = out(reg) _,
            t2 = out(reg) _,
            t3 = out(reg) _,
            t4 = out(reg) _,
            t5 = out(reg) _,
            t6 = out(reg) _,
            out("rdx") _,
            options(nostack),
        );
    }
}

// Two products that are reduced once: a row takes both words' products, then one multiple of the modulus. With p below a
// quarter of R = 2^(64 W), rows stay below (2p + p)·2^64 + 2p and results below 2p² / R + p < 3p / 2.
macro_rules! pairs_of_four {
    ($name:ident $first:literal $second:literal) => {
        /// Writes the sum of a[0] and a[1] times elements of four words at `$first` and `$second`.
        ///
        /// # Safety
        ///
        /// The CPU must have BMI2 and ADX.
        #[inline(never)]
        unsafe fn $name(
            out: &mut [u64; 4],
            a: &[[u64; 4]; 2],
            b: &[[u64; 4]; 2],
            constants: &Constants,
        ) {
            // SAFETY: the caller has the instructions. All of `a`, `b` and `constants` may be read, and all of `out`
            // written.
            unsafe {
                asm!(
                    first_row_of_four!("{a}" $first; "t0" "t1" "t2" "t3" "t4"),
                    row_of_four!("{a} + 32" $second "0"; "t0" "t1" "t2" "t3" "t4"),
                    reduce_four!("t0" "t1" "t2" "t3" "t4"),
                    row_of_four!("{a}" $first "8"; "t1" "t2" "t3" "t4" "t0"),
                    row_of_four!("{a} + 32" $second "8"; "t1" "t2" "t3" "t4" "t0"),
                    reduce_four!("t1" "t2" "t3" "t4" "t0"),
                    row_of_four!("{a}" $first "16"; "t2" "t3" "t4" "t0" "t1"),
                    row_of_four!("{a} + 32" $second "16"; "t2" "t3" "t4" "t0" "t1"),
                    reduce_four!("t2" "t3" "t4" "t0" "t1"),
                    row_of_four!("{a}" $first "24"; "t3" "t4" "t0" "t1" "t2"),
                    row_of_four!("{a} + 32" $second "24"; "t3" "t4" "t0" "t1" "t2"),
                    reduce_four!("t3" "t4" "t0" "t1" "t2"),
                    write_four!("{t4}" "{t0}" "{t1}" "{t2}"),
                    out = in(reg) out.as_mut_ptr(),
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    constants = in(reg) constants.as_ptr(),
                    low = out(reg) _,
                    high = out(reg) _,
                    t0 = out(reg) _,
                    t1 = out(reg) _,
                    t2 = out(reg) _,
                    t3 = out(reg) _,
                    t4 = out(reg) _,
                    out("rdx") _,
                    options(nostack),
                );
            }
        }
    };
}

pairs_of_four!(real_of_four "{b}" "{constants} + 40");
pairs_of_four!(imaginary_of_four "{b} + 32" "{b}");

macro_rules! pairs_of_six {
    ($name:ident $first:literal $second:literal) => {
        /// Writes the sum of a[0] and a[1] times elements of six words at `$first` and `$second`.
        ///
        /// # Safety
        ///
        /// The CPU must have BMI2 and ADX.
        #[inline(never)]
        unsafe fn $name(
            out: &mut [u64; 6],
            a: &[[u64; 6]; 2],
            b: &[[u64; 6]; 2],
            constants: &Constants,
        ) {
            // SAFETY: the caller has the instructions. All of `a`, `b` and `constants` may be read, and all of `out`
            // written.
            unsafe {
                asm!(
                    first_row_of_six!("{a}" $first; "t0" "t1" "t2" "t3" "t4" "t5" "t6"),
                    row_of_six!("{a} + 48" $second "0"; "t0" "t1" "t2" "t3" "t4" "t5" "t6"),
                    reduce_six!("t0" "t1" "t2" "t3" "t4" "t5" "t6"),
                    row_of_six!("{a}" $first "8"; "t1" "t2" "t3" "t4" "t5" "t6" "t0"),
                    row_of_six!("{a} + 48" $second "8"; "t1" "t2" "t3" "t4" "t5" "t6" "t0"),
                    reduce_six!("t1" "t2" "t3" "t4" "t5" "t6" "t0"),
                    row_of_six!("{a}" $first "16"; "t2" "t3" "t4" "t5" "t6" "t0" "t1"),
                    row_of_six!("{a} + 48" $second "16"; "t2" "t3" "t4" "t5" "t6" "t0" "t1"),
                    reduce_six!("t2" "t3" "t4" "t5" "t6" "t0" "t1"),
                    row_of_six!("{a}" $first "24"; "t3" "t4" "t5" "t6" "t0" "t1" "t2"),
                    row_of_six!("{a} + 48" $second "24"; "t3" "t4" "t5" "t6" "t0" "t1" "t2"),
                    reduce_six!("t3" "t4" "t5" "t6" "t0" "t1" "t2"),
                    row_of_six!("{a}" $first "32"; "t4" "t5" "t6" "t0" "t1" "t2" "t3"),
                    row_of_six!("{a} + 48" $second "32"; "t4" "t5" "t6" "t0" "t1" "t2" "t3"),
                    reduce_six!("t4" "t5" "t6" "t0" "t1" "t2" "t3"),
                    row_of_six!("{a}" $first "40"; "t5" "t6" "t0" "t1" "t2" "t3" "t4"),
                    row_of_six!("{a} + 48" $second "40"; "t5" "t6" "t0" "t1" "t2" "t3" "t4"),
                    reduce_six!("t5" "t6" "t0" "t1" "t2" "t3" "t4"),
                    write_six!("{t6}" "{t0}" "{t1}" "{t2}" "{t3}" "{t4}" "{t5}"),
                    out = in(reg) out.as_mut_ptr(),
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    constants = in(reg) constants.as_ptr(),
                    low = out(reg) _,
                    high = out(reg) _,
                    t0 = out(reg) _,
                    t1 = out(reg) _,
                    t2 = out(reg) _,
                    t3 = out(reg) _,
                    t4 = out(reg) _,
                    t5 = out(reg) _,
                    t6 = out(reg) _,
                    out("rdx") _,
                    options(nostack),
                );
            }
        }
    };
}

pairs_of_six!(real_of_six "{b}" "{constants} + 56");
pairs_of_six!(imaginary_of_six "{b} + 48" "{b}");

/// The same functions for elements of four words and of six. `$zeros` is where the constants have their last words.
macro_rules! small {
    ($difference:ident $sum:ident $negative:ident, $words:literal, $zeros:literal;
     $($word:ident $at:literal $add:literal $subtract:literal),*) => {
        /// Writes the difference; below the modulus where the first is.
        #[inline(always)]
        fn $difference(out: &mut [u64; $words], a: &[u64; $words], b: &[u64; $words], constants: &Constants) {
            // SAFETY: all of `a`, `b` and `constants` may be read, and all of `out` written.
            unsafe {
                asm!(
                    $(concat!("mov {", stringify!($word), "}, [{a} + ", $at, "]"),)*
                    $(concat!($subtract, " {", stringify!($word), "}, [{b} + ", $at, "]"),)*
                    // The modulus where there is a borrow, else zeros.
                    concat!("lea {b}, [{constants} + ", $zeros, "]"),
                    "cmovc {b}, {constants}",
                    $(concat!($add, " {", stringify!($word), "}, [{b} + ", $at, "]"),)*
                    $(concat!("mov [{out} + ", $at, "], {", stringify!($word), "}"),)*
                    out = in(reg) out.as_mut_ptr(),
                    a = in(reg) a.as_ptr(),
                    b = inout(reg) b.as_ptr() => _,
                    constants = in(reg) constants.as_ptr(),
                    $($word = out(reg) _,)*
                    options(nostack),
                );
            }
        }

        /// Writes the sum; below the modulus where both are.
        #[inline(always)]
        fn $sum(out: &mut [u64; $words], a: &[u64; $words], b: &[u64; $words], constants: &Constants) {
            // SAFETY: all of `a`, `b` and `constants` may be read, and all of `out` written.
            unsafe {
                asm!(
                    $(concat!("mov {", stringify!($word), "}, [{a} + ", $at, "]"),)*
                    $(concat!($add, " {", stringify!($word), "}, [{b} + ", $at, "]"),)*
                    $(concat!($subtract, " {", stringify!($word), "}, [{constants} + ", $at, "]"),)*
                    concat!("lea {b}, [{constants} + ", $zeros, "]"),
                    "cmovc {b}, {constants}",
                    $(concat!($add, " {", stringify!($word), "}, [{b} + ", $at, "]"),)*
                    $(concat!("mov [{out} + ", $at, "], {", stringify!($word), "}"),)*
                    out = in(reg) out.as_mut_ptr(),
                    a = in(reg) a.as_ptr(),
                    b = inout(reg) b.as_ptr() => _,
                    constants = in(reg) constants.as_ptr(),
                    $($word = out(reg) _,)*
                    options(nostack),
                );
            }
        }

        /// Writes the negative if `yes`, which for 0 is the modulus; else the element.
        #[inline(always)]
        fn $negative(out: &mut [u64; $words], a: &[u64; $words], yes: bool, constants: &Constants) {
            // SAFETY: all of `a` and `constants` may be read, and all of `out` written.
            unsafe {
                asm!(
                    $(concat!("mov {", stringify!($word), "}, [{a} + ", $at, "]"),)*
                    $(concat!("xor {", stringify!($word), "}, {ones}"),)*
                    // Not a, 1 and the modulus; or a, 0 and zeros.
                    concat!("lea {a}, [{constants} + ", $zeros, "]"),
                    "add {ones}, {ones}",
                    "cmovc {a}, {constants}",
                    $(concat!("adc {", stringify!($word), "}, [{a} + ", $at, "]"),)*
                    $(concat!("mov [{out} + ", $at, "], {", stringify!($word), "}"),)*
                    out = in(reg) out.as_mut_ptr(),
                    a = inout(reg) a.as_ptr() => _,
                    ones = inout(reg) 0u64.wrapping_sub(u64::from(yes)) => _,
                    constants = in(reg) constants.as_ptr(),
                    $($word = out(reg) _,)*
                    options(nostack),
                );
            }
        }
    };
}

small!(difference_of_four sum_of_four negative_of_four, 4, "40";
    w0 "0" "add" "sub", w1 "8" "adc" "sbb", w2 "16" "adc" "sbb", w3 "24" "adc" "sbb");
small!(difference_of_six sum_of_six negative_of_six, 6, "56";
    w0 "0" "add" "sub", w1 "8" "adc" "sbb", w2 "16" "adc" "sbb", w3 "24" "adc" "sbb", w4 "32" "adc" "sbb",
    w5 "40" "adc" "sbb");

/// The same array, for `W` words of which it is known that they are `N`.
#[inline(always)]
fn fixed<const W: usize, const N: usize>(words: &[u64; W]) -> &[u64; N] {
    words.first_chunk().expect("as many words")
}

#[inline(always)]
fn fixed_mut<const W: usize, const N: usize>(words: &mut [u64; W]) -> &mut [u64; N] {
    words.first_chunk_mut().expect("as many words")
}

#[inline(always)]
fn fixed_pair<const W: usize, const N: usize>(pair: &[[u64; W]; 2]) -> &[[u64; N]; 2] {
    let (pairs, _) = pair.as_flattened().as_chunks::<N>();
    pairs.first_chunk().expect("as many words")
}

impl Mulx {
    /// Writes the product.
    #[inline]
    pub fn multiply<C: MontConfig<W>, const W: usize>(self, out: &mut [u64; W], a: &[u64; W], b: &[u64; W]) {
        let constants = const { &constants::<C, W>() };
        // SAFETY: the CPU has the instructions, as the `Mulx` says.
        unsafe {
            if W == 4 {
                product_of_four(fixed_mut(out), fixed(a), fixed(b), constants);
            } else {
                product_of_six(fixed_mut(out), fixed(a), fixed(b), constants);
            }
        }
    }

    /// Writes the difference; the first is below the modulus.
    #[inline]
    pub fn subtract<C: MontConfig<W>, const W: usize>(self, out: &mut [u64; W], a: &[u64; W], b: &[u64; W]) {
        let constants = const { &constants::<C, W>() };
        if W == 4 {
            difference_of_four(fixed_mut(out), fixed(a), fixed(b), constants);
        } else {
            difference_of_six(fixed_mut(out), fixed(a), fixed(b), constants);
        }
    }

    /// Writes the sum; both are below the modulus.
    #[inline]
    pub fn add<C: MontConfig<W>, const W: usize>(self, out: &mut [u64; W], a: &[u64; W], b: &[u64; W]) {
        let constants = const { &constants::<C, W>() };
        if W == 4 {
            sum_of_four(fixed_mut(out), fixed(a), fixed(b), constants);
        } else {
            sum_of_six(fixed_mut(out), fixed(a), fixed(b), constants);
        }
    }

    /// Writes the negative if `yes`, which for 0 is the modulus itself; else the element.
    #[inline]
    pub fn negate_if<C: MontConfig<W>, const W: usize>(self, out: &mut [u64; W], a: &[u64; W], yes: bool) {
        let constants = const { &constants::<C, W>() };
        if W == 4 {
            negative_of_four(fixed_mut(out), fixed(a), yes, constants);
        } else {
            negative_of_six(fixed_mut(out), fixed(a), yes, constants);
        }
    }

    /// Writes the product of two elements a + bi, i² = -1, of the quadratic extension.
    #[inline]
    pub fn multiply_pairs<C: MontConfig<W>, const W: usize>(
        self,
        out: &mut [[u64; W]; 2],
        a: &[[u64; W]; 2],
        b: &[[u64; W]; 2],
    ) {
        let zeros = const { &constants::<C, W>() };
        // Behind the modulus, where differences have zeros, the factor that makes i² negative.
        let mut constants = *zeros;
        let (negative, _) = constants[W + 1..].split_first_chunk_mut::<W>().expect("room");
        self.negate_if::<C, W>(negative, &b[1], true);
        let [real, imaginary] = out;
        // SAFETY: the CPU has the instructions, as the `Mulx` says.
        unsafe {
            if W == 4 {
                real_of_four(fixed_mut(real), fixed_pair(a), fixed_pair(b), &constants);
                imaginary_of_four(fixed_mut(imaginary), fixed_pair(a), fixed_pair(b), zeros);
            } else {
                real_of_six(fixed_mut(real), fixed_pair(a), fixed_pair(b), &constants);
                imaginary_of_six(fixed_mut(imaginary), fixed_pair(a), fixed_pair(b), zeros);
            }
        }
    }

    /// Writes the square of an element a + bi: (a + b)(a - b) + 2abi. Both are below the modulus.
    #[inline]
    pub fn square_pair<C: MontConfig<W>, const W: usize>(self, out: &mut [[u64; W]; 2], a: &[[u64; W]; 2]) {
        let ([mut sum, mut difference, mut product], [real, imaginary]) = ([[0; W]; 3], out);
        self.add::<C, W>(&mut sum, &a[0], &a[1]);
        self.subtract::<C, W>(&mut difference, &a[0], &a[1]);
        self.multiply::<C, W>(&mut product, &a[0], &a[1]);
        self.multiply::<C, W>(real, &sum, &difference);
        self.add::<C, W>(imaginary, &product, &product);
    }
}
