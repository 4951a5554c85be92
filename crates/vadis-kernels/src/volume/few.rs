//! Convolution to few channels: the products of the kernel's taps in time and width, for all output
//! channels, fill the lanes; they are summed over the taps in height and the input channels, and
//! then added where they belong. Of 3 channels and a kernel of 3×3×3, that is 27 of 32 lanes.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::direct::Finish;
use super::kernel::{Row, Run};
use super::layout::Layout;
use super::pass::{activate_row, overlap_add};
use super::slices::{InOrder, Slices};
use super::taps::{Axis, Window};
use crate::Isa;
use crate::shared::Shared;
use crate::tile::LANES;
#[cfg(target_arch = "x86_64")]
use {
    super::halves::{as_halves, as_halves_mut, join_pair},
    crate::amx::ROWS,
    crate::halves::{self, Chunk, End, LINE, Product, TILE, Terms, Tiles, tile_len},
};

/// Positions of a row below which tiles take longer than vectors.
const LEAST: usize = 8;

/// A convolution at stride 1, or a phased one, to packed lanes.
#[derive(Clone, Debug)]
pub(crate) struct Few {
    /// As of a transposed convolution: out[i · stride + k − padding] += w[k] · in[i].
    window: Window,
    phased: bool,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
    /// The axis of height.
    pub(crate) height: Axis,
    /// Whether products are those of halves, by tiles.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86 has tiles"))]
    halves: bool,
}

impl Few {
    /// # Panics
    /// If the input has not sixteen lanes, or a convolution has a stride.
    pub(crate) fn new(window: &Window, phased: bool, from: Layout, to: Layout, halves: bool) -> Self {
        assert!(from.is_blocked() && (phased || window.stride == [1; 3]), "a convolution to few channels");
        let window = if phased { *window } else { window.turned() };
        let height = Axis::new(&window, 1, true, from.shape[1], to.shape[1]);
        let halves = halves && from.shape[2] >= LEAST;
        Self { window, phased, from, to, height, halves }
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(mut self, [from, to]: [usize; 2]) -> Self {
        (self.from.slots, self.to.slots) = (from, to);
        self
    }

    /// Products of a position.
    pub(crate) fn products(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[2] * self.to.lanes
    }

    /// Their blocks of sixteen, in panels of two.
    pub(crate) fn blocks(&self) -> usize {
        self.products().div_ceil(LANES)
    }

    /// Terms of all taps in height.
    pub(crate) fn terms(&self) -> usize {
        self.window.kernel[1] * self.from.blocks() * LANES
    }

    /// Floats whose memory the packed weight takes.
    pub(crate) fn packed_len(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.halves {
            return self.window.kernel[1] * self.pairs() * tile_len(self.blocks()) / 2;
        }
        self.floats_len()
    }

    fn floats_len(&self) -> usize {
        self.terms() * self.blocks() * LANES
    }

    /// Calls `f` with the place of each weight in PyTorch's order, and its panel, term and lane.
    pub(crate) fn each_weight(&self, mut f: impl FnMut(usize, [usize; 3])) {
        let [kt, kh, kw] = self.window.kernel;
        let lanes = self.to.lanes;
        for product in 0..self.products() {
            let (t, x, o) = (product / (kw * lanes), product / lanes % kw, product % lanes);
            for y in 0..kh {
                for from in 0..self.from.channels {
                    let k = (t * kh + y) * kw + x;
                    let index = match self.phased {
                        true => (from * lanes + o) * kt * kh * kw + k,
                        false => (o * self.from.channels + from + 1) * kt * kh * kw - 1 - k,
                    };
                    let term = y * self.from.blocks() * LANES + from;
                    f(index, [product / (2 * LANES), term, product % (2 * LANES)]);
                }
            }
        }
    }

    /// Lanes of a panel.
    pub(crate) fn width(&self, panel: usize) -> usize {
        (self.blocks() - 2 * panel).min(2) * LANES
    }

    /// The weight as `[panel][y tap][input channel][product of the panel]`.
    pub(crate) fn pack_into(&self, weight: &[f32], packed: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if self.halves {
            let mut floats = vec![0.0; self.floats_len()];
            self.pack_floats(weight, &mut floats);
            return self.pack_halves(&floats, packed);
        }
        self.pack_floats(weight, packed);
    }

    fn pack_floats(&self, weight: &[f32], packed: &mut [f32]) {
        self.each_weight(|index, [panel, term, lane]| {
            packed[panel * self.terms() * 2 * LANES + term * self.width(panel) + lane] = weight[index];
        });
    }

    /// Convolves a batch.
    pub(crate) fn run(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) {
        let all = InOrder::new(self.from.shape[0], self.to.shape[0]);
        self.run_slices(isa, input, packed, finish, output, &all.slices());
    }

    /// As [`Few::run`], of some slices of the output.
    pub(crate) fn run_slices(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
        slices: &Slices<'_>,
    ) {
        let batch = output.len() / self.to.len();
        assert_eq!(input.len(), batch * self.from.len(), "input of a convolution");
        let output = Shared::new(output);
        let height = self.to.shape[1];
        (0..batch * height).into_par_iter().with_max_len(4).for_each_init(
            || {
                let products = self.blocks() * self.from.shape[2] * LANES;
                (vec![0.0; self.sums_len(slices)], vec![0.0; products])
            },
            |(sums, products), index| {
                let input = &input[index / height * self.from.len()..][..self.from.len()];
                let y = index % height;
                sums.fill(0.0);
                for t in (0..self.from.shape[0]).filter(|&t| self.reached(t, slices).next().is_some()) {
                    self.multiply(isa, input, packed, slices.from[t], y, products);
                    self.add(isa, products, t, slices, sums);
                }
                self.write(isa, finish, [index / height, y], sums, slices, &output);
            },
        );
    }

    /// Elements of a row's sums, with all places that products fall on.
    fn sums_pitch(&self) -> usize {
        let width = (self.from.shape[2] - 1) * self.window.stride[2] + self.window.kernel[2];
        width.max(self.to.shape[2] + self.window.padding[2]) * self.to.lanes
    }

    pub(crate) fn sums_len(&self, slices: &Slices<'_>) -> usize {
        slices.times.len() * self.sums_pitch()
    }

    /// The taps that take input slice `t` to a slice that is computed, and that one's place among them.
    fn reached(&self, t: usize, slices: &Slices<'_>) -> impl Iterator<Item = [usize; 2]> {
        let to = move |k: usize| (t * self.window.stride[0] + k).wrapping_sub(self.window.padding[0]);
        let times = slices.times;
        (0..self.window.kernel[0]).filter_map(move |k| Some([k, times.binary_search(&to(k)).ok()?]))
    }

    /// The products of the input slice in slot `t` that belong to output row `y`: `[block pair][x][products]`.
    fn multiply(&self, isa: Isa, input: &[f32], packed: &[f32], t: usize, y: usize, products: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if self.halves {
            return self.multiply_halves(input, packed, t, y, products);
        }
        let steps = self.height.phases.len();
        let (phase, index) = (y % steps, y / steps);
        let count = self.from.shape[2];
        let mut runs = Vec::new();
        for panel in 0..self.blocks().div_ceil(2) {
            let width = (self.blocks() - 2 * panel).min(2);
            runs.clear();
            for &tap in &self.height.phases[phase] {
                let Some(from) = self.height.reads(index, tap) else { continue };
                runs.extend((0..self.from.blocks()).map(|block| Run {
                    a: self.from.at(block, t, from, 0),
                    b: (tap.k * self.from.blocks() + block) * LANES * width * LANES,
                }));
            }
            let products = &mut products[panel * count * 2 * LANES..][..count * width * LANES];
            let row = Row {
                a: input,
                a_step: LANES,
                b: &packed[panel * self.terms() * 2 * LANES..],
                runs: &runs,
                len: LANES,
                start: Some(&[0.0; 2 * LANES]),
                count,
                out_step: width * LANES,
            };
            row.run_interleaved(isa, products, width);
        }
    }

    /// Adds the products of input slice `t` to the sums of the row.
    pub(crate) fn add(&self, isa: Isa, products: &[f32], t: usize, slices: &Slices<'_>, sums: &mut [f32]) {
        let run = self.window.kernel[2] * self.to.lanes;
        for [k, to] in self.reached(t, slices) {
            let sums = &mut sums[to * self.sums_pitch()..][..self.sums_pitch()];
            let step = self.window.stride[2] * self.to.lanes;
            self.add_tap(isa, products, (k * run, run), step, sums);
        }
    }

    /// Adds a run of products of each position, which may lie in two panels.
    fn add_tap(
        &self,
        isa: Isa,
        products: &[f32],
        (first, run): (usize, usize),
        step: usize,
        sums: &mut [f32],
    ) {
        let count = self.from.shape[2];
        let mut done = 0;
        while done < run {
            let (panel, lane) = ((first + done) / (2 * LANES), (first + done) % (2 * LANES));
            let width = (self.blocks() - 2 * panel).min(2) * LANES;
            let part = (width - lane).min(run - done);
            let products = &products[panel * count * 2 * LANES..][..count * width];
            overlap_add(isa, products, width, lane, part, step, &mut sums[done..]);
            done += part;
        }
    }

    pub(crate) fn write(
        &self,
        isa: Isa,
        finish: &Finish<'_>,
        [clip, y]: [usize; 2],
        sums: &[f32],
        slices: &Slices<'_>,
        output: &Shared<'_>,
    ) {
        let lanes = self.to.lanes;
        for (index, &t) in slices.times.iter().enumerate() {
            let row = self.to.whole_row(0, slices.to[t], y);
            let clip = clip * self.to.len();
            // SAFETY: a row belongs to one task.
            let row = unsafe { output.part(clip + row.start..clip + row.end) };
            self.to.clear_margins(row);
            let inside = &mut row[self.to.inside()];
            let sums = &sums[index * self.sums_pitch() + self.window.padding[2] * lanes..][..inside.len()];
            if finish.accumulate {
                inside.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
            } else if finish.bias.is_empty() {
                inside.copy_from_slice(sums);
            } else {
                let biases = finish.bias.iter().cycle();
                inside.iter_mut().zip(sums.iter().zip(biases)).for_each(|(to, (sum, bias))| *to = sum + bias);
            }
            activate_row(isa, finish.activation, inside);
        }
    }
}

/// By tiles of halves.
#[cfg(target_arch = "x86_64")]
impl Few {
    /// Pairs of blocks of input channels.
    fn pairs(&self) -> usize {
        self.from.blocks().div_ceil(2)
    }

    /// The weight as `[panel][y tap][pair of blocks]`, for each a tile.
    fn pack_halves(&self, floats: &[f32], packed: &mut [f32]) {
        let terms = self.from.blocks() * LANES;
        let mut packed = as_halves_mut(packed);
        for (panel, floats) in floats.chunks(self.terms() * 2 * LANES).enumerate() {
            let width = self.width(panel);
            for floats in floats.chunks_exact(terms * width) {
                let len = self.pairs() * tile_len(width / LANES);
                let (to, rest) = std::mem::take(&mut packed).split_at_mut(len);
                halves::pairs(Terms { values: floats, step: width, count: terms }, width / LANES, to);
                packed = rest;
            }
        }
    }

    /// As [`Few::multiply`].
    fn multiply_halves(&self, input: &[f32], packed: &[f32], t: usize, y: usize, products: &mut [f32]) {
        let steps = self.height.phases.len();
        let (phase, index) = (y % steps, y / steps);
        let (count, pairs) = (self.from.shape[2], self.pairs());
        let taps: Vec<(usize, usize)> = self.height.phases[phase]
            .iter()
            .filter_map(|&tap| Some((tap.k, self.height.reads(index, tap)?)))
            .collect();
        let row = count * LINE;
        // Tiles read rows beyond the last.
        let lower = taps.len() * pairs * row + 2 * ROWS * LINE;
        halves::with_buffer(2 * lower, |buffer| {
            let (above, below) = buffer.split_at_mut(lower);
            let mut halves = above.chunks_exact_mut(row).zip(below.chunks_exact_mut(row));
            for &(_, from) in &taps {
                for (pair, (above, below)) in (0..pairs).zip(halves.by_ref()) {
                    let row = |block: usize| &input[self.from.row(block, t, from)];
                    join_pair(pair, self.from.blocks(), row, above, below);
                }
            }
            let mut weights = as_halves(packed);
            Tiles::with(|tiles| {
                for (panel, products) in products.chunks_mut(count * 2 * LANES).enumerate() {
                    let blocks = self.width(panel) / LANES;
                    let tile = tile_len(blocks);
                    let chunks = self.chunks(&taps, row, tile);
                    for first in (0..count).step_by(2 * ROWS) {
                        let product = Product {
                            a: buffer,
                            first: first * LINE,
                            lower,
                            a_row: LINE,
                            a_next: ROWS * LINE,
                            b: weights,
                            b_next: [TILE; 2],
                            chunks: &chunks,
                            rows: halves::next_rows(count - first),
                            blocks,
                        };
                        let width = blocks * LANES;
                        let end = End::Bias { lanes: &[0.0; 2 * LANES], relu: false };
                        product.run(tiles, end, &mut products[first * width..], width, ROWS * width);
                    }
                    weights = &weights[self.window.kernel[1] * pairs * tile..];
                }
            });
        });
    }

    /// The tiles of taps in height whose rows lie one after another.
    fn chunks(&self, taps: &[(usize, usize)], row: usize, tile: usize) -> Vec<Chunk> {
        let pairs = self.pairs();
        let places = taps
            .iter()
            .enumerate()
            .flat_map(|(i, &(k, _))| (0..pairs).map(move |pair| [i * pairs + pair, k * pairs + pair]));
        places.map(|[from, of]| Chunk { a: from * row, b: of * tile }).collect()
    }
}
