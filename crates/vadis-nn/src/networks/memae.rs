//! MemAE (Gong et al., ICCV 2019): the 3-D autoencoder with a memory between encoder and decoder.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::volume::Scratch;

use super::memory::{FrozenMemory, Memory};
use super::packed::Packed;
use super::{Ae3d, Ae3dConfig, Sliding};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, VolumeSegment, by_part, under};

/// Configuration of [`MemAe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemAeConfig {
    /// The autoencoder.
    pub network: Ae3dConfig,
    /// Items of the memory.
    pub slots: usize,
    /// Addressing weights up to this are set to 0.
    pub shrink: f32,
    /// Weight of the addressing's entropy in the loss.
    pub entropy_weight: f64,
}

impl MemAeConfig {
    /// The published network for clips of `size` = `[time, height, width]`: 2000 items, shrinkage .0025,
    /// entropy weight 2e-4.
    pub fn new(channels: usize, size: [usize; 3]) -> Self {
        let network = Ae3dConfig::new(channels, size);
        Self { network, slots: 2000, shrink: 0.0025, entropy_weight: 2e-4 }
    }

    /// Values of its state: parameters and running statistics.
    ///
    /// # Errors
    /// As [`MemAeConfig::init`].
    pub fn value_count(&self) -> Result<usize, NnError> {
        Ok(self.network.value_count()?.saturating_add(self.slots.saturating_mul(self.network.features())))
    }

    /// An untrained network.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the width or the sizes cannot be built.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<MemAe, NnError> {
        if self.slots == 0 {
            let value = self.slots.to_string();
            return Err(NnError::Setting { key: "slots", value, expected: "at least 1" });
        }
        let Ae3d { encoder, decoder } = self.network.init(device, rng)?;
        let [features, ..] = encoder.plan().output();
        Ok(MemAe { encoder, memory: Memory::new(self.slots, features, self.shrink, device, rng), decoder })
    }
}

/// The autoencoder with its memory.
#[derive(Module, Debug)]
pub struct MemAe {
    /// Clips to latents.
    pub encoder: VolumeSegment,
    /// Latents to combinations of items.
    pub memory: Memory,
    /// Latents to clips.
    pub decoder: VolumeSegment,
}

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct MemAeOutput {
    /// Reconstructions, of the clips' shape.
    pub reconstruction: Tensor<5>,
    /// Mean entropy of the addressing weights, one value in nats.
    pub entropy: Tensor<1>,
}

impl MemAe {
    /// Reconstructions, and the addressing's entropy for the loss.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, time, height, width]`, pixels in [−1, 1]
    /// - reconstruction: as `x`; entropy: `[1]`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<5>) -> MemAeOutput {
        let addressed = self.memory.forward(self.encoder.forward(x));
        MemAeOutput { reconstruction: self.decoder.forward(addressed.latent), entropy: addressed.entropy }
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenMemAe, NnError> {
        let (encoder, decoder) = (Packed::new(&self.encoder)?, Packed::new(&self.decoder)?);
        Ok(FrozenMemAe { encoder, memory: Arc::new(self.memory.frozen()?), decoder })
    }
}

impl StateDict for MemAe {
    fn state_dict(&self) -> Vec<NamedTensor> {
        let (encoder, decoder) = (under("encoder", &self.encoder), under("decoder", &self.decoder));
        [encoder, under("memory", &self.memory), decoder].concat()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let [encoder, memory, decoder] = by_part(["encoder", "memory", "decoder"], state)?;
        Ok(Self {
            encoder: self.encoder.load_named(encoder)?,
            memory: self.memory.load_state_dict(memory)?,
            decoder: self.decoder.load_named(decoder)?,
        })
    }
}

/// [`MemAe`] as it scores: a clip's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenMemAe {
    encoder: Packed,
    memory: Arc<FrozenMemory>,
    decoder: Packed,
}

impl FrozenMemAe {
    /// Reconstructions of `batch` clips `[batch, channels, time, height, width]`, as flat values. Memory
    /// in `scratch` is used again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut [Scratch; 2]) -> Result<Vec<f32>, NnError> {
        let [first, second] = scratch;
        let z = self.memory.run(&self.encoder.run(x, batch, first)?, batch)?;
        self.decoder.run(&z, batch, second)
    }

    /// The network on each window of a stream, for frame `wanted` of the window.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if a window has no such frame.
    pub fn sliding(&self, wanted: usize) -> Result<Sliding, NnError> {
        let networks = [self.encoder.floats()?, self.decoder.floats()?];
        Sliding::new(&networks, Some(Arc::clone(&self.memory)), wanted)
    }
}
