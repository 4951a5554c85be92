//! A discriminator of patches (Isola et al., *Image-to-Image Translation with Conditional Adversarial Networks*, CVPR
//! 2017, Section 3.2.2), small: it says of each place of a picture how much the surroundings look like a real one.
//! Layers and widths are ours: 32-64-128 by strides of two, then one channel; 3×3, leaky ReLU, no norm, so that what it
//! says of a picture hangs on nothing else.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::volume::{Conv, Plan, PlanError, Scratch};

use super::packed::Packed;
use super::{
    Arithmetic, LEAKY, as_clip, as_image, check_width, does_not_fit, flattened, scaled, unflattened,
};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, VolumeSegment};

/// Channels of the inner layers at a width of 1.
const CHANNELS: [usize; 3] = [32, 64, 128];

/// Configuration of [`PatchDiscriminator`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchDiscriminatorConfig {
    /// Channels of a picture.
    pub channels: usize,
    /// `[height, width]` of a picture.
    pub size: [usize; 2],
    /// Multiplies the channels of all inner layers (32, 64, 128).
    pub width: f64,
    /// How the kernels round.
    pub arithmetic: Arithmetic,
}

impl PatchDiscriminatorConfig {
    /// The network of width 1 (93 825 parameters with 1 channel) for pictures of `size`.
    pub fn new(channels: usize, size: [usize; 2]) -> Self {
        Self { channels, size, width: 1.0, arithmetic: Arithmetic::default() }
    }

    /// An untrained network.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the width or the sizes cannot be built.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<PatchDiscriminator, NnError> {
        let plan = self.checked_plan()?;
        Ok(PatchDiscriminator { network: VolumeSegment::new(&plan, self.arithmetic.options(), device, rng) })
    }

    /// Values in the state of a network so configured: what a file must have before the network is built.
    ///
    /// # Errors
    /// As [`PatchDiscriminatorConfig::init`].
    pub fn value_count(&self) -> Result<usize, NnError> {
        Ok(self.checked_plan()?.parameter_count())
    }

    /// `[height, width]` of what the network says: an eighth of the picture's sides, rounded up.
    pub fn places(&self) -> [usize; 2] {
        self.size.map(|side| CHANNELS.iter().fold(side, |side, _| side.div_ceil(2)))
    }

    fn checked_plan(&self) -> Result<Plan, NnError> {
        check_width(self.width)?;
        self.plan().map_err(does_not_fit)
    }

    fn plan(&self) -> Result<Plan, PlanError> {
        let [a, b, c] = CHANNELS.map(|channels| scaled(channels, self.width));
        let [h, w] = self.size;
        let halved = |cin, cout| Conv::new(cin, cout, [1, 3, 3], [1, 2, 2]).activation(LEAKY);
        Plan::new("picture", [self.channels, 1, h, w])?
            .conv("conv1", "picture", halved(self.channels, a))?
            .conv("conv2", "conv1", halved(a, b))?
            .conv("conv3", "conv2", halved(b, c))?
            .conv("conv4", "conv3", Conv::new(c, 1, [1, 3, 3], [1; 3]))
    }
}

/// The discriminator.
#[derive(Module, Debug)]
pub struct PatchDiscriminator {
    /// Pictures to what is said of each place.
    pub network: VolumeSegment,
}

impl PatchDiscriminator {
    /// How real each place looks, unbounded: towards 1 for real pictures and 0 for others where it is trained by least
    /// squares.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - output: `[batch, 1, ⌈height / 8⌉, ⌈width / 8⌉]`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        as_image(self.network.forward(as_clip(x)))
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenPatchDiscriminator, NnError> {
        Ok(FrozenPatchDiscriminator { network: Packed::new(&self.network)? })
    }
}

impl StateDict for PatchDiscriminator {
    fn state_dict(&self) -> Vec<NamedTensor> {
        flattened(self.network.state_dict())
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        Ok(Self { network: self.network.load_named(unflattened(state))? })
    }
}

/// [`PatchDiscriminator`] as it scores: a picture's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenPatchDiscriminator {
    network: Packed,
}

impl FrozenPatchDiscriminator {
    /// What is said of `batch` pictures `[batch, channels, height, width]`, as flat values. Memory in `scratch` is used
    /// again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        self.network.run(x, batch, scratch)
    }
}
