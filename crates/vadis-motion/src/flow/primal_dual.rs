//! One iteration of TV-L1's primal-dual scheme over a row: the loops that the time goes into.

use super::rows::{Row, RowMut};
use crate::simd::{LANES, greater, lanes, lesser, multiply_add};

/// Planes of the linearised data term: ∂x and ∂y of the warped second picture, the constant part of ρ, and 1/|∇I₁|².
pub(super) const TERMS: usize = 4;
/// Planes of the state: u₁, u₂ and the dual variables p₁₁, p₁₂, p₂₁, p₂₂.
pub(super) const STATE: usize = 6;
/// Planes of the flow itself, the first of the state.
pub(super) const FLOW: usize = 2;

/// A vector of one plane.
type Lanes = [f32; LANES];

/// The constants of an iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants {
    /// θ.
    pub(super) theta: f32,
    /// λθ: the longest step of the thresholding operator.
    pub(super) bound: f32,
    /// τ/θ: the step of the dual variables.
    pub(super) step: f32,
}

/// Updates the flow in row `here`, then the dual variables of the row above, which waited for it.
///
/// Returns Σ (u₁ᵏ⁺¹ − u₁ᵏ)² + (u₂ᵏ⁺¹ − u₂ᵏ)² over the row's `width` pixels. `DUAL` is false for the first row of a
/// band, above which nothing waits. The flow's forward difference across the right edge is 0 only if the caller
/// has repeated the last column of the row above ([`repeat_last_column`]).
#[inline(always)]
pub(super) fn update_row<const FMA: bool, const DUAL: bool>(
    constants: Constants,
    width: usize,
    terms: Row<'_>,
    above: RowMut<'_>,
    here: RowMut<'_>,
) -> f64 {
    let count = width.div_ceil(LANES);
    let (flow, dual) = here.split(FLOW);
    let (above_flow, above_dual) = above.split(FLOW);
    let (dual, above_flow) = (dual.freeze(), above_flow.freeze());
    let [wx, wy, rho, inverse] = terms.all_vectors::<TERMS>(0, count);
    let [p11, p12, p21, p22] = dual.all_vectors::<4>(0, count);
    let (p11_left, p21_left) = (dual.vectors(0, -1, count), dual.vectors(2, -1, count));
    let [above_u1, above_u2] = above_flow.all_vectors::<FLOW>(0, count);
    let [right_u1, right_u2] = above_flow.all_vectors::<FLOW>(1, count);
    let [u1, u2] = flow.all_vectors_mut::<FLOW>(count);
    let [q11, q12, q21, q22] = above_dual.all_vectors_mut::<4>(count);

    let last = mask(width - (count - 1) * LANES);
    let mut error = [0.0; LANES];
    for i in 0..count {
        let (old_1, old_2) = (u1[i], u2[i]);
        let gain = threshold::<FMA>(constants, &wx[i], &wy[i], &rho[i], &inverse[i], &old_1, &old_2);
        let divergence = divergence(&p11[i], &p11_left[i], &p12[i], &q12[i]);
        let new_1 = primal::<FMA>(constants.theta, &old_1, &gain, &wx[i], &divergence);
        let divergence = self::divergence(&p21[i], &p21_left[i], &p22[i], &q22[i]);
        let new_2 = primal::<FMA>(constants.theta, &old_2, &gain, &wy[i], &divergence);
        let counted = if i + 1 == count { last } else { [1.0; LANES] };
        error = add_squares::<FMA>(&error, &counted, &minus(&new_1, &old_1), &minus(&new_2, &old_2));
        (u1[i], u2[i]) = (new_1, new_2);
        if DUAL {
            let (x, y) = (minus(&right_u1[i], &above_u1[i]), minus(&new_1, &above_u1[i]));
            (q11[i], q12[i]) = ascend::<FMA>(constants.step, &q11[i], &q12[i], &x, &y);
            let (x, y) = (minus(&right_u2[i], &above_u2[i]), minus(&new_2, &above_u2[i]));
            (q21[i], q22[i]) = ascend::<FMA>(constants.step, &q21[i], &q22[i], &x, &y);
        }
    }
    error.iter().map(|&e| f64::from(e)).sum()
}

/// Updates the dual variables of the picture's last row, below which the flow repeats.
#[inline(always)]
pub(super) fn update_last_row<const FMA: bool>(constants: Constants, width: usize, row: RowMut<'_>) {
    let count = width.div_ceil(LANES);
    let (flow, dual) = row.split(FLOW);
    let flow = flow.freeze();
    let [u1, u2] = flow.all_vectors::<FLOW>(0, count);
    let [right_u1, right_u2] = flow.all_vectors::<FLOW>(1, count);
    let [p11, p12, p21, p22] = dual.all_vectors_mut::<4>(count);
    let below = [0.0; LANES];
    for i in 0..count {
        let x = minus(&right_u1[i], &u1[i]);
        (p11[i], p12[i]) = ascend::<FMA>(constants.step, &p11[i], &p12[i], &x, &below);
        let x = minus(&right_u2[i], &u2[i]);
        (p21[i], p22[i]) = ascend::<FMA>(constants.step, &p21[i], &p22[i], &x, &below);
    }
}

/// Repeats the flow's last column in the pad.
#[inline(always)]
pub(super) fn repeat_last_column(width: usize, mut row: RowMut<'_>) {
    for plane in 0..FLOW {
        let values = row.plane_mut(plane);
        values[width] = values[width - 1];
    }
}

/// The factor of ∇I₁ in v − u, the thresholding operator (Zach et al., Eq. 15, Proposition 3): −ρ/|∇I₁|²,
/// no further than λθ.
#[inline(always)]
fn threshold<const FMA: bool>(
    constants: Constants,
    wx: &Lanes,
    wy: &Lanes,
    rho: &Lanes,
    inverse: &Lanes,
    u1: &Lanes,
    u2: &Lanes,
) -> Lanes {
    lanes(|l| {
        let along = multiply_add::<FMA>(wy[l], u2[l], rho[l]);
        let residual = multiply_add::<FMA>(wx[l], u1[l], along);
        greater(lesser(-residual * inverse[l], constants.bound), -constants.bound)
    })
}

/// div p by backward differences.
#[inline(always)]
fn divergence(px: &Lanes, px_left: &Lanes, py: &Lanes, py_above: &Lanes) -> Lanes {
    lanes(|l| (px[l] - px_left[l]) + (py[l] - py_above[l]))
}

/// u = v + θ div p (Eq. 13) with v = u + gain · ∇I₁.
#[inline(always)]
fn primal<const FMA: bool>(theta: f32, u: &Lanes, gain: &Lanes, w: &Lanes, divergence: &Lanes) -> Lanes {
    lanes(|l| multiply_add::<FMA>(theta, divergence[l], multiply_add::<FMA>(gain[l], w[l], u[l])))
}

/// p = (p + τ/θ ∇u) / (1 + τ/θ |∇u|) (Eq. 14, in the form that needs no projection).
#[inline(always)]
fn ascend<const FMA: bool>(step: f32, px: &Lanes, py: &Lanes, x: &Lanes, y: &Lanes) -> (Lanes, Lanes) {
    let shrink: Lanes = lanes(|l| {
        let square = multiply_add::<FMA>(x[l], x[l], y[l] * y[l]);
        1.0 / multiply_add::<FMA>(step, square.sqrt(), 1.0)
    });
    (
        lanes(|l| multiply_add::<FMA>(step, x[l], px[l]) * shrink[l]),
        lanes(|l| multiply_add::<FMA>(step, y[l], py[l]) * shrink[l]),
    )
}

#[inline(always)]
fn add_squares<const FMA: bool>(sum: &Lanes, counted: &Lanes, a: &Lanes, b: &Lanes) -> Lanes {
    lanes(|l| {
        let square = multiply_add::<FMA>(a[l], a[l], b[l] * b[l]);
        multiply_add::<FMA>(square, counted[l], sum[l])
    })
}

#[inline(always)]
fn minus(a: &Lanes, b: &Lanes) -> Lanes {
    lanes(|l| a[l] - b[l])
}

/// 1 in the first `count` lanes, 0 in the others.
#[inline(always)]
fn mask(count: usize) -> Lanes {
    lanes(|l| f32::from(u8::from(l < count)))
}
