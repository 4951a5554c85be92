//! Chooses each node's layout and each convolution's ways.

use rayon::prelude::*;

use super::direct::{Direct, Finish, MOMENTS};
use super::few::Few;
#[cfg(target_arch = "x86_64")]
use super::halves::ByHalves;
use super::layout::{Layout, is_few};
use super::plan::{Conv, Node, Operation, Plan};
use super::slices::Slices;
use super::taps::Window;
#[cfg(target_arch = "x86_64")]
use super::weight_halves::WeightsByHalves;
use super::weights::WeightGradient;
use super::winograd::{self, Epilogue, Pass, TileSize, Winograd};
use crate::Isa;
use crate::aligned::Aligned;
use crate::elementwise::add;

/// Time of a product by tiles of halves, relative to one of floats.
#[cfg(target_arch = "x86_64")]
const HALVES: f64 = 0.4;
/// As above, in a weight gradient, where less is brought to halves for each product.
#[cfg(target_arch = "x86_64")]
const WEIGHT_HALVES: f64 = 0.3;

/// A node ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    /// Its values.
    pub(crate) value: Layout,
    /// The gradient with respect to them.
    pub(crate) delta: Layout,
    /// The input of its norm.
    pub(crate) raw: Layout,
    pub(crate) ways: Option<Ways>,
}

/// What kernels run with.
#[derive(Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) isa: Isa,
    pub(crate) winograd: &'a winograd::Scratch,
}

impl<'a> Machine<'a> {
    fn pass(self) -> Pass<'a> {
        Pass { isa: self.isa, scratch: self.winograd }
    }
}

/// What may be used beside plain sums of floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fast {
    /// Fast convolution, over such tiles.
    pub(crate) tiles: Option<TileSize>,
    /// Products of floats' halves.
    pub(crate) halves: bool,
}

/// How a convolution is computed.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) forward: Way,
    pub(crate) backward: Way,
    pub(crate) weights: WeightWay,
}

/// How a weight gradient is computed.
#[derive(Clone, Debug)]
pub(crate) enum WeightWay {
    Direct {
        gradient: WeightGradient,
        /// Whether the scalars are those of the output's gradient, instead of the input.
        scalar_delta: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Halves {
        gradient: WeightsByHalves,
        /// As above.
        scalar_delta: bool,
    },
    Winograd {
        winograd: Winograd,
        /// Whether it is that of a transposed convolution, whose sides have changed places.
        transposed: bool,
    },
}

impl WeightWay {
    /// Writes the gradient, from the input and the output's gradient.
    pub(crate) fn run(&self, machine: Machine<'_>, x: &[f32], delta: &[f32], gradient: &mut [f32]) {
        let sides = |swapped: bool| if swapped { [delta, x] } else { [x, delta] };
        match self {
            Self::Direct { gradient: way, scalar_delta } => {
                let [scalar, vector] = sides(*scalar_delta);
                way.run(machine.isa, scalar, vector, gradient);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Halves { gradient: way, scalar_delta } => {
                let [scalar, vector] = sides(*scalar_delta);
                way.run(scalar, vector, gradient);
            }
            Self::Winograd { winograd, transposed } => {
                let [input, output] = sides(*transposed);
                winograd.weight_gradient(machine.pass(), input, output, gradient);
            }
        }
    }
}

/// One convolution of volumes.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Direct(Direct),
    Few(Few),
    Winograd(Winograd, Layout),
    #[cfg(target_arch = "x86_64")]
    Halves(ByHalves),
}

impl Way {
    fn new(window: &Window, phased: bool, from: Layout, to: Layout, fast: Fast) -> Self {
        #[cfg(target_arch = "x86_64")]
        let halves = fast.halves.then(|| ByHalves::new(window, phased, from, to)).flatten();
        #[cfg(target_arch = "x86_64")]
        let direct = if halves.is_some() { HALVES } else { 1.0 };
        #[cfg(not(target_arch = "x86_64"))]
        let direct = 1.0;
        if let Some(winograd) = winograd(window, phased, [&from, &to], fast.tiles, direct) {
            return Self::Winograd(winograd, to);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(way) = halves {
            return Self::Halves(way);
        }
        match to.is_blocked() {
            true => Self::Direct(Direct::new(window, phased, from, to)),
            false => Self::Few(Few::new(window, phased, from, to, fast.halves)),
        }
    }

    pub(crate) fn packed_len(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.packed_len(),
            Self::Few(few) => few.packed_len(),
            Self::Winograd(winograd, _) => winograd.packed_len(),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => way.packed_len(),
        }
    }

    /// Brings a weight into the order in which it is read, in memory that held that of another weight,
    /// or zeros.
    pub(crate) fn pack_into(&self, isa: Isa, weight: &[f32], packed: &mut [f32]) {
        match self {
            Self::Direct(direct) => direct.pack_into(weight, packed),
            Self::Few(few) => few.pack_into(weight, packed),
            Self::Winograd(winograd, _) => winograd.pack(isa, weight, packed),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => way.pack_into(weight, packed),
        }
    }

    pub(crate) fn run(
        &self,
        machine: Machine<'_>,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) {
        match self {
            Self::Direct(direct) => direct.run(machine.isa, input, packed, finish, output, &mut []),
            Self::Few(few) => few.run(machine.isa, input, packed, finish, output),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => way.run(machine.isa, [input, packed], finish, output, &mut []),
            Self::Winograd(winograd, to) if finish.accumulate => {
                let mut sums = Aligned::new(output.len());
                winograd.forward(machine.pass(), input, packed, &Epilogue::default(), &mut sums, &mut []);
                to.clear_all_margins(&mut sums);
                let rows = output.par_chunks_mut(to.row_pitch()).zip(sums.par_chunks(to.row_pitch()));
                rows.with_min_len(16).for_each(|(row, sums)| add(machine.isa, row, sums));
            }
            Self::Winograd(winograd, to) => {
                winograd.forward(machine.pass(), input, packed, &epilogue(finish), output, &mut []);
                to.clear_all_margins(output);
            }
        }
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(self, slots: [usize; 2]) -> Self {
        match self {
            Self::Direct(direct) => Self::Direct(direct.with_slots(slots)),
            Self::Few(few) => Self::Few(few.with_slots(slots)),
            Self::Winograd(winograd, to) => {
                Self::Winograd(winograd.with_slots(slots), Layout { slots: slots[1], ..to })
            }
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => Self::Halves(way.with_slots(slots)),
        }
    }

    /// Computes some slices of one clip's output. Its margins must be zero.
    pub(crate) fn run_slices(
        &self,
        machine: Machine<'_>,
        [input, packed]: [&[f32]; 2],
        finish: &Finish<'_>,
        output: &mut [f32],
        slices: &Slices<'_>,
    ) {
        match self {
            Self::Direct(way) => {
                way.run_slices(machine.isa, input, packed, finish, output, &mut [], slices);
            }
            Self::Few(way) => way.run_slices(machine.isa, input, packed, finish, output, slices),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => {
                way.run_slices(machine.isa, [input, packed], finish, output, &mut [], slices);
            }
            Self::Winograd(way, _) => {
                let epilogue = epilogue(finish);
                way.forward_slices(machine.pass(), input, packed, &epilogue, output, &mut [], slices);
            }
        }
    }

    /// As [`Way::run`], and gives each output channel's sum and sum of squares. Of outputs in sixteen
    /// lanes only.
    pub(crate) fn run_with_sums(
        &self,
        machine: Machine<'_>,
        batch: usize,
        [input, packed]: [&[f32]; 2],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) -> Vec<[f64; 2]> {
        match self {
            Self::Direct(direct) => {
                let mut moments = vec![0.0; direct.task_count(batch) * MOMENTS];
                direct.run(machine.isa, input, packed, finish, output, &mut moments);
                direct.reduce(&moments)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Halves(way) => {
                let mut moments = vec![0.0; way.task_count(batch) * MOMENTS];
                way.run(machine.isa, [input, packed], finish, output, &mut moments);
                way.reduce(&moments)
            }
            Self::Few(_) => unreachable!("a node with a norm has sixteen lanes"),
            Self::Winograd(winograd, to) => {
                let mut sums = vec![0.0; winograd.sums_len(batch)];
                winograd.forward(machine.pass(), input, packed, &epilogue(finish), output, &mut sums);
                to.clear_all_margins(output);
                winograd.reduce_sums(&sums)
            }
        }
    }
}

fn epilogue<'a>(finish: &Finish<'a>) -> Epilogue<'a> {
    Epilogue { scale: &[], shift: finish.bias, activation: finish.activation }
}

/// Fast convolution, where the shape suits it and it is worth it beside a direct one whose products take so long, relative to
/// those of floats.
fn winograd(
    window: &Window,
    phased: bool,
    [from, to]: [&Layout; 2],
    tiles: Option<TileSize>,
    direct: f64,
) -> Option<Winograd> {
    if !(from.is_blocked() && to.is_blocked()) {
        return None;
    }
    let winograd = Winograd::new(window, phased, [from.blocked(), to.blocked()], tiles?)?;
    winograd.is_worth_it(direct).then_some(winograd)
}

/// Compiles all nodes.
pub(crate) fn compile(plan: &Plan, fast: Fast) -> Vec<Compiled> {
    let packed = packed(plan);
    let layout = |index: usize| Layout::new(plan.nodes()[index].shape, packed[index]);
    let mut values: Vec<Layout> = (0..plan.nodes().len()).map(layout).collect();
    let mut deltas = values.clone();
    for (index, node) in plan.nodes().iter().enumerate() {
        if let Operation::Conv(conv) = &node.operation {
            widen(conv, node.inputs[0], index, &mut values, &mut deltas);
        }
    }
    let compiled = |(index, node): (usize, &Node)| {
        let ways = match &node.operation {
            Operation::Conv(conv) => Some(ways(conv, node.inputs[0], index, [&values, &deltas], fast)),
            _ => None,
        };
        let raw = Layout::new(node.shape, false);
        Compiled { value: values[index], delta: deltas[index], raw, ways }
    };
    plan.nodes().iter().enumerate().map(compiled).collect()
}

fn consumers(plan: &Plan, index: usize) -> impl Iterator<Item = (usize, &Node)> {
    plan.nodes().iter().enumerate().filter(move |(_, node)| node.inputs.contains(&index))
}

fn slides(conv: &Conv) -> bool {
    conv.stride == [1; 3]
}

/// Whether all that read a node can read packed lanes.
fn suits_consumers(plan: &Plan, index: usize) -> bool {
    consumers(plan, index).all(|(consumer, node)| match &node.operation {
        Operation::Conv(conv) => conv.transposed.is_none() || slides(conv),
        Operation::Sample { .. } => suits_consumers(plan, consumer),
        _ => false,
    })
}

/// Which nodes keep as many lanes as channels.
fn packed(plan: &Plan) -> Vec<bool> {
    let mut packed: Vec<bool> = Vec::with_capacity(plan.nodes().len());
    for (index, node) in plan.nodes().iter().enumerate() {
        let writable = match &node.operation {
            Operation::Input => true,
            Operation::Sample { .. } => packed[node.inputs[0]],
            Operation::Conv(conv) => {
                conv.norm.is_none() && !packed[node.inputs[0]] && (conv.transposed.is_some() || slides(conv))
            }
            _ => false,
        };
        packed.push(writable && is_few(node.shape[0]) && suits_consumers(plan, index));
    }
    packed
}

pub(crate) fn window(conv: &Conv) -> Window {
    Window { kernel: conv.kernel, stride: conv.stride, padding: conv.padding }
}

/// Whether the weight gradient's scalars are the output's gradient. That side must be the larger one
/// of a strided convolution, and the other must have sixteen lanes.
fn scalar_delta(conv: &Conv, value: &Layout, delta: &Layout) -> bool {
    match conv.transposed {
        None => !delta.is_blocked(),
        Some(_) => value.is_blocked(),
    }
}

fn widen(conv: &Conv, input: usize, output: usize, values: &mut [Layout], deltas: &mut [Layout]) {
    let (window, phased) = (window(conv), conv.transposed.is_some());
    let (x, dy) = (values[input], deltas[output]);
    if values[output].is_blocked() {
        values[input].widen(Direct::margin(&window, phased, &x, &values[output]));
    }
    if deltas[input].is_blocked() {
        deltas[output].widen(Direct::margin(&window, !phased, &dy, &deltas[input]));
    }
    let scalar_delta = scalar_delta(conv, &x, &dy);
    let turned = scalar_delta != phased;
    if scalar_delta {
        deltas[output].widen(WeightGradient::margin(&window, turned, &dy, &x));
    } else {
        values[input].widen(WeightGradient::margin(&window, turned, &x, &dy));
    }
}

fn ways(conv: &Conv, input: usize, output: usize, [values, deltas]: [&[Layout]; 2], fast: Fast) -> Ways {
    let (window, phased) = (window(conv), conv.transposed.is_some());
    let (x, dy) = (values[input], deltas[output]);
    let raw = Layout { margin: [0, 0], ..values[output] };
    let written = if conv.norm.is_some() { raw } else { values[output] };
    let weights = weight_way(&window, phased, [x, dy], scalar_delta(conv, &x, &dy), fast);
    Ways {
        forward: Way::new(&window, phased, x, written, fast),
        backward: Way::new(&window, !phased, dy, deltas[input], fast),
        weights,
    }
}

fn weight_way(
    window: &Window,
    phased: bool,
    [x, dy]: [Layout; 2],
    scalar_delta: bool,
    fast: Fast,
) -> WeightWay {
    let (scalar, vector) = if scalar_delta { (dy, x) } else { (x, dy) };
    let gradient = WeightGradient::new(window, scalar_delta != phased, scalar, vector);
    let sides = if phased { [&dy, &x] } else { [&x, &dy] };
    #[cfg(target_arch = "x86_64")]
    let halves = fast.halves.then(|| WeightsByHalves::new(&gradient)).flatten();
    #[cfg(target_arch = "x86_64")]
    let direct = if halves.is_some() { WEIGHT_HALVES } else { 1.0 };
    #[cfg(not(target_arch = "x86_64"))]
    let direct = 1.0;
    let winograd = winograd(window, false, sides, fast.tiles, direct).filter(Winograd::has_weight_gradient);
    if let Some(winograd) = winograd {
        return WeightWay::Winograd { winograd, transposed: phased };
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(gradient) = halves {
        return WeightWay::Halves { gradient, scalar_delta };
    }
    WeightWay::Direct { gradient, scalar_delta }
}

/// A node's convolution in inference writes its values directly.
pub(crate) fn inference_way(plan: &Plan, compiled: &[Compiled], index: usize, fast: Fast) -> Option<Way> {
    let node = &plan.nodes()[index];
    let Operation::Conv(conv) = &node.operation else { return None };
    let from = compiled[node.inputs[0]].value;
    Some(Way::new(&window(conv), conv.transposed.is_some(), from, compiled[index].value, fast))
}
