//! A volume segment by burn's own operations: the path of every device that has no kernels of ours,
//! and what the kernels are tested against.

use std::ops::Range;

use burn::tensor::module::{batch_norm, batch_norm_train, conv_transpose3d, conv3d, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{Shape, Tensor, s};
use vadis_kernels::volume::{Conv, EPSILON, Node, Operation, Plan};

use super::reference::activate;

/// What a pass gives.
pub(super) struct Pass {
    pub(super) output: Tensor<5>,
    /// In training: the batch's means and unbiased variances, in the order of [`Plan::buffers`].
    pub(super) statistics: Vec<Tensor<1>>,
}

/// Runs `plan` on `x` = `[batch, channels, time, height, width]` with the flat parameter and the
/// running statistics.
pub(super) fn forward(
    plan: &Plan,
    weight: &Tensor<1>,
    running: &Tensor<1>,
    x: Tensor<5>,
    training: bool,
) -> Pass {
    forward_through(plan, weight, running, x, training, |_, value| value)
}

/// As [`forward`], each node's value going on as `tap` gives it back.
#[allow(clippy::needless_pass_by_value, reason = "tensors are handles, passed as burn does")]
pub(super) fn forward_through(
    plan: &Plan,
    weight: &Tensor<1>,
    running: &Tensor<1>,
    x: Tensor<5>,
    training: bool,
    mut tap: impl FnMut(&Node, Tensor<5>) -> Tensor<5>,
) -> Pass {
    let mut values: Vec<Tensor<5>> = Vec::with_capacity(plan.nodes().len());
    let mut statistics = Vec::new();
    for node in plan.nodes() {
        let input = |i: usize| values[node.inputs[i]].clone();
        let value = match &node.operation {
            Operation::Input => x.clone(),
            Operation::Conv(conv) => {
                let y = convolve(conv, node, weight, input(0));
                let y = match (&conv.norm, training) {
                    (None, _) => y,
                    (Some(_), true) => normalise(node, weight, y, &mut statistics),
                    (Some(_), false) => normalise_by(node, weight, running, y),
                };
                activate(conv.activation, y)
            }
            Operation::MaxPool { kernel, stride } => max_pool(input(0), *kernel, *stride),
            Operation::Upsample { factor } => upsample(input(0), *factor),
            Operation::Concat => Tensor::cat((0..node.inputs.len()).map(input).collect(), 1),
            Operation::Sample { step } => input(0).slice(s![.., .., ..;*step as isize, .., ..]),
        };
        values.push(tap(node, value));
    }
    Pass { output: values.swap_remove(plan.output_node()), statistics }
}

fn part(flat: &Tensor<1>, place: &Range<usize>) -> Tensor<1> {
    flat.clone().slice([place.clone()])
}

fn convolve(conv: &Conv, node: &Node, flat: &Tensor<1>, x: Tensor<5>) -> Tensor<5> {
    let kernel = part(flat, &node.places.weight).reshape(Shape::from(conv.weight_shape()));
    let bias = conv.bias.then(|| part(flat, &node.places.bias));
    let Conv { stride, padding, .. } = *conv;
    match conv.transposed {
        None => conv3d(x, kernel, bias, ConvOptions::new(stride, padding, [1; 3], 1)),
        Some(extra) => {
            let options = ConvTransposeOptions::new(stride, padding, extra, [1; 3], 1);
            conv_transpose3d(x, kernel, bias, options)
        }
    }
}

fn normalise(node: &Node, flat: &Tensor<1>, x: Tensor<5>, statistics: &mut Vec<Tensor<1>>) -> Tensor<5> {
    let [batch, _, t, h, w] = x.dims();
    let count = (batch * t * h * w) as f64;
    let [gain, shift] = [part(flat, &node.places.norm_weight), part(flat, &node.places.norm_bias)];
    let result = batch_norm_train(x, gain, shift, f64::from(EPSILON));
    statistics.push(result.mean);
    statistics.push(result.variance.mul_scalar(count / (count - 1.0).max(1.0)));
    result.output
}

fn normalise_by(node: &Node, flat: &Tensor<1>, running: &Tensor<1>, x: Tensor<5>) -> Tensor<5> {
    let [gain, shift] = [part(flat, &node.places.norm_weight), part(flat, &node.places.norm_bias)];
    let [mean, variance] = [part(running, &node.places.mean), part(running, &node.places.variance)];
    batch_norm(x, gain, shift, mean, variance, f64::from(EPSILON))
}

/// Over height and width, then over time: the largest of the largest.
fn max_pool(x: Tensor<5>, [kt, kh, kw]: [usize; 3], [st, sh, sw]: [usize; 3]) -> Tensor<5> {
    let options = |kernel, stride| MaxPoolOptions::new(kernel).with_stride(stride);
    let [batch, channels, time, height, width] = x.dims();
    let x = max_pool2d(x.reshape([batch, channels * time, height, width]), options([kh, kw], [sh, sw]));
    let [.., height, width] = x.dims();
    if [kt, st] == [1, 1] {
        return x.reshape([batch, channels, time, height, width]);
    }
    let x = max_pool2d(x.reshape([batch, channels, time, height * width]), options([kt, 1], [st, 1]));
    let time = x.dims()[2];
    x.reshape([batch, channels, time, height, width])
}

fn upsample(x: Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
    (0..3).filter(|&axis| factor[axis] > 1).fold(x, |x, axis| {
        let mut shape = x.dims();
        let before: usize = shape[..=2 + axis].iter().product();
        let after: usize = shape[3 + axis..].iter().product();
        shape[2 + axis] *= factor[axis];
        x.reshape([before, 1, after]).repeat_dim(1, factor[axis]).reshape(shape)
    })
}
