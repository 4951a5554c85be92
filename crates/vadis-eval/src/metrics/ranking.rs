use rayon::slice::ParallelSliceMut;

use super::curves::{Confusion, CurvePoint};
use super::{Edges, LabelledVideo, MetricError};

/// Labelled scores in falling order, sorted once.
///
/// Each frame belongs to a *unit* (a video, or a minute of one): resampling a [bootstrap](super::bootstrap) gives units
/// weights and walks the same order again, without sorting.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Distinct scores, falling.
    scores: Vec<f64>,
    /// For each distinct score, one past its last frame in `frames`.
    ends: Vec<u32>,
    /// `unit << 1 | label`, by falling score.
    frames: Vec<u32>,
    /// Normal and abnormal frames of each unit.
    units: Vec<[u64; 2]>,
}

/// What one walk over a [`Ranking`] yields; each is none where its classes are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RankFigures {
    /// Area under the ROC curve, ties counting one half: the chance that an abnormal frame scores above a normal one.
    pub auc: Option<f64>,
    /// Equal error rate: where the interpolated ROC curve has as many false positives as misses, as rates.
    pub eer: Option<f64>,
    /// Average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over distinct thresholds (scikit-learn's definition, no interpolation).
    pub average_precision: Option<f64>,
    /// Share of abnormal frames: what average precision a random score has.
    pub prevalence: Option<f64>,
    /// The highest F1 over all thresholds.
    pub best_f1: Option<f64>,
    /// False positive rate at the highest threshold that finds 90 % of the abnormal frames.
    pub fpr_at_90_recall: Option<f64>,
}

/// Frames flagged when all scores down to some rank are: abnormal and normal ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flagged {
    abnormal: u64,
    normal: u64,
}

impl Ranking {
    /// Ranks plain scores.
    ///
    /// # Errors
    /// [`MetricError`] on a score that is not finite, a label over 1, or columns of different length; the video is
    /// named `scores`.
    pub fn new(scores: &[f64], labels: &[u8]) -> Result<Self, MetricError> {
        let (edge, time_s) = (vec![false; scores.len()], vec![0.0; scores.len()]);
        Self::pooled(
            &[LabelledVideo { video: "scores", scores, edge: &edge, labels, time_s: &time_s }],
            Edges::Keep,
        )
    }

    /// Ranks the frames of all videos together; each video is a unit.
    ///
    /// # Errors
    /// As [`LabelledVideo::check`].
    pub fn pooled(videos: &[LabelledVideo<'_>], edges: Edges) -> Result<Self, MetricError> {
        Self::by_unit(videos, edges, |video, _| video)
    }

    /// Ranks the frames of all videos together; `unit` numbers the unit of a video's frame, from 0 without large gaps.
    pub(crate) fn by_unit(
        videos: &[LabelledVideo<'_>],
        edges: Edges,
        unit: impl Fn(usize, usize) -> usize,
    ) -> Result<Self, MetricError> {
        videos.iter().try_for_each(LabelledVideo::check)?;
        let total: usize = videos.iter().map(|video| video.scores.len()).sum();
        let limit = (u32::MAX >> 1) as usize;
        if total > limit {
            return Err(MetricError::TooManyFrames { frames: total, limit });
        }
        let mut ranked = Vec::with_capacity(total);
        for (index, video) in videos.iter().enumerate() {
            ranked.extend(
                video.counted(edges).map(|(frame, score, label)| {
                    (score, (unit(index, frame) as u32) << 1 | u32::from(label))
                }),
            );
        }
        Ok(Self::sort(ranked))
    }

    fn sort(mut ranked: Vec<(f64, u32)>) -> Self {
        // The second key makes the order, and so every sum over it, independent of the threads.
        ranked.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let (mut scores, mut ends): (Vec<f64>, Vec<u32>) = (Vec::new(), Vec::new());
        for (index, &(score, _)) in ranked.iter().enumerate() {
            // `==` joins 0 and -0, which `total_cmp` tells apart.
            if scores.last().is_none_or(|&last| last != score) {
                scores.push(score);
                ends.push(index as u32);
            }
            if let Some(end) = ends.last_mut() {
                *end = index as u32 + 1;
            }
        }
        let frames: Vec<u32> = ranked.into_iter().map(|(_, frame)| frame).collect();
        let count = frames.iter().map(|frame| (frame >> 1) as usize + 1).max().unwrap_or(0);
        let mut units = vec![[0; 2]; count];
        for frame in &frames {
            units[(frame >> 1) as usize][(frame & 1) as usize] += 1;
        }
        Self { scores, ends, frames, units }
    }

    /// Frames ranked.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Abnormal frames among them.
    pub fn abnormal(&self) -> usize {
        self.totals(None).abnormal as usize
    }

    /// Units the frames belong to.
    pub(crate) fn units(&self) -> usize {
        self.units.len()
    }

    fn totals(&self, weights: Option<&[u32]>) -> Flagged {
        let mut total = Flagged::default();
        for (unit, [normal, abnormal]) in self.units.iter().enumerate() {
            let weight = weights.map_or(1, |w| u64::from(w[unit]));
            total.normal += weight * normal;
            total.abnormal += weight * abnormal;
        }
        total
    }

    /// Visits the counts after each distinct score, highest first.
    fn walk(&self, weights: Option<&[u32]>, mut visit: impl FnMut(f64, Flagged)) {
        let (mut flagged, mut start) = (Flagged::default(), 0);
        for (&score, &end) in self.scores.iter().zip(&self.ends) {
            for &frame in &self.frames[start..end as usize] {
                let weight = weights.map_or(1, |w| u64::from(w[(frame >> 1) as usize]));
                flagged.abnormal += weight * u64::from(frame & 1);
                flagged.normal += weight * u64::from(frame & 1 ^ 1);
            }
            start = end as usize;
            visit(score, flagged);
        }
    }

    /// All figures of the ranking, in one walk.
    pub fn figures(&self) -> RankFigures {
        self.weighted_figures(None)
    }

    /// The figures when each unit counts `weights[unit]` times.
    pub(crate) fn weighted_figures(&self, weights: Option<&[u32]>) -> RankFigures {
        let mut walk = FigureWalk::new(self.totals(weights));
        self.walk(weights, |_, flagged| walk.visit(flagged));
        walk.finish()
    }

    /// Counts when every score at or above `threshold` is flagged.
    pub fn confusion_at(&self, threshold: f64) -> Confusion {
        let last = self.scores.partition_point(|&score| score >= threshold);
        let end = if last == 0 { 0 } else { self.ends[last - 1] as usize };
        let abnormal = self.frames[..end].iter().filter(|&frame| frame & 1 == 1).count() as u64;
        self.confusion(Flagged { abnormal, normal: end as u64 - abnormal })
    }

    fn confusion(&self, flagged: Flagged) -> Confusion {
        let total = self.totals(None);
        Confusion {
            true_positive: flagged.abnormal,
            false_positive: flagged.normal,
            true_negative: total.normal - flagged.normal,
            false_negative: total.abnormal - flagged.abnormal,
        }
    }

    /// The threshold of the highest F1, and the counts there; of equals the highest threshold. None without abnormal
    /// frames.
    pub fn best_f1(&self) -> Option<(f64, Confusion)> {
        let total = self.totals(None);
        let mut best: Option<(f64, f64, Flagged)> = None;
        self.walk(None, |score, flagged| {
            let f1 = f1(flagged, total.abnormal);
            if best.is_none_or(|(_, highest, _)| f1 > highest) {
                best = Some((score, f1, flagged));
            }
        });
        let (threshold, _, flagged) = best.filter(|_| total.abnormal > 0)?;
        Some((threshold, self.confusion(flagged)))
    }

    /// The highest threshold that finds a share of `recall` (0 to 1) of the abnormal frames, and the counts there. None
    /// where a class is missing.
    pub fn at_recall(&self, recall: f64) -> Option<(f64, Confusion)> {
        let (threshold, flagged) = self.reaching(recall, None)?;
        Some((threshold, self.confusion(flagged)))
    }

    /// Normal frames flagged there when each unit counts `weights[unit]` times.
    pub(crate) fn false_positives_at_recall(&self, recall: f64, weights: &[u32]) -> Option<u64> {
        self.reaching(recall, Some(weights)).map(|(_, flagged)| flagged.normal)
    }

    fn reaching(&self, recall: f64, weights: Option<&[u32]>) -> Option<(f64, Flagged)> {
        let total = self.totals(weights);
        if total.normal == 0 || total.abnormal == 0 {
            return None;
        }
        // A little less, because .9 is no binary fraction.
        let needed = (recall * total.abnormal as f64 - 1e-6).ceil().max(1.0) as u64;
        let mut reached = None;
        self.walk(weights, |score, flagged| {
            if reached.is_none() && flagged.abnormal >= needed {
                reached = Some((score, flagged));
            }
        });
        reached
    }

    /// The ROC curve: `x` false positive rate, `y` recall, from (0, 0) to (1, 1).
    ///
    /// Thinned to about `points`: a point is kept once the curve has gone on by 2 / `points` (it is 2 long at most).
    /// Empty where a class is missing.
    pub fn roc(&self, points: usize) -> Vec<CurvePoint> {
        let total = self.totals(None);
        if total.normal == 0 || total.abnormal == 0 {
            return Vec::new();
        }
        let step = 2.0 / points.max(1) as f64;
        let mut curve = Thinned::new(CurvePoint { x: 0.0, y: 0.0, threshold: None });
        self.walk(None, |score, flagged| {
            let x = flagged.normal as f64 / total.normal as f64;
            let y = flagged.abnormal as f64 / total.abnormal as f64;
            curve.push(CurvePoint { x, y, threshold: Some(score) }, |from| {
                (x - from.x) + (y - from.y) >= step
            });
        });
        curve.finish()
    }

    /// The precision–recall curve: `x` recall, `y` precision, by falling threshold; thinned to about `points`.
    ///
    /// Empty without abnormal frames.
    pub fn precision_recall(&self, points: usize) -> Vec<CurvePoint> {
        let total = self.totals(None);
        if total.abnormal == 0 {
            return Vec::new();
        }
        let step = 1.0 / points.max(1) as f64;
        // scikit-learn's convention: nothing flagged has precision 1.
        let mut curve = Thinned::new(CurvePoint { x: 0.0, y: 1.0, threshold: None });
        self.walk(None, |score, flagged| {
            let x = flagged.abnormal as f64 / total.abnormal as f64;
            let y = flagged.abnormal as f64 / (flagged.abnormal + flagged.normal) as f64;
            curve.push(CurvePoint { x, y, threshold: Some(score) }, |from| x - from.x >= step);
        });
        curve.finish()
    }

    /// The score that the `share` highest of the frames reach (nearest rank); none without frames.
    pub fn upper_quantile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.frames.len() as f64).ceil().max(1.0) as usize;
        let index = self.ends.partition_point(|&end| (end as usize) < rank);
        self.scores.get(index).or(self.scores.last()).copied()
    }
}

/// Keeps a curve's first and last point, and between them those that are far enough apart.
struct Thinned {
    kept: Vec<CurvePoint>,
    latest: Option<CurvePoint>,
}

impl Thinned {
    fn new(first: CurvePoint) -> Self {
        Self { kept: vec![first], latest: None }
    }

    fn push(&mut self, point: CurvePoint, far: impl Fn(&CurvePoint) -> bool) {
        self.latest = Some(point);
        if self.kept.last().is_some_and(far) {
            self.kept.extend(self.latest.take());
        }
    }

    fn finish(mut self) -> Vec<CurvePoint> {
        self.kept.extend(self.latest);
        self.kept
    }
}

fn f1(flagged: Flagged, positives: u64) -> f64 {
    let denominator = flagged.abnormal + flagged.normal + positives;
    if denominator == 0 { 0.0 } else { 2.0 * flagged.abnormal as f64 / denominator as f64 }
}

/// The running sums behind [`RankFigures`].
struct FigureWalk {
    total: Flagged,
    last: Flagged,
    /// Twice the area under the ROC curve, in pairs of frames: exact, also where resampling repeats units.
    twice_area: u128,
    average_precision: f64,
    best_f1: f64,
    eer: Option<f64>,
    fpr_at_recall: Option<f64>,
}

impl FigureWalk {
    fn new(total: Flagged) -> Self {
        Self {
            total,
            last: Flagged::default(),
            twice_area: 0,
            average_precision: 0.0,
            best_f1: 0.0,
            eer: None,
            fpr_at_recall: None,
        }
    }

    fn visit(&mut self, flagged: Flagged) {
        if flagged == self.last {
            return;
        }
        let new_normal = u128::from(flagged.normal - self.last.normal);
        self.twice_area += new_normal * u128::from(self.last.abnormal + flagged.abnormal);
        let (found, new) = (flagged.abnormal as f64, flagged.abnormal - self.last.abnormal);
        if new > 0 {
            self.average_precision += new as f64 * (found / (flagged.abnormal + flagged.normal) as f64);
        }
        self.best_f1 = self.best_f1.max(f1(flagged, self.total.abnormal));
        self.meet_equal_error(flagged);
        // In whole frames, because .9 is no binary fraction.
        if self.fpr_at_recall.is_none() && 10 * flagged.abnormal >= 9 * self.total.abnormal {
            self.fpr_at_recall = Some(flagged.normal as f64 / self.total.normal as f64);
        }
        self.last = flagged;
    }

    /// Where the segment from the last point to this one crosses FPR = FNR.
    fn meet_equal_error(&mut self, flagged: Flagged) {
        if self.eer.is_some() {
            return;
        }
        let rates = |at: Flagged| {
            let missed = (self.total.abnormal - at.abnormal) as f64 / self.total.abnormal as f64;
            (at.normal as f64 / self.total.normal as f64, missed)
        };
        let ((fpr0, fnr0), (fpr1, fnr1)) = (rates(self.last), rates(flagged));
        if fpr1 >= fnr1 {
            let (before, after) = (fnr0 - fpr0, fpr1 - fnr1);
            self.eer = Some(fpr0 + (fpr1 - fpr0) * before / (before + after));
        }
    }

    fn finish(self) -> RankFigures {
        let (normal, abnormal) = (self.total.normal as f64, self.total.abnormal as f64);
        let both = self.total.normal > 0 && self.total.abnormal > 0;
        let any_abnormal = self.total.abnormal > 0;
        RankFigures {
            auc: both.then(|| self.twice_area as f64 / (2.0 * normal * abnormal)),
            eer: self.eer.filter(|_| both),
            average_precision: any_abnormal.then(|| self.average_precision / abnormal),
            prevalence: (normal + abnormal > 0.0).then(|| abnormal / (normal + abnormal)),
            best_f1: any_abnormal.then_some(self.best_f1),
            fpr_at_90_recall: self.fpr_at_recall.filter(|_| both),
        }
    }
}
