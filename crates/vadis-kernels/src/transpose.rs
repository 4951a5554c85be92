//! Transposition, and the change between planes and interleaved channels.
#![allow(unsafe_code)]

use crate::elementwise::for_each_isa;
use crate::tile::{Isa, LANES};

/// Elements from one row of a matrix to the next, before and after it is transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pitch {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// to[c · pitch.to + r] = from[r · pitch.from + c] for `rows` and `columns` of `from`.
///
/// # Panics
/// If the matrix leaves a slice.
pub(crate) fn transpose(isa: Isa, from: &[f32], to: &mut [f32], pitch: Pitch, [rows, columns]: [usize; 2]) {
    if rows == 0 || columns == 0 {
        return;
    }
    let last =
        |outer: usize, step: usize, inner: usize| (outer - 1).saturating_mul(step).saturating_add(inner);
    assert!(last(rows, pitch.from, columns) <= from.len(), "rows of a matrix to transpose");
    assert!(last(columns, pitch.to, rows) <= to.len(), "rows of a transposed matrix");
    let whole = |n: usize| if has_blocks(isa) { n - n % LANES } else { 0 };
    let blocks = [whole(rows), whole(columns)];
    for r in (0..blocks[0]).step_by(LANES) {
        for c in (0..blocks[1]).step_by(LANES) {
            block(isa, &from[r * pitch.from + c..], &mut to[c * pitch.to + r..], pitch);
        }
    }
    for r in 0..rows {
        let first = if r < blocks[0] { blocks[1] } else { 0 };
        for c in first..columns {
            to[c * pitch.to + r] = from[r * pitch.from + c];
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_blocks(isa: Isa) -> bool {
    isa.vectors() == Isa::Avx512 && isa.is_available()
}

#[cfg(not(target_arch = "x86_64"))]
fn has_blocks(_: Isa) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn block(isa: Isa, from: &[f32], to: &mut [f32], pitch: Pitch) {
    let end = |step: usize| (LANES - 1) * step + LANES;
    assert!(has_blocks(isa) && end(pitch.from) <= from.len() && end(pitch.to) <= to.len(), "a block");
    // SAFETY: sixteen rows of sixteen floats lie in both slices, and the machine has AVX-512F.
    unsafe { x86::block(from.as_ptr(), to.as_mut_ptr(), pitch) }
}

#[cfg(not(target_arch = "x86_64"))]
fn block(_: Isa, _: &[f32], _: &mut [f32], _: Pitch) {
    unreachable!("only where `has_blocks`");
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Pitch};

    /// Transposes sixteen rows of sixteen floats.
    ///
    /// # Safety
    /// They can be read and written, and the machine has AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn block(from: *const f32, to: *mut f32, pitch: Pitch) {
        // SAFETY: the caller's.
        let rows: [__m512; LANES] =
            std::array::from_fn(|r| unsafe { _mm512_loadu_ps(from.add(r * pitch.from)) });
        // Pairs of rows, then of pairs, within each quarter of a vector …
        let pairs: [__m512; LANES] = std::array::from_fn(|i| {
            let (a, b) = (rows[i & !1], rows[i | 1]);
            if i % 2 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
        });
        let fours: [__m512; LANES] = std::array::from_fn(|i| {
            let first = i & !3 | (i >> 1 & 1);
            let (a, b) = (_mm512_castps_pd(pairs[first]), _mm512_castps_pd(pairs[first + 2]));
            _mm512_castpd_ps(if i % 2 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
        });
        // … so that `fours[4·q + c]` holds column c of each quarter for rows 4q..4q+4; then the quarters.
        for c in 0..4 {
            let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
            let (low, high) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (low2, high2) = (_mm512_shuffle_f32x4::<0x88>(d, e), _mm512_shuffle_f32x4::<0xdd>(d, e));
            let columns = [
                _mm512_shuffle_f32x4::<0x88>(low, low2),
                _mm512_shuffle_f32x4::<0x88>(high, high2),
                _mm512_shuffle_f32x4::<0xdd>(low, low2),
                _mm512_shuffle_f32x4::<0xdd>(high, high2),
            ];
            for (quarter, column) in columns.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { _mm512_storeu_ps(to.add((4 * quarter + c) * pitch.to), column) }
            }
        }
    }
}

/// row[x · C + c] = planes[c · step + x].
pub(crate) fn interleave(isa: Isa, planes: &[f32], step: usize, channels: usize, row: &mut [f32]) {
    let width = row.len() / channels;
    match channels {
        1 => row.copy_from_slice(&planes[..width]),
        2 => interleave_two(isa, planes, step, row),
        3 => interleave_three(isa, planes, step, row),
        _ => transpose(isa, planes, row, Pitch { from: step, to: channels }, [channels, width]),
    }
}

/// planes[c · step + x] = row[x · C + c].
pub(crate) fn separate(isa: Isa, row: &[f32], channels: usize, planes: &mut [f32], step: usize) {
    let width = row.len() / channels;
    match channels {
        1 => planes[..width].copy_from_slice(row),
        2 => separate_two(isa, row, planes, step),
        3 => separate_three(isa, row, planes, step),
        _ => transpose(isa, row, planes, Pitch { from: channels, to: step }, [width, channels]),
    }
}

// With the number of channels as a constant the loops become shuffles of vectors.

for_each_isa! {
    fn interleave_two(planes: &[f32], step: usize, row: &mut [f32]) {
        let width = row.len() / 2;
        let [a, b] = [0, 1].map(|c| &planes[c * step..][..width]);
        for ((pixel, &a), &b) in row.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
            *pixel = [a, b];
        }
    }
}

for_each_isa! {
    fn interleave_three(planes: &[f32], step: usize, row: &mut [f32]) {
        let width = row.len() / 3;
        let [a, b, c] = [0, 1, 2].map(|c| &planes[c * step..][..width]);
        for (((pixel, &a), &b), &c) in row.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
            *pixel = [a, b, c];
        }
    }
}

for_each_isa! {
    fn separate_two(row: &[f32], planes: &mut [f32], step: usize) {
        let width = row.len() / 2;
        let (a, b) = planes.split_at_mut(step);
        for ((pixel, a), b) in row.as_chunks::<2>().0.iter().zip(&mut a[..width]).zip(&mut b[..width]) {
            [*a, *b] = *pixel;
        }
    }
}

for_each_isa! {
    fn separate_three(row: &[f32], planes: &mut [f32], step: usize) {
        let width = row.len() / 3;
        let (a, rest) = planes.split_at_mut(step);
        let (b, c) = rest.split_at_mut(step);
        let planes = a[..width].iter_mut().zip(&mut b[..width]).zip(&mut c[..width]);
        for (pixel, ((a, b), c)) in row.as_chunks::<3>().0.iter().zip(planes) {
            [*a, *b, *c] = *pixel;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(len: usize) -> Vec<f32> {
        (0..len).map(|i| i as f32).collect()
    }

    #[test]
    fn transposes_whole_blocks_and_what_is_left() {
        for isa in Isa::available() {
            for [rows, columns] in [[1, 1], [16, 16], [17, 33], [48, 16], [5, 40], [40, 5], [0, 3]] {
                let pitch = Pitch { from: columns + 3, to: rows + 2 };
                let from = counted(rows * pitch.from);
                let mut to = vec![-1.0; columns * pitch.to];
                transpose(isa, &from, &mut to, pitch, [rows, columns]);
                for (i, &got) in to.iter().enumerate() {
                    let (c, r) = (i / pitch.to, i % pitch.to);
                    let expected = if r < rows { from[r * pitch.from + c] } else { -1.0 };
                    assert_eq!(got, expected, "{isa:?} {rows}x{columns} at {r}, {c}");
                }
            }
        }
    }

    #[test]
    fn interleaving_and_separating_are_inverse() {
        for isa in Isa::available() {
            for channels in [1, 2, 3, 4, 20] {
                let (width, step) = (37, 41);
                let planes = counted(channels * step);
                let mut row = vec![0.0; channels * width];
                interleave(isa, &planes, step, channels, &mut row);
                for (i, &got) in row.iter().enumerate() {
                    assert_eq!(got, planes[i % channels * step + i / channels]);
                }
                let mut back = vec![-1.0; channels * step];
                separate(isa, &row, channels, &mut back, step);
                for (i, &got) in back.iter().enumerate() {
                    assert_eq!(got, if i % step < width { planes[i] } else { -1.0 });
                }
            }
        }
    }
}
