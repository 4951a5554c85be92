//! The settings of `motion-mae` and `cae`, each with where it comes from.

use serde::{Deserialize, Serialize};
use vadis_nn::networks::CaeConfig;
use vadis_nn::schedule::{Decay, Schedule};
use vadis_video::Colour;

use super::Variant;
use crate::ae3d::PatchConfig;
use crate::mle::Size;
use crate::preset::all_hold;
use crate::{InputFormat, Preset, SystemError};

/// Three times the picture is halved.
const DIVISOR: usize = 8;
/// Largest side of an intruder as a share of the frame's (ours).
const LARGEST_INTRUDER: f64 = 0.3;
/// How far an intruder's centre moves a frame along each axis at most, as a share of the frame's width (ours).
const INTRUDER_SPEED: f64 = 0.03;

/// Every setting of `motion-mae` and `cae`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionMaeConfig {
    /// Size of the network's input, sides multiples of 8: `200x200` (paper), or `auto:40000`: about so many pixels in
    /// the footage's own proportions.
    pub size: Size,
    /// Multiplies the channels of all inner layers (paper: 1).
    pub width: f64,
    /// Passes over the training frames (ours: the paper does not say).
    pub epochs: usize,
    /// Least optimiser steps in all, however short the footage (ours).
    pub min_steps: usize,
    /// Most optimiser steps in all, however long the footage; 0 for no limit (ours).
    pub max_steps: usize,
    /// Frames a step (ours: the paper does not say).
    pub batch: usize,
    /// Adam's full learning rate (paper: 1e-3).
    pub rate: f64,
    /// How the rate goes (paper: × .95 every 10 epochs).
    pub schedule: Schedule,
    /// Frames between those learnt from: 1 for every one (the paper samples frames, and does not say how).
    pub train_stride: usize,
    /// Share of the blocks that are hidden while training; 0 for an autoencoder that sees all (ours: .5).
    pub mask_ratio: f64,
    /// Side of a block in pixels of the network's input (ours: 10).
    pub block: usize,
    /// α, the weight of the reconstruction term in loss and score.
    pub alpha: f32,
    /// β, the weight of the motion term in loss and score.
    pub beta: f32,
    /// Whether the loss has the motion term (paper).
    #[serde(default = "on")]
    pub motion_loss: bool,
    /// Whether the score has the motion term (paper).
    #[serde(default = "on")]
    pub motion_score: bool,
    /// ε of a pixel's weight (ε + g)/(ε + mean g), for pixels in [0, 1] (ours).
    pub epsilon: f32,
    /// Share of the latent's values that are dropped while training (paper: .2; where is not said).
    pub dropout: f64,
    /// k where the network reads the frames t−k, t and t+k as channels and predicts t (Ristea et al.: 3), the same blocks
    /// hidden in all; 0 where it reads t alone (paper).
    #[serde(default)]
    pub offset: usize,
    /// Steps in which a student, a second decoder over the latents, then learns what the network predicts of normal
    /// frames; their difference joins the score (Ristea et al.); 0 for no student.
    #[serde(default)]
    pub student_steps: usize,
    /// How often an intruder is pasted into what is learnt from, to be left out and to be marked in an anomaly map, which
    /// joins the score (Ristea et al.); 0 for no map.
    #[serde(default)]
    pub pasted: f64,
    /// Weight of the map's squared error in the loss (ours).
    #[serde(default = "map_weight")]
    pub map_weight: f32,
    /// Random crop, flip and small rotation of the training frames (paper).
    pub augment: bool,
    /// Looks at held-out footage, forty a training, without a lower loss after which training stops with the best
    /// network; 0 to train to the end (paper: 10 epochs).
    pub patience: u64,
    /// When scoring, `complementary` masks that hide every pixel once, or a `single` mask, under which the pixels that
    /// are not hidden have no error: twice as fast (ours).
    pub passes: Passes,
    /// Which terms make the score: `frame`, the means over the frame; `patch`, those of the worst patch; `gradient`,
    /// the worst patch's error and the worst patch of the motion gradient itself (ours).
    pub score: ScoreKind,
    /// Side of a patch in pixels of the network's input (ours).
    pub patch: usize,
    /// Share of each source, at its end, that is not trained on: for early looks and the score statistics (ours).
    pub holdout: f64,
    /// Most frames kept for training; of longer footage stretches are kept, spread evenly (ours).
    pub max_frames: usize,
    /// Most held-out frames that the score statistics are taken over (ours).
    pub calibration_frames: usize,
}

/// What files of models without the setting mean.
fn on() -> bool {
    true
}

/// The map's usual weight: its errors are of the order of 1, those of pixels of a hundredth.
fn map_weight() -> f32 {
    0.1
}

/// How masks are used when scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passes {
    /// As many masks as hide every pixel exactly once.
    Complementary,
    /// The first of those.
    Single,
}

/// Which terms make the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// The means over the frame.
    Frame,
    /// The worst patches of both errors.
    Patch,
    /// The worst patch of the error, and of the motion gradient.
    Gradient,
}

impl MotionMaeConfig {
    /// The settings of a preset.
    pub fn preset(variant: Variant, preset: Preset) -> Self {
        let paper = Self {
            size: Size::Fixed { width: 200, height: 200 },
            width: 1.0,
            epochs: 100,
            min_steps: 0,
            max_steps: 0,
            batch: 16,
            rate: 1e-3,
            schedule: Schedule::new(Decay::Step { factor: 0.95, epochs: 10 }),
            train_stride: 1,
            mask_ratio: 0.5,
            block: 10,
            alpha: 1.0,
            beta: 1.0,
            motion_loss: true,
            motion_score: true,
            epsilon: 0.02,
            dropout: 0.2,
            offset: 0,
            student_steps: 0,
            pasted: 0.0,
            map_weight: map_weight(),
            augment: true,
            patience: 10,
            passes: Passes::Complementary,
            score: ScoreKind::Frame,
            patch: 16,
            holdout: 0.15,
            max_frames: 200_000,
            calibration_frames: 2000,
        };
        let paper = match variant {
            Variant::MotionMae => paper,
            Variant::Cae => Self { mask_ratio: 0.0, beta: 0.0, ..paper },
        };
        match preset {
            Preset::Paper => paper,
            // A quarter of the paper's pixels in the footage's own proportions, so that two cores see every frame a dozen
            // times in minutes. The score was chosen on anomalies inserted into held-out clips of Ped2
            // (docs/results/motion-mae.md).
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 11_264 },
                epochs: 12,
                max_steps: 2000,
                batch: 8,
                block: 8,
                patience: 20,
                score: match variant {
                    Variant::MotionMae => ScoreKind::Gradient,
                    Variant::Cae => ScoreKind::Patch,
                },
                patch: 12,
                max_frames: 20_000,
                calibration_frames: 640,
                ..paper
            },
            Preset::Tiny => Self {
                size: Size::Auto { pixels: 1536 },
                width: 0.125,
                epochs: 4,
                min_steps: 20,
                max_steps: 20,
                rate: 5e-3,
                block: 4,
                patch: 8,
                max_frames: 2000,
                calibration_frames: 64,
                ..paper
            },
        }
    }

    pub(super) fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: Colour::Grey }
    }

    pub(super) fn network(&self, format: InputFormat) -> CaeConfig {
        let channels = self.shown().len();
        let outputs = 1 + usize::from(self.has_map());
        CaeConfig { width: self.width, outputs, ..CaeConfig::new(channels, [format.height, format.width]) }
    }

    /// Frames before and after the one that is judged that are looked at.
    pub(super) fn reach(&self) -> usize {
        self.offset.max(1)
    }

    /// Frames of a clip, in whose middle is the one that is judged.
    pub(super) fn clip(&self) -> usize {
        2 * self.reach() + 1
    }

    /// Which frames of a clip the network reads.
    pub(super) fn shown(&self) -> Vec<usize> {
        let middle = self.reach();
        match self.offset {
            0 => vec![middle],
            offset => vec![middle - offset, middle, middle + offset],
        }
    }

    pub(super) fn has_map(&self) -> bool {
        self.pasted > 0.0
    }

    /// Weights of reconstruction and motion in the loss.
    pub(super) fn loss_weights(&self) -> [f32; 2] {
        [self.alpha, if self.motion_loss { self.beta } else { 0.0 }]
    }

    /// The same of the score.
    pub(super) fn score_weights(&self) -> [f32; 2] {
        [self.alpha, if self.motion_score { self.beta } else { 0.0 }]
    }

    /// What is pasted.
    pub(super) fn intruders(&self, format: InputFormat) -> PatchConfig {
        PatchConfig {
            probability: self.pasted,
            intruders: String::new(),
            largest: LARGEST_INTRUDER,
            moves: INTRUDER_SPEED * format.width as f64,
        }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        let Self { size, width, rate, mask_ratio, alpha, beta, epsilon, dropout, .. } = *self;
        let fits = match size {
            Size::Fixed { width, height } => [width, height].iter().all(|side| side % DIVISOR == 0),
            Size::Auto { .. } => true,
        };
        let weight = |weight: f32| weight.is_finite() && weight >= 0.0;
        all_hold([
            ("size", "both sides must be multiples of 8", fits),
            ("width", "must be above 0, at most 4", width > 0.0 && width <= 4.0),
            ("epochs", "must be at least 1", self.epochs > 0),
            ("batch", "must be from 1 to 256 frames", (1..=256).contains(&self.batch)),
            ("rate", "must be a positive number", rate.is_finite() && rate > 0.0),
            ("train_stride", "must be from 1 to 1000 frames", (1..=1000).contains(&self.train_stride)),
            ("mask_ratio", "must be from 0 to 0.9", (0.0..=0.9).contains(&mask_ratio)),
            ("block", "must be from 2 to 256 pixels", (2..=256).contains(&self.block)),
            ("alpha", "must be 0 or a positive number", weight(alpha)),
            ("beta", "must be 0 or a positive number", weight(beta)),
            (
                "alpha",
                "must be above 0 where loss or score has no motion term",
                [self.loss_weights(), self.score_weights()]
                    .iter()
                    .all(|weights| weights.iter().sum::<f32>() > 0.0),
            ),
            ("offset", "must be from 0 to 100 frames", self.offset <= 100),
            ("pasted", "must be from 0 to 1", (0.0..=1.0).contains(&self.pasted)),
            ("map_weight", "must be 0 or a positive number", weight(self.map_weight)),
            ("epsilon", "must be a positive number", epsilon.is_finite() && epsilon > 0.0),
            ("dropout", "must be from 0 to 0.9", (0.0..=0.9).contains(&dropout)),
            ("patch", "must be from 2 to 256 pixels", (2..=256).contains(&self.patch)),
            ("holdout", "must be from 0 to 0.9", (0.0..=0.9).contains(&self.holdout)),
            (
                "max_frames",
                "max_frames must be at least 32, calibration_frames 3",
                self.max_frames >= 32 && self.calibration_frames >= 3,
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::assert_are_named;

    #[test]
    fn presets_are_in_range_and_fit_the_network() {
        let cpu = MotionMaeConfig::preset(Variant::MotionMae, Preset::Cpu);
        assert_eq!(cpu.size.resolve(360, 240), (128, 88));
        for variant in [Variant::MotionMae, Variant::Cae] {
            for (preset, _) in Preset::ALL {
                let config = MotionMaeConfig::preset(variant, preset);
                config.check().unwrap();
                let format = config.input(360, 240);
                config.network(format).value_count().unwrap();
            }
            let paper = MotionMaeConfig::preset(variant, Preset::Paper);
            let count = paper.network(paper.input(360, 240)).value_count().unwrap();
            assert_eq!(count, 332_801, "Table 1");
        }
    }

    /// Files of models that knew nothing of the later settings.
    #[test]
    fn settings_that_are_missing_are_off() {
        let tiny = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
        let mut value = serde_json::to_value(&tiny).unwrap();
        for key in ["motion_loss", "motion_score", "offset", "student_steps", "pasted", "map_weight"] {
            value.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(serde_json::from_value::<MotionMaeConfig>(value).unwrap(), tiny);
    }

    #[test]
    fn motion_can_be_taken_from_the_loss_and_from_the_score() {
        let tiny = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
        let without = MotionMaeConfig { motion_loss: false, ..tiny.clone() };
        assert_eq!((without.loss_weights(), without.score_weights()), ([1.0, 0.0], [1.0, 1.0]));
        let without = MotionMaeConfig { motion_score: false, ..tiny };
        assert_eq!((without.loss_weights(), without.score_weights()), ([1.0, 1.0], [1.0, 0.0]));
        let nothing = MotionMaeConfig { alpha: 0.0, ..without };
        assert!(matches!(nothing.check(), Err(SystemError::Setting { key, .. }) if key == "alpha"));
    }

    #[test]
    fn wrong_settings_are_named() {
        let tiny = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
        let wrong = [
            ("size=\"30x24\"", "size"),
            ("mask_ratio=1.0", "mask_ratio"),
            ("block=1", "block"),
            ("beta=-1.0", "beta"),
            ("epsilon=0.0", "epsilon"),
            ("dropout=1.0", "dropout"),
            ("holdout=1.0", "holdout"),
            ("offset=101", "offset"),
            ("pasted=1.5", "pasted"),
            ("map_weight=-1.0", "map_weight"),
        ];
        assert_are_named(&tiny, MotionMaeConfig::check, &wrong);
    }
}
