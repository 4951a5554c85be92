//! ITAE (paper 003, Table 1): an autoencoder with a wide path over every fourth frame and a thin one
//! over every frame.
//!
//! The published 7.74 and 5.76 million parameters come out with one lateral after the first layer, one
//! fusion before the decoder, both with a bias and without norm; that they have no activation, and
//! that the output is a tanh, is ours. The decoder's layers of stride 1 are convolutions (a transposed
//! convolution of stride 1 is one).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, Plan, PlanError, Scales, Scratch};

use super::packed::Packed;
use super::{Arithmetic, LEAKY, Sliding, check_width, does_not_fit, scaled};
use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict, VolumeSegment};

/// The static path sees every fourth frame (τ).
const TAU: usize = 4;
/// Nodes whose values are the paths' features.
const FEATURES: [&str; 2] = ["static.conv4", "dynamic.conv4"];

/// Configuration of [`Itae`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItaeConfig {
    /// Channels of a frame: 3, or 1 for grey.
    pub channels: usize,
    /// `[time, height, width]` of a clip, each divisible by 4.
    pub size: [usize; 3],
    /// Multiplies the channels of all inner layers (static 96, 128, 256, 256; dynamic 12, 16, 32, 32).
    pub width: f64,
    /// Whether there is a dynamic path; without it the network is the paper's one-path ablation.
    pub two_path: bool,
    /// How the kernels round.
    pub arithmetic: Arithmetic,
}

impl ItaeConfig {
    /// The published two-path network (7 740 491 parameters with 3 channels) for clips of `size`.
    pub fn new(channels: usize, size: [usize; 3]) -> Self {
        Self { channels, size, width: 1.0, two_path: true, arithmetic: Arithmetic::default() }
    }

    /// The published one-path network (5 764 803 parameters with 3 channels).
    pub fn one_path(channels: usize, size: [usize; 3]) -> Self {
        Self { two_path: false, ..Self::new(channels, size) }
    }

    /// An untrained network.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the width or the sizes cannot be built.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Result<Itae, NnError> {
        let plan = self.checked_plan()?;
        Ok(Itae { network: VolumeSegment::new(&plan, self.arithmetic.options(), device, rng) })
    }

    /// How many values the network's state has: parameters, running statistics, and for each norm the number of
    /// batches seen.
    ///
    /// # Errors
    /// As [`ItaeConfig::init`].
    pub fn value_count(&self) -> Result<usize, NnError> {
        let plan = self.checked_plan()?;
        Ok(plan.parameter_count() + plan.buffer_count() + plan.buffers().len() / 2)
    }

    fn checked_plan(&self) -> Result<Plan, NnError> {
        check_width(self.width)?;
        if let Some(side) = self.size.iter().find(|&&side| side == 0 || side % TAU != 0) {
            let value = format!("{side} of {:?}", self.size);
            return Err(NnError::Setting { key: "size", value, expected: "sides divisible by 4" });
        }
        self.plan().map_err(does_not_fit)
    }

    fn plan(&self) -> Result<Plan, PlanError> {
        let [a, b, c] = [96, 128, 256].map(|channels| scaled(channels, self.width));
        let [t, h, w] = self.size;
        let plan = Plan::new("clip", [self.channels, t, h, w])?;
        let layer = |cin, cout, kernel, stride, norm: &str| {
            Conv::new(cin, cout, kernel, stride).norm(norm).activation(LEAKY)
        };
        let (flat, halves) = ([1, 3, 3], [1, 2, 2]);
        let plan = plan.sample("slow", "clip", TAU)?;
        let first = layer(self.channels, a, flat, halves, "static.norm1");
        let plan = plan.conv("static.conv1", "slow", first)?;
        let (plan, joined) = match self.two_path {
            true => (self.dynamic_path(plan)?, 2),
            false => (plan, 1),
        };
        let [early, late] = match self.two_path {
            true => ["early", "late"],
            false => ["static.conv1", "static.conv4"],
        };
        let plan = plan
            .conv("static.conv2", early, layer(joined * a, b, flat, halves, "static.norm2"))?
            .conv("static.conv3", "static.conv2", layer(b, c, [3; 3], [1; 3], "static.norm3"))?
            .conv("static.conv4", "static.conv3", layer(c, c, [3; 3], [1; 3], "static.norm4"))?;
        let plan = match self.two_path {
            true => plan.concat("late", &["static.conv4", "fusion"])?,
            false => plan,
        };
        let up = |cin, cout, norm: &str| {
            Conv::transposed(cin, cout, [3; 3], [2; 3], [1; 3]).norm(norm).activation(LEAKY)
        };
        let last = Conv::new(a, self.channels, [3; 3], [1; 3]).activation(Activation::Tanh);
        plan.conv("decoder.deconv1", late, layer(joined * c, c, [3; 3], [1; 3], "decoder.norm1"))?
            .conv("decoder.deconv2", "decoder.deconv1", up(c, b, "decoder.norm2"))?
            .conv("decoder.deconv3", "decoder.deconv2", up(b, a, "decoder.norm3"))?
            .conv("decoder.deconv4", "decoder.deconv3", last)
    }

    /// Adds the dynamic path, the lateral into the static path's second layer (`early`) and `fusion`.
    fn dynamic_path(&self, plan: Plan) -> Result<Plan, PlanError> {
        let [a, c] = [96, 256].map(|channels| scaled(channels, self.width));
        let [d, e, f] = [12, 16, 32].map(|channels| scaled(channels, self.width));
        let layer = |cin, cout, kernel, stride, index: usize| {
            Conv::new(cin, cout, kernel, stride).norm(format!("dynamic.norm{index}")).activation(LEAKY)
        };
        let lateral = |cin, cout| Conv::new(cin, cout, [5, 1, 1], [TAU, 1, 1]);
        plan.conv("dynamic.conv1", "clip", layer(self.channels, d, [5, 3, 3], [1, 2, 2], 1))?
            .conv("lateral", "dynamic.conv1", lateral(d, a))?
            .concat("early", &["static.conv1", "lateral"])?
            .conv("dynamic.conv2", "dynamic.conv1", layer(d, e, [3; 3], [1, 2, 2], 2))?
            .conv("dynamic.conv3", "dynamic.conv2", layer(e, f, [3; 3], [1; 3], 3))?
            .conv("dynamic.conv4", "dynamic.conv3", layer(f, f, [3; 3], [1; 3], 4))?
            .conv("fusion", "dynamic.conv4", lateral(f, c))
    }
}

/// The autoencoder, with one path or two.
#[derive(Module, Debug)]
pub struct Itae {
    /// Both paths and the decoder.
    pub network: VolumeSegment,
}

impl Itae {
    /// Reconstructions.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, time, height, width]`, pixels in [−1, 1]
    /// - output: as `x`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.network.forward(x)
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenItae, NnError> {
        Ok(FrozenItae { network: Packed::new(&self.network)? })
    }

    /// As [`Itae::frozen`], in bytes: faster on a processor with AVX-512 VNNI or AMX, and less accurate. Flat
    /// `examples`, clips `[n, channels, time, height, width]`, are like those to come: values beyond the
    /// largest that they lead to saturate.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if there is none, or values over them are not finite.
    pub fn frozen_int8(&self, examples: &[f32]) -> Result<FrozenItae, NnError> {
        self.frozen_by(&self.int8_scales(examples)?)
    }

    /// What bytes stand for in [`Itae::frozen_by`], of `examples` as [`Itae::frozen_int8`] takes them.
    ///
    /// # Errors
    /// As [`Itae::frozen_int8`].
    pub fn int8_scales(&self, examples: &[f32]) -> Result<Scales, NnError> {
        Ok(self.network.int8_scales(examples)?)
    }

    /// As [`Itae::frozen`], in bytes with scales that were found before.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the scales are another network's.
    pub fn frozen_by(&self, scales: &Scales) -> Result<FrozenItae, NnError> {
        let output = self.network.plan().output_name();
        Ok(FrozenItae { network: Packed::nodes(&self.network, &[output], Some(scales))? })
    }

    /// The encoders alone, packed for inference: what the flows are trained on.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen_features(&self) -> Result<FrozenItaeFeatures, NnError> {
        self.frozen_nodes(None, None)
    }

    /// The whole network, packed for inference: after the features [`FrozenItaeFeatures::run`] gives the
    /// reconstructions. In bytes where there are scales.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read, or the scales are another network's.
    pub fn frozen_with_features(&self, scales: Option<&Scales>) -> Result<FrozenItaeFeatures, NnError> {
        self.frozen_nodes(Some(self.network.plan().output_name()), scales)
    }

    fn frozen_nodes(
        &self,
        output: Option<&str>,
        scales: Option<&Scales>,
    ) -> Result<FrozenItaeFeatures, NnError> {
        let plan = self.network.plan();
        let mut nodes: Vec<_> = FEATURES.into_iter().filter(|name| plan.find(name).is_some()).collect();
        let shapes = nodes.iter().filter_map(|name| Some(plan.nodes()[plan.find(name)?].shape)).collect();
        nodes.extend(output);
        Ok(FrozenItaeFeatures { shapes, encoders: Packed::nodes(&self.network, &nodes, scales)? })
    }
}

impl StateDict for Itae {
    fn state_dict(&self) -> Vec<NamedTensor> {
        self.network.state_dict()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        Ok(Self { network: self.network.load_named(state)? })
    }
}

/// [`Itae`] as it scores: a clip's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenItae {
    network: Packed,
}

impl FrozenItae {
    /// Reconstructions of `batch` clips `[batch, channels, time, height, width]`, as flat values. Memory
    /// in `scratch` is used again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        self.network.run(x, batch, scratch)
    }

    /// The network on each window of a stream, for frame `wanted` of the window.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if a window has no such frame, [`NnError::SlidingInBytes`] if the network is in bytes.
    pub fn sliding(&self, wanted: usize) -> Result<Sliding, NnError> {
        Sliding::new(&[self.network.floats()?], None, wanted)
    }
}

/// The encoders of [`Itae`] as they score.
#[derive(Debug)]
pub struct FrozenItaeFeatures {
    shapes: Vec<[usize; 4]>,
    encoders: Packed,
}

impl FrozenItaeFeatures {
    /// `[channels, time, height, width]` of the static path's features, and of the dynamic path's if
    /// there is one.
    pub fn shapes(&self) -> &[[usize; 4]] {
        &self.shapes
    }

    /// The features of `batch` clips, flat, in the order of [`FrozenItaeFeatures::shapes`].
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, NnError> {
        self.encoders.run_nodes(x, batch, scratch)
    }
}
