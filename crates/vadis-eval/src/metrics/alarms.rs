//! What finding most abnormal frames costs an operator: alarms at a threshold that labels picked, so an upper bound on
//! what a threshold picked without them can reach.

use super::{Edges, LabelledVideo};
use crate::operations::duration_s;

/// Share of the abnormal frames that are to be flagged, in tenths.
const TENTHS_FOUND: usize = 9;
/// Flagged frames no further apart than this are one alarm, in seconds: what events are joined by.
const MERGE_S: f64 = 3.0;

/// False alarms in an hour of footage at the highest threshold that flags 90 % of the abnormal frames; none without abnormal
/// frames, or without footage.
///
/// An alarm is a run of flagged frames of one video, gaps of up to 3 s closed; it is false where fewer than half of its
/// flagged frames are abnormal. Videos of one frame have no duration and count no time.
pub fn false_alarms_at_90_recall(videos: &[LabelledVideo<'_>], edges: Edges) -> Option<f64> {
    let threshold = threshold(videos, edges)?;
    let hours = videos.iter().map(|video| duration_s(video.time_s)).sum::<f64>() / 3600.0;
    let alarms: usize = videos.iter().map(|video| false_alarms(video, edges, threshold)).sum();
    (hours > 0.0).then(|| alarms as f64 / hours)
}

/// The score that nine of ten abnormal frames reach.
fn threshold(videos: &[LabelledVideo<'_>], edges: Edges) -> Option<f64> {
    let abnormal = |(_, score, label)| (label != 0).then_some(score);
    let mut scores: Vec<f64> =
        videos.iter().flat_map(|video| video.counted(edges).filter_map(abnormal)).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    // In whole frames, because .9 is no binary fraction.
    let found = (scores.len() * TENTHS_FOUND).div_ceil(10);
    scores.get(found.checked_sub(1)?).copied()
}

fn false_alarms(video: &LabelledVideo<'_>, edges: Edges, threshold: f64) -> usize {
    let flagged: Vec<(usize, u8)> = video
        .counted(edges)
        .filter(|(_, score, _)| *score >= threshold)
        .map(|(frame, _, label)| (frame, label))
        .collect();
    let near = |a: &(usize, u8), b: &(usize, u8)| video.time_s[b.0] - video.time_s[a.0] <= MERGE_S;
    let is_false =
        |alarm: &&[(usize, u8)]| 2 * alarm.iter().filter(|(_, label)| *label != 0).count() < alarm.len();
    flagged.chunk_by(near).filter(is_false).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame a second.
    fn alarms(scores: &[f64], labels: &[u8]) -> Option<f64> {
        let time_s: Vec<f64> = (0..scores.len()).map(|frame| frame as f64).collect();
        let edge = vec![false; scores.len()];
        let video = LabelledVideo { video: "a", scores, edge: &edge, labels, time_s: &time_s };
        false_alarms_at_90_recall(&[video], Edges::Keep)
    }

    #[test]
    fn alarms_are_joined_and_judged() {
        let (mut scores, mut labels) = ([0.0; 60], [0; 60]);
        labels[10..20].fill(1);
        scores[10..19].fill(2.0);
        // The tenth abnormal frame may be missed; two alarms of normal frames, the second with a gap of 3 s.
        for frame in [30, 40, 43] {
            scores[frame] = 3.0;
        }
        assert!((alarms(&scores, &labels).unwrap() - 2.0 * 60.0).abs() < 1e-9);
        // A gap of 4 s makes two of it.
        (scores[43], scores[44]) = (0.0, 3.0);
        assert!((alarms(&scores, &labels).unwrap() - 3.0 * 60.0).abs() < 1e-9);
        // Half abnormal is no false alarm.
        scores[20..29].fill(2.0);
        assert!((alarms(&scores, &labels).unwrap() - 3.0 * 60.0).abs() < 1e-9);
        scores[29] = 2.0;
        assert!((alarms(&scores, &labels).unwrap() - 3.0 * 60.0).abs() < 1e-9, "one with the alarm at 30 s");
        assert_eq!(alarms(&scores, &[0; 60]), None);
        assert_eq!(alarms(&[1.0], &[1]), None, "no time");
    }

    proptest! {
        #[test]
        fn a_rising_function_of_the_scores_changes_nothing(
            frames in proptest::collection::vec((0u8..6, 0u8..2), 2..60),
        ) {
            let labels: Vec<u8> = frames.iter().map(|f| f.1).collect();
            let scores: Vec<f64> = frames.iter().map(|f| f64::from(f.0)).collect();
            let risen: Vec<f64> = scores.iter().map(|s| s.exp() - 7.0).collect();
            prop_assert_eq!(alarms(&scores, &labels), alarms(&risen, &labels));
        }
    }
}
