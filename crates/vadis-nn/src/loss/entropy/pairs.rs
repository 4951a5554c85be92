//! The entropy of a batch of latents on plain slices: all pairs by one matrix product, the gradient by
//! another.

use rayon::prelude::*;
use vadis_kernels::{exp, multiply, multiply_transposed};

use crate::simd::{LANES, Vectorised, lane_sum, total, vectorised};

/// Rows of the matrix of pairs that one task takes.
const ROWS: usize = 16;

/// The squared distances of all pairs of a batch.
pub(super) struct Pairs {
    n: usize,
    /// The latents without their mean, `[N, d]`: distances of latents far from the origin would else be
    /// small differences of large numbers.
    centred: Vec<f32>,
    /// `[N, N]`, exactly 0 on the diagonal, nowhere negative.
    distance2: Vec<f32>,
    /// Over all N².
    sum: f64,
}

/// exp(−d²/4σ²) of all pairs.
pub(super) struct Potential {
    sigma2: f32,
    n: usize,
    /// `[N, N]`.
    kernel: Vec<f32>,
    /// Σ over all pairs.
    sum: f64,
    /// Σ of the kernel times the squared distance.
    moment: f64,
}

impl Pairs {
    /// Of `n` latents, at least two; `None` if a distance is not finite.
    pub(super) fn new(latents: &[f32], n: usize) -> Option<Self> {
        let centred = centred(latents, n);
        let mut distance2 = vec![0.0; n * n];
        multiply_transposed(&centred, &centred, latents.len() / n, &mut distance2);
        let norms: Vec<f32> = distance2.iter().step_by(n + 1).copied().collect();
        let sums: Vec<f64> = distance2
            .par_chunks_mut(ROWS * n)
            .enumerate()
            .map(|(task, rows)| vectorised(Distances { rows, norms: &norms, first: task * ROWS }))
            .collect();
        let sum: f64 = sums.iter().sum();
        sum.is_finite().then_some(Self { n, centred, distance2, sum })
    }

    /// The mean squared distance of two different latents.
    pub(super) fn mean(&self) -> f64 {
        self.sum / (self.n * (self.n - 1)) as f64
    }

    /// Their median squared distance, the upper of the middle two.
    pub(super) fn median(&self) -> f32 {
        let n = self.n;
        median((0..n).flat_map(|i| self.distance2[i * n + i + 1..(i + 1) * n].iter().copied()).collect())
    }

    pub(super) fn potential(&self, sigma2: f32) -> Potential {
        let n = self.n;
        let mut kernel = vec![0.0; n * n];
        let sums: Vec<[f64; 2]> = kernel
            .par_chunks_mut(ROWS * n)
            .zip(self.distance2.par_chunks(ROWS * n))
            .map(|(kernel, distance2)| vectorised(Kernel { kernel, distance2, scale: -0.25 / sigma2 }))
            .collect();
        let [sum, moment] = sums.iter().fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        Potential { sigma2, n, kernel, sum, moment }
    }

    /// ∂L/∂z into `gradient`, `[N, d]`. With q_ij = ∂L/∂‖z_i − z_j‖² it is 4 Σ_j q_ij (z_i − z_j), and
    ///
    /// ```text
    /// q_ij = W_ij / 4σ²  −  [σ² follows the mean]  Σ W d² / (4σ⁴ · 2N(N−1))
    /// ```
    pub(super) fn gradient(&self, potential: Potential, follows: bool, gradient: &mut [f32]) {
        let Potential { sigma2, n, mut kernel, sum, moment } = potential;
        let d = gradient.len() / n;
        let sigma2 = f64::from(sigma2);
        let scale = (1.0 / (4.0 * sigma2 * sum)) as f32;
        let pairs = 2.0 * (n * (n - 1)) as f64;
        let shift = if follows { (moment / sum / (4.0 * sigma2 * sigma2 * pairs)) as f32 } else { 0.0 };
        let sums: Vec<f32> = kernel
            .par_chunks_mut(n)
            .with_min_len(ROWS)
            .enumerate()
            .map(|(i, row)| {
                row.iter_mut().for_each(|v| *v = *v * scale - shift);
                row[i] = 0.0;
                row.iter().map(|&v| f64::from(v)).sum::<f64>() as f32
            })
            .collect();
        multiply(&kernel, &self.centred, n, gradient);
        let rows = gradient.par_chunks_mut(d).zip(self.centred.par_chunks(d)).zip(&sums);
        rows.with_min_len(ROWS).for_each(|((row, latent), sum)| {
            row.iter_mut().zip(latent).for_each(|(g, z)| *g = 4.0 * (sum * z - *g));
        });
    }
}

impl Potential {
    /// L_MLE. The diagonal is exactly 1 and nothing is above it, so the logsumexp needs no shift.
    pub(super) fn loss(&self) -> f64 {
        2.0 * (self.n as f64).ln() - self.sum.ln()
    }
}

/// The upper of the middle two.
pub(super) fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

fn centred(latents: &[f32], n: usize) -> Vec<f32> {
    let d = latents.len() / n;
    let mut mean = vec![0.0f64; d];
    for latent in latents.chunks_exact(d) {
        mean.iter_mut().zip(latent).for_each(|(m, &z)| *m += f64::from(z));
    }
    let mean: Vec<f32> = mean.iter().map(|m| (m / n as f64) as f32).collect();
    latents.chunks_exact(d).flat_map(|latent| latent.iter().zip(&mean).map(|(z, m)| z - m)).collect()
}

/// Turns rows of products into squared distances; their sum.
struct Distances<'a> {
    rows: &'a mut [f32],
    norms: &'a [f32],
    first: usize,
}

impl Vectorised for Distances<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let mut sum = 0.0;
        for (index, row) in self.rows.chunks_exact_mut(self.norms.len()).enumerate() {
            let own = self.norms[self.first + index];
            for (value, norm) in row.iter_mut().zip(self.norms) {
                let distance2 = own + norm - 2.0 * *value;
                // A comparison that NaN fails: it must stay NaN.
                *value = if distance2 < 0.0 { 0.0 } else { distance2 };
            }
            sum += lane_sum(row);
        }
        sum
    }
}

/// exp(scale · d²) of a few rows; Σ of it, and of it times d².
struct Kernel<'a> {
    kernel: &'a mut [f32],
    distance2: &'a [f32],
    scale: f32,
}

impl Vectorised for Kernel<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> [f64; 2] {
        let Self { kernel, distance2, scale } = self;
        kernel.iter_mut().zip(distance2).for_each(|(k, d)| *k = exp(scale * d));
        let mut lanes = [0.0; LANES];
        for (k, d) in kernel.chunks(LANES).zip(distance2.chunks(LANES)) {
            lanes.iter_mut().zip(k).zip(d).for_each(|((sum, k), d)| *sum += k * d);
        }
        [lane_sum(kernel), total(&lanes)]
    }
}
