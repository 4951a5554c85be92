//! Lanes of pixels, beside the loops of [`vadis_kernels::simd`].

pub(crate) use vadis_kernels::simd::{LANES, Vectorised, multiply_add, vectorised};

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
