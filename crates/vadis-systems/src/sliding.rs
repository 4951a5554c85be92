//! Scoring by a window that slides over a video: what every clip-based system shares.
//!
//! A frame's columns and heat are the mean over the clips that hold it. Clips begin at multiples of the stride from
//! the video's first frame; a last one ends at its last frame, so that every frame is held. A frame is told as soon
//! as the last clip that holds it is judged, at most `length − 1` frames later, whatever the stride: nothing about it
//! depends on what comes after, or on how frames are split over calls.

use std::collections::VecDeque;

use vadis_video::Frame;

use crate::clips::put_frame;
use crate::store::check_format;
use crate::{InputFormat, Scored, Scorer, SystemError};

/// How a window slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sliding {
    /// Frames of a clip.
    pub(crate) length: usize,
    /// Frames between the beginnings of clips, at most `length`.
    pub(crate) stride: usize,
}

/// What one clip says of one of its frames.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// One for each column; none where the clip says nothing of this frame (a path that skips it).
    pub(crate) columns: Vec<Option<f64>>,
    /// `height * width`.
    pub(crate) heat: Vec<f32>,
}

/// A model that judges clips.
pub(crate) trait ClipJudge {
    /// What it reads.
    fn format(&self) -> InputFormat;
    /// How its window slides.
    fn sliding(&self) -> Sliding;
    /// Columns that it judges a frame by.
    fn columns(&self) -> usize;
    /// A frame as `[channels, height, width]` for the network.
    fn planes(&self, frame: &[u8]) -> Vec<f32>;
    /// Judges the frames of one clip `[channels, length, height, width]`.
    ///
    /// # Errors
    /// If the network does not take the clip.
    fn judge(&self, clip: &[f32]) -> Result<Vec<Judged>, SystemError>;
    /// The score and the indicators, from a frame's columns.
    fn tell(&self, columns: Vec<f64>) -> (f64, Vec<f64>);
}

/// A [`Scorer`] of one video for a model that judges clips.
pub(crate) struct SlidingScorer<'a, J> {
    judge: &'a J,
    /// The last frames, as many as a clip, as the network sees them.
    recent: VecDeque<Vec<f32>>,
    /// Frames not told yet.
    pending: VecDeque<Sum>,
    /// Frames taken.
    taken: usize,
    /// First frame of the next clip; the frames before it are told.
    next: usize,
    /// For each column how many frames ago a clip last said something of the frame, and what.
    said: Vec<Option<(usize, f64)>>,
}

/// A frame with what the clips so far said of it.
struct Sum {
    frame: u64,
    time_s: f64,
    columns: Vec<(f64, u32)>,
    heat: Vec<f32>,
    clips: u32,
}

impl<'a, J: ClipJudge> SlidingScorer<'a, J> {
    pub(crate) fn new(judge: &'a J) -> Self {
        let said = vec![None; judge.columns()];
        Self { judge, recent: VecDeque::new(), pending: VecDeque::new(), taken: 0, next: 0, said }
    }

    fn take(&mut self, frame: &Frame, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let format = self.judge.format();
        check_format(frame, format)?;
        let Sliding { length, stride } = self.judge.sliding();
        if self.recent.len() == length {
            self.recent.pop_front();
        }
        self.recent.push_back(self.judge.planes(&frame.data));
        self.pending.push_back(Sum {
            frame: frame.index,
            time_s: frame.time_s,
            columns: vec![(0.0, 0); self.judge.columns()],
            heat: vec![0.0; format.width * format.height],
            clips: 0,
        });
        self.taken += 1;
        if self.taken == self.next + length {
            self.judge_recent()?;
            self.next += stride;
            self.tell(stride, false, out);
        }
        Ok(())
    }

    /// Judges the clip that ends at the frame taken last.
    fn judge_recent(&mut self) -> Result<(), SystemError> {
        let Sliding { length, .. } = self.judge.sliding();
        let size = self.recent.front().map_or(0, Vec::len);
        let channels = self.judge.format().colour.channels();
        let mut clip = vec![0.0; length * size];
        for t in 0..length {
            // A video shorter than a clip stands still after its last frame.
            let frame = &self.recent[t.min(self.recent.len() - 1)];
            put_frame(&mut clip, t, frame, [channels, length]);
        }
        let judged = self.judge.judge(&clip)?;
        // The last clip of a video also holds frames that are told already.
        let told = self.recent.len() - self.pending.len();
        self.pending.iter_mut().zip(&judged[told..]).for_each(|(sum, judged)| sum.add(judged));
        Ok(())
    }

    /// Tells the first `count` pending frames.
    fn tell(&mut self, count: usize, edge: bool, out: &mut Vec<Scored>) {
        for _ in 0..count {
            let columns: Vec<f64> = (0..self.said.len()).map(|column| self.nearest(column)).collect();
            let Some(sum) = self.pending.pop_front() else { break };
            for (said, column) in self.said.iter_mut().zip(0..) {
                *said = match (sum.mean(column), *said) {
                    (Some(value), _) => Some((1, value)),
                    (None, said) => said.map(|(ago, value)| (ago + 1, value)),
                };
            }
            let (score, indicators) = self.judge.tell(columns);
            out.push(sum.told(score, edge, indicators));
        }
    }

    /// A column of the first pending frame: the mean over its clips, else that of the nearest frame with one.
    fn nearest(&self, column: usize) -> f64 {
        let ahead = self.pending.iter().enumerate().find_map(|(away, sum)| Some((away, sum.mean(column)?)));
        match (ahead, self.said[column]) {
            (Some((away, value)), Some((ago, _))) if away < ago => value,
            (_, Some((_, value))) | (Some((_, value)), None) => value,
            (None, None) => 0.0,
        }
    }
}

impl Sum {
    fn add(&mut self, judged: &Judged) {
        self.clips += 1;
        for ((sum, count), value) in self.columns.iter_mut().zip(&judged.columns) {
            if let Some(value) = value {
                *sum += value;
                *count += 1;
            }
        }
        self.heat.iter_mut().zip(&judged.heat).for_each(|(sum, heat)| *sum += heat);
    }

    fn mean(&self, column: usize) -> Option<f64> {
        let (sum, count) = self.columns[column];
        (count > 0).then(|| sum / f64::from(count))
    }

    fn told(mut self, score: f64, edge: bool, indicators: Vec<f64>) -> Scored {
        let clips = self.clips.max(1) as f32;
        self.heat.iter_mut().for_each(|heat| *heat /= clips);
        let Self { frame, time_s, heat, .. } = self;
        // All that a score looks at lies within the declared delay.
        Scored { frame, time_s, score, causal: score, edge, indicators, heat }
    }
}

impl<J: ClipJudge> Scorer for SlidingScorer<'_, J> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        frames.iter().try_for_each(|frame| self.take(frame, out))
    }

    /// The last clip ends at the last frame. In a video shorter than a clip every frame is an edge.
    fn finish(&mut self, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let Sliding { length, stride } = self.judge.sliding();
        let waiting = self.pending.len();
        // Where the last clip judged ended at the last frame, it held all that wait.
        let ended_here = self.next > 0 && waiting + stride == length;
        if waiting > 0 && !ended_here {
            self.judge_recent()?;
        }
        self.tell(waiting, self.taken < length, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vadis_video::Colour;

    use super::*;

    /// Says of each frame its grey value, and of each fourth frame of a clip which one it is in the clip.
    struct Echo(Sliding);

    impl ClipJudge for Echo {
        fn format(&self) -> InputFormat {
            InputFormat { width: 1, height: 1, colour: Colour::Grey }
        }

        fn sliding(&self) -> Sliding {
            self.0
        }

        fn columns(&self) -> usize {
            2
        }

        fn planes(&self, frame: &[u8]) -> Vec<f32> {
            frame.iter().map(|&v| f32::from(v)).collect()
        }

        fn judge(&self, clip: &[f32]) -> Result<Vec<Judged>, SystemError> {
            let judged = |(t, &v): (usize, &f32)| Judged {
                columns: vec![Some(f64::from(v)), (t % 4 == 0).then_some(t as f64)],
                heat: vec![v],
            };
            Ok(clip.iter().enumerate().map(judged).collect())
        }

        fn tell(&self, columns: Vec<f64>) -> (f64, Vec<f64>) {
            (columns[0], columns)
        }
    }

    fn video(frames: usize) -> Vec<Frame> {
        let frame = |i| Frame { index: i as u64, ..Frame::filled(1, 1, Colour::Grey, (7 * i % 251) as u8) };
        (0..frames).map(frame).collect()
    }

    fn scored(length: usize, stride: usize, frames: usize, split: usize) -> Vec<Scored> {
        let echo = Echo(Sliding { length, stride });
        let mut scorer = SlidingScorer::new(&echo);
        let mut out = Vec::new();
        video(frames).chunks(split).for_each(|part| scorer.push(part, &mut out).unwrap());
        scorer.finish(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn every_frame_is_told_once_within_the_delay(
            length in 1usize..20, part in 0.0f64..1.0, frames in 0usize..60, split in 1usize..70,
        ) {
            let stride = 1 + (part * (length - 1) as f64) as usize;
            let whole = scored(length, stride, frames, 1000);
            prop_assert_eq!(&whole, &scored(length, stride, frames, split));
            prop_assert_eq!(whole.len(), frames);
            for (i, s) in whole.iter().enumerate() {
                prop_assert_eq!((s.frame, s.edge), (i as u64, frames < length));
                prop_assert!((s.score - (7 * i % 251) as f64).abs() < 1e-9 && s.heat[0] as f64 == s.score);
            }
            let echo = Echo(Sliding { length, stride });
            let (mut scorer, mut out) = (SlidingScorer::new(&echo), Vec::new());
            for (i, frame) in video(frames).iter().enumerate() {
                scorer.push(std::slice::from_ref(frame), &mut out).unwrap();
                prop_assert!(out.len() + length > i + 1, "frame {} waits for more than the delay", out.len());
            }
        }
    }

    #[test]
    fn what_no_clip_said_is_the_nearest_frames() {
        let taps: Vec<f64> = scored(8, 8, 10, 3).iter().map(|s| s.indicators[1]).collect();
        // Clips 0..8 and 2..10; the second judges only the frames 8 and 9, its sixth and seventh.
        assert_eq!(taps, [0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]);
        assert!(scored(8, 4, 0, 3).is_empty());
        assert!(scored(8, 4, 5, 3).iter().all(|s| s.edge));
    }
}
