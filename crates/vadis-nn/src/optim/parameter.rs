//! Updates of burn's parameters: in the tensor's own memory on `flex` devices.

use burn::backend::Flex;
use burn::module::Param;
use burn::tensor::{Gradients, Tensor, TensorData};

use super::{Optimiser, OptimiserState, Step};
use crate::{NnError, Values, tensor_values};

/// A parameter's gradient after the backward pass.
///
/// # Errors
/// [`NnError::Tensor`] if it has none, or the device does not give it.
pub fn gradient_of<const D: usize>(
    parameter: &Param<Tensor<D>>,
    gradients: &Gradients,
) -> Result<Values, NnError> {
    let gradient = parameter.val().grad(gradients);
    Values::of(gradient.ok_or_else(|| NnError::Tensor("a parameter has no gradient".to_owned()))?)
}

impl Optimiser {
    /// One update of a parameter: without a copy where it lives on `flex` and nothing else holds its memory,
    /// through a copy elsewhere. The parameter keeps its identity.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the device does not give the values.
    ///
    /// # Panics
    /// If the lengths of parameter, gradient and state differ: a bug in the caller.
    pub fn step<const D: usize>(
        &self,
        state: &mut OptimiserState,
        parameter: &mut Param<Tensor<D>>,
        gradient: &Values,
        step: Step,
    ) -> Result<(), NnError> {
        let device = parameter.val().device();
        // The parameter must let go of its memory, or it would be shared.
        let empty = Param::initialized(parameter.id, Tensor::zeros([1; D], &device));
        let (id, old, mapper) = std::mem::replace(parameter, empty).consume();
        let required = old.is_require_grad();
        let new = self.updated(state, old.inner(), gradient.as_slice(), step)?;
        let new = if device.is_autodiff() { new.autodiff() } else { new };
        let new = if required { new.require_grad() } else { new };
        *parameter = Param::from_mapped_value(id, new, mapper);
        Ok(())
    }

    fn updated<const D: usize>(
        &self,
        state: &mut OptimiserState,
        tensor: Tensor<D>,
        gradient: &[f32],
        step: Step,
    ) -> Result<Tensor<D>, NnError> {
        let (tensor, done) = in_place(tensor, |values| self.update(state, values, gradient, step));
        if done {
            return Ok(tensor);
        }
        let (shape, device) = (tensor.dims(), tensor.device());
        let mut values = tensor_values(tensor)?;
        self.update(state, &mut values, gradient, step);
        Ok(Tensor::from_data(TensorData::new(values, shape), &device))
    }
}

/// The tensor with its memory changed, and true; or as it was, and false, where its memory is shared or not
/// ours.
fn in_place<const D: usize>(tensor: Tensor<D>, change: impl FnOnce(&mut [f32])) -> (Tensor<D>, bool) {
    let Ok(mut primitive) = tensor.clone().try_into_primitive::<Flex>() else { return (tensor, false) };
    drop(tensor);
    let values = primitive.as_slice::<f32>().map_or(0, <[f32]>::len);
    // A view of a larger memory has fewer values than that.
    let whole = values * size_of::<f32>() == primitive.bytes().len();
    let memory = if whole { primitive.try_storage_mut::<f32>() } else { None };
    let done = memory.map(change).is_some();
    (Tensor::from_primitive::<Flex>(primitive), done)
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;
    use burn::tensor::Device;

    use super::*;
    use crate::optim::Sgd;

    const PLAIN: Optimiser = Optimiser::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0 });

    fn parameter() -> Param<Tensor<2>> {
        let device = Device::flex().autodiff();
        Param::initialized(
            ParamId::new(),
            Tensor::from_data([[1.0, 2.0], [3.0, 4.0]], &device).require_grad(),
        )
    }

    fn place(parameter: &Param<Tensor<2>>) -> *const f32 {
        parameter.val().inner().try_into_primitive::<Flex>().unwrap().as_slice::<f32>().unwrap().as_ptr()
    }

    #[test]
    fn parameters_are_updated_in_their_own_memory_and_keep_their_identity() {
        let mut parameter = parameter();
        let (id, before) = (parameter.id, place(&parameter));
        let mut state = PLAIN.state(4);
        for _ in 0..2 {
            // d/dp of Σ p² is 2p: each step halves the parameter.
            let gradients = parameter.val().square().sum().backward();
            let gradient = gradient_of(&parameter, &gradients).unwrap();
            PLAIN.step(&mut state, &mut parameter, &gradient, Step::of(0.25)).unwrap();
        }
        assert_eq!((parameter.id, place(&parameter)), (id, before));
        assert!(parameter.val().is_require_grad());
        assert_eq!(tensor_values(parameter.val()).unwrap(), [0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn what_else_holds_the_memory_does_not_see_it_change() {
        let mut parameter = parameter();
        let held = parameter.val();
        let gradient = Values::of(Tensor::<2>::ones([2, 2], &Device::flex())).unwrap();
        PLAIN.step(&mut PLAIN.state(4), &mut parameter, &gradient, Step::of(1.0)).unwrap();
        assert_eq!(tensor_values(held).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(tensor_values(parameter.val()).unwrap(), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_parameter_outside_the_loss_has_no_gradient() {
        let (inside, outside) = (parameter(), parameter());
        let gradients = inside.val().sum().backward();
        assert!(matches!(gradient_of(&outside, &gradients), Err(NnError::Tensor(_))));
    }
}
