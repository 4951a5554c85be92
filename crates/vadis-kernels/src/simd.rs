//! Loops compiled for each instruction set, the best of the machine's chosen at run time: for work that needs no kernel
//! of its own.
#![allow(unsafe_code, reason = "only to enter a function built for a set that the machine has")]

#[cfg(target_arch = "x86_64")]
use crate::Isa;

/// Floats that are worked on at once: one 512-bit vector.
pub const LANES: usize = 16;

/// Work whose loops the compiler turns into vector instructions.
///
/// `run` and what it calls in its loops must be `#[inline(always)]`, or they are compiled for the
/// least machine of the target.
pub trait Vectorised {
    /// What it gives.
    type Output;

    /// The work; `FMA` where a multiply-add is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `work` with the best instruction set of this machine.
pub fn vectorised<W: Vectorised>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    match Isa::detect() {
        // SAFETY: the machine has AVX-512F and FMA.
        Isa::Amx | Isa::Avx512 => return unsafe { avx512(work) },
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
pub fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
