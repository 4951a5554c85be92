//! Likelihoods by the change of variables (paper 003, Eqs. 5 to 7): log p(x) = log N(z; 0, 1) + log |det ∂z/∂x|,
//! in nats per dimension.

use burn::tensor::Tensor;

use super::levels::{LevelOutput, Sample, total};

/// ½ ln 2π.
const HALF_LN_2_PI: f64 = 0.918_938_533_204_672_7;

/// Negative log-likelihoods `[batch]` from rows of latents and the log-determinant, `[batch, dimensions + 1]`.
pub(super) fn negative(rows: &Tensor<2>) -> Tensor<1> {
    let [batch, row] = rows.dims();
    let dimensions = row - 1;
    let z = rows.clone().slice([0..batch, 0..dimensions]);
    let log_det = rows.clone().slice([0..batch, dimensions..row]);
    let prior = z.square().sum_dim(1).mul_scalar(0.5);
    let nats = (prior - log_det).div_scalar(dimensions as f64).add_scalar(HALF_LN_2_PI);
    nats.reshape([batch])
}

/// Each position's part of a level in log p(x): the prior of its latents, and its log-determinants.
fn positions(level: &LevelOutput) -> Vec<f64> {
    let count = level.density.len();
    let channels = level.latent.len() / count;
    let constant = level.constant - HALF_LN_2_PI * channels as f64;
    let mut values: Vec<f64> = level.density.iter().map(|&v| f64::from(v) + constant).collect();
    for plane in level.latent.chunks_exact(count) {
        values.iter_mut().zip(plane).for_each(|(value, &z)| *value -= 0.5 * f64::from(z) * f64::from(z));
    }
    values
}

/// A sample's negative log-likelihood, of so many dimensions.
pub(super) fn of_sample(sample: &Sample, dimensions: usize) -> f32 {
    let squares =
        |level: &LevelOutput| level.latent.iter().map(|&z| f64::from(z) * f64::from(z)).sum::<f64>();
    let level = |level: &LevelOutput| total(&level.density, level.constant) - 0.5 * squares(level);
    let nats: f64 = sample.levels.iter().map(level).sum();
    (HALF_LN_2_PI - nats / dimensions as f64) as f32
}

/// The same spread over the map's `[height, width]`: a position of a level is shared evenly by the square it
/// was squeezed from, so that the mean over the map is the sample's likelihood.
pub(super) fn map_of(sample: &Sample, channels: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let mut map = vec![0.0; height * width];
    for level in &sample.levels {
        let values = positions(level);
        let [h, w] = level.size;
        let (rows, columns) = (height / h, width / w);
        let share = (channels * rows * columns) as f64;
        for (y, row) in map.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value -= values[y / rows * w + x / columns] / share;
            }
        }
    }
    map.iter().map(|&v| v as f32).collect()
}
