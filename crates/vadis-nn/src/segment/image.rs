//! Chains of 2-D convolutions and linear layers.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rand::Rng;
use vadis_kernels::{Frozen, Network, Plan, SizeError, Workspace};

use super::fast::{self, Engine, Kernels, Trained};
use super::named::{LoadError, NamedTensor, flat_parameter, flat_values, flatten, named, with_values};
use super::reference;

/// A plan and its network.
#[derive(Debug)]
struct Images {
    plan: Plan,
    network: Network,
}

impl Kernels<4> for Images {
    type Workspace = Workspace;

    const NEEDS_OUTPUT: bool = true;

    fn output_shape(&self, batch: usize) -> [usize; 4] {
        let [c, h, w] = self.plan.output();
        [batch, c, h, w]
    }

    fn train(&self, parameter: &[f32], x: &[f32], batch: usize, w: &mut Workspace) -> Option<Trained> {
        let output = self.network.forward(parameter, x, batch, w).ok()?;
        Some(Trained { output, statistics: Vec::new() })
    }

    fn backward(
        &self,
        parameter: &[f32],
        workspace: &mut Workspace,
        output: &[f32],
        dy: &[f32],
        want_input: bool,
    ) -> Option<(Option<Vec<f32>>, Vec<f32>)> {
        let gradients = self.network.backward(parameter, workspace, output, dy, want_input).ok()?;
        Some((gradients.input, gradients.parameter))
    }

    fn evaluate(&self, parameter: &[f32], _: &[f32], x: &[f32], batch: usize) -> Option<Vec<f32>> {
        self.network.freeze(parameter).ok()?.run(x, batch).ok()
    }
}

/// A chain of 2-D convolutions and linear layers as a burn module.
#[derive(Module, Debug)]
pub struct Segment {
    /// All parameters, one after another as [`Plan::views`] says.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    engine: Arc<Engine<Images, Workspace>>,
}

impl Segment {
    /// A segment with PyTorch's default initialisation: weights and biases uniform in
    /// ±1/√(fan in), which is Kaiming's uniform rule with a = √5 (He et al. 2015, Eq. 10).
    pub fn new(plan: &Plan, device: &Device, rng: &mut impl Rng) -> Self {
        let kernels = Images { plan: plan.clone(), network: Network::new(plan) };
        let weight = flat_parameter(initial_values(plan, rng), device);
        Self { weight, engine: Arc::new(Engine::new(kernels)) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.engine.kernels.plan
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
        let weight = self.weight.val();
        let y = match weight.is_autodiff() || x.is_autodiff() {
            true => fast::train(&self.engine, weight, x.clone()).map(|(y, _)| y),
            false => fast::evaluate(&self.engine, weight, &[], x.clone()),
        };
        y.unwrap_or_else(|| self.forward_reference(x))
    }

    /// The segment with its weights packed, for inference on the CPU without burn: an image's result
    /// has the same bits whatever the batch and the number of threads.
    ///
    /// # Errors
    /// Only if the parameter's length is not the plan's, which takes a foreign value put into `weight`.
    pub fn freeze(&self) -> Result<Frozen, SizeError> {
        self.engine.kernels.network.freeze(&flat_values(self.weight.val()))
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
        named(self.plan().views(), &flat_values(self.weight.val()))
    }

    /// The segment with the given values. The parameter keeps its identity, so that an optimiser's
    /// state still belongs to it.
    ///
    /// # Errors
    /// Unless exactly the plan's parameters are given, with their shapes.
    pub fn load_named(self, parameters: impl IntoIterator<Item = NamedTensor>) -> Result<Self, LoadError> {
        let flat = flatten(&self.plan().views(), parameters)?;
        Ok(Self { weight: with_values(self.weight, flat), engine: self.engine })
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
