//! The second picture and its gradient, warped by the flow: TV-L1's linearised data term.

use rayon::prelude::*;

use super::primal_dual::TERMS;
use super::rows::{Row, RowMut, Rows};
use crate::simd::{LANES, Vectorised, greater, lanes, lesser, multiply_add, vectorised};

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

    /// The picture and its gradient under one pixel's taps.
    #[inline(always)]
    fn sample<const FMA: bool>(&self, columns: &Taps, lines: &Taps, l: usize) -> Texel {
        let mut sum = [0.0_f32; 16];
        for tap in 0..4 {
            let line = lines.first[l] as usize + tap;
            let texels = self.texels[line * self.stride() + columns.first[l] as usize..][..4].as_flattened();
            for i in 0..16 {
                sum[i] = multiply_add::<FMA>(lines.weights[tap][l], texels[i], sum[i]);
            }
        }
        let mut texel = [0.0; 4];
        for tap in 0..4 {
            for i in 0..4 {
                texel[i] = multiply_add::<FMA>(columns.weights[tap][l], sum[4 * tap + i], texel[i]);
            }
        }
        texel
    }
}

/// The first of the four samples along one axis, in the padded picture, and their weights; for a vector of pixels.
struct Taps {
    first: [i32; LANES],
    weights: [[f32; LANES]; 4],
}

impl Taps {
    /// Taps around the positions `at`, among `len` samples.
    #[inline(always)]
    fn new(at: [f32; LANES], len: usize) -> Self {
        // Further out all samples are zeros, whatever their weights.
        let base: [f32; LANES] = lanes(|l| greater(lesser(at[l].floor(), len as f32 + 1.0), -3.0));
        let t: [f32; LANES] = lanes(|l| greater(lesser(at[l] - base[l], 1.0), 0.0));
        let weights = [lanes(|l| far(t[l] + 1.0)), lanes(|l| near(t[l])), lanes(|l| near(1.0 - t[l]))];
        let [first, second, third] = weights;
        let fourth = lanes(|l| 1.0 - first[l] - second[l] - third[l]);
        let mut start = [0; LANES];
        for (start, base) in start.iter_mut().zip(base) {
            *start = base as i32 + (MARGIN as i32 - 1);
        }
        Self { first: start, weights: [first, second, third, fourth] }
    }
}

/// The kernel at a distance of up to 1.
#[inline(always)]
fn near(d: f32) -> f32 {
    ((SLOPE + 2.0) * d - (SLOPE + 3.0)) * d * d + 1.0
}

/// The kernel at a distance from 1 to 2.
#[inline(always)]
fn far(d: f32) -> f32 {
    ((SLOPE * d - 5.0 * SLOPE) * d + 8.0 * SLOPE) * d - 4.0 * SLOPE
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
    let (first, u1, u2) = (first.plane(0), flow.plane(0), flow.plane(1));
    for start in (0..width).step_by(LANES) {
        // Planes are padded to whole vectors.
        let columns = Taps::new(lanes(|l| (start + l) as f32 + u1[start..][..LANES][l]), width);
        let lines = Taps::new(lanes(|l| y as f32 + u2[start..][..LANES][l]), target.height);
        for l in 0..LANES.min(width - start) {
            let [level, dx, dy, _] = target.sample::<FMA>(&columns, &lines, l);
            (wx[start + l], wy[start + l], rho[start + l]) = (dx, dy, level);
        }
    }
    let (first, u1, u2) = (&first[..width], &u1[..width], &u2[..width]);
    for x in 0..width {
        let along = multiply_add::<FMA>(wx[x], u1[x], wy[x] * u2[x]);
        rho[x] = rho[x] - along - first[x];
        // Where the gradient is 0 the factor meets it in a product: any finite number will do.
        let square = multiply_add::<FMA>(wx[x], wx[x], wy[x] * wy[x]);
        inverse[x] = 1.0 / greater(square, f32::MIN_POSITIVE);
    }
}
