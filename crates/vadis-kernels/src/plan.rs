//! The static description of a network: its layers, their shapes, and where each parameter lies in
//! its one flat parameter.

use std::ops::Range;

use thiserror::Error;

use crate::Activation;

/// One layer of a [`Plan`]. All have a bias; the activation follows the bias.
///
/// Kernels, strides and paddings are `[vertical, horizontal]`, in pixels.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// 2-D cross-correlation; weight `[cout, cin, kh, kw]`.
    Conv2d {
        /// Input channels.
        cin: usize,
        /// Output channels.
        cout: usize,
        /// Kernel size.
        kernel: [usize; 2],
        /// Stride.
        stride: [usize; 2],
        /// Zeros added on both sides.
        padding: [usize; 2],
        /// Activation.
        activation: Activation,
    },
    /// 2-D transposed convolution, the adjoint of [`Layer::Conv2d`]; weight `[cin, cout, kh, kw]`.
    ConvTranspose2d {
        /// Input channels.
        cin: usize,
        /// Output channels.
        cout: usize,
        /// Kernel size.
        kernel: [usize; 2],
        /// Stride.
        stride: [usize; 2],
        /// Rows and columns cut from both sides of the full output.
        padding: [usize; 2],
        /// Rows and columns added at the bottom and right; below the stride.
        output_padding: [usize; 2],
        /// Activation.
        activation: Activation,
    },
    /// Fully connected: reads the image flattened in (channel, row, column) order, writes
    /// `[output, 1, 1]`; weight `[output, input]`.
    Linear {
        /// Input features, channels × height × width.
        input: usize,
        /// Output features.
        output: usize,
        /// Activation.
        activation: Activation,
    },
    /// The same values in (channel, row, column) order under another shape.
    Reshape {
        /// `[channels, height, width]`.
        shape: [usize; 3],
    },
}

impl Layer {
    /// A square convolution, padded by (kernel − 1) / 2 as the field does.
    pub fn conv2d(cin: usize, cout: usize, kernel: usize, stride: usize, activation: Activation) -> Self {
        let padding = [kernel.saturating_sub(1) / 2; 2];
        Self::Conv2d { cin, cout, kernel: [kernel; 2], stride: [stride; 2], padding, activation }
    }

    /// A square transposed convolution, padded by (kernel − 1) / 2.
    pub fn conv_transpose2d(
        cin: usize,
        cout: usize,
        kernel: usize,
        stride: usize,
        output_padding: [usize; 2],
        activation: Activation,
    ) -> Self {
        let padding = [kernel.saturating_sub(1) / 2; 2];
        let (kernel, stride) = ([kernel; 2], [stride; 2]);
        Self::ConvTranspose2d { cin, cout, kernel, stride, padding, output_padding, activation }
    }

    /// A fully connected layer.
    pub fn linear(input: usize, output: usize, activation: Activation) -> Self {
        Self::Linear { input, output, activation }
    }

    /// The layer's activation.
    pub fn activation(&self) -> Activation {
        match *self {
            Self::Conv2d { activation, .. }
            | Self::ConvTranspose2d { activation, .. }
            | Self::Linear { activation, .. } => activation,
            Self::Reshape { .. } => Activation::None,
        }
    }

    /// The weight's shape in PyTorch's layout, empty where the layer has no parameters.
    pub fn weight_shape(&self) -> Vec<usize> {
        match *self {
            Self::Conv2d { cin, cout, kernel: [kh, kw], .. } => vec![cout, cin, kh, kw],
            Self::ConvTranspose2d { cin, cout, kernel: [kh, kw], .. } => vec![cin, cout, kh, kw],
            Self::Linear { input, output, .. } => vec![output, input],
            Self::Reshape { .. } => Vec::new(),
        }
    }

    /// The bias's length, 0 where the layer has none.
    pub fn bias_len(&self) -> usize {
        match *self {
            Self::Conv2d { cout, .. } | Self::ConvTranspose2d { cout, .. } => cout,
            Self::Linear { output, .. } => output,
            Self::Reshape { .. } => 0,
        }
    }

    /// PyTorch's fan-in: the weight's second dimension times the kernel's area. (For a transposed
    /// convolution that counts output channels, as `torch.nn.init` does.)
    pub fn fan_in(&self) -> usize {
        self.weight_shape().iter().skip(1).product()
    }

    fn output_shape(&self, input: [usize; 3]) -> Result<[usize; 3], Reason> {
        let [channels, height, width] = input;
        match *self {
            Self::Conv2d { cin, cout, kernel, stride, padding, activation } => {
                check_kernel(cin, cout, channels, kernel, stride)?;
                check_activation(activation)?;
                let size = |n, axis: usize| conv_size(n, kernel[axis], stride[axis], padding[axis], axis);
                Ok([cout, size(height, 0)?, size(width, 1)?])
            }
            Self::ConvTranspose2d { cin, cout, kernel, stride, padding, output_padding, activation } => {
                check_kernel(cin, cout, channels, kernel, stride)?;
                check_activation(activation)?;
                let size = |n, axis: usize| {
                    let (k, s) = (kernel[axis], stride[axis]);
                    conv_transpose_size(n, k, s, padding[axis], output_padding[axis], axis)
                };
                Ok([cout, size(height, 0)?, size(width, 1)?])
            }
            Self::Linear { input: features, output, activation } => {
                check_activation(activation)?;
                let expected = element_count(&input)?;
                if features != expected {
                    return Err(Reason::Features { expected, got: features });
                }
                if output == 0 {
                    return Err(Reason::Zero { what: "output features" });
                }
                Ok([output, 1, 1])
            }
            Self::Reshape { shape } => {
                let (expected, got) = (element_count(&input)?, element_count(&shape)?);
                if expected == got { Ok(shape) } else { Err(Reason::Reshape { expected, got }) }
            }
        }
    }
}

/// Largest number of values of one image's activation, and of parameters: 2³⁰ (4 GB).
const MAX_VALUES: usize = 1 << 30;
/// Largest kernel size, stride and padding.
const MAX_EXTENT: usize = 1 << 10;

fn element_count(shape: &[usize]) -> Result<usize, Reason> {
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|&n| n <= MAX_VALUES)
        .ok_or_else(|| Reason::TooLarge { shape: shape.to_vec() })
}

fn check_activation(activation: Activation) -> Result<(), Reason> {
    match activation {
        Activation::LeakyRelu(slope) if !(slope.is_finite() && slope > 0.0) => {
            Err(Reason::Slope { got: slope })
        }
        _ => Ok(()),
    }
}

fn check_kernel(
    cin: usize,
    cout: usize,
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
) -> Result<(), Reason> {
    if cin != channels {
        return Err(Reason::Channels { expected: channels, got: cin });
    }
    if cout == 0 {
        return Err(Reason::Zero { what: "output channels" });
    }
    if kernel.contains(&0) {
        return Err(Reason::Zero { what: "kernel" });
    }
    if stride.contains(&0) {
        return Err(Reason::Zero { what: "stride" });
    }
    if kernel.iter().chain(&stride).any(|&n| n > MAX_EXTENT) {
        return Err(Reason::TooLarge { shape: [kernel, stride].concat() });
    }
    Ok(())
}

const AXES: [&str; 2] = ["height", "width"];

fn conv_size(n: usize, kernel: usize, stride: usize, padding: usize, axis: usize) -> Result<usize, Reason> {
    if padding > MAX_EXTENT {
        return Err(Reason::TooLarge { shape: vec![padding] });
    }
    let padded = n + 2 * padding;
    if padded < kernel {
        return Err(Reason::KernelExceedsInput { axis: AXES[axis], input: padded, kernel });
    }
    Ok((padded - kernel) / stride + 1)
}

fn conv_transpose_size(
    n: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    output_padding: usize,
    axis: usize,
) -> Result<usize, Reason> {
    if output_padding >= stride {
        return Err(Reason::OutputPadding { axis: AXES[axis], stride, got: output_padding });
    }
    if padding > MAX_EXTENT {
        return Err(Reason::TooLarge { shape: vec![padding] });
    }
    let full = (n - 1) * stride + kernel + output_padding;
    if full <= 2 * padding {
        return Err(Reason::EmptyOutput { axis: AXES[axis], full, padding });
    }
    Ok(full - 2 * padding)
}

/// Why a layer does not fit what comes before it.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Reason {
    /// The layer's input channels are not what the layer before it writes.
    #[error("expected {expected} input channels, got {got}")]
    Channels {
        /// Channels that arrive.
        expected: usize,
        /// Channels that the layer declares.
        got: usize,
    },
    /// A linear layer's input features are not the size of the image that arrives.
    #[error("expected {expected} input features, got {got}")]
    Features {
        /// Features that arrive.
        expected: usize,
        /// Features that the layer declares.
        got: usize,
    },
    /// The new shape has another number of elements.
    #[error("expected a shape of {expected} elements, got {got}")]
    Reshape {
        /// Elements that arrive.
        expected: usize,
        /// Elements of the shape.
        got: usize,
    },
    /// The kernel is larger than the padded input.
    #[error("{axis}: a kernel of {kernel} does not fit a padded input of {input}")]
    KernelExceedsInput {
        /// `height` or `width`.
        axis: &'static str,
        /// Padded input size.
        input: usize,
        /// Kernel size.
        kernel: usize,
    },
    /// The padding cuts the whole output away.
    #[error("{axis}: padding {padding} leaves nothing of a full output of {full}")]
    EmptyOutput {
        /// `height` or `width`.
        axis: &'static str,
        /// Output size before cutting.
        full: usize,
        /// Padding.
        padding: usize,
    },
    /// Output padding must be smaller than the stride.
    #[error("{axis}: expected an output padding below the stride {stride}, got {got}")]
    OutputPadding {
        /// `height` or `width`.
        axis: &'static str,
        /// Stride.
        stride: usize,
        /// Output padding.
        got: usize,
    },
    /// Something that must be positive is zero.
    #[error("{what} must be at least 1")]
    Zero {
        /// What is zero.
        what: &'static str,
    },
    /// A size beyond what memory could hold.
    #[error("{shape:?} is too large")]
    TooLarge {
        /// The sizes concerned.
        shape: Vec<usize>,
    },
    /// The slope of a leaky ReLU is not a finite positive number.
    #[error("expected a finite positive slope, got {got}")]
    Slope {
        /// The slope.
        got: f32,
    },
    /// Another layer of the plan has the same name.
    #[error("the name is taken by an earlier layer")]
    DuplicateName,
}

/// A layer that does not fit the plan.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("layer `{layer}`: {reason}")]
pub struct PlanError {
    /// The layer's name; empty for the plan's input.
    pub layer: String,
    /// What is wrong.
    #[source]
    pub reason: Reason,
}

/// A layer in its place: name, input and output shape, and where its parameters lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The layer's name, the prefix of its parameters' names.
    pub name: String,
    /// The layer.
    pub layer: Layer,
    /// `[channels, height, width]` that it reads.
    pub input: [usize; 3],
    /// `[channels, height, width]` that it writes.
    pub output: [usize; 3],
    /// The weight's place in the flat parameter.
    pub weight: Range<usize>,
    /// The bias's place in the flat parameter.
    pub bias: Range<usize>,
}

/// A validated chain of layers for images of one shape.
///
/// All parameters lie in one flat vector, layer after layer, weight before bias, each in PyTorch's
/// layout.
///
/// ```
/// use vadis_kernels::{Activation, Layer, Plan};
///
/// # fn main() -> Result<(), vadis_kernels::PlanError> {
/// let encoder = Plan::new([1, 64, 128])?
///     .layer("conv1", Layer::conv2d(1, 16, 3, 2, Activation::Relu))?
///     .layer("fc", Layer::linear(16 * 32 * 64, 256, Activation::None))?;
/// assert_eq!(encoder.output(), [256, 1, 1]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    input: [usize; 3],
    steps: Vec<Step>,
}

impl Plan {
    /// A plan without layers, for images of `input` = `[channels, height, width]`.
    ///
    /// # Errors
    /// An axis of zero, or more than 2³⁰ values.
    pub fn new(input: [usize; 3]) -> Result<Self, PlanError> {
        let refuse = |reason| PlanError { layer: String::new(), reason };
        if let Some(axis) = input.iter().position(|&n| n == 0) {
            let what = ["input channels", "input height", "input width"][axis];
            return Err(refuse(Reason::Zero { what }));
        }
        element_count(&input).map_err(refuse)?;
        Ok(Self { input, steps: Vec::new() })
    }

    /// The plan with `layer` after its last one. `name` prefixes the layer's parameters: `conv1`
    /// gives `conv1.weight` and `conv1.bias`.
    ///
    /// # Errors
    /// The layer does not fit the shape that arrives, or the name is taken.
    pub fn layer(mut self, name: &str, layer: Layer) -> Result<Self, PlanError> {
        let refuse = |reason| PlanError { layer: name.to_owned(), reason };
        if self.steps.iter().any(|step| step.name == name) {
            return Err(refuse(Reason::DuplicateName));
        }
        let input = self.output();
        let output = layer.output_shape(input).map_err(refuse)?;
        element_count(&output).map_err(refuse)?;
        let start = self.parameter_count();
        let weight_len = match layer.weight_shape().as_slice() {
            [] => 0,
            shape => element_count(shape).map_err(refuse)?,
        };
        let weight = start..start + weight_len;
        let bias = weight.end..weight.end + layer.bias_len();
        element_count(&[bias.end]).map_err(refuse)?;
        self.steps.push(Step { name: name.to_owned(), layer, input, output, weight, bias });
        Ok(self)
    }

    /// `[channels, height, width]` of the images that it reads.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// `[channels, height, width]` of what it writes.
    pub fn output(&self) -> [usize; 3] {
        self.steps.last().map_or(self.input, |step| step.output)
    }

    /// The layers in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Length of the flat parameter.
    pub fn parameter_count(&self) -> usize {
        self.steps.last().map_or(0, |step| step.bias.end)
    }

    /// Name, shape and place of each parameter, in the order of the flat parameter.
    pub fn views(&self) -> Vec<(String, Vec<usize>, Range<usize>)> {
        let parametric = self.steps.iter().filter(|step| !step.weight.is_empty());
        parametric
            .flat_map(|step| {
                let weight =
                    (format!("{}.weight", step.name), step.layer.weight_shape(), step.weight.clone());
                let bias = (format!("{}.bias", step.name), vec![step.bias.len()], step.bias.clone());
                [weight, bias]
            })
            .collect()
    }
}
