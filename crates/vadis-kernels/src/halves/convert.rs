//! Floats into halves, and halves from pairs of terms to rows of terms.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{LINE, PAIR, TERMS, TILE, are_there, tile_len};
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

/// Writes the halves of terms of some lanes, whole blocks of sixteen, in pairs of terms until `to` is full: zeros for terms
/// that there are not. Of two blocks the sixteen pairs of a tile follow on those of the first.
///
/// # Panics
/// If there are more terms than pairs, they leave their slice, two blocks fill no whole tiles, or the machine has no such
/// instructions.
pub(crate) fn pairs(terms: Terms<'_>, blocks: usize, to: &mut [u16]) {
    let Terms { values, step, count } = terms;
    assert!((1..=2).contains(&blocks), "one or two blocks");
    assert!(to.len().is_multiple_of(if blocks == 1 { PAIR } else { tile_len(2) }), "pairs of halves");
    assert!(count <= 2 * (to.len() / (blocks * PAIR)), "pairs of halves");
    assert!(
        count == 0 || (count - 1).saturating_mul(step).saturating_add(blocks * LANES) <= values.len(),
        "terms"
    );
    assert!(are_there(), "halves are not on this machine");
    // SAFETY: the machine has the sets, and there are so many terms and pairs.
    unsafe {
        match blocks {
            1 => pairs_avx512::<1>(values.as_ptr(), step, count, to),
            _ => pairs_avx512::<2>(values.as_ptr(), step, count, to),
        }
    }
}

/// As [`pairs`], of `[lane][term]`: whole tiles of `count` terms of lanes that are `step` apart.
///
/// # Panics
/// As [`pairs`], and if terms fill no whole tiles.
pub(crate) fn pairs_of_columns(values: &[f32], step: usize, count: usize, blocks: usize, to: &mut [u16]) {
    assert!(count.is_multiple_of(TERMS) && to.len() == count / TERMS * tile_len(blocks), "whole tiles");
    let mut rows = [[0; LANES * LINE]; 2];
    let places = (0..count).step_by(TERMS).flat_map(|first| (0..blocks).map(move |block| (first, block)));
    for ((first, block), to) in places.zip(to.chunks_exact_mut(TILE)) {
        let [upper, lower] = &mut rows;
        let halves = upper.chunks_exact_mut(LINE).zip(lower.chunks_exact_mut(LINE));
        for (lane, (upper, lower)) in halves.enumerate() {
            split(&values[(block * LANES + lane) * step + first..][..TERMS], upper, lower);
        }
        // Lanes by pairs of terms become pairs of terms by lanes.
        flip(upper, LINE, to, PAIR);
        flip(lower, LINE, &mut to[LINE..], PAIR);
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
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn split_avx512(from: &[f32], upper: *mut u16, lower: *mut u16) {
    let whole = from.len() - from.len() % LINE;
    // SAFETY: whole lines lie in all three.
    let line = |from: *const f32, upper: *mut u16, lower: *mut u16| unsafe {
        let [u, l] = both([_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))]);
        _mm512_storeu_si512(upper.cast(), u);
        _mm512_storeu_si512(lower.cast(), l);
    };
    for i in (0..whole).step_by(LINE) {
        prefetch(from.as_ptr().wrapping_add(i));
        prefetch(from.as_ptr().wrapping_add(i + LANES));
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
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn join_avx512(first: &[f32], second: Option<&[f32]>, upper: *mut u16, lower: *mut u16) {
    for position in 0..first.len() / LANES {
        prefetch(first.as_ptr().wrapping_add(position * LANES));
        prefetch(second.unwrap_or(first).as_ptr().wrapping_add(position * LANES));
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

/// Asks for what lies some way behind a value, if there is anything: what is brought to halves often comes from memory, and is
/// done with before that has answered.
#[inline(always)]
fn prefetch(value: *const f32) {
    /// Bytes.
    const AHEAD: usize = 2048;
    // SAFETY: prefetching reads nothing, and is in all of this architecture.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(value.wrapping_byte_add(AHEAD).cast()) }
}

/// Upper and lower halves of 32 floats.
#[target_feature(enable = "avx512f,avx512bw")]
fn both(x: [__m512; 2]) -> [__m512i; 2] {
    const LANE: i32 = 0x0004_0004;
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // Odd places: the upper bits of each number.
    let order = _mm512_mullo_epi32(lane, _mm512_set1_epi32(LANE));
    let order = _mm512_add_epi32(order, _mm512_set1_epi32(0x0003_0001));
    halves(x).map(|[first, second]| _mm512_permutex2var_epi16(first, order, second))
}

/// Two vectors as halves, which lie in the upper bits of each number: upper halves, then lower ones.
///
/// Numbers are rounded as integers, to the nearest, halves away from zero.
#[target_feature(enable = "avx512f")]
fn halves(x: [__m512; 2]) -> [[__m512i; 2]; 2] {
    const UPPER: i32 = !0xffff;
    let rounded = |x: __m512| _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    let upper = x.map(rounded);
    let lower = [0, 1].map(|i| {
        let upper = _mm512_castsi512_ps(_mm512_and_si512(upper[i], _mm512_set1_epi32(UPPER)));
        rounded(_mm512_sub_ps(x[i], upper))
    });
    [upper, lower]
}

/// # Safety
/// The machine has the sets; `count` terms of `N` blocks can be read, `step` apart, and `to` has whole pairs, as many at least;
/// of two blocks whole tiles.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn pairs_avx512<const N: usize>(values: *const f32, step: usize, count: usize, to: &mut [u16]) {
    // SAFETY: the caller's.
    let term =
        |term: usize, block: usize| unsafe { _mm512_loadu_ps(values.add(term * step + block * LANES)) };
    for pair in 0..to.len() / (N * PAIR) {
        let [even, odd] = [2 * pair, 2 * pair + 1];
        let place = pair / LANES * N * TILE + pair % LANES * PAIR;
        for block in 0..N {
            let terms = [
                if even < count { term(even, block) } else { _mm512_setzero_ps() },
                if odd < count { term(odd, block) } else { _mm512_setzero_ps() },
            ];
            for term in [even, odd] {
                prefetch(values.wrapping_add(term * step + block * LANES));
            }
            let [u, l] = both_of_pair(terms);
            // SAFETY: a pair has two lines of each block.
            unsafe {
                let to = to.as_mut_ptr().add(place + block * TILE);
                _mm512_storeu_si512(to.cast(), u);
                _mm512_storeu_si512(to.add(LINE).cast(), l);
            }
        }
    }
}

/// Upper and lower halves of two terms of sixteen lanes, the terms of a lane side by side.
#[target_feature(enable = "avx512f,avx512bw")]
fn both_of_pair(terms: [__m512; 2]) -> [__m512i; 2] {
    halves(terms).map(|[even, odd]| _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(even), odd))
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
        let mut to = vec![0; tile_len(blocks)];
        pairs(Terms { values: &from, step: blocks * LANES, count: LINE }, blocks, &mut to);
        for (i, &x) in from.iter().enumerate() {
            let (term, block, lane) = (i / 32, i % 32 / 16, i % 16);
            let place = block * TILE + term / 2 * PAIR + 2 * lane + term % 2;
            let [u, l] = [place, place + LINE].map(|place| f64::from(float(to[place])));
            let x = f64::from(x);
            assert!((u - x).abs() <= x.abs() / 256.0, "term {term} of lane {lane}: {x}, {u}");
            assert!((x - u - l).abs() <= x.abs() / 131_072.0, "term {term} of lane {lane}: {x}, {u}, {l}");
        }
        let mut rows = vec![0; LANES * 40];
        flip(&to[TILE..], PAIR, &mut rows, 40);
        for lane in 0..LANES {
            for term in 0..LINE {
                let pair = TILE + term / 2 * PAIR;
                assert_eq!(rows[lane * 40 + term], to[pair + 2 * lane + term % 2]);
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        if !are_there() {
            return;
        }
        let values = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0];
        let mut to = [0; PAIR];
        let terms: Vec<_> = values.iter().copied().cycle().take(2 * LANES).collect();
        pairs(Terms { values: &terms, step: LANES, count: 2 }, 1, &mut to);
        for (lane, x) in terms[..LANES].iter().enumerate() {
            let sum = float(to[2 * lane]) + float(to[LINE + 2 * lane]);
            assert_eq!(sum.is_finite(), x.abs() < f32::MAX, "{x}: {sum}");
            assert_eq!(sum == 0.0, *x == 0.0, "{x}: {sum}");
        }
    }

    #[test]
    fn missing_terms_are_zeros() {
        if !are_there() {
            return;
        }
        let mut values = values(3 * LANES);
        let [mut missing, mut zeros] = [vec![1; 3 * PAIR], vec![1; 3 * PAIR]];
        pairs(Terms { values: &values, step: LANES, count: 3 }, 1, &mut missing);
        values.resize(6 * LANES, 0.0);
        pairs(Terms { values: &values, step: LANES, count: 6 }, 1, &mut zeros);
        assert_eq!(missing, zeros);
    }
}
