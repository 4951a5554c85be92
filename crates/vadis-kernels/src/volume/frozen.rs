//! A [`Network`] frozen for inference: weights packed, norms folded into them.

use std::sync::Arc;

use rayon::prelude::*;

use super::compile::{Machine, Way, inference_way};
use super::direct::Finish;
use super::layout::Layout;
use super::network::{Network, RunError, check, volume};
use super::plan::{Conv, EPSILON, Node, Operation};
use super::pool::Buffers;
use super::winograd;
use crate::Activation;
use crate::aligned::Aligned;

/// Where no node of a clip has more values than this, a thread takes a clip for itself: layers are too small to share
/// among threads, and stay in its caches. 8 MiB.
const SMALL: usize = 2 << 20;

/// A network with its weights packed and its norms folded into them, for inference. Clones share the
/// weights.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub(super) network: Network,
    /// For each node that is needed and has one: its convolution.
    pub(super) convs: Vec<Option<Arc<FrozenConv>>>,
    pub(super) outputs: Vec<usize>,
    /// How many nodes read each node, or ask for it; 0 where it is not needed.
    uses: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct FrozenConv {
    pub(super) way: Way,
    pub(super) packed: Aligned,
    bias: Vec<f32>,
    activation: Activation,
}

impl FrozenConv {
    pub(super) fn finish(&self) -> Finish<'_> {
        Finish { bias: &self.bias, activation: self.activation, accumulate: false }
    }
}

/// Memory of an inference. Reuse it from run to run.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) buffers: Buffers,
    pub(crate) bytes: Buffers<u8>,
    winograd: winograd::Scratch,
    /// Of clips that are under way at the same time.
    others: Vec<Scratch>,
}

impl Scratch {
    /// Empty memory.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Network {
    /// The network frozen for inference of `nodes`: weights packed, norms folded into them by the
    /// running statistics in `buffers`. The other nodes are computed only where these need them.
    ///
    /// # Errors
    /// A slice has another length than the plan says, or there is no such node.
    pub fn freeze(&self, parameter: &[f32], buffers: &[f32], nodes: &[&str]) -> Result<Frozen, RunError> {
        check("parameter", self.plan.parameter_count(), parameter.len())?;
        check("buffers", self.plan.buffer_count(), buffers.len())?;
        let (outputs, uses) = self.needs(nodes)?;
        let convs = (0..self.nodes.len())
            .map(|index| if uses[index] > 0 { self.freeze_conv(index, parameter, buffers) } else { None })
            .collect();
        Ok(Frozen { network: self.clone(), convs, outputs, uses })
    }

    /// The places of `nodes`, and for each node how many read it or ask for it.
    pub(crate) fn needs(&self, nodes: &[&str]) -> Result<(Vec<usize>, Vec<usize>), RunError> {
        let find = |name: &&str| {
            self.plan.find(name).ok_or_else(|| RunError::UnknownNode { name: (*name).to_owned() })
        };
        let outputs: Vec<usize> = nodes.iter().map(find).collect::<Result<_, _>>()?;
        let mut uses = vec![0; self.nodes.len()];
        outputs.iter().for_each(|&node| uses[node] += 1);
        for (index, node) in self.plan.nodes().iter().enumerate().rev() {
            if uses[index] > 0 {
                node.inputs.iter().for_each(|&input| uses[input] += 1);
            }
        }
        Ok((outputs, uses))
    }

    fn freeze_conv(&self, index: usize, parameter: &[f32], buffers: &[f32]) -> Option<Arc<FrozenConv>> {
        let node = &self.plan.nodes()[index];
        let way = inference_way(&self.plan, &self.nodes, index, self.fast)?;
        let Operation::Conv(conv) = &node.operation else { return None };
        let [weight, bias] = folded(node, conv, parameter, buffers);
        let mut packed = Aligned::new(way.packed_len());
        way.pack_into(self.isa, &weight, &mut packed);
        Some(Arc::new(FrozenConv { way, packed, bias, activation: conv.activation }))
    }
}

/// The weight and the bias with the norm folded in.
pub(crate) fn folded(node: &Node, conv: &Conv, parameter: &[f32], buffers: &[f32]) -> [Vec<f32>; 2] {
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

impl Frozen {
    /// Runs the network on `x` = `[batch][C][T][H][W]`: the values `[batch][C][T][H][W]` of the nodes
    /// that it was frozen for. A clip's result has the same bits whatever the batch and the number of
    /// threads. Memory beyond input and output is that of one clip, or of one small clip for each thread.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, RunError> {
        let plan = &self.network.plan;
        let size = volume(plan.input());
        check("input", batch.saturating_mul(size), x.len())?;
        let sizes: Vec<usize> = self.outputs.iter().map(|&node| volume(plan.nodes()[node].shape)).collect();
        let mut outputs: Vec<Vec<f32>> = sizes.iter().map(|size| vec![0.0; batch * size]).collect();
        let together = self.clips_at_a_time().clamp(1, batch.max(1));
        let share = batch.div_ceil(together).max(1);
        scratch.others.resize_with(scratch.others.len().max(together - 1), Scratch::default);
        let mut others = std::mem::take(&mut scratch.others);
        let mut parts: Vec<_> =
            outputs.iter_mut().zip(&sizes).map(|(o, s)| o.chunks_mut(share * s)).collect();
        let clips = x.chunks(share * size).zip(std::iter::once(&mut *scratch).chain(&mut others));
        let tasks: Vec<_> =
            clips.map(|(x, scratch)| (x, scratch, parts.iter_mut().map(Iterator::next).collect())).collect();
        tasks
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(x, scratch, outputs)| self.clips(x, scratch, outputs));
        scratch.others = others;
        Ok(outputs)
    }

    /// How many clips are worth computing at the same time.
    fn clips_at_a_time(&self) -> usize {
        let largest = self.network.nodes.iter().map(|node| node.value.len()).max().unwrap_or(0);
        if largest <= SMALL { rayon::current_num_threads() } else { 1 }
    }

    /// Runs the network on one clip after another.
    fn clips(&self, x: &[f32], scratch: &mut Scratch, mut outputs: Vec<Option<&mut [f32]>>) {
        let nodes = self.network.plan.nodes();
        for (clip, x) in x.chunks_exact(volume(self.network.plan.input())).enumerate() {
            self.watch(x, scratch, &mut |index, layout, values| {
                let asked = self.outputs.iter().zip(outputs.iter_mut()).filter(|&(&node, _)| node == index);
                let size = volume(nodes[index].shape);
                asked
                    .filter_map(|(_, output)| output.as_mut())
                    .for_each(|output| layout.write_planes(values, &mut output[clip * size..][..size]));
            });
        }
    }

    /// Runs the network on one clip, and shows each node's values as they come.
    pub(crate) fn watch(
        &self,
        x: &[f32],
        scratch: &mut Scratch,
        see: &mut dyn FnMut(usize, &Layout, &[f32]),
    ) {
        let (network, buffers) = (&self.network, &mut scratch.buffers);
        let machine = Machine { isa: network.isa, winograd: &scratch.winograd };
        let mut uses = self.uses.clone();
        let mut values: Vec<Option<Aligned>> = vec![None; uses.len()];
        for (index, node) in
            network.plan.nodes().iter().enumerate().filter(|&(index, _)| self.uses[index] > 0)
        {
            let layout = &network.nodes[index].value;
            let mut value = buffers.take(layout.len());
            let inputs: Vec<&[f32]> =
                node.inputs.iter().map(|&i| values[i].as_deref().unwrap_or_default()).collect();
            match &self.convs[index] {
                Some(conv) => {
                    conv.way.run(machine, inputs[0], &conv.packed, &conv.finish(), &mut value);
                }
                None => network.other_forward(index, &inputs, x, &mut value),
            }
            see(index, layout, &value);
            uses[index] -= self.outputs.iter().filter(|&&node| node == index).count();
            values[index] = Some(value);
            for node in node.inputs.iter().copied().chain([index]) {
                uses[node] -= usize::from(node != index);
                if uses[node] == 0
                    && let Some(value) = values[node].take()
                {
                    buffers.give(value);
                }
            }
        }
    }
}
