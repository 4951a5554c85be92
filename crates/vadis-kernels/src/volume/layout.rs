//! How a network's values lie in its buffers: `[channels / lanes][time][height][width][lanes]`.
//!
//! There are sixteen lanes, or, where the channels are few, as many as channels: there only their
//! scalars are read. Rows have a margin of zeros, so that no kernel tests for their ends; in time and
//! height the taps that would leave the volume are left out instead.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use super::blocked::Blocked;
use crate::shared::Shared;
use crate::tile::LANES;

/// Most channels that are kept without padding to sixteen.
const FEW: usize = 8;

/// One clip's values in a buffer. Lanes beyond the last channel are finite, the margins zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) channels: usize,
    pub(crate) lanes: usize,
    /// `[time, height, width]`.
    pub(crate) shape: [usize; 3],
    /// Time slices that a buffer has room for: `time`, except where they lie in any order.
    pub(crate) slots: usize,
    /// Zeros before and after each row, in positions.
    pub(crate) margin: [usize; 2],
}

/// Whether so few channels are better kept without padding.
pub(crate) fn is_few(channels: usize) -> bool {
    channels <= FEW
}

impl Layout {
    /// In sixteen lanes, or in as many as channels if `packed`, without margins.
    pub(crate) fn new([channels, t, h, w]: [usize; 4], packed: bool) -> Self {
        let lanes = if packed { channels } else { LANES };
        Self { channels, lanes, shape: [t, h, w], slots: t, margin: [0, 0] }
    }

    /// Whether it has sixteen lanes.
    pub(crate) fn is_blocked(&self) -> bool {
        self.lanes == LANES
    }

    /// The same in the words of the Winograd transform.
    pub(crate) fn blocked(&self) -> Blocked {
        let border = [[0, 0], [0, 0], self.margin];
        Blocked { slots: self.slots, ..Blocked::new(self.channels, self.shape, border) }
    }

    /// Makes the margins at least as wide.
    pub(crate) fn widen(&mut self, margin: [usize; 2]) {
        self.margin = std::array::from_fn(|side| self.margin[side].max(margin[side]));
    }

    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(self.lanes)
    }

    pub(crate) fn row_pitch(&self) -> usize {
        (self.margin[0] + self.shape[2] + self.margin[1]) * self.lanes
    }

    fn slice_pitch(&self) -> usize {
        self.shape[1] * self.row_pitch()
    }

    pub(crate) fn block_pitch(&self) -> usize {
        self.slots * self.slice_pitch()
    }

    /// Elements of one clip.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.block_pitch()
    }

    /// Rows of one clip over all blocks.
    pub(crate) fn rows(&self) -> usize {
        self.blocks() * self.slots * self.shape[1]
    }

    /// Index of the first lane of a position of slot `t`, which may lie in the margin.
    pub(crate) fn at(&self, block: usize, t: usize, y: usize, x: isize) -> usize {
        let x = (x + self.margin[0] as isize) as usize;
        block * self.block_pitch() + t * self.slice_pitch() + y * self.row_pitch() + x * self.lanes
    }

    /// A row with its margins.
    pub(crate) fn whole_row(&self, block: usize, t: usize, y: usize) -> Range<usize> {
        let start = self.at(block, t, y, -(self.margin[0] as isize));
        start..start + self.row_pitch()
    }

    /// A row without its margins.
    pub(crate) fn row(&self, block: usize, t: usize, y: usize) -> Range<usize> {
        let start = self.at(block, t, y, 0);
        start..start + self.shape[2] * self.lanes
    }

    /// Where the values lie in a row with its margins.
    pub(crate) fn inside(&self) -> Range<usize> {
        let start = self.margin[0] * self.lanes;
        start..start + self.shape[2] * self.lanes
    }

    /// Writes zeros around the values of a row with its margins.
    pub(crate) fn clear_margins<T: Copy + Default>(&self, row: &mut [T]) {
        let inside = self.inside();
        row[..inside.start].fill(T::default());
        row[inside.end..].fill(T::default());
    }

    /// Writes what stands for zero in each lane around the values of a row with its margins.
    pub(crate) fn fill_margins<T: Copy>(&self, row: &mut [T], zeros: &[T]) {
        let inside = self.inside();
        let (before, rest) = row.split_at_mut(inside.start);
        let after = &mut rest[inside.end - inside.start..];
        for position in before.chunks_exact_mut(self.lanes).chain(after.chunks_exact_mut(self.lanes)) {
            position.copy_from_slice(zeros);
        }
    }

    /// Writes zeros around the values of all rows of a batch.
    pub(crate) fn clear_all_margins(&self, buffer: &mut [f32]) {
        if self.margin != [0, 0] {
            buffer.par_chunks_mut(self.row_pitch()).for_each(|row| self.clear_margins(row));
        }
    }

    /// Fills a batch from `[batch][C][T][H][W]`.
    pub(crate) fn read_planes(&self, planes: &[f32], buffer: &mut [f32]) {
        let ([time, height, width], lanes, inside) = (self.shape, self.lanes, self.inside());
        let plane = time * height * width;
        buffer.par_chunks_mut(self.row_pitch()).enumerate().for_each(|(index, row)| {
            let (clip, rest) = (index / self.rows(), index % self.rows());
            let (block, rest) = (rest / (time * height), rest % (time * height));
            let channels = (self.channels - block * lanes).min(lanes);
            let first = (clip * self.channels + block * lanes) * plane + rest * width;
            self.clear_margins(row);
            let row = &mut row[inside.clone()];
            if channels < lanes {
                row.fill(0.0);
            }
            for c in 0..channels {
                let from = &planes[first + c * plane..][..width];
                row[c..].iter_mut().step_by(lanes).zip(from).for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Fills a slot from one slice's planes `[C][H][W]`.
    pub(crate) fn read_slice(&self, planes: &[f32], slot: usize, buffer: &mut [f32]) {
        let ([_, height, width], lanes, inside) = (self.shape, self.lanes, self.inside());
        let rows = buffer.par_chunks_mut(self.row_pitch()).enumerate();
        rows.filter(|(index, _)| index / height % self.slots == slot).for_each(|(index, row)| {
            let (block, y) = (index / (height * self.slots), index % height);
            let channels = (self.channels - block * lanes).min(lanes);
            self.clear_margins(row);
            let row = &mut row[inside.clone()];
            if channels < lanes {
                row.fill(0.0);
            }
            for c in 0..channels {
                let from = &planes[((block * lanes + c) * height + y) * width..][..width];
                row[c..].iter_mut().step_by(lanes).zip(from).for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Writes a slot to one slice's planes `[C][H][W]`.
    pub(crate) fn write_slice(&self, buffer: &[f32], slot: usize, planes: &mut [f32]) {
        let ([_, height, width], lanes) = (self.shape, self.lanes);
        planes.par_chunks_mut(width).enumerate().with_min_len(16).for_each(|(index, plane)| {
            let (channel, y) = (index / height, index % height);
            let row = &buffer[self.row(channel / lanes, slot, y)];
            let values = row[channel % lanes..].iter().step_by(lanes);
            plane.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        });
    }

    /// Writes a batch to `[batch][C][T][H][W]`.
    pub(crate) fn write_planes(&self, buffer: &[f32], planes: &mut [f32]) {
        self.write_planes_by(buffer, planes, |_, value| value);
    }

    /// As [`Layout::write_planes`], where `value` gives the value of a channel's element.
    pub(crate) fn write_planes_by<T: Copy + Sync>(
        &self,
        buffer: &[T],
        planes: &mut [f32],
        value: impl Fn(usize, T) -> f32 + Sync,
    ) {
        let ([time, height, width], lanes) = (self.shape, self.lanes);
        let plane = time * height * width;
        let clips = planes.len() / (self.channels * plane);
        let shared = Shared::new(planes);
        (0..clips * self.rows()).into_par_iter().with_min_len(16).for_each(|index| {
            let (clip, rest) = (index / self.rows(), index % self.rows());
            let (block, rest) = (rest / (time * height), rest % (time * height));
            let channels = (self.channels - block * lanes).min(lanes);
            let first = (clip * self.channels + block * lanes) * plane + rest * width;
            let start = clip * self.len() + self.row(block, rest / height, rest % height).start;
            let row = &buffer[start..][..width * lanes];
            for c in 0..channels {
                let start = first + c * plane;
                // SAFETY: each row of each plane belongs to one task.
                let to = unsafe { shared.part(start..start + width) };
                to.iter_mut()
                    .zip(row[c..].iter().step_by(lanes))
                    .for_each(|(to, from)| *to = value(block * lanes + c, *from));
            }
        });
    }
}
