//! A [`Plan`] compiled for this machine: forward, backward and inference.
//!
//! A batch goes through the plan node by node, in the layouts that [`super::compile`] chose; planes
//! are read at the input and written at the output only.

use thiserror::Error;

use super::compile::{Compiled, Fast, Machine, compile};
use super::direct::Finish;
use super::norm::{Norm, Sides, activation_backward, bias_gradient};
use super::plan::{Conv, Operation, Plan};
use super::pool::Buffers;
use super::select::{self, Batch, Pool, Target};
use super::winograd::{self, TileSize};
use crate::Isa;
use crate::aligned::Aligned;

/// How a network computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// The instruction set; the best of this machine if not given, or if the machine lacks it.
    pub isa: Option<Isa>,
    /// Never uses fast convolution (Winograd), nor tiles of halves ([`Isa::Amx`]), whose rounding errors are larger.
    pub exact: bool,
    /// Uses fast convolution over tiles of 2×2 only, and no halves: its rounding errors are those of direct sums.
    pub small_tiles: bool,
}

impl Options {
    fn fast(self, isa: Isa) -> Fast {
        let tiles = match self {
            Self { exact: true, .. } => None,
            Self { small_tiles: true, .. } => Some(TileSize::Two),
            _ => Some(TileSize::Four),
        };
        Fast { tiles, halves: tiles == Some(TileSize::Four) && isa.vectors() != isa }
    }
}

/// Something that does not fit the plan.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum RunError {
    /// A slice has another length than the plan and the batch call for.
    #[error("{what}: expected {expected} values, got {got}")]
    Size {
        /// Which slice.
        what: &'static str,
        /// Its length by the plan.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A batch's variance needs two values at least.
    #[error("node `{node}`: batch norm in training needs more than one value a channel")]
    OneValue {
        /// The node.
        node: String,
    },
    /// The plan has no node of this name.
    #[error("there is no node `{name}`")]
    UnknownNode {
        /// The name.
        name: String,
    },
    /// A scored slice lies beyond the output.
    #[error("the output has {slices} time slices: there is no slice {got}")]
    NoSlice {
        /// Time slices of the output.
        slices: usize,
        /// The slice asked for, counted from 0.
        got: usize,
    },
    /// A window slides over networks of one output each.
    #[error("expected a network frozen for one node, got {got}")]
    Outputs {
        /// Nodes that it was frozen for.
        got: usize,
    },
    /// The workspace was not left by a forward pass of this network.
    #[error("the workspace holds no forward pass of this network")]
    NoForward,
    /// A node's values over the calibration clips are not finite, or its scales are none.
    #[error("node `{node}`: values over the calibration clips are not finite, or its scales are none")]
    NotFinite {
        /// The node.
        node: String,
    },
}

pub(crate) fn check(what: &'static str, expected: usize, got: usize) -> Result<(), RunError> {
    if expected == got { Ok(()) } else { Err(RunError::Size { what, expected, got }) }
}

/// A plan compiled for this machine.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) plan: Plan,
    pub(super) isa: Isa,
    pub(super) fast: Fast,
    pub(super) nodes: Vec<Compiled>,
}

/// What the backward pass needs of a forward one. Reuse it from step to step: its memory is kept.
#[derive(Debug, Default)]
pub struct Workspace {
    /// What the memory is laid out for.
    plan: Option<(Plan, Fast)>,
    /// The batch of the forward pass that it holds.
    batch: Option<usize>,
    slots: Vec<Slot>,
    deltas: Buffers,
    winograd: winograd::Scratch,
}

/// A node's memory.
#[derive(Clone, Debug, Default)]
struct Slot {
    value: Aligned,
    /// The input of the norm.
    raw: Aligned,
    norm: Norm,
    /// The weight, packed for either direction.
    forward: Aligned,
    backward: Aligned,
}

/// What a forward pass in training gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// `[batch][C][T][H][W]` of the plan's output.
    pub output: Vec<f32>,
    /// The batch's means and unbiased variances in the order of [`Plan::buffers`]: for
    /// [`Plan::update_buffers`].
    pub statistics: Vec<f32>,
}

/// The gradients of a backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// With respect to the input, `[batch][C][T][H][W]`; if asked for.
    pub input: Option<Vec<f32>>,
    /// With respect to the flat parameter.
    pub parameter: Vec<f32>,
}

pub(crate) fn volume(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// Memory for a packed weight: it is zero where no weight comes to lie, and stays so.
fn fit_packed(buffer: &mut Aligned, len: usize) {
    if buffer.len() != len {
        *buffer = Aligned::new(len);
    }
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trades the memory that a pass needs only while it runs for that of `other`: where many workspaces wait
    /// for their backward pass, one such memory serves all.
    pub fn swap_temporaries(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.deltas, &mut other.deltas);
        std::mem::swap(&mut self.winograd, &mut other.winograd);
    }

    fn is_of(&self, plan: &Plan, fast: Fast) -> bool {
        self.plan.as_ref().is_some_and(|own| own.0 == *plan && own.1 == fast)
    }

    /// Packed weights keep zeros where there is no weight: another plan starts with new memory.
    fn prepare(&mut self, plan: &Plan, fast: Fast) {
        if !self.is_of(plan, fast) {
            let (deltas, winograd) = (std::mem::take(&mut self.deltas), std::mem::take(&mut self.winograd));
            *self = Self { plan: Some((plan.clone(), fast)), deltas, winograd, ..Self::default() };
            self.slots.resize_with(plan.nodes().len(), Slot::default);
        }
        self.batch = None;
    }
}

impl Network {
    /// Compiles `plan`.
    pub fn new(plan: &Plan, options: Options) -> Self {
        let isa = options.isa.filter(|isa| isa.is_available()).unwrap_or_else(Isa::detect);
        let fast = options.fast(isa);
        Self { plan: plan.clone(), isa, fast, nodes: compile(plan, fast) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Runs the plan on `x` = `[batch][C][T][H][W]`, norms by the batch's own statistics, and keeps in
    /// `workspace` what [`Network::backward`] needs.
    ///
    /// # Errors
    /// `parameter` or `x` has another length than the plan and `batch` say, or a norm has one value.
    pub fn forward_train(
        &self,
        parameter: &[f32],
        x: &[f32],
        batch: usize,
        workspace: &mut Workspace,
    ) -> Result<Forward, RunError> {
        check("parameter", self.plan.parameter_count(), parameter.len())?;
        check("input", batch.saturating_mul(volume(self.plan.input())), x.len())?;
        workspace.prepare(&self.plan, self.fast);
        let Workspace { slots, winograd, .. } = &mut *workspace;
        let machine = Machine { isa: self.isa, winograd };
        let mut statistics = vec![0.0; self.plan.buffer_count()];
        for (index, node) in self.plan.nodes().iter().enumerate() {
            let (before, after) = slots.split_at_mut(index);
            let slot = &mut after[0];
            slot.value.resize(batch * self.nodes[index].value.len());
            if batch == 0 {
                continue;
            }
            match &node.operation {
                Operation::Conv(conv) => {
                    let input = &before[node.inputs[0]].value;
                    self.conv_forward(machine, index, conv, parameter, input, slot, batch)?;
                    if conv.norm.is_some() {
                        statistics[node.places.mean.clone()].copy_from_slice(&slot.norm.mean);
                        statistics[node.places.variance.clone()].copy_from_slice(&slot.norm.variance);
                    }
                }
                _ => {
                    let inputs: Vec<&[f32]> = node.inputs.iter().map(|&i| &before[i].value[..]).collect();
                    self.other_forward(index, &inputs, x, &mut slot.value);
                }
            }
        }
        workspace.batch = Some(batch);
        Ok(Forward { output: self.planes(self.plan.output_node(), batch, &workspace.slots), statistics })
    }

    fn planes(&self, index: usize, batch: usize, slots: &[Slot]) -> Vec<f32> {
        let mut planes = vec![0.0; batch * volume(self.plan.nodes()[index].shape)];
        self.nodes[index].value.write_planes(&slots[index].value, &mut planes);
        planes
    }

    #[expect(clippy::too_many_arguments, reason = "private, one node's state")]
    fn conv_forward(
        &self,
        machine: Machine<'_>,
        index: usize,
        conv: &Conv,
        parameter: &[f32],
        input: &[f32],
        slot: &mut Slot,
        batch: usize,
    ) -> Result<(), RunError> {
        let (node, compiled) = (&self.plan.nodes()[index], &self.nodes[index]);
        let Some(ways) = &compiled.ways else { unreachable!("a convolution has its ways") };
        fit_packed(&mut slot.forward, ways.forward.packed_len());
        ways.forward.pack_into(self.isa, &parameter[node.places.weight.clone()], &mut slot.forward);
        let bias = &parameter[node.places.bias.clone()];
        if conv.norm.is_none() {
            let finish = Finish { bias, activation: conv.activation, accumulate: false };
            ways.forward.run(machine, input, &slot.forward, &finish, &mut slot.value);
            return Ok(());
        }
        let count = batch * volume(node.shape) / node.shape[0];
        if count == 1 {
            return Err(RunError::OneValue { node: node.name.clone() });
        }
        slot.raw.resize(batch * compiled.raw.len());
        let finish = Finish { bias, ..Finish::PLAIN };
        let packed = [input, &slot.forward];
        let sums = ways.forward.run_with_sums(machine, batch, packed, &finish, &mut slot.raw);
        slot.norm = Norm::new(&sums, count);
        self.sides(index, conv, parameter).forward(&slot.norm, &slot.raw, &mut slot.value);
        Ok(())
    }

    fn sides<'a>(&self, index: usize, conv: &Conv, parameter: &'a [f32]) -> Sides<'a> {
        let (node, compiled) = (&self.plan.nodes()[index], &self.nodes[index]);
        Sides {
            isa: self.isa,
            activation: conv.activation,
            raw: compiled.raw,
            value: compiled.value,
            weight: &parameter[node.places.norm_weight.clone()],
            bias: &parameter[node.places.norm_bias.clone()],
        }
    }

    fn batch_of<'a>(&'a self, index: usize, values: &'a [f32]) -> Batch<'a> {
        Batch { layout: &self.nodes[index].value, values, slots: None }
    }

    /// The nodes that are no convolutions. `x` is the plan's input, and `inputs` the node's.
    pub(super) fn other_forward(&self, index: usize, inputs: &[&[f32]], x: &[f32], value: &mut [f32]) {
        let node = &self.plan.nodes()[index];
        let layout = &self.nodes[index].value;
        let inputs: Vec<Batch<'_>> =
            node.inputs.iter().zip(inputs).map(|(&input, values)| self.batch_of(input, values)).collect();
        match &node.operation {
            Operation::Input => layout.read_planes(x, value),
            other => select::forward(other, self.isa, &inputs, &Target { layout, times: None }, value),
        }
    }

    /// The gradients of a loss whose gradient with respect to the output is `dy`, after
    /// [`Network::forward_train`] with the same `parameter` left `workspace`. `want_input` asks for the
    /// input's. The forward pass is spent then.
    ///
    /// # Errors
    /// `parameter` or `dy` has another length than the plan and the workspace's batch say, or the
    /// workspace holds no forward pass.
    pub fn backward(
        &self,
        parameter: &[f32],
        workspace: &mut Workspace,
        dy: &[f32],
        want_input: bool,
    ) -> Result<Gradients, RunError> {
        check("parameter", self.plan.parameter_count(), parameter.len())?;
        let batch = workspace.batch.filter(|_| workspace.is_of(&self.plan, self.fast));
        let batch = batch.ok_or(RunError::NoForward)?;
        check("output gradient", batch * volume(self.plan.output()), dy.len())?;
        workspace.batch = None;
        let mut back = Back {
            network: self,
            parameter,
            wanted: self.wanted(want_input),
            slots: &mut workspace.slots,
            buffers: &mut workspace.deltas,
            winograd: &workspace.winograd,
            deltas: vec![None; self.nodes.len()],
            batch,
            gradient: vec![0.0; parameter.len()],
        };
        let input = if batch == 0 { None } else { back.run(dy) };
        let gradient = back.gradient;
        let size = batch * volume(self.plan.input());
        let input = want_input.then(|| input.unwrap_or_else(|| vec![0.0; size]));
        Ok(Gradients { input, parameter: gradient })
    }

    /// Which nodes' gradients are needed.
    fn wanted(&self, want_input: bool) -> Vec<bool> {
        let mut wanted: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in self.plan.nodes() {
            let wants = match node.operation {
                Operation::Input => want_input,
                Operation::Conv(_) => true,
                _ => node.inputs.iter().any(|&input| wanted[input]),
            };
            wanted.push(wants);
        }
        wanted
    }
}

/// A backward pass under way.
struct Back<'a> {
    network: &'a Network,
    parameter: &'a [f32],
    wanted: Vec<bool>,
    slots: &'a mut [Slot],
    buffers: &'a mut Buffers,
    winograd: &'a winograd::Scratch,
    /// Gradients that some node has reached, and that are not spent.
    deltas: Vec<Option<Aligned>>,
    batch: usize,
    gradient: Vec<f32>,
}

impl Back<'_> {
    /// Gives the input's gradient, if it was wanted and is not zero.
    fn run(&mut self, dy: &[f32]) -> Option<Vec<f32>> {
        let output = self.network.plan.output_node();
        let layout = &self.network.nodes[output].delta;
        let mut delta = self.buffers.take(self.batch * layout.len());
        layout.read_planes(dy, &mut delta);
        self.deltas[output] = Some(delta);
        for index in (1..=output).rev() {
            if let Some(delta) = self.deltas[index].take() {
                let delta = self.node(index, delta);
                self.buffers.give(delta);
            }
        }
        let delta = self.deltas[0].take().filter(|_| self.wanted[0])?;
        let mut planes = vec![0.0; self.batch * volume(self.network.plan.input())];
        self.network.nodes[0].delta.write_planes(&delta, &mut planes);
        self.buffers.give(delta);
        Some(planes)
    }

    /// Passes a node's gradient on to what the node reads, and gives it back.
    fn node(&mut self, index: usize, delta: Aligned) -> Aligned {
        let node = &self.network.plan.nodes()[index];
        if let Operation::Conv(conv) = &node.operation {
            return self.conv(index, conv, delta);
        }
        let mut first = 0;
        for &input in &node.inputs {
            if self.wanted[input] {
                self.other(index, input, first, &delta);
            }
            first += self.network.plan.nodes()[input].shape[0];
        }
        delta
    }

    /// The gradient of a node's input, to be written or, if another node has reached it, added to.
    fn reach(&mut self, input: usize) -> (Aligned, bool) {
        match self.deltas[input].take() {
            Some(delta) => (delta, true),
            None => (self.buffers.take(self.batch * self.network.nodes[input].delta.len()), false),
        }
    }

    fn other(&mut self, index: usize, input: usize, first: usize, delta: &[f32]) {
        let (mut to, accumulate) = self.reach(input);
        let (network, isa) = (self.network, self.network.isa);
        let layout = &network.nodes[input].delta;
        let gradient = Batch { layout: &network.nodes[index].delta, values: delta, slots: None };
        match network.plan.nodes()[index].operation {
            Operation::MaxPool { kernel, stride } => {
                let [x, y] = [input, index].map(|node| network.batch_of(node, &self.slots[node].value));
                Pool { kernel, stride }.backward(isa, [x, y, gradient], layout, &mut to, accumulate);
            }
            Operation::Upsample { factor } => {
                select::upsample_backward(isa, factor, gradient, layout, &mut to, accumulate);
            }
            Operation::Concat => select::concat_backward(gradient, first, layout, &mut to, accumulate),
            Operation::Sample { step } => {
                select::sample_backward(step, gradient, layout, &mut to, accumulate);
            }
            Operation::Input | Operation::Conv(_) => unreachable!("these go their own way"),
        }
        self.deltas[input] = Some(to);
    }

    fn conv(&mut self, index: usize, conv: &Conv, mut delta: Aligned) -> Aligned {
        let (network, isa) = (self.network, self.network.isa);
        let (node, compiled) = (&network.plan.nodes()[index], &network.nodes[index]);
        let Some(ways) = &compiled.ways else { unreachable!("a convolution has its ways") };
        self.through_norm(index, conv, &mut delta);
        let (input, places) = (node.inputs[0], &node.places);
        let x = &self.slots[input].value[..];
        let machine = Machine { isa, winograd: self.winograd };
        ways.weights.run(machine, x, &delta, &mut self.gradient[places.weight.clone()]);
        if self.wanted[input] {
            let (mut to, accumulate) = self.reach(input);
            let packed = &mut self.slots[index].backward;
            fit_packed(packed, ways.backward.packed_len());
            ways.backward.pack_into(isa, &self.parameter[places.weight.clone()], packed);
            let finish = Finish { accumulate, ..Finish::PLAIN };
            ways.backward.run(machine, &delta, packed, &finish, &mut to);
            self.deltas[input] = Some(to);
        }
        delta
    }

    /// Takes the gradient back through the activation and the norm, and sets the gradients of the
    /// norm's parameters and of the bias. A norm takes the mean away, and with it any effect of a bias
    /// before it: that one's gradient is 0.
    fn through_norm(&mut self, index: usize, conv: &Conv, delta: &mut [f32]) {
        let network = self.network;
        let (places, compiled) = (&network.plan.nodes()[index].places, &network.nodes[index]);
        let slot = &self.slots[index];
        if conv.norm.is_some() {
            let sides = network.sides(index, conv, self.parameter);
            let [weight, bias] = sides.backward(&slot.norm, &slot.raw, (&compiled.delta, &mut *delta));
            self.gradient[places.norm_weight.clone()].copy_from_slice(&weight);
            self.gradient[places.norm_bias.clone()].copy_from_slice(&bias);
            return;
        }
        let value = (&compiled.value, &slot.value[..]);
        activation_backward(network.isa, conv.activation, value, (&compiled.delta, &mut *delta));
        if conv.bias {
            let sums = bias_gradient(network.isa, &compiled.delta, delta);
            self.gradient[places.bias.clone()].copy_from_slice(&sums);
        }
    }
}
