//! Adam (Kingma & Ba, 2015) and AdamW (Loshchilov & Hutter, 2019).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{OptimiserState, Step};
use crate::simd::{CHUNK, Vectorised, multiply_add, vectorised};

/// Adam as PyTorch computes it: ε is added to the bias-corrected root.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// How weights are pulled to 0.
    pub weight_decay: WeightDecay,
}

/// How weights are pulled to 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDecay {
    /// So much of the weights is added to the gradient: PyTorch's `Adam`.
    Coupled(f32),
    /// The weights shrink by so much times the learning rate at each update: PyTorch's `AdamW`.
    Decoupled(f32),
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: WeightDecay::Coupled(0.0) }
    }
}

impl Adam {
    /// AdamW with that weight decay.
    pub fn decoupled(weight_decay: f32) -> Self {
        Self { weight_decay: WeightDecay::Decoupled(weight_decay), ..Self::default() }
    }

    /// Zero moments for `len` parameters.
    pub fn state(len: usize) -> OptimiserState {
        OptimiserState { steps: 0, first: vec![0.0; len], second: vec![0.0; len] }
    }

    /// One update of `parameters` in place. The result does not depend on the number of threads.
    ///
    /// # Panics
    /// If the lengths of parameters, gradient and state differ: a bug in the caller.
    pub fn update(&self, state: &mut OptimiserState, parameters: &mut [f32], gradient: &[f32], step: Step) {
        let len = parameters.len();
        assert_eq!([gradient.len(), state.first.len(), state.second.len()], [len; 3], "lengths");
        state.steps += 1;
        let rule = self.rule(state.steps, step);
        parameters
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(state.first.par_chunks_mut(CHUNK).zip(state.second.par_chunks_mut(CHUNK)))
            .for_each(|((parameters, gradient), (first, second))| {
                vectorised(Chunk { rule, parameters, gradient, first, second });
            });
    }

    fn rule(&self, steps: u64, step: Step) -> Rule {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
        let (coupled, kept) = match self.weight_decay {
            WeightDecay::Coupled(decay) => (decay, 1.0),
            WeightDecay::Decoupled(decay) => (0.0, (1.0 - step.rate * f64::from(decay)) as f32),
        };
        Rule {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            rate: (step.rate / correction(self.beta1)) as f32,
            root: (1.0 / correction(self.beta2).sqrt()) as f32,
            gradient_scale: step.gradient_scale,
            coupled,
            kept,
        }
    }
}

/// The constants of one update.
#[derive(Debug, Clone, Copy)]
struct Rule {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// Bias-corrected learning rate.
    rate: f32,
    /// 1 / √(bias correction of the second moment).
    root: f32,
    gradient_scale: f32,
    /// Share of the weights added to the gradient.
    coupled: f32,
    /// Share of the weights that is kept.
    kept: f32,
}

struct Chunk<'a> {
    rule: Rule,
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Vectorised for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Rule { beta1, beta2, epsilon, rate, root, gradient_scale, coupled, kept } = self.rule;
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, g), (m, v)) in self.parameters.iter_mut().zip(self.gradient).zip(moments) {
            let g = multiply_add::<FMA>(coupled, *p, gradient_scale * g);
            *m = multiply_add::<FMA>(beta1, *m, (1.0 - beta1) * g);
            *v = multiply_add::<FMA>(beta2, *v, (1.0 - beta2) * g * g);
            let denominator = multiply_add::<FMA>(v.sqrt(), root, epsilon);
            *p = multiply_add::<FMA>(kept, *p, -(rate * *m / denominator));
        }
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
        let mut state = Adam::state(2);
        let mut p = vec![1.0, -2.0];
        adam.update(&mut state, &mut p, &[3.0, -0.5], Step::of(0.1));
        assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 1.9).abs() < 1e-6);
        // Second, by the formula in f64.
        let (m, v) = (0.9 * 0.3 + 0.1 * 2.0, 0.999 * 0.009 + 0.001 * 4.0);
        let expected = 0.9 - 0.1 * (m / (1.0 - 0.81)) / ((v / (1.0 - 0.998_001f64)).sqrt() + 1e-8);
        adam.update(&mut state, &mut p, &[2.0, 0.0], Step::of(0.1));
        assert!((f64::from(p[0]) - expected).abs() < 1e-6);
    }
}
