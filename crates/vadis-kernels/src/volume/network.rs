//! A [`Plan`] compiled for this machine: forward, backward and inference.

use std::ops::Range;

use rayon::prelude::*;
use thiserror::Error;

use super::plan::{Conv, EPSILON, Node, Operation, Plan};
use crate::Isa;

/// How a network computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// The instruction set; the best of this machine if not given, or if the machine lacks it.
    pub isa: Option<Isa>,
    /// Never uses fast convolution (Winograd), whose rounding errors are larger.
    pub exact: bool,
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
    /// The workspace was not left by a forward pass of this network.
    #[error("the workspace holds no forward pass of this network")]
    NoForward,
}

fn check(what: &'static str, expected: usize, got: usize) -> Result<(), RunError> {
    if expected == got { Ok(()) } else { Err(RunError::Size { what, expected, got }) }
}

/// A plan compiled for this machine.
#[derive(Clone, Debug)]
pub struct Network {
    plan: Plan,
}

/// What the backward pass needs of a forward one. Reuse it from step to step: its memory is kept.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    batch: usize,
    nodes: usize,
    values: Vec<Vec<f32>>,
    raw: Vec<Vec<f32>>,
    norms: Vec<Norm>,
}

/// Memory of an inference. Reuse it from run to run.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    values: Vec<Vec<f32>>,
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

/// A network with its weights packed and its norms folded into them, for inference.
#[derive(Clone, Debug)]
pub struct Frozen {
    plan: Plan,
    weights: Vec<[Vec<f32>; 2]>,
    outputs: Vec<usize>,
    needed: Vec<bool>,
}

/// A batch's mean and 1/√(variance + ε) of each channel.
#[derive(Clone, Debug, Default)]
struct Norm {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

fn volume(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

impl Network {
    /// Compiles `plan`.
    pub fn new(plan: &Plan, _options: Options) -> Self {
        Self { plan: plan.clone() }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
        let nodes = self.plan.nodes();
        let mut statistics = vec![0.0; self.plan.buffer_count()];
        let mut new = Workspace { batch, nodes: nodes.len(), ..Workspace::default() };
        for node in nodes {
            let inputs: Vec<&[f32]> = node.inputs.iter().map(|&i| &new.values[i][..]).collect();
            let mut value = self.compute(node, &inputs, x, batch, |conv, x| {
                let [weight, bias] =
                    [&parameter[node.places.weight.clone()], &parameter[node.places.bias.clone()]];
                conv_forward(conv, weight, bias, x, self.input_shape(node), node.shape)
            });
            let (mut raw, mut norm) = (Vec::new(), Norm::default());
            if let Operation::Conv(conv) = &node.operation {
                if conv.norm.is_some() {
                    raw = value.clone();
                    norm = self.normalise(node, parameter, &mut value, batch, &mut statistics)?;
                }
                value.iter_mut().for_each(|v| *v = conv.activation.apply(*v));
            }
            new.values.push(value);
            new.raw.push(raw);
            new.norms.push(norm);
        }
        *workspace = new;
        Ok(Forward { output: workspace.values[self.plan.output_node()].clone(), statistics })
    }

    fn input_shape(&self, node: &Node) -> [usize; 4] {
        self.plan.nodes()[node.inputs[0]].shape
    }

    fn compute(
        &self,
        node: &Node,
        inputs: &[&[f32]],
        x: &[f32],
        batch: usize,
        conv: impl Fn(&Conv, &[f32]) -> Vec<f32>,
    ) -> Vec<f32> {
        match &node.operation {
            Operation::Input => x.to_vec(),
            Operation::Conv(operation) => conv(operation, inputs[0]),
            Operation::Concat => {
                let mut joined = Vec::with_capacity(batch * volume(node.shape));
                for sample in 0..batch {
                    for input in inputs {
                        let len = input.len() / batch;
                        joined.extend_from_slice(&input[sample * len..][..len]);
                    }
                }
                joined
            }
            _ => {
                let sources = sources(node, self.input_shape(node));
                let input = inputs[0];
                let (n_in, n_out) = (volume(self.input_shape(node)), sources.len());
                let mut out = vec![0.0; batch * n_out];
                for (x, y) in input.chunks_exact(n_in).zip(out.chunks_exact_mut(n_out)) {
                    for (y, sources) in y.iter_mut().zip(&sources) {
                        *y = x[first_largest(x, sources)];
                    }
                }
                out
            }
        }
    }

    fn normalise(
        &self,
        node: &Node,
        parameter: &[f32],
        value: &mut [f32],
        batch: usize,
        statistics: &mut [f32],
    ) -> Result<Norm, RunError> {
        let (channels, len) = (node.shape[0], volume(node.shape) / node.shape[0]);
        if batch * len == 1 {
            return Err(RunError::OneValue { node: node.name.clone() });
        }
        let mut norm = Norm::default();
        let count = (batch * len) as f64;
        for channel in 0..channels {
            let planes =
                |sample: usize| (sample * channels + channel) * len..(sample * channels + channel + 1) * len;
            let sum: f64 = (0..batch).flat_map(|s| &value[planes(s)]).map(|&v| f64::from(v)).sum();
            let mean = sum / count;
            let squares: f64 =
                (0..batch).flat_map(|s| &value[planes(s)]).map(|&v| (f64::from(v) - mean).powi(2)).sum();
            let inverse = 1.0 / (squares / count + f64::from(EPSILON)).sqrt();
            statistics[node.places.mean.start + channel] = mean as f32;
            statistics[node.places.variance.start + channel] = (squares / (count - 1.0).max(1.0)) as f32;
            let (gain, shift) = (
                parameter[node.places.norm_weight.start + channel],
                parameter[node.places.norm_bias.start + channel],
            );
            for sample in 0..batch {
                for v in &mut value[planes(sample)] {
                    *v = (*v - mean as f32) * inverse as f32 * gain + shift;
                }
            }
            norm.mean.push(mean as f32);
            norm.inverse.push(inverse as f32);
        }
        Ok(norm)
    }

    /// The gradients of a loss whose gradient with respect to the output is `dy`, after
    /// [`Network::forward_train`] with the same `parameter` left `workspace`. `want_input` asks for the
    /// input's. The forward pass is spent: its memory holds gradients afterwards.
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
        if workspace.nodes != self.plan.nodes().len() {
            return Err(RunError::NoForward);
        }
        let batch = workspace.batch;
        check("output gradient", batch * volume(self.plan.output()), dy.len())?;
        let mut gradient = vec![0.0; parameter.len()];
        let mut deltas: Vec<Vec<f32>> = workspace.values.iter().map(|v| vec![0.0; v.len()]).collect();
        deltas[self.plan.output_node()].copy_from_slice(dy);
        for (index, node) in self.plan.nodes().iter().enumerate().rev() {
            let (before, after) = deltas.split_at_mut(index);
            let delta = &mut after[0];
            match &node.operation {
                Operation::Input => {}
                Operation::Conv(conv) => {
                    self.conv_backward(
                        index,
                        conv,
                        parameter,
                        workspace,
                        delta,
                        &mut before[node.inputs[0]],
                        &mut gradient,
                    );
                }
                Operation::Concat => {
                    let mut at = 0;
                    for sample in 0..batch {
                        for &input in &node.inputs {
                            let len = before[input].len() / batch;
                            let part = &mut before[input][sample * len..][..len];
                            part.iter_mut().zip(&delta[at..]).for_each(|(a, b)| *a += b);
                            at += len;
                        }
                    }
                }
                _ => {
                    let sources = sources(node, self.input_shape(node));
                    let (n_in, n_out) = (volume(self.input_shape(node)), sources.len());
                    for sample in 0..batch {
                        let x = &workspace.values[node.inputs[0]][sample * n_in..][..n_in];
                        let dx = &mut before[node.inputs[0]][sample * n_in..][..n_in];
                        for (dy, sources) in delta[sample * n_out..][..n_out].iter().zip(&sources) {
                            dx[first_largest(x, sources)] += dy;
                        }
                    }
                }
            }
        }
        workspace.nodes = 0;
        Ok(Gradients { input: want_input.then(|| deltas.swap_remove(0)), parameter: gradient })
    }

    #[expect(clippy::too_many_arguments, reason = "private, one node's state")]
    fn conv_backward(
        &self,
        index: usize,
        conv: &Conv,
        parameter: &[f32],
        workspace: &Workspace,
        delta: &mut [f32],
        before: &mut [f32],
        gradient: &mut [f32],
    ) {
        let node = &self.plan.nodes()[index];
        let places = &node.places;
        let (y, x) = (&workspace.values[index], &workspace.values[node.inputs[0]]);
        delta.iter_mut().zip(y).for_each(|(d, &y)| *d *= conv.activation.derivative(y));
        let channels = node.shape[0];
        let len = volume(node.shape) / channels;
        if conv.norm.is_some() {
            let norm = &workspace.norms[index];
            let count = (delta.len() / channels) as f32;
            for channel in 0..channels {
                let raw = &workspace.raw[index];
                let indices: Vec<usize> = (0..workspace.batch)
                    .flat_map(|s| (s * channels + channel) * len..(s * channels + channel + 1) * len)
                    .collect();
                let hat = |i: usize| (raw[i] - norm.mean[channel]) * norm.inverse[channel];
                let sum: f32 = indices.iter().map(|&i| delta[i]).sum();
                let product: f32 = indices.iter().map(|&i| delta[i] * hat(i)).sum();
                gradient[places.norm_bias.start + channel] += sum;
                gradient[places.norm_weight.start + channel] += product;
                let gain = parameter[places.norm_weight.start + channel] * norm.inverse[channel];
                for &i in &indices {
                    delta[i] = gain * (delta[i] - sum / count - hat(i) * product / count);
                }
            }
        }
        if conv.bias && conv.norm.is_none() {
            for (plane, d) in delta.chunks_exact(len).enumerate() {
                gradient[places.bias.start + plane % channels] += d.iter().sum::<f32>();
            }
        }
        let weight = &parameter[places.weight.clone()];
        conv_backward(
            conv,
            weight,
            x,
            delta,
            self.input_shape(node),
            node.shape,
            before,
            &mut gradient[places.weight.clone()],
        );
    }

    /// The network frozen for inference of `nodes`: weights packed, norms folded into them by the
    /// running statistics in `buffers`. The other nodes are computed only where these need them.
    ///
    /// # Errors
    /// A slice has another length than the plan says, or there is no such node.
    pub fn freeze(&self, parameter: &[f32], buffers: &[f32], nodes: &[&str]) -> Result<Frozen, RunError> {
        check("parameter", self.plan.parameter_count(), parameter.len())?;
        check("buffers", self.plan.buffer_count(), buffers.len())?;
        let find = |name: &&str| {
            self.plan.find(name).ok_or_else(|| RunError::UnknownNode { name: (*name).to_owned() })
        };
        let outputs: Vec<usize> = nodes.iter().map(find).collect::<Result<_, _>>()?;
        let mut needed = vec![false; self.plan.nodes().len()];
        outputs.iter().for_each(|&node| needed[node] = true);
        for (index, node) in self.plan.nodes().iter().enumerate().rev() {
            if needed[index] {
                node.inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let weights = self.plan.nodes().iter().map(|node| folded(node, parameter, buffers)).collect();
        Ok(Frozen { plan: self.plan.clone(), weights, outputs, needed })
    }
}

/// The weight and the bias with the norm folded in.
fn folded(node: &Node, parameter: &[f32], buffers: &[f32]) -> [Vec<f32>; 2] {
    let Operation::Conv(conv) = &node.operation else { return [Vec::new(), Vec::new()] };
    let places = &node.places;
    let mut weight = parameter[places.weight.clone()].to_vec();
    let mut bias = vec![0.0; conv.cout];
    bias.iter_mut().zip(&parameter[places.bias.clone()]).for_each(|(bias, value)| *bias = *value);
    if conv.norm.is_none() {
        return [weight, bias];
    }
    let gains: Vec<f32> = buffers[places.variance.clone()]
        .iter()
        .zip(&parameter[places.norm_weight.clone()])
        .map(|(variance, gain)| gain / (variance + EPSILON).sqrt())
        .collect();
    let taps: usize = conv.kernel.iter().product();
    for (index, value) in weight.iter_mut().enumerate() {
        let channel = match conv.transposed {
            None => index / (conv.cin * taps),
            Some(_) => index / taps % conv.cout,
        };
        *value *= gains[channel];
    }
    for (channel, bias) in bias.iter_mut().enumerate() {
        let mean = buffers[places.mean.start + channel];
        *bias = (*bias - mean) * gains[channel] + parameter[places.norm_bias.start + channel];
    }
    [weight, bias]
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Scratch {
    /// Empty memory.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Frozen {
    /// Runs the network on `x` = `[batch][C][T][H][W]`: the values `[batch][C][T][H][W]` of the nodes
    /// that it was frozen for. A clip's result has the same bits whatever the batch and the number of
    /// threads.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, RunError> {
        check("input", batch.saturating_mul(volume(self.plan.input())), x.len())?;
        let network = Network { plan: self.plan.clone() };
        scratch.values.clear();
        for (index, node) in self.plan.nodes().iter().enumerate() {
            if !self.needed[index] {
                scratch.values.push(Vec::new());
                continue;
            }
            let inputs: Vec<&[f32]> = node.inputs.iter().map(|&i| &scratch.values[i][..]).collect();
            let value = network.compute(node, &inputs, x, batch, |conv, x| {
                let [weight, bias] = &self.weights[index];
                let mut y = conv_forward(conv, weight, bias, x, network.input_shape(node), node.shape);
                y.iter_mut().for_each(|y| *y = conv.activation.apply(*y));
                y
            });
            scratch.values.push(value);
        }
        Ok(self.outputs.iter().map(|&node| scratch.values[node].clone()).collect())
    }
}

/// For each output value of a pooling, upsampling or sampling: the input values it chooses among.
fn sources(node: &Node, [channels, sizes @ ..]: [usize; 4]) -> Vec<Vec<usize>> {
    let [_, t_out, h_out, w_out] = node.shape;
    let window = |axis: usize, place: usize| match node.operation {
        Operation::MaxPool { kernel, stride } => place * stride[axis]..place * stride[axis] + kernel[axis],
        Operation::Upsample { factor } => place / factor[axis]..place / factor[axis] + 1,
        Operation::Sample { step } if axis == 0 => place * step..place * step + 1,
        _ => place..place + 1,
    };
    let mut all = Vec::with_capacity(volume(node.shape));
    for c in 0..channels {
        for t in 0..t_out {
            for y in 0..h_out {
                for x in 0..w_out {
                    let mut list = Vec::new();
                    for t in window(0, t) {
                        for y in window(1, y) {
                            list.extend(
                                window(2, x).map(|x| ((c * sizes[0] + t) * sizes[1] + y) * sizes[2] + x),
                            );
                        }
                    }
                    all.push(list);
                }
            }
        }
    }
    all
}

fn first_largest(x: &[f32], sources: &[usize]) -> usize {
    let mut best = sources[0];
    for &source in &sources[1..] {
        if x[source] > x[best] || (x[source].is_nan() && !x[best].is_nan()) {
            best = source;
        }
    }
    best
}

/// The rows of the smaller and the larger volume that meet at a tap: calls `f` with the start in
/// the smaller, the start in the larger, and the count; steps are 1 and the stride.
fn rows(
    conv: &Conv,
    tap: [usize; 3],
    small: [usize; 3],
    large: [usize; 3],
    mut f: impl FnMut(usize, usize, usize),
) {
    let reach = |axis: usize| -> Range<usize> {
        let (k, p, s) = (tap[axis], conv.padding[axis], conv.stride[axis]);
        let first = p.saturating_sub(k).div_ceil(s);
        let end = if large[axis] + p > k { (large[axis] + p - k).div_ceil(s).min(small[axis]) } else { 0 };
        first..end.max(first)
    };
    let at = |axis: usize, place: usize| place * conv.stride[axis] + tap[axis] - conv.padding[axis];
    let xs = reach(2);
    if xs.is_empty() {
        return;
    }
    for t in reach(0) {
        for y in reach(1) {
            f(
                (t * small[1] + y) * small[2] + xs.start,
                (at(0, t) * large[1] + at(1, y)) * large[2] + at(2, xs.start),
                xs.len(),
            );
        }
    }
}

fn taps(conv: &Conv) -> Vec<[usize; 3]> {
    let [kt, kh, kw] = conv.kernel;
    (0..kt * kh * kw).map(|tap| [tap / (kh * kw), tap / kw % kh, tap % kw]).collect()
}

fn space([_, t, h, w]: [usize; 4]) -> [usize; 3] {
    [t, h, w]
}

fn conv_forward(
    conv: &Conv,
    weight: &[f32],
    bias: &[f32],
    x: &[f32],
    input: [usize; 4],
    output: [usize; 4],
) -> Vec<f32> {
    let (plane_in, plane_out) = (volume(input) / input[0], volume(output) / output[0]);
    let (taps, stride) = (taps(conv), conv.stride[2]);
    let batch = x.len() / volume(input);
    let mut y = vec![0.0; batch * volume(output)];
    y.par_chunks_mut(plane_out).enumerate().for_each(|(index, y)| {
        let (sample, o) = (index / conv.cout, index % conv.cout);
        y.fill(bias.get(o).copied().unwrap_or(0.0));
        for i in 0..conv.cin {
            let x = &x[(sample * conv.cin + i) * plane_in..][..plane_in];
            for (k, &tap) in taps.iter().enumerate() {
                if conv.transposed.is_some() {
                    let w = weight[(i * conv.cout + o) * taps.len() + k];
                    rows(conv, tap, space(input), space(output), |s, l, n| {
                        (0..n).for_each(|j| y[l + j * stride] += w * x[s + j]);
                    });
                } else {
                    let w = weight[(o * conv.cin + i) * taps.len() + k];
                    rows(conv, tap, space(output), space(input), |s, l, n| {
                        (0..n).for_each(|j| y[s + j] += w * x[l + j * stride]);
                    });
                }
            }
        }
    });
    y
}

#[expect(clippy::too_many_arguments, reason = "private, one node's state")]
fn conv_backward(
    conv: &Conv,
    weight: &[f32],
    x: &[f32],
    dy: &[f32],
    input: [usize; 4],
    output: [usize; 4],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let (plane_in, plane_out) = (volume(input) / input[0], volume(output) / output[0]);
    let (taps, stride) = (taps(conv), conv.stride[2]);
    let batch = x.len() / volume(input);
    let transposed = conv.transposed.is_some();
    let (small, large) =
        if transposed { (space(input), space(output)) } else { (space(output), space(input)) };
    let index = |i: usize, o: usize, k: usize| match transposed {
        true => (i * conv.cout + o) * taps.len() + k,
        false => (o * conv.cin + i) * taps.len() + k,
    };
    dx.par_chunks_mut(plane_in).enumerate().for_each(|(plane, dx)| {
        let (sample, i) = (plane / conv.cin, plane % conv.cin);
        for o in 0..conv.cout {
            let dy = &dy[(sample * conv.cout + o) * plane_out..][..plane_out];
            for (k, &tap) in taps.iter().enumerate() {
                let w = weight[index(i, o, k)];
                rows(conv, tap, small, large, |s, l, n| match transposed {
                    true => (0..n).for_each(|j| dx[s + j] += w * dy[l + j * stride]),
                    false => (0..n).for_each(|j| dx[l + j * stride] += w * dy[s + j]),
                });
            }
        }
    });
    dw.par_iter_mut().enumerate().for_each(|(at, dw)| {
        let (pair, k) = (at / taps.len(), at % taps.len());
        let (i, o) = match transposed {
            true => (pair / conv.cout, pair % conv.cout),
            false => (pair % conv.cin, pair / conv.cin),
        };
        for sample in 0..batch {
            let x = &x[(sample * conv.cin + i) * plane_in..][..plane_in];
            let dy = &dy[(sample * conv.cout + o) * plane_out..][..plane_out];
            let (s_values, l_values) = if transposed { (x, dy) } else { (dy, x) };
            rows(conv, taps[k], small, large, |s, l, n| {
                *dw += (0..n).map(|j| s_values[s + j] * l_values[l + j * stride]).sum::<f32>();
            });
        }
    });
}
