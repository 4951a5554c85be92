//! `nf-frames`: a normalizing flow over the frames themselves, without features or a reconstruction: the row "NF on
//! frames" of Cho et al., *Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features*
//! (paper 003). It shows what the autoencoder's features bring to the flows of [`itae_nf`](crate::itae_nf).
//!
//! A frame's score is its negative log-likelihood in nats per dimension (Eqs. 5 to 7), of pixels that are standardised
//! over the training footage.
//!
//! Read on: `config` → `train` → `score`. The network is [`vadis_nn::networks::Glow`].

mod config;
mod score;
mod train;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{NfFramesConfig, ScoreKind};
pub use score::NfFramesModel;

/// Its name on the command line.
const KEY: &str = "nf-frames";

/// The registry's entry.
pub struct NfFrames;

impl Method for NfFrames {
    fn key(&self) -> &'static str {
        KEY
    }

    fn about(&self) -> &'static str {
        "a normalizing flow over the frames themselves: an ablation of itae-nf"
    }

    fn source(&self) -> &'static str {
        "Cho, Kim, Kim, Cho & Lee, Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&NfFramesConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(config))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(NfFramesModel::from_file(file)?))
    }
}

impl Configured for NfFramesConfig {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let unit = 1usize << self.levels;
        let (width, height) = self.size.resolve(native_width, native_height);
        let [width, height] = [width, height].map(|side| side.div_ceil(unit) * unit);
        InputFormat { width, height, colour: self.colour }
    }

    fn max_frames(&self) -> usize {
        self.max_frames
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self, footage, session)?))
    }
}
