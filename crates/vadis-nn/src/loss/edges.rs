//! The gradient loss of one plane: how far the absolute differences of neighbouring pixels are from the
//! target's.

use crate::simd::{LANES, Vectorised, lane_sum, vectorised};

/// Pixels worked on at once.
const RUN: usize = 64 * LANES;

/// Σ | |∂I| − |∂Î| | along x and along y over a plane of rows of `width` pixels; `scale`, for x and for y,
/// times the derivative is added to `gradient`.
pub(super) fn edges(
    x: &[f32],
    target: &[f32],
    width: usize,
    gradient: Option<&mut [f32]>,
    scale: [f32; 2],
) -> [f64; 2] {
    vectorised(Edges { x, target, width, gradient, scale })
}

struct Edges<'a> {
    x: &'a [f32],
    target: &'a [f32],
    width: usize,
    gradient: Option<&'a mut [f32]>,
    scale: [f32; 2],
}

impl Vectorised for Edges<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FMA: bool>(mut self) -> [f64; 2] {
        let (len, width) = (self.x.len(), self.width);
        let mut along_x = 0.0;
        for row in (0..len).step_by(width) {
            along_x += self.differences([row, row + width - 1], 1, self.scale[0]);
        }
        [along_x, self.differences([0, len - width], width, self.scale[1])]
    }
}

impl Edges<'_> {
    /// The sum over pixels `from..to`, each against the one `step` further.
    #[inline(always)]
    fn differences(&mut self, [from, to]: [usize; 2], step: usize, scale: f32) -> f64 {
        let mut sum = 0.0;
        for first in (from..to).step_by(RUN) {
            let len = RUN.min(to - first);
            let [x, x_next] = [first, first + step].map(|i| &self.x[i..][..len]);
            let [t, t_next] = [first, first + step].map(|i| &self.target[i..][..len]);
            let (mut gap, mut slope) = ([0.0f32; RUN], [0.0f32; RUN]);
            for i in 0..len {
                let dx = x_next[i] - x[i];
                let difference = dx.abs() - (t_next[i] - t[i]).abs();
                gap[i] = difference.abs();
                slope[i] = scale * (sign(difference) * sign(dx));
            }
            sum += lane_sum(&gap);
            if let Some(gradient) = &mut self.gradient {
                gradient[first + step..][..len].iter_mut().zip(&slope).for_each(|(g, s)| *g += s);
                gradient[first..][..len].iter_mut().zip(&slope).for_each(|(g, s)| *g -= s);
            }
        }
        sum
    }
}

/// −1, 0 or 1, as PyTorch's `sign` has it: the derivative of |v|.
#[inline(always)]
fn sign(v: f32) -> f32 {
    f32::from(v > 0.0) - f32::from(v < 0.0)
}
