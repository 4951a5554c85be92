//! The transforms of Winograd's minimal filtering F(m×m, 3×3), sixteen channels at a time.
//!
//! With interpolation points x₀ … and ∞, along one axis (Lavin and Gray, arXiv:1509.09308, eq. 5):
//!
//! y = Aᵀ [ (G g) ⊙ (Bᵀ d) ],
//!
//! where column i of Aᵀ is (1, xᵢ, xᵢ², …), row i of G is (1, xᵢ, xᵢ²) / Nᵢ with Nᵢ = Π (xᵢ − xⱼ), and
//! row i of Bᵀ holds the coefficients of Π (x − xⱼ) over j ≠ i; the last column and rows belong to ∞.
//! The paper's points for F(4×4) are 0, ±1, ±2. Ours are 0, ±5/8, ±3/2: their powers spread less, which
//! makes the largest error a quarter, and all entries of Aᵀ and Bᵀ are exact in 32 bits.
#![allow(unsafe_code)]

use crate::vector::Vector;

/// A linear map of `N` values of one axis to `M`; the sizes tell F(2×2) and F(4×4) apart.
///
/// # Safety
/// `apply` may be called where the instruction set of `V` is enabled.
pub(super) trait Axis<const N: usize, const M: usize> {
    unsafe fn apply<V: Vector>(values: [V; N]) -> [V; M];
}

/// Bᵀ d.
pub(super) struct Input;
/// Aᵀ m.
pub(super) struct Output;
/// A y.
pub(super) struct OutputTransposed;
/// G g.
pub(super) struct Weight;
/// Gᵀ w.
pub(super) struct WeightTransposed;

/// A map applied to both axes of a tile `[y][x]`; `store` is called with each result and its index
/// y · `M` + x.
///
/// # Safety
/// As [`Axis::apply`].
#[inline(always)]
pub(super) unsafe fn both_axes<A: Axis<N, M>, V: Vector, const N: usize, const M: usize>(
    tile: &[[V; N]; N],
    mut store: impl FnMut(usize, V),
) {
    // SAFETY: the caller's.
    unsafe {
        let mut half = [[V::splat(0.0); M]; N];
        for (half, &row) in half.iter_mut().zip(tile) {
            *half = A::apply(row);
        }
        for x in 0..M {
            let mut column = [V::splat(0.0); N];
            for (value, half) in column.iter_mut().zip(&half) {
                *value = half[x];
            }
            for (y, value) in A::apply(column).into_iter().enumerate() {
                store(y * M + x, value);
            }
        }
    }
}

const P: f32 = 0.625;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;

/// N of the points 0, ±P and ±Q of F(4×4).
const N0: f32 = P2 * Q2;
const NP: f32 = 2.0 * P2 * (P2 - Q2);
const NQ: f32 = 2.0 * Q2 * (Q2 - P2);

impl Axis<4, 4> for Input {
    #[inline(always)]
    unsafe fn apply<V: Vector>([d0, d1, d2, d3]: [V; 4]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe { [d2.sub(d0), d2.add(d1), d2.sub(d1), d3.sub(d1)] }
    }
}

impl Axis<4, 2> for Output {
    #[inline(always)]
    unsafe fn apply<V: Vector>([m0, m1, m2, m3]: [V; 4]) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe { [m0.add(m1.add(m2)), m1.sub(m2).add(m3)] }
    }
}

impl Axis<2, 4> for OutputTransposed {
    #[inline(always)]
    unsafe fn apply<V: Vector>([y0, y1]: [V; 2]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe { [y0, y0.add(y1), y0.sub(y1), y1] }
    }
}

impl Axis<3, 4> for Weight {
    #[inline(always)]
    unsafe fn apply<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe {
            let half = V::splat(0.5);
            let even = g0.add(g2).mul(half);
            let odd = g1.mul(half);
            [V::splat(0.0).sub(g0), even.add(odd), even.sub(odd), g2]
        }
    }
}

impl Axis<4, 3> for WeightTransposed {
    #[inline(always)]
    unsafe fn apply<V: Vector>([w0, w1, w2, w3]: [V; 4]) -> [V; 3] {
        // SAFETY: the caller's.
        unsafe {
            let half = V::splat(0.5);
            let even = w1.add(w2).mul(half);
            let odd = w1.sub(w2).mul(half);
            [even.sub(w0), odd, even.add(w3)]
        }
    }
}

impl Axis<6, 6> for Input {
    #[inline(always)]
    unsafe fn apply<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let even_p = d4.fma(V::splat(-Q2), d2);
            let odd_p = d3.fma(V::splat(-Q2), d1);
            let even_q = d4.fma(V::splat(-P2), d2);
            let odd_q = d3.fma(V::splat(-P2), d1);
            [
                // (x² − p²)(x² − q²), and the same times x at ∞.
                even_p.fma(V::splat(-P2), d2.fma(V::splat(-Q2), d0)),
                even_p.fma(V::splat(P), odd_p),
                even_p.fma(V::splat(-P), odd_p),
                even_q.fma(V::splat(Q), odd_q),
                even_q.fma(V::splat(-Q), odd_q),
                d5.fma(V::splat(-Q2), d3).fma(V::splat(-P2), odd_p),
            ]
        }
    }
}

impl Axis<6, 4> for Output {
    #[inline(always)]
    unsafe fn apply<V: Vector>([m0, m1, m2, m3, m4, m5]: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe {
            let [even_p, odd_p] = [m1.add(m2), m1.sub(m2)];
            let [even_q, odd_q] = [m3.add(m4), m3.sub(m4)];
            [
                m0.add(even_p).add(even_q),
                odd_p.mul(V::splat(P)).fma(V::splat(Q), odd_q),
                even_p.mul(V::splat(P2)).fma(V::splat(Q2), even_q),
                m5.fma(V::splat(P * P2), odd_p).fma(V::splat(Q * Q2), odd_q),
            ]
        }
    }
}

impl Axis<4, 6> for OutputTransposed {
    #[inline(always)]
    unsafe fn apply<V: Vector>([y0, y1, y2, y3]: [V; 4]) -> [V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let even_p = y0.fma(V::splat(P2), y2);
            let odd_p = y1.fma(V::splat(P2), y3);
            let even_q = y0.fma(V::splat(Q2), y2);
            let odd_q = y1.fma(V::splat(Q2), y3);
            [
                y0,
                even_p.fma(V::splat(P), odd_p),
                even_p.fma(V::splat(-P), odd_p),
                even_q.fma(V::splat(Q), odd_q),
                even_q.fma(V::splat(-Q), odd_q),
                y3,
            ]
        }
    }
}

impl Axis<3, 6> for Weight {
    #[inline(always)]
    unsafe fn apply<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let even_p = g0.fma(V::splat(P2), g2);
            let even_q = g0.fma(V::splat(Q2), g2);
            let [scale_p, scale_q] = [V::splat(1.0 / NP), V::splat(1.0 / NQ)];
            let [p, q] = [V::splat(P), V::splat(Q)];
            [
                g0.mul(V::splat(1.0 / N0)),
                even_p.fma(p, g1).mul(scale_p),
                even_p.sub(g1.mul(p)).mul(scale_p),
                even_q.fma(q, g1).mul(scale_q),
                even_q.sub(g1.mul(q)).mul(scale_q),
                g2,
            ]
        }
    }
}

impl Axis<6, 3> for WeightTransposed {
    #[inline(always)]
    unsafe fn apply<V: Vector>([w0, w1, w2, w3, w4, w5]: [V; 6]) -> [V; 3] {
        // SAFETY: the caller's.
        unsafe {
            let [scale_p, scale_q] = [V::splat(1.0 / NP), V::splat(1.0 / NQ)];
            let even_p = w1.add(w2).mul(scale_p);
            let even_q = w3.add(w4).mul(scale_q);
            let odd_p = w1.sub(w2).mul(scale_p);
            let odd_q = w3.sub(w4).mul(scale_q);
            [
                even_p.add(even_q).fma(V::splat(1.0 / N0), w0),
                odd_p.mul(V::splat(P)).fma(V::splat(Q), odd_q),
                w5.fma(V::splat(P2), even_p).fma(V::splat(Q2), even_q),
            ]
        }
    }
}
