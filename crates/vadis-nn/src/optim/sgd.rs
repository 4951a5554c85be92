//! Stochastic gradient descent with momentum (Polyak's, as PyTorch computes it).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{OptimiserState, Step};
use crate::simd::{CHUNK, Vectorised, multiply_add, vectorised};

/// v ← momentum · v + g + weight decay · p, then p ← p − rate · v.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Share of the velocity kept at each update; 0 for none.
    pub momentum: f32,
    /// Share of the weights added to the gradient.
    pub weight_decay: f32,
}

impl Sgd {
    /// No velocity yet, for `len` parameters.
    pub fn state(&self, len: usize) -> OptimiserState {
        let velocity = if self.momentum == 0.0 { Vec::new() } else { vec![0.0; len] };
        OptimiserState { steps: 0, first: velocity, second: Vec::new() }
    }

    /// One update of `parameters` in place. The result does not depend on the number of threads.
    ///
    /// # Panics
    /// If the lengths of parameters, gradient and state differ: a bug in the caller.
    pub fn update(&self, state: &mut OptimiserState, parameters: &mut [f32], gradient: &[f32], step: Step) {
        let velocity = if self.momentum == 0.0 { 0 } else { parameters.len() };
        assert_eq!([gradient.len(), state.first.len()], [parameters.len(), velocity], "lengths");
        state.steps += 1;
        let rate = step.rate as f32;
        let rule = Rule { sgd: *self, gradient_scale: step.gradient_scale, rate };
        let chunks = parameters.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        if velocity == 0 {
            chunks.for_each(|(parameters, gradient)| {
                let velocity = &mut [];
                vectorised(Chunk { rule, parameters, gradient, velocity });
            });
        } else {
            chunks.zip(state.first.par_chunks_mut(CHUNK)).for_each(|((parameters, gradient), velocity)| {
                vectorised(Chunk { rule, parameters, gradient, velocity });
            });
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    sgd: Sgd,
    gradient_scale: f32,
    rate: f32,
}

struct Chunk<'a> {
    rule: Rule,
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    /// Empty without momentum.
    velocity: &'a mut [f32],
}

impl Vectorised for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Rule { sgd: Sgd { momentum, weight_decay }, gradient_scale, rate } = self.rule;
        let pairs = self.parameters.iter_mut().zip(self.gradient);
        if self.velocity.is_empty() {
            for (p, g) in pairs {
                let g = multiply_add::<FMA>(weight_decay, *p, gradient_scale * g);
                *p = multiply_add::<FMA>(-rate, g, *p);
            }
            return;
        }
        for ((p, g), v) in pairs.zip(self.velocity) {
            let g = multiply_add::<FMA>(weight_decay, *p, gradient_scale * g);
            *v = multiply_add::<FMA>(momentum, *v, g);
            *p = multiply_add::<FMA>(-rate, *v, *p);
        }
    }
}
