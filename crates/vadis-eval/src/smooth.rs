//! Smoothing of one video's scores over time.
//!
//! Never across videos: call it once for each. `median` and `gaussian` are centred, look ahead and so exist
//! offline only; `causal_median` and `ema` are also streams ([`Smoothing::stream`]), and their batch form is
//! that stream run over the file, bit for bit.
//!
//! Widths are in frames. A width in seconds (`median:5s`, [`SmoothingSpec`]) becomes frames by the *mean* frame
//! rate of the video: with a variable frame rate the window then covers that duration on average.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Widest median window, in frames: beyond, a window is a typing error and its memory the user's loss.
pub const MAX_WINDOW: usize = 1_000_000;
/// Widest Gaussian, in frames of standard deviation.
pub const MAX_SIGMA: f64 = 10_000.0;
/// Half-width of the Gaussian kernel in standard deviations, as SciPy's default.
const TRUNCATE: f64 = 4.0;

/// Why a smoothing could not be understood or used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SmoothError {
    /// Not of the form `kind:width`.
    #[error(
        "cannot read smoothing `{text}`: expected none, median:25, causal_median:25, gaussian:3 or ema:8 (frames), or with a duration: median:5s"
    )]
    Syntax {
        /// What was given.
        text: String,
    },
    /// The width is not a number that this kind can have.
    #[error("smoothing `{text}`: the width must be {expected}")]
    Width {
        /// What was given.
        text: String,
        /// What it may be.
        expected: String,
    },
    /// A width in seconds where the frame rate is not known.
    #[error("smoothing `{text}` is in seconds, and the frame rate is needed to make frames of it")]
    NeedsFrameRate {
        /// What was given.
        text: String,
    },
    /// The frame rate is not a positive number.
    #[error("cannot turn seconds into frames with a frame rate of {fps}")]
    FrameRate {
        /// Frames a second given.
        fps: f64,
    },
}

/// How one video's scores are smoothed; widths in frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Smoothing {
    /// Scores as they are.
    None,
    /// Median of the `w` frames around each one: from `i − ⌊w/2⌋` to `i + ⌈w/2⌉ − 1`.
    ///
    /// At both ends the window shrinks to what exists, as `pandas.Series.rolling(w, center=True,
    /// min_periods=1).median()`; repeating the edge value instead (SciPy's `nearest`) would make
    /// the first and last raw scores the result whatever their noise. An even count's median is the mean of its two
    /// middle values.
    Median(usize),
    /// Median of each frame and the `w − 1` before it, fewer at the start.
    CausalMedian(usize),
    /// Gaussian of standard deviation σ, as `scipy.ndimage.gaussian_filter1d(x, σ, mode="nearest", truncate=4)`.
    Gaussian(f64),
    /// Exponential average of span `s`: `yᵢ = α·xᵢ + (1 − α)·yᵢ₋₁`, `α = 2 / (s + 1)`, `y₀ = x₀`
    /// (`pandas.Series.ewm(span=s, adjust=False).mean()`).
    Ema(f64),
}

impl Smoothing {
    /// The scores of **one** video, in frame order, smoothed; as many values as given.
    ///
    /// Expects finite scores. Medians take O(n log w), the Gaussian O(n σ), the others O(n).
    pub fn apply(&self, scores: &[f64]) -> Vec<f64> {
        match *self {
            Self::None => scores.to_vec(),
            Self::Median(width) => centred_median(scores, width),
            Self::Gaussian(sigma) => gaussian(scores, sigma),
            Self::CausalMedian(width) => {
                let mut filter = CausalSmoother::median(width);
                scores.iter().map(|&x| filter.push(x)).collect()
            }
            Self::Ema(span) => {
                let mut filter = CausalSmoother::ema(span);
                scores.iter().map(|&x| filter.push(x)).collect()
            }
        }
    }

    /// Whether a live camera can have it.
    pub fn is_causal(&self) -> bool {
        self.stream().is_some()
    }

    /// The streaming form, at the start of a video; `None` for a filter that looks ahead.
    pub fn stream(&self) -> Option<CausalSmoother> {
        match *self {
            Self::None => Some(CausalSmoother(State::Pass)),
            Self::CausalMedian(width) => Some(CausalSmoother::median(width)),
            Self::Ema(span) => Some(CausalSmoother::ema(span)),
            Self::Median(_) | Self::Gaussian(_) => None,
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Median(width) => write!(f, "median:{width}"),
            Self::CausalMedian(width) => write!(f, "causal_median:{width}"),
            Self::Gaussian(sigma) => write!(f, "gaussian:{sigma}"),
            Self::Ema(span) => write!(f, "ema:{span}"),
        }
    }
}

impl FromStr for Smoothing {
    type Err = SmoothError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            SmoothingSpec::Frames(smoothing) => Ok(smoothing),
            SmoothingSpec::Seconds { .. } => Err(SmoothError::NeedsFrameRate { text: text.to_owned() }),
        }
    }
}

/// Kinds of smoothing that have a width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmoothingKind {
    /// [`Smoothing::Median`].
    Median,
    /// [`Smoothing::CausalMedian`].
    CausalMedian,
    /// [`Smoothing::Gaussian`].
    Gaussian,
    /// [`Smoothing::Ema`].
    Ema,
}

impl SmoothingKind {
    const ALL: [Self; 4] = [Self::Median, Self::CausalMedian, Self::Gaussian, Self::Ema];

    fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::CausalMedian => "causal_median",
            Self::Gaussian => "gaussian",
            Self::Ema => "ema",
        }
    }

    /// What a width in frames may be.
    fn expected(self) -> String {
        match self {
            Self::Median | Self::CausalMedian => {
                format!("a whole number of frames from 1 to {MAX_WINDOW}")
            }
            Self::Gaussian => format!("a number of frames above 0 and up to {MAX_SIGMA}"),
            Self::Ema => "a number of frames, at least 1".to_owned(),
        }
    }

    fn with_frames(self, width: f64) -> Option<Smoothing> {
        let whole = width.fract() == 0.0 && (1.0..=MAX_WINDOW as f64).contains(&width);
        match self {
            Self::Median if whole => Some(Smoothing::Median(width as usize)),
            Self::CausalMedian if whole => Some(Smoothing::CausalMedian(width as usize)),
            Self::Gaussian if width > 0.0 && width <= MAX_SIGMA => Some(Smoothing::Gaussian(width)),
            Self::Ema if width >= 1.0 && width.is_finite() => Some(Smoothing::Ema(width)),
            _ => None,
        }
    }
}

/// A smoothing as the user states it: in frames (`median:25`), or in seconds (`median:5s`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SmoothingSpec {
    /// Known without a frame rate.
    Frames(Smoothing),
    /// To be resolved for each video.
    Seconds {
        /// Which filter.
        kind: SmoothingKind,
        /// Its width, above 0: window, standard deviation or span.
        seconds: f64,
    },
}

impl SmoothingSpec {
    /// In frames, for a video of `fps` frames a second on average.
    ///
    /// The centred median's window becomes the nearest odd number of frames, so that it has a middle;
    /// the causal median's the nearest whole number. No width falls below one frame or rises above
    /// [`MAX_WINDOW`] ([`MAX_SIGMA`] for the Gaussian).
    ///
    /// # Errors
    /// [`SmoothError::FrameRate`] if `fps` is not positive and finite, and seconds are to be resolved.
    pub fn resolve(&self, fps: f64) -> Result<Smoothing, SmoothError> {
        let (kind, seconds) = match *self {
            Self::Frames(smoothing) => return Ok(smoothing),
            Self::Seconds { kind, seconds } => (kind, seconds),
        };
        if !(fps > 0.0 && fps.is_finite()) {
            return Err(SmoothError::FrameRate { fps });
        }
        let frames = seconds * fps;
        let widest = MAX_WINDOW as f64;
        Ok(match kind {
            SmoothingKind::Median => {
                let odd = 2.0 * ((frames - 1.0) / 2.0).round() + 1.0;
                Smoothing::Median(odd.clamp(1.0, widest - 1.0) as usize)
            }
            SmoothingKind::CausalMedian => {
                Smoothing::CausalMedian(frames.round().clamp(1.0, widest) as usize)
            }
            SmoothingKind::Gaussian => Smoothing::Gaussian(frames.min(MAX_SIGMA)),
            SmoothingKind::Ema => Smoothing::Ema(frames.clamp(1.0, f64::MAX)),
        })
    }
}

impl fmt::Display for SmoothingSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(smoothing) => smoothing.fmt(f),
            Self::Seconds { kind, seconds } => write!(f, "{}:{seconds}s", kind.name()),
        }
    }
}

impl FromStr for SmoothingSpec {
    type Err = SmoothError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::Frames(Smoothing::None));
        }
        let syntax = || SmoothError::Syntax { text: text.to_owned() };
        let (name, width) = text.split_once(':').ok_or_else(syntax)?;
        let kind = SmoothingKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(syntax)?;
        let refuse = |expected: String| SmoothError::Width { text: text.to_owned(), expected };
        if let Some(seconds) = width.strip_suffix('s') {
            let seconds: f64 = seconds.parse().map_err(|_| syntax())?;
            if !(seconds > 0.0 && seconds.is_finite()) {
                return Err(refuse("a number of seconds above 0".to_owned()));
            }
            return Ok(Self::Seconds { kind, seconds });
        }
        let frames: f64 = width.parse().map_err(|_| syntax())?;
        kind.with_frames(frames).map(Self::Frames).ok_or_else(|| refuse(kind.expected()))
    }
}

/// A filter that needs only the past: one value in, one value out.
#[derive(Debug, Clone)]
pub struct CausalSmoother(State);

#[derive(Debug, Clone)]
enum State {
    Pass,
    Median { width: usize, window: VecDeque<f64>, sorted: SlidingMedian },
    Ema { alpha: f64, last: Option<f64> },
}

impl CausalSmoother {
    fn median(width: usize) -> Self {
        let width = width.max(1);
        Self(State::Median { width, window: VecDeque::new(), sorted: SlidingMedian::default() })
    }

    fn ema(span: f64) -> Self {
        Self(State::Ema { alpha: 2.0 / (span.max(1.0) + 1.0), last: None })
    }

    /// The next score of the video, smoothed.
    pub fn push(&mut self, score: f64) -> f64 {
        match &mut self.0 {
            State::Pass => score,
            State::Median { width, window, sorted } => {
                if window.len() == *width
                    && let Some(oldest) = window.pop_front()
                {
                    sorted.remove(oldest);
                }
                window.push_back(score);
                sorted.insert(score);
                sorted.median().unwrap_or(score)
            }
            State::Ema { alpha, last } => {
                let smoothed = last.map_or(score, |last| *alpha * score + (1.0 - *alpha) * last);
                *last = Some(smoothed);
                smoothed
            }
        }
    }
}

fn centred_median(scores: &[f64], width: usize) -> Vec<f64> {
    let width = width.max(1);
    let (before, after) = (width / 2, width - width / 2);
    let mut sorted = SlidingMedian::default();
    let mut entered = 0;
    let mut smoothed = Vec::with_capacity(scores.len());
    for i in 0..scores.len() {
        while entered < scores.len().min(i + after) {
            sorted.insert(scores[entered]);
            entered += 1;
        }
        if i > before {
            sorted.remove(scores[i - before - 1]);
        }
        smoothed.push(sorted.median().unwrap_or(scores[i]));
    }
    smoothed
}

fn gaussian(scores: &[f64], sigma: f64) -> Vec<f64> {
    let usable = sigma > 0.0 && sigma.is_finite() && !scores.is_empty();
    if !usable {
        return scores.to_vec();
    }
    let radius = (TRUNCATE * sigma.min(MAX_SIGMA) + 0.5) as usize;
    let half: Vec<f64> = (0..=radius).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect();
    let total = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    let last = scores.len() - 1;
    let at = |i: usize| {
        let sides = (1..=radius).map(|k| half[k] * (scores[i.saturating_sub(k)] + scores[(i + k).min(last)]));
        (half[0] * scores[i] + sides.sum::<f64>()) / total
    };
    (0..scores.len()).map(at).collect()
}

/// The values of a window in order, split at the middle: insert, remove and median in O(log w).
#[derive(Debug, Clone, Default)]
struct SlidingMedian {
    /// The smaller half; as many as `high`, or one more. Equal values are told apart by a count.
    low: BTreeSet<(u64, u64)>,
    high: BTreeSet<(u64, u64)>,
    /// Names the next value; removal takes any equal one.
    serial: u64,
}

impl SlidingMedian {
    fn insert(&mut self, value: f64) {
        let key = (order_key(value), self.serial);
        self.serial += 1;
        if self.low.last().is_some_and(|top| key > *top) {
            self.high.insert(key);
        } else {
            self.low.insert(key);
        }
        self.balance();
    }

    fn remove(&mut self, value: f64) {
        let key = order_key(value);
        let find = |half: &BTreeSet<(u64, u64)>| half.range((key, 0)..=(key, u64::MAX)).next().copied();
        if let Some(found) = find(&self.low) {
            self.low.remove(&found);
        } else if let Some(found) = find(&self.high) {
            self.high.remove(&found);
        }
        self.balance();
    }

    fn balance(&mut self) {
        if self.low.len() > self.high.len() + 1 {
            self.high.extend(self.low.pop_last());
        } else if self.low.len() < self.high.len() {
            self.low.extend(self.high.pop_first());
        }
    }

    fn median(&self) -> Option<f64> {
        let low = order_value(self.low.last()?.0);
        if self.low.len() > self.high.len() {
            return Some(low);
        }
        let high = order_value(self.high.first()?.0);
        // not (low + high) / 2, which may overflow
        Some(low + (high - low) / 2.0)
    }
}

/// An integer that sorts as the number does (IEEE 754 total order).
fn order_key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn order_value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["none", "median:25", "causal_median:4", "gaussian:3", "gaussian:0.5", "ema:8"] {
            assert_eq!(text.parse::<Smoothing>().unwrap().to_string(), text);
        }
        assert_eq!("median:5s".parse::<SmoothingSpec>().unwrap().to_string(), "median:5s");
    }

    #[test]
    fn wrong_widths_are_refused() {
        let wrong = [
            "median",
            "median:",
            "median:0",
            "median:2.5",
            "median:-3",
            "median:1e9",
            "gaussian:0",
            "gaussian:nan",
            "gaussian:inf",
            "ema:0.5",
            "ema:infs",
            "median:-1s",
            "mean:3",
            "",
            ":",
        ];
        for text in wrong {
            assert!(text.parse::<SmoothingSpec>().is_err(), "`{text}` was taken");
        }
        assert!(matches!("ema:2s".parse::<Smoothing>(), Err(SmoothError::NeedsFrameRate { .. })));
    }

    #[test]
    fn seconds_become_frames() {
        let resolve = |text: &str, fps| text.parse::<SmoothingSpec>().unwrap().resolve(fps).unwrap();
        assert_eq!(resolve("median:5s", 5.0), Smoothing::Median(25));
        assert_eq!(resolve("median:5s", 10.0), Smoothing::Median(51));
        assert_eq!(resolve("median:0.1s", 5.0), Smoothing::Median(1));
        assert_eq!(resolve("causal_median:2s", 29.97), Smoothing::CausalMedian(60));
        assert_eq!(resolve("gaussian:1s", 12.5), Smoothing::Gaussian(12.5));
        assert_eq!(resolve("ema:0.1s", 5.0), Smoothing::Ema(1.0));
        assert_eq!(resolve("median:25", f64::NAN), Smoothing::Median(25));
        let spec = "median:5s".parse::<SmoothingSpec>().unwrap();
        assert!(spec.resolve(0.0).is_err() && spec.resolve(f64::NAN).is_err());
        assert_eq!(spec.resolve(1e300).unwrap(), Smoothing::Median(MAX_WINDOW - 1));
    }

    #[test]
    fn empty_and_single_videos_pass() {
        for text in ["none", "median:25", "causal_median:4", "gaussian:3", "ema:8"] {
            let smoothing: Smoothing = text.parse().unwrap();
            assert_eq!(smoothing.apply(&[]), Vec::<f64>::new());
            assert!((smoothing.apply(&[2.5])[0] - 2.5).abs() < 1e-12, "{text}");
        }
    }

    fn naive_median(window: &[f64]) -> f64 {
        let mut sorted = window.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        low + (high - low) / 2.0
    }

    proptest! {
        #[test]
        fn medians_are_medians(
            // few distinct values, so that ties are common
            scores in prop::collection::vec((-8i32..8).prop_map(|v| f64::from(v) / 4.0), 1..80), width in 1usize..20,
        ) {
            let centred = Smoothing::Median(width).apply(&scores);
            let causal = Smoothing::CausalMedian(width).apply(&scores);
            for i in 0..scores.len() {
                let around = &scores[i.saturating_sub(width / 2)..scores.len().min(i + width - width / 2)];
                let past = &scores[(i + 1).saturating_sub(width)..=i];
                prop_assert_eq!(centred[i], naive_median(around));
                prop_assert_eq!(causal[i], naive_median(past));
            }
        }

        #[test]
        fn causal_filters_ignore_the_future(
            scores in prop::collection::vec(-1e6..1e6f64, 1..60), cut in 0usize..60, width in 1usize..9,
        ) {
            let cut = cut.min(scores.len());
            for smoothing in [Smoothing::None, Smoothing::CausalMedian(width), Smoothing::Ema(width as f64)] {
                let whole = smoothing.apply(&scores);
                prop_assert_eq!(&whole[..cut], &smoothing.apply(&scores[..cut])[..]);
            }
        }

        #[test]
        fn filters_stay_within_the_range(scores in prop::collection::vec(-1e3..1e3f64, 1..60), sigma in 0.1..9f64) {
            let low = scores.iter().copied().fold(f64::INFINITY, f64::min) - 1e-9;
            let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 1e-9;
            for smoothing in [Smoothing::Gaussian(sigma), Smoothing::Ema(sigma.max(1.0)), Smoothing::Median(5)] {
                prop_assert!(smoothing.apply(&scores).iter().all(|x| (low..=high).contains(x)));
            }
        }

        #[test]
        fn order_keys_sort_as_the_numbers_do(a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(order_key(a).cmp(&order_key(b)), a.total_cmp(&b));
            prop_assert_eq!(order_value(order_key(a)).to_bits(), a.to_bits());
        }
    }
}
