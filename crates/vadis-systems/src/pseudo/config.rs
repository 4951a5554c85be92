//! The settings of `pseudo`, each with where it comes from.

use serde::{Deserialize, Serialize};
use vadis_nn::networks::Ae3dConfig as NetworkConfig;
use vadis_video::Colour;

use crate::ae3d::Ae3dConfig;
use crate::preset::{probability, setting};
use crate::{InputFormat, Preset, SystemError};

/// Channels of a flow's picture: u, v and |(u, v)| (ours: a flow has two, the network takes three).
pub(super) const FLOW_CHANNELS: usize = 3;

/// Before the path of a diffusion model's weights.
pub(super) const DIFFUSION: &str = "diffusion:";

/// Every setting of `pseudo`: those of both autoencoders, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PseudoConfig {
    /// Both autoencoders.
    #[serde(flatten)]
    pub ae3d: Ae3dConfig,
    /// p_s, how often a clip of frames is a pseudo-anomaly (paper: 0.4).
    pub spatial: f64,
    /// p_t, how often a clip of flows is one (paper: 0.5).
    pub temporal: f64,
    /// What is cut out: `random` (LaMa's masks), `objects` (what stands out from the background; paper: a segmentation
    /// network's masks), or a folder of masks, white where the hole is.
    pub masks: String,
    /// Grey levels by which an object differs from the background at least (ours).
    pub contrast: u8,
    /// What fills it: `patch` (an exemplar from elsewhere in the footage, ours), `diffuse` (from the rim inwards), or
    /// `diffusion:PATH` (latent diffusion with the weights there; paper), which takes minutes a frame on a CPU.
    pub inpaint: String,
    /// α of the Beta distribution of mixup (paper: 0.4).
    pub mixup: f64,
    /// Motion in pixels a frame at which a flow is cut off, and which is 1 for the network (ours).
    pub flow_limit: f32,
    /// Folder of computed flows, of 1 GiB at most; empty for one that lasts as long as the training (ours).
    pub flow_cache: String,
    /// η₁, weight of the reconstruction's error in the score (ours: equal weights; the paper tunes them for each data set).
    pub appearance_weight: f64,
    /// η₂, weight of the flow's error.
    pub motion_weight: f64,
    /// η₃, weight of the discriminator's probability, where there is one.
    pub semantic_weight: f64,
    /// Weight file of the network whose features the discriminator sees; empty for no discriminator. The model finds it
    /// again by this path.
    pub features: String,
    /// That network: `efficientnet-lite0` (ours) or `clip-vit-b16` (paper: ViFi-CLIP, of that layout).
    pub encoder: Encoder,
    /// Model file of a trained `pseudo` whose two autoencoders are taken as they are, so that only a discriminator learns;
    /// empty to train them (ours).
    #[serde(default)]
    pub trained: String,
}

/// A network that describes frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// EfficientNet-Lite0, 1280 features.
    #[serde(rename = "efficientnet-lite0")]
    EfficientnetLite0,
    /// CLIP's image encoder, 512 features.
    #[serde(rename = "clip-vit-b16")]
    ClipVitB16,
}

impl PseudoConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let ae3d = Ae3dConfig::preset(preset);
        let ae3d = match preset {
            Preset::Paper => Ae3dConfig { colour: Colour::Rgb, epochs: 25, batch: 24, ..ae3d },
            // Two networks, and pseudo-anomalies to make: half an hour of one core.
            Preset::Cpu => Ae3dConfig { max_steps: 3000, ..ae3d },
            Preset::Tiny => ae3d,
        };
        let flow_limit = match preset {
            Preset::Paper => 20.0,
            // Smaller frames move less, and what moves should not drown in the ground's zeros.
            Preset::Cpu | Preset::Tiny => 5.0,
        };
        Self {
            ae3d,
            spatial: 0.4,
            temporal: 0.5,
            masks: "objects".to_owned(),
            contrast: 20,
            inpaint: "patch".to_owned(),
            mixup: 0.4,
            flow_limit,
            flow_cache: String::new(),
            appearance_weight: 1.0,
            motion_weight: 1.0,
            semantic_weight: 1.0,
            features: String::new(),
            encoder: Encoder::EfficientnetLite0,
            trained: String::new(),
        }
    }

    /// The networks of appearance and of motion.
    pub(super) fn networks(&self, format: InputFormat) -> [NetworkConfig; 2] {
        [format.colour.channels(), FLOW_CHANNELS].map(|channels| self.ae3d.network(channels, format))
    }

    /// Frames that must have come after the scored one: the last flow of its window needs one more.
    pub(super) fn delay(&self) -> usize {
        self.ae3d.delay() + 1
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        self.ae3d.check()?;
        probability("spatial", self.spatial)?;
        probability("temporal", self.temporal)?;
        if self.masks.is_empty() {
            return Err(setting("masks", "must be `random`, `objects` or a folder"));
        }
        let with_weights = self.inpaint.strip_prefix(DIFFUSION).is_some_and(|path| !path.is_empty());
        if !["patch", "diffuse"].contains(&self.inpaint.as_str()) && !with_weights {
            return Err(setting("inpaint", "must be `patch`, `diffuse` or `diffusion:PATH`"));
        }
        if !(self.mixup.is_finite() && self.mixup > 0.0) {
            return Err(setting("mixup", "must be a positive number"));
        }
        if !(self.flow_limit.is_finite() && self.flow_limit > 0.0) {
            return Err(setting("flow_limit", "must be a positive number of pixels"));
        }
        let weights = [
            ("appearance_weight", self.appearance_weight),
            ("motion_weight", self.motion_weight),
            ("semantic_weight", self.semantic_weight),
        ];
        for (key, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(setting(key, "must be 0 or a positive number"));
            }
        }
        let counted = if self.features.is_empty() { 2 } else { 3 };
        if weights[..counted].iter().all(|(_, weight)| *weight == 0.0) {
            return Err(setting("appearance_weight", "one of the weights must be above 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::assert_are_named;

    #[test]
    fn presets_are_in_range_and_wrong_settings_are_named() {
        for (preset, _) in Preset::ALL {
            PseudoConfig::preset(preset).check().unwrap();
        }
        let tiny = PseudoConfig::preset(Preset::Tiny);
        let wrong = [
            ("spatial=1.5", "spatial"),
            ("inpaint=magic", "inpaint"),
            ("mixup=0.0", "mixup"),
            ("flow_limit=0.0", "flow_limit"),
            ("motion_weight=-1.0", "motion_weight"),
            ("inpaint=\"diffusion:\"", "inpaint"),
            ("clip=3", "clip"),
        ];
        assert_are_named(&tiny, PseudoConfig::check, &wrong);
    }
}
