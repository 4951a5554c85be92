//! Inference in bytes: activations unsigned and weights signed, both with a scale for each channel, sums
//! in 32-bit integers (Jacob et al., "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", CVPR 2018, equation 4; what is done to the sums stays in floats
//! here).
//!
//! Zero lies in every range, so that a byte stands for it exactly, and the margins hold that byte. The
//! steps of a convolution's input are put into its weight before that is rounded. Nodes that copy values
//! (pooling, joining, …) have the scales of what they read.

mod calibrate;
mod compile;
mod direct;
mod dot;
mod few;
mod pass;
mod scale;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

use rayon::prelude::*;

use self::direct::DirectInt8;
use self::dot::Unit;
use self::few::FewInt8;
use self::scale::Scale;
pub use self::scale::Scales;
use super::frozen::Scratch;
use super::layout::Layout;
use super::network::{RunError, check, volume};
use super::plan::{Operation, Plan};
use super::select::{self, Batch, Target};
use crate::aligned::Aligned;
use crate::tile::LANES;

/// A network for inference in bytes: faster than [`super::Frozen`] where the processor has AVX-512 VNNI or AMX,
/// and less accurate. Made by [`super::Network::freeze_int8`].
#[derive(Clone, Debug)]
pub struct FrozenInt8 {
    plan: Plan,
    unit: Unit,
    /// The nodes that are needed.
    nodes: Vec<Option<NodeInt8>>,
    outputs: Vec<usize>,
    /// How many nodes read each node, or ask for it; 0 where it is not needed.
    uses: Vec<usize>,
}

#[derive(Clone, Debug)]
struct NodeInt8 {
    layout: Layout,
    /// Of its values, unless they are floats.
    scale: Scale,
    conv: Option<ConvInt8>,
}

#[derive(Clone, Debug)]
enum ConvInt8 {
    Bytes(DirectInt8),
    /// Of a node that is asked for, and that no node reads.
    Floats(DirectInt8),
    Few(FewInt8),
}

/// A node's values.
enum Values {
    Bytes(Aligned<u8>),
    Floats(Aligned<f32>),
}

impl Values {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Floats(_) => unreachable!("no node reads floats"),
        }
    }

    fn give(self, scratch: &mut Scratch) {
        match self {
            Self::Bytes(bytes) => scratch.bytes.give(bytes),
            Self::Floats(floats) => scratch.buffers.give(floats),
        }
    }
}

impl FrozenInt8 {
    /// Runs the network on `x` = `[batch][C][T][H][W]`: the values `[batch][C][T][H][W]` of the nodes
    /// that it was frozen for. A clip's result has the same bits whatever the batch and the number of
    /// threads. Values beyond those seen in calibration saturate; NaN counts as the least.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, RunError> {
        let size = volume(self.plan.input());
        check("input", batch.saturating_mul(size), x.len())?;
        let mut outputs: Vec<Vec<f32>> = self
            .outputs
            .iter()
            .map(|&node| vec![0.0; batch * volume(self.plan.nodes()[node].shape)])
            .collect();
        for (clip, x) in x.chunks_exact(size).enumerate() {
            self.run_clip(clip, x, scratch, &mut outputs);
        }
        Ok(outputs)
    }

    fn run_clip(&self, clip: usize, x: &[f32], scratch: &mut Scratch, outputs: &mut [Vec<f32>]) {
        let mut uses = self.uses.clone();
        let mut values: Vec<Option<Values>> = uses.iter().map(|_| None).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let value = self.run_node(index, node, x, &values, scratch);
            let asked = self.outputs.iter().zip(outputs.iter_mut()).filter(|&(&output, _)| output == index);
            for (_, output) in asked {
                let size = volume(self.plan.nodes()[index].shape);
                node.write_planes(&value, &mut output[clip * size..][..size]);
                uses[index] -= 1;
            }
            values[index] = Some(value);
            let inputs = &self.plan.nodes()[index].inputs;
            inputs.iter().for_each(|&input| uses[input] -= 1);
            for &node in inputs.iter().chain([&index]) {
                if uses[node] == 0
                    && let Some(value) = values[node].take()
                {
                    value.give(scratch);
                }
            }
        }
    }

    fn run_node(
        &self,
        index: usize,
        node: &NodeInt8,
        x: &[f32],
        values: &[Option<Values>],
        scratch: &mut Scratch,
    ) -> Values {
        let inputs: Vec<Batch<'_, u8>> = self.plan.nodes()[index]
            .inputs
            .iter()
            .filter_map(|&input| {
                let layout = &self.nodes[input].as_ref()?.layout;
                Some(Batch { layout, values: values[input].as_ref()?.bytes(), slots: None })
            })
            .collect();
        let Scratch { buffers, bytes, .. } = scratch;
        let len = node.layout.len();
        match &node.conv {
            Some(ConvInt8::Few(conv)) => {
                let mut value = buffers.take(len);
                conv.run(self.unit, inputs[0].values, &mut value);
                Values::Floats(value)
            }
            Some(ConvInt8::Floats(conv)) => {
                let mut value = buffers.take(len);
                conv.run(self.unit, inputs[0].values, &(), &mut value);
                Values::Floats(value)
            }
            Some(ConvInt8::Bytes(conv)) => {
                let mut value = bytes.take(len);
                conv.run(self.unit, inputs[0].values, &node.scale, &mut value);
                Values::Bytes(value)
            }
            None => {
                let mut value = bytes.take(len);
                self.other(index, node, x, &inputs, &mut value);
                Values::Bytes(value)
            }
        }
    }

    /// The nodes that are no convolutions. `x` is the plan's input, and `inputs` the node's.
    fn other(&self, index: usize, node: &NodeInt8, x: &[f32], inputs: &[Batch<'_, u8>], value: &mut [u8]) {
        match &self.plan.nodes()[index].operation {
            Operation::Input => node.read_planes(self.unit, x, value),
            other => {
                let target = Target { layout: &node.layout, times: None };
                select::forward(other, self.unit.isa, inputs, &target, value);
            }
        }
        node.fill_margins(value);
    }
}

impl NodeInt8 {
    fn write_planes(&self, values: &Values, planes: &mut [f32]) {
        match values {
            Values::Floats(floats) => self.layout.write_planes(floats, planes),
            Values::Bytes(bytes) => {
                self.layout.write_planes_by(bytes, planes, |channel, byte| self.scale.value(channel, byte));
            }
        }
    }

    /// Writes what stands for zero around the values.
    fn fill_margins(&self, bytes: &mut [u8]) {
        let layout = &self.layout;
        if layout.margin == [0, 0] {
            return;
        }
        let rows = layout.shape[0] * layout.shape[1];
        bytes.par_chunks_mut(layout.row_pitch()).enumerate().with_min_len(16).for_each(|(index, row)| {
            let zeros = self.scale.zeros_of::<LANES>(index / rows);
            layout.fill_margins(row, &zeros[..layout.lanes]);
        });
    }

    /// Fills a clip's bytes from `[C][T][H][W]`.
    fn read_planes(&self, unit: Unit, planes: &[f32], bytes: &mut [u8]) {
        let layout = &self.layout;
        let ([time, height, width], lanes) = (layout.shape, layout.lanes);
        let plane = time * height * width;
        bytes.par_chunks_mut(layout.row_pitch()).enumerate().with_min_len(4).for_each_init(
            || vec![0; width],
            |line, (index, row)| {
                let (block, rest) = (index / (time * height), index % (time * height));
                let row = &mut row[layout.inside()];
                for lane in 0..lanes.min(layout.channels - block * lanes) {
                    let channel = block * lanes + lane;
                    let (step, zero) = (self.scale.steps[channel], self.scale.zeros[channel]);
                    let start = channel * plane + rest * width;
                    pass::quantise(unit.isa, step, zero, &planes[start..][..width], line);
                    row[lane..].iter_mut().step_by(lanes).zip(&*line).for_each(|(to, from)| *to = *from);
                }
            },
        );
    }
}
