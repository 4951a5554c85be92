use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Bounds;

/// Intersection over union from which a detection meets a true region (Ramachandra & Jones' β).
const MEETING_IOU: f64 = 0.1;
/// A track is found at one in this many of its regions (their α = .1).
const FOUND_AT_ONE_IN: usize = 10;

/// A region that is abnormal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrueRegion {
    /// In pixels of the picture.
    pub bounds: Bounds,
    /// Number of its track, unique over all videos.
    pub track: usize,
}

/// A region that a system points at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// In pixels of the same picture.
    pub bounds: Bounds,
    /// Higher is more unusual.
    pub score: f64,
}

/// Region- and track-based detection, accumulated frame by frame.
///
/// Each true region keeps the highest score of a detection that meets it, each track the score at which a tenth of its
/// regions is detected, and each detection that meets none its own: the curves over all thresholds follow exactly.
#[derive(Debug, Clone, Default)]
pub struct RegionCriterion {
    frames: usize,
    /// Of each track, the score at which each of its regions is detected; −∞ where never.
    tracks: BTreeMap<usize, Vec<f64>>,
    false_positives: Vec<f64>,
}

/// Areas under detection rate against false positives per frame, for rates of them in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegionFigures {
    /// Region-based detection criterion, in [0, 1].
    pub rbdc: f64,
    /// Track-based detection criterion, in [0, 1].
    pub tbdc: f64,
    /// True regions.
    pub regions: usize,
    /// True tracks.
    pub tracks: usize,
    /// Frames seen.
    pub frames: usize,
}

impl RegionCriterion {
    /// The next frame's true regions and detections.
    pub fn push(&mut self, truth: &[TrueRegion], detections: &[Detection]) {
        self.frames += 1;
        let meets = |region: &TrueRegion, found: &Detection| region.bounds.iou(&found.bounds) >= MEETING_IOU;
        for region in truth {
            let scores = detections.iter().filter(|found| meets(region, found)).map(|found| found.score);
            let best = scores.fold(f64::NEG_INFINITY, f64::max);
            self.tracks.entry(region.track).or_default().push(best);
        }
        let wrong = detections.iter().filter(|found| !truth.iter().any(|region| meets(region, found)));
        self.false_positives.extend(wrong.map(|found| found.score));
    }

    /// The figures so far; none without a true region.
    pub fn figures(&self) -> Option<RegionFigures> {
        let regions: Vec<f64> = self.tracks.values().flatten().copied().collect();
        let tracks: Vec<f64> = self.tracks.values().map(|scores| track_score(scores)).collect();
        (!regions.is_empty()).then(|| RegionFigures {
            rbdc: self.area(&regions),
            tbdc: self.area(&tracks),
            regions: regions.len(),
            tracks: tracks.len(),
            frames: self.frames,
        })
    }

    /// Area under the share of `truth` detected, against false positives per frame up to 1.
    ///
    /// Trapezoids between distinct thresholds. Where all detections together have less than one false positive a
    /// frame, the last rate holds up to 1: allowing more false alarms never finds less.
    fn area(&self, truth: &[f64]) -> f64 {
        let (truth, wrong) = (falling(truth), falling(&self.false_positives));
        let mut thresholds: Vec<f64> =
            truth.iter().chain(&wrong).copied().filter(|score| score.is_finite()).collect();
        thresholds.sort_unstable_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let (mut area, mut last) = (0.0, (0.0, 0.0));
        for threshold in thresholds {
            let reached = |scores: &[f64]| scores.partition_point(|&score| score >= threshold) as f64;
            let point = (reached(&wrong) / self.frames as f64, reached(&truth) / truth.len() as f64);
            area += trapezoid(last, point);
            last = point;
        }
        area + (1.0 - last.0).max(0.0) * last.1
    }
}

/// The part of the area under the segment between two points that lies left of 1.
fn trapezoid((x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> f64 {
    if x0 >= 1.0 {
        return 0.0;
    }
    let end = x1.min(1.0);
    let y_end = if x1 > x0 { y0 + (y1 - y0) * (end - x0) / (x1 - x0) } else { y1 };
    (end - x0) * (y0 + y_end) / 2.0
}

/// The score at which a tenth of a track's regions, rounded up, is detected.
fn track_score(scores: &[f64]) -> f64 {
    falling(scores)[scores.len().div_ceil(FOUND_AT_ONE_IN) - 1]
}

fn falling(scores: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    sorted
}
