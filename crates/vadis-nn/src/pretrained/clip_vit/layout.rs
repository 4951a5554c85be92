//! The layouts in which the weights are published.

use burn::tensor::{Device, Tensor};

use super::{ClipVitConfig, EPSILON, Layer};
use crate::NnError;
use crate::pretrained::Checkpoint;
use crate::pretrained::layers::{Linear, Source};

/// Prefixes of OpenAI's layout: `open_clip`'s, and ViFi-CLIP's from one and from several processors.
const VISUAL: [&str; 3] = ["visual.", "image_encoder.", "module.image_encoder."];

/// Whose names the tensors go by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    Transformers,
    OpenAi { prefix: &'static str },
}

/// Names outside the layers.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) patches: &'static str,
    pub(super) class: &'static str,
    pub(super) positions: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
}

impl Layout {
    pub(super) fn of(weights: &Checkpoint) -> Result<Self, NnError> {
        if weights.contains_under("vision_model.") {
            return Ok(Self::Transformers);
        }
        let prefix = VISUAL.into_iter().find(|prefix| weights.contains_under(prefix));
        prefix.map(|prefix| Self::OpenAi { prefix }).ok_or_else(|| NnError::WeightFile {
            path: weights.path().to_owned(),
            reason: "it has neither `vision_model.` nor `visual.` tensors: no CLIP image encoder".to_owned(),
        })
    }

    pub(super) fn source<'a>(self, weights: &'a Checkpoint, device: &'a Device) -> Source<'a> {
        let prefix = match self {
            Self::Transformers => "",
            Self::OpenAi { prefix } => prefix,
        };
        Source::new(weights, prefix, device)
    }

    pub(super) fn names(self) -> Names {
        match self {
            Self::Transformers => Names {
                patches: "vision_model.embeddings.patch_embedding.weight",
                class: "vision_model.embeddings.class_embedding",
                positions: "vision_model.embeddings.position_embedding.weight",
                // Spelt so in the published files.
                before: "vision_model.pre_layrnorm",
                after: "vision_model.post_layernorm",
            },
            Self::OpenAi { .. } => Names {
                patches: "conv1.weight",
                class: "class_embedding",
                positions: "positional_embedding",
                before: "ln_pre",
                after: "ln_post",
            },
        }
    }

    /// `[width, features]`.
    pub(super) fn projection(
        self,
        source: &Source<'_>,
        config: &ClipVitConfig,
    ) -> Result<Tensor<2>, NnError> {
        let (width, features) = (config.width, config.features);
        match self {
            Self::Transformers => {
                Ok(source.tensor::<2>("visual_projection.weight", [features, width])?.transpose())
            }
            Self::OpenAi { .. } => source.tensor("proj", [width, features]),
        }
    }

    pub(super) fn layer(
        self,
        source: &Source<'_>,
        index: usize,
        config: &ClipVitConfig,
    ) -> Result<Layer, NnError> {
        let ClipVitConfig { width, inner, heads, gelu, .. } = *config;
        let (path, [norm1, norm2, output, first, second]) = match self {
            Self::Transformers => (
                format!("vision_model.encoder.layers.{index}"),
                ["layer_norm1", "layer_norm2", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"],
            ),
            Self::OpenAi { .. } => (
                format!("transformer.resblocks.{index}"),
                ["ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"],
            ),
        };
        let name = |part: &str| format!("{path}.{part}");
        let norm = |part: &str| source.layer_norm(&name(part), width, EPSILON);
        let query_key_value = match self {
            Self::Transformers => {
                let part = |part: &str| source.linear(&name(&format!("self_attn.{part}_proj")), width, width);
                [part("q")?, part("k")?, part("v")?]
            }
            Self::OpenAi { .. } => joined(source, &name("attn.in_proj"), width)?,
        };
        Ok(Layer {
            norms: [norm(norm1)?, norm(norm2)?],
            query_key_value,
            output: source.linear(&name(output), width, width)?,
            mlp: [source.linear(&name(first), width, inner)?, source.linear(&name(second), inner, width)?],
            gelu,
            heads,
        })
    }
}

/// Query, key and value from one tensor, one below the other.
fn joined(source: &Source<'_>, name: &str, width: usize) -> Result<[Linear; 3], NnError> {
    let weight = source.tensor::<2>(&format!("{name}_weight"), [3 * width, width])?;
    let bias = source.tensor::<1>(&format!("{name}_bias"), [3 * width])?;
    Ok([0, 1, 2].map(|part| {
        let rows = part * width..(part + 1) * width;
        let weight = weight.clone().slice([rows.clone(), 0..width]).transpose();
        Linear { weight, bias: Some(bias.clone().slice([rows])) }
    }))
}
