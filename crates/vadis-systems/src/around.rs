//! Means over the frames around each: noise of the measurement goes, what moves steadily stays.

use std::collections::VecDeque;

/// What is measured of the last frames of a video, as it comes.
pub(crate) struct Around {
    /// Frames on either side that count.
    side: usize,
    recent: VecDeque<Vec<f32>>,
    seen: usize,
}

impl Around {
    /// Before a video's first frame; with 0 each frame counts alone.
    pub(crate) fn new(side: usize) -> Self {
        Self { side, recent: VecDeque::new(), seen: 0 }
    }

    /// Forgets the frames so far: another video begins.
    pub(crate) fn clear(&mut self) {
        self.recent.clear();
        self.seen = 0;
    }

    /// Takes the next frame's values: the mean around the frame [`Self::new`]'s `side` before it, once there is one. A
    /// video's first frames have fewer around them.
    pub(crate) fn push(&mut self, values: Vec<f32>) -> Option<Vec<f32>> {
        self.recent.push_back(values);
        self.seen += 1;
        if self.recent.len() > 2 * self.side + 1 {
            self.recent.pop_front();
        }
        (self.seen > self.side).then(|| self.mean_from(0))
    }

    /// The means around a video's last frames, which have fewer after them: those that were not told yet.
    pub(crate) fn finish(&mut self) -> Vec<Vec<f32>> {
        let untold = self.side.min(self.seen);
        let gone = self.seen - self.recent.len();
        let centres = self.seen - untold..self.seen;
        centres.map(|centre| self.mean_from(centre.saturating_sub(self.side).max(gone) - gone)).collect()
    }

    fn mean_from(&self, first: usize) -> Vec<f32> {
        let mut frames = self.recent.iter().skip(first);
        let mut sum = frames.next().cloned().unwrap_or_default();
        frames.for_each(|frame| sum.iter_mut().zip(frame).for_each(|(sum, value)| *sum += value));
        let count = (self.recent.len() - first) as f32;
        sum.iter_mut().for_each(|sum| *sum /= count);
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_frame_has_the_mean_of_those_around_it(values in prop::collection::vec(-9i16..9, 0..14), side in 0usize..5) {
            let mut around = Around::new(side);
            let mut got: Vec<f32> =
                values.iter().filter_map(|&v| around.push(vec![f32::from(v)])).map(|mean| mean[0]).collect();
            prop_assert_eq!(got.len(), values.len().saturating_sub(side), "told as soon as what follows is there");
            got.extend(around.finish().iter().map(|mean| mean[0]));
            prop_assert_eq!(got.len(), values.len());
            for (i, got) in got.iter().enumerate() {
                let near = &values[i.saturating_sub(side)..(i + side + 1).min(values.len())];
                let wanted = near.iter().map(|&v| f32::from(v)).sum::<f32>() / near.len() as f32;
                prop_assert!((got - wanted).abs() < 1e-5, "{} against {}", got, wanted);
            }
        }
    }
}
