//! The flow as a module of burn.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use vadis_kernels::volume::View;

use super::frozen::FrozenGlow;
use super::levels::{Flow, FlowMemory};
use super::{likelihood, reference};
use crate::segment::{
    Engine, LoadError, NamedTensor, StateDict, evaluate, flat_parameter, flat_values, flatten, named, train,
    with_values,
};
use crate::{NnError, tensor_values};

/// The flow.
///
/// In training it keeps the activations of all steps: at the paper's setting some 180 MB for each sample of
/// the batch.
#[derive(Module, Debug)]
pub struct Glow {
    /// All parameters, one after another as [`Glow::parameters`] says.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    engine: Arc<Engine<Flow, FlowMemory>>,
}

impl Glow {
    pub(super) fn new(flow: Flow, parameter: Vec<f32>, device: &Device) -> Self {
        Self { weight: flat_parameter(parameter, device), engine: Arc::new(Engine::new(flow)) }
    }

    fn flow(&self) -> &Flow {
        &self.engine.kernels
    }

    /// The flow with each ActNorm set so that its output has mean 0 and variance 1 on the batch `x`, channel by
    /// channel. It is done once, before training, with a batch of at least a few samples.
    ///
    /// # Errors
    /// [`NnError::Shape`] if `x` does not have the configured size, [`NnError::BatchTooSmall`] if it is empty,
    /// [`NnError::NotFinite`] if it is not finite.
    pub fn initialise(self, x: Tensor<4>) -> Result<Self, NnError> {
        let [batch, c, h, w] = x.dims();
        let expected = [self.flow().channels, self.flow().size[0], self.flow().size[1]];
        if let Some(axis) = (0..3).find(|&axis| [c, h, w][axis] != expected[axis]) {
            let (expected, got) = (expected[axis], [c, h, w][axis]);
            return Err(NnError::Shape { what: "x", axis: axis + 1, expected, got });
        }
        if batch == 0 {
            return Err(NnError::BatchTooSmall { got: 0, needed: 1 });
        }
        let mut parameter = flat_values(self.weight.val());
        self.flow().initialise(&mut parameter, &tensor_values(x)?)?;
        Ok(Self { weight: with_values(self.weight, parameter), engine: self.engine })
    }

    /// Latents, and each sample's log |det ∂z/∂x|.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - latents: one a level, `[batch, c, height / 2ˡ, width / 2ˡ]` for l = 1, 2, …, as many values as `x`
    /// - log-determinant: `[batch]`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn forward(&self, x: Tensor<4>) -> (Vec<Tensor<4>>, Tensor<1>) {
        let rows = self.rows(x);
        let [batch, row] = rows.dims();
        let mut start = 0;
        let mut latents = Vec::new();
        for [c, h, w] in self.flow().latents() {
            let end = start + c * h * w;
            latents.push(rows.clone().slice([0..batch, start..end]).reshape([batch, c, h, w]));
            start = end;
        }
        (latents, rows.slice([0..batch, start..row]).reshape([batch]))
    }

    /// Negative log-likelihood of each sample in nats per dimension, under a standard normal prior of the
    /// latents: the training loss is its mean.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - output: `[batch]`
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn nll(&self, x: Tensor<4>) -> Tensor<1> {
        likelihood::negative(&self.rows(x))
    }

    /// As [`Glow::nll`], by burn's own operations on any device.
    ///
    /// # Panics
    /// If `x` does not have the configured size.
    pub fn nll_reference(&self, x: Tensor<4>) -> Tensor<1> {
        self.check(&x);
        likelihood::negative(&reference::rows(self.flow(), &self.weight.val(), x))
    }

    /// The inverse of [`Glow::forward`], without gradients.
    ///
    /// # Shapes
    /// - `latents`: as [`Glow::forward`] gives them
    /// - output: `[batch, channels, height, width]`
    ///
    /// # Errors
    /// [`NnError::Shape`] if the latents do not have their sizes.
    pub fn inverse(&self, latents: &[Tensor<4>]) -> Result<Tensor<4>, NnError> {
        let shapes = self.flow().latents();
        if latents.len() != shapes.len() {
            let (expected, got) = (shapes.len(), latents.len());
            return Err(NnError::Shape { what: "the list of latents", axis: 0, expected, got });
        }
        let batch = latents[0].dims()[0];
        for (latent, [c, h, w]) in latents.iter().zip(shapes) {
            let (expected, got) = ([batch, c, h, w], latent.dims());
            if let Some(axis) = (0..4).find(|&axis| expected[axis] != got[axis]) {
                let (expected, got) = (expected[axis], got[axis]);
                return Err(NnError::Shape { what: "a latent", axis, expected, got });
            }
        }
        let device = latents[0].device();
        let values = latents.iter().map(|z| tensor_values(z.clone())).collect::<Result<Vec<_>, _>>()?;
        let x = self.flow().inverse(&flat_values(self.weight.val()), &values, batch)?;
        let Flow { channels, size: [h, w], .. } = *self.flow();
        Ok(Tensor::from_data(TensorData::new(x, [batch, channels, h, w]), &device))
    }

    /// The flow packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn frozen(&self) -> Result<FrozenGlow, NnError> {
        let Flow { channels, size, .. } = *self.flow();
        Ok(FrozenGlow { flow: self.flow().freeze(&flat_values(self.weight.val()))?, channels, size })
    }

    /// Name, shape and place of each parameter in the flat one.
    pub fn parameters(&self) -> Vec<View> {
        self.flow().views()
    }

    /// Rows of all latents and the log-determinant.
    fn rows(&self, x: Tensor<4>) -> Tensor<2> {
        self.check(&x);
        let weight = self.weight.val();
        let flat = x.clone().reshape([x.dims()[0], self.flow().len()]);
        let rows = match weight.is_autodiff() || flat.is_autodiff() {
            true => train(&self.engine, weight.clone(), flat).map(|(rows, _)| rows),
            false => evaluate(&self.engine, weight.clone(), &[], flat),
        };
        rows.unwrap_or_else(|| reference::rows(self.flow(), &weight, x))
    }

    fn check(&self, x: &Tensor<4>) {
        let ([_, c, h, w], Flow { channels, size, .. }) = (x.dims(), self.flow());
        assert_eq!([c, h, w], [*channels, size[0], size[1]], "[channels, height, width] of the flow's maps");
    }
}

impl StateDict for Glow {
    fn state_dict(&self) -> Vec<NamedTensor> {
        let views = self.parameters().into_iter().map(|v| (v.name, v.shape, v.range));
        let mut state = named(views, &flat_values(self.weight.val()));
        state.extend(self.flow().buffers());
        state
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let mut start = 0;
        let buffers: Vec<_> = self
            .flow()
            .buffers()
            .into_iter()
            .map(|NamedTensor { name, shape, values }| {
                start += values.len();
                (name, shape, start - values.len()..start)
            })
            .collect();
        let is_buffer = |t: &NamedTensor| buffers.iter().any(|buffer| buffer.0 == t.name);
        let (fixed, parameters): (Vec<_>, Vec<_>) = state.into_iter().partition(is_buffer);
        check_fixed(&fixed)?;
        let fixed = flatten(&buffers, fixed)?;
        let parts: Vec<&[f32]> = buffers.iter().map(|(_, _, place)| &fixed[place.clone()]).collect();
        let views: Vec<_> = self.parameters().into_iter().map(|v| (v.name, v.shape, v.range)).collect();
        let parameter = flatten(&views, parameters)?;
        let mut flow = self.flow().clone();
        flow.set_buffers(&parts);
        Ok(Self { weight: with_values(self.weight, parameter), engine: Arc::new(Engine::new(flow)) })
    }
}

/// Whether permutations are permutations, and signs signs: the log-determinant leaves them out.
fn check_fixed(fixed: &[NamedTensor]) -> Result<(), LoadError> {
    let is_unit = |values: &mut dyn Iterator<Item = &f32>| {
        let (mut ones, mut others) = (0, 0);
        values.for_each(|&v| if v == 1.0 { ones += 1 } else { others += usize::from(v != 0.0) });
        ones == 1 && others == 0
    };
    let fits = |tensor: &NamedTensor| match tensor.shape[..] {
        [_, c] if c > 0 => {
            let values = &tensor.values;
            values.chunks(c).all(|row| is_unit(&mut row.iter()))
                && (0..c).all(|column| is_unit(&mut values.iter().skip(column).step_by(c)))
        }
        _ => tensor.values.iter().all(|v| v.abs() == 1.0),
    };
    match fixed.iter().find(|tensor| !fits(tensor)) {
        None => Ok(()),
        Some(tensor) => {
            Err(LoadError::Value { name: tensor.name.clone(), expected: "a permutation and signs" })
        }
    }
}
