//! A segment by burn's own operations: the path of every device that has no kernels of ours, and
//! what the kernels are tested against.

use burn::tensor::activation::{leaky_relu, relu, sigmoid, tanh};
use burn::tensor::module::{conv_transpose2d, conv2d, linear};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Shape, Tensor};
use vadis_kernels::{Activation, Layer, Plan, Step};

/// Runs `plan` on `x` = `[batch, channels, height, width]` with the flat parameter `weight`.
#[allow(clippy::needless_pass_by_value, reason = "tensors are handles, passed as burn does")]
pub(super) fn forward(plan: &Plan, weight: Tensor<1>, x: Tensor<4>) -> Tensor<4> {
    plan.steps().iter().fold(x, |x, step| run(step, &weight, x))
}

fn run(step: &Step, flat: &Tensor<1>, x: Tensor<4>) -> Tensor<4> {
    let batch = x.dims()[0];
    let [c, h, w] = step.output;
    let bias = || Some(flat.clone().slice([step.bias.clone()]));
    let y = match step.layer {
        Layer::Conv2d { stride, padding, .. } => {
            let options = ConvOptions::new(stride, padding, [1, 1], 1);
            conv2d(x, kernel(step, flat), bias(), options)
        }
        Layer::ConvTranspose2d { stride, padding, output_padding, .. } => {
            let options = ConvTransposeOptions::new(stride, padding, output_padding, [1, 1], 1);
            conv_transpose2d(x, kernel(step, flat), bias(), options)
        }
        Layer::Linear { input, output, .. } => {
            let weight = flat.clone().slice([step.weight.clone()]).reshape([output, input]).transpose();
            linear(x.reshape([batch, input]), weight, bias()).reshape([batch, output, 1, 1])
        }
        Layer::Reshape { .. } => return x.reshape([batch, c, h, w]),
    };
    activate(step.layer.activation(), y)
}

fn kernel(step: &Step, flat: &Tensor<1>) -> Tensor<4> {
    flat.clone().slice([step.weight.clone()]).reshape(Shape::from(step.layer.weight_shape()))
}

pub(super) fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(x),
        Activation::LeakyRelu(slope) => leaky_relu(x, f64::from(slope)),
        Activation::Tanh => tanh(x),
        Activation::Sigmoid => sigmoid(x),
    }
}
