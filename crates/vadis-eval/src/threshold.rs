//! Thresholds without labels: where "unusual" begins.
//!
//! All rules work on smoothed anomaly scores, higher is more unusual; a frame is flagged where its score is *above* the
//! threshold, so a constant score flags nothing.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::operations::duration_s;
use crate::poisson::garwood;
use crate::run::{AlarmCount, Decision};

/// Makes the median absolute deviation of a normal distribution its standard deviation.
pub const MAD_TO_SIGMA: f64 = 1.4826;
/// Does the same for the mean absolute deviation: √(π/2).
const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314_137_315_5;
/// Longest block of [`Rule::FalseAlarms`], in seconds.
const BLOCK_S: f64 = 60.0;
/// Steps of [`Threshold::share_below`].
const QUANTILES: usize = 1000;

/// Why no threshold could be set.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ThresholdError {
    /// Not a rule.
    #[error(
        "cannot read threshold `{text}`: expected mad:3, offset:0.05, quantile:0.99, alarms:1/h or fixed:0.7"
    )]
    Syntax {
        /// What was given.
        text: String,
    },
    /// A rule with a number it cannot have.
    #[error("threshold `{text}`: the number must be {expected}")]
    Range {
        /// What was given.
        text: String,
        /// What it may be.
        expected: &'static str,
    },
    /// No score at all.
    #[error("there are no scores to set a threshold from")]
    NoScores,
    /// NaN or an infinity.
    #[error("score {position} of video {video} is not a finite number")]
    NotFinite {
        /// Which of the videos, from 0.
        video: usize,
        /// Which of its scores, from 0.
        position: usize,
    },
    /// A video with more or fewer times than scores.
    #[error("video {video} has {scores} scores and {times} times")]
    Lengths {
        /// Which of the videos, from 0.
        video: usize,
        /// Its scores.
        scores: usize,
        /// Its times.
        times: usize,
    },
    /// A budget so small that the footage cannot tell.
    #[error(
        "{per_hour} false alarms an hour cannot be promised from {have_s:.0} s of normal footage: at least {need_s:.0} s are needed"
    )]
    TooLittleFootage {
        /// The budget.
        per_hour: f64,
        /// Seconds there are.
        have_s: f64,
        /// Seconds it takes.
        need_s: f64,
    },
}

/// The smoothed scores of one video.
#[derive(Debug, Clone, Copy)]
pub struct Footage<'a> {
    /// One a frame.
    pub scores: &'a [f64],
    /// Seconds from the first frame, one a frame.
    pub time_s: &'a [f64],
}

/// How a threshold is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `mad:k`: median + k · 1.4826 · MAD of the footage's scores.
    ///
    /// On `1 − PCC` it is the lower tail, median − k · 1.4826 · MAD, of the Pearson correlation by which arXiv
    /// 2603.23868 flags frames. Where more than half of the scores are equal, the MAD is 0, and √(π/2) · mean absolute
    /// deviation takes its place (Iglewicz and Hoaglin, 1993).
    Deviations(f64),
    /// `offset:d`: median + d; with d = .05 on `1 − PCC` the fixed rule of the same authors' earlier paper (IROS 2025).
    Offset(f64),
    /// `quantile:q`: the score that a share q of the frames does not exceed (linear interpolation, as `numpy.quantile`).
    Quantile(f64),
    /// `alarms:n/h`: at most `n` false alarms an hour, to be set on *normal* footage.
    ///
    /// The footage is cut into blocks of 60 s (shorter for budgets above 30 an hour) that run on from one video to the
    /// next. With n blocks and an allowed share of α = budget · block / 3600 s alarmed blocks, the threshold is the k-th
    /// largest block maximum, k = ⌊α (n + 1)⌋: a conformal quantile, so a further normal block exceeds it with a
    /// probability of at most k / (n + 1) ≤ α.
    ///
    /// The promise holds on average over footage and stream, if the blocks of the stream are exchangeable with those
    /// of the footage (the same hours, weather, traffic), and if alarms within a block are one alarm
    /// ([`crate::events::EventConfig::merge_s`]).
    FalseAlarms {
        /// The budget: alarms an hour, above 0.
        per_hour: f64,
    },
    /// `fixed:t`: the score itself.
    Fixed(f64),
}

impl Default for Rule {
    /// Three robust deviations.
    fn default() -> Self {
        Self::Deviations(3.0)
    }
}

impl Rule {
    /// Sets the threshold from the pooled scores of `footage`.
    ///
    /// # Errors
    /// No scores, a score that is not finite, times that do not match; for [`Rule::FalseAlarms`] too little footage.
    pub fn fit(&self, footage: &[Footage<'_>]) -> Result<Threshold, ThresholdError> {
        let sorted = pool(footage)?;
        let centre = quantile(&sorted, 0.5);
        let spread = spread(&sorted, centre);
        let mut promise = None;
        let value = match *self {
            Self::Deviations(k) => centre + k * spread,
            Self::Offset(offset) => centre + offset,
            Self::Quantile(q) => quantile(&sorted, q),
            Self::FalseAlarms { per_hour } => {
                let (value, made) = budget(footage, per_hour)?;
                promise = Some(made);
                value
            }
            Self::Fixed(value) => value,
        };
        let steps = (0..=QUANTILES).map(|i| quantile(&sorted, i as f64 / QUANTILES as f64));
        Ok(Threshold { value, rule: self.words(), centre, spread, promise, quantiles: steps.collect() })
    }

    /// The rule as the report prints it.
    pub fn words(&self) -> String {
        match self {
            Self::Deviations(k) => format!("median + {k} · {MAD_TO_SIGMA} · MAD"),
            Self::Offset(offset) => format!("median + {offset}"),
            Self::Quantile(q) => format!("exceeded by {:.3} % of the frames", (1.0 - q) * 100.0),
            Self::FalseAlarms { per_hour } => {
                format!("at most {per_hour} false alarms an hour on normal footage (conformal)")
            }
            Self::Fixed(value) => format!("fixed at {value}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deviations(k) => write!(f, "mad:{k}"),
            Self::Offset(offset) => write!(f, "offset:{offset}"),
            Self::Quantile(q) => write!(f, "quantile:{q}"),
            Self::FalseAlarms { per_hour } => write!(f, "alarms:{per_hour}/h"),
            Self::Fixed(value) => write!(f, "fixed:{value}"),
        }
    }
}

impl FromStr for Rule {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || ThresholdError::Syntax { text: text.to_owned() };
        let (name, number) = text.split_once(':').ok_or_else(syntax)?;
        let number = if name == "alarms" { number.strip_suffix("/h").unwrap_or(number) } else { number };
        let x: f64 = number.trim().parse().map_err(|_| syntax())?;
        let (rule, usable, expected) = match name {
            "mad" => (Self::Deviations(x), x >= 0.0, "0 or more deviations"),
            "offset" => (Self::Offset(x), true, "finite"),
            "quantile" => (Self::Quantile(x), (0.0..=1.0).contains(&x), "from 0 to 1"),
            "alarms" => (Self::FalseAlarms { per_hour: x }, x > 0.0, "above 0 alarms an hour"),
            "fixed" => (Self::Fixed(x), true, "finite"),
            _ => return Err(syntax()),
        };
        if usable && x.is_finite() {
            Ok(rule)
        } else {
            Err(ThresholdError::Range { text: text.to_owned(), expected })
        }
    }
}

/// A threshold, and what the footage it was set from looked like.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// A score above it is flagged.
    pub value: f64,
    /// How it was set, in words.
    pub rule: String,
    /// Median of the footage's scores.
    pub centre: f64,
    /// Their robust standard deviation, as in [`Rule::Deviations`]; 0 if all are equal.
    pub spread: f64,
    /// What [`Rule::FalseAlarms`] promises; none by the other rules.
    pub promise: Option<Promise>,
    /// The scores' quantiles at 0, 1/1000 … 1.
    quantiles: Vec<f64>,
}

impl Threshold {
    /// How many robust deviations `score` is above the median; 0 for a footage without any spread.
    pub fn deviations(&self, score: f64) -> f64 {
        if self.spread > 0.0 { (score - self.centre) / self.spread } else { 0.0 }
    }

    /// The share of the footage's frames below `score`, in `[0, 1]` and steps of 1/1000, rounded down.
    pub fn share_below(&self, score: f64) -> f64 {
        let below = self.quantiles.partition_point(|&q| q < score);
        below.saturating_sub(1) as f64 / QUANTILES as f64
    }

    /// A lower threshold at `share` of the way from the median to this one: where an event that has
    /// begun ends ([`crate::events::EventConfig`]).
    pub fn part_way(&self, share: f64) -> f64 {
        self.centre.min(self.value) + share * (self.value - self.centre).max(0.0)
    }

    /// The entry of `run.json`.
    pub fn decision(&self, normalisation: impl fmt::Display, smoothing: impl fmt::Display) -> Decision {
        Decision {
            normalisation: normalisation.to_string(),
            smoothing: smoothing.to_string(),
            rule: self.rule.clone(),
            threshold: self.value,
            alarms: None,
        }
    }
}

/// What a threshold for a budget of false alarms promises, and from how much footage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// The budget: alarms an hour.
    pub per_hour: f64,
    /// Length of a block, in seconds.
    pub block_s: f64,
    /// Whole blocks n that the threshold was set from.
    pub blocks: usize,
    /// The threshold is the k-th largest of their maxima.
    pub rank: usize,
}

impl Promise {
    /// Highest probability that a further block, exchangeable with those of the calibration, exceeds the threshold:
    /// k / (n + 1).
    pub fn risk(&self) -> f64 {
        self.rank as f64 / (self.blocks + 1) as f64
    }

    /// Counts what became of it: `events` of `footage` that exceed `threshold`, and its blocks that hold a score above.
    pub fn count(&self, events: usize, footage: &[Footage<'_>], threshold: f64) -> AlarmCount {
        let hours = footage.iter().map(|part| duration_s(part.time_s)).sum::<f64>() / 3600.0;
        let (maxima, _) = block_maxima(footage, self.block_s);
        let (low, high) = garwood(events as u64);
        let rate = |count: f64| if hours > 0.0 { count / hours } else { 0.0 };
        AlarmCount {
            budget_per_hour: self.per_hour,
            calibrated_on: None,
            calibration_blocks: self.blocks as u64,
            block_s: self.block_s,
            risk: self.risk(),
            blocks: maxima.len() as u64,
            alarmed_blocks: maxima.iter().filter(|&&highest| highest > threshold).count() as u64,
            alarms: events as u64,
            hours,
            per_hour: rate(events as f64),
            low: rate(low),
            high: rate(high),
        }
    }
}

/// All scores in order.
fn pool(footage: &[Footage<'_>]) -> Result<Vec<f64>, ThresholdError> {
    for (video, part) in footage.iter().enumerate() {
        let (scores, times) = (part.scores.len(), part.time_s.len());
        if scores != times {
            return Err(ThresholdError::Lengths { video, scores, times });
        }
        if let Some(position) = part.scores.iter().position(|score| !score.is_finite()) {
            return Err(ThresholdError::NotFinite { video, position });
        }
    }
    let mut sorted: Vec<f64> = footage.iter().flat_map(|part| part.scores).copied().collect();
    if sorted.is_empty() {
        return Err(ThresholdError::NoScores);
    }
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(sorted)
}

/// Linear interpolation between order statistics; `sorted` is not empty.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = (position as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

/// The robust standard deviation of [`Rule::Deviations`]; `sorted` is not empty.
fn spread(sorted: &[f64], centre: f64) -> f64 {
    let mut distances: Vec<f64> = sorted.iter().map(|x| (x - centre).abs()).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let mad = quantile(&distances, 0.5);
    if mad > 0.0 {
        return MAD_TO_SIGMA * mad;
    }
    MEAN_DEVIATION_TO_SIGMA * distances.iter().sum::<f64>() / distances.len() as f64
}

/// Median and robust standard deviation, as [`Rule::Deviations`] has them; zeros for no scores.
pub(crate) fn robust(scores: &[f64]) -> (f64, f64) {
    if scores.is_empty() {
        return (0.0, 0.0);
    }
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let centre = quantile(&sorted, 0.5);
    (centre, spread(&sorted, centre))
}

fn budget(footage: &[Footage<'_>], per_hour: f64) -> Result<(f64, Promise), ThresholdError> {
    let block_s = BLOCK_S.min(1800.0 / per_hour);
    let (mut maxima, have_s) = block_maxima(footage, block_s);
    maxima.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = per_hour * block_s / 3600.0;
    let rank = (allowed * (maxima.len() + 1) as f64) as usize;
    // rank ≤ (n + 1) / 2, so only 0 has no maximum
    let value = rank.checked_sub(1).and_then(|i| maxima.get(i)).copied();
    let need_s = ((1.0 / allowed).ceil() - 1.0).max(1.0) * block_s;
    let value = value.ok_or(ThresholdError::TooLittleFootage { per_hour, have_s, need_s })?;
    Ok((value, Promise { per_hour, block_s, blocks: maxima.len(), rank }))
}

/// The highest score of each whole block, and the seconds there are in all.
fn block_maxima(footage: &[Footage<'_>], block_s: f64) -> (Vec<f64>, f64) {
    let (mut maxima, mut total_s) = (Vec::new(), 0.0);
    let (mut filled_s, mut highest) = (0.0, f64::NEG_INFINITY);
    for part in footage {
        let frame_s = frame_interval(part.time_s);
        for &score in part.scores {
            highest = highest.max(score);
            filled_s += frame_s;
            total_s += frame_s;
            if filled_s >= block_s - frame_s / 2.0 {
                maxima.push(highest);
                (filled_s, highest) = (0.0, f64::NEG_INFINITY);
            }
        }
    }
    (maxima, total_s)
}

/// Mean seconds between frames; 0 where it cannot be told.
pub(crate) fn frame_interval(time_s: &[f64]) -> f64 {
    match time_s {
        [first, .., last] if last > first => (last - first) / (time_s.len() - 1) as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn fit(rule: Rule, scores: &[f64]) -> Threshold {
        let time_s: Vec<f64> = (0..scores.len()).map(|i| i as f64 / 5.0).collect();
        rule.fit(&[Footage { scores, time_s: &time_s }]).unwrap()
    }

    #[test]
    fn rules_round_trip() {
        for text in ["mad:3", "offset:0.05", "quantile:0.99", "alarms:1/h", "fixed:-0.7"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for text in ["mad", "mad:x", "mad:-1", "quantile:2", "alarms:0/h", "fixed:nan", "iqr:3", "mad:inf"] {
            assert!(text.parse::<Rule>().is_err(), "`{text}` was taken");
        }
    }

    #[test]
    fn three_deviations_of_a_hand_computed_case() {
        // median 3, |x − 3| = 2 1 0 1 97, MAD 1
        let threshold = fit(Rule::default(), &[1.0, 2.0, 3.0, 4.0, 100.0]);
        assert!((threshold.value - (3.0 + 3.0 * 1.4826)).abs() < 1e-12);
        assert!((threshold.deviations(100.0) - 97.0 / 1.4826).abs() < 1e-12);
        assert_eq!(threshold.rule, "median + 3 · 1.4826 · MAD");
        // the lower tail of PCC is the upper tail of 1 − PCC
        let pcc = [0.9, 0.91, 0.92, 0.95, 0.4];
        let lower = 0.91 - 3.0 * 1.4826 * 0.01;
        let upper = fit(Rule::default(), &pcc.map(|x| 1.0 - x));
        assert!((upper.value - (1.0 - lower)).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_have_no_spread_and_flag_nothing() {
        let threshold = fit(Rule::default(), &[0.5; 9]);
        assert_eq!((threshold.value, threshold.spread, threshold.deviations(7.0)), (0.5, 0.0, 0.0));
        // seven of nine equal: the MAD is 0, the mean absolute deviation is not
        let threshold = fit(Rule::default(), &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 8.0]);
        assert!((threshold.spread - 1.253_314_137_315_5).abs() < 1e-12);
    }

    #[test]
    fn quantiles_and_offsets() {
        let scores: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(fit(Rule::Quantile(0.995), &scores).value, 99.5);
        let threshold = fit(Rule::Offset(0.05), &scores);
        assert_eq!(threshold.value, 50.05);
        assert_eq!(threshold.share_below(50.0), 0.499);
        assert_eq!(threshold.share_below(1e9), 1.0);
        assert_eq!(threshold.share_below(-1e9), 0.0);
        assert!((threshold.part_way(0.5) - 50.025).abs() < 1e-12);
    }

    #[test]
    fn bad_footage_is_an_error() {
        let rule = Rule::default();
        assert_eq!(rule.fit(&[]), Err(ThresholdError::NoScores));
        let nan = Footage { scores: &[0.0, f64::NAN], time_s: &[0.0, 1.0] };
        assert_eq!(rule.fit(&[nan]), Err(ThresholdError::NotFinite { video: 0, position: 1 }));
        let short = Footage { scores: &[0.0, 1.0], time_s: &[0.0] };
        assert!(matches!(rule.fit(&[short]), Err(ThresholdError::Lengths { .. })));
    }

    #[test]
    fn a_budget_needs_enough_footage() {
        let scores = vec![0.0; 5 * 60 * 30];
        let time_s: Vec<f64> = (0..scores.len()).map(|i| i as f64 / 5.0).collect();
        let footage = [Footage { scores: &scores, time_s: &time_s }];
        let error = Rule::FalseAlarms { per_hour: 1.0 }.fit(&footage).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 false alarms an hour cannot be promised from 1800 s of normal footage: at least 3540 s are needed"
        );
        assert!(Rule::FalseAlarms { per_hour: 2.0 }.fit(&footage).is_ok());
        // many short videos are one long footage
        let clip = Footage { scores: &scores[..60], time_s: &time_s[..60] };
        assert!(Rule::FalseAlarms { per_hour: 2.0 }.fit(&[clip; 150]).is_ok());
        assert!(Rule::FalseAlarms { per_hour: 2.0 }.fit(&[clip; 50]).is_err());
    }

    #[test]
    fn the_budget_is_kept_on_new_footage_of_the_same_kind() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (per_hour, seconds, rounds) = (6.0, 3600usize, 300);
        let time_s: Vec<f64> = (0..seconds).map(|i| i as f64).collect();
        let mut hour = || {
            let mut level = 0.0;
            (0..seconds)
                .map(|_| {
                    level = 0.9 * level + rng.random::<f64>() - 0.5;
                    level
                })
                .collect::<Vec<f64>>()
        };
        let mut alarms = 0;
        for _ in 0..rounds {
            let normal = hour();
            let rule = Rule::FalseAlarms { per_hour };
            let threshold = rule.fit(&[Footage { scores: &normal, time_s: &time_s }]).unwrap();
            let stream = hour();
            alarms += stream.chunks(60).filter(|block| block.iter().any(|&x| x > threshold.value)).count();
        }
        let rate = alarms as f64 / rounds as f64;
        assert!((4.5..=per_hour + 0.3).contains(&rate), "{rate} alarms an hour");
    }

    /// Maxima of 59 blocks and of one more, exchangeable: the k-th largest of the 59 is exceeded with k / 60 at most.
    #[test]
    fn a_further_exchangeable_block_exceeds_as_rarely_as_promised() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (blocks, rounds) = (59usize, 4000);
        let time_s: Vec<f64> = (0..blocks * 6).map(|i| i as f64 * 10.0).collect();
        let mut exceeded = 0;
        let mut risk = 0.0;
        for _ in 0..rounds {
            // a level shared by the whole round makes blocks exchangeable without making them independent
            let level = rng.random::<f64>() * 5.0;
            let mut block = || -> Vec<f64> {
                let own = rng.random::<f64>();
                (0..6).map(|_| level + own + rng.random::<f64>()).collect()
            };
            let scores: Vec<f64> = (0..blocks).flat_map(|_| block()).collect();
            let rule = Rule::FalseAlarms { per_hour: 6.0 };
            let threshold = rule.fit(&[Footage { scores: &scores, time_s: &time_s }]).unwrap();
            risk = threshold.promise.unwrap().risk();
            exceeded += usize::from(block().iter().any(|&score| score > threshold.value));
        }
        assert!((risk - 0.1).abs() < 1e-12);
        let share = exceeded as f64 / f64::from(rounds);
        // four standard errors of a share of .1 in 4000 rounds
        assert!(
            (share - risk).abs() < 4.0 * (0.1 * 0.9 / f64::from(rounds)).sqrt(),
            "{share} of further blocks"
        );
    }

    #[test]
    fn alarms_are_set_against_the_promise() {
        let promise = Promise { per_hour: 2.0, block_s: 60.0, blocks: 59, rank: 2 };
        let time_s: Vec<f64> = (0..7200).map(f64::from).collect();
        let mut scores = vec![0.0; 7200];
        (scores[30], scores[40], scores[100]) = (2.0, 2.0, 2.0);
        let count = promise.count(3, &[Footage { scores: &scores, time_s: &time_s }], 1.0);
        assert_eq!((count.blocks, count.alarmed_blocks, count.alarms), (120, 2, 3));
        assert!((count.hours - 2.0).abs() < 1e-9 && (count.per_hour - 1.5).abs() < 1e-9);
        // scipy: chi2.ppf(.025, 6) / 4 and chi2.ppf(.975, 8) / 4
        assert!((count.low - 0.309_336).abs() < 1e-6 && (count.high - 4.383_636).abs() < 1e-6, "{count:?}");
    }

    proptest! {
        #[test]
        fn a_larger_budget_has_no_higher_threshold(
            seed in 0u64..1000, small in 1.0..20.0f64, more in 0.0..9.0f64,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let scores: Vec<f64> = (0..7200).map(|_| rng.random()).collect();
            let time_s: Vec<f64> = (0..7200).map(f64::from).collect();
            let footage = [Footage { scores: &scores, time_s: &time_s }];
            let at = |per_hour| Rule::FalseAlarms { per_hour }.fit(&footage).unwrap().value;
            prop_assert!(at(small + more) <= at(small));
        }

        #[test]
        fn deviations_move_with_the_scores(
            scores in prop::collection::vec(-1e3..1e3f64, 1..50), shift in -1e3..1e3f64, scale in 0.1..10.0f64,
        ) {
            let moved: Vec<f64> = scores.iter().map(|x| x * scale + shift).collect();
            let (a, b) = (fit(Rule::default(), &scores).value, fit(Rule::default(), &moved).value);
            prop_assert!((a * scale + shift - b).abs() < 1e-6);
        }
    }
}
