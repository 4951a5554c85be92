//! Multi-scale structural similarity of one plane, and its derivative.
//!
//! Wang, Simoncelli & Bovik (2003), in the form of PyPI's `pytorch-msssim`: an 11×11 Gaussian of σ 1.5
//! without padding, 2×2 average pooling (an odd side is padded by a row of zeros before it), K 0.01 and 0.03.
//!
//! Everything is computed from s = x + y and d = x − y. With S, D, E_s, E_d the blurred s, d, s², d²,
//! σ_s = E_s − S² and σ_d = E_d − D²:
//!
//! ```text
//! luminance            l = (2μxμy + C1) / (μx² + μy² + C1) = 1 − D² / ((S² + D²)/2 + C1)
//! contrast, structure  c = (2σxy + C2) / (σx² + σy² + C2)  = 1 − σ_d / ((σ_s + σ_d)/2 + C2)
//! ```
//!
//! That is four blurs instead of five, three in the backward pass, and no cancellation where x ≈ y.

use crate::simd::{LANES, Vectorised, multiply_add, total, vectorised};

/// Taps of the Gaussian.
pub(super) const TAPS: usize = 11;
/// Its σ in pixels.
const SIGMA: f64 = 1.5;
/// Exponents of the scales, finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Below this a scale's mean enters the derivative as if it were this (ours). The power's slope grows
/// without bound towards 0, and below 0 there is none: a frame with nothing in common yet would either
/// get no pull or all of it.
pub(super) const FLOOR: f64 = 0.01;
/// Zeros before a row, so that the adjoint of the blur has what to read.
const MARGIN: usize = LANES;

/// What does not depend on the pixels.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    pub(super) window: [f32; TAPS],
    pub(super) c1: f32,
    pub(super) c2: f32,
    /// The exponents of the scales that are used.
    pub(super) weights: Vec<f64>,
}

impl Constants {
    /// For planes of that height and width whose values span `range`; `None` if a side is shorter than the
    /// window. Five scales need sides above 160 pixels; below, fewer are used and their weights
    /// renormalised (ours).
    pub(super) fn new([height, width]: [usize; 2], range: f32) -> Option<Self> {
        let side = height.min(width);
        if side < TAPS {
            return None;
        }
        let fits = |scale: &usize| side > (TAPS - 1) << scale;
        let weights = &WEIGHTS[..(0..WEIGHTS.len()).take_while(fits).count()];
        // The published five add up to 1.0001 and stay as they are.
        let sum = if weights.len() < WEIGHTS.len() { weights.iter().sum() } else { 1.0 };
        let square = |k: f64| (k * f64::from(range)).powi(2) as f32;
        Some(Self {
            window: window(),
            c1: square(0.01),
            c2: square(0.03),
            weights: weights.iter().map(|w| w / sum).collect(),
        })
    }
}

fn window() -> [f32; TAPS] {
    let centre = (TAPS / 2) as f64;
    let taps: [f64; TAPS] =
        std::array::from_fn(|i| (-(i as f64 - centre).powi(2) / (2.0 * SIGMA * SIGMA)).exp());
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
}

/// The memory that a plane needs, to be used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    levels: Vec<Level>,
    rows: Rows,
}

impl Scratch {
    pub(super) fn new([height, width]: [usize; 2], constants: &Constants) -> Self {
        let half = |side: usize, scale: usize| (0..scale).fold(side, |side, _| side.div_ceil(2));
        let scales = 0..constants.weights.len();
        let levels = scales.map(|scale| Level::new(half(height, scale), half(width, scale))).collect();
        Self { levels, rows: Rows::new(width) }
    }
}

/// One scale of the pyramid. Rows are `stride` apart, filled with zeros beyond `width`.
#[derive(Debug)]
struct Level {
    height: usize,
    width: usize,
    stride: usize,
    sum: Vec<f32>,
    difference: Vec<f32>,
    /// The derivative of this scale's own mean by x, then of the whole.
    gradient: Vec<f32>,
}

impl Level {
    fn new(height: usize, width: usize) -> Self {
        let stride = stride(width);
        let plane = || vec![0.0; height * stride];
        Self { height, width, stride, sum: plane(), difference: plane(), gradient: plane() }
    }
}

/// A row has room for the blur's reach beyond its last whole vector.
fn stride(width: usize) -> usize {
    (width + LANES).next_multiple_of(LANES)
}

/// Rows in work.
#[derive(Debug)]
struct Rows {
    /// s, d, s², d² blurred downwards.
    down: [Vec<f32>; 4],
    /// S, D, E_s, E_d.
    blurred: [Vec<f32>; 4],
    /// The last [`TAPS`] rows of the derivatives by S and D together, by E_s and by E_d.
    derivatives: [Vec<f32>; TAPS * 3],
    /// One row of them, blurred downwards.
    adjoint: [Vec<f32>; 3],
    /// One row of a plane's derivative by each of them.
    parts: [Vec<f32>; 3],
}

impl Rows {
    fn new(width: usize) -> Self {
        let row = || vec![0.0; stride(width)];
        let wide = || vec![0.0; MARGIN + stride(width) + LANES];
        Self {
            down: std::array::from_fn(|_| row()),
            blurred: std::array::from_fn(|_| row()),
            derivatives: std::array::from_fn(|_| wide()),
            adjoint: std::array::from_fn(|_| wide()),
            parts: std::array::from_fn(|_| row()),
        }
    }
}

/// The MS-SSIM of a plane; `scale` times its derivative by `x` is added to `gradient`.
pub(super) fn ms_ssim(
    x: &[f32],
    target: &[f32],
    constants: &Constants,
    scratch: &mut Scratch,
    gradient: Option<(&mut [f32], f32)>,
) -> f64 {
    vectorised(Plane { x, target, constants, scratch, gradient })
}

struct Plane<'a> {
    x: &'a [f32],
    target: &'a [f32],
    constants: &'a Constants,
    scratch: &'a mut Scratch,
    gradient: Option<(&'a mut [f32], f32)>,
}

impl Vectorised for Plane<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let Scratch { levels, rows } = self.scratch;
        load(&mut levels[0], self.x, self.target);
        let last = levels.len() - 1;
        let mut means = [0.0; WEIGHTS.len()];
        for scale in 0..levels.len() {
            if scale > 0 {
                let (fine, coarse) = levels.split_at_mut(scale);
                pool(&fine[scale - 1], &mut coarse[0]);
            }
            let pass = Pass { constants: self.constants, last: scale == last };
            let backward = self.gradient.is_some();
            means[scale] = level_mean::<FMA>(&pass, &mut levels[scale], rows, backward);
        }
        let means = &means[..levels.len()];
        if let Some((gradient, scale)) = self.gradient {
            backward(&self.constants.weights, means, levels, scale);
            add(&levels[0], gradient);
        }
        similarity(&self.constants.weights, means)
    }
}

/// Π max(mean, 0)^weight.
fn similarity(weights: &[f64], means: &[f64]) -> f64 {
    weights.iter().zip(means).map(|(&weight, &mean)| mean.max(0.0).powf(weight)).product()
}

#[inline(always)]
fn load(level: &mut Level, x: &[f32], target: &[f32]) {
    let (width, stride) = (level.width, level.stride);
    let rows = level.sum.chunks_exact_mut(stride).zip(level.difference.chunks_exact_mut(stride));
    for ((sum, difference), (x, t)) in rows.zip(x.chunks_exact(width).zip(target.chunks_exact(width))) {
        sum.iter_mut().zip(x).zip(t).for_each(|((s, &x), &t)| *s = x + t);
        difference.iter_mut().zip(x).zip(t).for_each(|((d, &x), &t)| *d = x - t);
    }
}

#[inline(always)]
fn pool(fine: &Level, coarse: &mut Level) {
    pool_plane(fine, &fine.sum, (coarse.width, coarse.stride), &mut coarse.sum);
    pool_plane(fine, &fine.difference, (coarse.width, coarse.stride), &mut coarse.difference);
}

#[inline(always)]
fn pool_plane(fine: &Level, source: &[f32], (width, stride): (usize, usize), target: &mut [f32]) {
    let [skip_y, skip_x] = [fine.height % 2, fine.width % 2];
    let row = |index: usize| &source[index * fine.stride..][..fine.width];
    for (y, target) in target.chunks_exact_mut(stride).enumerate() {
        let lower = row(2 * y + 1 - skip_y);
        // Above the first row of an odd height there are zeros.
        let upper = if 2 * y < skip_y { &lower[..0] } else { row(2 * y - skip_y) };
        let column = |x: usize| {
            let value = |row: &[f32]| row.get(x).copied().unwrap_or(0.0);
            value(upper) + value(lower)
        };
        target[0] = 0.25 * (if skip_x == 1 { 0.0 } else { column(0) } + column(1 - skip_x));
        pool_row(upper, lower, skip_x, &mut target[1..width]);
    }
}

/// The second and later pooled pixels of a row.
#[inline(always)]
fn pool_row(upper: &[f32], lower: &[f32], skip: usize, target: &mut [f32]) {
    let lower = lower[2 - skip..].chunks_exact(2);
    if upper.is_empty() {
        target.iter_mut().zip(lower).for_each(|(v, l)| *v = 0.25 * (l[0] + l[1]));
    } else {
        let upper = upper[2 - skip..].chunks_exact(2);
        let pairs = upper.zip(lower);
        target.iter_mut().zip(pairs).for_each(|(v, (u, l))| *v = 0.25 * ((u[0] + l[0]) + (u[1] + l[1])));
    }
}

/// From each scale's derivative of its own mean to the derivative of the similarity, times `scale`, in the
/// finest scale.
#[inline(always)]
fn backward(weights: &[f64], means: &[f64], levels: &mut [Level], scale: f32) {
    let floored: Vec<f64> = means.iter().map(|mean| mean.max(FLOOR)).collect();
    let whole = f64::from(scale) * similarity(weights, &floored);
    for index in (0..levels.len()).rev() {
        let factor = (whole * weights[index] / floored[index]) as f32;
        let (fine, coarse) = levels.split_at_mut(index + 1);
        let level = &mut fine[index];
        level.gradient.iter_mut().for_each(|v| *v *= factor);
        if let Some(coarse) = coarse.first() {
            unpool(coarse, level);
        }
    }
}

/// Adds the adjoint of the pooling.
#[inline(always)]
fn unpool(coarse: &Level, fine: &mut Level) {
    let [skip_y, skip_x] = [fine.height % 2, fine.width % 2];
    let width = fine.width;
    for (y, row) in fine.gradient.chunks_exact_mut(fine.stride).enumerate() {
        let source = &coarse.gradient[(y + skip_y) / 2 * coarse.stride..][..coarse.width];
        if skip_x == 1 {
            row[0] += 0.25 * source[0];
        }
        let pairs = row[skip_x..width].chunks_exact_mut(2);
        for (pair, &value) in pairs.zip(&source[skip_x..]) {
            pair[0] += 0.25 * value;
            pair[1] += 0.25 * value;
        }
    }
}

#[inline(always)]
fn add(level: &Level, gradient: &mut [f32]) {
    let rows = gradient.chunks_exact_mut(level.width).zip(level.gradient.chunks_exact(level.stride));
    for (target, source) in rows {
        target.iter_mut().zip(source).for_each(|(t, s)| *t += s);
    }
}

struct Pass<'a> {
    constants: &'a Constants,
    /// The coarsest scale has the luminance too.
    last: bool,
}

/// The mean of c, or of l · c at the last scale; its derivative by x goes to the level's gradient.
#[inline(always)]
fn level_mean<const FMA: bool>(pass: &Pass<'_>, level: &mut Level, rows: &mut Rows, backward: bool) -> f64 {
    let valid = [level.height, level.width].map(|side| side - (TAPS - 1));
    let count = (valid[0] * valid[1]) as f64;
    let window = &pass.constants.window;
    rows.derivatives.iter_mut().for_each(|row| row.fill(0.0));
    let mut sum = 0.0;
    for y in 0..valid[0] {
        blur::<FMA>(window, level, rows, y, valid[1]);
        let Rows { blurred, derivatives, .. } = rows;
        let slot = (y % TAPS) * 3;
        let [a, b, c] = &mut derivatives[slot..slot + 3] else { return f64::NAN };
        let targets = [a, b, c].map(|row| &mut row[MARGIN..]);
        let scale = (1.0 / count) as f32;
        sum += if pass.last {
            terms::<FMA, true>(pass.constants, blurred, targets, valid[1], scale)
        } else {
            terms::<FMA, false>(pass.constants, blurred, targets, valid[1], scale)
        };
        if backward {
            adjoint_row::<FMA>(window, level, rows, y);
        }
    }
    if backward {
        for y in valid[0]..level.height {
            let slot = (y % TAPS) * 3;
            rows.derivatives[slot..slot + 3].iter_mut().for_each(|row| row.fill(0.0));
            adjoint_row::<FMA>(window, level, rows, y);
        }
    }
    1.0 - sum / count
}

/// S, D, E_s and E_d of the row that begins at row `y` of the level.
#[inline(always)]
fn blur<const FMA: bool>(window: &[f32; TAPS], level: &Level, rows: &mut Rows, y: usize, valid: usize) {
    let stride = level.stride;
    let Rows { down, blurred, .. } = rows;
    let [s, d, ss, dd] = down;
    moments_down::<FMA>(window, &level.sum[y * stride..], stride, s, ss);
    moments_down::<FMA>(window, &level.difference[y * stride..], stride, d, dd);
    let wide = valid.next_multiple_of(LANES);
    for (source, target) in down.iter().zip(blurred) {
        across::<FMA>(window, source, &mut target[..wide]);
    }
}

/// The values and their squares, blurred downwards over [`TAPS`] rows of `stride` elements.
#[inline(always)]
fn moments_down<const FMA: bool>(
    window: &[f32; TAPS],
    source: &[f32],
    stride: usize,
    values: &mut [f32],
    squares: &mut [f32],
) {
    let source = &source[..TAPS * stride];
    let targets = values[..stride].chunks_exact_mut(LANES).zip(squares[..stride].chunks_exact_mut(LANES));
    for (chunk, (values, squares)) in targets.enumerate() {
        let mut sums = [[0.0; LANES]; 2];
        for (tap, row) in window.iter().zip(source.chunks_exact(stride)) {
            let Some(row) = row[chunk * LANES..].first_chunk::<LANES>() else { return };
            for lane in 0..LANES {
                let weighted = tap * row[lane];
                sums[0][lane] += weighted;
                sums[1][lane] = multiply_add::<FMA>(weighted, row[lane], sums[1][lane]);
            }
        }
        values.copy_from_slice(&sums[0]);
        squares.copy_from_slice(&sums[1]);
    }
}

/// target[i] = Σ window[k] · source[i + k]; the target's length is a multiple of [`LANES`].
#[inline(always)]
fn across<const FMA: bool>(window: &[f32; TAPS], source: &[f32], target: &mut [f32]) {
    for (chunk, target) in target.chunks_exact_mut(LANES).enumerate() {
        let Some(source) = source[chunk * LANES..].first_chunk::<{ LANES + TAPS - 1 }>() else { return };
        let mut sums = [0.0; LANES];
        for tap in 0..TAPS {
            for lane in 0..LANES {
                sums[lane] = multiply_add::<FMA>(window[tap], source[tap + lane], sums[lane]);
            }
        }
        target.copy_from_slice(&sums);
    }
}

/// Σ (1 − c) or Σ (1 − l·c) over a row of `valid` pixels, and `scale` times the derivatives of c or l·c by
/// S and D together, by E_s and by E_d.
#[inline(always)]
fn terms<const FMA: bool, const LAST: bool>(
    constants: &Constants,
    blurred: &[Vec<f32>; 4],
    derivatives: [&mut [f32]; 3],
    valid: usize,
    scale: f32,
) -> f64 {
    let [d_mean, d_ss, d_dd] = derivatives;
    let mut lanes = [0.0; LANES];
    for first in (0..valid).step_by(LANES) {
        let [Some(s), Some(d), Some(ss), Some(dd)] =
            [0, 1, 2, 3].map(|i| blurred[i][first..].first_chunk::<LANES>())
        else {
            return f64::NAN;
        };
        let mut out = [[0.0; LANES]; 4];
        for lane in 0..LANES {
            let pixel = [s[lane], d[lane], ss[lane], dd[lane]];
            let values = pixel_terms::<LAST>(constants, pixel, scale);
            (0..4).for_each(|i| out[i][lane] = values[i]);
        }
        let live = LANES.min(valid - first);
        // What lies beyond the row counts for nothing.
        out.iter_mut().for_each(|values| values[live..].fill(0.0));
        lanes.iter_mut().zip(&out[0]).for_each(|(sum, v)| *sum += v);
        d_mean[first..][..LANES].copy_from_slice(&out[1]);
        d_ss[first..][..LANES].copy_from_slice(&out[2]);
        d_dd[first..][..LANES].copy_from_slice(&out[3]);
    }
    total(&lanes)
}

/// 1 − c or 1 − l·c of a pixel, and the three derivatives.
#[inline(always)]
fn pixel_terms<const LAST: bool>(constants: &Constants, [s, d, ss, dd]: [f32; 4], scale: f32) -> [f32; 4] {
    let (var_s, var_d) = (ss - s * s, dd - d * d);
    let inverse = 1.0 / (0.5 * (var_s + var_d) + constants.c2);
    let u = var_d * inverse;
    // Derivatives of c = 1 − u by σ_s and σ_d.
    let (c_s, c_d) = (0.5 * u * inverse, (0.5 * u - 1.0) * inverse);
    if !LAST {
        return [u, scale * (-2.0 * (s * c_s + d * c_d)), scale * c_s, scale * c_d];
    }
    let inverse = 1.0 / (0.5 * (s * s + d * d) + constants.c1);
    let v = d * d * inverse;
    // Derivative of l = 1 − v by S and D, added up.
    let l_mean = (v * (s + d) - 2.0 * d) * inverse;
    let (l, c) = (1.0 - v, 1.0 - u);
    let scaled = scale * l;
    [u + v - u * v, scale * (c * l_mean) - 2.0 * scaled * (s * c_s + d * c_d), scaled * c_s, scaled * c_d]
}

/// Row `y` of the derivative by x: the adjoint of the blur of the derivatives by S, D, E_s and E_d.
#[inline(always)]
fn adjoint_row<const FMA: bool>(window: &[f32; TAPS], level: &mut Level, rows: &mut Rows, y: usize) {
    let (width, stride) = (level.width, level.stride);
    let wide = width.next_multiple_of(LANES);
    let Rows { derivatives, adjoint, parts, .. } = rows;
    for part in 0..3 {
        let source: [&[f32]; TAPS] = std::array::from_fn(|k| &*derivatives[((y + k + 1) % TAPS) * 3 + part]);
        rows_down::<FMA>(window, source, &mut adjoint[part][..MARGIN + wide + LANES]);
        across::<FMA>(window, &adjoint[part][MARGIN + 1 - TAPS..], &mut parts[part][..wide]);
    }
    let [s, d] = [&level.sum, &level.difference].map(|plane| &plane[y * stride..][..width]);
    let [mean, ss, dd] = parts;
    let (mean, ss, dd) = (&mean[..width], &ss[..width], &dd[..width]);
    let gradient = &mut level.gradient[y * stride..][..width];
    for i in 0..width {
        gradient[i] = mean[i] + 2.0 * (s[i] * ss[i] + d[i] * dd[i]);
    }
}

/// The weighted sum of [`TAPS`] rows.
#[inline(always)]
fn rows_down<const FMA: bool>(window: &[f32; TAPS], source: [&[f32]; TAPS], target: &mut [f32]) {
    let source = source.map(|row| &row[..target.len()]);
    for (chunk, target) in target.chunks_exact_mut(LANES).enumerate() {
        let mut sums = [0.0; LANES];
        for (tap, row) in window.iter().zip(&source) {
            let Some(row) = row[chunk * LANES..].first_chunk::<LANES>() else { return };
            for lane in 0..LANES {
                sums[lane] = multiply_add::<FMA>(*tap, row[lane], sums[lane]);
            }
        }
        target.copy_from_slice(&sums);
    }
}
