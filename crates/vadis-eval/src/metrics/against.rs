use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, Interval, Units, percentiles};
use super::{Confusion, Edges, LabelledVideo, MetricError, Ranking};

/// A run at the highest threshold that finds a given share of the abnormal frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AtRecall {
    /// Scores at or above it are flagged.
    pub threshold: f64,
    /// The frames there. Where scores tie, more are found than asked for.
    pub frames: Confusion,
}

impl AtRecall {
    /// Minutes of false alarm in an hour of normal footage.
    pub fn alarm_minutes_per_hour(&self) -> f64 {
        60.0 * self.frames.false_positive_rate()
    }
}

/// False positives of two runs over the same frames, each at the threshold that finds the same share of the abnormal ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The share asked for, in (0, 1].
    pub recall: f64,
    /// The run in question.
    pub this: AtRecall,
    /// The one it is set against.
    pub other: AtRecall,
    /// 1 − FP / FP of the other: .15 is 15 % fewer, below 0 more; none where the other alone has no false positive.
    pub fewer: Option<f64>,
    /// 95 % interval of `fewer`: the same units drawn for both runs, the thresholds found anew in each resample.
    pub interval: Option<Interval>,
    /// Of what was resampled: `video` or `block of 60 s`.
    pub unit: String,
    /// How many there are; under two, there is no interval.
    pub units: usize,
}

impl Against {
    /// Of videos that are pairwise the same: frames and labels, only the scores differ. None where a class is missing.
    ///
    /// # Errors
    /// As [`LabelledVideo::check`]; [`MetricError::LengthMismatch`] for videos that are not pairwise as long.
    pub fn of(
        this: &[LabelledVideo<'_>],
        other: &[LabelledVideo<'_>],
        edges: Edges,
        recall: f64,
        bootstrap: Option<Bootstrap>,
    ) -> Result<Option<Self>, MetricError> {
        for (a, b) in this.iter().zip(other) {
            if a.scores.len() != b.scores.len() {
                let (video, scores, others) = (a.video.to_owned(), a.scores.len(), b.scores.len());
                return Err(MetricError::LengthMismatch {
                    video,
                    scores,
                    others,
                    what: "scores of the other run",
                });
            }
        }
        let units = Units::of(this);
        let ranked = |videos| Ranking::by_unit(videos, edges, |video, frame| units.of_frame(video, frame));
        let [ranking, rival] = [ranked(this)?, ranked(other)?];
        let at = |ranking: &Ranking| {
            ranking.at_recall(recall).map(|(threshold, frames)| AtRecall { threshold, frames })
        };
        let Some((this, other)) = at(&ranking).zip(at(&rival)) else { return Ok(None) };
        let interval = bootstrap.and_then(|bootstrap| {
            let drawn = bootstrap.draw(ranking.units(), |weights| {
                let of = |ranking: &Ranking| ranking.false_positives_at_recall(recall, weights);
                of(&ranking).zip(of(&rival)).and_then(|(this, other)| fewer(this, other))
            });
            percentiles(&drawn, |value| *value)
        });
        Ok(Some(Self {
            recall,
            this,
            other,
            fewer: fewer(this.frames.false_positive, other.frames.false_positive),
            interval,
            unit: units.name(),
            units: ranking.units(),
        }))
    }
}

/// The share of the other's false positives that are not there.
fn fewer(this: u64, other: u64) -> Option<f64> {
    match (this, other) {
        (0, 0) => Some(0.0),
        (_, 0) => None,
        _ => Some(1.0 - this as f64 / other as f64),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three videos of scores and labels.
    type Frames = Vec<Vec<(i32, u8)>>;

    fn frames() -> impl Strategy<Value = Frames> {
        prop::collection::vec(prop::collection::vec((0i32..60, 0u8..2), 5..60), 3)
    }

    /// The columns of a video of scores `score`.
    struct Owned {
        scores: Vec<f64>,
        labels: Vec<u8>,
        edge: Vec<bool>,
        time_s: Vec<f64>,
    }

    impl Owned {
        fn all(frames: &Frames, score: impl Fn(i32) -> f64) -> Vec<Self> {
            let video = |video: &Vec<(i32, u8)>| Self {
                scores: video.iter().map(|frame| score(frame.0)).collect(),
                labels: video.iter().map(|frame| frame.1).collect(),
                edge: vec![false; video.len()],
                time_s: vec![0.0; video.len()],
            };
            frames.iter().map(video).collect()
        }

        fn labelled(&self) -> LabelledVideo<'_> {
            let Self { scores, labels, edge, time_s } = self;
            LabelledVideo { video: "a", scores, labels, edge, time_s }
        }
    }

    /// The figures of scores `this` and `other` of the frames' values.
    fn set_against(
        frames: &Frames,
        this: impl Fn(i32) -> f64,
        other: impl Fn(i32) -> f64,
        recall: f64,
    ) -> Option<Against> {
        let (this, other) = (Owned::all(frames, this), Owned::all(frames, other));
        let [this, other] = [&this, &other].map(|all| all.iter().map(Owned::labelled).collect::<Vec<_>>());
        let bootstrap = Some(Bootstrap { resamples: 40, seed: 0 });
        Against::of(&this, &other, Edges::Keep, recall, bootstrap).unwrap()
    }

    /// Something else than the score of the same frame.
    fn mixed(value: i32) -> f64 {
        f64::from(value * 37 % 61)
    }

    proptest! {
        #[test]
        fn a_run_has_no_fewer_than_itself(frames in frames(), recall in 0.05f64..1.0) {
            if let Some(found) = set_against(&frames, f64::from, f64::from, recall) {
                prop_assert_eq!(found.fewer, Some(0.0));
                prop_assert_eq!(found.interval.map(|i| (i.low, i.high)), Some((0.0, 0.0)));
            }
        }

        #[test]
        fn scales_of_scores_do_not_matter(frames in frames(), recall in 0.05f64..1.0) {
            let plain = set_against(&frames, f64::from, mixed, recall);
            let scaled = set_against(&frames, |v| 1e-3 * f64::from(v) - 7.0, |v| mixed(v).powi(3), recall);
            prop_assert_eq!(plain.is_some(), scaled.is_some());
            if let Some((plain, scaled)) = plain.zip(scaled) {
                prop_assert_eq!(plain.this.frames, scaled.this.frames);
                prop_assert_eq!(plain.other.frames, scaled.other.frames);
                prop_assert_eq!((plain.fewer, plain.interval), (scaled.fewer, scaled.interval));
            }
        }

        #[test]
        fn the_threshold_is_the_highest_that_reaches_the_recall(frames in frames(), recall in 0.05f64..1.0) {
            let Some(found) = set_against(&frames, mixed, f64::from, recall) else { return Ok(()) };
            let all: Vec<(f64, u8)> = frames.iter().flatten().map(|&(v, label)| (mixed(v), label)).collect();
            let count = |from: f64, label| all.iter().filter(|f| f.1 == label && f.0 >= from).count() as u64;
            let share = |from: f64| count(from, 1) as f64 / count(f64::NEG_INFINITY, 1) as f64;
            let AtRecall { threshold, frames } = found.this;
            prop_assert!(share(threshold) >= recall - 1e-9);
            prop_assert!(share(threshold + 0.5) < recall);
            prop_assert_eq!((frames.true_positive, frames.false_positive), (count(threshold, 1), count(threshold, 0)));
        }
    }

    #[test]
    fn fewer_is_relative_to_the_other_and_may_be_more() {
        assert_eq!(fewer(85, 100).map(|v| (v * 100.0).round()), Some(15.0));
        assert_eq!(fewer(150, 100), Some(-0.5));
        assert_eq!((fewer(0, 0), fewer(1, 0)), (Some(0.0), None));
    }
}
