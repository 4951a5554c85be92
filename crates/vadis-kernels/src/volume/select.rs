//! Nodes that pick or copy values: pooling, upsampling, joining, sampling in time; and the way back.
//!
//! Each is written row by row of what it writes. The way back adds, or writes if it is the first to
//! reach its node.

use rayon::prelude::*;

use super::layout::Layout;
use super::pass::{self, Pooled, unpool};
use super::plan::Operation;
use crate::Isa;
use crate::elementwise::add;
use crate::tile::LANES;

/// What a node's values are kept as: floats, or bytes.
pub(crate) trait Element: Copy + Default + Send + Sync {
    /// The larger of `most` and of the values every `step` vectors apart.
    fn maximum(isa: Isa, most: &mut [Self], values: &[Self], step: usize);
}

impl Element for f32 {
    fn maximum(isa: Isa, most: &mut [f32], values: &[f32], step: usize) {
        pass::maximum(isa, most, values, step);
    }
}

/// A batch in its layout.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a, T = f32> {
    pub(crate) layout: &'a Layout,
    pub(crate) values: &'a [T],
    /// The slot of each slice, if they are not in their order.
    pub(crate) slots: Option<&'a [usize]>,
}

/// What is written: a batch, or some slices of a clip.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) layout: &'a Layout,
    /// The slice that is written to each slot, if they are not all of them in their order.
    pub(crate) times: Option<&'a [Option<usize>]>,
}

impl Target<'_> {
    /// The slice that is written to a slot.
    fn time(&self, slot: usize) -> Option<usize> {
        self.times.map_or(Some(slot), |times| times[slot])
    }
}

impl<'a, T> Batch<'a, T> {
    fn row(&self, place: &Place) -> &'a [T] {
        self.row_of(place.clip, place.block, place.t, place.y)
    }

    fn row_of(&self, clip: usize, block: usize, t: usize, y: usize) -> &'a [T] {
        let row = self.layout.row(block, self.slots.map_or(t, |slots| slots[t]), y);
        let start = clip * self.layout.len();
        &self.values[start + row.start..start + row.end]
    }
}

/// A row of a batch.
#[derive(Clone, Copy)]
struct Place {
    clip: usize,
    block: usize,
    t: usize,
    y: usize,
}

/// Calls `f` with each row, its margins cleared, and its place.
fn rows(layout: &Layout, values: &mut [f32], f: impl Fn(Place, &mut [f32]) + Sync) {
    rows_of(&Target { layout, times: None }, values, f);
}

/// As [`rows`], of the slices to be written.
fn rows_of<T: Element>(target: &Target<'_>, values: &mut [T], f: impl Fn(Place, &mut [T]) + Sync) {
    let layout = target.layout;
    let (slots, height) = (layout.slots, layout.shape[1]);
    values.par_chunks_mut(layout.row_pitch()).enumerate().with_min_len(4).for_each(|(index, row)| {
        let (clip, rest) = (index / layout.rows(), index % layout.rows());
        let Some(t) = target.time(rest / height % slots) else { return };
        let place = Place { clip, block: rest / (slots * height), t, y: rest % height };
        layout.clear_margins(row);
        f(place, &mut row[layout.inside()]);
    });
}

/// A window and its stride on `[time, height, width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
}

impl Pool {
    /// The distances of the window's rows and positions from its first, in order.
    fn offsets(self) -> impl Iterator<Item = [usize; 3]> {
        let [kt, kh, kw] = self.kernel;
        (0..kt * kh * kw).map(move |i| [i / (kh * kw), i / kw % kh, i % kw])
    }

    fn forward<T: Element>(self, isa: Isa, input: Batch<'_, T>, target: &Target<'_>, output: &mut [T]) {
        let [st, sy, sx] = self.stride;
        rows_of(target, output, |Place { clip, block, t, y }, row| {
            for (index, [dt, dy, dx]) in self.offsets().enumerate() {
                let values = &input.row_of(clip, block, t * st + dt, y * sy + dy)[dx * LANES..];
                if index == 0 {
                    let picked = values.chunks(sx * LANES).zip(row.chunks_exact_mut(LANES));
                    picked.for_each(|(value, most)| most.copy_from_slice(&value[..LANES]));
                } else {
                    T::maximum(isa, row, values, sx);
                }
            }
        });
    }

    /// The gradient goes to the first of the largest values, as in PyTorch.
    pub(crate) fn backward(
        self,
        isa: Isa,
        [input, output, gradient]: [Batch<'_>; 3],
        layout: &Layout,
        to: &mut [f32],
        accumulate: bool,
    ) {
        let [st, sy, sx] = self.stride;
        let [time, height, width] = output.layout.shape;
        to.par_chunks_mut(layout.block_pitch()).enumerate().for_each(|(index, to)| {
            if !accumulate {
                to.fill(0.0);
            }
            let (clip, block) = (index / layout.blocks(), index % layout.blocks());
            let mut open = vec![0.0; width * LANES];
            for (t, y) in (0..time).flat_map(|t| (0..height).map(move |y| (t, y))) {
                open.fill(1.0);
                for [dt, dy, dx] in self.offsets() {
                    let pooled = Pooled {
                        most: output.row_of(clip, block, t, y),
                        gradient: gradient.row_of(clip, block, t, y),
                        values: &input.row_of(clip, block, t * st + dt, y * sy + dy)[dx * LANES..],
                        step: sx,
                    };
                    let row = layout.row(0, t * st + dt, y * sy + dy);
                    unpool(isa, &pooled, &mut open, &mut to[row][dx * LANES..]);
                }
            }
        });
    }
}

/// Computes a node that is neither the input nor a convolution.
pub(crate) fn forward<T: Element>(
    operation: &Operation,
    isa: Isa,
    inputs: &[Batch<'_, T>],
    target: &Target<'_>,
    output: &mut [T],
) {
    match *operation {
        Operation::MaxPool { kernel, stride } => {
            Pool { kernel, stride }.forward(isa, inputs[0], target, output);
        }
        Operation::Upsample { factor } => upsample(factor, inputs[0], target, output),
        Operation::Concat => concat(inputs, target, output),
        Operation::Sample { step } => sample(step, inputs[0], target, output),
        Operation::Input | Operation::Conv(_) => unreachable!("these go their own way"),
    }
}

/// Repeats each value `factor` times on each axis.
fn upsample<T: Element>(factor: [usize; 3], input: Batch<'_, T>, target: &Target<'_>, output: &mut [T]) {
    let [ft, fy, fx] = factor;
    rows_of(target, output, |Place { clip, block, t, y }, row| {
        let from = input.row_of(clip, block, t / ft, y / fy);
        for (values, from) in row.chunks_exact_mut(fx * LANES).zip(from.chunks_exact(LANES)) {
            values.chunks_exact_mut(LANES).for_each(|value| value.copy_from_slice(from));
        }
    });
}

/// The way back through [`upsample`].
pub(crate) fn upsample_backward(
    isa: Isa,
    factor: [usize; 3],
    gradient: Batch<'_>,
    layout: &Layout,
    to: &mut [f32],
    accumulate: bool,
) {
    let [ft, fy, fx] = factor;
    rows(layout, to, |Place { clip, block, t, y }, row| {
        if !accumulate {
            row.fill(0.0);
        }
        for (t, y) in (0..ft * fy).map(|i| (t * ft + i / fy, y * fy + i % fy)) {
            let from = gradient.row_of(clip, block, t, y);
            for (to, from) in row.chunks_exact_mut(LANES).zip(from.chunks_exact(fx * LANES)) {
                from.chunks_exact(LANES).for_each(|from| add(isa, to, from));
            }
        }
    });
}

/// Joins along the channels.
fn concat<T: Element>(inputs: &[Batch<'_, T>], target: &Target<'_>, output: &mut [T]) {
    rows_of(target, output, |place, row| {
        row.fill(T::default());
        let mut first = 0;
        for input in inputs {
            copy_channels(*input, &place, (first, row));
            first += input.layout.channels;
        }
    });
}

/// Gives the rows of the channels that input and row share, where the input's channels start at
/// `first` of the joined ones.
fn copy_channels<T: Copy>(input: Batch<'_, T>, place: &Place, (first, row): (usize, &mut [T])) {
    let channels = place.block * LANES..(place.block + 1) * LANES;
    let shared = first.max(channels.start)..(first + input.layout.channels).min(channels.end);
    if shared.is_empty() {
        return;
    }
    if first.is_multiple_of(LANES) && shared.start == channels.start {
        let block = (channels.start - first) / LANES;
        let from = input.row(&Place { block, ..*place });
        return row.copy_from_slice(from);
    }
    for channel in shared {
        let (block, lane) = ((channel - first) / LANES, (channel - first) % LANES);
        let from = input.row(&Place { block, ..*place })[lane..].iter().step_by(LANES);
        row[channel - channels.start..]
            .iter_mut()
            .step_by(LANES)
            .zip(from)
            .for_each(|(to, from)| *to = *from);
    }
}

/// The way back through [`concat`] to the input whose channels start at `first`.
pub(crate) fn concat_backward(
    gradient: Batch<'_>,
    first: usize,
    layout: &Layout,
    to: &mut [f32],
    accumulate: bool,
) {
    rows(layout, to, |place, row| {
        if first.is_multiple_of(LANES) && !accumulate {
            let block = first / LANES + place.block;
            return row.copy_from_slice(gradient.row(&Place { block, ..place }));
        }
        if !accumulate {
            row.fill(0.0);
        }
        for lane in 0..LANES.min(layout.channels - place.block * LANES) {
            let channel = first + place.block * LANES + lane;
            let from = gradient.row(&Place { block: channel / LANES, ..place });
            let from = from[channel % LANES..].iter().step_by(LANES);
            row[lane..].iter_mut().step_by(LANES).zip(from).for_each(|(to, from)| *to += from);
        }
    });
}

/// Frames 0, `step`, 2·`step`, …
fn sample<T: Element>(step: usize, input: Batch<'_, T>, target: &Target<'_>, output: &mut [T]) {
    rows_of(target, output, |Place { clip, block, t, y }, row| {
        row.copy_from_slice(input.row_of(clip, block, t * step, y));
    });
}

/// The way back through [`sample`].
pub(crate) fn sample_backward(
    step: usize,
    gradient: Batch<'_>,
    layout: &Layout,
    to: &mut [f32],
    accumulate: bool,
) {
    rows(layout, to, |Place { clip, block, t, y }, row| {
        if !accumulate {
            row.fill(0.0);
        }
        if t.is_multiple_of(step) {
            let from = gradient.row_of(clip, block, t / step, y);
            row.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    });
}
