//! `ae3d`: the 3-D autoencoder over clips that paper 002 (Rai et al., *Video Anomaly Detection via Spatio-Temporal
//! Pseudo-Anomaly Generation*) calls its baseline without pseudo-anomalies, and the systems that add one thing to it:
//!
//! * `memae` (Gong et al., ICCV 2019): a memory of normal latents between encoder and decoder;
//! * `lntra-patch`, `lntra-skip` (Astrid et al., *Learning Not to Reconstruct Anomalies*, BMVC 2021): some clips get an
//!   intruder, or skip frames, and the clip without that is to be made of them;
//! * `steal` (Astrid et al., ICCV Workshops 2021): the network is pushed away from rebuilding clips that skip frames.
//!
//! All learn by the mean squared error over a clip's frames. The ninth of sixteen frames is scored, by its peak
//! signal-to-noise ratio, in windows that slide by one.
//!
//! Read on: [`config`](self) → `network` → `skip`, the shared `pasted` (`intruder`) → `train` → `score`.

pub(crate) mod config;
pub(crate) mod network;
pub(crate) mod score;
mod skip;
pub(crate) mod train;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vadis_nn::weights::WeightFile;

use crate::model_file::parse;
use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{Ae3dConfig, Measure, MemoryConfig, PatchConfig, SkipConfig};
pub use score::Ae3dModel;

use network::Shape;

/// What is added to the autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// A memory.
    Memory,
    /// Intruders, to be undone.
    Patch,
    /// Skipped frames, to be undone.
    Skip,
    /// Skipped frames, from which the network is pushed away.
    Steal,
}

impl Variant {
    /// The name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Plain => "ae3d",
            Self::Memory => "memae",
            Self::Patch => "lntra-patch",
            Self::Skip => "lntra-skip",
            Self::Steal => "steal",
        }
    }

    fn addition(self, preset: Preset) -> Addition {
        match self {
            Self::Plain => Addition::None,
            Self::Memory => Addition::Memory(MemoryConfig::preset(preset)),
            Self::Patch => Addition::Patch(PatchConfig::preset(preset)),
            Self::Skip => Addition::Skip(SkipConfig::undone()),
            Self::Steal => Addition::Skip(SkipConfig::pushed_away()),
        }
    }
}

/// The settings of what is added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Addition {
    None,
    Memory(MemoryConfig),
    Patch(PatchConfig),
    Skip(SkipConfig),
}

/// The settings of a variant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) ae3d: Ae3dConfig,
    pub(crate) addition: Addition,
}

/// The settings of a variant as one table.
#[derive(Debug, Serialize, Deserialize)]
struct Table<A> {
    #[serde(flatten)]
    ae3d: Ae3dConfig,
    #[serde(flatten)]
    addition: A,
}

impl Settings {
    fn preset(variant: Variant, preset: Preset) -> Self {
        Self { ae3d: Ae3dConfig::preset(preset), addition: variant.addition(preset) }
    }

    /// With the user's settings over it.
    fn resolved(self, settings: &[Setting]) -> Result<Self, SystemError> {
        fn table<A: Serialize + DeserializeOwned>(
            ae3d: Ae3dConfig,
            addition: A,
            settings: &[Setting],
            wrap: fn(A) -> Addition,
        ) -> Result<Settings, SystemError> {
            let Table { ae3d, addition } = crate::resolve_config(&Table { ae3d, addition }, settings)?;
            Ok(Settings { ae3d, addition: wrap(addition) })
        }
        let Self { ae3d, addition } = self;
        match addition {
            Addition::None => {
                let ae3d = crate::resolve_config(&ae3d, settings)?;
                Ok(Self { ae3d, addition })
            }
            Addition::Memory(memory) => table(ae3d, memory, settings, Addition::Memory),
            Addition::Patch(patch) => table(ae3d, patch, settings, Addition::Patch),
            Addition::Skip(skip) => table(ae3d, skip, settings, Addition::Skip),
        }
    }

    /// Those of a model file.
    fn parse(variant: Variant, file: &WeightFile) -> Result<Self, SystemError> {
        let addition = match variant {
            Variant::Plain => Addition::None,
            Variant::Memory => Addition::Memory(parse(file, "config")?),
            Variant::Patch => Addition::Patch(parse(file, "config")?),
            Variant::Skip | Variant::Steal => Addition::Skip(parse(file, "config")?),
        };
        let settings = Self { ae3d: parse(file, "config")?, addition };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SystemError> {
        self.ae3d.check()?;
        match &self.addition {
            Addition::None => Ok(()),
            Addition::Memory(memory) => memory.check(),
            Addition::Patch(patch) => patch.check(),
            Addition::Skip(skip) => skip.check(),
        }
    }

    fn value(&self) -> serde_json::Value {
        fn table<A: Serialize>(ae3d: &Ae3dConfig, addition: &A) -> serde_json::Result<serde_json::Value> {
            serde_json::to_value(Table { ae3d: ae3d.clone(), addition })
        }
        let value = match &self.addition {
            Addition::None => serde_json::to_value(&self.ae3d),
            Addition::Memory(memory) => table(&self.ae3d, memory),
            Addition::Patch(patch) => table(&self.ae3d, patch),
            Addition::Skip(skip) => table(&self.ae3d, skip),
        };
        value.unwrap_or_default()
    }

    fn network(&self, format: InputFormat) -> Shape {
        let network = self.ae3d.network(format.colour.channels(), format);
        match &self.addition {
            Addition::Memory(memory) => Shape::Memory(memory.network(network)),
            _ => Shape::Plain(network),
        }
    }
}

/// The registry's entry of a variant.
pub struct Ae3d(pub Variant);

impl Method for Ae3d {
    fn key(&self) -> &'static str {
        self.0.key()
    }

    fn about(&self) -> &'static str {
        match self.0 {
            Variant::Plain => "3-D autoencoder over clips: learns normal footage",
            Variant::Memory => "the 3-D autoencoder with a memory of what is normal",
            Variant::Patch => "the 3-D autoencoder, learning to remove pictures pasted into clips",
            Variant::Skip => "the 3-D autoencoder, learning to slow down clips that skip frames",
            Variant::Steal => "the 3-D autoencoder, pushed away from rebuilding clips that skip frames",
        }
    }

    fn source(&self) -> &'static str {
        match self.0 {
            Variant::Plain => {
                "Rai et al., Video Anomaly Detection via Spatio-Temporal Pseudo-Anomaly Generation (its baseline)"
            }
            Variant::Memory => "Gong et al., Memorizing Normality to Detect Anomaly",
            Variant::Patch | Variant::Skip => {
                "Astrid, Zaheer, Lee & Lee, Learning Not to Reconstruct Anomalies"
            }
            Variant::Steal => {
                "Astrid, Zaheer & Lee, Synthetic Temporal Anomaly Guided End-to-End Video Anomaly Detection"
            }
        }
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let settings = Settings::preset(self.0, preset).resolved(settings)?;
        settings.check()?;
        Ok(Box::new(Learner { variant: self.0, settings }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(Ae3dModel::from_file(self.0, file)?))
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
        let Ae3dConfig { size, colour, .. } = self.settings.ae3d;
        let (width, height) = size.resolve(native_width, native_height);
        InputFormat { width, height, colour }
    }

    fn max_frames(&self) -> usize {
        self.settings.ae3d.max_frames
    }

    fn together(&self) -> usize {
        4 * self.settings.ae3d.clip
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self.variant, &self.settings, footage, session)?))
    }
}
