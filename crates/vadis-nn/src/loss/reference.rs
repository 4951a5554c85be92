//! The frame losses by burn's own operations: the path of every device that has no kernels of ours, and
//! what the kernels are tested against.

use burn::tensor::module::{avg_pool2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Tensor, TensorData};

use super::frame::{FrameLoss, FrameTerms};
use super::ms_ssim::{Constants, FLOOR, TAPS};
use crate::NnError;

/// [`FrameLoss::forward`]; `constants` are there where MS-SSIM is wanted.
pub(super) fn frame<const D: usize>(
    loss: &FrameLoss,
    constants: Option<&Constants>,
    prediction: Tensor<D>,
    target: Tensor<D>,
) -> Result<FrameTerms, NnError> {
    let shape = prediction.dims();
    let [height, width] = [shape[D - 2], shape[D - 1]];
    let planes = shape.iter().product::<usize>() / (height * width);
    let [x, target] = [prediction, target].map(|t| t.reshape([planes, 1, height, width]));
    let zero = Tensor::<1>::zeros([1], &x.device());
    let squared = match loss.squared {
        0.0 => zero.clone(),
        _ => (x.clone() - target.clone()).square().mean(),
    };
    let similar = match constants {
        None => zero.clone(),
        Some(constants) => ms_ssim(constants, x.clone(), target.clone()).neg().add_scalar(1.0),
    };
    let edges = match loss.gradient {
        0.0 => zero,
        _ => edges(x.clone(), target.clone(), 3) + edges(x, target, 2),
    };
    let sum = squared.clone().mul_scalar(loss.squared)
        + similar.clone().mul_scalar(loss.ms_ssim)
        + edges.clone().mul_scalar(loss.gradient);
    Ok(FrameTerms {
        loss: sum,
        squared: scalar(squared)?,
        ms_ssim: scalar(similar)?,
        gradient: scalar(edges)?,
    })
}

fn scalar(tensor: Tensor<1>) -> Result<f64, NnError> {
    let value: Result<f32, _> = tensor.detach().try_into_scalar();
    value.map(f64::from).map_err(|e| NnError::Tensor(e.to_string()))
}

/// The mean of the planes' MS-SSIM.
fn ms_ssim(constants: &Constants, mut x: Tensor<4>, mut y: Tensor<4>) -> Tensor<1> {
    let last = constants.weights.len() - 1;
    let mut similarity: Option<[Tensor<4>; 2]> = None;
    for (scale, &weight) in constants.weights.iter().enumerate() {
        let mean = scale_mean(constants, x.clone(), y.clone(), scale == last);
        // The value is 0 below 0; the derivative that of `FLOOR` below `FLOOR`.
        let value = mean.clone().detach().clamp_min(0.0).powf_scalar(weight);
        let floored = mean.clone() + (mean.clone().clamp_min(FLOOR) - mean).detach();
        let smooth = floored.powf_scalar(weight);
        similarity = Some(match similarity {
            None => [value, smooth],
            Some([a, b]) => [a * value, b * smooth],
        });
        if scale < last {
            [x, y] = [x, y].map(pool);
        }
    }
    match similarity {
        Some([value, smooth]) => (smooth.clone() + (value - smooth).detach()).mean(),
        None => x.mean(),
    }
}

fn pool(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let padding = [(height % 2, 0), (width % 2, 0)];
    avg_pool2d(x, AvgPoolOptions::new([2, 2]).with_stride([2, 2]).with_padding_pairs(padding))
}

/// The mean over each plane of contrast · structure, and of the luminance too at the `last` scale:
/// `[planes, 1, 1, 1]`.
fn scale_mean(constants: &Constants, x: Tensor<4>, y: Tensor<4>, last: bool) -> Tensor<4> {
    let blur = |t: Tensor<4>| blur(constants, t);
    let (mean_x, mean_y) = (blur(x.clone()), blur(y.clone()));
    let product = mean_x.clone() * mean_y.clone();
    let squares = mean_x.square() + mean_y.square();
    let covariance = blur(x.clone() * y.clone()) - product.clone();
    let variances = blur(x.square()) + blur(y.square()) - squares.clone();
    let structure = covariance.mul_scalar(2.0).add_scalar(constants.c2) / variances.add_scalar(constants.c2);
    let map = if last {
        structure * product.mul_scalar(2.0).add_scalar(constants.c1) / squares.add_scalar(constants.c1)
    } else {
        structure
    };
    map.mean_dim(3).mean_dim(2)
}

fn blur(constants: &Constants, x: Tensor<4>) -> Tensor<4> {
    let window = |shape: [usize; 4]| {
        Tensor::<4>::from_data(TensorData::new(constants.window.to_vec(), shape), &x.device())
    };
    let (down, across) = (window([1, 1, TAPS, 1]), window([1, 1, 1, TAPS]));
    let options = || ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    conv2d(conv2d(x, down, None, options()), across, None, options())
}

/// The gradient loss along axis `axis`.
fn edges(x: Tensor<4>, target: Tensor<4>, axis: usize) -> Tensor<1> {
    let len = x.dims()[axis];
    if len < 2 {
        return Tensor::zeros([1], &x.device());
    }
    let slope = |t: Tensor<4>| (t.clone().narrow(axis, 1, len - 1) - t.narrow(axis, 0, len - 1)).abs();
    (slope(target) - slope(x)).abs().mean()
}
