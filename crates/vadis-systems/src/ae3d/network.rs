//! The autoencoder, with or without a memory, while it learns and as it scores.

use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::NnError;
use vadis_nn::networks::{
    Ae3d, Ae3dConfig as NetworkConfig, FrozenAe3d, FrozenMemAe, MemAe, MemAeConfig, Sliding,
};
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::{NamedTensor, StateDict};

use crate::SystemError;

/// Which network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Plain(NetworkConfig),
    Memory(MemAeConfig),
}

impl Shape {
    /// An untrained network.
    pub(crate) fn init(&self, device: &Device, seed: u64) -> Result<Autoencoder, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(match self {
            Self::Plain(config) => Autoencoder::Plain(config.init(device, &mut rng)?),
            Self::Memory(config) => Autoencoder::Memory(config.init(device, &mut rng)?),
        })
    }

    /// Values of the network's state.
    pub(crate) fn value_count(&self) -> Result<usize, NnError> {
        match self {
            Self::Plain(config) => config.value_count(),
            Self::Memory(config) => config.value_count(),
        }
    }

    /// `[channels, time, height, width]` of a clip.
    pub(crate) fn clip(&self) -> [usize; 4] {
        let network = match self {
            Self::Plain(config) => config,
            Self::Memory(config) => &config.network,
        };
        let [t, h, w] = network.size;
        [network.channels, t, h, w]
    }

    /// Weight of the addressing's entropy.
    pub(crate) fn entropy_weight(&self) -> f64 {
        match self {
            Self::Plain(_) => 0.0,
            Self::Memory(config) => config.entropy_weight,
        }
    }
}

/// The network while it learns.
#[derive(Debug, Clone)]
pub(crate) enum Autoencoder {
    Plain(Ae3d),
    Memory(MemAe),
}

impl Autoencoder {
    /// Reconstructions, and the mean entropy of the addressing.
    pub(crate) fn forward(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>) {
        match self {
            Self::Plain(network) => (network.forward(x), None),
            Self::Memory(network) => {
                let output = network.forward(x);
                (output.reconstruction, Some(output.entropy))
            }
        }
    }

    /// Adam's moments before the first step, of each part.
    pub(crate) fn moments(&self) -> Vec<OptimiserState> {
        let flat = |parameter: &Param<Tensor<1>>| Adam::state(parameter.val().dims()[0]);
        match self {
            Self::Plain(network) => vec![flat(&network.encoder.weight), flat(&network.decoder.weight)],
            Self::Memory(network) => {
                let items = network.memory.weight.val().dims();
                let [encoder, decoder] = [&network.encoder.weight, &network.decoder.weight].map(flat);
                vec![encoder, decoder, Adam::state(items.iter().product())]
            }
        }
    }

    /// One step of Adam.
    pub(crate) fn update(
        &mut self,
        gradients: &Gradients,
        moments: &mut [OptimiserState],
        rate: f64,
    ) -> Result<(), NnError> {
        let (encoder, decoder) = match self {
            Self::Plain(network) => (&mut network.encoder.weight, &mut network.decoder.weight),
            Self::Memory(network) => {
                if let Some(moments) = moments.get_mut(2) {
                    update(&mut network.memory.weight, gradients, moments, rate)?;
                }
                (&mut network.encoder.weight, &mut network.decoder.weight)
            }
        };
        for (parameter, moments) in [encoder, decoder].into_iter().zip(moments) {
            update(parameter, gradients, moments, rate)?;
        }
        Ok(())
    }

    /// The network as it scores.
    pub(crate) fn frozen(&self) -> Result<Frozen, NnError> {
        Ok(match self {
            Self::Plain(network) => Frozen::Plain(network.clone().valid().frozen()?),
            Self::Memory(network) => Frozen::Memory(network.clone().valid().frozen()?),
        })
    }

    pub(crate) fn state(&self) -> Vec<NamedTensor> {
        match self {
            Self::Plain(network) => network.state_dict(),
            Self::Memory(network) => network.state_dict(),
        }
    }

    pub(crate) fn with_state(self, state: Vec<NamedTensor>) -> Result<Self, NnError> {
        Ok(match self {
            Self::Plain(network) => Self::Plain(network.load_state_dict(state)?),
            Self::Memory(network) => Self::Memory(network.load_state_dict(state)?),
        })
    }
}

fn update<const D: usize>(
    parameter: &mut Param<Tensor<D>>,
    gradients: &Gradients,
    moments: &mut OptimiserState,
    rate: f64,
) -> Result<(), NnError> {
    let gradient = gradient_of(parameter, gradients)?;
    Optimiser::default().step(moments, parameter, &gradient, Step::of(rate))
}

/// The network as it scores.
#[derive(Debug)]
pub(crate) enum Frozen {
    Plain(FrozenAe3d),
    Memory(FrozenMemAe),
}

impl Frozen {
    /// Reconstructions of `batch` clips.
    pub(crate) fn run(
        &self,
        x: &[f32],
        batch: usize,
        scratch: &mut [Scratch; 2],
    ) -> Result<Vec<f32>, NnError> {
        match self {
            Self::Plain(network) => network.run(x, batch, scratch),
            Self::Memory(network) => network.run(x, batch, scratch),
        }
    }

    /// The network on each window of a stream, for frame `wanted` of the window.
    pub(crate) fn sliding(&self, wanted: usize) -> Result<Sliding, NnError> {
        match self {
            Self::Plain(network) => network.sliding(wanted),
            Self::Memory(network) => network.sliding(wanted),
        }
    }
}
