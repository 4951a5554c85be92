//! CLIP's image encoder: the vision transformer of Radford et al., "Learning Transferable Visual Models From Natural
//! Language Supervision" (ICML 2021), whose ViT-B/16 gives the frame features of ViFi-CLIP (paper 002).
//!
//! Weights are read in the layout of `transformers` (`vision_model.…`) and in that of OpenAI, `open_clip` and ViFi-CLIP
//! (`visual.…`, `image_encoder.…`).

mod config;
mod layout;

use std::path::Path;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, activation};
use fast_image_resize::FilterType;

pub use config::{ClipVitConfig, Gelu};
use layout::Layout;

use super::layers::{Conv, LayerNorm, Linear, attend};
use super::{Checkpoint, FrameEncoder, Picture};
use crate::{NnError, tensor_values};

/// What CLIP subtracts from pixels in [0, 1], and what it divides them by.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// See [`MEAN`].
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// What the norms add to a variance.
const EPSILON: f64 = 1e-5;

/// The encoder with its weights.
#[derive(Debug)]
pub struct ClipVit {
    config: ClipVitConfig,
    device: Device,
    patches: Conv,
    class: Tensor<3>,
    positions: Tensor<3>,
    before: LayerNorm,
    layers: Vec<Layer>,
    after: LayerNorm,
    projection: Tensor<2>,
}

/// A layer of the transformer.
#[derive(Debug)]
struct Layer {
    norms: [LayerNorm; 2],
    query_key_value: [Linear; 3],
    output: Linear,
    mlp: [Linear; 2],
    gelu: Gelu,
    heads: usize,
}

impl ClipVit {
    /// ViT-B/16 with OpenAI's activation, from a `safetensors` file.
    ///
    /// # Errors
    /// [`NnError::Io`], [`NnError::WeightFile`] or [`NnError::Weights`]: unreadable, truncated, of another layout, or a
    /// tensor is missing or of another shape.
    pub fn base_16(path: &Path, device: &Device) -> Result<Self, NnError> {
        Self::load(&ClipVitConfig::base_16(), &Checkpoint::open(path)?, device)
    }

    /// An encoder of any sizes.
    ///
    /// # Errors
    /// As [`ClipVit::base_16`], and [`NnError::Setting`] for sizes that do not fit each other.
    pub fn load(config: &ClipVitConfig, weights: &Checkpoint, device: &Device) -> Result<Self, NnError> {
        config.check()?;
        let layout = Layout::of(weights)?;
        let source = layout.source(weights, device);
        let (width, patch) = (config.width, config.patch);
        let names = layout.names();
        let weight = source.tensor(names.patches, [width, 3, patch, patch])?;
        let options = ConvOptions::new([patch, patch], [0, 0], [1, 1], 1);
        let layers = (0..config.layers).map(|index| layout.layer(&source, index, config));
        Ok(Self {
            patches: Conv { weight, bias: None, options },
            class: source.tensor::<1>(names.class, [width])?.reshape([1, 1, width]),
            positions: source.tensor::<2>(names.positions, [config.tokens(), width])?.unsqueeze(),
            before: source.layer_norm(names.before, width, EPSILON)?,
            layers: layers.collect::<Result<_, _>>()?,
            after: source.layer_norm(names.after, width, EPSILON)?,
            projection: layout.projection(&source, config)?,
            device: device.clone(),
            config: config.clone(),
        })
    }

    /// Features of normalised images.
    ///
    /// # Shapes
    /// - `x`: `[batch, 3, size, size]`
    /// - output: `[batch, features]`
    ///
    /// # Panics
    /// If `x` has another shape, as burn's own modules do.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, _, _, _] = x.dims();
        let width = self.config.width;
        let patches = self.patches.forward(x);
        let patches = patches.reshape([batch, width, self.config.tokens() - 1]).swap_dims(1, 2);
        let class = self.class.clone().expand([batch, 1, width]);
        let x = Tensor::cat(vec![class, patches], 1) + self.positions.clone();
        let x = self.layers.iter().fold(self.before.forward(x), |x, layer| layer.forward(x));
        let class = x.slice([0..batch, 0..1, 0..width]).reshape([batch, width]);
        self.after.forward(class).matmul(self.projection.clone())
    }
}

impl Layer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let normed = self.norms[0].forward(x.clone());
        let parts = self.query_key_value.each_ref().map(|part| part.forward(normed.clone()));
        let x = x + self.output.forward(attend(parts, self.heads));
        let y = self.mlp[0].forward(self.norms[1].forward(x.clone()));
        let y = match self.gelu {
            Gelu::Quick => y.clone() * activation::sigmoid(y.mul_scalar(1.702)),
            Gelu::Exact => activation::gelu(y),
        };
        x + self.mlp[1].forward(y)
    }
}

impl FrameEncoder for ClipVit {
    fn feature_size(&self) -> usize {
        self.config.features
    }

    /// The whole frame is resized to a square by cubic interpolation (ours: CLIP cuts the middle square out, which in a
    /// surveillance frame leaves out what happens at its sides).
    fn features(&self, frame: &Picture<'_>) -> Result<Vec<f32>, NnError> {
        let size = self.config.size;
        let x = frame.resized([size; 2], FilterType::CatmullRom)?;
        let normalised =
            |c: usize| x.iter().skip(c).step_by(3).map(move |v| (v / 255.0 - MEAN[c]) / DEVIATION[c]);
        let planes: Vec<f32> = (0..3).flat_map(normalised).collect();
        tensor_values(
            self.forward(Tensor::from_data(TensorData::new(planes, [1, 3, size, size]), &self.device)),
        )
    }
}
