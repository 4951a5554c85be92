//! The transforms of convolutions of stride 2, and of transposed ones.
//!
//! Along an axis, the outputs of a strided convolution with kernel (w₀, w₁, w₂) are
//!
//! yᵢ = w₁ x₂ᵢ + (w₀ x₂ᵢ₋₁ + w₂ x₂ᵢ₊₁),
//!
//! one tap on the even inputs and two taps on the odd ones; those of a transposed one, whose kernel was
//! turned round,
//!
//! y₂ᵢ = w₁ xᵢ,  y₂ᵢ₊₁ = w₀ xᵢ + w₂ xᵢ₊₁.
//!
//! For two positions i the one tap takes two products, and the two taps three in place of four by F(2, 2) with the
//! points 0, 1 and ∞:
//!
//! w₀ a + w₂ b = w₀ (a − b) + (w₀ + w₂) b,  w₀ b + w₂ c = (w₀ + w₂) b + w₂ (c − b).
//!
//! So there are five points, those of the one tap first, and on both axes 25 products in place of 36. Larger tiles,
//! F(3, 2) and F(4, 2), save more products (.60 and .56 of direct sums'), but their weights and points leave the cache:
//! they were measured to be no faster.
#![allow(unsafe_code)]

use super::transform::{Axis, Input, Output, Weight};
use crate::vector::Vector;

impl Axis<5, 5> for Input {
    /// Of a strided convolution: an odd value, then an even and an odd one for each position.
    #[inline(always)]
    unsafe fn apply<V: Vector>([odd0, even0, odd1, even1, odd2]: [V; 5]) -> [V; 5] {
        // SAFETY: the caller's.
        unsafe { [even0, even1, odd0.sub(odd1), odd1, odd2.sub(odd1)] }
    }
}

impl Axis<5, 2> for Output {
    /// Of a strided convolution.
    #[inline(always)]
    unsafe fn apply<V: Vector>([one0, one1, m0, m1, m2]: [V; 5]) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe { [one0.add(m0.add(m1)), one1.add(m1.add(m2))] }
    }
}

impl Axis<3, 5> for Input {
    /// Of a transposed convolution: two positions, and the next.
    #[inline(always)]
    unsafe fn apply<V: Vector>([d0, d1, d2]: [V; 3]) -> [V; 5] {
        // SAFETY: the caller's.
        unsafe { [d0, d1, d0.sub(d1), d1, d2.sub(d1)] }
    }
}

impl Axis<5, 4> for Output {
    /// Of a transposed convolution: for each position an even and an odd value.
    #[inline(always)]
    unsafe fn apply<V: Vector>([one0, one1, m0, m1, m2]: [V; 5]) -> [V; 4] {
        // SAFETY: the caller's.
        unsafe { [one0, m0.add(m1), one1, m1.add(m2)] }
    }
}

impl Axis<3, 5> for Weight {
    /// Of both.
    #[inline(always)]
    unsafe fn apply<V: Vector>([w0, w1, w2]: [V; 3]) -> [V; 5] {
        // SAFETY: the caller's.
        unsafe { [w1, w1, w0, w0.add(w2), w2] }
    }
}
