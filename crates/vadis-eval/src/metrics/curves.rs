use serde::{Deserialize, Serialize};

use super::{Edges, LabelledVideo, Ranking};

/// Points a curve is thinned to for plotting.
const CURVE_POINTS: usize = 400;
/// Bins of the histogram.
const BINS: usize = 60;
/// Share of frames beyond either end of the histogram's range, so that one outlier does not flatten it.
const OUTER_SHARE: f64 = 0.001;
/// Rows of the table of thresholds: flagging 5 %, 10 % … 95 % of the frames.
const THRESHOLD_ROWS: usize = 19;

/// A point of a ROC or precision–recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// False positive rate, or recall.
    pub x: f64,
    /// Recall, or precision.
    pub y: f64,
    /// Scores at or above it are flagged; none at the start, where nothing is.
    pub threshold: Option<f64>,
}

/// Frames by label and decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Abnormal, flagged.
    pub true_positive: u64,
    /// Normal, flagged.
    pub false_positive: u64,
    /// Normal, not flagged.
    pub true_negative: u64,
    /// Abnormal, not flagged.
    pub false_negative: u64,
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Confusion {
    /// Share of flagged frames that are abnormal; 0 where nothing is flagged.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of abnormal frames that are flagged; 0 where there is none.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Harmonic mean of precision and recall; 0 where neither is defined.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }

    /// Share of frames decided rightly.
    pub fn accuracy(&self) -> f64 {
        let right = self.true_positive + self.true_negative;
        ratio(right, right + self.false_positive + self.false_negative)
    }

    /// Share of normal frames that are flagged.
    pub fn false_positive_rate(&self) -> f64 {
        ratio(self.false_positive, self.false_positive + self.true_negative)
    }
}

/// How the decision fares at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRow {
    /// Scores at or above it are flagged.
    pub threshold: f64,
    /// Share of flagged frames that are abnormal.
    pub precision: f64,
    /// Share of abnormal frames that are flagged.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Share of frames decided rightly.
    pub accuracy: f64,
}

/// Counts of normal and abnormal frames over equal bins of score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower end of the first bin; what lies below is counted there.
    pub low: f64,
    /// Upper end of the last bin; what lies above is counted there.
    pub high: f64,
    /// Normal frames in each bin.
    pub normal: Vec<u64>,
    /// Abnormal frames in each bin.
    pub abnormal: Vec<u64>,
}

/// Everything there is to plot of one ranking.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// `x` false positive rate, `y` recall.
    pub roc: Vec<CurvePoint>,
    /// `x` recall, `y` precision.
    pub precision_recall: Vec<CurvePoint>,
    /// Scores of both classes.
    pub histogram: Histogram,
    /// The threshold of the best F1, where there is an abnormal frame.
    pub best_threshold: Option<f64>,
    /// The counts there.
    pub confusion: Confusion,
    /// The decision at thresholds that flag 5 %, 10 % … 95 % of the frames; fewer where scores tie.
    pub thresholds: Vec<ThresholdRow>,
}

impl Curves {
    /// Of checked videos and their ranking.
    pub(crate) fn new(videos: &[LabelledVideo<'_>], edges: Edges, ranking: &Ranking) -> Self {
        let best = ranking.best_f1();
        Self {
            roc: ranking.roc(CURVE_POINTS),
            precision_recall: ranking.precision_recall(CURVE_POINTS),
            histogram: histogram(videos, edges, ranking),
            best_threshold: best.map(|(threshold, _)| threshold),
            confusion: best.map(|(_, confusion)| confusion).unwrap_or_default(),
            thresholds: threshold_rows(ranking),
        }
    }

    /// The decision at each threshold of the ROC curve, falling: as dense as that curve, so that it shows a rare class
    /// too. Empty where a class is missing.
    pub fn by_threshold(&self) -> Vec<ThresholdRow> {
        let Confusion { true_positive, false_positive, true_negative, false_negative } = self.confusion;
        let (abnormal, normal) = (true_positive + false_negative, true_negative + false_positive);
        let of = |share: f64, total: u64| ((share * total as f64).round() as u64).min(total);
        let row = |point: &CurvePoint| {
            let (found, wrong) = (of(point.y, abnormal), of(point.x, normal));
            let confusion = Confusion {
                true_positive: found,
                false_positive: wrong,
                true_negative: normal - wrong,
                false_negative: abnormal - found,
            };
            point.threshold.map(|threshold| threshold_row(&confusion, threshold))
        };
        self.roc.iter().filter_map(row).collect()
    }
}

fn threshold_rows(ranking: &Ranking) -> Vec<ThresholdRow> {
    let shares = (1..=THRESHOLD_ROWS).map(|row| row as f64 / (THRESHOLD_ROWS + 1) as f64);
    let mut thresholds: Vec<f64> = shares.filter_map(|share| ranking.upper_quantile(share)).collect();
    thresholds.dedup();
    thresholds.into_iter().map(|at| threshold_row(&ranking.confusion_at(at), at)).collect()
}

fn threshold_row(confusion: &Confusion, threshold: f64) -> ThresholdRow {
    ThresholdRow {
        threshold,
        precision: confusion.precision(),
        recall: confusion.recall(),
        f1: confusion.f1(),
        accuracy: confusion.accuracy(),
    }
}

fn histogram(videos: &[LabelledVideo<'_>], edges: Edges, ranking: &Ranking) -> Histogram {
    let Some((low, high)) =
        ranking.upper_quantile(1.0 - OUTER_SHARE).zip(ranking.upper_quantile(OUTER_SHARE))
    else {
        return Histogram::default();
    };
    let mut histogram = Histogram { low, high, normal: vec![0; BINS], abnormal: vec![0; BINS] };
    for (_, score, label) in videos.iter().flat_map(|video| video.counted(edges)) {
        let bin = bin(score, low, high);
        let class = if label == 1 { &mut histogram.abnormal } else { &mut histogram.normal };
        class[bin] += 1;
    }
    histogram
}

fn bin(score: f64, low: f64, high: f64) -> usize {
    // Halves first: the range of two finite scores may not be finite. A float casts into the bins saturating, NaN to 0.
    let position = (score / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    ((position * BINS as f64) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_by_threshold_are_what_counting_at_that_threshold_gives(
            frames in prop::collection::vec((0i32..40, 0u8..2), 2..600),
        ) {
            let scores: Vec<f64> = frames.iter().map(|f| f64::from(f.0) / 4.0 - 3.0).collect();
            let labels: Vec<u8> = frames.iter().map(|f| f.1).collect();
            let (edge, time_s) = (vec![false; scores.len()], vec![0.0; scores.len()]);
            let video =
                LabelledVideo { video: "a", scores: &scores, edge: &edge, labels: &labels, time_s: &time_s };
            let ranking = Ranking::pooled(&[video], Edges::Keep).unwrap();
            let rows = Curves::new(&[video], Edges::Keep, &ranking).by_threshold();
            let both = labels.contains(&0) && labels.contains(&1);
            prop_assert_eq!(rows.is_empty(), !both);
            for row in rows {
                prop_assert_eq!(row, threshold_row(&ranking.confusion_at(row.threshold), row.threshold));
            }
        }
    }
}
