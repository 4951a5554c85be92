//! Sizes of the encoder.

use crate::NnError;

/// The activation between a layer's two linear maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// x · σ(1.702 x): OpenAI's weights and what is fine-tuned from them.
    Quick,
    /// The Gaussian error linear unit: most of `open_clip`'s own weights.
    Exact,
}

/// Sizes of a CLIP vision transformer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipVitConfig {
    /// Side of the images.
    pub size: usize,
    /// Side of the patches that become tokens.
    pub patch: usize,
    /// Channels of a token.
    pub width: usize,
    /// Layers of the transformer.
    pub layers: usize,
    /// Heads of its attention.
    pub heads: usize,
    /// Channels between a layer's two linear maps.
    pub inner: usize,
    /// Length of the feature vector.
    pub features: usize,
    /// The activation; weight files do not tell it.
    pub gelu: Gelu,
}

impl ClipVitConfig {
    /// ViT-B/16 as OpenAI trained it: 224×224 pixels, 512 features.
    pub fn base_16() -> Self {
        let (width, layers, heads, inner) = (768, 12, 12, 3072);
        Self { size: 224, patch: 16, width, layers, heads, inner, features: 512, gelu: Gelu::Quick }
    }

    /// Tokens of an image: its patches and the class's.
    pub(super) fn tokens(&self) -> usize {
        (self.size / self.patch).pow(2) + 1
    }

    pub(super) fn check(&self) -> Result<(), NnError> {
        let refuse =
            |key, value: usize, expected| Err(NnError::Setting { key, value: value.to_string(), expected });
        if self.patch == 0 || self.size == 0 || !self.size.is_multiple_of(self.patch) {
            return refuse("patch", self.patch, "a divisor of the images' side");
        }
        if self.heads == 0 || self.width == 0 || !self.width.is_multiple_of(self.heads) {
            return refuse("heads", self.heads, "a divisor of the width");
        }
        Ok(())
    }
}
