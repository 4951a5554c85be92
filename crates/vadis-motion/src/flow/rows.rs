//! Float planes side by side, row by row, in memory that is kept from picture to picture.

use crate::simd::LANES;

/// Floats before and after each row of a plane, so that neighbours beyond the edge can be read.
const PAD: usize = LANES;

/// `rows` rows, in each of which the same row of several planes follows one another.
///
/// A plane's row is padded to whole vectors, with one more at either end; all vectors are aligned to 64 bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    data: Vec<f32>,
    start: usize,
    planes: usize,
    /// Floats of one row of one plane, pads included.
    stride: usize,
}

impl Rows {
    /// Takes a new shape, all zeros; memory is allocated only if there was less.
    pub(super) fn reshape(&mut self, width: usize, rows: usize, planes: usize) {
        self.planes = planes;
        self.stride = width.next_multiple_of(LANES) + 2 * PAD;
        self.data.clear();
        self.data.resize(rows * planes * self.stride + LANES, 0.0);
        let offset = self.data.as_ptr().align_offset(LANES * size_of::<f32>());
        self.start = if offset < LANES { offset } else { 0 };
    }

    /// Floats of one row of all planes.
    fn pitch(&self) -> usize {
        self.planes * self.stride
    }

    pub(super) fn row(&self, y: usize) -> Row<'_> {
        Row { data: &self.data[self.start + y * self.pitch()..][..self.pitch()], stride: self.stride }
    }

    pub(super) fn row_mut(&mut self, y: usize) -> RowMut<'_> {
        let pitch = self.pitch();
        RowMut { data: &mut self.data[self.start + y * pitch..][..pitch], stride: self.stride }
    }

    /// Rows `y - 1` and `y`.
    pub(super) fn pair_mut(&mut self, y: usize) -> (RowMut<'_>, RowMut<'_>) {
        let (pitch, stride) = (self.pitch(), self.stride);
        let both = &mut self.data[self.start + (y - 1) * pitch..][..2 * pitch];
        let (above, here) = both.split_at_mut(pitch);
        (RowMut { data: above, stride }, RowMut { data: here, stride })
    }

    /// All rows from the first, each to be written by one thread.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = RowMut<'_>> {
        let (pitch, stride) = (self.pitch(), self.stride);
        self.data[self.start..].chunks_exact_mut(pitch).map(move |data| RowMut { data, stride })
    }

    /// Copies `count` rows of `from`, which has the same planes and width, from its row `source` to row `target`.
    pub(super) fn copy_rows(&mut self, target: usize, from: &Self, source: usize, count: usize) {
        let pitch = self.pitch();
        debug_assert_eq!((pitch, self.stride), (from.pitch(), from.stride));
        let from = &from.data[from.start + source * pitch..][..count * pitch];
        self.data[self.start + target * pitch..][..count * pitch].copy_from_slice(from);
    }

    /// Becomes a copy of `from`, whatever the alignment of either.
    pub(super) fn copy_all(&mut self, from: &Self, width: usize, rows: usize) {
        if (self.planes, self.stride) != (from.planes, from.stride) || self.data.len() != from.data.len() {
            self.reshape(width, rows, from.planes);
        }
        self.copy_rows(0, from, 0, rows);
    }
}

/// One row of all planes.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Row<'a> {
    /// A plane's row from its first pixel, of as many floats as fit before the pad's end.
    #[inline(always)]
    pub(super) fn plane(self, plane: usize) -> &'a [f32] {
        &self.data[plane * self.stride..][..self.stride][PAD..]
    }

    /// `count` vectors of a plane, each moved by `shift` pixels.
    #[inline(always)]
    pub(super) fn vectors(self, plane: usize, shift: isize, count: usize) -> &'a [[f32; LANES]] {
        let start = PAD.wrapping_add_signed(shift);
        &self.data[plane * self.stride..][..self.stride][start..][..count * LANES].as_chunks().0[..count]
    }

    /// `count` vectors of each of the first `N` planes, each moved by `shift` pixels.
    #[inline(always)]
    pub(super) fn all_vectors<const N: usize>(self, shift: isize, count: usize) -> [&'a [[f32; LANES]]; N] {
        std::array::from_fn(|plane| self.vectors(plane, shift, count))
    }
}

/// One row of all planes, to be written.
pub(super) struct RowMut<'a> {
    data: &'a mut [f32],
    stride: usize,
}

impl<'a> RowMut<'a> {
    #[inline(always)]
    pub(super) fn plane_mut(&mut self, plane: usize) -> &mut [f32] {
        &mut self.data[plane * self.stride..][..self.stride][PAD..]
    }

    /// `count` vectors of a plane.
    #[inline(always)]
    pub(super) fn vectors_mut(&mut self, plane: usize, count: usize) -> &mut [[f32; LANES]] {
        &mut self.plane_mut(plane)[..count * LANES].as_chunks_mut().0[..count]
    }

    /// Repeats a plane's first and last pixel in the pads, `reach` times at most.
    #[inline(always)]
    pub(super) fn repeat_edges(&mut self, plane: usize, width: usize, reach: usize) {
        let values = &mut self.data[plane * self.stride..][..self.stride];
        let (first, last) = (values[PAD], values[PAD + width - 1]);
        values[PAD - reach..PAD].fill(first);
        values[PAD + width..][..reach].fill(last);
    }

    /// Each of the first `N` planes from its first pixel.
    #[inline(always)]
    pub(super) fn planes_mut<const N: usize>(&mut self) -> [&mut [f32]; N] {
        let mut planes = self.data.chunks_exact_mut(self.stride);
        std::array::from_fn(|_| planes.next().map(|plane| &mut plane[PAD..]).unwrap_or_default())
    }

    /// The first `count` planes and those after them.
    #[inline(always)]
    pub(super) fn split(self, count: usize) -> (RowMut<'a>, RowMut<'a>) {
        let (first, second) = self.data.split_at_mut(count * self.stride);
        (RowMut { data: first, stride: self.stride }, RowMut { data: second, stride: self.stride })
    }

    #[inline(always)]
    pub(super) fn freeze(self) -> Row<'a> {
        Row { data: self.data, stride: self.stride }
    }

    /// `count` vectors of each of the `N` planes.
    #[inline(always)]
    pub(super) fn all_vectors_mut<const N: usize>(self, count: usize) -> [&'a mut [[f32; LANES]]; N] {
        let mut planes = self.data.chunks_exact_mut(self.stride);
        std::array::from_fn(|_| {
            let plane = planes.next().unwrap_or_default();
            &mut plane[PAD..][..count * LANES].as_chunks_mut().0[..count]
        })
    }
}
