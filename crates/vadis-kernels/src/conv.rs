//! 2-D convolution and transposed convolution of one image, forward and backward.
//!
//! All four passes over data (either operation, forward or towards its input) are one of two
//! *gathers*: each output pixel sums over the input pixels that reach it. They differ in which
//! those are (with stride s, padding p and kernel index k, per axis):
//!
//! * direct: input = output · s + k − p, weight `[written][read][ky][kx]`;
//! * transposed: input = (output + p − k) / s where that is whole, weight `[read][written][ky][kx]`.
//!
//! Images are channels-last with a border of zeros, so the taps of one kernel row are one
//! contiguous run, however few the channels.

use std::ops::Range;

use crate::Activation;
#[cfg(target_arch = "x86_64")]
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::halves::{self, Tiled};
#[cfg(target_arch = "x86_64")]
use crate::tile::finish;
use crate::tile::{Isa, LANES, Run, Start, Steps, Sums, WIDTH};
use crate::transpose::{interleave, separate};

/// Elements after an image's last pixel that a vector may read beyond it.
pub(crate) const SLACK: usize = WIDTH;
/// A lane without a weight or pixel.
const NONE: u32 = u32::MAX;

/// Rows and columns of zeros around an image: `[before, after]` on `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Halo(pub(crate) [[usize; 2]; 2]);

impl Halo {
    pub(crate) fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|axis| std::array::from_fn(|end| self.0[axis][end].max(other.0[axis][end]))))
    }
}

/// A channels-last image in a buffer: `[height + halo][width + halo][channels]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Image {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) halo: Halo,
}

impl Image {
    pub(crate) fn new([channels, height, width]: [usize; 3], halo: Halo) -> Self {
        Self { channels, height, width, halo }
    }

    /// Elements of a padded row.
    pub(crate) fn pitch(&self) -> usize {
        let [before, after] = self.halo.0[1];
        (before + self.width + after) * self.channels
    }

    /// Index of the first channel of a pixel, which may lie in the halo.
    pub(crate) fn at(&self, y: isize, x: isize) -> usize {
        let row = y + self.halo.0[0][0] as isize;
        let column = x + self.halo.0[1][0] as isize;
        debug_assert!(row >= 0 && column >= 0);
        row as usize * self.pitch() + column as usize * self.channels
    }

    /// Rows, the halo's included.
    pub(crate) fn rows(&self) -> usize {
        let [before, after] = self.halo.0[0];
        before + self.height + after
    }

    /// Elements of the buffer, slack included, a multiple of 16.
    pub(crate) fn len(&self) -> usize {
        (self.rows() * self.pitch() + SLACK).next_multiple_of(LANES)
    }

    /// The place of row `y`'s pixels, without the halo.
    pub(crate) fn row(&self, y: usize) -> Range<usize> {
        let start = self.at(y as isize, 0);
        start..start + self.width * self.channels
    }

    /// Writes the interior from `[channels][height][width]`.
    pub(crate) fn read_planes(&self, isa: Isa, planes: &[f32], buffer: &mut [f32]) {
        for y in 0..self.height {
            let plane = self.height * self.width;
            interleave(isa, &planes[y * self.width..], plane, self.channels, &mut buffer[self.row(y)]);
        }
    }

    /// Copies the interior to `[channels][height][width]`.
    pub(crate) fn write_planes(&self, isa: Isa, buffer: &[f32], planes: &mut [f32]) {
        for y in 0..self.height {
            let plane = self.height * self.width;
            separate(isa, &buffer[self.row(y)], self.channels, &mut planes[y * self.width..], plane);
        }
    }
}

/// Kernel, stride and padding, `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

impl Window {
    /// Input offset, relative to the block's first input, of kernel index `k` for the `r`-th output
    /// of a block; `None` where a transposed convolution has no such input.
    fn offset(&self, transposed: bool, axis: usize, r: usize, k: usize) -> Option<isize> {
        let (s, p) = (self.stride[axis] as isize, self.padding[axis] as isize);
        let (r, k) = (r as isize, k as isize);
        if !transposed {
            return Some(r * s + k - p);
        }
        let scaled = r + p - k;
        (scaled.rem_euclid(s) == 0).then(|| scaled.div_euclid(s))
    }

    /// The kernel index that joins the `r`-th output of a block with the input at `offset`.
    fn tap(&self, transposed: bool, axis: usize, r: usize, offset: isize) -> Option<usize> {
        let (s, p) = (self.stride[axis] as isize, self.padding[axis] as isize);
        let k = if transposed { r as isize + p - offset * s } else { offset + p - r as isize * s };
        usize::try_from(k).ok().filter(|&k| k < self.kernel[axis])
    }

    /// Index in the layer's weight that joins a block's output `pixel` with the input at `offset`, or
    /// `NONE`; `read` and `written` are channels and their numbers.
    pub(crate) fn weight_index(
        &self,
        transposed: bool,
        pixel: [usize; 2],
        offset: [isize; 2],
        read: [usize; 2],
        written: [usize; 2],
    ) -> u32 {
        let tap = |axis: usize| self.tap(transposed, axis, pixel[axis], offset[axis]);
        let (Some(ky), Some(kx)) = (tap(0), tap(1)) else { return NONE };
        let ([outer, _], [inner, inner_len]) = if transposed { (read, written) } else { (written, read) };
        let [kh, kw] = self.kernel;
        // A plan has at most 2³⁰ parameters.
        (((outer * inner_len + inner) * kh + ky) * kw + kx) as u32
    }

    /// First offset and number of offsets that outputs `rs` of a block reach.
    pub(crate) fn span(&self, transposed: bool, axis: usize, rs: Range<usize>) -> (isize, usize) {
        let taps = || (0..self.kernel[axis]).flat_map(|k| rs.clone().map(move |r| (r, k)));
        let offsets = || taps().filter_map(|(r, k)| self.offset(transposed, axis, r, k));
        match (offsets().min(), offsets().max()) {
            (Some(first), Some(last)) => (first, (last - first + 1) as usize),
            _ => (0, 0),
        }
    }
}

/// Blocks of output pixels that are computed alike: same taps, same lanes.
#[derive(Clone, Debug)]
struct Class {
    /// Outputs of a block, `[vertical, horizontal]`, from `first` to before `end`.
    first: [usize; 2],
    end: [usize; 2],
    /// First input offset and number of offsets, `[vertical, horizontal]`.
    span: [(isize, usize); 2],
    /// Number of blocks `[vertical, horizontal]`.
    blocks: [usize; 2],
    groups: Vec<Group>,
}

/// 16 or 32 lanes of a class.
#[derive(Clone, Debug)]
struct Group {
    /// Where the group's weights start in the packed ones: `[terms][width]`.
    panel: usize,
    /// Blocks of 16 lanes: 1 or 2.
    blocks: usize,
    /// What each lane writes.
    lanes: Vec<Lane>,
    /// If tiles of halves suit it.
    #[cfg(target_arch = "x86_64")]
    tiled: Option<Tiled>,
}

/// A gather's weights in the order in which they are used.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    floats: Vec<f32>,
    /// Those of groups that tiles suit.
    #[cfg(target_arch = "x86_64")]
    halves: Aligned<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Output of the block, `[vertical, horizontal]`.
    pixel: [usize; 2],
    channel: usize,
}

impl Packed {
    /// Without any for tiles.
    pub(crate) fn floats(floats: Vec<f32>) -> Self {
        Self {
            floats,
            #[cfg(target_arch = "x86_64")]
            halves: Aligned::default(),
        }
    }

    pub(crate) fn as_floats(&self) -> &[f32] {
        &self.floats
    }
}

/// One gather, compiled for images of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Gather {
    transposed: bool,
    window: Window,
    read: Image,
    write: Image,
    /// Output pixels of a block and input pixels from one block to the next, per axis.
    block: [usize; 2],
    advance: [usize; 2],
    classes: Vec<Class>,
    /// For each packed weight its index in the layer's, or `NONE`.
    pack: Vec<u32>,
    /// Halves of those that are packed for tiles.
    #[cfg(target_arch = "x86_64")]
    halves: usize,
}

impl Gather {
    /// Compiles the gather from an image of shape `read` to one of shape `write`
    /// (`[channels, height, width]`), without halos: see [`Gather::halo`] and [`Gather::place`].
    pub(crate) fn new(transposed: bool, window: Window, read: [usize; 3], write: [usize; 3]) -> Self {
        let (read, write) = (Image::new(read, Halo::default()), Image::new(write, Halo::default()));
        let unit = if transposed { window.stride } else { [1, 1] };
        let gather = |block: [usize; 2]| {
            let advance = std::array::from_fn(|axis| match transposed {
                true => block[axis] / window.stride[axis],
                false => block[axis] * window.stride[axis],
            });
            let (classes, pack) = (Vec::new(), Vec::new());
            Self {
                transposed,
                window,
                read,
                write,
                block,
                advance,
                classes,
                pack,
                #[cfg(target_arch = "x86_64")]
                halves: 0,
            }
        };
        let mut best = gather(unit);
        best.split_classes();
        // With few channels, several pixels share a vector although some of their taps are zeros.
        for (down, across) in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (4, 2), (4, 4)] {
            let block = [unit[0] * down, unit[1] * across];
            if block[0] * block[1] * write.channels <= LANES {
                let mut merged = gather(block);
                merged.merge_classes();
                if merged.cost() < best.cost() {
                    best = merged;
                }
            }
        }
        best.pack_weights();
        best
    }

    /// One class for each pixel of a block.
    fn split_classes(&mut self) {
        let [down, across] = self.block;
        let pixels = (0..down).flat_map(|y| (0..across).map(move |x| [y, x]));
        self.classes = pixels.map(|[y, x]| self.class([y, x], [y + 1, x + 1])).collect();
    }

    /// One class for all pixels of a block.
    fn merge_classes(&mut self) {
        self.classes = vec![self.class([0, 0], self.block)];
    }

    fn class(&self, first: [usize; 2], end: [usize; 2]) -> Class {
        let span =
            std::array::from_fn(|axis| self.window.span(self.transposed, axis, first[axis]..end[axis]));
        let size = [self.write.height, self.write.width];
        let blocks =
            std::array::from_fn(|axis| size[axis].saturating_sub(first[axis]).div_ceil(self.block[axis]));
        Class { first, end, span, blocks, groups: Vec::new() }
    }

    /// Vector operations for one block of output pixels.
    fn vectors(&self, class: &Class) -> usize {
        let pixels = (class.end[0] - class.first[0]) * (class.end[1] - class.first[1]);
        let lanes = (pixels * self.write.channels).div_ceil(LANES);
        class.span[0].1 * class.span[1].1 * self.read.channels * lanes
    }

    /// Vector operations for one output pixel.
    fn cost(&self) -> f64 {
        let vectors: usize = self.classes.iter().map(|class| self.vectors(class)).sum();
        vectors as f64 / (self.block[0] * self.block[1]) as f64
    }

    fn pack_weights(&mut self) {
        let mut classes = std::mem::take(&mut self.classes);
        for class in &mut classes {
            let lanes = self.lanes(class);
            for lanes in lanes.chunks(WIDTH) {
                let blocks = lanes.len().div_ceil(LANES);
                let group = Group {
                    panel: self.pack.len(),
                    blocks,
                    #[cfg(target_arch = "x86_64")]
                    tiled: self.tiled(class, lanes),
                    lanes: lanes.to_vec(),
                };
                class.groups.push(group);
                self.pack_panel(class.span, lanes, blocks * LANES);
            }
        }
        self.classes = classes;
    }

    /// How some lanes of a class run by tiles, if those suit them: their halves come after those that there are.
    #[cfg(target_arch = "x86_64")]
    fn tiled(&mut self, class: &Class, lanes: &[Lane]) -> Option<Tiled> {
        one_pixel(lanes)?;
        let len = class.span[1].1 * self.read.channels;
        let tiled = Tiled::new(len, class.blocks[1], lanes.len(), self.halves)?;
        self.halves += class.span[0].1 * tiled.run_len();
        Some(tiled)
    }

    fn lanes(&self, class: &Class) -> Vec<Lane> {
        let channels = self.write.channels;
        let [ys, xs] = [class.first[0]..class.end[0], class.first[1]..class.end[1]];
        let pixels = ys.flat_map(|y| xs.clone().map(move |x| [y, x]));
        pixels.flat_map(|pixel| (0..channels).map(move |channel| Lane { pixel, channel })).collect()
    }

    fn pack_panel(&mut self, [(y0, ny), (x0, nx)]: [(isize, usize); 2], lanes: &[Lane], width: usize) {
        for y in (y0..).take(ny) {
            for x in (x0..).take(nx) {
                for read in 0..self.read.channels {
                    let start = self.pack.len();
                    self.pack.resize(start + width, NONE);
                    for (l, lane) in lanes.iter().enumerate() {
                        let (read, written) =
                            ([read, self.read.channels], [lane.channel, self.write.channels]);
                        let (transposed, pixel) = (self.transposed, lane.pixel);
                        self.pack[start + l] =
                            self.window.weight_index(transposed, pixel, [y, x], read, written);
                    }
                }
            }
        }
    }

    /// The zeros that the gather needs around the image it reads.
    pub(crate) fn halo(&self) -> Halo {
        let size = [self.read.height, self.read.width];
        let mut halo = Halo::default();
        for class in self.classes.iter().filter(|class| !class.blocks.contains(&0)) {
            for (axis, &size) in size.iter().enumerate() {
                let (first, count) = class.span[axis];
                let last = ((class.blocks[axis] - 1) * self.advance[axis] + count) as isize + first;
                let [before, after] = &mut halo.0[axis];
                *before = (*before).max((-first).max(0) as usize);
                *after = (*after).max((last - size as isize).max(0) as usize);
            }
        }
        halo
    }

    /// Sets the halos of the images that it reads and writes; `read` at least [`Gather::halo`].
    pub(crate) fn place(&mut self, read: Halo, write: Halo) {
        debug_assert_eq!(read.union(self.halo()), read);
        self.read.halo = read;
        self.write.halo = write;
    }

    /// The layer's weights in the order in which they are used.
    pub(crate) fn pack(&self, #[allow(unused)] isa: Isa, weight: &[f32]) -> Packed {
        let weight = |&index: &u32| if index == NONE { 0.0 } else { weight[index as usize] };
        let floats: Vec<_> = self.pack.iter().map(weight).collect();
        Packed {
            #[cfg(target_arch = "x86_64")]
            halves: if isa == Isa::Amx { self.pack_halves(&floats) } else { Aligned::default() },
            floats,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn pack_halves(&self, floats: &[f32]) -> Aligned<u16> {
        let mut halves = Aligned::new(self.halves);
        let mut left = &mut halves[..];
        for class in &self.classes {
            for group in &class.groups {
                let Some(tiled) = group.tiled else { continue };
                let run = class.span[1].1 * self.read.channels * group.blocks * LANES;
                let runs = floats[group.panel..][..class.span[0].1 * run].chunks_exact(run);
                for run in runs {
                    let (to, after) = std::mem::take(&mut left).split_at_mut(tiled.run_len());
                    tiled.pack(run, to);
                    left = after;
                }
            }
        }
        halves
    }

    /// Fills the interior of `output` from `input`; `packed` is from [`Gather::pack`], an empty bias
    /// counts as zeros.
    pub(crate) fn run(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &Packed,
        bias: &[f32],
        activation: Activation,
        output: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Amx && self.halves > 0 {
            self.run_tiled(isa, input, packed, bias, activation, output);
        }
        let packed = &packed.floats;
        let mut scattered = Vec::new();
        for class in self.classes.iter().filter(|class| class.blocks[1] > 0) {
            for group in &class.groups {
                #[cfg(target_arch = "x86_64")]
                if isa == Isa::Amx && group.tiled.is_some() {
                    continue;
                }
                let init = bias_lanes(group, bias);
                let runs = self.runs(class, group);
                let (steps, rows, lanes) = (self.steps(group), class.blocks[1], group.lanes.len());
                for y in 0..class.blocks[0] {
                    let start = Start::Lanes(&init);
                    let a = &input[y * self.advance[0] * self.read.pitch()..];
                    let sums = Sums { a, b: packed, runs: &runs, steps, start, rows, lanes, activation };
                    if let Some(first) = group.contiguous() {
                        let pixel = [y * self.block[0] + first.pixel[0], first.pixel[1]];
                        let place = self.write.at(pixel[0] as isize, pixel[1] as isize) + first.channel;
                        sums.run(isa, &mut output[place..], self.block[1] * self.write.channels);
                    } else {
                        scattered.resize(rows * lanes, 0.0);
                        sums.run(isa, &mut scattered, lanes);
                        self.scatter(group, &scattered, y, output);
                    }
                }
            }
        }
    }

    /// The groups that tiles suit.
    #[cfg(target_arch = "x86_64")]
    fn run_tiled(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &Packed,
        bias: &[f32],
        activation: Activation,
        output: &mut [f32],
    ) {
        let a_row = self.advance[1] * self.read.channels;
        halves::with_buffer(halves::Image::len(&self.read, a_row), |buffer| {
            let image = halves::Image::read(&self.read, a_row, input, buffer);
            halves::Tiles::with(|tiles| {
                for class in self.classes.iter().filter(|class| !class.blocks.contains(&0)) {
                    for group in &class.groups {
                        self.run_group(isa, tiles, (class, group), &image, packed, bias, activation, output);
                    }
                }
            });
        });
    }

    /// A group of lanes of a class, if tiles suit it.
    #[cfg(target_arch = "x86_64")]
    #[expect(clippy::too_many_arguments, reason = "private, one group's state")]
    fn run_group(
        &self,
        isa: Isa,
        tiles: &mut halves::Tiles,
        (class, group): (&Class, &Group),
        image: &halves::Image<'_>,
        packed: &Packed,
        bias: &[f32],
        activation: Activation,
        output: &mut [f32],
    ) {
        let (Some(tiled), Some(first)) = (group.tiled, group.contiguous()) else { return };
        let [(y0, ny), (x0, _)] = class.span;
        let rows = halves::Rect {
            size: class.blocks,
            from: [self.advance[0] * image.pitch(), self.advance[1] * self.read.channels],
            to: [self.block[0] * self.write.pitch(), self.block[1] * self.write.channels],
        };
        let chunks = tiled.chunks((0..ny).map(|y| image.at(y0 + y as isize, x0)));
        let [y, x] = first.pixel.map(|at| at as isize);
        let output = &mut output[self.write.at(y, x) + first.channel..];
        let relu = activation == Activation::Relu;
        let end = halves::End::Bias { lanes: &bias_lanes(group, bias), relu };
        tiled.run(tiles, image, &packed.halves, &chunks, end, output, rows);
        if !relu {
            for row in output.chunks_mut(rows.to[0]).take(rows.size[0]) {
                finish(isa, activation, row, rows.to[1], [rows.size[1], group.lanes.len()]);
            }
        }
    }

    /// The taps' runs for the block at the origin.
    fn runs(&self, class: &Class, group: &Group) -> Vec<Run> {
        let [(y0, ny), (x0, nx)] = class.span;
        let len = nx * self.read.channels;
        let run = |i: usize| Run {
            a: self.read.at(y0 + i as isize, x0),
            b: group.panel + i * len * group.blocks * LANES,
            len,
        };
        (0..ny).map(run).collect()
    }

    fn steps(&self, group: &Group) -> Steps {
        Steps { a_row: self.advance[1] * self.read.channels, a_term: 1, b_term: group.blocks * LANES }
    }

    /// Writes a row of blocks whose lanes are of several pixels; some may lie beyond the image's edge.
    fn scatter(&self, group: &Group, values: &[f32], y: usize, output: &mut [f32]) {
        for (x, values) in values.chunks_exact(group.lanes.len()).enumerate() {
            for (lane, &value) in group.lanes.iter().zip(values) {
                let [oy, ox] = [y * self.block[0] + lane.pixel[0], x * self.block[1] + lane.pixel[1]];
                if oy < self.write.height && ox < self.write.width {
                    output[self.write.at(oy as isize, ox as isize) + lane.channel] = value;
                }
            }
        }
    }
}

impl Group {
    /// The first lane if all are of one pixel: then they lie side by side in the output.
    fn contiguous(&self) -> Option<&Lane> {
        one_pixel(&self.lanes)
    }
}

/// The first lane if all are of one pixel.
fn one_pixel(lanes: &[Lane]) -> Option<&Lane> {
    let first = lanes.first()?;
    lanes.iter().all(|lane| lane.pixel == first.pixel).then_some(first)
}

fn bias_lanes(group: &Group, bias: &[f32]) -> [f32; WIDTH] {
    let mut row = [0.0; WIDTH];
    if !bias.is_empty() {
        row.iter_mut().zip(&group.lanes).for_each(|(value, lane)| *value = bias[lane.channel]);
    }
    row
}
