//! 95 % intervals by resampling whole videos, or one-minute blocks where there is one video (Efron's percentile method).
//!
//! Frames are no independent draws: a minute's frames rise and fall together. Resampling frames would give intervals
//! several times too narrow.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::separation::ClassMoments;
use super::{Edges, LabelledVideo, MetricError, RankFigures, Ranking, macro_auc};

/// Seconds of a block where there is one video.
const BLOCK_S: f64 = 60.0;

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples drawn.
    pub resamples: usize,
    /// Seed; each resample has its own stream of it, so the result does not depend on the threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 1000 resamples, seed 0.
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// Ends of a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5 % quantile of the resamples.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// The interval of each figure; none where more than half of the resamples leave it undefined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of what was resampled: `video` or `block of 60 s`.
    pub unit: String,
    /// How many there are; under two, there are no intervals.
    pub units: usize,
    /// Of the pooled AUC.
    pub micro_auc: Option<Interval>,
    /// Of the mean of the videos' AUCs; where there is one video the same as the pooled.
    pub macro_auc: Option<Interval>,
    /// Of the equal error rate.
    pub eer: Option<Interval>,
    /// Of average precision.
    pub average_precision: Option<Interval>,
    /// Of the best F1.
    pub best_f1: Option<Interval>,
    /// Of d′.
    pub d_prime: Option<Interval>,
    /// Of the false positive rate at 90 % recall.
    pub fpr_at_90_recall: Option<Interval>,
}

/// What one resample yields.
#[derive(Debug, Clone, Copy, Default)]
struct Resample {
    rank: RankFigures,
    macro_auc: Option<f64>,
    d_prime: Option<f64>,
}

impl Bootstrap {
    /// The intervals of every figure of `videos`.
    ///
    /// # Errors
    /// As [`LabelledVideo::check`].
    pub fn intervals(&self, videos: &[LabelledVideo<'_>], edges: Edges) -> Result<Intervals, MetricError> {
        let single = videos.len() == 1;
        let units = Units::of(videos);
        let unit = |video: usize, frame: usize| units.of_frame(video, frame);
        let ranking = Ranking::by_unit(videos, edges, unit)?;
        let moments = ClassMoments::new(videos, edges, ranking.units(), unit);
        let aucs: Vec<Option<f64>> = macro_auc(videos, edges)?.videos.iter().map(|video| video.auc).collect();
        let resamples = self.draw(ranking.units(), |weights| {
            let rank = ranking.weighted_figures(Some(weights));
            let macro_auc = if single { rank.auc } else { weighted_mean(&aucs, weights) };
            let d_prime = moments.separation(Some(weights)).and_then(|classes| classes.d_prime());
            Resample { rank, macro_auc, d_prime }
        });
        let of = |figure: fn(&Resample) -> Option<f64>| percentiles(&resamples, figure);
        Ok(Intervals {
            unit: units.name(),
            units: ranking.units(),
            micro_auc: of(|r| r.rank.auc),
            macro_auc: of(|r| r.macro_auc),
            eer: of(|r| r.rank.eer),
            average_precision: of(|r| r.rank.average_precision),
            best_f1: of(|r| r.rank.best_f1),
            d_prime: of(|r| r.d_prime),
            fpr_at_90_recall: of(|r| r.rank.fpr_at_90_recall),
        })
    }

    /// `figure` of each resample, given how often each of `units` was drawn; nothing under two units.
    pub(super) fn draw<T: Send>(&self, units: usize, figure: impl Fn(&[u32]) -> T + Sync) -> Vec<T> {
        if units < 2 {
            return Vec::new();
        }
        (0..self.resamples)
            .into_par_iter()
            .map_init(|| vec![0; units], |weights, resample| figure(self.weights(resample, weights)))
            .collect()
    }

    fn weights<'a>(&self, resample: usize, weights: &'a mut [u32]) -> &'a [u32] {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(resample as u64);
        weights.fill(0);
        for _ in 0..weights.len() {
            weights[rng.random_range(0..weights.len())] += 1;
        }
        weights
    }
}

/// What is resampled: videos, or blocks of the only one.
pub(super) struct Units {
    /// Of each frame; none where there are several videos.
    blocks: Option<Vec<usize>>,
}

impl Units {
    pub(super) fn of(videos: &[LabelledVideo<'_>]) -> Self {
        let single = videos.first().filter(|_| videos.len() == 1);
        Self { blocks: single.map(|video| blocks(video.time_s)) }
    }

    /// The unit of a frame, from 0.
    pub(super) fn of_frame(&self, video: usize, frame: usize) -> usize {
        self.blocks.as_ref().and_then(|blocks| blocks.get(frame)).copied().unwrap_or(video)
    }

    /// In words.
    pub(super) fn name(&self) -> String {
        if self.blocks.is_some() { format!("block of {BLOCK_S} s") } else { "video".to_owned() }
    }
}

/// The block of each frame, numbered without gaps whatever the clock does.
fn blocks(time_s: &[f64]) -> Vec<usize> {
    let minute = |time: f64| (time / BLOCK_S).floor();
    let mut number = 0;
    let mut last = time_s.first().copied().map(minute);
    time_s
        .iter()
        .map(|&time| {
            number += usize::from(last != Some(minute(time)));
            last = Some(minute(time));
            number
        })
        .collect()
}

fn weighted_mean(values: &[Option<f64>], weights: &[u32]) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for (value, &weight) in values.iter().zip(weights) {
        if let Some(value) = value {
            sum += f64::from(weight) * value;
            count += f64::from(weight);
        }
    }
    (count > 0.0).then(|| sum / count)
}

pub(super) fn percentiles<T>(resamples: &[T], figure: impl Fn(&T) -> Option<f64>) -> Option<Interval> {
    let mut values: Vec<f64> = resamples.iter().filter_map(figure).collect();
    if values.is_empty() || values.len() * 2 < resamples.len() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, 0.025), high: quantile(&values, 0.975) })
}

/// Linear interpolation between order statistics, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}
