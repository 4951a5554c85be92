//! The flow's configuration.

use burn::tensor::Device;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::levels::Flow;
use super::network::Glow;
use crate::NnError;
use crate::networks::Arithmetic;

/// Most channels of a level: its 1×1 convolution has the square of them.
const MAX_CHANNELS: usize = 1 << 10;
/// Most values of the flat parameter: 2³⁰ (4 GB).
const MAX_PARAMETERS: usize = 1 << 30;

/// Configuration of [`Glow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlowConfig {
    /// Channels of the maps: 2 for the paper's dynamic flow, 3 for its static one.
    pub channels: usize,
    /// `[height, width]` of the maps, each divisible by 2 to the power of `levels`.
    pub size: [usize; 2],
    /// Steps of a level (K); 32 in the paper.
    pub steps: usize,
    /// Levels (L); 1 in the paper for Ped2, 3 elsewhere.
    pub levels: usize,
    /// Hidden channels of the couplings' nets (F); 512 in the paper.
    pub hidden: usize,
    /// How the kernels round.
    pub arithmetic: Arithmetic,
}

impl GlowConfig {
    /// The published flow for maps of `size`: 32 steps a level and 512 hidden channels; with one level it has
    /// 10.16 million parameters for 2 channels and 11.05 for 3.
    pub fn new(channels: usize, size: [usize; 2], levels: usize) -> Self {
        Self { channels, size, steps: 32, levels, hidden: 512, arithmetic: Arithmetic::default() }
    }

    /// An untrained flow. [`Glow::initialise`] it before training.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the sizes cannot be built; it names the axis.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<Glow, NnError> {
        self.check()?;
        let (flow, parameter) = Flow::random(self, rng)?;
        Ok(Glow::new(flow, parameter, device))
    }

    fn check(&self) -> Result<(), NnError> {
        let refuse = |key, value: &dyn ToString, expected| NnError::Setting {
            key,
            value: value.to_string(),
            expected,
        };
        for (key, value) in [("channels", self.channels), ("steps", self.steps), ("hidden", self.hidden)] {
            if value == 0 {
                return Err(refuse(key, &value, "at least 1"));
            }
        }
        if !(1..=8).contains(&self.levels) {
            return Err(refuse("levels", &self.levels, "1 to 8"));
        }
        for (axis, side) in ["height", "width"].into_iter().zip(self.size) {
            if side == 0 || side % (1 << self.levels) != 0 {
                let value = format!("a {axis} of {side} with {} levels", self.levels);
                return Err(refuse("size", &value, "sides divisible by 2 to the power of the levels"));
            }
        }
        if self.channels_at(self.levels - 1).is_none_or(|channels| channels > MAX_CHANNELS) {
            return Err(refuse("channels", &self.channels, "at most 1024 at the last level"));
        }
        match self.parameter_count().is_some_and(|count| count <= MAX_PARAMETERS) {
            true => Ok(()),
            false => Err(refuse("steps", &self.steps, "at most 2^30 parameters")),
        }
    }

    /// Channels of a level: four of each before the squeeze, which is half of the level's before.
    pub(super) fn channels_at(&self, level: usize) -> Option<usize> {
        self.channels.checked_mul(1 << (level + 2))
    }

    /// Trainable parameters of all steps, unless they are too many to count.
    pub fn parameter_count(&self) -> Option<usize> {
        let of_step = |channels: usize| {
            let net =
                channels.checked_mul(27)?.div_ceil(2).checked_add(self.hidden)?.checked_mul(self.hidden)?;
            net.checked_add(2 * channels * channels + 4 * channels)
        };
        let levels = (0..self.levels).map(|level| of_step(self.channels_at(level)?));
        levels.sum::<Option<usize>>()?.checked_mul(self.steps)
    }
}
