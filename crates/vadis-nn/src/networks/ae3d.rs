//! The 3-D autoencoder of MemAE (Gong et al., ICCV 2019) without its memory: the network of the
//! pseudo-anomaly systems (paper 002) and their lineage.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, Plan, PlanError, Scratch};

use super::packed::PackedPair;
use super::{Arithmetic, LEAKY, Sliding, check_width, does_not_fit, scaled};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, VolumeSegment, by_part, under};

/// Strides of the encoder's layers on `[time, height, width]`; the decoder's are the same, backwards.
const STRIDES: [[usize; 3]; 4] = [[1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]];

/// Configuration of [`Ae3d`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ae3dConfig {
    /// Channels of a frame: 3, or 1 for grey.
    pub channels: usize,
    /// `[time, height, width]` of a clip. Any size comes back as it was.
    pub size: [usize; 3],
    /// Multiplies the channels of all inner layers (96, 128, 256, 256).
    pub width: f64,
    /// How the kernels round.
    pub arithmetic: Arithmetic,
}

impl Ae3dConfig {
    /// The published network (5 991 171 parameters with 3 channels) for clips of `size`.
    pub fn new(channels: usize, size: [usize; 3]) -> Self {
        Self { channels, size, width: 1.0, arithmetic: Arithmetic::default() }
    }

    /// An untrained network.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the width or the sizes cannot be built.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<Ae3d, NnError> {
        check_width(self.width)?;
        let (encoder, decoder) = self.plans().map_err(does_not_fit)?;
        let options = self.arithmetic.options();
        Ok(Ae3d {
            encoder: VolumeSegment::new(&encoder, options, device, rng),
            decoder: VolumeSegment::new(&decoder, options, device, rng),
        })
    }

    /// Values of its state: parameters and running statistics.
    ///
    /// # Errors
    /// As [`Ae3dConfig::init`].
    pub fn value_count(&self) -> Result<usize, NnError> {
        check_width(self.width)?;
        let (encoder, decoder) = self.plans().map_err(does_not_fit)?;
        let values = |plan: &Plan| plan.parameter_count() + plan.buffer_count() + plan.buffers().len() / 2;
        Ok(values(&encoder) + values(&decoder))
    }

    /// Channels of a latent.
    pub(super) fn features(&self) -> usize {
        scaled(256, self.width)
    }

    fn plans(&self) -> Result<(Plan, Plan), PlanError> {
        let [a, b, c] = [96, 128, 256].map(|channels| scaled(channels, self.width));
        let [t, h, w] = self.size;
        let widths = [self.channels, a, b, c, c];
        let mut encoder = Plan::new("clip", [self.channels, t, h, w])?;
        // What each layer reads, for the decoder to come back to.
        let mut shapes = vec![encoder.output()];
        for (i, stride) in STRIDES.into_iter().enumerate() {
            let (before, name) = (last(&encoder), format!("conv{}", i + 1));
            let conv = Conv::new(widths[i], widths[i + 1], [3; 3], stride);
            encoder = encoder.conv(&name, &before, conv.norm(format!("norm{}", i + 1)).activation(LEAKY))?;
            shapes.push(encoder.output());
        }
        let back = [c, c, b, a, self.channels];
        let mut decoder = Plan::new("latent", encoder.output())?;
        for i in 0..4 {
            let (before, name, stride) = (last(&decoder), format!("deconv{}", i + 1), STRIDES[3 - i]);
            let [_, sizes @ ..] = shapes[3 - i];
            // Output padding brings each side back to what it was before it was divided.
            let extra = std::array::from_fn(|axis| (sizes[axis] - 1) % stride[axis]);
            let conv = Conv::transposed(back[i], back[i + 1], [3; 3], stride, extra);
            let conv = match i {
                3 => conv.activation(Activation::Tanh),
                _ => conv.norm(format!("norm{}", i + 1)).activation(LEAKY),
            };
            decoder = decoder.conv(&name, &before, conv)?;
        }
        Ok((encoder, decoder))
    }
}

fn last(plan: &Plan) -> String {
    plan.output_name().to_owned()
}

/// The autoencoder.
#[derive(Module, Debug)]
pub struct Ae3d {
    /// Clips to latents.
    pub encoder: VolumeSegment,
    /// Latents to clips.
    pub decoder: VolumeSegment,
}

impl Ae3d {
    /// Reconstructions.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, time, height, width]`, pixels in [−1, 1]
    /// - output: as `x`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.decoder.forward(self.encoder.forward(x))
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenAe3d, NnError> {
        Ok(FrozenAe3d { network: PackedPair::new(&self.encoder, &self.decoder)? })
    }

    /// As [`Ae3d::frozen`], in bytes: faster on a processor with AVX-512 VNNI or AMX, and less accurate. Flat
    /// `examples`, clips `[n, channels, time, height, width]`, are like those to come: values beyond the
    /// largest that they lead to saturate.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if there is none, or values over them are not finite.
    pub fn frozen_int8(&self, examples: &[f32]) -> Result<FrozenAe3d, NnError> {
        Ok(FrozenAe3d { network: PackedPair::int8(&self.encoder, &self.decoder, examples)? })
    }
}

impl StateDict for Ae3d {
    fn state_dict(&self) -> Vec<NamedTensor> {
        [under("encoder", &self.encoder), under("decoder", &self.decoder)].concat()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let [encoder, decoder] = by_part(["encoder", "decoder"], state)?;
        let (encoder, decoder) = (self.encoder.load_named(encoder)?, self.decoder.load_named(decoder)?);
        Ok(Self { encoder, decoder })
    }
}

/// [`Ae3d`] as it scores: a clip's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenAe3d {
    network: PackedPair,
}

impl FrozenAe3d {
    /// Reconstructions of `batch` clips `[batch, channels, time, height, width]`, as flat values. Memory
    /// in `scratch` is used again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut [Scratch; 2]) -> Result<Vec<f32>, NnError> {
        self.network.run(x, batch, scratch)
    }

    /// The network on each window of a stream, for frame `wanted` of the window.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if a window has no such frame, [`NnError::SlidingInBytes`] if the network is in bytes.
    pub fn sliding(&self, wanted: usize) -> Result<Sliding, NnError> {
        self.network.sliding(wanted)
    }
}
