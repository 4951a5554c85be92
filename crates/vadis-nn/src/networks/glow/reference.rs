//! The flow by burn's own operations: the path of every device that has no kernels of ours, and what these are
//! tested against.

use burn::tensor::activation::{relu, sigmoid, softplus};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Shape, Tensor, TensorData};

use super::coupling::OFFSET;
use super::levels::{Flow, Level};

/// Rows of all latents and the log-determinant, `[batch, dimensions + 1]`.
pub(super) fn rows(flow: &Flow, weight: &Tensor<1>, x: Tensor<4>) -> Tensor<2> {
    let device = x.device();
    let (batch, parameters, buffers) = (x.dims()[0], flow.views(), flow.buffers());
    let mut parameters = parameters.iter().map(|view| weight.clone().slice([view.range.clone()]));
    let mut buffers = buffers.iter().map(|buffer| {
        Tensor::<1>::from_data(TensorData::new(buffer.values.clone(), [buffer.values.len()]), &device)
    });
    let (mut rest, mut latents) = (x, Vec::new());
    let mut log_det = Tensor::<1>::zeros([batch], &device);
    for level in &flow.levels {
        let mut x = squeeze(rest);
        for _ in &level.steps {
            let (y, added) = step(level, &mut parameters, &mut buffers, x);
            x = y;
            log_det = log_det + added;
        }
        let kept = level.shape.channels - level.latent;
        let latent = x.clone().narrow(1, kept, level.latent);
        latents.push(latent.reshape([batch, level.latent * level.shape.positions]));
        rest = if kept > 0 { x.narrow(1, 0, kept) } else { x };
    }
    latents.push(log_det.reshape([batch, 1]));
    Tensor::cat(latents, 1)
}

fn squeeze(x: Tensor<4>) -> Tensor<4> {
    let [batch, c, h, w] = x.dims();
    let blocks = x.reshape([batch, c, h / 2, 2, w / 2, 2]).permute([0, 1, 3, 5, 2, 4]);
    blocks.reshape([batch, 4 * c, h / 2, w / 2])
}

/// Takes its parameters and what is fixed from the lists, in the order of the flow's views.
fn step(
    level: &Level,
    parameters: &mut impl Iterator<Item = Tensor<1>>,
    buffers: &mut impl Iterator<Item = Tensor<1>>,
    x: Tensor<4>,
) -> (Tensor<4>, Tensor<1>) {
    let (c, positions) = (level.shape.channels, level.shape.positions as f64);
    let mut next = || parameters.next().unwrap_or_else(|| unreachable!("the views are those of the steps"));
    let mut fixed = || buffers.next().unwrap_or_else(|| unreachable!("the buffers are those of the steps"));
    let [bias, log_scale, lower, upper, log_s] = std::array::from_fn(|_| next());
    let device = x.device();
    let triangle =
        |flat: Tensor<1>, kept: fn(usize, usize) -> bool| flat.reshape([c, c]) * pattern(c, kept, &device);
    let diagonal =
        |values: Tensor<1>| values.reshape([c, 1]).repeat_dim(1, c) * pattern(c, |i, j| i == j, &device);
    let permutation = fixed().reshape([c, c]);
    let lower = triangle(lower, |i, j| i > j) + pattern(c, |i, j| i == j, &device);
    let upper = triangle(upper, |i, j| i < j) + diagonal(fixed() * log_s.clone().exp());
    let w = permutation.matmul(lower).matmul(upper);
    let per_channel = |values: Tensor<1>| values.reshape([1, c, 1, 1]);
    let constant = (log_scale.clone().sum() + log_s.sum()).mul_scalar(positions);
    let x = (x + per_channel(bias)) * per_channel(log_scale.exp());
    let x = conv2d(x, w.reshape([c, c, 1, 1]), None, ConvOptions::new([1; 2], [0; 2], [1; 2], 1));

    let (kept, changed) = (x.clone().narrow(1, 0, c / 2), x.narrow(1, c / 2, c / 2));
    let shapes = level.net.plan().parameters();
    let kernel = |flat: Tensor<1>, index: usize| {
        let shape: Vec<usize> =
            shapes[index].shape.iter().enumerate().filter(|(i, _)| *i != 2).map(|(_, n)| *n).collect();
        flat.reshape(Shape::from(shape))
    };
    let same = |side: usize| ConvOptions::new([1; 2], [(side - 1) / 2; 2], [1; 2], 1);
    let hidden = relu(conv2d(kept.clone(), kernel(next(), 0), None, same(3)));
    let hidden = relu(conv2d(hidden, kernel(next(), 1), None, same(1)));
    let (last, bias) = (kernel(next(), 2), next());
    let net = conv2d(hidden, last, Some(bias), same(3));
    let raw = net.clone().narrow(1, 0, c / 2).add_scalar(OFFSET);
    let y = (changed + net.narrow(1, c / 2, c / 2)) * sigmoid(raw.clone());
    let [batch, _, h, w] = raw.dims();
    let density = softplus(raw.neg(), 1.0).neg().reshape([batch, c / 2 * h * w]).sum_dim(1).reshape([batch]);
    (Tensor::cat(vec![kept, y], 1), density + constant)
}

/// Ones where `kept`, zeros elsewhere.
fn pattern(c: usize, kept: fn(usize, usize) -> bool, device: &Device) -> Tensor<2> {
    let values = (0..c * c).map(|k| if kept(k / c, k % c) { 1.0f32 } else { 0.0 }).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, [c, c]), device)
}
