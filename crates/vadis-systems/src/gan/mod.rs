//! `gan`: the convolutional autoencoder of paper 004 trained against a discriminator, which the paper compares with as its
//! "GAN-based" row (Table 3) and does not describe. What stands here is ours, in the simplest form that the name allows.
//!
//! The autoencoder (`cae`'s) rebuilds normal frames; a discriminator of patches learns to tell frames from what is rebuilt,
//! by least squares (Mao et al., *Least Squares Generative Adversarial Networks*, ICCV 2017, Eq. 2 with a = 0 and
//! b = c = 1):
//!
//! ```text
//! L_D = ½ E[(D(x) − 1)²] + ½ E[D(G(x))²]
//! L_G = E[(x − G(x))²] + λ · ½ E[(D(G(x)) − 1)²]
//! ```
//!
//! A frame's score is its reconstruction error and the discriminator's doubt in it, max(0, 1 − D(x))², each
//! standardised on held-out normal footage.
//!
//! Read on: [`config`](self) → `train` → `score`. The networks are [`vadis_nn::networks::Cae`] and
//! [`vadis_nn::networks::PatchDiscriminator`]; augmentation is that of `motion_mae`.

mod config;
mod score;
mod train;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{GanConfig, GanScore};
pub use score::GanModel;

/// The name on the command line.
const KEY: &str = "gan";

/// The registry's entry.
pub struct Gan;

impl Method for Gan {
    fn key(&self) -> &'static str {
        KEY
    }

    fn about(&self) -> &'static str {
        "convolutional autoencoder of single frames, trained against a discriminator of patches"
    }

    fn source(&self) -> &'static str {
        "paper 004, Table 3; its parts, which the paper does not describe, are ours"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&GanConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(Learner { config }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(GanModel::from_file(file)?))
    }
}

/// The system with its settings known.
struct Learner {
    config: GanConfig,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        self.config.input(native_width, native_height)
    }

    fn max_frames(&self) -> usize {
        self.config.max_frames
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(&self.config, footage, session)?))
    }
}
