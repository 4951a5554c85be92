//! A convolution to few channels, forward: its lanes run over pixels, so that none is idle.
//!
//! The input is transposed to `[row][channel][column]`. Each class of output pixels (those that differ
//! by whole strides) then sums weight · a stretch of sixteen pixels; the classes of an output row are
//! woven together as it is written, as planes.
#![allow(unsafe_code)]

use crate::Activation;
use crate::conv::{Image, Window};
use crate::elementwise::{activate, for_each_isa};
use crate::tile::{Isa, LANES, even_tiles};
use crate::transpose::{Pitch, transpose};
use crate::vector::{Kernel, Vector, dispatch};

/// Most channels that it writes.
pub(crate) const CHANNELS: usize = 4;
/// Vectors of a tile's row for each number of channels, so that twelve to sixteen sums hide the
/// latency of a multiply-add.
const VECTORS: [usize; CHANNELS + 1] = [0, 8, 6, 4, 4];

/// Output pixels `first + i · stride`.
#[derive(Clone, Debug)]
struct Class {
    first: [usize; 2],
    /// First input offset and number of offsets, `[vertical, horizontal]`.
    span: [(isize, usize); 2],
    /// Number of pixels, `[vertical, horizontal]`.
    count: [usize; 2],
    /// Where its weights start in the packed ones: `[vertical][horizontal][read][written]`.
    weights: usize,
    /// Where the terms of its first pixel lie in the transposed input.
    taps: Vec<usize>,
}

/// One such convolution, compiled for images of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Planar {
    /// Output pixels of a class's grid step.
    stride: [usize; 2],
    write: [usize; 3],
    classes: Vec<Class>,
    /// For each packed weight its index in the layer's.
    pack: Vec<u32>,
    rows: Rows,
}

/// The transposed input: `[row][channel][column]` with a border of zeros.
#[derive(Clone, Copy, Debug)]
struct Rows {
    channels: usize,
    /// Rows and columns before the image's first.
    before: [usize; 2],
    /// Elements of a row of one channel, and rows.
    pitch: usize,
    rows: usize,
}

impl Planar {
    /// Compiles the convolution, or transposed one, from an image of shape `read` to one of shape `write`
    /// (`[channels, height, width]`), if it suits: few output channels, and output pixels whose inputs are
    /// neighbours.
    pub(crate) fn new(transposed: bool, window: Window, read: [usize; 3], write: [usize; 3]) -> Option<Self> {
        let suits = write[0] <= CHANNELS && (transposed || window.stride == [1, 1]);
        suits.then(|| Self::compile(transposed, window, read, write))
    }

    fn compile(transposed: bool, window: Window, read: [usize; 3], write: [usize; 3]) -> Self {
        let stride = if transposed { window.stride } else { [1, 1] };
        let (mut classes, mut pack) = (Vec::new(), Vec::new());
        for first in (0..stride[0]).flat_map(|y| (0..stride[1]).map(move |x| [y, x])) {
            let span =
                std::array::from_fn(|axis| window.span(transposed, axis, first[axis]..first[axis] + 1));
            let count = std::array::from_fn(|axis| {
                write[1 + axis].saturating_sub(first[axis]).div_ceil(stride[axis])
            });
            classes.push(Class { first, span, count, weights: pack.len(), taps: Vec::new() });
            for place in offsets(span) {
                for (r, w) in (0..read[0]).flat_map(|r| (0..write[0]).map(move |w| (r, w))) {
                    pack.push(window.weight_index(transposed, first, place, [r, read[0]], [w, write[0]]));
                }
            }
        }
        let rows = Rows::new(read, &classes);
        classes.iter_mut().for_each(|class| class.taps = rows.taps(class.span));
        Self { stride, write, classes, pack, rows }
    }

    /// The layer's weights in the order in which they are used.
    pub(crate) fn pack(&self, weight: &[f32]) -> Vec<f32> {
        self.pack.iter().map(|&i| weight.get(i as usize).copied().unwrap_or(0.0)).collect()
    }

    /// Writes `planes` = `[channels][height][width]` from the image `read` in `input`. `scratch` is this
    /// convolution's alone: what it holds is kept from image to image.
    #[expect(clippy::too_many_arguments, reason = "as a gather's, and its memory")]
    pub(crate) fn run(
        &self,
        isa: Isa,
        read: &Image,
        input: &[f32],
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        planes: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let [channels, height, width] = self.write;
        let line = width.div_ceil(self.stride[1]).next_multiple_of(LANES);
        scratch.resize(self.rows.len() + self.stride[1] * channels * line, 0.0);
        let (rows, lines) = scratch.split_at_mut(self.rows.len());
        self.rows.fill(isa, read, input, rows);
        for y in 0..height {
            let classes = self.classes.iter().filter(|class| class.first[0] == y % self.stride[0]);
            for (class, lines) in classes.zip(lines.chunks_exact_mut(channels * line)) {
                let input = &rows[y / self.stride[0] * self.rows.row_len()..];
                let weights = &weights[class.weights..][..class.taps.len() * channels];
                let out = Line { input, taps: &class.taps, weights, bias, pitch: line, lines };
                out.sum(isa, channels, class.count[1]);
            }
            // Before it is woven: the output itself is touched once.
            activate(isa, activation, lines);
            for c in 0..channels {
                let row = &mut planes[(c * height + y) * width..][..width];
                weave(isa, lines, self.stride[1], channels * line, c * line, row);
            }
        }
    }
}

fn offsets([(y0, ny), (x0, nx)]: [(isize, usize); 2]) -> impl Iterator<Item = [isize; 2]> {
    (y0..).take(ny).flat_map(move |y| (x0..).take(nx).map(move |x| [y, x]))
}

impl Rows {
    fn new([channels, height, width]: [usize; 3], classes: &[Class]) -> Self {
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for class in classes.iter().filter(|class| !class.count.contains(&0)) {
            for (axis, size) in [height, width].into_iter().enumerate() {
                let (first, offsets) = class.span[axis];
                // Columns are read in whole vectors.
                let count = class.count[axis];
                let count = if axis == 1 { count.next_multiple_of(LANES) } else { count };
                let end = first + (count - 1 + offsets) as isize;
                before[axis] = before[axis].max((-first).max(0) as usize);
                after[axis] = after[axis].max((end - size as isize).max(0) as usize);
            }
        }
        let rows = before[0] + height + after[0];
        // Whole vectors, an odd number of them: channels at powers of two would share sets of the cache.
        let vectors = (before[1] + width + after[1]).div_ceil(LANES) | 1;
        Self { channels, before, pitch: vectors * LANES, rows }
    }

    fn len(&self) -> usize {
        self.rows * self.row_len()
    }

    fn row_len(&self) -> usize {
        self.channels * self.pitch
    }

    /// Transposes an image into it; the border stays as it is.
    fn fill(&self, isa: Isa, image: &Image, input: &[f32], rows: &mut [f32]) {
        let rows = rows.chunks_exact_mut(self.row_len()).skip(self.before[0]).take(image.height);
        for (y, row) in rows.enumerate() {
            let pitch = Pitch { from: self.channels, to: self.pitch };
            let to = &mut row[self.before[1]..];
            transpose(isa, &input[image.row(y)], to, pitch, [image.width, self.channels]);
        }
    }

    /// Where the terms of a class's first pixel lie.
    fn taps(&self, span: [(isize, usize); 2]) -> Vec<usize> {
        let tap = |[oy, ox]: [isize; 2]| {
            let (row, column) = (self.before[0] as isize + oy, self.before[1] as isize + ox);
            debug_assert!(row >= 0 && column >= 0);
            let start = row as usize * self.row_len() + column as usize;
            (0..self.channels).map(move |c| start + c * self.pitch)
        };
        offsets(span).flat_map(tap).collect()
    }
}

/// One class's pixels of an output row, `[channel][pitch]`.
struct Line<'a> {
    input: &'a [f32],
    taps: &'a [usize],
    /// `[tap][channel]`.
    weights: &'a [f32],
    bias: &'a [f32],
    pitch: usize,
    lines: &'a mut [f32],
}

impl Line<'_> {
    /// Sums `count` pixels, rounded up to whole vectors.
    fn sum(self, isa: Isa, channels: usize, count: usize) {
        let vectors = count.div_ceil(LANES);
        let end = |start: usize| start.saturating_add(vectors * LANES);
        assert!(self.taps.iter().all(|&tap| end(tap) <= self.input.len()), "a tap out of bounds");
        assert!(self.weights.len() == self.taps.len() * channels && self.bias.len() == channels, "weights");
        assert!(end((channels - 1) * self.pitch) <= self.lines.len(), "a line out of bounds");
        match channels {
            1 => dispatch(isa, Checked::<1> { line: self, vectors }),
            2 => dispatch(isa, Checked::<2> { line: self, vectors }),
            3 => dispatch(isa, Checked::<3> { line: self, vectors }),
            4 => dispatch(isa, Checked::<4> { line: self, vectors }),
            _ => unreachable!("at most {CHANNELS} channels"),
        }
    }
}

/// A line of `C` channels whose bounds were checked for so many vectors.
struct Checked<'a, const C: usize> {
    line: Line<'a>,
    vectors: usize,
}

impl<const C: usize> Kernel for Checked<'_, C> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let most = if V::ROWS[0] < 8 { 1 } else { VECTORS[C] };
        for (first, n) in even_tiles(self.vectors, most) {
            // SAFETY: the caller's; the tile is among the vectors.
            unsafe {
                match n {
                    1 => self.tile::<V, 1>(first),
                    2 => self.tile::<V, 2>(first),
                    3 => self.tile::<V, 3>(first),
                    4 => self.tile::<V, 4>(first),
                    5 => self.tile::<V, 5>(first),
                    6 => self.tile::<V, 6>(first),
                    7 => self.tile::<V, 7>(first),
                    _ => self.tile::<V, 8>(first),
                }
            }
        }
    }
}

impl<const C: usize> Checked<'_, C> {
    /// # Safety
    /// `V`'s set is enabled, and vectors `first..first + N` are within the line.
    #[inline(always)]
    unsafe fn tile<V: Vector, const N: usize>(&mut self, first: usize) {
        let Line { input, taps, weights, bias, pitch, lines } = &mut self.line;
        let first = first * LANES;
        // SAFETY: `Line::sum` checked every tap and line for all vectors, and that there are C weights a
        // tap and C biases.
        unsafe {
            let mut sums: [[V; N]; C] = std::array::from_fn(|c| [V::splat(*bias.get_unchecked(c)); N]);
            for (&tap, weights) in taps.iter().zip(weights.as_chunks::<C>().0) {
                let start = input.as_ptr().add(tap + first);
                let pixels: [V; N] = std::array::from_fn(|n| V::load(start.add(n * LANES)));
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    let weight = V::splat(weight);
                    for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                        *sum = sum.fma(weight, pixels);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    sum.store(lines.as_mut_ptr().add(c * *pitch + first + n * LANES));
                }
            }
        }
    }
}

/// row[x · stride + i] = lines[i · step + start + x].
fn weave(isa: Isa, lines: &[f32], stride: usize, step: usize, start: usize, row: &mut [f32]) {
    match stride {
        1 => row.copy_from_slice(&lines[start..][..row.len()]),
        2 => weave_two(isa, &lines[start..], &lines[step + start..], row),
        _ => {
            let places = (0..).flat_map(|x| (0..stride).map(move |i| i * step + start + x));
            row.iter_mut().zip(places).for_each(|(value, place)| *value = lines[place]);
        }
    }
}

for_each_isa! {
    fn weave_two(even: &[f32], odd: &[f32], row: &mut [f32]) {
        let (pairs, rest) = row.as_chunks_mut::<2>();
        let half = pairs.len();
        for ((pair, &even), &odd) in pairs.iter_mut().zip(&even[..half]).zip(&odd[..half]) {
            *pair = [even, odd];
        }
        rest.iter_mut().zip(&even[half..]).for_each(|(value, &even)| *value = even);
    }
}
