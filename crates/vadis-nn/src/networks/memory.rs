//! MemAE's memory (Gong et al., ICCV 2019, Eqs. 3 to 8): a latent is replaced by a sparse convex
//! combination of memory items.

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rayon::prelude::*;
use vadis_kernels::{Activation, Frozen, Layer, Network, Plan};

use crate::NnError;
use crate::segment::{LoadError, NamedTensor, StateDict};
use crate::tensor_values;

/// Keeps divisors and logarithms from zero, as the published code has it.
const TINY: f32 = 1e-12;

/// `slots` items of `features` values.
#[derive(Module, Debug)]
pub struct Memory {
    /// The items, `[slots, features]`.
    pub weight: Param<Tensor<2>>,
    /// Addressing weights up to this are set to 0; 1 to 3 times 1/slots in the paper.
    #[module(skip)]
    pub shrink: f32,
}

/// What the memory answers.
#[derive(Debug, Clone)]
pub struct Addressed {
    /// The combinations of items, of the latents' shape.
    pub latent: Tensor<5>,
    /// Mean entropy of the addressing weights over all places (Eq. 9 per place), one value in nats.
    pub entropy: Tensor<1>,
}

impl Memory {
    /// Items uniform in ±1/√features.
    pub fn new(slots: usize, features: usize, shrink: f32, device: &Device, rng: &mut impl Rng) -> Self {
        let bound = 1.0 / (features as f32).sqrt();
        let values = (0..slots * features).map(|_| rng.random_range(-bound..=bound)).collect();
        let value = Tensor::from_data(TensorData::new(values, [slots, features]), device);
        let value = if device.is_autodiff() { value.require_grad() } else { value };
        Self { weight: Param::initialized(ParamId::new(), value), shrink }
    }

    /// Each place's features, addressed.
    ///
    /// # Shapes
    /// - `z`: `[batch, features, time, height, width]`
    /// - latent: as `z`
    pub fn forward(&self, z: Tensor<5>) -> Addressed {
        let [batch, features, t, h, w] = z.dims();
        let rows = z.permute([0, 2, 3, 4, 1]).reshape([batch * t * h * w, features]);
        let weight = self.weight.val();
        let address = softmax(rows.matmul(weight.clone().transpose()), 1);
        let over = relu(address.clone().sub_scalar(self.shrink));
        // over / |over| is 1 above the threshold and 0 elsewhere (Eq. 7).
        let shrunk = over.clone() * address / over.add_scalar(TINY);
        let sum = shrunk.clone().sum_dim(1).clamp_min(TINY);
        let address = shrunk / sum;
        let logs = address.clone().add_scalar(TINY).log();
        let entropy = (address.clone() * logs).sum_dim(1).mean().neg();
        let latent = address.matmul(weight).reshape([batch, t, h, w, features]).permute([0, 4, 1, 2, 3]);
        Addressed { latent, entropy }
    }

    /// The memory packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the items cannot be read.
    pub fn frozen(&self) -> Result<FrozenMemory, NnError> {
        let [slots, features] = self.weight.val().dims();
        let items = tensor_values(self.weight.val())?;
        let turned = (0..features).flat_map(|f| items[f..].iter().step_by(features).copied()).collect();
        Ok(FrozenMemory {
            features,
            slots,
            shrink: self.shrink,
            address: linear(features, slots, items.clone())?,
            combine: linear(slots, features, turned)?,
        })
    }
}

fn linear(input: usize, output: usize, mut weight: Vec<f32>) -> Result<Frozen, NnError> {
    let plan = Plan::new([input, 1, 1])
        .and_then(|plan| plan.layer("linear", Layer::linear(input, output, Activation::None)));
    let plan = plan.map_err(|e| NnError::Setting {
        key: "slots",
        value: e.to_string(),
        expected: "a memory of at least one item",
    })?;
    weight.resize(plan.parameter_count(), 0.0);
    Network::new(&plan).freeze(&weight).map_err(|e| NnError::Tensor(e.to_string()))
}

impl StateDict for Memory {
    fn state_dict(&self) -> Vec<NamedTensor> {
        let weight = self.weight.val();
        let (shape, values) = (weight.dims().to_vec(), weight.into_data().iter::<f32>().collect());
        vec![NamedTensor { name: "weight".to_owned(), shape, values }]
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let expected = self.weight.val().dims();
        let mut state = state.into_iter();
        let (first, more) = (state.next(), state.next());
        let Some(first) = first else { return Err(LoadError::Missing { name: "weight".to_owned() }) };
        let NamedTensor { name, shape, values } = first;
        if name != "weight" {
            return Err(LoadError::Unknown { name });
        }
        if let Some(more) = more {
            return Err(LoadError::Duplicate { name: more.name });
        }
        if shape != expected || values.len() != expected.iter().product::<usize>() {
            let (expected, values) = (expected.to_vec(), values.len());
            return Err(LoadError::Shape { name, expected, got: shape, values });
        }
        let weight = self.weight.map(|old| {
            let new = Tensor::from_data(TensorData::new(values, expected), &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        });
        Ok(Self { weight, ..self })
    }
}

/// [`Memory`] as it scores: a place's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct FrozenMemory {
    features: usize,
    slots: usize,
    shrink: f32,
    address: Frozen,
    combine: Frozen,
}

impl FrozenMemory {
    /// The combinations of items for the latents `z` of `batch` clips, `[batch, features, places]`.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `z` has another length.
    pub fn run(&self, z: &[f32], batch: usize) -> Result<Vec<f32>, NnError> {
        let wrong = |e: vadis_kernels::SizeError| NnError::Tensor(e.to_string());
        let places = z.len() / (batch * self.features).max(1);
        let rows = turned(z, self.features, places);
        let mut weights = self.address.run(&rows, batch * places).map_err(wrong)?;
        weights.par_chunks_mut(self.slots).for_each(|row| address(row, self.shrink));
        let rows = self.combine.run(&weights, batch * places).map_err(wrong)?;
        Ok(turned(&rows, places, self.features))
    }
}

/// `[n][rows][columns]` as `[n][columns][rows]`.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (from, to) in values.chunks_exact(rows * columns).zip(out.chunks_exact_mut(rows * columns)) {
        for (column, to) in to.chunks_exact_mut(rows).enumerate() {
            to.iter_mut().enumerate().for_each(|(row, to)| *to = from[row * columns + column]);
        }
    }
    out
}

/// Products with the items to addressing weights, in place.
fn address(row: &mut [f32], shrink: f32) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|v| {
        let weight = *v / sum;
        *v = if weight > shrink { weight } else { 0.0 };
    });
    let sum = row.iter().sum::<f32>().max(TINY);
    row.iter_mut().for_each(|v| *v /= sum);
}
