//! The weight gradient of a convolution of volumes by tiles of floats' halves (`crate::halves`): rows of sums are the vectors'
//! channels, lanes the scalars' as each tap in width meets them, terms the positions of some rows of a slice.
//!
//! The rows are worked on for one slice after another: slices of the scalars are brought to halves once for all taps in time.
#![allow(unsafe_code)]

use std::ops::Range;

use super::kernel::even_pieces;
use super::layout::Layout;
use super::taps::Window;
use super::weights::{in_shares, ranges};
use crate::amx::ROWS;
use crate::halves::{
    self, Block, Chunk, End, Flipped, Phases, Product, TERMS, TILE, Terms, Tiles, distances,
};
use crate::shared::Shared;
use crate::tile::LANES;

/// Positions of a row below which tiles take longer than vectors.
const LEAST: usize = 8;
/// Terms that are summed at a time: two tiles' rows of them stay in the first-level cache.
const AT_A_TIME: usize = 256;
/// Most blocks of vectors of a task.
const VECTORS: usize = 8;
/// Most halves of a task's scalars, and most of its sums: all of them stay in the second-level cache.
const SCALARS: usize = 320 << 10;
const SUMS: usize = 160 << 10;
/// Tasks that a gradient should be cut into.
const TASKS: usize = 24;
/// Sums of sixteen channels by sixteen lanes.
const SUM: usize = ROWS * LANES;

/// As [`super::weights::WeightGradient`], by halves.
#[derive(Clone, Debug)]
pub(crate) struct WeightsByHalves {
    window: Window,
    turned: bool,
    scalar: Layout,
    vector: Layout,
    /// Rows at a time.
    band: usize,
    /// Of one slice of a block of lanes.
    phases: Phases,
}

/// What a task sums: some blocks of scalars, some of vectors, and some bands of all clips.
#[derive(Clone, Debug)]
struct Task {
    scalars: Range<usize>,
    vectors: Range<usize>,
    bands: Range<usize>,
}

/// A task's memory in halves: what is flipped, the lanes, and a tile.
struct Memory<'a> {
    flipped: Flipped,
    rows: &'a mut [u16],
    lanes: &'a mut [u16],
    buffer: &'a mut [u16],
    /// Slices of the scalars that are read, for all that are to come.
    slices: usize,
}

impl WeightsByHalves {
    /// If the rows have some length.
    ///
    /// # Panics
    /// If the vectors have not sixteen lanes, or the sides are swapped with a stride.
    pub(crate) fn new(window: &Window, turned: bool, scalar: Layout, vector: Layout) -> Option<Self> {
        assert!(vector.is_blocked(), "vectors have sixteen lanes");
        assert!(!turned || window.stride == [1; 3], "swapped at stride 1 only");
        let window = if turned { window.turned() } else { *window };
        let [_, height, width] = vector.shape;
        let row = width.next_multiple_of(2);
        let band = even_pieces(height, (AT_A_TIME / row).max(1)).map(|(_, rows)| rows).max()?;
        let phases = Phases::new(band, row, window.kernel[1], window.stride[1]);
        (width >= LEAST).then_some(Self { window, turned, scalar, vector, band, phases })
    }

    /// Blocks of lanes of a block of scalars: one for each tap in width or, of packed scalars, for sixteen of a row of taps.
    fn blocks(&self) -> usize {
        match self.scalar.is_blocked() {
            true => self.window.kernel[2],
            false => (self.window.kernel[2] * self.scalar.lanes).div_ceil(LANES),
        }
    }

    /// Halves of a block of lanes: of as many slices as there are taps in time.
    fn block_len(&self) -> usize {
        self.window.kernel[0] * self.phases.len()
    }

    /// Taps in time and height.
    fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    /// Sums of a block of vectors.
    fn sums_len(&self, scalars: usize) -> usize {
        scalars * self.blocks() * self.taps() * SUM
    }

    fn bands(&self) -> usize {
        self.vector.shape[1].div_ceil(self.band)
    }

    /// The tasks, those of one part of the gradient together.
    fn tasks(&self, batch: usize) -> (Vec<Task>, usize) {
        let vectors: Vec<Range<usize>> = ranges(0..self.vector.blocks(), VECTORS).collect();
        let of_sums = vectors[0].len() * self.sums_len(1);
        let most = (SCALARS / (self.blocks() * self.block_len())).min(SUMS / of_sums).max(1);
        let scalars: Vec<Range<usize>> = ranges(0..self.scalar.blocks(), most).collect();
        let bands = batch * self.bands();
        let shares = TASKS.div_ceil(scalars.len() * vectors.len()).min(bands);
        let mut tasks = Vec::new();
        for scalars in &scalars {
            for vectors in &vectors {
                let share = |i: usize| i * bands / shares..(i + 1) * bands / shares;
                let task = |i| Task { scalars: scalars.clone(), vectors: vectors.clone(), bands: share(i) };
                tasks.extend((0..shares).map(task));
            }
        }
        (tasks, shares)
    }

    /// Writes the gradient of a batch, in PyTorch's layout.
    pub(crate) fn run(&self, scalar: &[f32], vector: &[f32], gradient: &mut [f32]) {
        let batch = vector.len() / self.vector.len();
        assert_eq!(scalar.len(), batch * self.scalar.len(), "scalars of a weight gradient");
        assert_eq!(gradient.len(), self.window.taps() * self.scalar.channels * self.vector.channels);
        if batch == 0 {
            return gradient.fill(0.0);
        }
        let (tasks, shares) = self.tasks(batch);
        let gradient = Shared::new(gradient);
        in_shares(
            tasks,
            shares,
            |task| self.sums(task, scalar, vector),
            |task, sums| self.scatter(task, sums, &gradient),
        );
    }

    /// The sums of a task: `[block of vectors][block of lanes][t][y][vector][lane]`.
    fn sums(&self, task: &Task, scalar: &[f32], vector: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; task.vectors.len() * self.sums_len(task.scalars.len())];
        let flipped = Flipped::new([self.band, self.vector.shape[2]], task.vectors.len() * LANES);
        let lanes = task.scalars.len() * self.blocks() * self.block_len();
        halves::with_buffer(flipped.len() + lanes + TILE, |buffer| {
            let (rows, buffer) = buffer.split_at_mut(flipped.len());
            let (lanes, buffer) = buffer.split_at_mut(lanes);
            // What tiles read beyond the last row is to be finite.
            lanes.fill(0);
            let mut memory = Memory { flipped, rows, lanes, buffer, slices: 0 };
            Tiles::with(|tiles| {
                for band in task.bands.clone() {
                    let (clip, first) = (band / self.bands(), band % self.bands() * self.band);
                    let ys = first..self.vector.shape[1].min(first + self.band);
                    let scalar = &scalar[clip * self.scalar.len()..][..self.scalar.len()];
                    let vector = &vector[clip * self.vector.len()..][..self.vector.len()];
                    self.add_band(tiles, task, [scalar, vector], &ys, &mut memory, &mut values);
                }
            });
        });
        values
    }

    /// Adds the share of some rows of all slices of a clip.
    fn add_band(
        &self,
        tiles: &mut Tiles,
        task: &Task,
        [scalar, vector]: [&[f32]; 2],
        ys: &Range<usize>,
        memory: &mut Memory<'_>,
        values: &mut [f32],
    ) {
        memory.slices = 0;
        for t in 0..self.vector.shape[0] {
            let first = t * self.window.stride[0];
            let slice = |tap: usize| (first + tap).checked_sub(self.window.padding[0]);
            let slices: Vec<_> = (0..self.window.kernel[0])
                .filter_map(|tap| Some((tap, slice(tap).filter(|&from| from < self.scalar.shape[0])?)))
                .collect();
            for &(_, from) in slices.iter().filter(|(_, from)| *from >= memory.slices) {
                self.read_scalar(task, scalar, from, ys.start, memory.lanes);
            }
            memory.slices = slices.last().map_or(memory.slices, |(_, from)| from + 1);
            self.read_vector(task, vector, t, ys, memory);
            for (tap, from) in slices {
                self.multiply(tiles, task, [tap, from], ys.len(), memory, values);
            }
        }
    }

    /// The rows of a slice that a band from row `first` on meets, zeros for those that there are not.
    fn read_scalar(&self, task: &Task, values: &[f32], slice: usize, first: usize, lanes: &mut [u16]) {
        let ([_, sy, _], [_, py, _]) = (self.window.stride, self.window.padding);
        let place = slice % self.window.kernel[0] * self.phases.len();
        let of_block = lanes.chunks_exact_mut(self.blocks() * self.block_len());
        for (block, lanes) in task.scalars.clone().zip(of_block) {
            // As they lie in memory, and each at once as all taps in width meet it.
            for [phase, index] in self.phases.rows(self.band) {
                let y = ((first + index) * sy + phase).checked_sub(py);
                let y = y.filter(|&y| y < self.scalar.shape[1]);
                let place = place + self.phases.row(phase, index);
                for (part, lanes) in lanes.chunks_exact_mut(self.block_len()).enumerate() {
                    let to = &mut lanes[place..][..self.phases.row_len()];
                    match y {
                        Some(y) => self.read_row(values, (block, part), [slice, y], to),
                        None => to.fill(0),
                    }
                }
            }
        }
    }

    /// A row of the scalars as sixteen lanes of the window meet it.
    fn read_row(&self, values: &[f32], (block, part): (usize, usize), [t, y]: [usize; 2], to: &mut [u16]) {
        let (lanes, count) = (self.scalar.lanes, self.vector.shape[2]);
        let step = self.window.stride[2] * lanes;
        // Of packed scalars the sixteen lanes of a row of taps lie side by side.
        let skip = part * if self.scalar.is_blocked() { lanes } else { LANES };
        let start = self.scalar.at(block, t, y, -(self.window.padding[2] as isize)) + skip;
        let len = (count - 1) * step + LANES;
        match values.get(start..start + len) {
            Some(values) => halves::pairs(Terms { values, step, count }, 1, to),
            None => {
                // The last lanes have no weights, and the last row none after it.
                let mut row = values[start..].to_vec();
                row.resize(len, 0.0);
                halves::pairs(Terms { values: &row, step, count }, 1, to);
            }
        }
    }

    fn read_vector(&self, task: &Task, values: &[f32], t: usize, ys: &Range<usize>, memory: &mut Memory<'_>) {
        let Memory { flipped, rows, buffer, .. } = memory;
        for (index, block) in task.vectors.clone().enumerate() {
            for (row, y) in ys.clone().enumerate() {
                let values = &values[self.vector.row(block, t, y)];
                let columns = Terms { values, step: LANES, count: self.vector.shape[2] };
                let place = index * LANES * flipped.channel + row * flipped.row;
                flipped.read(columns, rows, place, buffer);
            }
        }
        flipped.end(ys.len(), rows);
    }

    /// Adds the products of a slice of the vectors with a slice of the scalars, by a tap in time.
    fn multiply(
        &self,
        tiles: &mut Tiles,
        task: &Task,
        [tap, slice]: [usize; 2],
        rows: usize,
        memory: &Memory<'_>,
        values: &mut [f32],
    ) {
        let flipped = memory.flipped;
        let chunks = (rows * flipped.row).div_ceil(TERMS);
        let chunks: Vec<_> = (0..chunks).map(|i| Chunk { a: i * TERMS, b: i * TILE }).collect();
        let places = self.places(task, tap);
        let lanes = &memory.lanes[slice % self.window.kernel[0] * self.phases.len()..];
        let of_vectors = self.sums_len(task.scalars.len());
        for first in (0..task.vectors.len()).step_by(2) {
            let vectors = (task.vectors.len() - first).min(2);
            for blocks in places.chunks(if vectors == 2 { 2 } else { 3 }) {
                let product = Product {
                    a: memory.rows,
                    first: first * LANES * flipped.channel,
                    lower: flipped.lower,
                    a_row: flipped.channel,
                    a_next: ROWS * flipped.channel,
                    b: &lanes[blocks[0].terms..],
                    b_next: distances(blocks),
                    chunks: &chunks,
                    rows: [ROWS, if vectors == 2 { ROWS } else { 0 }],
                    blocks: blocks.len(),
                };
                product.sum(tiles);
                for tile in 0..vectors {
                    for (block, place) in blocks.iter().enumerate() {
                        let sums = &mut values[(first + tile) * of_vectors + place.sums..][..SUM];
                        tiles.write([tile, block], ROWS, End::Add, sums, LANES);
                    }
                }
            }
        }
    }

    /// The blocks of lanes of a tap in time, from a slice's first on, in the order in which their terms lie.
    fn places(&self, task: &Task, tap: usize) -> Vec<Block> {
        let (kh, blocks) = (self.window.kernel[1], task.scalars.len() * self.blocks());
        let place = |block: usize, ky: usize| Block {
            terms: block * self.block_len() + self.phases.start(ky),
            sums: (block * self.taps() + tap * kh + ky) * SUM,
        };
        let mut places: Vec<_> =
            (0..blocks).flat_map(|block| (0..kh).map(move |ky| place(block, ky))).collect();
        places.sort_unstable_by_key(|block| block.terms);
        places
    }

    /// Writes finished sums to their places in the gradient.
    fn scatter(&self, task: &Task, values: &[f32], gradient: &Shared<'_>) {
        let first = [task.vectors.start * LANES, task.scalars.start * self.scalar.lanes];
        let vectors = (task.vectors.len() * LANES).min(self.vector.channels - first[0]);
        let scalars = (task.scalars.len() * self.scalar.lanes).min(self.scalar.channels - first[1]);
        let taps = self.window.taps();
        for v in 0..vectors {
            let values = &values[v / LANES * self.sums_len(task.scalars.len()) + v % LANES * LANES..];
            for s in 0..scalars {
                let pair = match self.turned {
                    false => (first[0] + v) * self.scalar.channels + first[1] + s,
                    true => (first[1] + s) * self.vector.channels + first[0] + v,
                };
                // SAFETY: these scalars and vectors are one task's alone.
                let slot = unsafe { gradient.part(pair * taps..(pair + 1) * taps) };
                for (k, slot) in slot.iter_mut().enumerate() {
                    let k = if self.turned { taps - 1 - k } else { k };
                    *slot = values[self.place(s, k)];
                }
            }
        }
    }

    /// Where the sums of a task's scalar and of a tap lie in those of a block of vectors.
    fn place(&self, s: usize, k: usize) -> usize {
        let kw = self.window.kernel[2];
        let lane = match self.scalar.is_blocked() {
            true => (s / LANES * kw + k % kw) * LANES + s % LANES,
            false => k % kw * self.scalar.lanes + s,
        };
        (lane / LANES * self.taps() + k / kw) * SUM + lane % LANES
    }
}

#[cfg(test)]
mod tests {
    use super::super::weights::WeightGradient;
    use super::*;
    use crate::Isa;

    fn values(len: usize, seed: u32) -> Vec<f32> {
        let mix = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
        (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Two clips of random values on both sides, and the gradient both ways.
    struct Case {
        plain: WeightGradient,
        halves: WeightsByHalves,
        sides: [Vec<f32>; 2],
    }

    impl Case {
        fn new(window: Window, turned: bool, scalar: [usize; 4], vector: [usize; 4]) -> Self {
            // Few channels are kept without padding.
            let (mut scalar, vector) = (Layout::new(scalar, scalar[0] < 8), Layout::new(vector, false));
            scalar.widen(WeightGradient::margin(&window, turned, &scalar, &vector));
            let plain = WeightGradient::new(&window, turned, scalar, vector);
            let halves = WeightsByHalves::new(&window, turned, scalar, vector).expect("rows of some length");
            let sides = [(scalar, 1), (vector, 2)].map(|(layout, seed)| {
                let len = layout.channels * layout.shape.iter().product::<usize>();
                let mut side = vec![0.0; 2 * layout.len()];
                layout.read_planes(&values(2 * len, seed), &mut side);
                side
            });
            Self { plain, halves, sides }
        }

        fn gradient_len(&self) -> usize {
            self.halves.window.taps() * self.halves.scalar.channels * self.halves.vector.channels
        }

        fn by_halves(&self) -> Vec<f32> {
            let mut gradient = vec![f32::NAN; self.gradient_len()];
            self.halves.run(&self.sides[0], &self.sides[1], &mut gradient);
            gradient
        }

        fn by_floats(&self) -> Vec<f32> {
            let mut gradient = vec![f32::NAN; self.gradient_len()];
            self.plain.run(Isa::detect().vectors(), &self.sides[0], &self.sides[1], &mut gradient);
            gradient
        }
    }

    /// Sizes that leave tiles, bands and blocks full, half full and nearly empty.
    fn cases() -> Vec<Case> {
        let window = |kernel, stride, padding| Window { kernel, stride, padding };
        vec![
            Case::new(window([3; 3], [1; 3], [1; 3]), false, [32, 3, 9, 40], [32, 3, 9, 40]),
            Case::new(window([3; 3], [1; 3], [1; 3]), true, [20, 3, 5, 9], [33, 3, 5, 9]),
            Case::new(window([3; 3], [1, 2, 2], [1; 3]), false, [3, 3, 12, 140], [40, 3, 6, 70]),
            Case::new(window([3; 3], [2; 3], [1; 3]), false, [40, 5, 31, 33], [150, 3, 16, 17]),
            Case::new(window([3, 5, 5], [1; 3], [1, 2, 2]), false, [7, 2, 6, 8], [16, 2, 6, 8]),
            Case::new(window([1; 3], [1, 2, 2], [0; 3]), false, [16, 2, 12, 32], [17, 2, 6, 16]),
            Case::new(window([1, 2, 2], [1; 3], [0; 3]), false, [64, 1, 8, 301], [16, 1, 7, 300]),
        ]
    }

    #[test]
    fn sums_are_those_of_floats() {
        if !halves::are_there() {
            return;
        }
        for (index, case) in cases().iter().enumerate() {
            let (plain, halves) = (case.by_floats(), case.by_halves());
            // Sums of so many terms of order 1.
            let terms = 2 * case.halves.vector.shape.iter().product::<usize>();
            for (i, (plain, halves)) in plain.iter().zip(&halves).enumerate() {
                let error = (plain - halves).abs();
                assert!(error <= 4e-5 * (terms as f32).sqrt(), "case {index} at {i}: {plain} {halves}");
            }
        }
    }

    #[test]
    fn sums_have_the_same_bits_whatever_the_threads() {
        if !halves::are_there() {
            return;
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        for case in cases() {
            assert!(pool.install(|| case.by_halves()) == case.by_halves());
        }
    }
}
