//! A loss as one operation of burn's `flex` backend: value and gradient are computed together in the
//! forward pass, and the backward pass only scales.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::simd::CHUNK;

/// Computes a loss of `prediction` by `core`, whose arguments are the prediction's values, those of the
/// `constants`, and whether a gradient is wanted. It returns the loss, the gradient (else nothing) and whatever else there is
/// to tell.
///
/// `None` where a tensor does not live on `flex` as 32-bit floats, or a constant wants a gradient.
pub(super) fn apply<const D: usize, T>(
    prediction: &Tensor<D>,
    constants: &[&Tensor<D>],
    core: impl FnOnce(&[f32], &[&[f32]], bool) -> (f64, Vec<f32>, T),
) -> Option<(Tensor<1>, T)> {
    if constants.iter().any(|tensor| tensor.is_tracked()) {
        return None;
    }
    let constants = constants.iter().map(|tensor| values(tensor)).collect::<Option<Vec<_>>>()?;
    let constants = constants.iter().map(|tensor| tensor.as_slice()).collect::<Option<Vec<&[f32]>>>()?;
    let x = values(prediction)?;
    let x = x.as_slice::<f32>()?;
    if !prediction.is_tracked() {
        let (value, _, rest) = core(x, &constants, false);
        return Some((Tensor::from_data([value as f32], &prediction.device()), rest));
    }
    let node = prediction.clone().try_into_primitive::<Autodiff<Flex>>().ok()?.node();
    match ScaledGradient.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (value, gradient, rest) = core(x, &constants, true);
            let gradient = primitive(gradient, prediction.dims());
            let output = prepared.finish(gradient, primitive(vec![value as f32], [1]));
            Some((Tensor::from_primitive::<Autodiff<Flex>>(output), rest))
        }
        OpsKind::UnTracked(_) => None,
    }
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Option<FloatTensor<Flex>> {
    Some(tensor.clone().inner().try_into_primitive::<Flex>().ok()?.to_contiguous())
}

fn primitive<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
}

/// The backward pass of a loss whose gradient is known: its state.
#[derive(Debug)]
struct ScaledGradient;

impl Backward<Flex, 1> for ScaledGradient {
    type State = FloatTensor<Flex>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let scale = grads.consume::<Flex>(&ops.node).to_contiguous();
        let scale = scale.as_slice::<f32>().and_then(|s| s.first().copied());
        let scale = scale.expect("burn gives the output's gradient in the output's shape and type");
        let [Some(node)] = ops.parents else { return };
        let mut gradient = ops.state;
        if scale != 1.0 {
            let values = gradient.storage_mut::<f32>();
            values.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|v| *v *= scale));
        }
        grads.register::<Flex>(node.id, gradient);
    }
}
