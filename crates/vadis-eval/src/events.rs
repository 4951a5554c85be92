//! From scores to events: when something unusual began and ended, how unusual it was, and why.
//!
//! [`find_events`] turns one video's smoothed scores into candidates: hysteresis, merging, minimum length.
//! [`rank`] orders the candidates of all videos, most unusual first, without ten times the same.
//! Trouble with the camera is told apart from anomalies all the way.

mod rank;
mod reason;

use thiserror::Error;

use crate::run::Event;
use crate::threshold::{Threshold, frame_interval};

pub use rank::{RankConfig, RankedEvent, Ranking, rank};
pub use reason::place_in_words;

/// Why no events could be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventError {
    /// A column of the signal that has not one value a frame.
    #[error("`{video}` has {expected} frames, but {found} values of {column}")]
    Length {
        /// The video.
        video: String,
        /// The column.
        column: String,
        /// Frames.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// A score that cannot be compared.
    #[error("`{video}`: the smoothed score at position {position} is not a finite number")]
    NotFinite {
        /// The video.
        video: String,
        /// From 0.
        position: usize,
    },
}

/// One video's scores and what else is known of its frames; all slices have one entry a frame.
#[derive(Debug, Clone, Default)]
pub struct VideoSignal<'a> {
    /// The source's name.
    pub video: &'a str,
    /// Frame numbers, going up.
    pub frame: &'a [u64],
    /// Seconds from the first frame.
    pub time_s: &'a [f64],
    /// Raw scores.
    pub raw: &'a [f64],
    /// Normalised and smoothed scores, on which events are found.
    pub smoothed: &'a [f64],
    /// Raw values of each indicator by name, to tell which one fired.
    pub indicators: Vec<(&'a str, &'a [f64])>,
    /// The camera's trouble in a word or two (`dark`, `frozen` …), `None` where all is well.
    pub trouble: Option<&'a [Option<&'a str>]>,
    /// Where in the picture the frame is most unusual, as shares of its width and height from the upper left corner.
    pub place: Option<&'a [Option<[f32; 2]>]>,
    /// Latents, to tell like events from unlike ones.
    pub latents: Option<Latents<'a>>,
}

/// A vector for each frame.
#[derive(Debug, Clone, Copy)]
pub struct Latents<'a> {
    /// Numbers a frame.
    pub dimension: usize,
    /// `frames * dimension` numbers.
    pub values: &'a [f32],
}

/// When a run of high scores is an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventConfig {
    /// An event begins where the smoothed score exceeds its value.
    pub threshold: Threshold,
    /// It ends where the score falls to this share of the way from the median to the threshold, in `[0, 1]`.
    pub hold: f64,
    /// Shorter ones are dropped, in seconds.
    pub minimum_s: f64,
    /// Two events with no more than this between them are one, in seconds.
    pub merge_s: f64,
    /// Trouble shorter than this is not reported, in seconds.
    pub trouble_minimum_s: f64,
    /// Scores this near to trouble are not trusted: smoothing carries its effect over its ends. In seconds.
    pub trouble_margin_s: f64,
    /// How many seconds of an event count towards its strength.
    pub strength_s: f64,
}

impl EventConfig {
    /// The default for a threshold: ends at two thirds of it (2 of 3 deviations), lasts 1 s, gaps of 3 s are closed,
    /// and the strongest 10 s count.
    pub fn new(threshold: Threshold) -> Self {
        Self {
            threshold,
            hold: 2.0 / 3.0,
            minimum_s: 1.0,
            merge_s: 3.0,
            trouble_minimum_s: 2.0,
            trouble_margin_s: 2.5,
            strength_s: 10.0,
        }
    }
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Something unusual in the picture.
    Anomaly,
    /// Trouble with the camera itself; its reason begins with `camera: `.
    Camera,
}

/// An event before ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct EventCandidate {
    /// Its row of `events.csv`.
    pub event: Event,
    /// What it is.
    pub kind: EventKind,
    /// How unusual: the excess of the smoothed score over the threshold, in robust deviations, summed over its
    /// [`EventConfig::strength_s`] strongest seconds. A long event gains nothing beyond those, so an hour a little above
    /// the threshold does not outrank a short, plain one; a flicker of a frame or two gathers little however high it is.
    /// Without any spread in the footage, excess is taken as it is. 0 for trouble.
    pub strength: f64,
    /// Robust deviations of the peak above the median.
    pub deviations: f64,
    /// Mean latent of its frames; the caller may put any other description of the event here.
    pub feature: Option<Vec<f32>>,
}

/// Containers round times to milliseconds; comparisons of durations forgive as much.
const ROUNDING_S: f64 = 1e-3;

/// First and last position of a run of frames, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: usize,
    last: usize,
}

/// The events of one video in the order of time: anomalies, then trouble.
///
/// # Errors
/// A column without one value a frame; a smoothed score that is not finite.
pub fn find_events(
    signal: &VideoSignal<'_>,
    config: &EventConfig,
) -> Result<Vec<EventCandidate>, EventError> {
    check(signal)?;
    let blind = blind_frames(signal, config.trouble_margin_s);
    let anomalies = anomaly_spans(signal, config, &blind);
    let explain = reason::Explainer::new(signal, &config.threshold);
    let mut events: Vec<EventCandidate> =
        anomalies.into_iter().map(|span| anomaly(signal, config, &explain, span)).collect();
    for (span, trouble) in trouble_spans(signal) {
        if duration(signal.time_s, span) >= config.trouble_minimum_s - ROUNDING_S {
            events.push(camera_trouble(signal, span, trouble));
        }
    }
    Ok(events)
}

fn check(signal: &VideoSignal<'_>) -> Result<(), EventError> {
    let expected = signal.smoothed.len();
    let check = |column: &str, found: usize| {
        if found == expected {
            return Ok(());
        }
        let (video, column) = (signal.video.to_owned(), column.to_owned());
        Err(EventError::Length { video, column, expected, found })
    };
    check("frame", signal.frame.len())?;
    check("time_s", signal.time_s.len())?;
    check("raw", signal.raw.len())?;
    for (name, values) in &signal.indicators {
        check(name, values.len())?;
    }
    check("trouble", signal.trouble.map_or(expected, <[_]>::len))?;
    check("place", signal.place.map_or(expected, <[_]>::len))?;
    if let Some(latents) = signal.latents {
        let whole = expected.checked_mul(latents.dimension) == Some(latents.values.len());
        check("latents", if whole { expected } else { latents.values.len() / latents.dimension.max(1) })?;
        // a remainder would otherwise pass for a frame less
        if !whole {
            check("latents", usize::MAX)?;
        }
    }
    match signal.smoothed.iter().position(|score| !score.is_finite()) {
        Some(position) => Err(EventError::NotFinite { video: signal.video.to_owned(), position }),
        None => Ok(()),
    }
}

/// Frames whose score says nothing about the scene.
fn blind_frames(signal: &VideoSignal<'_>, margin_s: f64) -> Vec<bool> {
    let mut blind = vec![false; signal.smoothed.len()];
    for (span, _) in trouble_spans(signal) {
        let (from, to) = (signal.time_s[span.first] - margin_s, signal.time_s[span.last] + margin_s);
        blind[span.first..=span.last].fill(true);
        for i in (0..span.first).rev().take_while(|&i| signal.time_s[i] >= from) {
            blind[i] = true;
        }
        for i in (span.last + 1..blind.len()).take_while(|&i| signal.time_s[i] <= to) {
            blind[i] = true;
        }
    }
    blind
}

/// Runs of the same trouble.
fn trouble_spans<'a>(signal: &VideoSignal<'a>) -> Vec<(Span, &'a str)> {
    let mut spans: Vec<(Span, &str)> = Vec::new();
    for (i, trouble) in signal.trouble.unwrap_or_default().iter().enumerate() {
        match (trouble, spans.last_mut()) {
            (Some(trouble), Some((span, before))) if span.last + 1 == i && before == trouble => span.last = i,
            (Some(trouble), _) => spans.push((Span { first: i, last: i }, trouble)),
            (None, _) => {}
        }
    }
    spans
}

/// Hysteresis, then merging, then the minimum length; trouble parts events.
fn anomaly_spans(signal: &VideoSignal<'_>, config: &EventConfig, blind: &[bool]) -> Vec<Span> {
    let (high, low) = (config.threshold.value, config.threshold.part_way(config.hold));
    let mut spans: Vec<Span> = Vec::new();
    for span in hysteresis(signal.smoothed, high, low, blind) {
        match spans.last_mut() {
            Some(before) if mergeable(signal.time_s, *before, span, config.merge_s, blind) => {
                before.last = span.last;
            }
            _ => spans.push(span),
        }
    }
    spans.retain(|&span| duration(signal.time_s, span) >= config.minimum_s - ROUNDING_S);
    spans
}

fn mergeable(time_s: &[f64], before: Span, next: Span, merge_s: f64, blind: &[bool]) -> bool {
    let gap = time_s[next.first] - time_s[before.last];
    gap <= merge_s + ROUNDING_S && !blind[before.last..=next.first].contains(&true)
}

/// Runs above `low` that reach above `high` somewhere. They begin where they rise above `low`, for an event
/// has begun before it is certain.
fn hysteresis(scores: &[f64], high: f64, low: f64, blind: &[bool]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut run: Option<(Span, bool)> = None;
    for (i, &score) in scores.iter().enumerate() {
        if score > low && !blind[i] {
            let (span, reached) = run.get_or_insert((Span { first: i, last: i }, false));
            span.last = i;
            *reached |= score > high;
        } else if let Some((span, true)) = run.take() {
            spans.push(span);
        }
    }
    if let Some((span, true)) = run {
        spans.push(span);
    }
    spans
}

/// Seconds from the first frame's begin to the last frame's end.
fn duration(time_s: &[f64], span: Span) -> f64 {
    time_s[span.last] - time_s[span.first] + frame_interval(time_s)
}

fn anomaly(
    signal: &VideoSignal<'_>,
    config: &EventConfig,
    explain: &reason::Explainer<'_>,
    span: Span,
) -> EventCandidate {
    let peak = peak(signal, &config.threshold, span);
    let score = signal.smoothed[peak];
    EventCandidate {
        event: event(signal, span, peak, explain.anomaly(span.first..=span.last, peak)),
        kind: EventKind::Anomaly,
        strength: strength(signal, config, span),
        deviations: config.threshold.deviations(score),
        feature: signal.latents.and_then(|latents| mean_latent(latents, span)),
    }
}

fn camera_trouble(signal: &VideoSignal<'_>, span: Span, trouble: &str) -> EventCandidate {
    let middle = span.first + (span.last - span.first) / 2;
    let event = event(signal, span, middle, reason::camera(trouble));
    EventCandidate { event, kind: EventKind::Camera, strength: 0.0, deviations: 0.0, feature: None }
}

fn event(signal: &VideoSignal<'_>, span: Span, peak: usize, reason: String) -> Event {
    Event {
        video: signal.video.to_owned(),
        start_frame: signal.frame[span.first],
        end_frame: signal.frame[span.last],
        start_s: signal.time_s[span.first],
        end_s: signal.time_s[span.last],
        peak_frame: signal.frame[peak],
        peak_score: signal.smoothed[peak],
        reason,
    }
}

/// The frame to show: of those whose smoothed score is within half a deviation of the highest, the one
/// with the highest raw score. A median's plateau is wide, and its middle need not show anything.
fn peak(signal: &VideoSignal<'_>, threshold: &Threshold, span: Span) -> usize {
    let scores = &signal.smoothed[span.first..=span.last];
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // an event's frame is above the threshold, also where half a deviation would allow less
    let least = (highest - threshold.spread / 2.0).max(threshold.value.min(highest));
    let candidates = (span.first..=span.last).filter(|&i| signal.smoothed[i] >= least);
    // of equals, the first
    candidates.rev().max_by(|&a, &b| signal.raw[a].total_cmp(&signal.raw[b])).unwrap_or(span.first)
}

fn strength(signal: &VideoSignal<'_>, config: &EventConfig, span: Span) -> f64 {
    let Threshold { value, spread, .. } = config.threshold;
    let scale = if spread > 0.0 { spread } else { 1.0 };
    let frame_s = frame_interval(signal.time_s);
    let mut excess: Vec<f64> = signal.smoothed[span.first..=span.last]
        .iter()
        .map(|score| (score - value).max(0.0) / scale)
        .collect();
    excess.sort_unstable_by(|a, b| b.total_cmp(a));
    if frame_s <= 0.0 {
        return excess.first().copied().unwrap_or(0.0);
    }
    let counted = (config.strength_s / frame_s).round().max(1.0) as usize;
    excess.iter().take(counted).sum::<f64>() * frame_s
}

fn mean_latent(latents: Latents<'_>, span: Span) -> Option<Vec<f32>> {
    if latents.dimension == 0 {
        return None;
    }
    let frames = &latents.values[span.first * latents.dimension..(span.last + 1) * latents.dimension];
    let mut sum = vec![0.0f64; latents.dimension];
    for frame in frames.chunks_exact(latents.dimension) {
        for (total, &value) in sum.iter_mut().zip(frame) {
            *total += f64::from(value);
        }
    }
    let count = (span.last - span.first + 1) as f64;
    Some(sum.into_iter().map(|total| (total / count) as f32).collect())
}
