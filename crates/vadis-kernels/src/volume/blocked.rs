//! The layout of a clip's activations: `[channels / 16][time][height][width][16]`, with a border of
//! zeros, so that no kernel tests for an edge and sixteen channels are one vector.

use std::ops::Range;

use crate::tile::LANES;

/// Zeros around a volume: `[before, after]` on `[time, height, width]`.
pub(crate) type Border = [[usize; 2]; 3];

/// One clip's activations in a buffer. Lanes beyond the last channel, and the border, are zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blocked {
    /// Channels that mean something.
    pub(crate) channels: usize,
    /// `[time, height, width]` without the border.
    pub(crate) shape: [usize; 3],
    /// Time slices that a buffer has room for, without the border.
    pub(crate) slots: usize,
    pub(crate) border: Border,
}

impl Blocked {
    pub(crate) fn new(channels: usize, shape: [usize; 3], border: Border) -> Self {
        Self { channels, shape, slots: shape[0], border }
    }

    /// Blocks of sixteen channels.
    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Length of an axis with its border, in a buffer.
    pub(crate) fn padded(&self, axis: usize) -> usize {
        let length = if axis == 0 { self.slots } else { self.shape[axis] };
        self.border[axis][0] + length + self.border[axis][1]
    }

    /// Elements from one row to the next.
    pub(crate) fn row_pitch(&self) -> usize {
        self.padded(2) * LANES
    }

    /// Elements from one time slice to the next.
    pub(crate) fn slice_pitch(&self) -> usize {
        self.padded(1) * self.row_pitch()
    }

    /// Elements from one block of channels to the next.
    pub(crate) fn block_pitch(&self) -> usize {
        self.padded(0) * self.slice_pitch()
    }

    /// Elements of the whole buffer of one clip.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.block_pitch()
    }

    /// Index of the first lane of `block` at `[t, y, x]`, which may lie in the border.
    pub(crate) fn at(&self, block: usize, place: [isize; 3]) -> usize {
        let [t, y, x] = std::array::from_fn(|axis| {
            let padded = place[axis] + self.border[axis][0] as isize;
            debug_assert!((0..self.padded(axis) as isize).contains(&padded), "{place:?} on axis {axis}");
            padded as usize
        });
        block * self.block_pitch() + t * self.slice_pitch() + y * self.row_pitch() + x * LANES
    }

    /// The place of row `[t, y]` of `block`, without the border.
    pub(crate) fn row(&self, block: usize, t: usize, y: usize) -> Range<usize> {
        let start = self.at(block, [t as isize, y as isize, 0]);
        start..start + self.shape[2] * LANES
    }
}
