//! Segments: chains of convolutions and linear layers as one burn module with one flat parameter.
//!
//! One flat parameter keeps the number of parents of a segment's backward pass constant and makes
//! the optimiser one fused loop. Saved files have named views of it in PyTorch's layouts.

mod fast;
mod reference;

use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use thiserror::Error;

use fast::Engine;

pub use vadis_kernels::{
    Activation, Frozen as FrozenSegment, Layer, Plan, PlanError, Reason, SizeError, Step,
};

/// A named parameter in PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Layer and kind, such as `conv1.weight`.
    pub name: String,
    /// Shape; convolution `[out, in, kh, kw]`, transposed `[in, out, kh, kw]`, linear `[out, in]`.
    pub shape: Vec<usize>,
    /// Values, the last axis running fastest.
    pub values: Vec<f32>,
}

/// Parameters that do not belong to the plan they are loaded into.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LoadError {
    /// A parameter of the plan is not among those given.
    #[error("parameter `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A parameter is given that the plan does not have.
    #[error("parameter `{name}` is unknown")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A parameter is given twice.
    #[error("parameter `{name}` is given twice")]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// A parameter has another shape than the plan's, or not as many values as its shape says.
    #[error("parameter `{name}`: expected {expected:?}, got {got:?} with {values} values")]
    Shape {
        /// Its name.
        name: String,
        /// The plan's shape.
        expected: Vec<usize>,
        /// The shape given.
        got: Vec<usize>,
        /// The number of values given.
        values: usize,
    },
}

/// A chain of layers as a burn module.
#[derive(Module, Debug)]
pub struct Segment {
    /// All parameters, one after another as [`Plan::views`] says.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    engine: Arc<Engine>,
}

impl Segment {
    /// A segment with PyTorch's default initialisation: weights and biases uniform in
    /// ±1/√(fan in), which is Kaiming's uniform rule with a = √5 (He et al. 2015, Eq. 10).
    pub fn new(plan: &Plan, device: &Device, rng: &mut impl Rng) -> Self {
        Self::from_flat(plan, initial_values(plan, rng), device)
    }

    fn from_flat(plan: &Plan, values: Vec<f32>, device: &Device) -> Self {
        let data = TensorData::new(values, [plan.parameter_count()]);
        let value = Tensor::<1>::from_data(data, device);
        let value = if device.is_autodiff() { value.require_grad() } else { value };
        Self { weight: Param::initialized(ParamId::new(), value), engine: Arc::new(Engine::new(plan)) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.engine.plan
    }

    /// Runs the layers: by the kernels of `vadis-kernels` on `flex` devices, by burn's own operations
    /// on any other.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`, the plan's input
    /// - output: `[batch, channels, height, width]`; a linear layer's is `[batch, features, 1, 1]`
    ///
    /// # Panics
    /// If `x` does not have the plan's input shape, as burn's own modules do.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, c, h, w] = x.dims();
        assert_eq!([c, h, w], self.plan().input(), "[channels, height, width] of the plan's input");
        fast::forward(&self.engine, self.weight.val(), x.clone()).unwrap_or_else(|| self.forward_reference(x))
    }

    /// The segment with its weights packed, for inference on the CPU without burn: an image's result
    /// has the same bits whatever the batch and the number of threads.
    ///
    /// # Errors
    /// Only if the parameter's length is not the plan's, which takes a foreign value put into `weight`.
    pub fn freeze(&self) -> Result<FrozenSegment, SizeError> {
        self.engine.network.freeze(&self.flat_parameter())
    }

    /// The same function by burn's own operations on any device.
    ///
    /// # Panics
    /// As [`Segment::forward`].
    pub fn forward_reference(&self, x: Tensor<4>) -> Tensor<4> {
        reference::forward(self.plan(), self.weight.val(), x)
    }

    /// Every parameter under its name, in PyTorch's layout.
    pub fn named_parameters(&self) -> Vec<NamedTensor> {
        let flat = self.flat_parameter();
        let views = self.plan().views().into_iter();
        views.map(|(name, shape, place)| NamedTensor { name, shape, values: flat[place].to_vec() }).collect()
    }

    /// The segment with the given values. The parameter keeps its identity, so that an optimiser's
    /// state still belongs to it.
    ///
    /// # Errors
    /// Unless exactly the plan's parameters are given, with their shapes.
    pub fn load_named(self, parameters: impl IntoIterator<Item = NamedTensor>) -> Result<Self, LoadError> {
        let flat = flatten(self.plan(), parameters)?;
        let weight = self.weight.map(|old| {
            let data = TensorData::new(flat, [old.dims()[0]]);
            let new = Tensor::from_data(data, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        });
        Ok(Self { weight, engine: self.engine })
    }

    fn flat_parameter(&self) -> Vec<f32> {
        let data = self.weight.val().into_data();
        data.iter::<f32>().collect()
    }
}

fn initial_values(plan: &Plan, rng: &mut impl Rng) -> Vec<f32> {
    let mut values = Vec::with_capacity(plan.parameter_count());
    for step in plan.steps().iter().filter(|step| !step.weight.is_empty()) {
        let bound = 1.0 / (step.layer.fan_in() as f32).sqrt();
        let count = step.weight.len() + step.bias.len();
        values.extend((0..count).map(|_| rng.random_range(-bound..=bound)));
    }
    values
}

fn flatten(plan: &Plan, parameters: impl IntoIterator<Item = NamedTensor>) -> Result<Vec<f32>, LoadError> {
    let views = plan.views();
    let mut seen = vec![false; views.len()];
    let mut flat = vec![0.0; plan.parameter_count()];
    for NamedTensor { name, shape, values } in parameters {
        let Some(index) = views.iter().position(|view| view.0 == name) else {
            return Err(LoadError::Unknown { name });
        };
        let (_, expected, place) = &views[index];
        if std::mem::replace(&mut seen[index], true) {
            return Err(LoadError::Duplicate { name });
        }
        if *expected != shape || place.len() != values.len() {
            let (expected, values) = (expected.clone(), values.len());
            return Err(LoadError::Shape { name, expected, got: shape, values });
        }
        flat[place.clone()].copy_from_slice(&values);
    }
    match seen.iter().position(|&seen| !seen) {
        Some(missing) => Err(LoadError::Missing { name: views[missing].0.clone() }),
        None => Ok(flat),
    }
}
