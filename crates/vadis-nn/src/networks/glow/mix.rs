//! One affine map for each position, y = M·x + c: what ActNorm and the 1×1 convolution are together.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::simd::{LANES, Vectorised, multiply_add, total, vectorised};

/// Positions that are worked on at once: a few channels of them stay in the first-level cache.
const RUN: usize = 4 * LANES;

/// The map, in single precision.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// M by rows.
    matrix: Vec<f32>,
    /// c.
    shift: Vec<f32>,
}

impl Mix {
    pub(super) fn new(matrix: &DMatrix<f64>, shift: &DVector<f64>) -> Self {
        // nalgebra's matrices lie by columns.
        let matrix = matrix.transpose().iter().map(|&v| v as f32).collect();
        Self { matrix, shift: shift.iter().map(|&v| v as f32).collect() }
    }

    /// y of a batch `[batch][channels][positions]`.
    pub(super) fn apply(&self, x: &[f32], positions: usize) -> Vec<f32> {
        let len = self.shift.len() * positions;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_exact_mut(len).zip(x.par_chunks_exact(len)).for_each(|(y, x)| {
            vectorised(Apply { mix: self, positions, x, y });
        });
        y
    }
}

struct Apply<'a> {
    mix: &'a Mix,
    positions: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Vectorised for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (channels, positions) = (self.mix.shift.len(), self.positions);
        for start in (0..positions).step_by(RUN) {
            let len = RUN.min(positions - start);
            for i in 0..channels {
                let mut sums = [self.mix.shift[i]; RUN];
                for j in 0..channels {
                    let factor = self.mix.matrix[i * channels + j];
                    let x = &self.x[j * positions + start..][..len];
                    match x.first_chunk::<RUN>() {
                        Some(x) => add_product::<FMA>(&mut sums, factor, x),
                        None => add_product::<FMA>(&mut sums, factor, x),
                    }
                }
                self.y[i * positions + start..][..len].copy_from_slice(&sums[..len]);
            }
        }
    }
}

#[inline(always)]
fn add_product<const FMA: bool>(sums: &mut [f32; RUN], factor: f32, x: &[f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = multiply_add::<FMA>(factor, x, *sum));
}

/// Σ dy·xᵀ and Σ dy over batch and positions: the gradients of M and c. The order of the sums does not depend
/// on the number of threads.
pub(super) fn gradients(
    dy: &[f32],
    x: &[f32],
    channels: usize,
    positions: usize,
) -> (DMatrix<f64>, DVector<f64>) {
    let len = channels * positions;
    let parts: Vec<(Vec<f64>, Vec<f64>)> = dy
        .par_chunks_exact(len)
        .zip(x.par_chunks_exact(len))
        .map(|(dy, x)| vectorised(Products { channels, positions, dy, x }))
        .collect();
    let mut matrix = DMatrix::zeros(channels, channels);
    let mut shift = DVector::zeros(channels);
    for (products, sums) in parts {
        matrix += DMatrix::from_row_slice(channels, channels, &products);
        shift += DVector::from_vec(sums);
    }
    (matrix, shift)
}

/// The same of one sample.
struct Products<'a> {
    channels: usize,
    positions: usize,
    dy: &'a [f32],
    x: &'a [f32],
}

impl Vectorised for Products<'_> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Self::Output {
        let (channels, positions) = (self.channels, self.positions);
        let mut products = vec![[0.0; LANES]; channels * channels];
        let mut sums = vec![[0.0; LANES]; channels];
        for start in (0..positions).step_by(RUN) {
            let len = RUN.min(positions - start);
            for i in 0..channels {
                let dy = &self.dy[i * positions + start..][..len];
                add_dot::<FMA>(&mut sums[i], dy, &[1.0; RUN][..len]);
                for j in 0..channels {
                    let x = &self.x[j * positions + start..][..len];
                    add_dot::<FMA>(&mut products[i * channels + j], dy, x);
                }
            }
        }
        (products.iter().map(total).collect(), sums.iter().map(total).collect())
    }
}

#[inline(always)]
fn add_dot<const FMA: bool>(sums: &mut [f32; LANES], a: &[f32], b: &[f32]) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum = multiply_add::<FMA>(a, b, *sum);
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum = multiply_add::<FMA>(a, b, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
        (0..len as u32).map(|i| (mix(i + seed) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn the_map_and_its_gradients_are_the_plain_sums() {
        let (batch, channels, positions) = (2, 6, 83);
        let [x, dy] = [1, 2].map(|seed| noise(batch * channels * positions, seed));
        let matrix = DMatrix::from_fn(channels, channels, |i, j| (i as f64 - j as f64) / 7.0 + 0.1);
        let shift = DVector::from_fn(channels, |i, _| i as f64);
        let y = Mix::new(&matrix, &shift).apply(&x, positions);
        let (dm, dc) = gradients(&dy, &x, channels, positions);
        let at = |values: &[f32], n: usize, c: usize, p: usize| {
            f64::from(values[(n * channels + c) * positions + p])
        };
        for i in 0..channels {
            for (n, p) in (0..batch).flat_map(|n| (0..positions).map(move |p| (n, p))) {
                let expected =
                    shift[i] + (0..channels).map(|j| matrix[(i, j)] * at(&x, n, j, p)).sum::<f64>();
                assert!((at(&y, n, i, p) - expected).abs() < 1e-5);
            }
            let places = || (0..batch).flat_map(|n| (0..positions).map(move |p| (n, p)));
            let expected: f64 = places().map(|(n, p)| at(&dy, n, i, p)).sum();
            assert!((dc[i] - expected).abs() < 1e-4);
            for j in 0..channels {
                let expected: f64 = places().map(|(n, p)| at(&dy, n, i, p) * at(&x, n, j, p)).sum();
                assert!((dm[(i, j)] - expected).abs() < 1e-4);
            }
        }
    }
}
