//! Convolution by tiles of floats' halves (`crate::halves`): sums of products over all taps as [`Direct`]'s, thirty-two input
//! channels of one tap at a time.
//!
//! Each task brings its input to halves first, two blocks of channels side by side: a position's are a cache line, and tiles
//! read nothing but whole lines. Its rows are those of a task of [`Direct`], for all panels of output channels.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use super::direct::{Direct, Finish, MOMENTS, Task};
use super::kernel::PANEL;
use super::layout::Layout;
use super::slices::{InOrder, Slices};
use super::taps::{Tap, Window};
use crate::Isa;
use crate::amx::ROWS;
use crate::halves::{self, Chunk, End, LINE, Product, TERMS, TILE, Terms, Tiles, tile_len};
use crate::shared::Shared;
use crate::tile::LANES;

/// Positions of a phase below which tiles take longer than vectors.
const LEAST: usize = 8;
/// Chunks that are summed at a time, in the tiles alone: their weights, 108 KiB, stay in the second-level cache for all rows
/// of a task.
const CHUNKS: usize = 27;

/// Input values of a task: in halves they stay in the second-level cache for all panels.
const INPUTS: usize = 320 << 10;

/// A convolution of volumes in sixteen lanes, by halves.
#[derive(Clone, Debug)]
pub(crate) struct ByHalves {
    direct: Direct,
}

/// A stretch of a sum: where it reads in row 0, its tap in height, and its tile of weights.
#[derive(Clone, Copy, Debug)]
struct Entry {
    a: usize,
    y: Tap,
    tile: usize,
}

impl ByHalves {
    /// If both sides have sixteen lanes and rows of some length.
    pub(crate) fn new(window: &Window, phased: bool, from: Layout, to: Layout) -> Option<Self> {
        if !(from.is_blocked() && to.is_blocked()) {
            return None;
        }
        let direct = Direct::new(window, phased, from, to).with_inputs(INPUTS);
        (direct.axes[2].count(0) >= LEAST).then_some(Self { direct })
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(self, slots: [usize; 2]) -> Self {
        Self { direct: self.direct.with_slots(slots) }
    }

    /// Pairs of blocks of input channels.
    fn pairs(&self) -> usize {
        self.direct.from.blocks().div_ceil(2)
    }

    fn taps(&self) -> usize {
        self.direct.kernel.iter().product()
    }

    /// Floats whose memory a panel's weights take.
    fn panel_len(&self, panel: usize) -> usize {
        self.taps() * self.pairs() * tile_len(self.direct.width(panel)) / 2
    }

    /// Floats whose memory the packed weight takes.
    pub(crate) fn packed_len(&self) -> usize {
        (0..self.direct.panels()).map(|panel| self.panel_len(panel)).sum()
    }

    /// For each tap of the kernel: its first tile in a panel, and tiles from one pair of blocks to the next.
    fn places(&self) -> Vec<[usize; 2]> {
        let [kt, kh, kw] = self.direct.kernel;
        let mut places = vec![[0; 2]; kt * kh * kw];
        let mut first = 0;
        for [ts, ys, xs] in self.phases() {
            for (t, y) in ts.iter().flat_map(|t| ys.iter().map(move |y| (t, y))) {
                for (k, x) in xs.iter().enumerate() {
                    places[(t.k * kh + y.k) * kw + x.k] = [first + k, xs.len()];
                }
                first += self.pairs() * xs.len();
            }
        }
        places
    }

    /// The taps of all phases, as their weights lie.
    fn phases(&self) -> impl Iterator<Item = [&Vec<Tap>; 3]> {
        let [t, y, x] = [0, 1, 2].map(|axis| &self.direct.axes[axis].phases);
        t.iter().flat_map(move |t| y.iter().flat_map(move |y| x.iter().map(move |x| [t, y, x])))
    }

    /// Brings the weight into the order in which it is read: `[panel][phase][t tap][y tap][pair of blocks][x tap]`, for each a
    /// tile of pairs of channels.
    pub(crate) fn pack_into(&self, weight: &[f32], packed: &mut [f32]) {
        let (places, taps) = (self.places(), self.taps());
        let Direct { from, to, phased, .. } = &self.direct;
        let pitch = if *phased { taps } else { from.channels * taps };
        packed.par_chunks_mut(self.panel_len(0)).enumerate().for_each(|(panel, packed)| {
            let packed = as_halves_mut(packed);
            let (first, blocks) = (panel * PANEL, self.direct.width(panel));
            let outputs = (to.channels - first).min(PANEL);
            let mut terms = [0.0; TERMS * PANEL];
            for pair in 0..self.pairs() {
                let inputs = (from.channels - pair * TERMS).min(TERMS);
                for (k, [place, step]) in places.iter().enumerate() {
                    for (input, lanes) in terms.chunks_exact_mut(blocks * LANES).take(inputs).enumerate() {
                        let start = self.direct.weight_index(first, pair * TERMS + input) + k;
                        let values = weight[start..].iter().step_by(pitch).take(outputs);
                        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = *value);
                    }
                    let tile = tile_len(blocks);
                    let to = &mut packed[(place + pair * step) * tile..][..tile];
                    let terms = Terms { values: &terms, step: blocks * LANES, count: inputs };
                    halves::pairs(terms, blocks, to);
                }
            }
        });
    }

    /// Convolves a batch, as [`Direct::run`].
    pub(crate) fn run(
        &self,
        isa: Isa,
        [input, packed]: [&[f32]; 2],
        finish: &Finish<'_>,
        output: &mut [f32],
        moments: &mut [f64],
    ) {
        let all = InOrder::new(self.direct.from.shape[0], self.direct.to.shape[0]);
        self.run_slices(isa, [input, packed], finish, output, moments, &all.slices());
    }

    /// As [`ByHalves::run`], of some slices of the output; `moments` must be empty unless of all.
    pub(crate) fn run_slices(
        &self,
        isa: Isa,
        [input, packed]: [&[f32]; 2],
        finish: &Finish<'_>,
        output: &mut [f32],
        moments: &mut [f64],
        slices: &Slices<'_>,
    ) {
        let (batch, panels) = (output.len() / self.direct.to.len(), self.direct.panels());
        assert_eq!(input.len(), batch * self.direct.from.len(), "input of a convolution");
        let (output, wanted) = (Shared::new(output), !moments.is_empty());
        let moments = Shared::new(moments);
        let packed = as_halves(packed);
        let places = self.places();
        // All panels of the same rows are one thread's: they share the input's halves.
        (0..self.direct.tasks(batch, slices) / panels).into_par_iter().with_max_len(1).for_each(|group| {
            let first = self.direct.task(group * panels, slices);
            let part = Part::new(self, &first);
            let phases = 0..self.direct.axes[2].phases.len();
            let entries: Vec<_> = phases.map(|px| part.entries(px, first.phase, &places)).collect();
            halves::with_buffer(part.len(), |buffer| {
                part.read(&input[part.clip * self.direct.from.len()..], buffer);
                Tiles::with(|tiles| {
                    for panel in 0..panels {
                        let index = group * panels + panel;
                        let task = self.direct.task(index, slices);
                        let weights = &packed[2 * panel * self.panel_len(0)..][..2 * self.panel_len(panel)];
                        let start = finish.start(panel);
                        for (px, entries) in entries.iter().enumerate() {
                            let sides = (entries.as_slice(), [&*buffer, weights]);
                            self.run_phase(
                                tiles,
                                &task,
                                px,
                                &part,
                                sides,
                                (!finish.accumulate).then_some(&start),
                                &output,
                            );
                        }
                        // SAFETY: each task has moments of its own.
                        let moments =
                            wanted.then(|| unsafe { moments.part(index * MOMENTS..(index + 1) * MOMENTS) });
                        self.direct.finish_task(isa, &task, finish, &output, moments);
                    }
                });
            });
        });
    }

    pub(crate) fn task_count(&self, batch: usize) -> usize {
        self.direct.task_count(batch)
    }

    pub(crate) fn reduce(&self, moments: &[f64]) -> Vec<[f64; 2]> {
        self.direct.reduce(moments)
    }

    /// Halves of a row with its margins, of one pair of blocks.
    fn row_len(&self) -> usize {
        self.direct.from.row_pitch() / LANES * LINE
    }

    /// One phase in width of the task's rows.
    #[expect(clippy::too_many_arguments, reason = "private, one phase's state")]
    fn run_phase(
        &self,
        tiles: &mut Tiles,
        task: &Task<'_>,
        px: usize,
        part: &Part<'_>,
        (entries, [halves, weights]): (&[Entry], [&[u16]; 2]),
        start: Option<&[f32; PANEL]>,
        output: &Shared<'_>,
    ) {
        let count = self.direct.axes[2].count(px);
        if count == 0 {
            return;
        }
        let mut rows = self.direct.output_rows(task, output);
        let mut started = vec![start.is_none(); task.rows];
        let mut chunks = Vec::new();
        for group in entries.chunks(CHUNKS).chain(std::iter::once(&[][..]).filter(|_| entries.is_empty())) {
            let mut index = 0;
            while index < task.rows {
                part.chunks(group, task, index, &mut chunks);
                let alike = count <= ROWS && self.are_alike(group, task, index);
                let rows_of_tile = if alike { 2 } else { 1 };
                if !(started[index] && chunks.is_empty()) {
                    let end = match start.filter(|_| !started[index]) {
                        Some(lanes) => End::Bias { lanes, relu: false },
                        None => End::Add,
                    };
                    let rows = &mut rows[index..index + rows_of_tile];
                    self.run_rows(tiles, task, px, part, [halves, weights], &chunks, end, rows);
                    started[index..index + rows_of_tile].fill(true);
                }
                index += rows_of_tile;
            }
        }
    }

    /// Whether the row after the `index`-th has the same taps as that.
    fn are_alike(&self, entries: &[Entry], task: &Task<'_>, index: usize) -> bool {
        let reads =
            |index: usize, entry: &Entry| self.direct.axes[1].reads(task.first + index, entry.y).is_some();
        index + 1 < task.rows && entries.iter().all(|entry| reads(index, entry) == reads(index + 1, entry))
    }

    /// One row, or two of at most sixteen positions.
    #[expect(clippy::too_many_arguments, reason = "private, one row's state")]
    fn run_rows(
        &self,
        tiles: &mut Tiles,
        task: &Task<'_>,
        px: usize,
        part: &Part<'_>,
        [halves, weights]: [&[u16]; 2],
        chunks: &[Chunk],
        end: End<'_>,
        rows: &mut [[&mut [f32]; 2]],
    ) {
        let [_, y, x] = &self.direct.axes;
        let (count, phases) = (x.count(px), x.phases.len());
        let (to, a_row) = (&self.direct.to, x.advance * LINE);
        let (skip, step) = (to.inside().start + px * LANES, phases * LANES);
        let product = |first: usize, a_next: usize, rows: [usize; 2]| Product {
            a: halves,
            first: first * a_row,
            lower: part.lower(),
            a_row,
            a_next,
            b: weights,
            b_next: [TILE; 2],
            chunks,
            rows,
            blocks: self.direct.width(task.panel),
        };
        let second = if rows.len() > 1 { count } else { 0 };
        let mut write = |tiles: &Tiles, tile: usize, row: usize, first: usize, count: usize| {
            for (block, out) in rows[row].iter_mut().enumerate().filter(|(_, out)| !out.is_empty()) {
                tiles.write([tile, block], count, end, &mut out[skip + first * step..], step);
            }
        };
        if count <= ROWS {
            product(0, y.advance * self.row_len(), [count, second]).sum(tiles);
            write(tiles, 0, 0, 0, count);
            if second > 0 {
                write(tiles, 1, 1, 0, count);
            }
            return;
        }
        for first in (0..count).step_by(2 * ROWS) {
            let of = halves::next_rows(count - first);
            product(first, ROWS * a_row, of).sum(tiles);
            write(tiles, 0, 0, first, of[0]);
            if of[1] > 0 {
                write(tiles, 1, 0, first + ROWS, of[1]);
            }
        }
    }
}

/// The input of a task in halves: `[half][pair of blocks][slice][row][position][32]`, of the slices and rows that it reads.
struct Part<'a> {
    conv: &'a ByHalves,
    clip: usize,
    /// Of each tap in time that reads a slice: the tap and the slice's slot.
    slots: Vec<(Tap, usize)>,
    /// Rows that are read.
    rows: Range<usize>,
}

impl<'a> Part<'a> {
    fn new(conv: &'a ByHalves, task: &Task<'_>) -> Self {
        let [time, height, _] = &conv.direct.axes;
        let (pt, index) = (task.t % time.phases.len(), task.t / time.phases.len());
        let slot = |&tap: &Tap| Some((tap, task.slices.from[time.reads(index, tap)?]));
        let slots = time.phases[pt].iter().filter_map(slot).collect();
        let places = (task.first..task.first + task.rows).flat_map(|index| {
            height.phases[task.phase].iter().filter_map(move |&tap| height.reads(index, tap))
        });
        let (first, end) = places.fold((usize::MAX, 0), |(first, end), y| (first.min(y), end.max(y + 1)));
        Self { conv, clip: task.clip, slots, rows: first.min(end)..end }
    }

    /// Upper or lower halves, and what tiles read beyond the last row.
    fn lower(&self) -> usize {
        let [_, y, x] = &self.conv.direct.axes;
        let row = self.conv.row_len();
        let beyond = 2 * ROWS * x.advance * LINE + y.advance * row;
        self.conv.pairs() * self.slots.len() * self.rows.len() * row + beyond
    }

    fn len(&self) -> usize {
        2 * self.lower()
    }

    /// Splits the rows of a clip.
    fn read(&self, clip: &[f32], buffer: &mut [u16]) {
        let (from, row) = (&self.conv.direct.from, self.conv.row_len());
        let (upper, lower) = buffer.split_at_mut(self.lower());
        let mut halves = upper.chunks_exact_mut(row).zip(lower.chunks_exact_mut(row));
        for pair in 0..self.conv.pairs() {
            for &(_, slot) in &self.slots {
                for (y, (upper, lower)) in self.rows.clone().zip(halves.by_ref()) {
                    join_pair(
                        pair,
                        from.blocks(),
                        |block| &clip[from.whole_row(block, slot, y)],
                        upper,
                        lower,
                    );
                }
            }
        }
    }

    /// The stretches of the sums in a phase, in the order of the packed weight, of which the places tell; taps in time that
    /// leave the volume are left out.
    fn entries(&self, px: usize, phase: usize, places: &[[usize; 2]]) -> Vec<Entry> {
        let [_, height, width] = &self.conv.direct.axes;
        let [_, kh, kw] = self.conv.direct.kernel;
        let margin = self.conv.direct.from.margin[0] as isize;
        let mut entries = Vec::new();
        for (slice, &(tap, _)) in self.slots.iter().enumerate() {
            for &y in &height.phases[phase] {
                for pair in 0..self.conv.pairs() {
                    for x in &width.phases[px] {
                        let [first, step] = places[(tap.k * kh + y.k) * kw + x.k];
                        let row = (pair * self.slots.len() + slice) * self.rows.len();
                        let a = row * self.conv.row_len() + (x.d + margin) as usize * LINE;
                        entries.push(Entry { a, y, tile: first + pair * step });
                    }
                }
            }
        }
        entries
    }

    /// The tiles of some entries for the `index`-th row of a task.
    fn chunks(&self, entries: &[Entry], task: &Task<'_>, index: usize, chunks: &mut Vec<Chunk>) {
        let tile = tile_len(self.conv.direct.width(task.panel));
        chunks.clear();
        chunks.extend(entries.iter().filter_map(|entry| {
            let y = self.conv.direct.axes[1].reads(task.first + index, entry.y)?;
            Some(Chunk { a: entry.a + (y - self.rows.start) * self.conv.row_len(), b: entry.tile * tile })
        }));
    }
}

/// Brings the `pair`-th two of so many blocks of channels to halves, from a row of each.
pub(super) fn join_pair<'a>(
    pair: usize,
    blocks: usize,
    row: impl Fn(usize) -> &'a [f32],
    upper: &mut [u16],
    lower: &mut [u16],
) {
    let second = (2 * pair + 1 < blocks).then(|| row(2 * pair + 1));
    halves::join(row(2 * pair), second, upper, lower);
}

/// The memory of floats as that of halves.
pub(super) fn as_halves(values: &[f32]) -> &[u16] {
    // SAFETY: all bits are numbers of either kind, whose alignment is the lesser.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), 2 * values.len()) }
}

pub(super) fn as_halves_mut(values: &mut [f32]) -> &mut [u16] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), 2 * values.len()) }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;
    use crate::Activation;

    /// A convolution of random values both ways.
    struct Case {
        direct: Direct,
        halves: ByHalves,
        input: Vec<f32>,
        packed: [Vec<f32>; 2],
        bias: Vec<f32>,
        batch: usize,
    }

    impl Case {
        fn new(window: Window, phased: bool, from: [usize; 4], to: [usize; 4]) -> Self {
            let (mut from, to) = (Layout::new(from, false), Layout::new(to, false));
            from.widen(Direct::margin(&window, phased, &from, &to));
            let direct = Direct::new(&window, phased, from, to);
            let halves = ByHalves::new(&window, phased, from, to).expect("rows of some length");
            let weight = noise(window.taps() * from.channels * to.channels, 1);
            let mut packed = [vec![0.0; direct.packed_len()], vec![0.0; halves.packed_len()]];
            direct.pack_into(&weight, &mut packed[0]);
            halves.pack_into(&weight, &mut packed[1]);
            let batch = 2;
            let planes = noise(batch * from.channels * from.shape.iter().product::<usize>(), 2);
            let mut input = vec![f32::NAN; batch * from.len()];
            from.read_planes(&planes, &mut input);
            Self { direct, halves, input, packed, bias: noise(to.channels, 3), batch }
        }

        fn finish(&self, accumulate: bool) -> Finish<'_> {
            let bias = if accumulate { &[][..] } else { &self.bias };
            Finish { bias, activation: Activation::LeakyRelu(0.2), accumulate }
        }

        fn outputs(&self, accumulate: bool) -> [Vec<f32>; 2] {
            let (isa, finish) = (Isa::detect(), self.finish(accumulate));
            let mut outputs = [0, 1].map(|_| noise(self.batch * self.direct.to.len(), 4));
            let mut moments = [0, 1].map(|_| vec![0.0; self.direct.task_count(self.batch) * MOMENTS]);
            let [plain, tiled] = &mut outputs;
            self.direct.run(isa.vectors(), &self.input, &self.packed[0], &finish, plain, &mut moments[0]);
            moments[1].resize(self.halves.task_count(self.batch) * MOMENTS, 0.0);
            self.halves.run(isa, [&self.input, &self.packed[1]], &finish, tiled, &mut moments[1]);
            let sums = [self.direct.reduce(&moments[0]), self.halves.reduce(&moments[1])];
            for (plain, tiled) in sums[0].iter().flatten().zip(sums[1].iter().flatten()) {
                assert!((plain - tiled).abs() <= 1e-4 * (1.0 + plain.abs()) * 30.0, "{plain} {tiled}");
            }
            outputs
        }
    }

    /// Sizes that leave tiles, pairs of blocks and panels full, half full and nearly empty.
    fn cases() -> Vec<Case> {
        let window = |kernel, stride, padding| Window { kernel, stride, padding };
        vec![
            Case::new(window([3; 3], [1; 3], [1; 3]), false, [32, 3, 5, 40], [32, 3, 5, 40]),
            Case::new(window([3; 3], [2; 3], [1; 3]), false, [40, 5, 9, 33], [70, 3, 5, 17]),
            Case::new(window([3; 3], [2; 3], [1; 3]), true, [33, 2, 4, 9], [16, 4, 8, 18]),
            Case::new(window([1, 3, 3], [1, 2, 2], [0, 1, 1]), false, [16, 2, 12, 16], [48, 2, 6, 8]),
            Case::new(window([1, 1, 1], [1; 3], [0; 3]), false, [96, 1, 3, 70], [20, 1, 3, 70]),
            Case::new(window([3, 4, 4], [1, 2, 2], [1; 3]), true, [64, 2, 3, 16], [33, 2, 6, 32]),
        ]
    }

    #[test]
    fn sums_are_those_of_floats() {
        if !halves::are_there() {
            return;
        }
        for (index, case) in cases().iter().enumerate() {
            for accumulate in [false, true] {
                let [plain, tiled] = case.outputs(accumulate);
                // Of sums of hundreds of terms of order 1.
                let size = (case.halves.taps() * case.direct.from.channels) as f32;
                for (i, (plain, tiled)) in plain.iter().zip(&tiled).enumerate() {
                    assert!(
                        (plain - tiled).abs() <= 1e-5 * size.sqrt() * 4.0,
                        "case {index} at {i}: {plain} {tiled}"
                    );
                }
            }
        }
    }

    #[test]
    fn some_slices_have_the_bits_of_all_whatever_the_batch_and_the_threads() {
        if !halves::are_there() {
            return;
        }
        for case in cases() {
            let [_, all] = case.outputs(false);
            let (from, to) = (&case.direct.from, &case.direct.to);
            let run = || {
                let mut output = vec![0.0; to.len()];
                let order = InOrder::new(from.shape[0], to.shape[0]);
                let slices = order.slices();
                for t in 0..to.shape[0] {
                    let slices = Slices { times: &[t], ..slices };
                    let operands = [&case.input[..from.len()], &case.packed[1][..]];
                    let finish = case.finish(false);
                    case.halves.run_slices(Isa::detect(), operands, &finish, &mut output, &mut [], &slices);
                }
                output
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
            assert!(
                pool.install(run) == all[..to.len()],
                "one clip of two, slice by slice, by three threads"
            );
        }
    }
}
