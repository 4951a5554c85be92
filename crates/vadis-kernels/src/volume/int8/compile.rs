//! Chooses each node's layout and each convolution's way, and quantises the weights.

use super::direct::DirectInt8;
use super::dot::{GROUP, Unit};
use super::few::FewInt8;
use super::scale::{Scale, Scales, Weight};
use super::{ConvInt8, FrozenInt8, NodeInt8, calibrate};
use crate::volume::compile::window;
use crate::volume::direct::Direct;
use crate::volume::frozen::folded;
use crate::volume::layout::{Layout, is_few};
use crate::volume::network::{Network, RunError, check};
use crate::volume::plan::{Conv, Node, Operation, Plan};

impl Network {
    /// The network frozen for inference of `nodes` in bytes, as [`Network::freeze`] does it in floats.
    /// The ranges of all values are those over `clips` = `[n][C][T][H][W]`, at least one: like the clips
    /// that will come, with their brightest and darkest.
    ///
    /// # Errors
    /// A slice has another length than the plan says, there is no such node, or a node's values over
    /// the clips are not finite.
    pub fn freeze_int8(
        &self,
        parameter: &[f32],
        buffers: &[f32],
        nodes: &[&str],
        clips: &[f32],
    ) -> Result<FrozenInt8, RunError> {
        let scales = self.int8_scales(parameter, buffers, nodes, clips)?;
        self.freeze_int8_by(parameter, buffers, nodes, &scales)
    }

    /// What the bytes of [`Network::freeze_int8`] stand for, to be kept in place of the clips.
    ///
    /// # Errors
    /// As [`Network::freeze_int8`].
    pub fn int8_scales(
        &self,
        parameter: &[f32],
        buffers: &[f32],
        nodes: &[&str],
        clips: &[f32],
    ) -> Result<Scales, RunError> {
        let frozen = self.freeze(parameter, buffers, nodes)?;
        Ok(Scales(calibrate::scales(&frozen, self.plan(), clips)?))
    }

    /// As [`Network::freeze_int8`], with scales that were found before.
    ///
    /// # Errors
    /// A slice has another length than the plan says, there is no such node, or the scales are another
    /// plan's.
    pub fn freeze_int8_by(
        &self,
        parameter: &[f32],
        buffers: &[f32],
        nodes: &[&str],
        Scales(scales): &Scales,
    ) -> Result<FrozenInt8, RunError> {
        let plan = self.plan();
        check("parameter", plan.parameter_count(), parameter.len())?;
        check("buffers", plan.buffer_count(), buffers.len())?;
        let channels = |scales: &[Scale]| scales.iter().map(|scale| scale.steps.len()).sum();
        check("scales", plan.nodes().iter().map(|node| node.shape[0]).sum(), channels(scales))?;
        let (outputs, uses) = self.needs(nodes)?;
        let ways = Ways::new(plan, &outputs, &uses);
        let compiled = |(index, node): (usize, &Node)| {
            let conv = match &node.operation {
                _ if uses[index] == 0 => return None,
                Operation::Conv(conv) => {
                    let [weight, bias] = folded(node, conv, parameter, buffers);
                    Some(ways.conv(index, node, conv, scales, [&weight, &bias]))
                }
                _ => None,
            };
            Some(NodeInt8 { layout: ways.layouts[index], scale: scales[index].clone(), conv })
        };
        let nodes = plan.nodes().iter().enumerate().map(compiled).collect();
        Ok(FrozenInt8 { plan: plan.clone(), unit: Unit::new(self.isa()), nodes, outputs, uses })
    }
}

/// How the nodes are laid out.
struct Ways {
    layouts: Vec<Layout>,
    /// Nodes whose values are floats: those that are asked for and that no node reads.
    floats: Vec<bool>,
}

impl Ways {
    fn new(plan: &Plan, outputs: &[usize], uses: &[usize]) -> Self {
        let nodes = plan.nodes();
        let asked = |index: usize| outputs.iter().filter(|&&output| output == index).count();
        let floats: Vec<bool> = (0..nodes.len()).map(|index| uses[index] == asked(index)).collect();
        let quads = quads(plan);
        let layout = |(index, node): (usize, &Node)| {
            let few = match &node.operation {
                Operation::Conv(conv) => {
                    let one = conv.transposed.is_some() || conv.stride == [1; 3];
                    floats[index] && one && is_few(conv.cout) && !quads[node.inputs[0]]
                }
                _ => false,
            };
            let layout = Layout::new(node.shape, few);
            Layout { lanes: if quads[index] { GROUP } else { layout.lanes }, ..layout }
        };
        let mut layouts: Vec<Layout> = nodes.iter().enumerate().map(layout).collect();
        for (index, node) in nodes.iter().enumerate() {
            if let Operation::Conv(conv) = &node.operation
                && layouts[index].is_blocked()
            {
                let [from, to] = [layouts[node.inputs[0]], layouts[index]];
                let margin = Direct::margin(&window(conv), conv.transposed.is_some(), &from, &to);
                layouts[node.inputs[0]].widen(margin);
            }
        }
        Self { layouts, floats }
    }

    fn conv(
        &self,
        index: usize,
        node: &Node,
        conv: &Conv,
        scales: &[Scale],
        [weight, bias]: [&[f32]; 2],
    ) -> ConvInt8 {
        let taps: usize = conv.kernel.iter().product();
        let input = node.inputs[0];
        let channels = |element: usize| match conv.transposed {
            None => [element / taps % conv.cin, element / (conv.cin * taps)],
            Some(_) => [element / (conv.cout * taps), element / taps % conv.cout],
        };
        let scaled = |(element, value): (usize, &f32)| value * scales[input].steps[channels(element)[0]];
        let weight: Vec<f32> = weight.iter().enumerate().map(scaled).collect();
        let weight = Weight::new(&weight, conv.cout, |element| channels(element)[1]);
        let layouts = [self.layouts[input], self.layouts[index]];
        let window = (&window(conv), conv.transposed.is_some());
        if !layouts[1].is_blocked() {
            return ConvInt8::Few(FewInt8::new(
                window,
                layouts,
                &scales[input],
                (&weight, bias),
                conv.activation,
            ));
        }
        let direct = DirectInt8::new(window, layouts, &scales[input], (&weight, bias), conv.activation);
        if self.floats[index] { ConvInt8::Floats(direct) } else { ConvInt8::Bytes(direct) }
    }
}

/// Which nodes have so few channels that one group holds them, and are read by convolutions only.
fn quads(plan: &Plan) -> Vec<bool> {
    let nodes = plan.nodes();
    let mut quads: Vec<bool> = nodes
        .iter()
        .map(|node| {
            node.shape[0] <= GROUP && matches!(node.operation, Operation::Input | Operation::Sample { .. })
        })
        .collect();
    // What a sampling reads has its lanes, and it those of what it reads: until nothing changes.
    loop {
        let before = quads.clone();
        for (index, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                match node.operation {
                    Operation::Conv(_) => {}
                    Operation::Sample { .. } => {
                        let both = quads[index] && quads[input];
                        (quads[index], quads[input]) = (both, both);
                    }
                    _ => quads[input] = false,
                }
            }
        }
        if quads == before {
            return quads;
        }
    }
}
