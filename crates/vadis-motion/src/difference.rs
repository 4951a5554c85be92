//! Frame differencing: how much the picture changes from one frame to another, without any model.

use std::borrow::Cow;

use vadis_video::{Colour, Frame};

use crate::integral::check_length;
use crate::{IntegralImage, MotionError, Patch};

/// Grey level that stands for 1 in every score.
const WHITE: f64 = 255.0;

/// Which two frames are compared to score frame *t*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Span {
    /// |Iₜ − Iₜ₋₁|: the first frame of a video has no score; no delay.
    #[default]
    Backward,
    /// |Iₜ₋₁ − Iₜ₊₁|, the motion gradient of Ristea et al. (CVPR 2024): the first and the last frame have no
    /// score; one frame of delay.
    Symmetric,
}

impl Span {
    /// Frames that must arrive after a frame before it can be scored.
    pub fn delay(self) -> usize {
        match self {
            Self::Backward => 0,
            Self::Symmetric => 1,
        }
    }
}

/// Settings of [`FrameDiff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameDiffConfig {
    /// Frames compared.
    pub span: Span,
    /// Side in pixels of the patch whose mean is the worst-patch score; at least 1.
    pub patch: usize,
}

impl Default for FrameDiffConfig {
    /// Consecutive frames and patches of 16×16.
    fn default() -> Self {
        Self { span: Span::Backward, patch: 16 }
    }
}

/// What changed around one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameMotion {
    /// Absolute difference in grey levels, with the scored frame's index and time: the heat map.
    pub difference: Frame,
    /// Mean absolute difference over the frame, in [0, 1].
    pub mean: f64,
    /// The patch that changed most; its mean absolute difference is in [0, 1].
    pub worst: Patch,
}

/// Scores a video by frame differencing as its frames arrive; one scorer for each video.
///
/// Holds two frames at most. Every figure is a sum of integers divided once, so the same frames give the same
/// bits however they arrive.
#[derive(Debug, Clone)]
pub struct FrameDiff {
    config: FrameDiffConfig,
    /// Iₜ₋₁, grey.
    before: Option<Frame>,
    /// Iₜ, grey, while Iₜ₊₁ is awaited; used by [`Span::Symmetric`] only.
    centre: Option<Frame>,
}

impl FrameDiff {
    /// A scorer that has not seen a frame.
    ///
    /// # Errors
    /// [`MotionError::NoPatch`] if the patch's side is 0.
    pub fn new(config: FrameDiffConfig) -> Result<Self, MotionError> {
        if config.patch == 0 {
            return Err(MotionError::NoPatch);
        }
        Ok(Self { config, before: None, centre: None })
    }

    /// Frames between a frame's arrival and its score.
    pub fn delay(&self) -> usize {
        self.config.span.delay()
    }

    /// Takes the next frame and returns the score that this completes: of this frame with
    /// [`Span::Backward`], of the one before it with [`Span::Symmetric`]. `None` while there are too few frames.
    ///
    /// Colour is reduced to luma first. Frames at a video's ends that cannot be scored are left to the caller,
    /// who knows where the video ends.
    ///
    /// # Errors
    /// [`MotionError::SizeChanged`] if the frame's size differs from the frames before it, and
    /// [`MotionError::WrongLength`] or [`MotionError::NoPixels`] for a frame that contradicts itself. The
    /// scorer is then as it was before the call.
    pub fn push(&mut self, frame: &Frame) -> Result<Option<FrameMotion>, MotionError> {
        let next = grey(frame)?.into_owned();
        match self.config.span {
            Span::Backward => self.push_backward(next),
            Span::Symmetric => self.push_symmetric(next),
        }
    }

    fn push_backward(&mut self, next: Frame) -> Result<Option<FrameMotion>, MotionError> {
        let motion = match &self.before {
            Some(before) => Some(self.compare(before, &next, &next)?),
            None => None,
        };
        self.before = Some(next);
        Ok(motion)
    }

    fn push_symmetric(&mut self, next: Frame) -> Result<Option<FrameMotion>, MotionError> {
        if let Some(centre) = &self.centre {
            same_size(centre, &next)?;
        }
        let motion = match (&self.before, &self.centre) {
            (Some(before), Some(centre)) => Some(self.compare(before, &next, centre)?),
            _ => None,
        };
        self.before = self.centre.replace(next);
        Ok(motion)
    }

    /// The motion between `before` and `after`, as the score of `scored`.
    fn compare(&self, before: &Frame, after: &Frame, scored: &Frame) -> Result<FrameMotion, MotionError> {
        let mut difference = frame_difference(before, after)?;
        (difference.index, difference.time_s) = (scored.index, scored.time_s);
        let integral = IntegralImage::new(difference.width, difference.height, &difference.data)?;
        let worst = integral.worst_patch(self.config.patch)?;
        Ok(FrameMotion {
            difference,
            mean: integral.mean() / WHITE,
            worst: Patch { mean: worst.mean / WHITE, ..worst },
        })
    }
}

/// |a − b| in grey levels, with the index and time of `b`; colour is reduced to luma first.
///
/// Exact: the difference of two bytes is a byte. Symmetric in its pixels. As OpenCV's `absdiff`.
///
/// # Errors
/// [`MotionError::SizeChanged`] if the sizes differ; [`MotionError::WrongLength`] or
/// [`MotionError::NoPixels`] for a frame that contradicts itself.
pub fn frame_difference(a: &Frame, b: &Frame) -> Result<Frame, MotionError> {
    let (a, b) = (grey(a)?, grey(b)?);
    same_size(&a, &b)?;
    let data = a.data.iter().zip(&b.data).map(|(&a, &b)| a.abs_diff(b)).collect();
    Ok(Frame {
        index: b.index,
        time_s: b.time_s,
        width: b.width,
        height: b.height,
        colour: Colour::Grey,
        data,
    })
}

/// Mean grey level of a frame, in [0, 1]; colour is reduced to luma first.
///
/// # Errors
/// [`MotionError::WrongLength`] or [`MotionError::NoPixels`] for a frame that contradicts itself.
pub fn mean_level(frame: &Frame) -> Result<f64, MotionError> {
    let grey = grey(frame)?;
    let sum: u64 = grey.data.iter().map(|&v| u64::from(v)).sum();
    Ok(sum as f64 / grey.data.len() as f64 / WHITE)
}

pub(crate) fn grey(frame: &Frame) -> Result<Cow<'_, Frame>, MotionError> {
    check_length(frame.width, frame.height, frame.colour.channels(), frame.data.len())?;
    Ok(match frame.colour {
        Colour::Grey => Cow::Borrowed(frame),
        Colour::Rgb => Cow::Owned(frame.to_grey()),
    })
}

pub(crate) fn same_size(expected: &Frame, frame: &Frame) -> Result<(), MotionError> {
    if (frame.width, frame.height) == (expected.width, expected.height) {
        return Ok(());
    }
    Err(MotionError::SizeChanged {
        index: frame.index,
        width: frame.width,
        height: frame.height,
        expected_width: expected.width,
        expected_height: expected.height,
    })
}
