//! Adam over flat parameter vectors, with a state that can be stored and taken up again.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Elements a parallel task updates.
const CHUNK: usize = 1 << 15;

/// Adam (Kingma & Ba, 2015) as PyTorch computes it: ε is added to the bias-corrected root.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// The moments of one flat parameter vector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdamState {
    /// Updates done.
    pub steps: u64,
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

impl AdamState {
    /// Zero moments for `len` parameters.
    pub fn new(len: usize) -> Self {
        Self { steps: 0, first: vec![0.0; len], second: vec![0.0; len] }
    }
}

impl Adam {
    /// One update of `parameters` in place; all slices have one length. The result does not depend on the
    /// number of threads.
    ///
    /// # Panics
    /// If the lengths differ: a bug in the caller.
    pub fn update(&self, state: &mut AdamState, parameters: &mut [f32], gradient: &[f32], rate: f32) {
        assert!(parameters.len() == gradient.len() && parameters.len() == state.first.len());
        state.steps += 1;
        let correction1 = 1.0 - f64::from(self.beta1).powf(state.steps as f64);
        let correction2 = 1.0 - f64::from(self.beta2).powf(state.steps as f64);
        let step = (f64::from(rate) / correction1) as f32;
        let root = (1.0 / correction2.sqrt()) as f32;
        let Self { beta1, beta2, epsilon } = *self;
        parameters
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(state.first.par_chunks_mut(CHUNK))
            .zip(state.second.par_chunks_mut(CHUNK))
            .for_each(|(((p, g), m), v)| {
                for i in 0..p.len() {
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                    p[i] -= step * m[i] / (v[i].sqrt() * root + epsilon);
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kingma & Ba, algorithm 1, worked out by hand for two steps.
    #[test]
    fn follows_the_published_update() {
        // By hand: the first update of Adam is lr·sign(g) but for ε.
        let adam = Adam::default();
        let mut state = AdamState::new(2);
        let mut p = vec![1.0, -2.0];
        adam.update(&mut state, &mut p, &[3.0, -0.5], 0.1);
        assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 1.9).abs() < 1e-6);
        // Second, by the formula in f64.
        let (m, v) = (0.9 * 0.3 + 0.1 * 2.0, 0.999 * 0.009 + 0.001 * 4.0);
        let expected = 0.9 - 0.1 * (m / (1.0 - 0.81)) / ((v / (1.0 - 0.998_001f64)).sqrt() + 1e-8);
        adam.update(&mut state, &mut p, &[2.0, 0.0], 0.1);
        assert!((f64::from(p[0]) - expected).abs() < 1e-6);
    }
}
