//! Scoring by a window that slides by one frame and judges the frame in its middle: what `ae3d` and all that come from
//! it share.
//!
//! The first and the last frames are in the middle of no window: they take the nearest judged frame's values and are
//! told to be edges. The first ones wait for the first whole window; from then on a frame is told as soon as its own
//! window is whole. In a video shorter than a window, which stands still after its last frame, every frame is an edge.

use std::collections::VecDeque;

use vadis_nn::networks::Sliding;
use vadis_video::Frame;

use crate::store::check_format;
use crate::{InputFormat, Scored, Scorer, SystemError};

/// What a window says of the frame in its middle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// By the system's formula.
    pub(crate) score: f64,
    /// As many as the model's indicators.
    pub(crate) indicators: Vec<f64>,
    /// `height * width`.
    pub(crate) heat: Vec<f32>,
}

/// What watches a video through windows.
pub(crate) trait Watch {
    /// What it reads.
    fn format(&self) -> InputFormat;
    /// Takes the next frame; gives the next verdict once its window is whole.
    ///
    /// # Errors
    /// If the network does not take the frame.
    fn push(&mut self, frame: &Frame) -> Result<Option<Verdict>, SystemError>;
    /// The video is over: a verdict that waited for that.
    ///
    /// # Errors
    /// As [`Watch::push`].
    fn end(&mut self) -> Result<Option<Verdict>, SystemError> {
        Ok(None)
    }
}

/// A [`Scorer`] of one video for what judges the frame in the middle of a window.
pub(crate) struct CentreScorer<W> {
    watch: W,
    /// Frames before the first judged one.
    before: usize,
    /// Frames of a window.
    length: usize,
    /// Frames not told yet.
    pending: VecDeque<(u64, f64)>,
    /// The last frame taken.
    newest: Option<Frame>,
    taken: usize,
    /// The last verdict.
    last: Option<Verdict>,
}

impl<W: Watch> CentreScorer<W> {
    /// For windows of `length` frames, of which frame `before` is judged.
    pub(crate) fn new(watch: W, length: usize, before: usize) -> Self {
        Self { watch, before, length, pending: VecDeque::new(), newest: None, taken: 0, last: None }
    }

    fn judged(&mut self, verdict: Verdict, out: &mut Vec<Scored>) {
        let edges = if self.last.is_none() { self.before } else { 0 };
        for (frame, time_s) in self.pending.drain(..edges) {
            out.push(told(frame, time_s, &verdict, true));
        }
        if let Some((frame, time_s)) = self.pending.pop_front() {
            out.push(told(frame, time_s, &verdict, false));
        }
        self.last = Some(verdict);
    }

    /// What the only frames of a short video look like.
    fn of_short(&mut self) -> Result<Option<Verdict>, SystemError> {
        let Some(newest) = self.newest.clone() else { return Ok(None) };
        for _ in self.taken..self.length {
            if let Some(verdict) = self.watch.push(&newest)? {
                return Ok(Some(verdict));
            }
        }
        self.watch.end()
    }
}

fn told(frame: u64, time_s: f64, verdict: &Verdict, edge: bool) -> Scored {
    let Verdict { score, indicators, heat } = verdict.clone();
    // All that a score looks at lies within the declared delay.
    Scored { frame, time_s, score, causal: score, edge, indicators, heat }
}

impl<W: Watch> Scorer for CentreScorer<W> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        for frame in frames {
            check_format(frame, self.watch.format())?;
            self.pending.push_back((frame.index, frame.time_s));
            self.taken += 1;
            if let Some(verdict) = self.watch.push(frame)? {
                self.judged(verdict, out);
            }
        }
        if let Some(frame) = frames.last().filter(|_| self.taken < self.length) {
            self.newest = Some(frame.clone());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        if self.taken >= self.length {
            if let Some(verdict) = self.watch.end()? {
                self.judged(verdict, out);
            }
        } else {
            self.last = self.of_short()?;
        }
        let Some(verdict) = &self.last else { return Ok(()) };
        out.extend(self.pending.drain(..).map(|(frame, time_s)| told(frame, time_s, verdict, true)));
        Ok(())
    }
}

/// A network that slides over a stream, and the picture in the middle of its window.
#[derive(Debug)]
pub(crate) struct Window {
    network: Sliding,
    /// The pictures from the one in the middle on.
    recent: VecDeque<Vec<f32>>,
    kept: usize,
}

impl Window {
    /// `network`, which gives frame `wanted` of a window.
    pub(crate) fn new(network: Sliding, wanted: usize) -> Self {
        let kept = network.length() - wanted;
        Self { network, recent: VecDeque::new(), kept }
    }

    /// Takes the next picture `[channels, height, width]`; gives the one in the middle and as it is rebuilt.
    ///
    /// # Errors
    /// If the network does not take the picture.
    pub(crate) fn push(&mut self, picture: Vec<f32>) -> Result<Option<[Vec<f32>; 2]>, SystemError> {
        let rebuilt = self.network.push(&picture)?;
        if self.recent.len() == self.kept {
            self.recent.pop_front();
        }
        self.recent.push_back(picture);
        Ok(rebuilt.zip(self.recent.front().cloned()).map(|(rebuilt, middle)| [middle, rebuilt]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vadis_video::Colour;

    use super::*;

    /// Says of the frame in the middle its grey value.
    struct Echo {
        recent: VecDeque<u8>,
        length: usize,
        before: usize,
    }

    impl Watch for Echo {
        fn format(&self) -> InputFormat {
            InputFormat { width: 1, height: 1, colour: Colour::Grey }
        }

        fn push(&mut self, frame: &Frame) -> Result<Option<Verdict>, SystemError> {
            if self.recent.len() == self.length {
                self.recent.pop_front();
            }
            self.recent.push_back(frame.data[0]);
            let middle = self.recent[self.before.min(self.recent.len() - 1)];
            let verdict =
                Verdict { score: f64::from(middle), indicators: Vec::new(), heat: vec![f32::from(middle)] };
            Ok((self.recent.len() == self.length).then_some(verdict))
        }
    }

    fn scored(length: usize, before: usize, frames: usize, split: usize) -> Vec<Scored> {
        let mut scorer = CentreScorer::new(Echo { recent: VecDeque::new(), length, before }, length, before);
        let mut out = Vec::new();
        let frame = |i| Frame { index: i as u64, ..Frame::filled(1, 1, Colour::Grey, (7 * i % 251) as u8) };
        let video: Vec<Frame> = (0..frames).map(frame).collect();
        for part in video.chunks(split) {
            scorer.push(part, &mut out).unwrap();
            let seen = part.last().map_or(0, |frame| frame.index as usize + 1);
            assert!(seen < length || out.len() == seen + before + 1 - length, "told as soon as it can be");
        }
        scorer.finish(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn every_frame_is_told_once_and_edges_are_the_nearest(
            length in 1usize..20, part in 0.0f64..1.0, frames in 0usize..60, split in 1usize..70,
        ) {
            let before = (part * length as f64) as usize;
            let whole = scored(length, before, frames, 1000);
            prop_assert_eq!(&whole, &scored(length, before, frames, split));
            prop_assert_eq!(whole.len(), frames);
            for (i, s) in whole.iter().enumerate() {
                let judged = before..(frames + before + 1).saturating_sub(length).max(before);
                prop_assert_eq!((s.frame, s.edge), (i as u64, !judged.contains(&i)));
                if frames >= length {
                    let nearest = i.clamp(judged.start, judged.end - 1);
                    prop_assert_eq!(s.score, (7 * nearest % 251) as f64);
                }
            }
        }
    }
}
