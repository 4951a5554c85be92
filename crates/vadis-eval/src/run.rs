//! The files of a run directory: what a command writes and every later command reads.
//!
//! | file | type |
//! |---|---|
//! | `run.json` | [`RunInfo`] |
//! | `scores.csv` | [`ScoreTable`] |
//! | `events.csv` | [`Event`] |
//! | `regions.csv` | [`Region`] |
//! | `metrics.json` | [`Metrics`] |
//! | `training.csv` | [`TrainingLog`] |
//! | `latents.csv` | [`LatentPoint`] |
//! | `results.json` | [`Results`] of a benchmark, beside its run directories |
//! | `labels.csv` | frame labels the run was evaluated with: `video,frame,label` |
//! | `events/001/` … | pictures of the ranked events: `frame.jpg`, `reconstruction.jpg`, `likelihood.png`, `heat.png`, `clip.mp4`, `grad-cam-1-LAYER.png` … (any may be missing) |
//! | `mistakes/` | frames that the score has most wrong against the labels, with their heat |
//!
//! Tables are UTF-8 CSV with a header and `\n` line ends; numbers are the shortest decimals that read back as the same
//! bits. Readers take nothing that is not whole and clean, and say in which line the fault is. Files appear whole or not
//! at all; those that grow during a run are named `….part` until they are finished.

mod error;
mod file;
mod lists;
mod npy;
mod results;
mod scores;
mod table;
mod training;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::RunError;
pub use lists::{
    Labels, RegionWriter, parse_events, parse_labels, parse_latents, parse_regions, read_events, read_labels,
    read_latents, read_regions, write_events, write_labels, write_latents,
};
pub use lists::{parse_kinds, read_kinds};
pub use results::{DatasetSanity, LambdaPoint, Published, ResultRow, Results};
pub use scores::{ScoreWriter, Written};
pub use training::TrainingWriter;

/// The indicator that every run has beside its system's own, the sanity column of every table: mean difference to the
/// frame before, 0 for the first one.
pub const FRAME_DIFF: &str = "frame_diff";

/// `scores.csv`: one row a frame, videos one after the other, frames in order.
///
/// Columns `video,frame,time_s,score,causal,edge`, then one for each indicator; raw, unsmoothed.
/// Row *i* belongs to frame *i* of `heat.mkv`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreTable {
    /// Names of the indicator columns, in file order (`reconstruction`, `flow`, …).
    pub indicators: Vec<String>,
    /// The rows of each video, in file order.
    pub videos: Vec<VideoScores>,
}

/// The scores of one video.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideoScores {
    /// The source's name as listed in `run.json`.
    pub video: String,
    /// One row a frame.
    pub rows: Vec<ScoreRow>,
}

/// One frame's scores; higher is more unusual.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreRow {
    /// From 0.
    pub frame: u64,
    /// Seconds from the first frame, from the container.
    pub time_s: f64,
    /// The system's own formula.
    pub score: f64,
    /// Its causal form: a function of this frame, the past, the declared delay and training footage only.
    pub causal: f64,
    /// True where a window could not score the frame and it has its nearest scored neighbour's value.
    pub edge: bool,
    /// As many as [`ScoreTable::indicators`].
    pub indicators: Vec<f64>,
}

/// A row of `events.csv`; the file is ranked, most unusual first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The source's name.
    pub video: String,
    /// First frame, from 0.
    pub start_frame: u64,
    /// Last frame, inclusive.
    pub end_frame: u64,
    /// Time of the first frame.
    pub start_s: f64,
    /// Time of the last frame.
    pub end_s: f64,
    /// Frame of the highest score.
    pub peak_frame: u64,
    /// The smoothed score there.
    pub peak_score: f64,
    /// In plain words: which indicator fired, where in the picture, how unusual; or the camera's trouble.
    pub reason: String,
}

/// A row of `regions.csv`: a connected part of the heat map above its threshold, in pixels of the source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The source's name.
    pub video: String,
    /// From 0.
    pub frame: u64,
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Mean heat inside.
    pub score: f64,
}

/// `metrics.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// One for each metric and named protocol.
    pub figures: Vec<Figure>,
    /// One for each kind of anomaly and named protocol, where kinds are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindFigure>,
}

impl Metrics {
    /// Reads `metrics.json`.
    ///
    /// # Errors
    /// Not such a file, with the line; or the system's refusal.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        file::read_json(path)
    }

    /// Writes `metrics.json`.
    ///
    /// # Errors
    /// A figure that is not finite, which JSON cannot hold; or the system's refusal.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        for figure in &self.figures {
            let numbers = [Some(figure.value), figure.low, figure.high];
            if let Some(value) = numbers.into_iter().flatten().find(|value| !value.is_finite()) {
                return Err(RunError::Figure { path: path.to_owned(), metric: figure.metric.clone(), value });
            }
        }
        file::write_json(path, self)
    }
}

/// One measured figure with all that is needed to read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// `micro_auc`, `macro_auc`, `eer`, `ap`, `prevalence`, `d_prime`, `best_f1`, `rbdc` …
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Lower end of the 95 % interval, where one was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What was done to the scores first.
    pub protocol: Protocol,
    /// What a reader must know: videos skipped, "own tracks, not comparable" …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How one kind of anomaly was found, against all normal frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindFigure {
    /// `vehicle`, `runner` …, or the name of a group of kinds.
    pub kind: String,
    /// Name of the protocol.
    pub protocol: String,
    /// Stretches of frames in which it is seen.
    pub spans: u64,
    /// Abnormal frames in which it is seen.
    pub frames: u64,
    /// Area under the ROC curve of its frames and all normal frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// Share of normal frames that may be flagged, for `recall_at_fpr`.
    pub fpr: f64,
    /// Share of its frames that are flagged then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall_at_fpr: Option<f64>,
    /// Share of its frames inside the run's events, that is by the run's own threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall_in_events: Option<f64>,
    /// How many of its stretches an event of the run touches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans_found: Option<u64>,
}

/// A row of `kinds.csv`: a stretch of frames in which one kind of anomaly is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindSpan {
    /// The source's name.
    pub video: String,
    /// First frame, from 0.
    pub start_frame: u64,
    /// Last frame, inclusive.
    pub end_frame: u64,
    /// What it is.
    pub kind: String,
}

/// How raw scores became the scores a figure was computed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// `paper`, `causal`, or another.
    pub name: String,
    /// The column used: `score`, `causal`, or an indicator.
    pub score: String,
    /// `none`, `training`, `per_video`, `causal`.
    pub normalisation: String,
    /// `none`, `median:25`, `gaussian:3`, `ema:8` (frames) …
    pub smoothing: String,
    /// `keep` or `drop`.
    pub edges: String,
    /// Where the labels came from.
    pub labels: String,
    /// True if any setting was picked by test labels.
    pub tuned_on_test: bool,
}

/// `training.csv`: `step,epoch,seconds,` and each loss term.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingLog {
    /// Names of the loss columns.
    pub terms: Vec<String>,
    /// One row each logged step.
    pub rows: Vec<TrainingRow>,
}

/// One logged optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    /// Optimiser steps done, from 1.
    pub step: u64,
    /// Passes over the data done, fractional.
    pub epoch: f64,
    /// Wall time since training began.
    pub seconds: f64,
    /// As many as [`TrainingLog::terms`].
    pub values: Vec<f64>,
}

/// A row of `latents.csv`: where a frame lies on a two-dimensional map of the latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatentPoint {
    /// The source's name.
    pub video: String,
    /// From 0.
    pub frame: u64,
    /// First coordinate.
    pub x: f64,
    /// Second coordinate.
    pub y: f64,
    /// The event group it belongs to (from 1), 0 for none.
    pub group: u32,
}

/// `run.json`: how the run came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The command that made it: `scan`, `score`, `train`, `bench`.
    pub command: String,
    /// The command line as it was typed, quoted for a POSIX shell, passwords left out; empty in older runs.
    #[serde(default)]
    pub command_line: String,
    /// The folder it was typed in, from which relative paths count; empty in older runs.
    #[serde(default)]
    pub directory: String,
    /// vadis' version.
    pub version: String,
    /// Key of the system.
    pub system: String,
    /// Preset it started from.
    pub preset: String,
    /// Random seed.
    pub seed: u64,
    /// The whole resolved configuration.
    pub config: serde_json::Value,
    /// What it ran on.
    pub machine: Machine,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// Wall seconds of each stage by name (`train`, `score`, `report` …), in order.
    pub seconds: Vec<(String, f64)>,
    /// Of the seconds of `score`, those of each part: the networks of the model, decoding (which runs alongside).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scoring: Vec<(String, f64)>,
    /// Peak resident memory in MiB, where the system tells.
    pub peak_mib: Option<f64>,
    /// What was read.
    pub sources: Vec<SourceInfo>,
    /// How events were made from scores.
    pub decision: Option<Decision>,
    /// How `heat.mkv` is to be read.
    pub heat: Option<HeatInfo>,
    /// Of which systems it is a combination, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combination: Option<CombinationInfo>,
    /// What the user should know: suggestions, fall-backs, files that broke.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl RunInfo {
    /// Where a source's path leads from anywhere: relative paths count from [`RunInfo::directory`], unless nothing is
    /// there and something is from here.
    pub fn locate(&self, path: &str) -> PathBuf {
        let there = Path::new(&self.directory).join(path);
        if there.exists() || !Path::new(path).exists() { there } else { PathBuf::from(path) }
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// Not such a file, with the line; or the system's refusal.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        file::read_json(path)
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        file::write_json(path, self)
    }
}

/// One argument of a POSIX shell command, quoted where it must be.
pub fn shell_quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// How a combination of systems was made: `score` is the weighted mean of the members' scores, each in deviations from
/// its mean on normal footage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CombinationInfo {
    /// At least two.
    pub members: Vec<MemberInfo>,
    /// Where the weights come from: `equal`, `given`, or how they were chosen.
    pub weights: String,
    /// Frames that must have come after a frame before its score is known: the slowest member's.
    pub delay: usize,
}

impl CombinationInfo {
    /// The members' names, as the key of the system.
    pub fn name(&self) -> String {
        self.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join("+")
    }
}

/// One member of a combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its system, numbered where there are several of one; its column in `scores.csv`.
    pub name: String,
    /// Its model file, or the run directory whose scores were taken.
    pub from: String,
    /// Its part of the score; all together 1.
    pub weight: f64,
    /// Mean of its score on its normal footage.
    pub mean: f64,
    /// Standard deviation there.
    pub std: f64,
}

/// The machine of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor's name.
    pub cpu: String,
    /// Threads used.
    pub threads: usize,
    /// Operating system and architecture.
    pub os: String,
    /// `cpu`, `cuda:0` …
    pub device: String,
}

/// One source of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Name used in every table.
    pub video: String,
    /// Where it was read from.
    pub path: String,
    /// Native width in pixels.
    pub width: u32,
    /// Native height in pixels.
    pub height: u32,
    /// Mean frames a second.
    pub fps: f64,
    /// Frames scored.
    pub frames: u64,
    /// Duration in seconds.
    pub duration_s: f64,
    /// Set if reading stopped early: the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What turned scores into events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Normalisation, as in [`Protocol`].
    pub normalisation: String,
    /// Smoothing, as in [`Protocol`].
    pub smoothing: String,
    /// The rule in words: `median + 3 · 1.4826 · MAD`.
    pub rule: String,
    /// The threshold on the smoothed score.
    pub threshold: f64,
    /// Alarms against the budget that the threshold was set for; none where it was set by another rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<AlarmCount>,
}

/// Alarms of a run beside the budget that its threshold was set for. They are *false* alarms only where the footage is
/// known to be normal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmCount {
    /// The budget: alarms an hour.
    pub budget_per_hour: f64,
    /// The run whose scores set the threshold; none where it was set on the footage it judges, which proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_on: Option<String>,
    /// Blocks that set the threshold.
    pub calibration_blocks: u64,
    /// Seconds of a block.
    pub block_s: f64,
    /// Highest probability that a further block holds an alarm, if it is exchangeable with those.
    pub risk: f64,
    /// Whole blocks judged.
    pub blocks: u64,
    /// Of these, blocks with a score above the threshold.
    pub alarmed_blocks: u64,
    /// Events, camera trouble left out.
    pub alarms: u64,
    /// Hours judged.
    pub hours: f64,
    /// Alarms an hour.
    pub per_hour: f64,
    /// Lower end of its exact 95 % Poisson interval ([`crate::poisson::garwood`]).
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl AlarmCount {
    /// The chance of so many alarmed blocks or more, if the blocks are exchangeable with those that set the threshold
    /// ([`crate::exchangeable::at_least`]). The interval of the rate alone would not do: the threshold was drawn too.
    pub fn odds(&self) -> f64 {
        let rank = (self.risk * (self.calibration_blocks + 1) as f64).round() as u64;
        crate::exchangeable::at_least(self.alarmed_blocks, self.blocks, rank, self.calibration_blocks)
    }

    /// Promise and observation in two sentences.
    pub fn words(&self) -> String {
        let budget = self.budget_per_hour;
        let source = match &self.calibrated_on {
            Some(run) => format!("set on {run}"),
            None => "set on this same footage, so the count is no test of it".to_owned(),
        };
        let odds = self.odds();
        let verdict = if odds < 0.025 {
            format!("more than promised (so many blocks or more had a chance of {odds:.2})")
        } else {
            format!("nothing against the promise (so many blocks or more had a chance of {odds:.2})")
        };
        format!(
            "promised: at most {budget} alarms an hour, {source} ({} blocks of {:.0} s; a further one alarms with at most \
             {:.2} %, if it is exchangeable with them). observed: {} alarms in {:.2} h, {:.2} an hour, 95 % interval \
             {:.2} to {:.2} (Poisson); {} of {} blocks ({:.2} %) above the threshold: {verdict}",
            self.calibration_blocks,
            self.block_s,
            100.0 * self.risk,
            self.alarms,
            self.hours,
            self.per_hour,
            self.low,
            self.high,
            self.alarmed_blocks,
            self.blocks,
            100.0 * self.alarmed_blocks as f64 / self.blocks.max(1) as f64,
        )
    }
}

/// How `heat.mkv`'s 8-bit values map to the system's units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatInfo {
    /// Width of the map.
    pub width: u32,
    /// Height of the map.
    pub height: u32,
    /// The heat that 255 stands for; 0 is 0, linear between.
    pub scale: f64,
    /// Heat above which a pixel belongs to a region.
    pub threshold: f64,
    /// What a heat is: `mean squared error of an 8×8 patch` …
    pub unit: String,
    /// What heat is drawn in; `heat.mkv` itself has values, not colours.
    #[serde(default, skip_serializing_if = "HeatColours::is_default")]
    pub colours: HeatColours,
}

/// The colours that heat is drawn in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeatColours {
    /// From near black over violet and red to pale yellow, clear where there is no more heat than every day.
    #[default]
    Ember,
    /// From blue over white to red, over the whole picture.
    RedBlue,
}

impl HeatColours {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
