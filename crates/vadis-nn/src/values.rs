//! A tensor's values without a copy where that can be had.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use crate::NnError;

/// A tensor's values in row-major order: the tensor's own memory on `flex` devices, a copy elsewhere.
#[derive(Debug)]
pub struct Values(Memory);

#[derive(Debug)]
enum Memory {
    Shared(FloatTensor<Flex>),
    Copied(Vec<f32>),
}

impl Values {
    /// Of a tensor of 32-bit floats.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the device does not give them.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Result<Self, NnError> {
        let tensor = tensor.inner();
        if let Ok(shared) = tensor.clone().try_into_primitive::<Flex>() {
            let shared = shared.to_contiguous();
            if shared.as_slice::<f32>().is_some() {
                return Ok(Self(Memory::Shared(shared)));
            }
        }
        Ok(Self(Memory::Copied(crate::tensor_values(tensor)?)))
    }

    /// The values.
    pub fn as_slice(&self) -> &[f32] {
        match &self.0 {
            // `of` keeps no other.
            Memory::Shared(tensor) => tensor.as_slice().unwrap_or_default(),
            Memory::Copied(values) => values,
        }
    }
}
