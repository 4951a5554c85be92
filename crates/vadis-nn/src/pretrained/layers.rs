//! Layers of inference by burn's operations, read from a file by name.

use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{Device, Tensor, TensorData, module};

use super::Checkpoint;
use crate::NnError;

/// Where layers are read from and where they go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) weights: &'a Checkpoint,
    /// Before every name.
    pub(super) prefix: &'a str,
    /// Names are written without their dots, as CompVis names averaged weights; not the prefix.
    pub(super) dotless: bool,
    pub(super) device: &'a Device,
}

impl<'a> Source<'a> {
    pub(super) fn new(weights: &'a Checkpoint, prefix: &'a str, device: &'a Device) -> Self {
        Self { weights, prefix, dotless: false, device }
    }

    fn full(&self, name: &str) -> String {
        let name = if self.dotless { name.replace('.', "") } else { name.to_owned() };
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a tensor of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.weights.contains(&self.full(name))
    }

    /// A tensor.
    pub(super) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, NnError> {
        let values = self.weights.tensor(&self.full(name), &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    /// `name.weight` of shape `[output, input]` and `name.bias`.
    pub(super) fn linear(&self, name: &str, input: usize, output: usize) -> Result<Linear, NnError> {
        let weight = self.tensor::<2>(&format!("{name}.weight"), [output, input])?;
        let bias = Some(self.tensor(&format!("{name}.bias"), [output])?);
        Ok(Linear { weight: weight.transpose(), bias })
    }

    /// A convolution of stride 1 that keeps the size, with a bias.
    pub(super) fn conv(
        &self,
        name: &str,
        input: usize,
        output: usize,
        kernel: usize,
    ) -> Result<Conv, NnError> {
        let weight = self.tensor(&format!("{name}.weight"), [output, input, kernel, kernel])?;
        let bias = Some(self.tensor(&format!("{name}.bias"), [output])?);
        let padding = kernel / 2;
        Ok(Conv { weight, bias, options: ConvOptions::new([1, 1], [padding, padding], [1, 1], 1) })
    }

    /// `name.weight` and `name.bias`.
    pub(super) fn norm(&self, name: &str, channels: usize) -> Result<[Tensor<1>; 2], NnError> {
        let weight = self.tensor(&format!("{name}.weight"), [channels])?;
        Ok([weight, self.tensor(&format!("{name}.bias"), [channels])?])
    }

    /// A norm over groups of channels.
    pub(super) fn group_norm(
        &self,
        name: &str,
        channels: usize,
        groups: usize,
        epsilon: f64,
    ) -> Result<GroupNorm, NnError> {
        let [weight, bias] = self.norm(name, channels)?.map(|t| t.reshape([1, channels, 1, 1]));
        Ok(GroupNorm { weight, bias, groups, epsilon })
    }

    /// A norm over the last axis.
    pub(super) fn layer_norm(&self, name: &str, channels: usize, epsilon: f64) -> Result<LayerNorm, NnError> {
        let [weight, bias] = self.norm(name, channels)?;
        Ok(LayerNorm { weight, bias, epsilon })
    }
}

/// An affine map of the last axis; weight `[input, output]`.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor<2>,
    pub(super) bias: Option<Tensor<1>>,
}

impl Linear {
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        module::linear(x, self.weight.clone(), self.bias.clone())
    }
}

/// A convolution of images.
#[derive(Debug)]
pub(super) struct Conv {
    pub(super) weight: Tensor<4>,
    pub(super) bias: Option<Tensor<1>>,
    pub(super) options: ConvOptions<2>,
}

impl Conv {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        module::conv2d(x, self.weight.clone(), self.bias.clone(), self.options.clone())
    }
}

/// A norm of the last axis.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        module::layer_norm(x, self.weight.clone(), Some(self.bias.clone()), self.epsilon)
    }
}

/// A norm of groups of an image's channels.
#[derive(Debug)]
pub(super) struct GroupNorm {
    weight: Tensor<4>,
    bias: Tensor<4>,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch, self.groups, channels / self.groups * height * width]);
        let x = x.clone() - x.mean_dim(2);
        let deviation = x.clone().square().mean_dim(2).add_scalar(self.epsilon).sqrt();
        let x = (x / deviation).reshape([batch, channels, height, width]);
        x * self.weight.clone() + self.bias.clone()
    }
}

/// Attention of tokens `[batch, tokens, channels]` to one another in `heads` parts of the channels.
pub(super) fn attend([q, k, v]: [Tensor<3>; 3], heads: usize) -> Tensor<3> {
    let [batch, tokens, channels] = q.dims();
    let [q, k, v] = [q, k, v].map(|x| x.reshape([batch, tokens, heads, channels / heads]).swap_dims(1, 2));
    let y = module::attention(q, k, v, None, None, AttentionModuleOptions::default());
    y.swap_dims(1, 2).reshape([batch, tokens, channels])
}
