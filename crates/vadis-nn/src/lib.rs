//! Networks, losses and weight files of vadis, and networks that others have trained.

mod error;
pub mod loss;
pub mod networks;
pub mod optim;
pub mod pretrained;
pub mod schedule;
pub mod segment;
mod simd;
mod values;
pub mod weights;

use burn::tensor::Tensor;

pub use error::NnError;
pub use values::Values;

/// A tensor's values in row-major order.
///
/// # Errors
/// [`NnError::Tensor`] if the device does not give them back.
pub fn tensor_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NnError> {
    tensor.try_into_vec_as::<f32>().map_err(|e| NnError::Tensor(e.to_string()))
}
