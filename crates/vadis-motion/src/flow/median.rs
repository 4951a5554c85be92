//! The 5×5 median of a float plane, by a network of comparisons that works on a vector of pixels at once.

use super::rows::{Row, RowMut, Rows};
use crate::simd::{LANES, greater, lanes, lesser};

/// Pixels to either side that the median looks at.
pub(super) const REACH: usize = 2;
/// Side of the window.
const SIDE: usize = 2 * REACH + 1;

type Lanes = [f32; LANES];

/// Puts the lesser of each pair first, pair after pair.
macro_rules! exchange {
    ($values:ident: $($i:literal $j:literal;)*) => {$(
        ($values[$i], $values[$j]) = ordered(&$values[$i], &$values[$j]);
    )*};
}

#[inline(always)]
fn ordered(a: &Lanes, b: &Lanes) -> (Lanes, Lanes) {
    (lanes(|l| lesser(a[l], b[l])), lanes(|l| greater(a[l], b[l])))
}

/// The 5×5 median of the first `planes` planes of row `y` of a `width`×`height` picture, edges repeated.
///
/// `columns` is memory: a row of five planes, as wide as the picture.
#[inline(always)]
pub(super) fn median_row(
    picture: &Rows,
    (width, height): (usize, usize),
    y: usize,
    planes: usize,
    columns: &mut Rows,
    out: &mut RowMut<'_>,
) {
    for plane in 0..planes {
        let row = |offset: usize| picture.row((y + offset).saturating_sub(REACH).min(height - 1));
        sort_columns(std::array::from_fn(row), plane, width, columns.row_mut(0));
        for sorted in 0..SIDE {
            columns.row_mut(0).repeat_edges(sorted, width, REACH);
        }
        median_of_columns(columns.row(0), width, out.vectors_mut(plane, width.div_ceil(LANES)));
    }
}

/// Sorts the five values above and below each pixel.
#[inline(always)]
fn sort_columns(rows: [Row<'_>; SIDE], plane: usize, width: usize, out: RowMut<'_>) {
    let count = width.div_ceil(LANES);
    let rows = rows.map(|row| row.vectors(plane, 0, count));
    let out = out.all_vectors_mut::<SIDE>(count);
    for i in 0..count {
        let mut v = [[0.0; LANES]; SIDE];
        for row in 0..SIDE {
            v[row] = rows[row][i];
        }
        exchange!(v: 0 3; 1 4; 0 2; 1 3; 0 1; 2 4; 1 2; 3 4; 2 3;);
        for row in 0..SIDE {
            out[row][i] = v[row];
        }
    }
}

/// The middle of 25 values, given as five sorted columns: value `5 i + j` is the `i`th of column `j`.
///
/// A sort of each of the five rows, and then a selection among the 13 values that can still be the middle;
/// comparisons were left out for as long as all 6⁵ columns of zeros and ones still gave the right answer (the
/// zero-one principle, Knuth, TAOCP 3, 5.3.4).
#[inline(always)]
fn median_of_columns(columns: Row<'_>, width: usize, out: &mut [Lanes]) {
    let count = width.div_ceil(LANES);
    let shifted: [[&[Lanes]; SIDE]; SIDE] = std::array::from_fn(|row| {
        std::array::from_fn(|column| columns.vectors(row, column as isize - REACH as isize, count))
    });
    for i in 0..count {
        // A row at a time: the compiler unrolls short loops only.
        let mut v = [[0.0; LANES]; SIDE * SIDE];
        for (row, shifted) in v.as_chunks_mut::<SIDE>().0.iter_mut().zip(&shifted) {
            let [a, b, c, d, e] = shifted;
            *row = [a[i], b[i], c[i], d[i], e[i]];
        }
        exchange! { v:
            0 2; 1 3; 0 1; 2 4; 1 2; 3 4; 2 3; 5 8; 6 9; 6 8; 5 6; 7 9; 6 7; 8 9; 7 8; 10 13; 11 14;
            10 12; 11 13; 10 11; 12 14; 11 12; 13 14; 12 13; 16 19; 15 17; 15 16; 17 19; 16 17; 17 18;
            20 23; 20 22; 21 23; 20 21; 22 24; 21 22; 3 7; 13 21; 7 15; 8 17; 15 17; 16 17; 8 11; 9 16;
            9 11; 9 15; 11 20; 13 20; 4 11; 4 13; 4 15; 11 15; 13 15; 11 12; 11 13; 12 13;
        }
        out[i] = v[12];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_finds_the_middle_of_any_sorted_columns() {
        let mut columns = Rows::default();
        columns.reshape(SIDE, 1, SIDE);
        for case in 0..6_usize.pow(5) {
            let zeros: [usize; SIDE] = std::array::from_fn(|column| case / 6_usize.pow(column as u32) % 6);
            for row in 0..SIDE {
                for (column, &zeros) in zeros.iter().enumerate() {
                    columns.row_mut(0).plane_mut(row)[column] = f32::from(u8::from(row >= zeros));
                }
            }
            let mut out = [[0.0; LANES]];
            median_of_columns(columns.row(0), SIDE, &mut out);
            let ones = 25 - zeros.iter().sum::<usize>();
            assert_eq!(out[0][REACH], f32::from(u8::from(ones > 12)), "{zeros:?}");
        }
    }

    #[test]
    fn a_row_has_the_median_of_each_window() {
        let (width, height) = (37, 9);
        let value = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 997) as f32 - 400.0;
        let mut picture = Rows::default();
        picture.reshape(width, height, 1);
        for y in 0..height {
            let mut row = picture.row_mut(y);
            row.plane_mut(0).iter_mut().take(width).enumerate().for_each(|(x, v)| *v = value(x, y));
        }
        let (mut columns, mut out) = (Rows::default(), Rows::default());
        columns.reshape(width, 1, SIDE);
        out.reshape(width, 1, 1);
        let near =
            |at: usize, len: usize| (0..SIDE).map(move |d| (at + d).saturating_sub(REACH).min(len - 1));
        for y in 0..height {
            median_row(&picture, (width, height), y, 1, &mut columns, &mut out.row_mut(0));
            for x in 0..width {
                let mut window: Vec<_> =
                    near(y, height).flat_map(|y| near(x, width).map(move |x| value(x, y))).collect();
                window.sort_by(f32::total_cmp);
                assert_eq!(out.row(0).plane(0)[x], window[12], "({x}, {y})");
            }
        }
    }
}
