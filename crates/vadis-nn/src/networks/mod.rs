//! The networks of the published systems.
//!
//! Each has a configuration and a module of the same name, and is checked against a PyTorch twin of the
//! same names (`tests/scripts/twins.py`): a `state_dict` of the twin loads, and the other way round.
//!
//! A module trains where its device has autodiff; [`Module::valid`](burn::module::Module::valid) gives
//! the one that evaluates. `frozen` packs the weights for inference on the CPU without burn, `frozen_int8` in bytes.

mod ae3d;
mod cae;
mod discriminator;
mod glow;
mod itae;
mod memae;
mod memory;
mod packed;
mod sliding;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Options, PlanError};

use crate::NnError;
use crate::segment::NamedTensor;

pub use ae3d::{Ae3d, Ae3dConfig, FrozenAe3d};
pub use cae::{Cae, CaeConfig, CaeHead, FrozenCae, FrozenCaeHead};
pub use discriminator::{FrozenPatchDiscriminator, PatchDiscriminator, PatchDiscriminatorConfig};
pub use glow::{FrozenGlow, Glow, GlowConfig, Likelihoods};
pub use itae::{FrozenItae, FrozenItaeFeatures, Itae, ItaeConfig};
pub use memae::{FrozenMemAe, MemAe, MemAeConfig, MemAeOutput};
pub use memory::{Addressed, FrozenMemory, Memory};
pub use sliding::Sliding;

/// What the volume networks have after each norm.
const LEAKY: Activation = Activation::LeakyRelu(0.2);

/// How a network's kernels round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// Fast convolution (Winograd), and products of halves by tiles (AMX), where they pay; errors up to some 1e-5 of a
    /// layer's largest value.
    #[default]
    Fast,
    /// Fast convolution with small tiles: about as exact as plain sums.
    Careful,
    /// Plain sums of products only.
    Exact,
}

impl Arithmetic {
    fn options(self) -> Options {
        Options { exact: self == Self::Exact, small_tiles: self == Self::Careful, ..Options::default() }
    }
}

/// Channels at a width multiplier: rounded half up, at least one.
fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width + 0.5) as usize).max(1)
}

/// The width multiplier, if it is one.
fn check_width(width: f64) -> Result<(), NnError> {
    match width > 0.0 && width <= 16.0 {
        true => Ok(()),
        false => Err(NnError::Setting {
            key: "width",
            value: width.to_string(),
            expected: "a multiplier above 0, at most 16",
        }),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
fn does_not_fit(error: PlanError) -> NnError {
    NnError::Setting { key: "size", value: error.to_string(), expected: "a network that fits the input" }
}

/// Images `[batch, channels, height, width]` as clips of one frame.
fn as_clip(x: Tensor<4>) -> Tensor<5> {
    let [batch, c, h, w] = x.dims();
    x.reshape([batch, c, 1, h, w])
}

/// Clips of one frame as images.
fn as_image(x: Tensor<5>) -> Tensor<4> {
    let [batch, c, _, h, w] = x.dims();
    x.reshape([batch, c, h, w])
}

/// The state as PyTorch has it, whose 2-D convolutions have no temporal axis.
fn flattened(mut state: Vec<NamedTensor>) -> Vec<NamedTensor> {
    state.iter_mut().filter(|t| t.shape.len() == 5).for_each(|t| {
        t.shape.remove(2);
    });
    state
}

/// The state with the temporal axis that PyTorch leaves out.
fn unflattened(mut state: Vec<NamedTensor>) -> Vec<NamedTensor> {
    state.iter_mut().filter(|t| t.shape.len() == 4).for_each(|t| t.shape.insert(2, 1));
    state
}
