//! The settings of `patch-knn`, all ours.

use serde::{Deserialize, Serialize};

use crate::motion_only::{FlowSettings, FrameScore, Frames};
use crate::preset::setting;
use crate::{Preset, SystemError};

/// Every setting of `patch-knn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchKnnConfig {
    /// What it has in common with the motion-only systems.
    #[serde(flatten)]
    pub frames: Frames,
    /// How flow is computed.
    #[serde(flatten)]
    pub flow: FlowSettings,
    /// Pixels between patches.
    pub stride: usize,
    /// Pairs of frames, spread evenly, whose patches are looked at in training.
    pub pairs: usize,
    /// Patches remembered: a uniform sample of those looked at.
    pub memory: usize,
    /// Whether how fast the fastest part of a patch moves counts too.
    pub fastest: bool,
    /// Nearest neighbours, the mean of whose distances counts.
    pub neighbours: usize,
}

impl PatchKnnConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let patch = if preset == Preset::Tiny { 8 } else { 32 };
        let frames = Frames { score: FrameScore::Patch, patch, ..Frames::preset(preset) };
        let flow = FlowSettings::preset(preset);
        let paper = Self { frames, flow, stride: 8, pairs: 2000, memory: 8000, fastest: true, neighbours: 3 };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self { pairs: 600, ..paper },
            Preset::Tiny => Self { stride: 4, pairs: 60, memory: 1000, ..paper },
        }
    }

    /// Frames that the features of a patch come from: those averaged and the one before them.
    pub(super) fn clip(&self) -> usize {
        2 * self.frames.around + 2
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        self.frames.check()?;
        self.flow.check()?;
        if !(1..=256).contains(&self.stride) {
            return Err(setting("stride", "must be from 1 to 256 pixels"));
        }
        if !(1..=1_000_000).contains(&self.pairs) {
            return Err(setting("pairs", "must be from 1 to 1000000"));
        }
        if !(16..=1_000_000).contains(&self.memory) {
            return Err(setting("memory", "must be from 16 to 1000000 patches"));
        }
        if !(1..=16).contains(&self.neighbours) {
            return Err(setting("neighbours", "must be from 1 to 16"));
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
            PatchKnnConfig::preset(preset).check().unwrap();
        }
        let tiny = PatchKnnConfig::preset(Preset::Tiny);
        let wrong = [
            ("stride=0", "stride"),
            ("pairs=0", "pairs"),
            ("memory=3", "memory"),
            ("neighbours=17", "neighbours"),
            ("warps=0", "warps"),
        ];
        assert_are_named(&tiny, PatchKnnConfig::check, &wrong);
    }
}
