//! Decision: scores, normalised and smoothed, over a threshold, into events.

use std::path::{Path, PathBuf};

use vadis_eval::events::{EventCandidate, EventConfig, EventKind, VideoSignal, find_events};
use vadis_eval::normalise::{Normalisation, NormalisationKind, TrainingStatistics};
use vadis_eval::run::{AlarmCount, Decision, FRAME_DIFF, ScoreTable, VideoScores};
use vadis_eval::smooth::SmoothingSpec;
use vadis_eval::threshold::{Footage, Rule, Threshold};
use vadis_systems::Statistics;

use crate::Failure;

/// How events are made.
#[derive(Debug, Clone)]
pub struct DecisionOptions {
    /// What scores are compared with.
    pub normalisation: NormalisationKind,
    /// Filter over time.
    pub smoothing: SmoothingSpec,
    /// The threshold's rule.
    pub rule: Rule,
    /// The threshold by an earlier run; it is set on the judged footage itself where there is none.
    pub calibration: Option<Calibration>,
    /// Shorter events are dropped, in seconds.
    pub minimum_s: f64,
    /// Gaps up to this are closed, in seconds.
    pub merge_s: f64,
}

/// A threshold, and the run whose scores set it.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The run's directory.
    pub run: PathBuf,
    /// What its scores set.
    pub threshold: Threshold,
}

impl DecisionOptions {
    fn normalisation_for(&self, statistics: &Statistics) -> Result<Normalisation, Failure> {
        let training = statistics.column("score").map(|c| TrainingStatistics { mean: c.mean, std: c.std });
        self.normalisation.with(training).map_err(|e| Failure::Usage { what: e.to_string(), hint: None })
    }
}

/// What is known of one source's frames beside their scores; in the order of its rows.
#[derive(Debug, Clone, Default)]
pub struct FrameNotes {
    /// The camera's trouble in a word, if any.
    pub trouble: Vec<Option<&'static str>>,
    /// Where the heat is greatest, as shares of width and height.
    pub place: Vec<Option<[f32; 2]>>,
}

/// Events before they are ranked.
pub struct Decided {
    /// Of all sources, in the order of the table.
    pub candidates: Vec<EventCandidate>,
    /// For `run.json`.
    pub decision: Decision,
}

/// Finds the events of `folder`'s `scores.csv`.
///
/// # Errors
/// A damaged table; settings that cannot be applied to it.
pub fn decide(
    folder: &Path,
    notes: &[FrameNotes],
    statistics: &Statistics,
    options: &DecisionOptions,
) -> Result<Decided, Failure> {
    let table = ScoreTable::read(&folder.join("scores.csv"))?;
    let normalisation = options.normalisation_for(statistics)?;
    let signals = signals(&table, &normalisation, &options.smoothing)?;
    let footage = footage(&signals);
    let threshold = match &options.calibration {
        None => options.rule.fit(&footage)?,
        Some(calibration) => calibration.threshold.clone(),
    };
    let mut config = EventConfig::new(threshold);
    (config.minimum_s, config.merge_s) = (options.minimum_s, options.merge_s);
    let mut candidates = Vec::new();
    for (place, signal) in signals.iter().enumerate() {
        candidates.extend(find_events(&signal.view(&table, notes.get(place)), &config)?);
    }
    let mut decision = config.threshold.decision(normalisation, options.smoothing);
    decision.alarms = config.threshold.promise.map(|promise| {
        let alarms = candidates.iter().filter(|c| c.kind == EventKind::Anomaly).count();
        let calibrated_on = options.calibration.as_ref().map(|c| c.run.display().to_string());
        AlarmCount { calibrated_on, ..promise.count(alarms, &footage, config.threshold.value) }
    });
    Ok(Decided { candidates, decision })
}

/// The threshold by the scores of an earlier run of the same model.
///
/// # Errors
/// As [`decide`]; too little footage for the budget.
pub fn calibrate(
    run: &Path,
    statistics: &Statistics,
    options: &DecisionOptions,
) -> Result<Calibration, Failure> {
    let table = ScoreTable::read(&run.join("scores.csv"))?;
    let signals = signals(&table, &options.normalisation_for(statistics)?, &options.smoothing)?;
    Ok(Calibration { run: run.to_owned(), threshold: options.rule.fit(&footage(&signals))? })
}

fn signals<'a>(
    table: &'a ScoreTable,
    normalisation: &Normalisation,
    smoothing: &SmoothingSpec,
) -> Result<Vec<Signal<'a>>, Failure> {
    table.videos.iter().map(|video| Signal::new(video, normalisation, smoothing)).collect()
}

fn footage<'a>(signals: &'a [Signal<'_>]) -> Vec<Footage<'a>> {
    signals.iter().map(|s| Footage { scores: &s.smoothed, time_s: &s.time_s }).collect()
}

/// One video's columns.
struct Signal<'a> {
    video: &'a str,
    frame: Vec<u64>,
    time_s: Vec<f64>,
    raw: Vec<f64>,
    smoothed: Vec<f64>,
    indicators: Vec<Vec<f64>>,
}

impl<'a> Signal<'a> {
    fn new(
        video: &'a VideoScores,
        normalisation: &Normalisation,
        smoothing: &SmoothingSpec,
    ) -> Result<Self, Failure> {
        let rows = &video.rows;
        let time_s: Vec<f64> = rows.iter().map(|r| r.time_s).collect();
        let raw: Vec<f64> = rows.iter().map(|r| r.score).collect();
        let filter = smoothing.resolve(mean_fps(&time_s))?;
        let smoothed = filter.apply(&normalisation.apply(&raw));
        let columns = rows.first().map_or(0, |r| r.indicators.len());
        let column = |i: usize| rows.iter().map(|r| r.indicators[i]).collect();
        let indicators = (0..columns).map(column).collect();
        let frame = rows.iter().map(|r| r.frame).collect();
        Ok(Self { video: &video.video, frame, time_s, raw, smoothed, indicators })
    }

    fn view<'b>(&'b self, table: &'b ScoreTable, notes: Option<&'b FrameNotes>) -> VideoSignal<'b> {
        let names = table.indicators.iter().map(String::as_str);
        VideoSignal {
            video: self.video,
            frame: &self.frame,
            time_s: &self.time_s,
            raw: &self.raw,
            smoothed: &self.smoothed,
            // The sanity column explains nothing.
            indicators: names
                .zip(self.indicators.iter().map(Vec::as_slice))
                .filter(|(name, _)| *name != FRAME_DIFF)
                .collect(),
            trouble: notes.map(|n| n.trouble.as_slice()),
            place: notes.map(|n| n.place.as_slice()),
            latents: None,
        }
    }
}

/// Mean rate of frames at these times; 25 where there is only one.
fn mean_fps(time_s: &[f64]) -> f64 {
    match (time_s.first(), time_s.last()) {
        (Some(first), Some(last)) if last > first => (time_s.len() - 1) as f64 / (last - first),
        _ => vadis_video::VideoInfo::UNKNOWN_FPS,
    }
}
