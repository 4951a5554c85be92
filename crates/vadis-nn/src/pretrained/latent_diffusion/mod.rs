//! Inpainting by latent diffusion: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (CVPR
//! 2022), whose inpainting model makes the pseudo-anomalies of paper 002.
//!
//! Noise in the latent space of an autoencoder becomes, step by step, what fits a picture with a hole; the
//! network sees the noisy latent, the latent of the picture without the hole's content, and the hole.
//! Weights are read in CompVis's layout (one file) and in that of `diffusers` (a folder with `unet` and `vqvae`).

mod autoencoder;
mod blocks;
mod config;
mod schedule;
mod unet;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};

use autoencoder::Autoencoder;
use blocks::Layout;
pub use config::{AutoencoderConfig, LatentDiffusionConfig, ScheduleConfig, UnetConfig};
use schedule::Schedule;
use unet::Unet;

use super::Checkpoint;
use super::layers::Source;
use crate::{NnError, tensor_values};

/// The paper's number of steps from noise to a picture.
pub const STEPS: usize = 50;

/// Prefix of the network's averaged weights in CompVis's checkpoints, which its sampler uses where there are any.
const AVERAGED: &str = "model_ema.diffusion_model";
/// Channels of a picture.
const COLOURS: usize = 3;
/// Longest side of a picture: attention's memory grows with its fourth power.
const MAX_SIDE: usize = 2048;

/// A picture with a hole.
#[derive(Debug, Clone, Copy)]
pub struct Hole<'a> {
    /// The picture, `[3][height][width]` in [0, 1].
    pub picture: &'a [f32],
    /// `[height][width]`, true in the hole.
    pub mask: &'a [bool],
    /// Height and width: multiples of [`LatentDiffusionConfig::granularity`].
    pub size: [usize; 2],
    /// Standard normal noise to start from, [`LatentDiffusion::noise_len`] values: another noise is another filling.
    pub noise: &'a [f32],
    /// Steps from noise to a picture: [`STEPS`] in the paper.
    pub steps: usize,
}

/// The networks with their weights.
#[derive(Debug)]
pub struct LatentDiffusion {
    config: LatentDiffusionConfig,
    unet: Unet,
    autoencoder: Autoencoder,
    schedule: Schedule,
    device: Device,
}

impl LatentDiffusion {
    /// The inpainting model ([`LatentDiffusionConfig::inpainting`]) from CompVis's checkpoint as `safetensors`
    /// (`scripts/pretrained-weights convert`), or from a folder as `diffusers` saves one.
    ///
    /// # Errors
    /// [`NnError::Io`], [`NnError::WeightFile`] or [`NnError::Weights`]: unreadable, truncated, of another layout, or a
    /// tensor is missing or of another shape.
    pub fn inpainting(path: &Path, device: &Device) -> Result<Self, NnError> {
        Self::load(&LatentDiffusionConfig::inpainting(), path, device)
    }

    /// A model of any sizes.
    ///
    /// # Errors
    /// As [`LatentDiffusion::inpainting`], and [`NnError::Setting`] for sizes that do not fit each other.
    pub fn load(config: &LatentDiffusionConfig, path: &Path, device: &Device) -> Result<Self, NnError> {
        config.check()?;
        let latent = config.autoencoder.latent;
        let channels = [2 * latent + 1, latent];
        let (unet, autoencoder) = if path.is_dir() {
            let open = |part: &str| Checkpoint::open(&in_folder(path, part));
            let [unet, vqvae] = [open("unet")?, open("vqvae")?];
            let [unet, vqvae] = [&unet, &vqvae].map(|weights| Source::new(weights, "", device));
            let layout = Layout::Diffusers;
            let unet = Unet::load(unet, layout, &config.unet, channels)?;
            (unet, Autoencoder::load(vqvae, layout, &config.autoencoder)?)
        } else {
            let weights = Checkpoint::open(path)?;
            let dotless = weights.contains_under(AVERAGED);
            let prefix = if dotless { AVERAGED } else { "model.diffusion_model." };
            let unet = Source { dotless, ..Source::new(&weights, prefix, device) };
            let first_stage = Source::new(&weights, "first_stage_model.", device);
            let layout = Layout::CompVis;
            let unet = Unet::load(unet, layout, &config.unet, channels)?;
            (unet, Autoencoder::load(first_stage, layout, &config.autoencoder)?)
        };
        let schedule = Schedule::new(config.schedule);
        Ok(Self { config: config.clone(), unet, autoencoder, schedule, device: device.clone() })
    }

    /// The sizes.
    pub fn config(&self) -> &LatentDiffusionConfig {
        &self.config
    }

    /// Values of the noise for a picture of that height and width.
    pub fn noise_len(&self, [height, width]: [usize; 2]) -> usize {
        let factor = self.config.factor();
        self.config.autoencoder.latent * (height / factor) * (width / factor)
    }

    /// The picture with its hole filled, `[3][height][width]` in [0, 1]; outside the hole it is what it was. None if
    /// `each_step`, which is told the steps done, breaks. The same noise gives the same picture.
    ///
    /// # Errors
    /// [`NnError::Setting`] for sizes or steps that the networks cannot have, [`NnError::Shape`] for slices of other
    /// lengths, [`NnError::Tensor`] if the device does not give its numbers back.
    pub fn inpaint(
        &self,
        hole: &Hole<'_>,
        mut each_step: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Vec<f32>>, NnError> {
        self.check(hole)?;
        let steps = self.schedule.backward(hole.steps)?;
        let condition = self.condition(hole);
        let [_, _, height, width] = condition.dims();
        let mut x = self.tensor(hole.noise.to_vec(), [1, self.config.autoencoder.latent, height, width]);
        for (done, step) in steps.iter().enumerate() {
            let noise = self.unet.forward(Tensor::cat(vec![x.clone(), condition.clone()], 1), step.time);
            let [of_sample, of_noise] = step.factors();
            x = x.mul_scalar(of_sample) + noise.mul_scalar(of_noise);
            if each_step(done + 1).is_break() {
                return Ok(None);
            }
        }
        let found = tensor_values(self.autoencoder.decode(x))?;
        let plane = hole.mask.len();
        let inside = |i: usize| hole.mask[i % plane];
        let unit = |v: f32| (v / 2.0 + 0.5).clamp(0.0, 1.0);
        let filled = found.iter().zip(hole.picture).enumerate();
        Ok(Some(filled.map(|(i, (&new, &old))| if inside(i) { unit(new) } else { old }).collect()))
    }

    /// The latent of the picture without the hole's content, and the mask at the latents' size, all in [−1, 1] and 1 in
    /// the hole.
    fn condition(&self, hole: &Hole<'_>) -> Tensor<4> {
        let [height, width] = hole.size;
        let plane = height * width;
        let visible = |(i, v): (usize, &f32)| if hole.mask[i % plane] { -1.0 } else { v * 2.0 - 1.0 };
        let visible = hole.picture.iter().enumerate().map(visible).collect();
        let latent = self.autoencoder.encode(self.tensor(visible, [1, COLOURS, height, width]));
        let factor = self.config.factor();
        let places =
            (0..height / factor).flat_map(|y| (0..width / factor).map(move |x| (y * factor, x * factor)));
        let mask = places.map(|(y, x)| if hole.mask[y * width + x] { 1.0 } else { -1.0 }).collect();
        let mask = self.tensor(mask, [1, 1, height / factor, width / factor]);
        Tensor::cat(vec![latent, mask], 1)
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn check(&self, hole: &Hole<'_>) -> Result<(), NnError> {
        let [height, width] = hole.size;
        let fits =
            |side: usize| side > 0 && side <= MAX_SIDE && side.is_multiple_of(self.config.granularity());
        if !fits(height) || !fits(width) {
            let (value, expected) = (
                format!("{width}×{height}"),
                "sides that the networks can halve to the end (of 32 pixels each for the published one), at most 2048",
            );
            return Err(NnError::Setting { key: "size", value, expected });
        }
        for (what, expected, got) in [
            ("the picture", COLOURS * height * width, hole.picture.len()),
            ("the mask", height * width, hole.mask.len()),
            ("the noise", self.noise_len(hole.size), hole.noise.len()),
        ] {
            if expected != got {
                return Err(NnError::Shape { what, axis: 0, expected, got });
            }
        }
        match hole.picture.iter().chain(hole.noise).all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(NnError::NotFinite { what: "picture and noise" }),
        }
    }
}

/// Where `diffusers` keeps a part's weights.
fn in_folder(folder: &Path, part: &str) -> PathBuf {
    folder.join(part).join("diffusion_pytorch_model.safetensors")
}
