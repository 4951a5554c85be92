//! Masks, and what fills them: how normal footage is made to show something that does not belong there.
//!
//! A mask is drawn at random ([`MaskGenerator`]), or is an object's or the user's; an [`Inpaint`] fills it. It lies here,
//! beside anomaly insertion, as all but the learnt ways work on plain bytes; a way with a network implements the same
//! trait elsewhere.

mod diffuse;
mod exemplar;
mod masks;
mod patch_match;
mod poisson;

use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::{Frame, Mask};

pub use diffuse::DiffuseFill;
pub use exemplar::ExemplarFill;
pub use masks::{MaskGenerator, MaskKind, clip_of_masks, dilated, read_masks};

/// Why a hole could not be filled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InpaintError {
    /// Frames and masks differ in number, size or colour.
    #[error("{got} cannot be filled by what expects {expected}")]
    Shape {
        /// What was given.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// There is nothing to fill from.
    #[error("there is no footage to fill from: it needs {needed} consecutive frames")]
    NoFootage {
        /// Frames of a clip.
        needed: usize,
    },
    /// A network behind it failed.
    #[error("{0}")]
    Network(String),
}

/// Fills what masks cut out of a clip.
pub trait Inpaint: Send + Sync {
    /// Its name among the settings.
    fn name(&self) -> &'static str;

    /// `frames` with the pixels that `holes` set filled; all others are as they were. One hole a frame. All that is
    /// random is drawn from `rng`, so that the same `rng` gives the same bytes.
    ///
    /// # Errors
    /// [`InpaintError::Shape`] unless frames and holes are as many and of one size, and whatever keeps the way from
    /// filling.
    fn fill(
        &self,
        frames: &[Frame],
        holes: &[Mask],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Frame>, InpaintError>;
}

/// # Errors
/// [`InpaintError::Shape`] unless there is a hole for each frame, and all have one size.
fn check(frames: &[Frame], holes: &[Mask]) -> Result<(), InpaintError> {
    if frames.len() != holes.len() {
        let (got, expected) = (format!("{} frames", frames.len()), format!("{} of them", holes.len()));
        return Err(InpaintError::Shape { got, expected });
    }
    let Some(first) = frames.first() else { return Ok(()) };
    for (frame, hole) in frames.iter().zip(holes) {
        let pixels = first.width * first.height;
        let fits = (frame.width, frame.height, frame.colour) == (first.width, first.height, first.colour)
            && frame.data.len() == pixels * first.colour.channels()
            && (hole.width, hole.height, hole.data.len()) == (first.width, first.height, pixels);
        if !fits {
            return Err(InpaintError::Shape {
                got: format!(
                    "a frame of {}×{} with a hole of {}×{}",
                    frame.width, frame.height, hole.width, hole.height
                ),
                expected: format!("{}×{}", first.width, first.height),
            });
        }
    }
    Ok(())
}

/// A channel of a frame as numbers.
fn channel(frame: &Frame, c: usize) -> Vec<f32> {
    frame.data[c..].iter().step_by(frame.colour.channels()).map(|&v| f32::from(v)).collect()
}

/// Writes numbers back where the hole is.
fn put_channel(frame: &mut Frame, c: usize, values: &[f32], hole: &Mask) {
    let channels = frame.colour.channels();
    for ((old, &value), _) in
        frame.data[c..].iter_mut().step_by(channels).zip(values).zip(&hole.data).filter(|(_, set)| **set != 0)
    {
        *old = value.round().clamp(0.0, 255.0) as u8;
    }
}
