//! The static description of a network over clips: its nodes, their shapes, and where each parameter
//! and each running statistic lies.

use std::ops::Range;

use thiserror::Error;

use crate::Activation;

/// Largest number of values of one clip at a node, and of parameters: 2³⁰ (4 GB).
const MAX_VALUES: usize = 1 << 30;
/// Largest kernel, on each axis.
const MAX_KERNEL: usize = 5;
/// Largest stride, upsampling factor, and step of a temporal sampling.
const MAX_STRIDE: usize = 16;
/// Most nodes of a plan.
const MAX_NODES: usize = 1 << 10;

/// What is added to a variance before its root is taken, as PyTorch does by default.
pub const EPSILON: f32 = 1e-5;
/// Weight of a new batch in the running statistics, as PyTorch does by default.
pub const MOMENTUM: f32 = 0.1;

const AXES: [&str; 3] = ["time", "height", "width"];

/// A convolution or a transposed one, the batch norm after it, and the activation after that.
///
/// Kernel, stride and paddings are `[time, height, width]`. A convolution's weight is
/// `[cout, cin, kt, kh, kw]`, a transposed one's `[cin, cout, kt, kh, kw]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Kernel size, 1 to 5 on each axis.
    pub kernel: [usize; 3],
    /// Stride, 1 to 16 on each axis.
    pub stride: [usize; 3],
    /// Zeros added on both sides (of a transposed one: cut from both sides); below the kernel.
    pub padding: [usize; 3],
    /// For a transposed convolution: what is added at the end of each axis, below the stride.
    pub transposed: Option<[usize; 3]>,
    /// Whether there is a bias.
    pub bias: bool,
    /// Batch norm with an affine map; the name prefixes its `weight`, `bias`, `running_mean` and
    /// `running_var`.
    pub norm: Option<String>,
    /// Activation.
    pub activation: Activation,
}

impl Conv {
    /// A convolution with a bias, padded by (kernel − 1) / 2.
    pub fn new(cin: usize, cout: usize, kernel: [usize; 3], stride: [usize; 3]) -> Self {
        let padding = kernel.map(|k| k.saturating_sub(1) / 2);
        let (transposed, bias, norm, activation) = (None, true, None, Activation::None);
        Self { cin, cout, kernel, stride, padding, transposed, bias, norm, activation }
    }

    /// A transposed convolution with a bias, padded by (kernel − 1) / 2.
    pub fn transposed(
        cin: usize,
        cout: usize,
        kernel: [usize; 3],
        stride: [usize; 3],
        output_padding: [usize; 3],
    ) -> Self {
        Self { transposed: Some(output_padding), ..Self::new(cin, cout, kernel, stride) }
    }

    /// With another padding.
    pub fn padding(self, padding: [usize; 3]) -> Self {
        Self { padding, ..self }
    }

    /// Without a bias.
    pub fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// With batch norm, whose parameters have the prefix `name`.
    pub fn norm(self, name: impl Into<String>) -> Self {
        Self { norm: Some(name.into()), ..self }
    }

    /// With an activation, after the norm if there is one.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The weight's shape in PyTorch's layout.
    pub fn weight_shape(&self) -> [usize; 5] {
        let [kt, kh, kw] = self.kernel;
        match self.transposed {
            None => [self.cout, self.cin, kt, kh, kw],
            Some(_) => [self.cin, self.cout, kt, kh, kw],
        }
    }

    /// PyTorch's fan-in: the weight's second dimension times the kernel's volume.
    pub fn fan_in(&self) -> usize {
        self.weight_shape()[1..].iter().product()
    }

    fn output(&self, [channels, sizes @ ..]: [usize; 4]) -> Result<[usize; 4], Reason> {
        if self.cin != channels {
            return Err(Reason::Channels { expected: channels, got: self.cin });
        }
        at_least_one("output channels", self.cout)?;
        self.check_window()?;
        if let Activation::LeakyRelu(slope) = self.activation
            && !(slope.is_finite() && slope > 0.0)
        {
            return Err(Reason::Slope { got: slope });
        }
        let mut output = [self.cout, 0, 0, 0];
        for (axis, size) in sizes.into_iter().enumerate() {
            output[1 + axis] = match self.transposed {
                None => self.conv_size(axis, size)?,
                Some(extra) => self.transposed_size(axis, size, extra[axis])?,
            };
        }
        Ok(output)
    }

    fn check_window(&self) -> Result<(), Reason> {
        for (axis, name) in AXES.into_iter().enumerate() {
            within(name, "kernel", self.kernel[axis], [1, MAX_KERNEL])?;
            within(name, "stride", self.stride[axis], [1, MAX_STRIDE])?;
            within(name, "padding", self.padding[axis], [0, self.kernel[axis] - 1])?;
            if let Some(extra) = self.transposed {
                within(name, "output padding", extra[axis], [0, self.stride[axis] - 1])?;
            }
        }
        Ok(())
    }

    fn conv_size(&self, axis: usize, size: usize) -> Result<usize, Reason> {
        let (padded, kernel) = (size + 2 * self.padding[axis], self.kernel[axis]);
        if padded < kernel {
            return Err(Reason::KernelExceedsInput { axis: AXES[axis], input: padded, kernel });
        }
        Ok((padded - kernel) / self.stride[axis] + 1)
    }

    fn transposed_size(&self, axis: usize, size: usize, extra: usize) -> Result<usize, Reason> {
        let full = (size - 1) * self.stride[axis] + self.kernel[axis] + extra;
        let padding = self.padding[axis];
        if full <= 2 * padding {
            return Err(Reason::EmptyOutput { axis: AXES[axis], full, padding });
        }
        Ok(full - 2 * padding)
    }
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The clip that comes in.
    Input,
    /// Convolution, norm and activation.
    Conv(Conv),
    /// The largest value of each window; windows that would leave the input are dropped.
    MaxPool {
        /// Window size on `[time, height, width]`.
        kernel: [usize; 3],
        /// Distance between windows.
        stride: [usize; 3],
    },
    /// Each value repeated `factor` times on `[time, height, width]`.
    Upsample {
        /// Repetitions.
        factor: [usize; 3],
    },
    /// Its inputs, one after the other along the channels.
    Concat,
    /// Frames 0, `step`, 2·`step`, …
    Sample {
        /// Distance between frames.
        step: usize,
    },
}

/// A node in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name, unique; a convolution's prefixes its `weight` and `bias`.
    pub name: String,
    /// What it computes.
    pub operation: Operation,
    /// The nodes that it reads, all before it in [`Plan::nodes`].
    pub inputs: Vec<usize>,
    /// `[channels, time, height, width]` of what it writes.
    pub shape: [usize; 4],
    /// Where its parameters lie.
    pub places: Places,
}

/// Places of a convolution's values in the flat parameter and in the flat buffers; empty where it
/// has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// The weight, in the parameter.
    pub weight: Range<usize>,
    /// The bias, in the parameter.
    pub bias: Range<usize>,
    /// The norm's weight, in the parameter.
    pub norm_weight: Range<usize>,
    /// The norm's bias, in the parameter.
    pub norm_bias: Range<usize>,
    /// The running mean, in the buffers.
    pub mean: Range<usize>,
    /// The running variance, in the buffers.
    pub variance: Range<usize>,
}

/// A named part of the flat parameter or of the flat buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// PyTorch's name, such as `conv1.weight`.
    pub name: String,
    /// Its shape in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Its place.
    pub range: Range<usize>,
}

/// Why a node does not fit the plan.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Reason {
    /// The plan has no node of this name.
    #[error("there is no node `{name}`")]
    UnknownNode {
        /// The name.
        name: String,
    },
    /// Another node, parameter or buffer has the same name.
    #[error("the name `{name}` is taken")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The input channels are not what the node before it writes.
    #[error("channels: expected {expected} input channels, got {got}")]
    Channels {
        /// Channels that arrive.
        expected: usize,
        /// Channels that the node declares.
        got: usize,
    },
    /// Nodes to be joined differ on an axis.
    #[error("{axis}: expected {expected} as in `{first}`, got {got} in `{other}`")]
    Join {
        /// `time`, `height` or `width`.
        axis: &'static str,
        /// The first node joined.
        first: String,
        /// Its size.
        expected: usize,
        /// The node that differs.
        other: String,
        /// Its size.
        got: usize,
    },
    /// The window is larger than the (padded) input.
    #[error("{axis}: a window of {kernel} does not fit an input of {input}")]
    KernelExceedsInput {
        /// `time`, `height` or `width`.
        axis: &'static str,
        /// Input size with its padding.
        input: usize,
        /// Window size.
        kernel: usize,
    },
    /// The padding cuts the whole output away.
    #[error("{axis}: padding {padding} leaves nothing of a full output of {full}")]
    EmptyOutput {
        /// `time`, `height` or `width`.
        axis: &'static str,
        /// Output size before cutting.
        full: usize,
        /// Padding.
        padding: usize,
    },
    /// A setting is outside its bounds.
    #[error("{axis}: expected a {what} of {} to {}, got {got}", bounds[0], bounds[1])]
    OutOfBounds {
        /// `time`, `height` or `width`.
        axis: &'static str,
        /// Which setting.
        what: &'static str,
        /// Least and greatest value.
        bounds: [usize; 2],
        /// The value.
        got: usize,
    },
    /// Something that must be positive is zero.
    #[error("{what} must be at least 1")]
    Zero {
        /// What is zero.
        what: &'static str,
    },
    /// A size beyond what memory could hold.
    #[error("{what} of {sizes:?} is too large")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The sizes concerned.
        sizes: Vec<usize>,
    },
    /// The slope of a leaky ReLU is not a finite positive number.
    #[error("expected a finite positive slope, got {got}")]
    Slope {
        /// The slope.
        got: f32,
    },
}

/// A node that does not fit the plan.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("node `{node}`: {reason}")]
pub struct PlanError {
    /// The node's name.
    pub node: String,
    /// What is wrong.
    #[source]
    pub reason: Reason,
}

fn at_least_one(what: &'static str, got: usize) -> Result<(), Reason> {
    if got == 0 { Err(Reason::Zero { what }) } else { Ok(()) }
}

fn within(axis: &'static str, what: &'static str, got: usize, bounds: [usize; 2]) -> Result<(), Reason> {
    let inside = (bounds[0]..=bounds[1]).contains(&got);
    if inside { Ok(()) } else { Err(Reason::OutOfBounds { axis, what, bounds, got }) }
}

fn count(what: &'static str, sizes: &[usize]) -> Result<usize, Reason> {
    let product = sizes.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    product.filter(|&n| n <= MAX_VALUES).ok_or_else(|| Reason::TooLarge { what, sizes: sizes.to_vec() })
}

/// A validated network over clips of one shape: nodes that each read earlier ones.
///
/// All parameters lie in one flat vector, node after node: weight, bias, norm weight, norm bias, each
/// in PyTorch's layout. The running statistics of the norms lie in a second one: mean, variance.
///
/// ```
/// use vadis_kernels::Activation;
/// use vadis_kernels::volume::{Conv, Plan};
///
/// # fn main() -> Result<(), vadis_kernels::volume::PlanError> {
/// let leaky = Activation::LeakyRelu(0.2);
/// let plan = Plan::new("clip", [3, 16, 64, 64])?
///     .conv("0", "clip", Conv::new(3, 96, [3; 3], [1, 2, 2]).norm("1").activation(leaky))?
///     .conv("3", "0", Conv::transposed(96, 3, [3; 3], [1, 2, 2], [0, 1, 1]).activation(Activation::Tanh))?;
/// assert_eq!(plan.output(), [3, 16, 64, 64]);
/// assert_eq!(plan.parameters()[2].name, "1.weight");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    nodes: Vec<Node>,
    output: usize,
    parameters: Vec<View>,
    buffers: Vec<View>,
}

impl Plan {
    /// A plan whose only node is its input, `[channels, time, height, width]`.
    ///
    /// # Errors
    /// An axis of zero, or more than 2³⁰ values.
    pub fn new(name: &str, shape: [usize; 4]) -> Result<Self, PlanError> {
        let refuse = |reason| PlanError { node: name.to_owned(), reason };
        if let Some(axis) = shape.iter().position(|&n| n == 0) {
            let what = ["channels", "time", "height", "width"][axis];
            return Err(refuse(Reason::Zero { what }));
        }
        count("a clip", &shape).map_err(refuse)?;
        let places = Places::default();
        let input =
            Node { name: name.to_owned(), operation: Operation::Input, inputs: vec![], shape, places };
        Ok(Self { nodes: vec![input], output: 0, parameters: vec![], buffers: vec![] })
    }

    /// The plan with a convolution `name` of node `input`; it becomes the output.
    ///
    /// # Errors
    /// It does not fit what arrives, or a name is taken or unknown.
    pub fn conv(self, name: &str, input: &str, conv: Conv) -> Result<Self, PlanError> {
        self.push(name, Operation::Conv(conv), &[input])
    }

    /// The plan with a max pooling `name` of node `input`; it becomes the output.
    ///
    /// # Errors
    /// As [`Plan::conv`].
    pub fn max_pool(
        self,
        name: &str,
        input: &str,
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Result<Self, PlanError> {
        self.push(name, Operation::MaxPool { kernel, stride }, &[input])
    }

    /// The plan with a nearest-neighbour upsampling `name` of node `input`; it becomes the output.
    ///
    /// # Errors
    /// As [`Plan::conv`].
    pub fn upsample(self, name: &str, input: &str, factor: [usize; 3]) -> Result<Self, PlanError> {
        self.push(name, Operation::Upsample { factor }, &[input])
    }

    /// The plan with nodes `inputs` joined along the channels as `name`; it becomes the output.
    ///
    /// # Errors
    /// The inputs differ on another axis, or a name is taken or unknown.
    pub fn concat(self, name: &str, inputs: &[&str]) -> Result<Self, PlanError> {
        self.push(name, Operation::Concat, inputs)
    }

    /// The plan with every `step`-th frame of node `input` as `name`; it becomes the output.
    ///
    /// # Errors
    /// As [`Plan::conv`].
    pub fn sample(self, name: &str, input: &str, step: usize) -> Result<Self, PlanError> {
        self.push(name, Operation::Sample { step }, &[input])
    }

    /// The plan with node `name` as its output.
    ///
    /// # Errors
    /// There is no such node.
    pub fn with_output(mut self, name: &str) -> Result<Self, PlanError> {
        let unknown = || Reason::UnknownNode { name: name.to_owned() };
        let node = self.find(name).ok_or_else(|| PlanError { node: name.to_owned(), reason: unknown() })?;
        self.output = node;
        Ok(self)
    }

    fn push(mut self, name: &str, operation: Operation, inputs: &[&str]) -> Result<Self, PlanError> {
        let node = self.node(name, operation, inputs);
        let node = node.map_err(|reason| PlanError { node: name.to_owned(), reason })?;
        self.output = self.nodes.len();
        self.nodes.push(node);
        Ok(self)
    }

    fn node(&mut self, name: &str, operation: Operation, inputs: &[&str]) -> Result<Node, Reason> {
        if self.find(name).is_some() {
            return Err(Reason::DuplicateName { name: name.to_owned() });
        }
        if self.nodes.len() == MAX_NODES {
            return Err(Reason::TooLarge { what: "a plan", sizes: vec![MAX_NODES + 1] });
        }
        let unknown = |name: &str| Reason::UnknownNode { name: name.to_owned() };
        let inputs: Vec<usize> = inputs
            .iter()
            .map(|input| self.find(input).ok_or_else(|| unknown(input)))
            .collect::<Result<_, _>>()?;
        let shape = self.shape(&operation, &inputs)?;
        count("a clip", &shape)?;
        let places = match &operation {
            Operation::Conv(conv) => self.allocate(name, conv)?,
            _ => Places::default(),
        };
        Ok(Node { name: name.to_owned(), operation, inputs, shape, places })
    }

    fn shape(&self, operation: &Operation, inputs: &[usize]) -> Result<[usize; 4], Reason> {
        let Some(&first) = inputs.first() else { return Err(Reason::Zero { what: "the number of inputs" }) };
        let shape = self.nodes[first].shape;
        match operation {
            Operation::Input => Ok(shape),
            Operation::Conv(conv) => conv.output(shape),
            &Operation::MaxPool { kernel, stride } => pooled(shape, kernel, stride),
            Operation::Upsample { factor } => {
                let mut output = shape;
                for (axis, &factor) in factor.iter().enumerate() {
                    within(AXES[axis], "factor", factor, [1, MAX_STRIDE])?;
                    output[1 + axis] *= factor;
                }
                Ok(output)
            }
            Operation::Concat => self.joined(inputs),
            &Operation::Sample { step } => {
                within("time", "step", step, [1, MAX_STRIDE])?;
                let [channels, time, height, width] = shape;
                Ok([channels, time.div_ceil(step), height, width])
            }
        }
    }

    fn joined(&self, inputs: &[usize]) -> Result<[usize; 4], Reason> {
        let first = &self.nodes[inputs[0]];
        let mut shape = first.shape;
        for other in inputs[1..].iter().map(|&input| &self.nodes[input]) {
            shape[0] = shape[0].saturating_add(other.shape[0]);
            if let Some(axis) = (1..4).find(|&axis| other.shape[axis] != shape[axis]) {
                return Err(Reason::Join {
                    axis: AXES[axis - 1],
                    first: first.name.clone(),
                    expected: shape[axis],
                    other: other.name.clone(),
                    got: other.shape[axis],
                });
            }
        }
        Ok(shape)
    }

    fn allocate(&mut self, name: &str, conv: &Conv) -> Result<Places, Reason> {
        let channels = vec![conv.cout];
        let mut places = Places {
            weight: add_view(&mut self.parameters, format!("{name}.weight"), conv.weight_shape().to_vec())?,
            ..Places::default()
        };
        if conv.bias {
            places.bias = add_view(&mut self.parameters, format!("{name}.bias"), channels.clone())?;
        }
        if let Some(norm) = &conv.norm {
            let parameters = &mut self.parameters;
            places.norm_weight = add_view(parameters, format!("{norm}.weight"), channels.clone())?;
            places.norm_bias = add_view(parameters, format!("{norm}.bias"), channels.clone())?;
            places.mean = add_view(&mut self.buffers, format!("{norm}.running_mean"), channels.clone())?;
            places.variance = add_view(&mut self.buffers, format!("{norm}.running_var"), channels)?;
        }
        Ok(places)
    }

    /// The place of node `name` in [`Plan::nodes`].
    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The nodes, each after those it reads; the first is the input.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// `[channels, time, height, width]` of the clips that it reads.
    pub fn input(&self) -> [usize; 4] {
        self.nodes[0].shape
    }

    /// `[channels, time, height, width]` of its output.
    pub fn output(&self) -> [usize; 4] {
        self.nodes[self.output].shape
    }

    /// The output's place in [`Plan::nodes`].
    pub fn output_node(&self) -> usize {
        self.output
    }

    /// The output's name.
    pub fn output_name(&self) -> &str {
        &self.nodes[self.output].name
    }

    /// Name, shape and place of each parameter, in the order of the flat parameter.
    pub fn parameters(&self) -> &[View] {
        &self.parameters
    }

    /// Name, shape and place of each running statistic, in the order of the flat buffers.
    pub fn buffers(&self) -> &[View] {
        &self.buffers
    }

    /// Length of the flat parameter.
    pub fn parameter_count(&self) -> usize {
        self.parameters.last().map_or(0, |view| view.range.end)
    }

    /// Length of the flat buffers.
    pub fn buffer_count(&self) -> usize {
        self.buffers.last().map_or(0, |view| view.range.end)
    }

    /// The buffers before any training: means 0, variances 1.
    pub fn initial_buffers(&self) -> Vec<f32> {
        let mut buffers = vec![0.0; self.buffer_count()];
        self.nodes.iter().for_each(|node| buffers[node.places.variance.clone()].fill(1.0));
        buffers
    }

    /// Moves the running statistics towards a batch's, by [`MOMENTUM`].
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn update_buffers(buffers: &mut [f32], statistics: &[f32]) {
        assert_eq!(buffers.len(), statistics.len(), "buffers and statistics of one plan");
        buffers.iter_mut().zip(statistics).for_each(|(old, new)| *old += MOMENTUM * (new - *old));
    }

    /// Multiply-adds of one clip's convolutions, times two; products with padding are counted.
    pub fn flops(&self) -> f64 {
        self.nodes.iter().map(|node| self.node_flops(node)).sum()
    }

    /// As [`Plan::flops`], of one node.
    pub fn node_flops(&self, node: &Node) -> f64 {
        let Operation::Conv(conv) = &node.operation else { return 0.0 };
        let volume = |shape: &[usize; 4]| shape[1..].iter().map(|&n| n as f64).product::<f64>();
        let places = match conv.transposed {
            None => volume(&node.shape),
            Some(_) => volume(&self.nodes[node.inputs[0]].shape),
        };
        2.0 * places * conv.weight_shape().iter().map(|&n| n as f64).product::<f64>()
    }
}

fn pooled(shape: [usize; 4], kernel: [usize; 3], stride: [usize; 3]) -> Result<[usize; 4], Reason> {
    let mut output = shape;
    for (axis, name) in AXES.into_iter().enumerate() {
        within(name, "window", kernel[axis], [1, MAX_STRIDE])?;
        within(name, "stride", stride[axis], [1, MAX_STRIDE])?;
        let (input, kernel) = (shape[1 + axis], kernel[axis]);
        if input < kernel {
            return Err(Reason::KernelExceedsInput { axis: name, input, kernel });
        }
        output[1 + axis] = (input - kernel) / stride[axis] + 1;
    }
    Ok(output)
}

fn add_view(views: &mut Vec<View>, name: String, shape: Vec<usize>) -> Result<Range<usize>, Reason> {
    if views.iter().any(|view| view.name == name) {
        return Err(Reason::DuplicateName { name });
    }
    let start = views.last().map_or(0, |view| view.range.end);
    let range = start..start + count("a parameter", &shape)?;
    count("the flat parameter", &[range.end])?;
    views.push(View { name, shape, range: range.clone() });
    Ok(range)
}
