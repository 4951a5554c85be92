//! Sixteen lanes of an instruction set, and code that is written once for all sets.
#![allow(unsafe_code)]

use crate::tile::{Isa, LANES};

/// Sixteen lanes of an instruction set.
///
/// # Safety
/// The methods may be called only where the instruction set is enabled: in [`Kernel::run`]. `load`
/// reads and `store` writes 16 floats.
pub(crate) trait Vector: Copy {
    /// Most rows of a register tile that is one, two or three vectors wide; 0 where none is.
    const ROWS: [usize; 3];

    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    /// The first `lanes` ≤ 16 floats, zeros after them.
    ///
    /// # Safety
    /// So many floats can be read.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, lanes: usize) -> Self {
        let mut values = [0.0; LANES];
        // SAFETY: the caller vouches for `lanes` ≤ 16 readable floats, and for the set.
        unsafe {
            std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), lanes);
            Self::load(values.as_ptr())
        }
    }
    /// Writes the first `lanes` ≤ 16 floats.
    ///
    /// # Safety
    /// So many floats can be written.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, lanes: usize) {
        let mut values = [0.0; LANES];
        // SAFETY: the caller vouches for `lanes` ≤ 16 writable floats, and for the set.
        unsafe {
            self.store(values.as_mut_ptr());
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, lanes);
        }
    }
    /// max(self, 0), where NaN stays NaN.
    unsafe fn relu(self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// self + a · b, rounded once where the target has that instruction.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// Asks for the cache line of `address`, which need not be valid, in the second-level cache.
    unsafe fn prefetch(address: *const f32);
    unsafe fn prefetch_near(address: *const f32);
}

/// Reads the first sixteen floats.
///
/// # Safety
/// As [`Vector`]'s methods.
///
/// # Panics
/// If there are fewer.
#[inline(always)]
pub(crate) unsafe fn read<V: Vector>(from: &[f32]) -> V {
    let from = &from[..LANES];
    // SAFETY: the slice has 16 floats; the instruction set is the caller's.
    unsafe { V::load(from.as_ptr()) }
}

/// Writes the first sixteen floats.
///
/// # Safety
/// As [`Vector`]'s methods.
///
/// # Panics
/// If there are fewer.
#[inline(always)]
pub(crate) unsafe fn write<V: Vector>(value: V, to: &mut [f32]) {
    let to = &mut to[..LANES];
    // SAFETY: the slice has 16 floats; the instruction set is the caller's.
    unsafe { value.store(to.as_mut_ptr()) }
}

/// Code that is compiled once for each instruction set.
pub(crate) trait Kernel {
    /// # Safety
    /// The instruction set of `V` must be enabled. Implementations are `#[inline(always)]`, so that
    /// they are compiled with the features of the function that [`dispatch`] chose.
    unsafe fn run<V: Vector>(self);
}

/// Runs a kernel with an instruction set.
///
/// # Panics
/// If the machine lacks the set.
#[inline]
pub(crate) fn dispatch(isa: Isa, kernel: impl Kernel) {
    assert!(isa.is_available(), "{isa:?} is not on this machine");
    // SAFETY: the machine has the set.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512 => x86::avx512(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::avx2(kernel),
            Isa::Portable => kernel.run::<Scalars>(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Scalars([f32; LANES]);

impl Scalars {
    #[inline(always)]
    fn zip(mut self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        self
    }
}

impl Vector for Scalars {
    const ROWS: [usize; 3] = [4, 0, 0];

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for 16 readable floats; an array of floats has their alignment.
        Self(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for 16 writable floats.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn relu(mut self) -> Self {
        self.0.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
        self
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn fma(mut self, a: Self, b: Self) -> Self {
        for ((sum, a), b) in self.0.iter_mut().zip(a.0).zip(b.0) {
            // Without the instruction a fused multiply-add is a slow library call.
            *sum = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a.mul_add(b, *sum)
            } else {
                a * b + *sum
            };
        }
        self
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}

    #[inline(always)]
    unsafe fn prefetch_near(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Vector};

    /// A mask of the first `lanes` ≤ 16 lanes.
    #[inline(always)]
    fn first(lanes: usize) -> __mmask16 {
        ((1u32 << lanes) - 1) as __mmask16
    }

    impl Vector for __m512 {
        const ROWS: [usize; 3] = [14, 14, 8];

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load_first(from: *const f32, lanes: usize) -> Self {
            // SAFETY: the caller's; lanes without a mask bit are not read.
            unsafe { _mm512_maskz_loadu_ps(first(lanes), from) }
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, lanes: usize) {
            // SAFETY: the caller's; lanes without a mask bit are not written.
            unsafe { _mm512_mask_storeu_ps(to, first(lanes), self) }
        }

        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: the caller's. Of a NaN and a number the second argument is taken.
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), self) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_add_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_sub_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_mul_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }

        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn prefetch_near(address: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Pair(__m256, __m256);

    impl Vector for Pair {
        const ROWS: [usize; 3] = [6, 0, 0];

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
        }

        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: the caller's. Of a NaN and a number the second argument is taken.
            unsafe {
                let zero = _mm256_setzero_ps();
                Self(_mm256_max_ps(zero, self.0), _mm256_max_ps(zero, self.1))
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn prefetch_near(address: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }
    }

    /// # Safety
    /// The machine must have AVX-512F.
    #[target_feature(enable = "avx512f,fma")]
    pub(crate) unsafe fn avx512(kernel: impl Kernel) {
        // SAFETY: the set is enabled.
        unsafe { kernel.run::<__m512>() }
    }

    /// # Safety
    /// The machine must have AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) unsafe fn avx2(kernel: impl Kernel) {
        // SAFETY: the set is enabled.
        unsafe { kernel.run::<Pair>() }
    }
}
