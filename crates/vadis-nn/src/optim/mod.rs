//! Optimisers over flat parameter vectors: one fused loop each, updating in place, with a state that can be
//! stored and taken up again; clipping of gradients and averaging of weights.
//!
//! ```text
//! let gradients = loss.backward();
//! let gradient = optim::gradient_of(&segment.weight, &gradients)?;
//! let clip = optim::clip_factor(&[gradient.as_slice()], 1.0);
//! optimiser.step(&mut state, &mut segment.weight, &gradient, Step { rate, gradient_scale: clip })?;
//! ```

mod adam;
mod average;
mod clip;
mod parameter;
mod sgd;

use serde::{Deserialize, Serialize};

pub use adam::{Adam, WeightDecay};
pub use average::AveragedWeights;
pub use clip::{clip_factor, global_norm};
pub use parameter::gradient_of;
pub use sgd::Sgd;

/// An optimiser and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Adam, and AdamW.
    Adam(Adam),
    /// Gradient descent with momentum.
    Sgd(Sgd),
}

impl Default for Optimiser {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

/// What an optimiser remembers of one flat parameter vector. To store it, store its fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimiserState {
    /// Updates done.
    pub steps: u64,
    /// Adam's running mean of the gradient; SGD's velocity, empty without momentum.
    pub first: Vec<f32>,
    /// Adam's running mean of the gradient's square; empty for SGD.
    pub second: Vec<f32>,
}

/// What changes from one update to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The learning rate.
    pub rate: f64,
    /// Factor on the gradient: 1, or what [`clip_factor`] gives.
    pub gradient_scale: f32,
}

impl Step {
    /// A step with that learning rate and the gradient as it is.
    pub fn of(rate: f64) -> Self {
        Self { rate, gradient_scale: 1.0 }
    }
}

impl Optimiser {
    /// The state before the first update of `len` parameters.
    pub fn state(&self, len: usize) -> OptimiserState {
        match self {
            Self::Adam(_) => Adam::state(len),
            Self::Sgd(sgd) => sgd.state(len),
        }
    }

    /// One update of `parameters` in place. The result does not depend on the number of threads.
    ///
    /// # Panics
    /// If the lengths of parameters, gradient and state differ: a bug in the caller.
    pub fn update(&self, state: &mut OptimiserState, parameters: &mut [f32], gradient: &[f32], step: Step) {
        match self {
            Self::Adam(adam) => adam.update(state, parameters, gradient, step),
            Self::Sgd(sgd) => sgd.update(state, parameters, gradient, step),
        }
    }
}
