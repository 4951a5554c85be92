//! Frame-level figures: how well scores tell abnormal frames from normal ones.
//!
//! A frame is flagged at a threshold when its score is *at or above* it; label 1 is abnormal and is the positive class.
//! The scores are sorted once, into a [`Ranking`]; every figure and curve is one walk over it, and so is every
//! resample of the [`bootstrap`].

mod against;
pub mod bootstrap;
mod curves;
mod ranking;
mod separation;

pub use against::{Against, AtRecall};
pub use curves::{Confusion, CurvePoint, Curves, Histogram, ThresholdRow};
pub use ranking::{RankFigures, Ranking};
pub use separation::Separation;

use serde::{Deserialize, Serialize};

/// One video's scores with its ground truth; all slices have one entry a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledVideo<'a> {
    /// The source's name, for messages.
    pub video: &'a str,
    /// Higher is more unusual; finite.
    pub scores: &'a [f64],
    /// True where a window could not score the frame and it carries its neighbour's value.
    pub edge: &'a [bool],
    /// 0 normal, 1 abnormal.
    pub labels: &'a [u8],
    /// Seconds from the first frame.
    pub time_s: &'a [f64],
}

/// Whether frames that a window could not score count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edges {
    /// They count, with their nearest scored neighbour's value.
    Keep,
    /// They are left out.
    Drop,
}

impl std::fmt::Display for Edges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        })
    }
}

/// Why a figure cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A score is NaN or infinite: it has no place in a ranking.
    #[error("{video}: frame {frame} has the score {value}, which is not a finite number")]
    NotFinite {
        /// The source's name.
        video: String,
        /// Position among the video's rows, from 0.
        frame: usize,
        /// What stands there.
        value: f64,
    },
    /// A label is neither 0 nor 1.
    #[error("{video}: frame {frame} has the label {value}; labels are 0 (normal) or 1 (abnormal)")]
    BadLabel {
        /// The source's name.
        video: String,
        /// Position among the video's rows, from 0.
        frame: usize,
        /// What stands there.
        value: u8,
    },
    /// Two columns of a video differ in length.
    #[error("{video}: {scores} scores but {others} {what}")]
    LengthMismatch {
        /// The source's name.
        video: String,
        /// How many scores there are.
        scores: usize,
        /// How many of the other there are.
        others: usize,
        /// `labels`, `edge flags` or `times`.
        what: &'static str,
    },
    /// More frames than the ranking can number (2³¹).
    #[error("{frames} frames are more than one ranking holds ({limit})")]
    TooManyFrames {
        /// How many came.
        frames: usize,
        /// How many fit.
        limit: usize,
    },
}

impl LabelledVideo<'_> {
    /// Checks that the columns agree in length, scores are finite and labels 0 or 1.
    ///
    /// # Errors
    /// Names the video and the first frame at fault.
    pub fn check(&self) -> Result<(), MetricError> {
        self.check_length(self.labels.len(), "labels")?;
        self.check_length(self.edge.len(), "edge flags")?;
        self.check_length(self.time_s.len(), "times")?;
        let video = || self.video.to_owned();
        if let Some(frame) = self.scores.iter().position(|s| !s.is_finite()) {
            return Err(MetricError::NotFinite { video: video(), frame, value: self.scores[frame] });
        }
        match self.labels.iter().position(|&l| l > 1) {
            Some(frame) => Err(MetricError::BadLabel { video: video(), frame, value: self.labels[frame] }),
            None => Ok(()),
        }
    }

    fn check_length(&self, others: usize, what: &'static str) -> Result<(), MetricError> {
        if others == self.scores.len() {
            return Ok(());
        }
        let video = self.video.to_owned();
        Err(MetricError::LengthMismatch { video, scores: self.scores.len(), others, what })
    }

    /// Score and label of each frame that counts.
    pub(crate) fn counted(&self, edges: Edges) -> impl Iterator<Item = (usize, f64, u8)> + '_ {
        (0..self.scores.len())
            .filter(move |&i| edges == Edges::Keep || !self.edge[i])
            .map(|i| (i, self.scores[i], self.labels[i]))
    }
}

/// Area under the ROC curve within one video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoAuc {
    /// The source's name.
    pub video: String,
    /// Frames that counted.
    pub frames: usize,
    /// Abnormal ones among them.
    pub abnormal: usize,
    /// In [0, 1]; none where the video has one class only.
    pub auc: Option<f64>,
}

/// Mean of the videos' own areas under the ROC curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MacroAuc {
    /// In [0, 1]; none where no video has both classes.
    pub value: Option<f64>,
    /// Videos left out because they have one class only.
    pub skipped: usize,
    /// Every video, in order.
    pub videos: Vec<VideoAuc>,
}

/// AUC of each video and their mean over those that have both classes.
///
/// # Errors
/// As [`LabelledVideo::check`].
pub fn macro_auc(videos: &[LabelledVideo<'_>], edges: Edges) -> Result<MacroAuc, MetricError> {
    let videos = videos.iter().map(|video| video_auc(video, edges)).collect::<Result<Vec<_>, _>>()?;
    let defined: Vec<f64> = videos.iter().filter_map(|video| video.auc).collect();
    let value = (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
    Ok(MacroAuc { value, skipped: videos.len() - defined.len(), videos })
}

fn video_auc(video: &LabelledVideo<'_>, edges: Edges) -> Result<VideoAuc, MetricError> {
    let ranking = Ranking::pooled(std::slice::from_ref(video), edges)?;
    Ok(VideoAuc {
        video: video.video.to_owned(),
        frames: ranking.frames(),
        abnormal: ranking.abnormal(),
        auc: ranking.figures().auc,
    })
}
