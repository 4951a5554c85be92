//! Gradients of a convolution's weights and bias, from one image.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::conv::{Halo, Image, Window};
use crate::elementwise::{add, times_derivative};
#[cfg(target_arch = "x86_64")]
use crate::halves::Correlation;
use crate::tile::{Isa, LANES, Run, Start, Steps, Sums, WIDTH};

/// Elements of both images that a weight gradient works on at a time.
const BAND: usize = 10 * 1024;

/// Weights whose gradients a task brings to their places.
const SLOTS: usize = 4096;

/// The weight gradient of a convolution, or of a transposed one (there input and output swap roles):
///
/// dW[v][s][ky][kx] = Σ_yx vector[y][x][v] · scalar[y·s + ky − p][x·s + kx − p][s]
///
/// Partial sums lie as `[panel of 32 lanes][rows][32]`.
#[derive(Clone, Debug)]
pub(crate) struct WeightGradient {
    window: Window,
    scalar: Image,
    vector: Image,
    /// Lanes run over the window instead of the channels of `vector`: for those with few channels, and by tiles.
    window_lanes: bool,
    /// If it runs by tiles of halves.
    #[cfg(target_arch = "x86_64")]
    tiled: Option<Correlation>,
}

impl WeightGradient {
    /// `scalar` is the larger image (a convolution's input, a transposed one's output gradient).
    pub(crate) fn new(#[allow(unused)] isa: Isa, window: Window, scalar: Image, vector: Image) -> Self {
        let run = window.kernel[1] * scalar.channels;
        let channels = vector.channels;
        let padded = |n: usize| n.next_multiple_of(LANES);
        #[cfg(target_arch = "x86_64")]
        let tiled = (isa == Isa::Amx).then(|| Correlation::new(window, scalar, vector)).flatten();
        #[cfg(target_arch = "x86_64")]
        let by_tiles = tiled.is_some();
        #[cfg(not(target_arch = "x86_64"))]
        let by_tiles = false;
        Self {
            window,
            scalar,
            vector,
            window_lanes: by_tiles || padded(run) * channels < padded(channels) * run,
            #[cfg(target_arch = "x86_64")]
            tiled,
        }
    }

    /// Zeros that it needs around the scalar image.
    pub(crate) fn halo(window: Window, scalar: [usize; 3], vector: [usize; 3]) -> Halo {
        Halo(std::array::from_fn(|axis| {
            let (s, p, k) = (window.stride[axis], window.padding[axis], window.kernel[axis]);
            let reach = ((vector[1 + axis] - 1) * s + k).saturating_sub(p);
            [p, reach.saturating_sub(scalar[1 + axis])]
        }))
    }

    /// Length of a kernel row's run in the scalar image.
    fn run_len(&self) -> usize {
        self.window.kernel[1] * self.scalar.channels
    }

    /// Rows and lanes of one kernel row's sums.
    fn shape(&self) -> [usize; 2] {
        match self.window_lanes {
            true => [self.vector.channels, self.run_len()],
            false => [self.run_len(), self.vector.channels],
        }
    }

    /// Elements of the partial sums.
    pub(crate) fn partial_len(&self) -> usize {
        let [rows, lanes] = self.shape();
        self.window.kernel[0] * rows * lanes.next_multiple_of(WIDTH)
    }

    /// Adds one image's share to `partial`.
    pub(crate) fn accumulate(&self, isa: Isa, scalar: &[f32], vector: &[f32], partial: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tiled) = &self.tiled {
            return tiled.accumulate(scalar, vector, partial);
        }
        let [rows, lanes] = self.shape();
        let (pixel, stride) = (self.vector.channels, self.window.stride[1] * self.scalar.channels);
        let (steps, a, b) = match self.window_lanes {
            true => (Steps { a_row: 1, a_term: pixel, b_term: stride }, vector, scalar),
            false => (Steps { a_row: 1, a_term: stride, b_term: pixel }, scalar, vector),
        };
        let panel = rows * WIDTH;
        let row_len = lanes.next_multiple_of(WIDTH) * rows;
        let runs: Vec<_> = (0..self.window.kernel[0]).map(|ky| self.runs(ky)).collect();
        for band in bands(self.vector.height, self.band()) {
            for (runs, partial) in runs.iter().zip(partial.chunks_exact_mut(row_len)) {
                let runs = &runs[band.clone()];
                for (lane, partial) in (0..lanes).step_by(WIDTH).zip(partial.chunks_exact_mut(panel)) {
                    let (b, start, activation) = (&b[lane..], Start::Output, Activation::None);
                    let lanes = (lanes - lane).min(WIDTH);
                    Sums { a, b, runs, steps, start, rows, lanes, activation }.run(isa, partial, WIDTH);
                }
            }
        }
    }

    /// Rows of the vector image that are summed in one go, by all tiles of all kernel rows: so many that
    /// they and the scalar image's stay in the first-level cache meanwhile.
    fn band(&self) -> usize {
        let stride = self.window.stride[0];
        let around = self.window.kernel[0].saturating_sub(stride) * self.scalar.pitch();
        let row = self.vector.pitch() + stride * self.scalar.pitch();
        (BAND.saturating_sub(around) / row).max(1)
    }

    fn runs(&self, ky: usize) -> Vec<Run> {
        let [sy, _] = self.window.stride;
        let [py, px] = self.window.padding.map(|p| p as isize);
        let run = |y: usize| {
            let scalar = self.scalar.at((y * sy + ky) as isize - py, -px);
            let vector = self.vector.at(y as isize, 0);
            let (a, b) = if self.window_lanes { (vector, scalar) } else { (scalar, vector) };
            Run { a, b, len: self.vector.width }
        };
        (0..self.vector.height).map(run).collect()
    }

    /// Writes finished sums as the weight gradient in PyTorch's layout, all of it.
    pub(crate) fn scatter(&self, partial: &[f32], gradient: &mut [MaybeUninit<f32>]) {
        let [rows, lanes] = self.shape();
        let [kh, kw] = self.window.kernel;
        let channels = self.scalar.channels;
        let row_len = lanes.next_multiple_of(WIDTH) * rows;
        gradient.par_iter_mut().with_min_len(SLOTS).enumerate().for_each(|(index, slot)| {
            let (kx, ky) = (index % kw, index / kw % kh);
            let (s, v) = (index / (kw * kh) % channels, index / (kw * kh * channels));
            let place = kx * channels + s;
            let (row, lane) = if self.window_lanes { (v, place) } else { (place, v) };
            slot.write(partial[ky * row_len + (lane / WIDTH * rows + row) * WIDTH + lane % WIDTH]);
        });
    }
}

/// Cuts `n` rows into bands of at most `most`.
fn bands(n: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(most).map(move |start| start..n.min(start + most))
}

/// Multiplies the gradient `delta` by the activation's derivative where the activation's output is `y`
/// (an image and its buffer; `None` if that is done), and adds its sum over all pixels, for each channel,
/// to `sums`; `wide` is memory.
pub(crate) fn finish_gradient(
    isa: Isa,
    image: &Image,
    delta: &mut [f32],
    y: Option<(Activation, &Image, &[f32])>,
    sums: &mut [f32],
    wide: &mut Vec<f32>,
) {
    // Sixteen pixels abreast: a single running sum would wait for each addition.
    wide.clear();
    wide.resize(LANES * image.channels, 0.0);
    for row in 0..image.height {
        let delta = &mut delta[image.row(row)];
        if let Some((activation, output, y)) = y {
            let y = &y[output.row(row)];
            for (delta, y) in delta.chunks_mut(wide.len()).zip(y.chunks(wide.len())) {
                times_derivative(isa, activation, delta, y);
                add(isa, wide, delta);
            }
        } else {
            delta.chunks(wide.len()).for_each(|delta| add(isa, wide, delta));
        }
    }
    for pixel in wide.chunks_exact(image.channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
}
