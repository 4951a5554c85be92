//! Loops compiled for each instruction set, the best of the machine's chosen at run time.
#![allow(unsafe_code)]

use vadis_kernels::Isa;

/// Floats that are worked on at once: one 512-bit vector.
pub(crate) const LANES: usize = 16;

/// Elements that one parallel task takes. Fixed, so that sums do not depend on the number of threads.
pub(crate) const CHUNK: usize = 1 << 15;

/// Work whose loops the compiler turns into vector instructions.
///
/// `run` and what it calls in its loops must be `#[inline(always)]`, or they are compiled for the
/// least machine of the target.
pub(crate) trait Vectorised {
    /// What it gives.
    type Output;

    /// The work; `FMA` where a multiply-add is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `work` with the best instruction set of this machine.
pub(crate) fn vectorised<W: Vectorised>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    match Isa::detect() {
        // SAFETY: the machine has AVX-512F and FMA.
        Isa::Avx512 => return unsafe { avx512(work) },
        // SAFETY: the machine has AVX2 and FMA.
        Isa::Avx2 => return unsafe { avx2(work) },
        Isa::Portable => {}
    }
    work.run::<{ cfg!(any(target_arch = "aarch64", target_feature = "fma")) }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512<W: Vectorised>(work: W) -> W::Output {
    work.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: Vectorised>(work: W) -> W::Output {
    work.run::<true>()
}

/// a · b + c.
#[inline(always)]
pub(crate) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The lanes' sum.
#[inline(always)]
pub(crate) fn total(lanes: &[f32; LANES]) -> f64 {
    lanes.iter().map(|&v| f64::from(v)).sum()
}

/// Σ of a few thousand values at most: each lane sums in 32 bits.
#[inline(always)]
pub(crate) fn lane_sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    for chunk in values.chunks(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += v);
    }
    total(&lanes)
}
