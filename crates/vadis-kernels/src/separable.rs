//! Depthwise and pointwise convolutions for inference, over images that are kept channels last,
//! `[height][width][channels]`: the two halves of the separable convolutions of mobile networks.

use std::ops::Range;

use rayon::prelude::*;

use crate::elementwise::{add, for_each_isa};
use crate::linear::{Matrix, Panels, Scalars, Vectors, product};
use crate::simd::{LANES, Vectorised, multiply_add, vectorised};
use crate::tile::Isa;

/// The activation's upper bound.
const SIX: f32 = 6.0;

/// min(max(x, 0), 6), where NaN stays NaN.
#[inline(always)]
fn relu6(x: f32) -> f32 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > SIX { SIX } else { x }
}

for_each_isa! {
    /// min(max(x + bias, 0), 6).
    fn add_relu6(values: &mut [f32], bias: &[f32]) {
        values.iter_mut().zip(bias).for_each(|(x, b)| *x = relu6(*x + b));
    }
}

/// A pointwise (1×1) convolution with its weights packed: the same affine map at each position.
#[derive(Clone, Debug)]
pub struct Pointwise {
    isa: Isa,
    panels: Panels,
    bias: Vec<f32>,
    relu6: bool,
}

impl Pointwise {
    /// With `weight` = `[outputs][inputs]`, a bias for each output, and min(max(x, 0), 6) after it where
    /// `relu6`.
    ///
    /// # Panics
    /// If there is no output, or the weight's length is not a positive multiple of their number: a bug in
    /// the caller.
    pub fn new(weight: &[f32], bias: Vec<f32>, relu6: bool) -> Self {
        let (isa, outputs) = (Isa::detect(), bias.len());
        assert!(outputs > 0 && !weight.is_empty() && weight.len().is_multiple_of(outputs), "whole rows");
        let inputs = weight.len() / outputs;
        let matrix = Matrix::Columns { values: weight, terms: inputs };
        Self { isa, panels: Panels::new(isa, matrix, inputs, outputs), bias, relu6 }
    }

    /// The output at each of the positions of `x` = `[positions][inputs]`, as `[positions][outputs]`. A
    /// position's bits do not depend on the others.
    ///
    /// # Panics
    /// If the slices' lengths do not fit: a bug in the caller.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let (inputs, outputs) = (self.inputs(), self.bias.len());
        assert!(x.len().is_multiple_of(inputs) && y.len() == x.len() / inputs * outputs, "whole positions");
        if y.is_empty() {
            return;
        }
        product(self.isa, Scalars::Rows(x), Vectors::Packed(&self.panels), y, |row, columns| {
            let bias = &self.bias[columns];
            match self.relu6 {
                true => add_relu6(self.isa, row, bias),
                false => add(self.isa, row, bias),
            }
        });
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.panels.terms()
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// A depthwise convolution with its weights packed: each channel with a kernel of its own, then
/// min(max(x, 0), 6).
///
/// It is padded as TensorFlow's `SAME`: the output has ⌈size / stride⌉ positions, and of an odd number of zeros the
/// greater part lies at the end.
#[derive(Clone, Debug)]
pub struct Depthwise {
    /// `[blocks of 16 channels][taps][16]`.
    weight: Vec<f32>,
    /// Filled up to whole blocks.
    bias: Vec<f32>,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Depthwise {
    /// With `weight` = `[channels][kernel][kernel]` and a bias for each channel.
    ///
    /// # Panics
    /// If the lengths do not fit, or a size is zero: a bug in the caller.
    pub fn new(weight: &[f32], bias: &[f32], kernel: usize, stride: usize) -> Self {
        let (channels, taps) = (bias.len(), kernel * kernel);
        assert!(channels * taps * stride > 0 && weight.len() == channels * taps, "a kernel for each channel");
        let mut packed = vec![0.0; channels.next_multiple_of(LANES) * taps];
        for (index, &value) in weight.iter().enumerate() {
            let (channel, tap) = (index / taps, index % taps);
            packed[(channel / LANES * taps + tap) * LANES + channel % LANES] = value;
        }
        let mut bias = bias.to_vec();
        bias.resize(channels.next_multiple_of(LANES), 0.0);
        Self { weight: packed, bias, channels, kernel, stride }
    }

    /// Height and width of the output.
    pub fn output(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|size| size.div_ceil(self.stride))
    }

    /// The convolution of `x` = `[height][width][channels]`. Its bits do not depend on the number of threads.
    ///
    /// # Panics
    /// If the slices' lengths do not fit: a bug in the caller.
    pub fn run(&self, x: &[f32], size: [usize; 2], y: &mut [f32]) {
        let [height, width] = self.output(size);
        assert_eq!(x.len(), size[0] * size[1] * self.channels, "input of {size:?}");
        assert_eq!(y.len(), height * width * self.channels, "output of {size:?}");
        if y.is_empty() {
            return;
        }
        let rows = y.par_chunks_mut(width * self.channels).enumerate();
        rows.for_each(|(row, y)| vectorised(Row { conv: self, x, size, row, y }));
    }

    /// Where along an axis the taps of output `position` start, and which of them lie inside.
    #[inline(always)]
    fn taps(&self, size: usize, position: usize) -> (usize, Range<usize>) {
        let before = padding_before(size, self.kernel, self.stride);
        let start = position * self.stride;
        let first = before.saturating_sub(start);
        let end = self.kernel.min((size + before).saturating_sub(start));
        ((start + first).saturating_sub(before), first..end.max(first))
    }
}

/// Zeros before the first value of an axis under TensorFlow's `SAME` padding: half of them, rounded down.
#[inline(always)]
pub fn padding_before(size: usize, kernel: usize, stride: usize) -> usize {
    let covered = size.div_ceil(stride).saturating_sub(1) * stride + kernel;
    covered.saturating_sub(size) / 2
}

/// One row of a depthwise convolution's output.
struct Row<'a> {
    conv: &'a Depthwise,
    x: &'a [f32],
    size: [usize; 2],
    row: usize,
    y: &'a mut [f32],
}

impl Vectorised for Row<'_> {
    type Output = ();

    // A block of channels goes along the row before the next begins: its weights stay in the first-level cache.
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { conv, x, size: [height, width], row, y } = self;
        let (channels, kernel) = (conv.channels, conv.kernel);
        let (top, down) = conv.taps(height, row);
        for (block, bias) in conv.bias.as_chunks::<LANES>().0.iter().enumerate() {
            let place = block * LANES;
            let lanes = LANES.min(channels - place);
            let weight = &conv.weight[place * kernel * kernel..][..LANES * kernel * kernel];
            let weight = weight.as_chunks::<LANES>().0;
            for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                let (left, across) = conv.taps(width, column);
                let mut sums = *bias;
                for (i, ky) in down.clone().enumerate() {
                    let from = &x[((top + i) * width + left) * channels + place..];
                    let weight = &weight[ky * kernel..][across.clone()];
                    for (i, weight) in weight.iter().enumerate() {
                        let values = load(&from[i * channels..], lanes);
                        for (sum, (value, weight)) in sums.iter_mut().zip(values.iter().zip(weight)) {
                            *sum = multiply_add::<FMA>(*value, *weight, *sum);
                        }
                    }
                }
                sums.iter_mut().for_each(|sum| *sum = relu6(*sum));
                store(&sums, &mut y[place..place + lanes]);
            }
        }
    }
}

/// The first `lanes` values, zeros after them.
#[inline(always)]
fn load(from: &[f32], lanes: usize) -> [f32; LANES] {
    if lanes == LANES
        && let Some(values) = from.first_chunk::<LANES>()
    {
        return *values;
    }
    let mut values = [0.0; LANES];
    values[..lanes].copy_from_slice(&from[..lanes]);
    values
}

#[inline(always)]
fn store(values: &[f32; LANES], to: &mut [f32]) {
    match to.first_chunk_mut::<LANES>() {
        Some(to) => *to = *values,
        None => to.copy_from_slice(&values[..to.len()]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    /// The convolution as its definition says, in double precision.
    fn naive(x: &[f32], [h, w]: [usize; 2], weight: &[f32], bias: &[f32], k: usize, s: usize) -> Vec<f64> {
        let c = bias.len();
        let before = [h, w].map(|n| ((n.div_ceil(s) - 1) * s + k).saturating_sub(n) / 2);
        let mut y = Vec::new();
        for (oy, ox) in (0..h.div_ceil(s)).flat_map(|oy| (0..w.div_ceil(s)).map(move |ox| (oy, ox))) {
            for channel in 0..c {
                let mut sum = f64::from(bias[channel]);
                for (ky, kx) in (0..k).flat_map(|ky| (0..k).map(move |kx| (ky, kx))) {
                    let (iy, ix) =
                        ((oy * s + ky).wrapping_sub(before[0]), (ox * s + kx).wrapping_sub(before[1]));
                    if iy < h && ix < w {
                        let weight = weight[(channel * k + ky) * k + kx];
                        sum += f64::from(x[(iy * w + ix) * c + channel]) * f64::from(weight);
                    }
                }
                y.push(sum.clamp(0.0, 6.0));
            }
        }
        y
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_depthwise_convolution_is_its_definition(
            size in prop::array::uniform2(1usize..12), channels in 1usize..40, kernel in 1usize..6, stride in 1usize..4,
        ) {
            let x = noise(size[0] * size[1] * channels, 1);
            let (weight, bias) = (noise(channels * kernel * kernel, 2), noise(channels, 3));
            let conv = Depthwise::new(&weight, &bias, kernel, stride);
            let [height, width] = conv.output(size);
            let mut y = vec![f32::NAN; height * width * channels];
            conv.run(&x, size, &mut y);
            for (got, expected) in y.iter().zip(naive(&x, size, &weight, &bias, kernel, stride)) {
                prop_assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} against {expected}");
            }
        }

        #[test]
        fn a_pointwise_convolution_is_its_definition(
            positions in 0usize..70, inputs in 1usize..70, outputs in 1usize..70, bounded: bool,
        ) {
            let (x, weight) = (noise(positions * inputs, 1), noise(outputs * inputs, 2));
            let bias = noise(outputs, 3);
            let conv = Pointwise::new(&weight, bias.clone(), bounded);
            let mut y = vec![f32::NAN; positions * outputs];
            conv.run(&x, &mut y);
            for (i, got) in y.iter().enumerate() {
                let (x, weight) = (&x[i / outputs * inputs..][..inputs], &weight[i % outputs * inputs..][..inputs]);
                let sum: f64 = x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let expected = sum + f64::from(bias[i % outputs]);
                let expected = if bounded { expected.clamp(0.0, 6.0) } else { expected };
                prop_assert!((f64::from(*got) - expected).abs() < 1e-4, "{got} against {expected}");
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        let mut y = [0.0];
        Pointwise::new(&[1.0], vec![0.0], true).run(&[f32::NAN], &mut y);
        assert!(y[0].is_nan());
        Depthwise::new(&[1.0], &[0.0], 1, 1).run(&[f32::NAN], [1, 1], &mut y);
        assert!(y[0].is_nan());
    }
}
