//! ActNorm (Glow, Section 3.1): y = exp(log_scale) ⊙ (x + bias), a value of each for a channel.
//! Its log-determinant is Σ log_scale at each position.

use crate::NnError;

/// Added to a channel's standard deviation, as the published code does.
const TINY: f64 = 1e-6;

/// Bias and logarithm of the scale with which the channels of `x` = `[batch][channels][positions]` have mean
/// 0 and variance 1 over batch and positions.
///
/// # Errors
/// [`NnError::NotFinite`] where `x` is not.
pub(super) fn initial(x: &[f32], channels: usize, positions: usize) -> Result<[Vec<f32>; 2], NnError> {
    let count = (x.len() / channels) as f64;
    let planes = |c: usize| x.chunks_exact(positions).skip(c).step_by(channels);
    let sum =
        |c: usize, f: &dyn Fn(f64) -> f64| planes(c).flatten().map(|&v| f(f64::from(v))).sum::<f64>() / count;
    let means: Vec<f64> = (0..channels).map(|c| sum(c, &|v| v)).collect();
    let variances = means.iter().enumerate().map(|(c, mean)| sum(c, &|v| (v - mean) * (v - mean)));
    let log_scale: Vec<f32> = variances.map(|variance| -(variance.sqrt() + TINY).ln() as f32).collect();
    match log_scale.iter().all(|v| v.is_finite()) {
        true => Ok([means.iter().map(|mean| -mean as f32).collect(), log_scale]),
        false => Err(NnError::NotFinite { what: "the values that ActNorm is initialised with" }),
    }
}
