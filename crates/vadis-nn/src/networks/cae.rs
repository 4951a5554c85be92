//! The standard convolutional autoencoder of paper 004 (Table 1), also the body of its masked one:
//! 32-pool-64-pool-128-pool-128-up-64-up-32-up-1, 3×3, ReLU, sigmoid.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, Plan, PlanError, Scratch};

use super::packed::PackedPair;
use super::{Arithmetic, check_width, does_not_fit, scaled};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, VolumeSegment, by_part, under};

/// Configuration of [`Cae`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaeConfig {
    /// Channels of a frame; 1 in the paper.
    pub channels: usize,
    /// `[height, width]` of a frame, each divisible by 8; 200 × 200 in the paper.
    pub size: [usize; 2],
    /// Multiplies the channels of all inner layers (32, 64, 128).
    pub width: f64,
    /// How the kernels round.
    pub arithmetic: Arithmetic,
}

impl CaeConfig {
    /// The published network (332 801 parameters with 1 channel) for frames of `size`.
    pub fn new(channels: usize, size: [usize; 2]) -> Self {
        Self { channels, size, width: 1.0, arithmetic: Arithmetic::default() }
    }

    /// An untrained network.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the width or the sizes cannot be built.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<Cae, NnError> {
        let (encoder, decoder) = self.checked_plans()?;
        let options = self.arithmetic.options();
        Ok(Cae {
            encoder: VolumeSegment::new(&encoder, options, device, rng),
            decoder: VolumeSegment::new(&decoder, options, device, rng),
        })
    }

    /// Values in the state of a network so configured: what a file must have before the network is built.
    ///
    /// # Errors
    /// As [`CaeConfig::init`].
    pub fn value_count(&self) -> Result<usize, NnError> {
        let (encoder, decoder) = self.checked_plans()?;
        Ok(encoder.parameter_count() + decoder.parameter_count())
    }

    fn checked_plans(&self) -> Result<(Plan, Plan), NnError> {
        check_width(self.width)?;
        if let Some(side) = self.size.iter().find(|&&side| side == 0 || side % 8 != 0) {
            let value = format!("{side} of {:?}", self.size);
            return Err(NnError::Setting { key: "size", value, expected: "sides divisible by 8" });
        }
        self.plans().map_err(does_not_fit)
    }

    /// Frames are clips of one.
    fn plans(&self) -> Result<(Plan, Plan), PlanError> {
        let [a, b, c] = [32, 64, 128].map(|channels| scaled(channels, self.width));
        let [h, w] = self.size;
        let half = [1, 2, 2];
        let conv = |cin, cout, activation| Conv::new(cin, cout, [1, 3, 3], [1; 3]).activation(activation);
        let (relu, sigmoid) = (Activation::Relu, Activation::Sigmoid);
        let encoder = Plan::new("frame", [self.channels, 1, h, w])?
            .conv("conv1", "frame", conv(self.channels, a, relu))?
            .max_pool("pool1", "conv1", half, half)?
            .conv("conv2", "pool1", conv(a, b, relu))?
            .max_pool("pool2", "conv2", half, half)?
            .conv("conv3", "pool2", conv(b, c, relu))?
            .max_pool("pool3", "conv3", half, half)?;
        let decoder = Plan::new("latent", encoder.output())?
            .conv("conv1", "latent", conv(c, c, relu))?
            .upsample("up1", "conv1", half)?
            .conv("conv2", "up1", conv(c, b, relu))?
            .upsample("up2", "conv2", half)?
            .conv("conv3", "up2", conv(b, a, relu))?
            .upsample("up3", "conv3", half)?
            .conv("conv4", "up3", conv(a, self.channels, sigmoid))?;
        Ok((encoder, decoder))
    }
}

/// The autoencoder.
#[derive(Module, Debug)]
pub struct Cae {
    /// Frames to latents.
    pub encoder: VolumeSegment,
    /// Latents to frames.
    pub decoder: VolumeSegment,
}

impl Cae {
    /// Reconstructions.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`, pixels in [0, 1]
    /// - output: as `x`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.decode(self.encode(x))
    }

    /// Latents, for instance to drop some of before they are decoded.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`, pixels in [0, 1]
    /// - output: `[batch, 128 · width, height / 8, width / 8]`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn encode(&self, x: Tensor<4>) -> Tensor<4> {
        as_image(self.encoder.forward(as_clip(x)))
    }

    /// Reconstructions from latents.
    ///
    /// # Shapes
    /// - `z`: as [`Cae::encode`] gives it
    /// - output: `[batch, channels, height, width]`
    ///
    /// # Panics
    /// If `z` has another shape.
    pub fn decode(&self, z: Tensor<4>) -> Tensor<4> {
        as_image(self.decoder.forward(as_clip(z)))
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenCae, NnError> {
        Ok(FrozenCae { network: PackedPair::new(&self.encoder, &self.decoder)? })
    }

    /// As [`Cae::frozen`], in bytes: faster on a processor with AVX-512 VNNI, and less accurate. Flat
    /// `examples`, frames `[n, channels, height, width]`, are like those to come: values beyond the
    /// largest that they lead to saturate.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if there is none, or values over them are not finite.
    pub fn frozen_int8(&self, examples: &[f32]) -> Result<FrozenCae, NnError> {
        Ok(FrozenCae { network: PackedPair::int8(&self.encoder, &self.decoder, examples)? })
    }
}

fn as_clip(x: Tensor<4>) -> Tensor<5> {
    let [batch, c, h, w] = x.dims();
    x.reshape([batch, c, 1, h, w])
}

fn as_image(x: Tensor<5>) -> Tensor<4> {
    let [batch, c, _, h, w] = x.dims();
    x.reshape([batch, c, h, w])
}

/// PyTorch's 2-D convolutions have no temporal axis.
impl StateDict for Cae {
    fn state_dict(&self) -> Vec<NamedTensor> {
        let mut state = [under("encoder", &self.encoder), under("decoder", &self.decoder)].concat();
        state.iter_mut().filter(|t| t.shape.len() == 5).for_each(|t| {
            t.shape.remove(2);
        });
        state
    }

    fn load_state_dict(self, mut state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        state.iter_mut().filter(|t| t.shape.len() == 4).for_each(|t| t.shape.insert(2, 1));
        let [encoder, decoder] = by_part(["encoder", "decoder"], state)?;
        let (encoder, decoder) = (self.encoder.load_named(encoder)?, self.decoder.load_named(decoder)?);
        Ok(Self { encoder, decoder })
    }
}

/// [`Cae`] as it scores: a frame's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenCae {
    network: PackedPair,
}

impl FrozenCae {
    /// Reconstructions of `batch` frames `[batch, channels, height, width]`, as flat values. Memory in
    /// `scratch` is used again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut [Scratch; 2]) -> Result<Vec<f32>, NnError> {
        self.network.run(x, batch, scratch)
    }
}
