//! `one-path` and `itae`: the implicit two-path autoencoder of Cho et al., *Unsupervised Video
//! Anomaly Detection via Normalizing Flows with Implicit Latent Features* (paper 003), and its one-path ablation.
//!
//! An autoencoder sees clips of 16 frames by two paths: a wide one over every fourth frame (appearance) and a thin
//! one over all (motion). It learns to rebuild normal clips; what it rebuilds badly anywhere in the picture is
//! anomalous. A frame's score is the largest mean error of a sliding patch (Eq. 12), averaged over all clips that hold
//! the frame.
//!
//! `itae-nf` adds how unlikely the paths' features are (Eq. 13): they are pooled over channels to a few maps of each
//! feature frame, and a normalizing flow for each path learns their density, the autoencoder frozen.
//!
//! Read on: [`config`](self) → `train` → `score`, and for the flows `maps` → `flow` → `usual` → `flow_train`. The networks are
//! [`vadis_nn::networks::Itae`] and [`vadis_nn::networks::Glow`].

mod config;
mod flow;
mod flow_train;
mod maps;
mod score;
mod train;
mod usual;

use serde::{Deserialize, Serialize};
use vadis_nn::networks::ItaeConfig as NetworkConfig;
use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::ItaeConfig;
pub use flow::FlowConfig;
pub use score::ItaeModel;

/// Which parts of the paper's system a method has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The static path alone.
    OnePath,
    /// Both paths.
    TwoPath,
    /// Both paths, and a flow over the features of each.
    WithFlows,
}

impl Variant {
    /// The name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::OnePath => "one-path",
            Self::TwoPath => "itae",
            Self::WithFlows => "itae-nf",
        }
    }

    /// The network for `format`.
    fn network(self, config: &ItaeConfig, format: InputFormat) -> NetworkConfig {
        let size = [config.clip, format.height, format.width];
        let channels = format.colour.channels();
        let network = match self {
            Self::OnePath => NetworkConfig::one_path(channels, size),
            Self::TwoPath | Self::WithFlows => NetworkConfig::new(channels, size),
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
            Variant::WithFlows => "the two-path autoencoder and normalizing flows over its features",
        }
    }

    fn source(&self) -> &'static str {
        "Cho, Kim, Kim, Cho & Lee, Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let variant = self.0;
        let settings = match variant {
            Variant::WithFlows => {
                let base = WithFlows { itae: ItaeConfig::preset(preset), flow: FlowConfig::preset(preset) };
                let WithFlows { itae, flow } = crate::resolve_config(&base, settings)?;
                Settings { itae, flow: Some(flow) }
            }
            _ => Settings { itae: crate::resolve_config(&ItaeConfig::preset(preset), settings)?, flow: None },
        };
        settings.check()?;
        Ok(Box::new(Learner { variant, settings }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(ItaeModel::from_file(self.0, file)?))
    }
}

/// The settings of a variant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    itae: ItaeConfig,
    /// Of the variant with flows.
    flow: Option<FlowConfig>,
}

/// The settings of the variant with flows, as one table.
#[derive(Debug, Serialize, Deserialize)]
struct WithFlows {
    #[serde(flatten)]
    itae: ItaeConfig,
    #[serde(flatten)]
    flow: FlowConfig,
}

impl Settings {
    fn check(&self) -> Result<(), SystemError> {
        self.itae.check()?;
        let Some(flow) = &self.flow else { return Ok(()) };
        flow.check()?;
        self.itae.check_maps(flow.flow_levels)
    }

    fn value(&self) -> serde_json::Value {
        let value = match self.flow.clone() {
            Some(flow) => serde_json::to_value(WithFlows { itae: self.itae.clone(), flow }),
            None => serde_json::to_value(&self.itae),
        };
        value.unwrap_or_default()
    }
}

/// A variant whose settings are known.
struct Learner {
    variant: Variant,
    settings: Settings,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        self.settings.value()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let ItaeConfig { size, colour, .. } = self.settings.itae;
        let (width, height) = size.resolve(native_width, native_height);
        // The features' maps are halved once a level.
        let unit = self.settings.flow.as_ref().map_or(1, |flow| maps::SHRINK << flow.flow_levels);
        let [width, height] = [width, height].map(|side| side.div_ceil(unit) * unit);
        InputFormat { width, height, colour }
    }

    fn max_frames(&self) -> usize {
        self.settings.itae.max_frames
    }

    fn together(&self) -> usize {
        4 * self.settings.itae.clip
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self.variant, &self.settings, footage, session)?))
    }
}
