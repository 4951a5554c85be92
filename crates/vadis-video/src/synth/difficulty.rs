//! How far a scene is from trivial: what scores without any learning reach on it.

use super::{Kind, Scene, SceneConfig, SynthError};
use crate::Frame;

/// Frames from which the median background is taken, evenly spread over the recording.
const SAMPLES: u64 = 101;

/// Area under the ROC curve of two trivial frame scores, over some of the abnormal frames against all normal ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrivialAuc {
    /// Mean |I_t − I_{t−1}| of the grey frame.
    pub frame_difference: f64,
    /// Mean |I_t − B| of the grey frame, B the per-pixel median of 101 frames of the recording.
    pub median_background: f64,
}

/// What [`difficulty`] measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Difficulty {
    /// Over all abnormal frames; NaN without any, or without a normal one.
    pub overall: TrivialAuc,
    /// For each kind that occurs, its frames against the normal ones, and how many they are.
    pub kinds: Vec<(Kind, u64, TrivialAuc)>,
    /// Frames in all.
    pub frames: u64,
    /// Abnormal frames.
    pub abnormal: u64,
}

/// Scores of one frame with what was seen in it.
struct Scored {
    scores: [f64; 2],
    kinds: Vec<Kind>,
}

/// Renders the scene twice and measures what trivial scores reach on it. A test bed is hard enough while both stay
/// under .80.
///
/// # Errors
/// [`SynthError::Setting`].
pub fn difficulty(config: &SceneConfig) -> Result<Difficulty, SynthError> {
    let background = median_background(config)?;
    let mut before: Option<Frame> = None;
    let mut scored = Vec::new();
    for shot in Scene::new(config)? {
        let grey = shot.frame.to_grey();
        let change = before.as_ref().map_or(0.0, |b| mean_difference(&grey.data, &b.data));
        scored.push(Scored { scores: [change, mean_difference(&grey.data, &background)], kinds: shot.kinds });
        before = Some(grey);
    }
    // The first frame has no predecessor: it takes its successor's score.
    if let [first, second, ..] = scored.as_mut_slice() {
        first.scores[0] = second.scores[0];
    }
    let abnormal = scored.iter().filter(|s| !s.kinds.is_empty()).count() as u64;
    let kinds = Kind::ALL.into_iter().filter_map(|kind| {
        let frames = scored.iter().filter(|s| s.kinds.contains(&kind)).count() as u64;
        (frames > 0).then(|| (kind, frames, trivial_auc(&scored, |s| s.kinds.contains(&kind))))
    });
    Ok(Difficulty {
        overall: trivial_auc(&scored, |s| !s.kinds.is_empty()),
        kinds: kinds.collect(),
        frames: scored.len() as u64,
        abnormal,
    })
}

fn trivial_auc(scored: &[Scored], is_positive: impl Fn(&Scored) -> bool) -> TrivialAuc {
    let auc = |which: usize| {
        let of = |s: &Scored| s.scores[which];
        let positive = scored.iter().filter(|s| is_positive(s)).map(of).collect();
        let normal = scored.iter().filter(|s| s.kinds.is_empty()).map(of).collect();
        area_under_roc(positive, normal)
    };
    TrivialAuc { frame_difference: auc(0), median_background: auc(1) }
}

/// The chance that a positive score exceeds a negative one, ties counting one half (Mann and Whitney).
fn area_under_roc(mut positive: Vec<f64>, mut negative: Vec<f64>) -> f64 {
    positive.sort_by(f64::total_cmp);
    negative.sort_by(f64::total_cmp);
    let wins: f64 = positive
        .iter()
        .map(|p| {
            let below = negative.partition_point(|n| n < p);
            let not_above = negative.partition_point(|n| n <= p);
            (below + not_above) as f64 / 2.0
        })
        .sum();
    wins / (positive.len() * negative.len()) as f64
}

fn median_background(config: &SceneConfig) -> Result<Vec<u8>, SynthError> {
    let every = (config.frames / SAMPLES).max(1) as usize;
    let samples: Vec<Vec<u8>> = Scene::new(config)?.step_by(every).map(|s| s.frame.to_grey().data).collect();
    let mut column = vec![0; samples.len()];
    let median = |i: usize| {
        column.iter_mut().zip(&samples).for_each(|(c, s)| *c = s[i]);
        column.sort_unstable();
        column.get(column.len() / 2).copied().unwrap_or(0)
    };
    Ok((0..config.width * config.height).map(median).collect())
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(&p, &q)| u64::from(p.abs_diff(q))).sum();
    sum as f64 / a.len() as f64
}
