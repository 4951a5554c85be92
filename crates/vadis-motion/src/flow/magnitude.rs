//! How much moves: scores from the length of a flow's vectors.

use super::FlowField;
use crate::{IntegralImage, MotionError, Patch};

/// Side of the patch and of the picture's shorter side that it was chosen for: 32×32 at 360×240.
const PATCH: (usize, usize) = (32, 240);

/// How much moves between two pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowMotion {
    /// Mean |(u, v)| over the picture, in pixels a frame.
    pub mean: f64,
    /// The patch in which most moves; its mean is in pixels a frame.
    pub worst: Patch,
}

/// The side of the worst patch for a picture of this size: 32 pixels at 360×240, in proportion to the shorter side.
pub fn flow_patch(width: usize, height: usize) -> usize {
    let (patch, side) = PATCH;
    ((width.min(height) as f64 * patch as f64 / side as f64).round() as usize).max(1)
}

impl FlowField {
    /// |(u, v)| of each pixel, `[height, width]`, in pixels a frame.
    pub fn magnitude(&self) -> Vec<f32> {
        self.u.iter().zip(&self.v).map(|(&u, &v)| (u * u + v * v).sqrt()).collect()
    }

    /// Mean magnitude of the picture and of its worst `patch`×`patch` square ([`flow_patch`] gives the usual side).
    ///
    /// # Errors
    /// [`MotionError::NoPatch`] if `patch` is 0; [`MotionError::NoPixels`], [`MotionError::WrongLength`] or
    /// [`MotionError::NotFinite`] for a field that contradicts itself or is not finite.
    pub fn motion(&self, patch: usize) -> Result<FlowMotion, MotionError> {
        crate::integral::check_length(self.width, self.height, 1, self.v.len())?;
        let integral = IntegralImage::new(self.width, self.height, &self.magnitude())?;
        Ok(FlowMotion { mean: integral.mean(), worst: integral.worst_patch(patch)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Still, but for a square of 4×4 at (5, 3) that moves by (3, 4).
    fn field() -> FlowField {
        let inside = |i: usize| (5..9).contains(&(i % 20)) && (3..7).contains(&(i / 20));
        let plane = |speed: f32| (0..240).map(|i| if inside(i) { speed } else { 0.0 }).collect();
        FlowField { width: 20, height: 12, u: plane(3.0), v: plane(4.0) }
    }

    #[test]
    fn the_worst_patch_lies_on_what_moves() {
        let motion = field().motion(4).unwrap();
        assert_eq!(motion.worst, Patch { x: 5, y: 3, width: 4, height: 4, mean: 5.0 });
        assert_eq!(motion.mean, 5.0 * 16.0 / 240.0);
    }

    #[test]
    fn the_patch_grows_with_the_picture() {
        assert_eq!(
            [(360, 240), (240, 160), (120, 240), (1, 1)].map(|(w, h)| flow_patch(w, h)),
            [32, 21, 16, 1]
        );
    }

    #[test]
    fn fields_that_contradict_themselves_are_errors() {
        let mut short = field();
        short.v.pop();
        assert!(matches!(short.motion(4), Err(MotionError::WrongLength { .. })));
        let mut endless = field();
        endless.u[21] = f32::INFINITY;
        assert_eq!(endless.motion(4), Err(MotionError::NotFinite { x: 1, y: 1 }));
        assert_eq!(field().motion(0), Err(MotionError::NoPatch));
    }
}
