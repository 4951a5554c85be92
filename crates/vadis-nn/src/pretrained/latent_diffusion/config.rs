//! Sizes of the networks, and the noise schedule's.

use crate::NnError;

/// Most levels of a network.
const MAX_LEVELS: usize = 8;

/// The network that removes noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnetConfig {
    /// Channels of each level, the finest first; each next has half the size.
    pub channels: Vec<usize>,
    /// For each level, whether attention follows its residual blocks.
    pub attention: Vec<bool>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub blocks: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Groups of channels that the norms go over.
    pub groups: usize,
}

/// The autoencoder between pixels and latents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoencoderConfig {
    /// Channels of each level, the finest first; each next has half the size.
    pub channels: Vec<usize>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub blocks: usize,
    /// Channels of the latents.
    pub latent: usize,
    /// Vectors of the codebook.
    pub codes: usize,
    /// Groups of channels that the norms go over.
    pub groups: usize,
}

/// The noise of each step of the training: β is linear in its square root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleConfig {
    /// β of the first step.
    pub first: f64,
    /// β of the last step.
    pub last: f64,
    /// Steps.
    pub steps: usize,
}

/// Everything.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentDiffusionConfig {
    /// The network that removes noise.
    pub unet: UnetConfig,
    /// The autoencoder.
    pub autoencoder: AutoencoderConfig,
    /// The noise.
    pub schedule: ScheduleConfig,
}

impl LatentDiffusionConfig {
    /// The inpainting model of Rombach et al. (`inpainting_big`): VQ autoencoder of factor 4, UNet of 256 channels times
    /// 1, 2, 3, 4 with attention at factors 2, 4 and 8, β from 1.5e-3 to 2.05e-2 over 1000 steps.
    pub fn inpainting() -> Self {
        let unet = UnetConfig {
            channels: vec![256, 512, 768, 1024],
            attention: vec![false, true, true, true],
            blocks: 2,
            heads: 8,
            groups: 32,
        };
        let channels = vec![128, 256, 512];
        let autoencoder = AutoencoderConfig { channels, blocks: 2, latent: 3, codes: 8192, groups: 32 };
        let schedule = ScheduleConfig { first: 1.5e-3, last: 2.05e-2, steps: 1000 };
        Self { unet, autoencoder, schedule }
    }

    /// How often smaller the latents are than the picture.
    pub fn factor(&self) -> usize {
        1 << (self.autoencoder.channels.len() - 1)
    }

    /// What a picture's sides must be multiples of.
    pub fn granularity(&self) -> usize {
        self.factor() << (self.unet.channels.len() - 1)
    }

    pub(super) fn check(&self) -> Result<(), NnError> {
        let Self { unet, autoencoder, schedule } = self;
        for (key, channels, groups) in [
            ("unet.channels", &unet.channels, unet.groups * unet.heads),
            ("autoencoder.channels", &autoencoder.channels, autoencoder.groups),
        ] {
            let fits = |n: &usize| *n > 0 && groups > 0 && n.is_multiple_of(groups);
            if !(1..=MAX_LEVELS).contains(&channels.len()) || !channels.iter().all(fits) {
                let expected = "one to eight levels, of multiples of the groups times the heads";
                return Err(NnError::Setting { key, value: format!("{channels:?}"), expected });
            }
        }
        if unet.attention.len() != unet.channels.len() {
            let value = format!("{:?}", unet.attention);
            return Err(NnError::Setting { key: "unet.attention", value, expected: "one for each level" });
        }
        let within = |beta: f64| beta > 0.0 && beta < 1.0;
        if !(within(schedule.first) && within(schedule.last) && (1..=100_000).contains(&schedule.steps)) {
            let value = format!("{schedule:?}");
            return Err(NnError::Setting {
                key: "schedule",
                value,
                expected: "β in (0, 1), 1 to 100000 steps",
            });
        }
        Ok(())
    }
}
