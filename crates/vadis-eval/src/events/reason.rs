//! Why an event was reported, in plain words.

use std::ops::RangeInclusive;

use super::VideoSignal;
use crate::threshold::{Threshold, robust};

/// Where a point lies in the picture, in nine parts: `upper left`, `centre`, `lower right` …
///
/// `place` is in shares of width and height from the upper left corner.
pub fn place_in_words([x, y]: [f32; 2]) -> &'static str {
    const WORDS: [[&str; 3]; 3] = [
        ["upper left", "top", "upper right"],
        ["left", "centre", "right"],
        ["lower left", "bottom", "lower right"],
    ];
    // NaN goes to the first third; the cast saturates
    let third = |share: f32| ((share * 3.0) as usize).min(2);
    WORDS[third(y)][third(x)]
}

/// The reason of camera trouble.
pub(super) fn camera(trouble: &str) -> String {
    format!("camera: {trouble}")
}

/// What is needed of a video to explain its events.
pub(super) struct Explainer<'a> {
    signal: &'a VideoSignal<'a>,
    threshold: &'a Threshold,
    /// Median and robust deviation of each indicator.
    usual: Vec<(f64, f64)>,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(signal: &'a VideoSignal<'a>, threshold: &'a Threshold) -> Self {
        let usual = signal.indicators.iter().map(|(_, values)| robust(values)).collect();
        Self { signal, threshold, usual }
    }

    /// `reconstruction, upper left: 9.3 deviations above the median; more than 99.7 % of the frames`.
    pub(super) fn anomaly(&self, frames: RangeInclusive<usize>, peak: usize) -> String {
        let mut reason = self.fired(frames).replace('_', " ");
        if let Some(place) = self.signal.place.and_then(|places| places[peak]) {
            reason.push_str(", ");
            reason.push_str(place_in_words(place));
        }
        let score = self.signal.smoothed[peak];
        let deviations = self.threshold.deviations(score);
        if deviations > 0.0 {
            reason.push_str(&format!(": {deviations:.1} deviations above the median"));
        } else {
            reason.push_str(": above the threshold");
        }
        // the footage includes the event, so nothing is above all of it
        let share = self.threshold.share_below(score).min(0.999);
        reason.push_str(&format!("; more than {:.1} % of the frames", share * 100.0));
        reason
    }

    /// The indicator whose mean over the event is the most of its own deviations above its own median.
    fn fired(&self, frames: RangeInclusive<usize>) -> &'a str {
        let count = (frames.end() - frames.start() + 1) as f64;
        let deviations =
            self.signal.indicators.iter().zip(&self.usual).map(|((name, values), (centre, spread))| {
                let mean = values[frames.clone()].iter().sum::<f64>() / count;
                (*name, if *spread > 0.0 { (mean - centre) / spread } else { 0.0 })
            });
        // of equals, the first column
        let highest = deviations.rev().max_by(|a, b| a.1.total_cmp(&b.1));
        highest.map_or("score", |(name, _)| name)
    }
}
