//! Weights of a combination, chosen by how it ranks frames of a validation set.

use vadis::Failure;
use vadis::eval::metrics::{Edges, LabelledVideo, Ranking};
use vadis::eval::protocol::EvalError;

/// Each weight is one of so many steps; of many members there are fewer, because all are tried.
const STEPS: usize = 4;
const STEPS_OF_MANY: usize = 1;
const MANY: usize = 6;

/// One labelled video as the members judge it; all vectors have one entry a frame.
pub(super) struct Video {
    pub(super) name: String,
    /// Standardised causal scores, one vector a member.
    pub(super) members: Vec<Vec<f64>>,
    pub(super) edge: Vec<bool>,
    pub(super) labels: Vec<u8>,
    pub(super) time_s: Vec<f64>,
}

/// Weights, and the micro AUC of the raw causal score with them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) weights: Vec<f64>,
    pub(super) auc: f64,
    /// That of equal weights.
    pub(super) equal_auc: f64,
}

/// The best of all weights in steps; of equally good ones the first, equal weights before all others.
///
/// # Errors
/// Labels of one class only.
pub(super) fn best(videos: &[Video], members: usize) -> Result<Choice, Failure> {
    let equal_auc = auc(videos, &vec![1.0; members])?;
    let mut best = Choice { weights: vec![1.0; members], auc: equal_auc, equal_auc };
    let steps = if members < MANY { STEPS } else { STEPS_OF_MANY };
    let mut steps_of = vec![0usize; members];
    while advance(&mut steps_of, steps) {
        if common_divisor(&steps_of) != 1 {
            continue;
        }
        let weights: Vec<f64> = steps_of.iter().map(|&step| step as f64).collect();
        let auc = auc(videos, &weights)?;
        if auc > best.auc {
            (best.weights, best.auc) = (weights, auc);
        }
    }
    Ok(best)
}

/// The next number of these digits, each up to `most`; false after the last.
fn advance(digits: &mut [usize], most: usize) -> bool {
    for digit in digits {
        if *digit < most {
            *digit += 1;
            return true;
        }
        *digit = 0;
    }
    false
}

/// 1 where the weights are not a multiple of smaller ones.
fn common_divisor(steps: &[usize]) -> usize {
    fn of_two(a: usize, b: usize) -> usize {
        if b == 0 { a } else { of_two(b, a % b) }
    }
    steps.iter().fold(0, |sum, &step| of_two(sum, step))
}

fn auc(videos: &[Video], weights: &[f64]) -> Result<f64, Failure> {
    let scores: Vec<Vec<f64>> = videos.iter().map(|video| video.combined(weights)).collect();
    let labelled: Vec<LabelledVideo<'_>> = videos
        .iter()
        .zip(&scores)
        .map(|(video, scores)| LabelledVideo {
            video: &video.name,
            scores,
            edge: &video.edge,
            labels: &video.labels,
            time_s: &video.time_s,
        })
        .collect();
    let ranking = Ranking::pooled(&labelled, Edges::Keep).map_err(EvalError::from)?;
    ranking.figures().auc.ok_or_else(|| Failure::Usage {
        what: "the validation set has frames of one class only".to_owned(),
        hint: Some(
            "training clips of seconds are too short for it: give longer ones, or --weights".to_owned(),
        ),
    })
}

impl Video {
    fn combined(&self, weights: &[f64]) -> Vec<f64> {
        let frames = 0..self.labels.len();
        let of = |frame: usize| {
            self.members.iter().zip(weights).map(|(scores, weight)| weight * scores[frame]).sum()
        };
        frames.map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(members: [&[f64]; 2], labels: &[u8]) -> Video {
        Video {
            name: "v".to_owned(),
            members: members.map(<[f64]>::to_vec).to_vec(),
            edge: vec![false; labels.len()],
            labels: labels.to_vec(),
            time_s: (0..labels.len()).map(|i| i as f64).collect(),
        }
    }

    #[test]
    fn a_member_that_knows_nothing_gets_no_weight() {
        let videos = [video([&[0.0, 0.1, 0.9, 1.0], &[9.0, 0.0, 8.0, 0.0]], &[0, 0, 1, 1])];
        let choice = best(&videos, 2).unwrap();
        assert_eq!((choice.weights, choice.auc), (vec![1.0, 0.0], 1.0));
        assert!(choice.equal_auc < 0.8, "{}", choice.equal_auc);
    }

    #[test]
    fn equal_weights_stay_where_none_are_better() {
        let videos = [video([&[0.0, 0.2, 1.0], &[0.1, 0.0, 1.0]], &[0, 0, 1])];
        assert_eq!(best(&videos, 2).unwrap().weights, [1.0, 1.0]);
        assert!(best(&[video([&[0.0], &[0.0]], &[0])], 2).is_err());
    }

    #[test]
    fn every_proportion_is_tried_once() {
        let (mut digits, mut seen) = (vec![0; 2], Vec::new());
        while advance(&mut digits, 2) {
            seen.push((digits.clone(), common_divisor(&digits)));
        }
        assert_eq!(seen.len(), 8);
        let tried: Vec<_> = seen.into_iter().filter(|(_, d)| *d == 1).map(|(digits, _)| digits).collect();
        assert_eq!(tried, [[1, 0], [0, 1], [1, 1], [2, 1], [1, 2]].map(|d| d.to_vec()));
    }
}
