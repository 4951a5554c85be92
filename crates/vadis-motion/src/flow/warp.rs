//! The second picture and its gradient, warped by the flow: TV-L1's linearised data term.

use rayon::prelude::*;

use super::primal_dual::TERMS;
use super::rows::{Row, RowMut, Rows};
use crate::simd::{Vectorised, multiply_add, vectorised};

/// Zero pixels around the picture: as far as four taps can reach and still weigh only zeros.
const MARGIN: usize = 4;
/// Rows that one task warps.
const TASK_ROWS: usize = 8;
/// Keys' cubic convolution (IEEE TASSP 1981) with the slope −0.75 at its first zero, as OpenCV's `INTER_CUBIC`.
const SLOPE: f32 = -0.75;

/// A pixel's grey level, ∂x and ∂y, and a zero that makes it a whole vector.
type Texel = [f32; 4];

/// A picture with its gradient, surrounded by zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    texels: Vec<Texel>,
    width: usize,
    height: usize,
}

impl Target {
    /// Takes the picture of plane 0; the gradient is by central differences, edges repeated.
    pub(super) fn fill(&mut self, picture: &Rows, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        let stride = self.stride();
        self.texels.clear();
        self.texels.resize(stride * (height + 2 * MARGIN), [0.0; 4]);
        let inside = self.texels.chunks_exact_mut(stride).skip(MARGIN).take(height);
        for (y, texels) in inside.enumerate() {
            let here = picture.row(y).plane(0);
            let (above, below) = (picture.row(y.saturating_sub(1)), picture.row((y + 1).min(height - 1)));
            let (above, below) = (above.plane(0), below.plane(0));
            for (x, texel) in texels[MARGIN..].iter_mut().take(width).enumerate() {
                let (left, right) = (here[x.saturating_sub(1)], here[(x + 1).min(width - 1)]);
                *texel = [here[x], 0.5 * (right - left), 0.5 * (below[x] - above[x]), 0.0];
            }
        }
    }

    fn stride(&self) -> usize {
        self.width + 2 * MARGIN
    }

    /// The picture and its gradient at (`x`, `y`), 0 outside.
    #[inline(always)]
    fn sample<const FMA: bool>(&self, x: f32, y: f32) -> Texel {
        let (column, wx) = self::taps(x, self.width);
        let (line, wy) = self::taps(y, self.height);
        let wx: [f32; 16] = std::array::from_fn(|i| wx[i / 4]);
        let mut sum = [0.0_f32; 16];
        for (tap, &weight) in wy.iter().enumerate() {
            let texels = self.texels[(line + tap) * self.stride() + column..][..4].as_flattened();
            sum = std::array::from_fn(|i| multiply_add::<FMA>(weight, texels[i], sum[i]));
        }
        let sum: [f32; 16] = std::array::from_fn(|i| sum[i] * wx[i]);
        let half: [f32; 8] = std::array::from_fn(|i| sum[i] + sum[i + 8]);
        std::array::from_fn(|i| half[i] + half[i + 4])
    }
}

/// The first of the four taps around `at`, in the padded picture, and their weights.
#[inline(always)]
fn taps(at: f32, len: usize) -> (usize, [f32; 4]) {
    // The cast saturates, and turns what is not a number into 0.
    let base = (at.floor() as i32).clamp(-3, len as i32 + 1);
    let weights = cubic((at - base as f32).clamp(0.0, 1.0));
    ((base + MARGIN as i32 - 1) as usize, weights)
}

/// Weights of the samples at −1, 0, 1 and 2 for the position `t` in [0, 1].
#[inline(always)]
fn cubic(t: f32) -> [f32; 4] {
    let near = |d: f32| ((SLOPE + 2.0) * d - (SLOPE + 3.0)) * d * d + 1.0;
    let far = |d: f32| ((SLOPE * d - 5.0 * SLOPE) * d + 8.0 * SLOPE) * d - 4.0 * SLOPE;
    let (first, second, third) = (far(t + 1.0), near(t), near(1.0 - t));
    [first, second, third, 1.0 - first - second - third]
}

/// Linearises |I₁(x + u) − I₀(x)| around the flow: fills ∂x, ∂y, ρ − ∇I₁·u and 1/|∇I₁|² of each pixel.
pub(super) fn linearise(first: &Rows, target: &Target, flow: &Rows, terms: &mut Rows) {
    let mut rows: Vec<_> = terms.iter_mut().take(target.height).collect();
    rows.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, rows)| {
        vectorised(Linearise { first, target, flow, rows, start: task * TASK_ROWS });
    });
}

struct Linearise<'a, 'b> {
    first: &'a Rows,
    target: &'a Target,
    flow: &'a Rows,
    rows: &'a mut [RowMut<'b>],
    start: usize,
}

impl Vectorised for Linearise<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (y, row) in (self.start..).zip(self.rows) {
            linearise_row::<FMA>(y, self.first.row(y), self.target, self.flow.row(y), row);
        }
    }
}

#[inline(always)]
fn linearise_row<const FMA: bool>(
    y: usize,
    first: Row<'_>,
    target: &Target,
    flow: Row<'_>,
    row: &mut RowMut<'_>,
) {
    let width = target.width;
    let [wx, wy, rho, inverse] = row.planes_mut::<TERMS>();
    let (wx, wy, rho) = (&mut wx[..width], &mut wy[..width], &mut rho[..width]);
    let (first, u1, u2) = (&first.plane(0)[..width], &flow.plane(0)[..width], &flow.plane(1)[..width]);
    for x in 0..width {
        let [level, dx, dy, _] = target.sample::<FMA>(x as f32 + u1[x], y as f32 + u2[x]);
        (wx[x], wy[x], rho[x]) = (dx, dy, level);
    }
    for x in 0..width {
        let along = multiply_add::<FMA>(wx[x], u1[x], wy[x] * u2[x]);
        rho[x] = rho[x] - along - first[x];
        // Where the gradient is 0 the factor meets it in a product: any finite number will do.
        inverse[x] = 1.0 / multiply_add::<FMA>(wx[x], wx[x], wy[x] * wy[x]).max(f32::MIN_POSITIVE);
    }
}
