//! Normalisation of one video's scores: what "high" is compared with.
//!
//! The choice decides what a figure may be compared with, so every figure carries its name. Only
//! [`Normalisation::PerVideo`] looks ahead: it is what many papers report and no live camera can have.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a normalisation could not be had.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NormaliseError {
    /// The name is none of the four.
    #[error("unknown normalisation `{name}`: expected one of none, training, per_video, causal")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// `training` was asked for, but nothing is known of the training footage's scores.
    #[error(
        "normalisation `training` needs the mean and the standard deviation of held-out training scores, which this run does not have"
    )]
    NoTrainingStatistics,
    /// The training statistics cannot divide a score.
    #[error(
        "the training statistics are unusable: mean {mean}, standard deviation {std} (both finite, the latter not negative)"
    )]
    BadTrainingStatistics {
        /// The mean given.
        mean: f64,
        /// The standard deviation given.
        std: f64,
    },
}

/// Mean and standard deviation of the scores of held-out training footage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingStatistics {
    /// Mean score.
    pub mean: f64,
    /// Standard deviation, not negative.
    pub std: f64,
}

/// The name of a normalisation, before training statistics are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormalisationKind {
    /// `none`.
    None,
    /// `training`.
    Training,
    /// `per_video`.
    PerVideo,
    /// `causal`.
    Causal,
}

impl NormalisationKind {
    /// All kinds, in the order in which the ladder prints them.
    pub const ALL: [Self; 4] = [Self::None, Self::Training, Self::PerVideo, Self::Causal];

    /// The name used on the command line and in `metrics.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Training => "training",
            Self::PerVideo => "per_video",
            Self::Causal => "causal",
        }
    }

    /// Whether a live camera can have it.
    pub fn is_causal(self) -> bool {
        self != Self::PerVideo
    }

    /// The normalisation itself.
    ///
    /// # Errors
    /// [`NormaliseError::NoTrainingStatistics`] if it is `training` and `statistics` is `None`;
    /// [`NormaliseError::BadTrainingStatistics`] if they are not finite or the deviation is negative.
    pub fn with(self, statistics: Option<TrainingStatistics>) -> Result<Normalisation, NormaliseError> {
        match self {
            Self::None => Ok(Normalisation::None),
            Self::PerVideo => Ok(Normalisation::PerVideo),
            Self::Causal => Ok(Normalisation::Causal),
            Self::Training => {
                let TrainingStatistics { mean, std } =
                    statistics.ok_or(NormaliseError::NoTrainingStatistics)?;
                if !mean.is_finite() || !std.is_finite() || std < 0.0 {
                    return Err(NormaliseError::BadTrainingStatistics { mean, std });
                }
                Ok(Normalisation::Training { mean, std })
            }
        }
    }
}

impl fmt::Display for NormalisationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NormalisationKind {
    type Err = NormaliseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| NormaliseError::Unknown { name: text.to_owned() })
    }
}

/// How one video's raw scores are put on a common scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalisation {
    /// Scores as they are.
    None,
    /// `(x − mean) / std` with the statistics of held-out training footage; a zero `std` divides by 1.
    Training {
        /// Mean score of held-out training footage.
        mean: f64,
        /// Its standard deviation.
        std: f64,
    },
    /// `(x − min) / (max − min)` over the whole video, in `[0, 1]`; all 0 where all scores are equal.
    ///
    /// Uses the video's future, so it exists offline only. It is also why every video then has a score
    /// of 1 somewhere, whether or not anything happened in it.
    PerVideo,
    /// [`CausalNormaliser`] run over the video.
    Causal,
}

impl Normalisation {
    /// Its name's type.
    pub fn kind(&self) -> NormalisationKind {
        match self {
            Self::None => NormalisationKind::None,
            Self::Training { .. } => NormalisationKind::Training,
            Self::PerVideo => NormalisationKind::PerVideo,
            Self::Causal => NormalisationKind::Causal,
        }
    }

    /// The scores of **one** video, in frame order, normalised; as many values as given.
    ///
    /// Expects finite scores, as every reader of [`crate::run`] guarantees.
    pub fn apply(&self, scores: &[f64]) -> Vec<f64> {
        match *self {
            Self::None => scores.to_vec(),
            Self::Training { mean, std } => {
                let scale = if std > 0.0 { std } else { 1.0 };
                scores.iter().map(|x| (x - mean) / scale).collect()
            }
            Self::PerVideo => min_max(scores),
            Self::Causal => {
                let mut normaliser = CausalNormaliser::new();
                scores.iter().map(|&x| normaliser.push(x)).collect()
            }
        }
    }
}

impl fmt::Display for Normalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

fn min_max(scores: &[f64]) -> Vec<f64> {
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = high - low;
    if range > 0.0 && range.is_finite() {
        scores.iter().map(|x| (x - low) / range).collect()
    } else {
        vec![0.0; scores.len()]
    }
}

/// Standardises each score by the mean and standard deviation of everything up to and including it.
///
/// The n-th score of a video becomes `(xₙ − mean(x₁..xₙ)) / std(x₁..xₙ)`, with the population standard
/// deviation; 0 where that is 0, so the first is always 0. The present score is part of its own statistics
/// on purpose: |z| ≤ √(n − 1), so the first seconds of a stream, of which little is known, cannot
/// raise the highest score of the day, and no warm-up length has to be chosen. Statistics never
/// forget: a camera's normal score changes by the weather less than an anomaly changes it.
///
/// Welford's recurrence; constant memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CausalNormaliser {
    count: u64,
    mean: f64,
    squares: f64,
}

impl CausalNormaliser {
    /// At the start of a video.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next score, normalised.
    pub fn push(&mut self, score: f64) -> f64 {
        self.count += 1;
        let before = score - self.mean;
        self.mean += before / self.count as f64;
        let after = score - self.mean;
        self.squares += before * after;
        let std = (self.squares / self.count as f64).sqrt();
        if std > 0.0 && std.is_finite() { after / std } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in NormalisationKind::ALL {
            assert_eq!(kind.to_string().parse::<NormalisationKind>(), Ok(kind));
        }
        let error = "minmax".parse::<NormalisationKind>().unwrap_err();
        assert!(error.to_string().contains("per_video"), "{error}");
    }

    #[test]
    fn training_needs_usable_statistics() {
        let kind = NormalisationKind::Training;
        assert_eq!(kind.with(None), Err(NormaliseError::NoTrainingStatistics));
        assert!(kind.with(Some(TrainingStatistics { mean: 0.0, std: f64::NAN })).is_err());
        let normalisation = kind.with(Some(TrainingStatistics { mean: 1.0, std: 2.0 })).unwrap();
        assert_eq!(normalisation.apply(&[1.0, 5.0]), [0.0, 2.0]);
        let flat = kind.with(Some(TrainingStatistics { mean: 1.0, std: 0.0 })).unwrap();
        assert_eq!(flat.apply(&[1.0, 5.0]), [0.0, 4.0]);
    }

    #[test]
    fn per_video_spans_zero_to_one() {
        assert_eq!(Normalisation::PerVideo.apply(&[2.0, 4.0, 3.0]), [0.0, 1.0, 0.5]);
        assert_eq!(Normalisation::PerVideo.apply(&[7.0; 3]), [0.0; 3]);
        assert_eq!(Normalisation::PerVideo.apply(&[]), Vec::<f64>::new());
    }

    #[test]
    fn causal_is_the_definition() {
        let scores = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let got = Normalisation::Causal.apply(&scores);
        for (i, &z) in got.iter().enumerate() {
            let past = &scores[..=i];
            let mean = past.iter().sum::<f64>() / past.len() as f64;
            let variance = past.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / past.len() as f64;
            let want = if variance > 0.0 { (scores[i] - mean) / variance.sqrt() } else { 0.0 };
            assert!((z - want).abs() < 1e-12, "frame {i}: {z} instead of {want}");
        }
    }

    proptest! {
        #[test]
        fn causal_ignores_the_future(
            scores in prop::collection::vec(-1e6..1e6f64, 1..60), cut in 0usize..60,
        ) {
            let cut = cut.min(scores.len());
            let whole = Normalisation::Causal.apply(&scores);
            let part = Normalisation::Causal.apply(&scores[..cut]);
            prop_assert_eq!(&whole[..cut], &part[..]);
        }

        #[test]
        fn causal_is_bounded_by_how_little_is_known(scores in prop::collection::vec(-1e3..1e3f64, 1..60)) {
            for (i, z) in Normalisation::Causal.apply(&scores).into_iter().enumerate() {
                prop_assert!(z.abs() <= (i as f64).sqrt() + 1e-6);
            }
        }
    }
}
