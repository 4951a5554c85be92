//! Clipping of gradients by their common norm (Pascanu, Mikolov & Bengio, 2013).

use rayon::prelude::*;

use crate::simd::{CHUNK, Vectorised, lane_sum, vectorised};

/// Elements squared before they are summed in lanes.
const RUN: usize = 1024;

/// The Euclidean norm of all gradients taken as one vector. It does not depend on the number of threads.
pub fn global_norm(gradients: &[&[f32]]) -> f64 {
    let chunk_sums = |gradient: &&[f32]| -> Vec<f64> {
        gradient.par_chunks(CHUNK).map(|chunk| vectorised(SquareSum(chunk))).collect()
    };
    gradients.iter().flat_map(chunk_sums).sum::<f64>().sqrt()
}

/// The factor that takes the gradients' common norm down to `max_norm`, as PyTorch's `clip_grad_norm_` has
/// it: at most 1, and max_norm / (norm + 1e-6). To be given to [`super::Step`]; NaN where a gradient is.
pub fn clip_factor(gradients: &[&[f32]], max_norm: f64) -> f32 {
    let factor = max_norm / (global_norm(gradients) + 1e-6);
    // A comparison that NaN fails: a diverged gradient must show.
    if factor > 1.0 { 1.0 } else { factor as f32 }
}

struct SquareSum<'a>(&'a [f32]);

impl Vectorised for SquareSum<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let mut sum = 0.0;
        for run in self.0.chunks(RUN) {
            let mut squares = [0.0; RUN];
            squares.iter_mut().zip(run).for_each(|(square, g)| *square = g * g);
            sum += lane_sum(&squares);
        }
        sum
    }
}
