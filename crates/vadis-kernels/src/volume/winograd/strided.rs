//! The transforms of convolutions of stride 2, and of transposed ones.
//!
//! Along an axis, the outputs of a strided convolution with kernel (w₀, w₁, w₂) are
//!
//! yᵢ = w₁ x₂ᵢ + (w₀ x₂ᵢ₋₁ + w₂ x₂ᵢ₊₁):
//!
//! one tap on the even inputs, and a convolution of two taps on the odd ones. Of a transposed one, with its
//! kernel turned round,
//!
//! y₂ᵢ = w₁ xᵢ,  y₂ᵢ₊₁ = w₀ xᵢ + w₂ xᵢ₊₁.
//!
//! For m positions i the one tap needs m products, and the two taps m + 1 by F(m, 2) with the points 0, 1, −1, B
//! and ∞ (m = 4), or 0, 1 and ∞ (m = 2), in place of 2m: on both axes (2m + 1)² for the 9m² of direct sums, .56 or .69.
//! Points are the m of the one tap, then those of F(m, 2).
#![allow(unsafe_code)]

use super::transform::{Axis, Input, Output, Weight};
use crate::vector::Vector;

/// Bᵀ d of F(m, 2).
struct PairInput;
/// Aᵀ m of F(m, 2).
struct PairOutput;
/// G g of F(m, 2).
struct PairWeight;

/// A point of F(4, 2).
const B: f32 = 0.5;

impl Axis<3, 3> for PairInput {
    #[inline(always)]
    unsafe fn apply<V: Vector>([d0, d1, d2]: [V; 3]) -> [V; 3] {
        // SAFETY: the caller's.
        unsafe { [d0.sub(d1), d1, d2.sub(d1)] }
    }
}

impl Axis<3, 2> for PairOutput {
    #[inline(always)]
    unsafe fn apply<V: Vector>([m0, m1, m2]: [V; 3]) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe { [m0.add(m1), m1.add(m2)] }
    }
}

impl Axis<2, 3> for PairWeight {
    #[inline(always)]
    unsafe fn apply<V: Vector>([g0, g1]: [V; 2]) -> [V; 3] {
        // SAFETY: the caller's.
        unsafe { [g0, g0.add(g1), g1] }
    }
}

impl Axis<5, 5> for PairInput {
    #[inline(always)]
    unsafe fn apply<V: Vector>([d0, d1, d2, d3, d4]: [V; 5]) -> [V; 5] {
        // SAFETY: the caller's.
        unsafe {
            let minus_b = V::splat(-B);
            let odd = d3.sub(d1);
            [
                // (x² − 1)(x − B), x (x + 1)(x − B), x (x − 1)(x − B), x (x² − 1), and x (x² − 1)(x − B).
                odd.fma(minus_b, d2.sub(d0)),
                d3.add(d2).fma(minus_b, d2.add(d1)),
                d3.sub(d2).fma(minus_b, d2.sub(d1)),
                odd,
                d4.sub(d2).fma(minus_b, odd),
            ]
        }
    }
}

impl Axis<5, 4> for PairOutput {
    #[inline(always)]
    unsafe fn apply<V: Vector>([m0, m1, m2, m3, m4]: [V; 5]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe {
            let [even, odd] = [m1.add(m2), m1.sub(m2)];
            [
                m0.add(even).add(m3),
                odd.fma(V::splat(B), m3),
                even.fma(V::splat(B * B), m3),
                m4.add(odd).fma(V::splat(B * B * B), m3),
            ]
        }
    }
}

impl Axis<2, 5> for PairWeight {
    #[inline(always)]
    unsafe fn apply<V: Vector>([g0, g1]: [V; 2]) -> [V; 5] {
        // SAFETY: the caller's.
        unsafe {
            [
                g0.mul(V::splat(1.0 / B)),
                g0.add(g1).mul(V::splat(0.5 / (1.0 - B))),
                g0.sub(g1).mul(V::splat(-0.5 / (1.0 + B))),
                g0.fma(V::splat(B), g1).mul(V::splat(1.0 / (B * (B * B - 1.0)))),
                g1,
            ]
        }
    }
}

/// The maps for m positions, m + 1, 2m and 2m + 1.
macro_rules! strided {
    ($m:literal, $pair:literal, $fine:literal, $points:literal) => {
        impl Axis<$pair, $points> for Input {
            /// Of a transposed convolution: the inputs of m positions, and the next.
            #[inline(always)]
            unsafe fn apply<V: Vector>(values: [V; $pair]) -> [V; $points] {
                // SAFETY: the caller's.
                unsafe {
                    let mut points = [V::splat(0.0); $points];
                    points[..$m].copy_from_slice(&values[..$m]);
                    let pair: [V; $pair] = PairInput::apply(values);
                    points[$m..].copy_from_slice(&pair);
                    points
                }
            }
        }

        impl Axis<$points, $points> for Input {
            /// Of a strided convolution: an odd input, then an even and an odd one for each position.
            #[inline(always)]
            unsafe fn apply<V: Vector>(values: [V; $points]) -> [V; $points] {
                // SAFETY: the caller's.
                unsafe {
                    let mut points = [V::splat(0.0); $points];
                    let mut odd = [values[0]; $pair];
                    for i in 0..$m {
                        points[i] = values[2 * i + 1];
                        odd[i + 1] = values[2 * i + 2];
                    }
                    let pair: [V; $pair] = PairInput::apply(odd);
                    points[$m..].copy_from_slice(&pair);
                    points
                }
            }
        }

        impl Axis<$points, $fine> for Output {
            /// Of a transposed convolution.
            #[inline(always)]
            unsafe fn apply<V: Vector>(points: [V; $points]) -> [V; $fine] {
                // SAFETY: the caller's.
                unsafe {
                    let mut pair = [V::splat(0.0); $pair];
                    pair.copy_from_slice(&points[$m..]);
                    let odd: [V; $m] = PairOutput::apply(pair);
                    let mut values = [V::splat(0.0); $fine];
                    for i in 0..$m {
                        values[2 * i] = points[i];
                        values[2 * i + 1] = odd[i];
                    }
                    values
                }
            }
        }

        impl Axis<$points, $m> for Output {
            /// Of a strided convolution.
            #[inline(always)]
            unsafe fn apply<V: Vector>(points: [V; $points]) -> [V; $m] {
                // SAFETY: the caller's.
                unsafe {
                    let mut pair = [V::splat(0.0); $pair];
                    pair.copy_from_slice(&points[$m..]);
                    let mut values: [V; $m] = PairOutput::apply(pair);
                    for i in 0..$m {
                        values[i] = values[i].add(points[i]);
                    }
                    values
                }
            }
        }

        impl Axis<3, $points> for Weight {
            #[inline(always)]
            unsafe fn apply<V: Vector>([w0, w1, w2]: [V; 3]) -> [V; $points] {
                // SAFETY: the caller's.
                unsafe {
                    let mut points = [w1; $points];
                    let pair: [V; $pair] = PairWeight::apply([w0, w2]);
                    points[$m..].copy_from_slice(&pair);
                    points
                }
            }
        }
    };
}

strided!(2, 3, 4, 5);
strided!(4, 5, 8, 9);
