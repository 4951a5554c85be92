//! EfficientNet-Lite0 without its classifier: 1280 features of a frame.
//!
//! Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019), in its variant for
//! small devices. Weights by their names in PyPI's `efficientnet-lite-pytorch`; batch norms are folded into the
//! convolutions as they are read. It runs on the processor alone, by [`vadis_kernels::Pointwise`] and
//! [`vadis_kernels::Depthwise`].

mod block;
mod config;

use std::path::Path;

use fast_image_resize::FilterType;
use vadis_kernels::Pointwise;

use block::{Block, Scratch, folded};
pub use config::{EfficientNetLiteConfig, Stage};

use super::{Checkpoint, FrameEncoder, Picture};
use crate::NnError;

/// Side of the first convolution's kernel, and its stride.
const STEM: [usize; 2] = [3, 2];

/// Bytes b become (b − 127) / 128, as in training: the weights come from TensorFlow's published ones, and that is its
/// Lite variants' rule (the package tells none; its README repeats ImageNet's mean, which belongs to another network).
const MEAN: f32 = 127.0;
/// See [`MEAN`].
const DEVIATION: f32 = 128.0;

/// The network with its weights.
#[derive(Debug)]
pub struct EfficientNetLite {
    size: usize,
    stem: Pointwise,
    blocks: Vec<Block>,
    head: Pointwise,
}

impl EfficientNetLite {
    /// EfficientNet-Lite0 from the file that `scripts/pretrained-weights` writes.
    ///
    /// # Errors
    /// [`NnError::Io`], [`NnError::WeightFile`] or [`NnError::Weights`]: unreadable, truncated, or a tensor is missing or
    /// of another shape.
    pub fn lite0(path: &Path) -> Result<Self, NnError> {
        Self::load(&EfficientNetLiteConfig::lite0(), &Checkpoint::open(path)?)
    }

    /// A network of any sizes.
    ///
    /// # Errors
    /// As [`EfficientNetLite::lite0`].
    pub fn load(config: &EfficientNetLiteConfig, weights: &Checkpoint) -> Result<Self, NnError> {
        let epsilon = config.epsilon;
        let [weight, bias] =
            folded(weights, ["_conv_stem", "_bn0"], &[config.stem, 3, STEM[0], STEM[0]], epsilon)?;
        let stem = Pointwise::new(&channels_last(&weight, 3), bias, true);
        let mut blocks = Vec::new();
        let mut input = config.stem;
        for stage in &config.stages {
            for index in 0..stage.blocks {
                let stage = Stage { stride: if index == 0 { stage.stride } else { 1 }, ..*stage };
                blocks.push(Block::load(weights, blocks.len(), input, stage, epsilon)?);
                input = stage.channels;
            }
        }
        let [weight, bias] = folded(weights, ["_conv_head", "_bn1"], &[config.head, input, 1, 1], epsilon)?;
        Ok(Self { size: config.size, stem, blocks, head: Pointwise::new(&weight, bias, true) })
    }

    /// The features of one normalised frame `x` = `[height][width][3]`: the last convolution's, averaged over the
    /// frame.
    ///
    /// # Errors
    /// [`NnError::Shape`] if `x` has another length, or there are no pixels.
    pub fn forward(&self, x: &[f32], size: [usize; 2]) -> Result<Vec<f32>, NnError> {
        let expected = size[0].saturating_mul(size[1]).saturating_mul(3);
        if x.len() != expected || x.is_empty() {
            return Err(NnError::Shape { what: "a normalised frame", axis: 0, expected, got: x.len() });
        }
        let mut scratch = Scratch::default();
        let (patches, mut size) = stem_patches(x, size);
        let mut x = vec![0.0; size[0] * size[1] * self.stem.outputs()];
        self.stem.run(&patches, &mut x);
        for block in &self.blocks {
            size = block.run(&mut x, size, &mut scratch);
        }
        let mut y = vec![0.0; size[0] * size[1] * self.head.outputs()];
        self.head.run(&x, &mut y);
        Ok(mean_of_rows(&y, self.head.outputs()))
    }
}

impl FrameEncoder for EfficientNetLite {
    fn feature_size(&self) -> usize {
        self.head.outputs()
    }

    fn features(&self, frame: &Picture<'_>) -> Result<Vec<f32>, NnError> {
        let mut x = frame.resized([self.size; 2], FilterType::Bilinear)?;
        x.iter_mut().for_each(|v| *v = (*v - MEAN) / DEVIATION);
        self.forward(&x, [self.size; 2])
    }
}

/// A weight `[outputs][channels][taps]` as `[outputs][taps][channels]`.
fn channels_last(weight: &[f32], channels: usize) -> Vec<f32> {
    let taps = STEM[0] * STEM[0];
    let outputs = weight.chunks_exact(channels * taps);
    outputs.flat_map(|w| (0..taps * channels).map(|i| w[i % channels * taps + i / channels])).collect()
}

/// What the first convolution reads at each of its positions, `[positions][taps][3]`, and the number of positions on
/// each axis.
fn stem_patches(x: &[f32], size: [usize; 2]) -> (Vec<f32>, [usize; 2]) {
    let [kernel, stride] = STEM;
    let before = size.map(|n| vadis_kernels::padding_before(n, kernel, stride));
    let output = size.map(|n| n.div_ceil(stride));
    let mut patches = vec![0.0; output[0] * output[1] * kernel * kernel * 3];
    for (position, patch) in patches.chunks_exact_mut(kernel * kernel * 3).enumerate() {
        let (row, column) = (position / output[1] * stride, position % output[1] * stride);
        for (tap, to) in patch.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let place = [row + tap / kernel, column + tap % kernel];
            let [Some(y), Some(x_)] = [0, 1].map(|axis| place[axis].checked_sub(before[axis])) else {
                continue;
            };
            if y < size[0] && x_ < size[1] {
                to.copy_from_slice(&x[(y * size[1] + x_) * 3..][..3]);
            }
        }
    }
    (patches, output)
}

/// The mean of rows, summed in double precision.
fn mean_of_rows(rows: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; columns];
    for row in rows.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    let count = (rows.len() / columns) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}
