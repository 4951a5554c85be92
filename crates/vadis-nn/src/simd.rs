//! Sums in lanes, beside the loops of [`vadis_kernels::simd`].

pub(crate) use vadis_kernels::simd::{LANES, Vectorised, multiply_add, vectorised};

/// Elements that one parallel task takes. Fixed, so that sums do not depend on the number of threads.
pub(crate) const CHUNK: usize = 1 << 15;

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
