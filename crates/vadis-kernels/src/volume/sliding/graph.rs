//! The nodes of networks in a chain, the time slices that each slice reads, and which slices are the
//! same in windows that begin at different frames.

use std::collections::HashMap;

use crate::volume::frozen::Frozen;
use crate::volume::network::{RunError, check};
use crate::volume::plan::{Conv, Operation, Plan};
use crate::volume::taps::{Axis, Tap, Window};

/// A node of one of the networks.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Which network of the chain.
    pub(super) network: usize,
    /// Its place in that one's plan.
    pub(super) index: usize,
    /// The nodes it reads; a network's input reads the output of the network before it.
    pub(super) inputs: Vec<usize>,
    /// For each of its slices what it reads, in the order of the sums.
    pub(super) reads: Vec<Vec<Read>>,
    /// What each of its slices is.
    pub(super) labels: Vec<Label>,
    /// Multiply-adds of a slice for each slice that it reads, times two.
    pub(super) flops: f64,
}

/// A slice that is read: by which tap of the kernel (of a join: as which input), of which node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) tap: usize,
    pub(super) node: usize,
    pub(super) t: usize,
}

/// What a slice is. Slices of one pattern and origin are the same sums of the same frames, in whatever
/// windows they are, and so have the same bits. A slice that sees a window's zero padding has another
/// pattern than one that does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    /// How it is computed, down to the frames.
    pub(super) pattern: usize,
    /// The first frame that it depends on, if it depends on any.
    pub(super) origin: Option<isize>,
}

impl Label {
    /// As it is where the window begins `frames` later.
    pub(super) fn shifted(self, frames: isize) -> Self {
        Self { origin: self.origin.map(|origin| origin + frames), ..self }
    }
}

/// The nodes of all networks, each after those that it reads.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) output: usize,
}

impl Graph {
    pub(super) fn new(networks: &[Frozen]) -> Result<Self, RunError> {
        let mut graph = Self { nodes: Vec::new(), output: 0 };
        let mut patterns = Patterns::default();
        let mut before: Option<&Frozen> = None;
        for (network, frozen) in networks.iter().enumerate() {
            let output = output_of(frozen)?;
            if let Some(before) = before {
                fits(before.network.plan.nodes()[output_of(before)?].shape, frozen.network.plan.input())?;
            }
            let first = graph.nodes.len();
            graph.append(network, &frozen.network.plan, &mut patterns);
            graph.output = first + output;
            before = Some(frozen);
        }
        if networks.is_empty() { Err(RunError::Outputs { got: 0 }) } else { Ok(graph) }
    }

    /// Appends a network that reads the output so far.
    fn append(&mut self, network: usize, plan: &Plan, patterns: &mut Patterns) {
        let first = self.nodes.len();
        for (index, node) in plan.nodes().iter().enumerate() {
            let inputs = match (index, network) {
                (0, 0) => Vec::new(),
                (0, _) => vec![self.output],
                _ => node.inputs.iter().map(|input| first + input).collect(),
            };
            let reads: Vec<Vec<Read>> = (0..node.shape[1]).map(|t| reads(plan, index, &inputs, t)).collect();
            let label = |(t, reads): (usize, &Vec<Read>)| patterns.label(&self.nodes, t, reads);
            let labels = reads.iter().enumerate().map(label).collect();
            self.nodes.push(Node { network, index, inputs, reads, labels, flops: flops(plan, index) });
        }
    }
}

/// The one node that a network was frozen for.
fn output_of(frozen: &Frozen) -> Result<usize, RunError> {
    match frozen.outputs[..] {
        [output] => Ok(output),
        _ => Err(RunError::Outputs { got: frozen.outputs.len() }),
    }
}

/// Whether a network reads what the one before it writes.
fn fits(written: [usize; 4], read: [usize; 4]) -> Result<(), RunError> {
    let names = ["channels", "time", "height", "width"];
    names
        .into_iter()
        .zip(read.into_iter().zip(written))
        .try_for_each(|(name, (read, written))| check(name, read, written))
}

/// The slices that slice `t` of a node reads.
fn reads(plan: &Plan, index: usize, inputs: &[usize], t: usize) -> Vec<Read> {
    let node = &plan.nodes()[index];
    let of_first = |(tap, t)| Read { tap, node: inputs[0], t };
    match &node.operation {
        Operation::Input => inputs.iter().map(|&node| Read { tap: 0, node, t }).collect(),
        Operation::Conv(conv) => {
            let axis = time_axis(conv, plan.nodes()[node.inputs[0]].shape[1], node.shape[1]);
            let (phase, place) = (t % axis.phases.len(), t / axis.phases.len());
            let read = |tap: &Tap| Some(of_first((tap.k, axis.reads(place, *tap)?)));
            axis.phases[phase].iter().filter_map(read).collect()
        }
        Operation::MaxPool { kernel, stride } => {
            (0..kernel[0]).map(|k| of_first((k, t * stride[0] + k))).collect()
        }
        Operation::Upsample { factor } => vec![of_first((0, t / factor[0]))],
        Operation::Sample { step } => vec![of_first((0, t * step))],
        Operation::Concat => inputs.iter().enumerate().map(|(tap, &node)| Read { tap, node, t }).collect(),
    }
}

fn time_axis(conv: &Conv, input: usize, output: usize) -> Axis {
    let window = Window { kernel: conv.kernel, stride: conv.stride, padding: conv.padding };
    Axis::new(&window, 0, conv.transposed.is_some(), input, output)
}

/// Multiply-adds of a node's slice for each temporal tap, times two; products with spatial padding are
/// counted.
fn flops(plan: &Plan, index: usize) -> f64 {
    let node = &plan.nodes()[index];
    let Operation::Conv(conv) = &node.operation else { return 0.0 };
    let [_, _, h, w] =
        if conv.transposed.is_some() { plan.nodes()[node.inputs[0]].shape } else { node.shape };
    let [_, kh, kw] = conv.kernel;
    2.0 * [h, w, kh, kw, conv.cin, conv.cout].iter().map(|&n| n as f64).product::<f64>()
}

/// How slices are computed. What a slice reads is given relative to the first frame that it depends on,
/// so that the same sums of later frames have the same pattern.
#[derive(Default)]
struct Patterns {
    known: HashMap<(usize, Vec<Relative>), usize>,
}

/// A slice that is read: its tap, its pattern, and how much later its first frame is than that of the
/// slice that reads it.
type Relative = (usize, usize, Option<isize>);

impl Patterns {
    /// The label of slice `t` of the next node.
    fn label(&mut self, nodes: &[Node], t: usize, reads: &[Read]) -> Label {
        if nodes.is_empty() {
            return Label { pattern: self.of(0, Vec::new()), origin: Some(t as isize) };
        }
        let labels = reads.iter().map(|read| (read.tap, nodes[read.node].labels[read.t]));
        let origin = labels.clone().filter_map(|(_, label)| label.origin).min();
        let relative = |(tap, label): (usize, Label)| {
            (tap, label.pattern, label.shifted(-origin.unwrap_or_default()).origin)
        };
        Label { pattern: self.of(nodes.len(), labels.map(relative).collect()), origin }
    }

    fn of(&mut self, node: usize, reads: Vec<Relative>) -> usize {
        let next = self.known.len();
        *self.known.entry((node, reads)).or_insert(next)
    }
}
