//! The standard convolutional autoencoder of paper 004 (Table 1), also the body of its masked one:
//! 32-pool-64-pool-128-pool-128-up-64-up-32-up-1, 3×3, ReLU, sigmoid.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, Plan, PlanError, Scratch};

use super::packed::{Packed, PackedPair};
use super::{Arithmetic, as_clip, as_image, check_width, does_not_fit, flattened, scaled, unflattened};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, Tapped, VolumeSegment, by_part, under};

/// Channels of the inner layers at a width of 1.
const CHANNELS: [usize; 3] = [32, 64, 128];
/// What a picture is divided by, from layer to layer.
const HALF: [usize; 3] = [1, 2, 2];

/// Configuration of [`Cae`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaeConfig {
    /// Channels of what is read; 1 in the paper.
    pub channels: usize,
    /// Channels of what is given; those that are read in the paper.
    pub outputs: usize,
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
        Self { channels, outputs: channels, size, width: 1.0, arithmetic: Arithmetic::default() }
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

    /// An untrained second decoder of one channel, over the same latents and with half the inner channels.
    ///
    /// # Errors
    /// As [`CaeConfig::init`].
    pub fn init_head(&self, device: &Device, rng: &mut impl Rng) -> Result<CaeHead, NnError> {
        let plan = self.head_plan()?;
        Ok(CaeHead { decoder: VolumeSegment::new(&plan, self.arithmetic.options(), device, rng) })
    }

    /// Values in the state of such a decoder.
    ///
    /// # Errors
    /// As [`CaeConfig::init`].
    pub fn head_value_count(&self) -> Result<usize, NnError> {
        Ok(self.head_plan()?.parameter_count())
    }

    fn head_plan(&self) -> Result<Plan, NnError> {
        let latent = self.checked_plans()?.0.output();
        let inner = CHANNELS.map(|channels| scaled(channels, self.width / 2.0));
        decoder(latent, inner, 1).map_err(does_not_fit)
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
        let inner = CHANNELS.map(|channels| scaled(channels, self.width));
        let ([a, b, c], [h, w]) = (inner, self.size);
        let conv = |cin, cout| convolution(cin, cout, Activation::Relu);
        let encoder = Plan::new("frame", [self.channels, 1, h, w])?
            .conv("conv1", "frame", conv(self.channels, a))?
            .max_pool("pool1", "conv1", HALF, HALF)?
            .conv("conv2", "pool1", conv(a, b))?
            .max_pool("pool2", "conv2", HALF, HALF)?
            .conv("conv3", "pool2", conv(b, c))?
            .max_pool("pool3", "conv3", HALF, HALF)?;
        let decoder = decoder(encoder.output(), inner, self.outputs)?;
        Ok((encoder, decoder))
    }
}

fn convolution(cin: usize, cout: usize, activation: Activation) -> Conv {
    Conv::new(cin, cout, [1, 3, 3], [1; 3]).activation(activation)
}

/// From latents to `outputs` channels in [0, 1], with these inner channels, the first layer's last.
fn decoder(latent: [usize; 4], [a, b, c]: [usize; 3], outputs: usize) -> Result<Plan, PlanError> {
    let conv = |cin, cout| convolution(cin, cout, Activation::Relu);
    Plan::new("latent", latent)?
        .conv("conv1", "latent", conv(latent[0], c))?
        .upsample("up1", "conv1", HALF)?
        .conv("conv2", "up1", conv(c, b))?
        .upsample("up2", "conv2", HALF)?
        .conv("conv3", "up2", conv(b, a))?
        .upsample("up3", "conv3", HALF)?
        .conv("conv4", "up3", convolution(a, outputs, Activation::Sigmoid))
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
    /// - output: `[batch, outputs, height, width]`
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
    /// - output: `[batch, outputs, height, width]`
    ///
    /// # Panics
    /// If `z` has another shape.
    pub fn decode(&self, z: Tensor<4>) -> Tensor<4> {
        as_image(self.decoder.forward(as_clip(z)))
    }

    /// The layers that [`Cae::tapped`] taps, in order: all but the last, which gives the frame itself.
    pub const LAYERS: [&str; 6] = [
        "encoder.conv1",
        "encoder.conv2",
        "encoder.conv3",
        "decoder.conv1",
        "decoder.conv2",
        "decoder.conv3",
    ];

    /// Reconstructions with autodiff, by burn's own operations, and [`Cae::LAYERS`], from which Grad-CAM is made.
    ///
    /// # Shapes
    /// As [`Cae::forward`].
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn tapped(&self, x: Tensor<4>) -> (Tensor<4>, Vec<Tapped>) {
        let nodes = ["conv1", "conv2", "conv3"];
        let (latent, mut taps) = self.encoder.tapped(as_clip(x), &nodes);
        let (given, of_decoder) = self.decoder.tapped(latent, &nodes);
        taps.extend(of_decoder);
        (as_image(given), taps)
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenCae, NnError> {
        Ok(FrozenCae { network: PackedPair::new(&self.encoder, &self.decoder)? })
    }

    /// As [`Cae::frozen`], in bytes: faster on a processor with AVX-512 VNNI or AMX, and less accurate. Flat
    /// `examples`, frames `[n, channels, height, width]`, are like those to come: values beyond the
    /// largest that they lead to saturate.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if there is none, or values over them are not finite.
    pub fn frozen_int8(&self, examples: &[f32]) -> Result<FrozenCae, NnError> {
        Ok(FrozenCae { network: PackedPair::int8(&self.encoder, &self.decoder, examples)? })
    }
}

impl StateDict for Cae {
    fn state_dict(&self) -> Vec<NamedTensor> {
        flattened([under("encoder", &self.encoder), under("decoder", &self.decoder)].concat())
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let [encoder, decoder] = by_part(["encoder", "decoder"], unflattened(state))?;
        let (encoder, decoder) = (self.encoder.load_named(encoder)?, self.decoder.load_named(decoder)?);
        Ok(Self { encoder, decoder })
    }
}

/// A second decoder over the latents of a [`Cae`], for instance of a student of the first.
#[derive(Module, Debug)]
pub struct CaeHead {
    /// Latents to frames of one channel.
    pub decoder: VolumeSegment,
}

impl CaeHead {
    /// Reconstructions from latents.
    ///
    /// # Shapes
    /// - `z`: as [`Cae::encode`] gives it
    /// - output: `[batch, 1, height, width]`
    ///
    /// # Panics
    /// If `z` has another shape.
    pub fn decode(&self, z: Tensor<4>) -> Tensor<4> {
        as_image(self.decoder.forward(as_clip(z)))
    }

    /// The decoder packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenCaeHead, NnError> {
        Ok(FrozenCaeHead { decoder: Packed::new(&self.decoder)? })
    }
}

impl StateDict for CaeHead {
    fn state_dict(&self) -> Vec<NamedTensor> {
        flattened(under("student", &self.decoder))
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let [decoder] = by_part(["student"], unflattened(state))?;
        Ok(Self { decoder: self.decoder.load_named(decoder)? })
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

    /// The same, and what `head` makes of the same latents.
    ///
    /// # Errors
    /// As [`FrozenCae::run`], or if `head` reads other latents.
    pub fn run_with(
        &self,
        head: &FrozenCaeHead,
        x: &[f32],
        batch: usize,
        scratch: &mut [Scratch; 2],
    ) -> Result<[Vec<f32>; 2], NnError> {
        let latents = self.network.encode(x, batch, &mut scratch[0])?;
        let first = self.network.decode(&latents, batch, &mut scratch[1])?;
        Ok([first, head.decoder.run(&latents, batch, &mut scratch[1])?])
    }
}

/// [`CaeHead`] as it scores.
#[derive(Debug)]
pub struct FrozenCaeHead {
    decoder: Packed,
}
