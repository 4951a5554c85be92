//! `mle`: minimal latent entropy autoencoder (MLE-UVAD, arXiv 2603.23868), fully unsupervised.
//!
//! An autoencoder whose latents are pulled together by order-2 Rényi entropy while it learns to reconstruct.
//! Normal frames dominate raw footage, so rare latents are drawn into the normal cluster and their frames come
//! back badly, although they were in the training footage. A frame's score is 1 − PCC, the Pearson correlation
//! of the frame and its reconstruction.
//!
//! Only the paper's abstract and reviews are public: what is ours is marked so in `config`.
//!
//! Read on: [`config`](self) → `network` → `train` → `quality` → `score`.

mod config;
mod network;
mod quality;
mod score;
mod train;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{MleConfig, ScoreKind, Size};
pub use network::{Autoencoder, Frozen};
pub use quality::{Quality, QualityReference, pearson};
pub use score::MleModel;

/// The registry's entry.
pub struct Mle;

impl Method for Mle {
    fn key(&self) -> &'static str {
        "mle"
    }

    fn about(&self) -> &'static str {
        "minimal latent entropy autoencoder: learns raw, unlabelled footage and scores it"
    }

    fn source(&self) -> &'static str {
        "MLE-UVAD, arXiv 2603.23868"
    }

    fn is_unsupervised(&self) -> bool {
        true
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&MleConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(config))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(MleModel::from_file(file)?))
    }
}

impl Configured for MleConfig {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: self.colour }
    }

    fn max_frames(&self) -> usize {
        self.max_frames
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self, footage, session)?))
    }
}
