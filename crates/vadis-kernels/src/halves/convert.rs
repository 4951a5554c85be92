//! Floats into halves, and halves from pairs of terms to rows of terms.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{LINE, TERMS, are_there, pair_len};
use crate::tile::LANES;
use crate::transpose::{Pitch, x86};

/// Writes the halves of `from`: `upper` and `lower` have its length.
///
/// # Panics
/// If they don't, or the machine has no such instructions.
pub(crate) fn split(from: &[f32], upper: &mut [u16], lower: &mut [u16]) {
    assert!(from.len() == upper.len() && from.len() == lower.len(), "both halves of each float");
    assert!(are_there(), "halves are not on this machine");
    // SAFETY: the machine has the sets, and all three are as long.
    unsafe { split_avx512(from, upper.as_mut_ptr(), lower.as_mut_ptr()) }
}

/// The halves of two blocks of sixteen channels side by side, position after position; without a second block, zeros.
///
/// # Panics
/// If lengths do not fit, or the machine has no such instructions.
pub(crate) fn join(first: &[f32], second: Option<&[f32]>, upper: &mut [u16], lower: &mut [u16]) {
    let positions = first.len() / LANES;
    assert!(second.is_none_or(|second| second.len() == first.len()), "as many positions of both blocks");
    assert!(upper.len() == positions * LINE && lower.len() == positions * LINE, "a line for each position");
    assert!(are_there(), "halves are not on this machine");
    // SAFETY: the machine has the sets, and all have so many positions.
    unsafe { join_avx512(first, second, upper.as_mut_ptr(), lower.as_mut_ptr()) }
}

/// Terms as they lie in memory: `count` of them, each `step` floats after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) step: usize,
    pub(crate) count: usize,
}

/// Writes the halves of terms of some lanes, whole blocks of sixteen, in pairs of [`pair_len`] halves until `to` is full: zeros
/// for terms that there are not.
///
/// # Panics
/// If there are more terms than pairs, they leave their slice, or the machine has no such instructions.
pub(crate) fn pairs(terms: Terms<'_>, blocks: usize, to: &mut [u16]) {
    let Terms { values, step, count } = terms;
    let len = pair_len(blocks);
    assert!((1..=2).contains(&blocks), "one or two blocks");
    assert!(to.len().is_multiple_of(len) && count <= 2 * (to.len() / len), "pairs of halves");
    assert!(
        count == 0 || (count - 1).saturating_mul(step).saturating_add(blocks * LANES) <= values.len(),
        "terms"
    );
    assert!(are_there(), "halves are not on this machine");
    // SAFETY: the machine has the sets, and there are so many terms and pairs.
    unsafe {
        match blocks {
            1 => pairs_avx512::<1>(values.as_ptr(), step, count, to),
            2 => pairs_avx512::<2>(values.as_ptr(), step, count, to),
            _ => unreachable!("one or two blocks"),
        }
    }
}

/// As [`pairs`], of `[lane][term]`: whole tiles of `count` terms of lanes that are `step` apart.
///
/// # Panics
/// As [`pairs`], and if terms fill no whole tiles.
pub(crate) fn pairs_of_columns(values: &[f32], step: usize, count: usize, blocks: usize, to: &mut [u16]) {
    let len = pair_len(blocks);
    assert!(count.is_multiple_of(TERMS) && to.len() == count / 2 * len, "whole tiles");
    let mut rows = [[0; LANES * LINE]; 2];
    for (first, to) in (0..count).step_by(TERMS).zip(to.chunks_exact_mut(TERMS / 2 * len)) {
        for block in 0..blocks {
            let [upper, lower] = &mut rows;
            let halves = upper.chunks_exact_mut(LINE).zip(lower.chunks_exact_mut(LINE));
            for (lane, (upper, lower)) in halves.enumerate() {
                split(&values[(block * LANES + lane) * step + first..][..TERMS], upper, lower);
            }
            // Lanes by pairs of terms become pairs of terms by lanes.
            flip(upper, LINE, &mut to[block * LINE..], len);
            flip(lower, LINE, &mut to[(blocks + block) * LINE..], len);
        }
    }
}

/// to[lane · to_row + t] = the lane's half of term t, of sixteen pairs of terms of sixteen lanes, each `from_row` after the
/// one before.
///
/// # Panics
/// If lengths do not fit, or the machine has no such instructions.
#[inline]
pub(crate) fn flip(from: &[u16], from_row: usize, to: &mut [u16], to_row: usize) {
    let end = |row: usize| (LANES - 1) * row + LINE;
    assert!(end(from_row) <= from.len() && end(to_row) <= to.len(), "sixteen rows");
    assert!(from_row.is_multiple_of(2) && to_row.is_multiple_of(2), "whole pairs");
    assert!(are_there(), "halves are not on this machine");
    // A pair of halves moves as one float does.
    let pitch = Pitch { from: from_row / 2, to: to_row / 2 };
    // SAFETY: sixteen rows of sixteen pairs lie in both slices, and the machine has the set.
    unsafe { x86::block(from.as_ptr().cast(), to.as_mut_ptr().cast(), pitch) }
}

/// # Safety
/// The machine has the sets, and so many halves can be written to both places.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn split_avx512(from: &[f32], upper: *mut u16, lower: *mut u16) {
    let whole = from.len() - from.len() % LINE;
    // SAFETY: whole lines lie in all three.
    let line = |from: *const f32, upper: *mut u16, lower: *mut u16| unsafe {
        let [u, l] = both([_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))]);
        _mm512_storeu_si512(upper.cast(), u);
        _mm512_storeu_si512(lower.cast(), l);
    };
    for i in (0..whole).step_by(LINE) {
        line(from[i..].as_ptr(), upper.wrapping_add(i), lower.wrapping_add(i));
    }
    let rest = from.len() - whole;
    if rest > 0 {
        let mut last = [0.0; LINE];
        last[..rest].copy_from_slice(&from[whole..]);
        let [mut u, mut l] = [[0; LINE]; 2];
        line(last.as_ptr(), u.as_mut_ptr(), l.as_mut_ptr());
        // SAFETY: the caller's.
        unsafe {
            std::ptr::copy_nonoverlapping(u.as_ptr(), upper.add(whole), rest);
            std::ptr::copy_nonoverlapping(l.as_ptr(), lower.add(whole), rest);
        }
    }
}

/// # Safety
/// The machine has the sets; `second` is as long as `first`, and so many positions' halves can be written to both places.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn join_avx512(first: &[f32], second: Option<&[f32]>, upper: *mut u16, lower: *mut u16) {
    for position in 0..first.len() / LANES {
        // SAFETY: the caller's.
        unsafe {
            let [u, l] = both([
                _mm512_loadu_ps(first.as_ptr().add(position * LANES)),
                second.map_or(_mm512_setzero_ps(), |second| {
                    _mm512_loadu_ps(second.as_ptr().add(position * LANES))
                }),
            ]);
            _mm512_storeu_si512(upper.add(position * LINE).cast(), u);
            _mm512_storeu_si512(lower.add(position * LINE).cast(), l);
        }
    }
}

/// Upper and lower halves of 32 floats.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn both(x: [__m512; 2]) -> [__m512i; 2] {
    let u = halves(x);
    let back = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let [low, high] = [_mm512_castsi512_si256(u), _mm512_extracti64x4_epi64::<1>(u)].map(back);
    [u, halves([_mm512_sub_ps(x[0], low), _mm512_sub_ps(x[1], high)])]
}

/// bf16 of 32 floats, rounded to the nearest.
#[target_feature(enable = "avx512f,avx512bf16")]
fn halves([first, second]: [__m512; 2]) -> __m512i {
    // SAFETY: both are 512 bits of sixteen-bit numbers.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
}

/// # Safety
/// The machine has the sets; `count` terms of `N` blocks can be read, `step` apart, and `to` has whole pairs, as many at least.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs_avx512<const N: usize>(values: *const f32, step: usize, count: usize, to: &mut [u16]) {
    // Even places take the first term's lanes, odd ones the second's.
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let order = _mm512_or_si512(lane, _mm512_slli_epi32::<16>(_mm512_add_epi32(lane, _mm512_set1_epi32(16))));
    // SAFETY: the caller's.
    let term =
        |term: usize, block: usize| unsafe { _mm512_loadu_ps(values.add(term * step + block * LANES)) };
    for (pair, to) in to.chunks_exact_mut(pair_len(N)).enumerate() {
        let [even, odd] = [2 * pair, 2 * pair + 1];
        for block in 0..N {
            let terms = [
                if even < count { term(even, block) } else { _mm512_setzero_ps() },
                if odd < count { term(odd, block) } else { _mm512_setzero_ps() },
            ];
            let u = _mm512_permutexvar_epi16(order, halves(terms));
            let back = [_mm512_slli_epi32::<16>(u), _mm512_and_si512(u, _mm512_set1_epi32(!0xffff))];
            let left = [
                _mm512_sub_ps(terms[0], _mm512_castsi512_ps(back[0])),
                _mm512_sub_ps(terms[1], _mm512_castsi512_ps(back[1])),
            ];
            let l = _mm512_permutexvar_epi16(order, halves(left));
            // SAFETY: a pair has two lines of each block.
            unsafe {
                _mm512_storeu_si512(to.as_mut_ptr().add(block * LINE).cast(), u);
                _mm512_storeu_si512(to.as_mut_ptr().add((N + block) * LINE).cast(), l);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(half: u16) -> f32 {
        f32::from_bits(u32::from(half) << 16)
    }

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + 13) % 1009) as f32 / 311.0 - 1.6).collect()
    }

    #[test]
    fn halves_sum_to_the_float() {
        if !are_there() {
            return;
        }
        for len in [0, 1, 31, 32, 33, 100] {
            let from = values(len);
            let (mut upper, mut lower) = (vec![0; len], vec![0; len]);
            split(&from, &mut upper, &mut lower);
            for ((&x, &u), &l) in from.iter().zip(&upper).zip(&lower) {
                assert!((float(u) - x).abs() <= x.abs() / 256.0, "{x}: {}", float(u));
                let error = f64::from(x) - f64::from(float(u)) - f64::from(float(l));
                assert!(error.abs() <= f64::from(x.abs()) / 131_072.0, "{x} {error}");
            }
        }
    }

    #[test]
    fn pairs_have_a_lane_s_terms_side_by_side_and_flipped_ones_a_lane_in_a_row() {
        if !are_there() {
            return;
        }
        let blocks = 2;
        let from = values(LINE * blocks * LANES);
        let (mut upper, mut lower) = (vec![0; from.len()], vec![0; from.len()]);
        split(&from, &mut upper, &mut lower);
        let mut to = vec![0; LANES * pair_len(blocks)];
        pairs(Terms { values: &from, step: blocks * LANES, count: LINE }, blocks, &mut to);
        for (half, expected) in [upper, lower].iter().enumerate() {
            for (i, &value) in expected.iter().enumerate() {
                let (term, block, lane) = (i / 32, i % 32 / 16, i % 16);
                let place =
                    term / 2 * pair_len(blocks) + (half * blocks + block) * LINE + 2 * lane + term % 2;
                assert_eq!(to[place], value, "half {half} of term {term}, lane {lane}");
            }
        }
        let mut rows = vec![0; LANES * 40];
        flip(&to[LINE..], pair_len(blocks), &mut rows, 40);
        for lane in 0..LANES {
            for term in 0..LINE {
                let pair = term / 2 * pair_len(blocks) + LINE;
                assert_eq!(rows[lane * 40 + term], to[pair + 2 * lane + term % 2]);
            }
        }
    }

    #[test]
    fn missing_terms_are_zeros() {
        if !are_there() {
            return;
        }
        let mut values = values(3 * LANES);
        let [mut missing, mut zeros] = [vec![1; 3 * pair_len(1)], vec![1; 3 * pair_len(1)]];
        pairs(Terms { values: &values, step: LANES, count: 3 }, 1, &mut missing);
        values.resize(6 * LANES, 0.0);
        pairs(Terms { values: &values, step: LANES, count: 6 }, 1, &mut zeros);
        assert_eq!(missing, zeros);
    }
}
