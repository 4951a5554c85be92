//! Scoring frame by frame with a memory of a few frames: what the motion systems share.
//!
//! A video's first frame has nothing before it, and with some systems its last has nothing after it: such edge frames
//! take the nearest frame's values and are flagged, unless the system has a value of its own for them.

use std::collections::VecDeque;

use vadis_video::Frame;

use crate::patches::cells;
use crate::store::check_format;
use crate::{Explanation, InputFormat, Model, Scored, Scorer, SystemError};

/// What a system says of one frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) score: f64,
    pub(crate) indicators: Vec<f64>,
    /// `height * width`, ≥ 0.
    pub(crate) heat: Vec<f32>,
    /// True where something was missing.
    pub(crate) edge: bool,
}

/// A model that judges a frame by those around it.
pub(crate) trait FrameJudge: Sync {
    /// What it remembers of the frames so far.
    type Memory: Send;

    /// What it reads.
    fn format(&self) -> InputFormat;
    /// Columns beside the score.
    fn columns(&self) -> usize;
    /// Frames that must follow a frame before it is judged.
    fn lag(&self) -> usize;
    /// The memory before a video's first frame.
    ///
    /// # Errors
    /// If it cannot be made.
    fn memory(&self) -> Result<Self::Memory, SystemError>;
    /// Takes the next frame; judges the one [`Self::lag`] frames before it, if that can be judged.
    ///
    /// # Errors
    /// If the frame cannot be looked at.
    fn see(&self, memory: &mut Self::Memory, frame: &Frame) -> Result<Option<Told>, SystemError>;
    /// Judges the video's last frames, at most [`Self::lag`], once they are known to be that, if they can be judged.
    ///
    /// # Errors
    /// If a frame cannot be looked at.
    fn finish(&self, _memory: &mut Self::Memory) -> Result<Vec<Told>, SystemError> {
        Ok(Vec::new())
    }
}

/// A [`Scorer`] of one video.
pub(crate) struct StreamScorer<'a, J: FrameJudge> {
    judge: &'a J,
    memory: Option<J::Memory>,
    /// Index and time of the frames not told yet.
    waiting: VecDeque<(u64, f64)>,
    last: Option<Told>,
}

impl<'a, J: FrameJudge> StreamScorer<'a, J> {
    pub(crate) fn new(judge: &'a J) -> Self {
        Self { judge, memory: None, waiting: VecDeque::new(), last: None }
    }

    /// Tells the first waiting frame.
    fn tell(&mut self, told: Told, out: &mut Vec<Scored>) {
        let Some((frame, time_s)) = self.waiting.pop_front() else { return };
        let Told { score, indicators, heat, edge } = told;
        // All that a score looks at lies within the declared delay.
        out.push(Scored { frame, time_s, score, causal: score, edge, indicators, heat });
    }

    fn take(&mut self, frame: &Frame, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        check_format(frame, self.judge.format())?;
        let memory = match &mut self.memory {
            Some(memory) => memory,
            none => none.insert(self.judge.memory()?),
        };
        let told = self.judge.see(memory, frame)?;
        self.waiting.push_back((frame.index, frame.time_s));
        let Some(told) = told else { return Ok(()) };
        while self.waiting.len() > self.judge.lag() + 1 {
            self.tell(Told { edge: true, ..told.clone() }, out);
        }
        self.last = Some(told.clone());
        self.tell(told, out);
        Ok(())
    }

    /// What is said of frames in which nothing can be seen to move.
    fn nothing(&self) -> Told {
        let InputFormat { width, height, .. } = self.judge.format();
        let indicators = vec![0.0; self.judge.columns()];
        Told { score: 0.0, indicators, heat: vec![0.0; width * height], edge: true }
    }
}

impl<J: FrameJudge> Scorer for StreamScorer<'_, J> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        frames.iter().try_for_each(|frame| self.take(frame, out))
    }

    fn finish(&mut self, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let last = match &mut self.memory {
            Some(memory) => self.judge.finish(memory)?,
            None => Vec::new(),
        };
        let nearest = self.last.clone().or_else(|| last.first().cloned()).unwrap_or_else(|| self.nothing());
        while self.waiting.len() > last.len() {
            self.tell(Told { edge: true, ..nearest.clone() }, out);
        }
        last.into_iter().for_each(|told| self.tell(told, out));
        Ok(())
    }
}

/// An [`Explanation`] without a reconstruction: the latent is the last frame's heat on a grid of 8×8 cells, by which
/// events of one kind and place are alike.
///
/// # Errors
/// [`SystemError::TooFewFrames`] for no frame, [`SystemError::Shape`] for one of another format.
pub(crate) fn explain_by_heat<J: FrameJudge + Model>(
    judge: &J,
    frames: &[Frame],
) -> Result<Explanation, SystemError> {
    let mut scorer = StreamScorer::new(judge);
    let mut scored = Vec::new();
    scorer.push(frames, &mut scored)?;
    scorer.finish(&mut scored)?;
    let InputFormat { width, height, .. } = judge.input();
    match scored.last() {
        Some(last) => Ok(Explanation { latent: cells(&last.heat, width, height), ..Explanation::default() }),
        None => Err(SystemError::TooFewFrames { got: 0, needed: 1, system: judge.system() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vadis_video::Colour;

    use super::*;

    /// Says of a frame the grey value of the frame before it and of the one `lag` frames after it.
    struct Echo {
        lag: usize,
        ends: bool,
    }

    impl Echo {
        fn told(value: u8) -> Told {
            Told { score: f64::from(value), indicators: vec![], heat: vec![f32::from(value)], edge: false }
        }
    }

    impl FrameJudge for Echo {
        type Memory = Vec<u8>;

        fn format(&self) -> InputFormat {
            InputFormat { width: 1, height: 1, colour: Colour::Grey }
        }

        fn columns(&self) -> usize {
            0
        }

        fn lag(&self) -> usize {
            self.lag
        }

        fn memory(&self) -> Result<Vec<u8>, SystemError> {
            Ok(Vec::new())
        }

        fn see(&self, memory: &mut Vec<u8>, frame: &Frame) -> Result<Option<Told>, SystemError> {
            memory.push(frame.data[0]);
            let centre = memory.len().checked_sub(self.lag + 1).filter(|centre| *centre > 0);
            Ok(centre.map(|centre| Self::told(memory[centre])))
        }

        fn finish(&self, memory: &mut Vec<u8>) -> Result<Vec<Told>, SystemError> {
            Ok(memory.last().filter(|_| self.ends).map(|&value| Self::told(value)).into_iter().collect())
        }
    }

    proptest! {
        #[test]
        fn every_frame_is_told_once_and_edges_take_the_nearest_value(
            lag in 0usize..4, frames in 0usize..12, split in 1usize..13, ends: bool,
        ) {
            let video: Vec<Frame> = (0..frames)
                .map(|i| Frame { index: i as u64, ..Frame::filled(1, 1, Colour::Grey, i as u8) })
                .collect();
            let echo = Echo { lag, ends };
            let (mut scorer, mut out) = (StreamScorer::new(&echo), Vec::new());
            video.chunks(split).for_each(|part| scorer.push(part, &mut out).unwrap());
            scorer.finish(&mut out).unwrap();
            prop_assert!(out.iter().map(|s| s.frame).eq(0..frames as u64));
            let judged = |i: usize| (i > 0 && i + lag < frames) || (ends && i + 1 == frames);
            for (i, s) in out.iter().enumerate() {
                prop_assert_eq!(s.edge, !judged(i));
                if judged(i) {
                    prop_assert_eq!(s.score, i as f64);
                } else if let Some(nearest) = (0..frames).filter(|&j| j > 0 && j + lag < frames).min_by_key(|j| j.abs_diff(i)) {
                    prop_assert_eq!(s.score, nearest as f64);
                }
            }
        }
    }
}
