//! `one-path` and `itae`: the implicit two-path autoencoder of Cho et al., *Unsupervised Video
//! Anomaly Detection via Normalizing Flows with Implicit Latent Features* (paper 003), and its one-path ablation.
//!
//! An autoencoder sees clips of 16 frames by two paths: a wide one over every fourth frame (appearance) and a thin
//! one over all (motion). It learns to rebuild normal clips; what it rebuilds badly anywhere in the picture is
//! anomalous. A frame's score is the largest mean error of a sliding patch (Eq. 12), averaged over all clips that hold
//! the frame.
//!
//! The paper adds the likelihood of the paths' features under normalizing flows: [`Variant`] says which of its parts
//! a method has, `score::COLUMNS` has the columns that they bring, and `score::combined` is where they meet.
//!
//! Read on: [`config`](self) → `train` → `score`. The network is [`vadis_nn::networks::Itae`].

mod config;
mod score;
mod train;

use vadis_nn::networks::ItaeConfig as NetworkConfig;
use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::ItaeConfig;
pub use score::ItaeModel;

/// Which parts of the paper's system a method has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The static path alone.
    OnePath,
    /// Both paths.
    TwoPath,
}

impl Variant {
    /// The name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::OnePath => "one-path",
            Self::TwoPath => "itae",
        }
    }

    /// The network for `format`.
    fn network(self, config: &ItaeConfig, format: InputFormat) -> NetworkConfig {
        let size = [config.clip, format.height, format.width];
        let channels = format.colour.channels();
        let network = match self {
            Self::OnePath => NetworkConfig::one_path(channels, size),
            Self::TwoPath => NetworkConfig::new(channels, size),
        };
        NetworkConfig { width: config.width, ..network }
    }
}

/// The registry's entry of a variant.
pub struct Itae(pub Variant);

impl Method for Itae {
    fn key(&self) -> &'static str {
        self.0.key()
    }

    fn about(&self) -> &'static str {
        match self.0 {
            Variant::OnePath => "the two-path autoencoder's static path alone: an ablation",
            Variant::TwoPath => "implicit two-path autoencoder over clips: learns normal footage",
        }
    }

    fn source(&self) -> &'static str {
        "Cho, Kim, Kim, Cho & Lee, Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&ItaeConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(Learner { variant: self.0, config }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(ItaeModel::from_file(self.0, file)?))
    }
}

/// A variant whose settings are known.
struct Learner {
    variant: Variant,
    config: ItaeConfig,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.config.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: self.config.colour }
    }

    fn max_frames(&self) -> usize {
        self.config.max_frames
    }

    fn together(&self) -> usize {
        4 * self.config.clip
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self.variant, &self.config, footage, session)?))
    }
}
