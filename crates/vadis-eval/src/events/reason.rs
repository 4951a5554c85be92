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

/// A part of the picture as a sentence has it.
fn preposition(place: &'static str) -> String {
    match place {
        "top" | "bottom" => format!("at the {place}"),
        "left" | "right" => format!("on the {place}"),
        _ => format!("in the {place}"),
    }
}

/// How unusual, in a word; events begin at about three deviations.
fn degree(deviations: f64) -> &'static str {
    match deviations {
        d if d < 5.0 => "somewhat",
        d if d < 15.0 => "clearly",
        _ => "very",
    }
}

/// What an indicator means to somebody who watches the footage.
fn sight(indicator: &str, degree: &str, place: Option<String>) -> String {
    let mostly = place.as_ref().map_or_else(String::new, |place| format!(", most of all {place}"));
    match (indicator, place) {
        (
            "local_pcc"
            | "patch_error"
            | "standardised_error"
            | "patch_residual"
            | "patch_reconstruction"
            | "worst_patch"
            | "patch_likelihood"
            | "appearance_patch",
            Some(place),
        ) => {
            format!("{place}, {degree} unlike what this camera usually shows there")
        }
        ("appearance" | "appearance_frame", _) => {
            format!("what is seen looks {degree} unlike the usual{mostly}")
        }
        ("semantic", _) => {
            format!("what is seen resembles what was made up as abnormal, {degree} more than usual{mostly}")
        }
        ("foreground_pcc", _) => {
            format!("what stands before the background is {degree} unlike what is usual here{mostly}")
        }
        (
            "flow" | "patch_flow" | "motion" | "patch_motion" | "frame_diff" | "difference"
            | "patch_difference" | "foreground" | "patch_foreground" | "distance" | "patch_distance"
            | "patch_gradient" | "motion_frame" | "motion_patch" | "flow-magnitude" | "frame-diff" | "mog2"
            | "patch-knn",
            _,
        ) => {
            format!("the movement is {degree} unlike what is usual here{mostly}")
        }
        _ => format!("the whole picture is {degree} unlike the usual{mostly}"),
    }
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

    /// What is unusual, where, how much, and by which indicator: `in the upper left, clearly unlike what
    /// this camera usually shows there: 9.3 deviations above the median, more than 99.7 % of the frames (local pcc)`.
    pub(super) fn anomaly(&self, frames: RangeInclusive<usize>, peak: usize) -> String {
        let fired = self.fired(frames);
        let place = self.signal.place.and_then(|places| places[peak]).map(place_in_words);
        let score = self.signal.smoothed[peak];
        let deviations = self.threshold.deviations(score);
        let amount = match deviations {
            d if d > 0.0 => format!("{d:.1} deviations above the median"),
            _ => "above the threshold".to_owned(),
        };
        // the footage includes the event, so nothing is above all of it
        let share = self.threshold.share_below(score).min(0.999) * 100.0;
        let what = sight(fired, degree(deviations), place.map(preposition));
        let indicator = fired.replace('_', " ");
        format!("{what}: {amount}, more than {share:.1} % of the frames ({indicator})")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What each indicator of paper 002's score sees is told apart.
    #[test]
    fn the_reason_says_what_each_indicator_of_pseudo_saw() {
        let place = || Some("at the top".to_owned());
        let seen = ["appearance", "motion", "semantic"].map(|indicator| sight(indicator, "clearly", place()));
        assert_eq!(
            seen,
            [
                "what is seen looks clearly unlike the usual, most of all at the top",
                "the movement is clearly unlike what is usual here, most of all at the top",
                "what is seen resembles what was made up as abnormal, clearly more than usual, most of all at the top",
            ]
        );
    }
}
