//! How much moves at each pixel, frame by frame.

use std::collections::VecDeque;

use vadis_motion::{Mog2, Mog2Config, Span, TvL1, frame_difference};
use vadis_video::Frame;

use super::{ForegroundConfig, MotionConfig};
use crate::SystemError;

/// Grey level that stands for 1.
const WHITE: f32 = 255.0;
/// What ignored pixels are set to before motion is looked for: they never move.
pub(crate) const STILL: u8 = 128;

/// What measures, with the frames that it remembers.
pub(crate) enum Measure {
    Difference { span: Span, recent: VecDeque<Frame> },
    Foreground { subtractor: Box<Mog2>, shadows: bool, first: bool },
    Flow { flows: Box<TvL1>, before: Option<Frame> },
}

impl Measure {
    /// `ground` is the picture that MOG2 is primed with.
    pub(super) fn new(config: &MotionConfig, ground: &Frame) -> Result<Self, SystemError> {
        Ok(match config {
            MotionConfig::Difference(config) => {
                Self::Difference { span: config.span.into(), recent: VecDeque::new() }
            }
            MotionConfig::Foreground(config) => Self::foreground(config, ground)?,
            MotionConfig::Flow(config) => {
                Self::Flow { flows: Box::new(TvL1::new(config.flow.tvl1())?), before: None }
            }
        })
    }

    fn foreground(config: &ForegroundConfig, ground: &Frame) -> Result<Self, SystemError> {
        let ForegroundConfig { history, threshold, shadows, primed, .. } = *config;
        let mut subtractor = Box::new(Mog2::new(Mog2Config { history, threshold, shadows })?);
        for _ in 0..primed {
            subtractor.push(ground)?;
        }
        Ok(Self::Foreground { subtractor, shadows, first: primed == 0 })
    }

    /// Takes the next grey frame. The map `[height, width]` is that of this frame, or with a symmetric difference of
    /// the one before it; none where there are too few frames.
    pub(super) fn push(&mut self, frame: &Frame) -> Result<Option<Vec<f32>>, SystemError> {
        match self {
            Self::Difference { span, recent } => {
                recent.push_back(frame.clone());
                if recent.len() <= span.delay() + 1 {
                    return Ok(None);
                }
                let Some(before) = recent.pop_front() else { return Ok(None) };
                let difference = frame_difference(&before, frame)?;
                Ok(Some(difference.data.iter().map(|&v| f32::from(v) / WHITE).collect()))
            }
            Self::Foreground { subtractor, shadows, first } => {
                let mask = subtractor.push(frame)?;
                if std::mem::take(first) {
                    return Ok(None);
                }
                let foreground = |v: &u8| *v == Mog2::FOREGROUND || (*v == Mog2::SHADOW && !*shadows);
                Ok(Some(mask.data.iter().map(|v| if foreground(v) { 1.0 } else { 0.0 }).collect()))
            }
            Self::Flow { flows, before } => {
                let field = before.as_ref().map(|before| flows.flow(before, frame)).transpose()?;
                *before = Some(frame.clone());
                Ok(field.map(|field| field.magnitude()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use vadis_video::Colour;

    use super::*;
    use crate::Preset;
    use crate::frames::veiled;
    use crate::motion_only::Kind;

    fn grey(t: u64) -> Frame {
        let mut frame = Frame::filled(40, 30, Colour::Grey, 90);
        for (i, v) in frame.data.iter_mut().enumerate() {
            let (x, y) = (i % 40, i / 40);
            let inside = (10 + 2 * t as usize..20 + 2 * t as usize).contains(&x) && (8..18).contains(&y);
            *v = if inside { 200 + ((x * 7 + y * 5) % 40) as u8 } else { 60 + ((x * 3 + y * 11) % 30) as u8 };
        }
        frame
    }

    fn maps(kind: Kind) -> Vec<Option<Vec<f32>>> {
        let mut config = MotionConfig::preset(kind, Preset::Cpu);
        if let MotionConfig::Foreground(config) = &mut config {
            config.primed = 50;
        }
        let mut measure = Measure::new(&config, &grey(100)).unwrap();
        (0..4).map(|t| measure.push(&grey(t)).unwrap()).collect()
    }

    #[test]
    fn a_symmetric_difference_is_that_of_the_frames_around() {
        let maps = maps(Kind::Difference);
        assert!(maps[0].is_none() && maps[1].is_none());
        let wanted = frame_difference(&grey(1), &grey(3)).unwrap();
        let got = maps[3].clone().unwrap();
        assert!(got.iter().zip(&wanted.data).all(|(g, &w)| (g * 255.0 - f32::from(w)).abs() < 1e-4));
    }

    #[test]
    fn a_primed_background_shows_what_stands_in_the_first_frame() {
        let maps = maps(Kind::Foreground);
        let first = maps[0].clone().unwrap();
        assert_eq!(first.iter().sum::<f32>(), 100.0, "the square of 10×10");
        assert_eq!((first[8 * 40 + 10], first[0]), (1.0, 0.0));
    }

    #[test]
    fn ignored_pixels_stand_still() {
        let frame = grey(0);
        let mut counts = vec![1.0; 1200];
        assert!(matches!(veiled(&frame, &counts, STILL), Cow::Borrowed(_)));
        counts[7] = 0.0;
        let veiled = veiled(&frame, &counts, STILL);
        assert_eq!((veiled.data[7], veiled.data[8]), (STILL, frame.data[8]));
    }
}
