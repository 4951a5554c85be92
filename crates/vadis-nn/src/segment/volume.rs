//! Graphs of 3-D convolutions, batch norms, pooling, upsampling and joins over clips.

use std::sync::Arc;

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use vadis_kernels::volume::{
    Frozen, FrozenInt8, Network, Node, Operation, Options, Plan, RunError, Scales, Scratch, View, Workspace,
};

use super::fast::{self, Engine, Kernels, Trained};
use super::grad_cam::Tapped;
use super::named::{self, LoadError, NamedTensor, flat_parameter, flat_values, flatten, named, with_values};
use super::volume_reference;

impl Kernels<5> for Network {
    type Workspace = Workspace;

    const NEEDS_OUTPUT: bool = false;

    fn output_shape(&self, batch: usize) -> [usize; 5] {
        let [c, t, h, w] = self.plan().output();
        [batch, c, t, h, w]
    }

    fn train(&self, parameter: &[f32], x: &[f32], batch: usize, w: &mut Workspace) -> Option<Trained> {
        let forward = self.forward_train(parameter, x, batch, w).ok()?;
        Some(Trained { output: forward.output, statistics: forward.statistics })
    }

    fn backward(
        &self,
        parameter: &[f32],
        workspace: &mut Workspace,
        _: &[f32],
        dy: &[f32],
        want_input: bool,
    ) -> Option<(Option<Vec<f32>>, Vec<f32>)> {
        let gradients = self.backward(parameter, workspace, dy, want_input).ok()?;
        Some((gradients.input, gradients.parameter))
    }

    fn evaluate(&self, parameter: &[f32], buffers: &[f32], x: &[f32], batch: usize) -> Option<Vec<f32>> {
        let frozen = self.freeze(parameter, buffers, &[self.plan().output_name()]).ok()?;
        frozen.run(x, batch, &mut Scratch::default()).ok()?.pop()
    }
}

/// A graph of layers over clips `[channels, time, height, width]` as a burn module.
///
/// On a device with autodiff, batch norm uses the statistics of the batch and moves the running ones
/// towards them; on one without (after [`Module::valid`]) it uses the running ones, as burn's own does.
#[derive(Module, Debug)]
pub struct VolumeSegment {
    /// All parameters, one after another as [`Plan::parameters`] says.
    pub weight: Param<Tensor<1>>,
    /// The running statistics as [`Plan::buffers`] says, then for each norm the number of batches seen.
    pub running: RunningState<Tensor<1>>,
    #[module(skip)]
    engine: Arc<Engine<Network, Workspace>>,
}

impl VolumeSegment {
    /// A segment with PyTorch's default initialisation: convolutions uniform in ±1/√(fan in), norms the
    /// identity, running means 0 and variances 1.
    pub fn new(plan: &Plan, options: Options, device: &Device, rng: &mut impl Rng) -> Self {
        let mut running = plan.initial_buffers();
        running.resize(plan.buffer_count() + plan.buffers().len() / 2, 0.0);
        let shape = [running.len()];
        Self {
            weight: flat_parameter(initial_values(plan, rng), device),
            running: RunningState::new(Tensor::from_data(TensorData::new(running, shape), device)),
            engine: Arc::new(Engine::new(Network::new(plan, options))),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.engine.kernels.plan()
    }

    /// Runs the plan: by the kernels of `vadis-kernels` on `flex` devices, by burn's own operations on
    /// any other.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, time, height, width]`, the plan's input
    /// - output: `[batch, channels, time, height, width]`, the plan's output
    ///
    /// # Panics
    /// If `x` does not have the plan's input shape, as burn's own modules do.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.check(&x);
        let weight = self.weight.val();
        if !weight.is_autodiff() && !x.is_autodiff() {
            let running = flat_values(self.running.value_sync());
            let buffers = &running[..self.plan().buffer_count()];
            let y = fast::evaluate(&self.engine, weight, buffers, x.clone());
            return y.unwrap_or_else(|| self.forward_reference(x));
        }
        let Some((y, statistics)) = fast::train(&self.engine, weight, x.clone()) else {
            return self.forward_reference(x);
        };
        self.follow(&statistics);
        y
    }

    fn check(&self, x: &Tensor<5>) {
        let [_, c, t, h, w] = x.dims();
        assert_eq!([c, t, h, w], self.plan().input(), "[channels, time, height, width] of the plan's input");
    }

    /// Moves the running statistics towards a batch's.
    fn follow(&self, statistics: &[f32]) {
        let old = self.running.value_sync();
        let mut values = flat_values(old.clone());
        let (buffers, counts) = values.split_at_mut(self.plan().buffer_count());
        Plan::update_buffers(buffers, statistics);
        counts.iter_mut().for_each(|count| *count += 1.0);
        self.running.update(Tensor::from_data(TensorData::new(values, old.dims()), &old.device()));
    }

    /// The same function by burn's own operations on any device.
    ///
    /// # Panics
    /// As [`VolumeSegment::forward`].
    pub fn forward_reference(&self, x: Tensor<5>) -> Tensor<5> {
        self.check(&x);
        let weight = self.weight.val();
        let training = weight.is_autodiff() || x.is_autodiff();
        let pass = volume_reference::forward(self.plan(), &weight, &self.running.value_sync(), x, training);
        if training {
            self.follow(&pass.statistics.into_iter().flat_map(flat_values).collect::<Vec<_>>());
        }
        pass.output
    }

    /// The function in evaluation by burn's own operations, with autodiff: its output, and those of `nodes` that there are,
    /// in the plan's order, each tapped behind its activation.
    ///
    /// # Panics
    /// As [`VolumeSegment::forward`].
    pub fn tapped(&self, x: Tensor<5>, nodes: &[&str]) -> (Tensor<5>, Vec<Tapped>) {
        self.check(&x);
        let [weight, running] = [self.weight.val(), self.running.value_sync()].map(Tensor::autodiff);
        let mut taps = Vec::with_capacity(nodes.len());
        let tap = |node: &Node, value: Tensor<5>| {
            if !nodes.contains(&node.name.as_str()) {
                return value;
            }
            let (tapped, on) = Tapped::new(value);
            taps.push(tapped);
            on
        };
        let x = x.autodiff();
        let pass = volume_reference::forward_through(self.plan(), &weight, &running, x, false, tap);
        (pass.output, taps)
    }

    /// The parameter, and the running statistics without the numbers of batches.
    fn values(&self) -> [Vec<f32>; 2] {
        let mut buffers = flat_values(self.running.value_sync());
        buffers.truncate(self.plan().buffer_count());
        [flat_values(self.weight.val()), buffers]
    }

    /// The segment frozen for inference on the CPU without burn: norms folded into the weights, which
    /// are packed. It gives the values of `nodes`; a clip's have the same bits whatever the batch and
    /// the number of threads.
    ///
    /// # Errors
    /// There is no such node.
    pub fn frozen_nodes(&self, nodes: &[&str]) -> Result<Frozen, RunError> {
        let [weight, buffers] = self.values();
        self.engine.kernels.freeze(&weight, &buffers, nodes)
    }

    /// As [`VolumeSegment::frozen`], in bytes, with the ranges that values have over `clips` =
    /// `[n, channels, time, height, width]`.
    ///
    /// # Errors
    /// There is no clip, or values over them are not finite.
    pub fn frozen_int8(&self, clips: &[f32]) -> Result<FrozenInt8, RunError> {
        self.frozen_int8_nodes(&[self.plan().output_name()], &self.int8_scales(clips)?)
    }

    /// What bytes stand for in a network whose values have the ranges that they have over `clips`.
    ///
    /// # Errors
    /// As [`VolumeSegment::frozen_int8`].
    pub fn int8_scales(&self, clips: &[f32]) -> Result<Scales, RunError> {
        let [weight, buffers] = self.values();
        self.engine.kernels.int8_scales(&weight, &buffers, &[self.plan().output_name()], clips)
    }

    /// As [`VolumeSegment::frozen_nodes`], in bytes.
    ///
    /// # Errors
    /// There is no such node, or the scales are another plan's.
    pub fn frozen_int8_nodes(&self, nodes: &[&str], scales: &Scales) -> Result<FrozenInt8, RunError> {
        let [weight, buffers] = self.values();
        self.engine.kernels.freeze_int8_by(&weight, &buffers, nodes, scales)
    }

    /// As [`VolumeSegment::frozen_nodes`], for the plan's output.
    ///
    /// # Errors
    /// Only if the parameter's length is not the plan's, which takes a foreign value put into `weight`.
    pub fn frozen(&self) -> Result<Frozen, RunError> {
        self.frozen_nodes(&[self.plan().output_name()])
    }

    /// Every parameter under its name, in PyTorch's layout.
    pub fn named_parameters(&self) -> Vec<NamedTensor> {
        named(parameter_views(self.plan()), &flat_values(self.weight.val()))
    }

    /// Every running statistic under its name; with the parameters, PyTorch's `state_dict`.
    pub fn named_buffers(&self) -> Vec<NamedTensor> {
        named(buffer_views(self.plan()), &flat_values(self.running.value_sync()))
    }

    /// The segment with the given parameters and running statistics. The parameter keeps its identity,
    /// so that an optimiser's state still belongs to it. A `num_batches_tracked` may be missing.
    ///
    /// # Errors
    /// Unless exactly the plan's parameters and statistics are given, with their shapes.
    pub fn load_named(self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<Self, LoadError> {
        let views = buffer_views(self.plan());
        let is_buffer = |t: &NamedTensor| views.iter().any(|view| view.0 == t.name);
        let (mut buffers, parameters): (Vec<_>, Vec<_>) = tensors.into_iter().partition(is_buffer);
        for (name, shape, _) in &views[self.plan().buffers().len()..] {
            if !buffers.iter().any(|t| t.name == *name) {
                buffers.push(NamedTensor { name: name.clone(), shape: shape.clone(), values: vec![0.0] });
            }
        }
        let flat = flatten(&parameter_views(self.plan()), parameters)?;
        let running = flatten(&views, buffers)?;
        let old = self.running.value_sync();
        let running = Tensor::from_data(TensorData::new(running, old.dims()), &old.device());
        let (weight, running) = (with_values(self.weight, flat), RunningState::new(running));
        Ok(Self { weight, running, engine: self.engine })
    }
}

fn parameter_views(plan: &Plan) -> Vec<named::View> {
    plan.parameters()
        .iter()
        .map(|View { name, shape, range }| (name.clone(), shape.clone(), range.clone()))
        .collect()
}

fn buffer_views(plan: &Plan) -> Vec<named::View> {
    let views = plan.buffers().iter().map(|v| (v.name.clone(), v.shape.clone(), v.range.clone()));
    let norms = plan.buffers().iter().filter_map(|view| view.name.strip_suffix("running_mean"));
    let counts = norms.zip(plan.buffer_count()..);
    let counts = counts.map(|(norm, at)| (format!("{norm}num_batches_tracked"), Vec::new(), at..at + 1));
    views.chain(counts).collect()
}

pub(crate) fn initial_values(plan: &Plan, rng: &mut impl Rng) -> Vec<f32> {
    let mut values = vec![0.0; plan.parameter_count()];
    for node in plan.nodes() {
        let Operation::Conv(conv) = &node.operation else { continue };
        let bound = 1.0 / (conv.fan_in() as f32).sqrt();
        for place in [&node.places.weight, &node.places.bias] {
            values[place.clone()].fill_with(|| rng.random_range(-bound..=bound));
        }
        values[node.places.norm_weight.clone()].fill(1.0);
    }
    values
}
