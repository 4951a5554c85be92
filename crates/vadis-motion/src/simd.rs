//! Loops compiled for each instruction set, the best of the machine's chosen at run time.
#![allow(unsafe_code, reason = "only to enter a function built for a set that the machine has")]

#[cfg(target_arch = "x86_64")]
use vadis_kernels::Isa;

/// Floats that are worked on at once: one 512-bit vector.
pub(crate) const LANES: usize = 16;

/// Work whose loops the compiler turns into vector instructions.
///
/// `run` and what it calls in its loops must be `#[inline(always)]`, or they are compiled for the least machine
/// of the target.
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

/// The lesser of two finite numbers, in one instruction: `f32::min` would also look for NaN.
#[inline(always)]
pub(crate) fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The greater of two finite numbers, in one instruction.
#[inline(always)]
pub(crate) fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A vector whose lane `l` is `value(l)`; unlike `std::array::from_fn`, which is not always inlined, it compiles for
/// the caller's instruction set.
#[inline(always)]
pub(crate) fn lanes<const N: usize>(value: impl Fn(usize) -> f32) -> [f32; N] {
    let mut lanes = [0.0; N];
    for (l, lane) in lanes.iter_mut().enumerate() {
        *lane = value(l);
    }
    lanes
}
