//! What the report reads from a run directory.

use std::collections::BTreeMap;
use std::path::Path;

use vadis_eval::metrics::Edges;
use vadis_eval::metrics::bootstrap::Bootstrap;
use vadis_eval::normalise::{Normalisation, NormalisationKind};
use vadis_eval::protocol::{EvalError, EvalOptions, Evaluation, EventRun, ScoreProtocol, evaluate};
use vadis_eval::run::{
    Event, FRAME_DIFF, Labels, LatentPoint, Metrics, RunError, RunInfo, ScoreTable, SourceInfo, TrainingLog,
    VideoScores, read_events, read_labels, read_latents,
};
use vadis_eval::smooth::{Smoothing, SmoothingSpec};

use crate::ReportError;
use crate::colour::Palette;
use crate::thin::runs;

/// A run directory in memory; all but the first three may be missing.
pub(crate) struct Run {
    pub(crate) info: RunInfo,
    pub(crate) scores: ScoreTable,
    pub(crate) events: Vec<Event>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) training: Option<TrainingLog>,
    pub(crate) latents: Vec<LatentPoint>,
    /// 0 or 1 for each frame of each labelled video.
    pub(crate) labels: Labels,
}

/// One video's scores as curves over time.
pub(crate) struct Signal {
    pub(crate) video: String,
    /// Seconds of each frame.
    pub(crate) times: Vec<f64>,
    /// Normalised as for the decision, unsmoothed.
    pub(crate) raw: Vec<f64>,
    /// Smoothed as for the decision; equal to `raw` where that cannot be redone.
    pub(crate) smooth: Vec<f64>,
    /// Labelled abnormal stretches in seconds, where the video has labels.
    pub(crate) truth: Option<Vec<(f64, f64)>>,
}

impl Signal {
    /// First and last second.
    pub(crate) fn span(&self) -> (f64, f64) {
        (self.times.first().copied().unwrap_or(0.0), self.times.last().copied().unwrap_or(0.0))
    }
}

/// True for an event that tells of the camera, not of the scene.
pub(crate) fn is_trouble(event: &Event) -> bool {
    event.is_camera()
}

impl Run {
    /// Reads a run directory.
    pub(crate) fn load(dir: &Path) -> Result<Self, ReportError> {
        Ok(Self {
            info: RunInfo::read(&dir.join("run.json"))?,
            scores: ScoreTable::read(&dir.join("scores.csv"))?,
            events: optional(dir, "events.csv", read_events)?.unwrap_or_default(),
            metrics: optional(dir, "metrics.json", Metrics::read)?,
            training: optional(dir, "training.csv", TrainingLog::read)?,
            latents: optional(dir, "latents.csv", read_latents)?.unwrap_or_default(),
            labels: optional(dir, "labels.csv", read_labels)?.unwrap_or_default(),
        })
    }

    /// The scores against the labels, where there are labels: under the protocols that `metrics.json` states, else
    /// under those of
    /// its system.
    pub(crate) fn evaluate(&self) -> Option<Result<Evaluation, EvalError>> {
        if self.labels.is_empty() {
            return None;
        }
        let mut options = EvalOptions::of_system(&self.info.system, "labels.csv");
        options.ladder = true;
        options.allow_unscored = true;
        options.sanity_columns =
            self.scores.indicators.iter().filter(|c| *c == FRAME_DIFF).cloned().collect();
        // Intervals take a thousand resamples; where they were computed once, they are not again.
        options.bootstrap = self.metrics.is_none().then(Bootstrap::default);
        options.paper = self.stated_protocol("paper").unwrap_or(options.paper);
        options.causal = self.stated_protocol("causal").unwrap_or(options.causal);
        let events = self.info.decision.as_ref().map(|decision| EventRun { events: &self.events, decision });
        Some(evaluate(&self.scores, &self.labels, events, &options))
    }

    /// The protocol of this name as the figures of `metrics.json` state it.
    fn stated_protocol(&self, name: &str) -> Option<ScoreProtocol> {
        let figures = self.metrics.as_ref()?.figures.iter();
        let stated = figures.map(|f| &f.protocol).find(|p| p.name == name)?;
        let normalisation: NormalisationKind = stated.normalisation.parse().ok()?;
        Some(ScoreProtocol {
            name: stated.name.clone(),
            column: stated.score.clone(),
            normalisation: normalisation.with(None).ok()?,
            smoothing: stated.smoothing.parse().ok()?,
            edges: if stated.edges == "drop" { Edges::Drop } else { Edges::Keep },
            tuned_on_test: stated.tuned_on_test,
        })
    }

    /// The source of this name.
    pub(crate) fn source(&self, video: &str) -> Option<&SourceInfo> {
        self.info.sources.iter().find(|s| s.video == video)
    }

    /// What its heat is drawn in.
    pub(crate) fn palette(&self) -> &'static Palette {
        Palette::of(self.info.heat.as_ref().map(|heat| heat.colours).unwrap_or_default())
    }

    /// Seconds of footage scored.
    pub(crate) fn footage_s(&self) -> f64 {
        self.info.sources.iter().map(|s| s.duration_s).filter(|d| d.is_finite()).sum()
    }

    /// Frames scored.
    pub(crate) fn frames(&self) -> u64 {
        self.scores.videos.iter().map(|v| v.rows.len() as u64).sum()
    }

    /// True if the smoothed score can be had from the raw one, so that the threshold means something beside it.
    pub(crate) fn smoothing_known(&self) -> bool {
        self.info.sources.first().is_some_and(|s| self.filters(s.fps).is_some())
    }

    /// Every video's curves, in the order of `scores.csv`.
    pub(crate) fn signals(&self) -> Vec<Signal> {
        self.scores.videos.iter().map(|video| self.signal(video)).collect()
    }

    fn signal(&self, video: &VideoScores) -> Signal {
        let times: Vec<f64> = video.rows.iter().map(|r| r.time_s).collect();
        let scores: Vec<f64> = video.rows.iter().map(|r| r.score).collect();
        let fps = self.source(&video.video).map_or(0.0, |s| s.fps);
        let (raw, smooth) = match self.filters(fps) {
            Some((normalisation, smoothing)) => {
                let raw = normalisation.apply(&scores);
                let smooth = smoothing.apply(&raw);
                (raw, smooth)
            }
            None => (scores.clone(), scores),
        };
        let truth = self.labels.get(&video.video).map(|labels| stretches(labels, &times));
        Signal { video: video.video.clone(), times, raw, smooth, truth }
    }

    /// The decision's normalisation and smoothing, where they can be redone from the scores alone.
    fn filters(&self, fps: f64) -> Option<(Normalisation, Smoothing)> {
        let decision = self.info.decision.as_ref()?;
        let normalisation: NormalisationKind = decision.normalisation.parse().ok()?;
        let smoothing: SmoothingSpec = decision.smoothing.parse().ok()?;
        Some((normalisation.with(None).ok()?, smoothing.resolve(fps).ok()?))
    }

    /// The group of like events each event belongs to, 0 where it has none: that of the latent of its peak, else the
    /// commonest within it.
    pub(crate) fn event_groups(&self) -> Vec<u32> {
        let grouped = self.latents.iter().filter(|p| p.group > 0);
        let groups: Groups<'_> = grouped.map(|p| ((p.video.as_str(), p.frame), p.group)).collect();
        self.events.iter().map(|event| event_group(event, &groups)).collect()
    }
}

/// Group of each frame that has one.
type Groups<'a> = BTreeMap<(&'a str, u64), u32>;

fn event_group(event: &Event, groups: &Groups<'_>) -> u32 {
    let video = event.video.as_str();
    if let Some(&group) = groups.get(&(video, event.peak_frame)) {
        return group;
    }
    let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
    for (_, &group) in groups.range((video, event.start_frame)..=(video, event.end_frame)) {
        *votes.entry(group).or_default() += 1;
    }
    let commonest = votes.into_iter().max_by_key(|&(group, votes)| (votes, std::cmp::Reverse(group)));
    commonest.map_or(0, |(group, _)| group)
}

/// A file that a run may lack.
fn optional<T>(
    dir: &Path,
    name: &str,
    read: impl Fn(&Path) -> Result<T, RunError>,
) -> Result<Option<T>, ReportError> {
    let path = dir.join(name);
    if path.exists() { Ok(Some(read(&path)?)) } else { Ok(None) }
}

/// Labelled stretches as seconds; labels beyond the scored frames are not shown.
fn stretches(labels: &[u8], times: &[f64]) -> Vec<(f64, f64)> {
    let known = &labels[..labels.len().min(times.len())];
    runs(known)
        .into_iter()
        .map(|(first, last)| (times[first], times[(last + 1).min(times.len() - 1)]))
        .collect()
}
