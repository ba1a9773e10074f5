//! How fast this CPU issues `vpmadd52`, the instruction that every IFMA product is made of.
//!
//! A product of two elements of L limbs of 52 bits takes L·(4L + 1) of them for eight lanes (schoolbook product, low and
//! high halves, and Montgomery's reduction with one more for each round's factor): 105 for BN254's five limbs, 264 for
//! BLS12-381's eight. At full throughput that is the floor of a kernel that does nothing else.

/// Nanoseconds of CPU time for one `vpmadd52` of eight lanes, the best of several rounds; nothing without IFMA.
#[cfg(target_arch = "x86_64")]
pub fn product_ns() -> Option<f64> {
    w3bstream_field::Ifma::detect()?;
    const ROUNDS: u32 = 200_000;
    (0..9)
        .map(|_| {
            // SAFETY: the CPU has AVX-512 IFMA, asked above.
            let (cost, ()) = crate::clock::measured(false, || unsafe { chains(ROUNDS) });
            cost.cpu_ms * 1e6 / f64::from(ROUNDS * CHAINS)
        })
        .min_by(f64::total_cmp)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn product_ns() -> Option<f64> {
    None
}

/// More independent sums than latency (4 cycles) times issue width (2) asks for.
#[cfg(target_arch = "x86_64")]
const CHAINS: u32 = 16;

/// Sixteen independent sums of products, `rounds` times over.
///
/// # Safety
/// The CPU must have AVX-512F and IFMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn chains(rounds: u32) {
    // SAFETY: registers only, all of them declared; the counter ends the loop.
    unsafe {
        std::arch::asm!(
            "2:",
            "vpmadd52luq zmm0, zmm16, zmm17", "vpmadd52huq zmm1, zmm16, zmm17",
            "vpmadd52luq zmm2, zmm16, zmm17", "vpmadd52huq zmm3, zmm16, zmm17",
            "vpmadd52luq zmm4, zmm16, zmm17", "vpmadd52huq zmm5, zmm16, zmm17",
            "vpmadd52luq zmm6, zmm16, zmm17", "vpmadd52huq zmm7, zmm16, zmm17",
            "vpmadd52luq zmm8, zmm16, zmm17", "vpmadd52huq zmm9, zmm16, zmm17",
            "vpmadd52luq zmm10, zmm16, zmm17", "vpmadd52huq zmm11, zmm16, zmm17",
            "vpmadd52luq zmm12, zmm16, zmm17", "vpmadd52huq zmm13, zmm16, zmm17",
            "vpmadd52luq zmm14, zmm16, zmm17", "vpmadd52huq zmm15, zmm16, zmm17",
            "sub {rounds:e}, 1",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            out("zmm16") _, out("zmm17") _,
            options(nomem, nostack),
        );
    }
}
