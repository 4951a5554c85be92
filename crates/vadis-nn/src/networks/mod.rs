//! The networks of the published systems.
//!
//! Each has a configuration and a module of the same name, and is checked against a PyTorch twin of the
//! same names (`tests/scripts/twins.py`): a `state_dict` of the twin loads, and the other way round.
//!
//! A module trains where its device has autodiff; [`Module::valid`](burn::module::Module::valid) gives
//! the one that evaluates. `frozen` packs the weights for inference on the CPU without burn, `frozen_int8` in bytes.

mod ae3d;
mod cae;
mod glow;
mod itae;
mod memae;
mod memory;
mod packed;
mod sliding;

use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Options, PlanError};

use crate::NnError;

pub use ae3d::{Ae3d, Ae3dConfig, FrozenAe3d};
pub use cae::{Cae, CaeConfig, FrozenCae};
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
    /// Fast convolution (Winograd) where it pays; errors up to some 1e-5 of a layer's largest value.
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
