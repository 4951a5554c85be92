//! Named views of a flat vector of values.

use std::ops::Range;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use thiserror::Error;

/// A named parameter or running statistic in PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Layer and kind, such as `conv1.weight`.
    pub name: String,
    /// Shape; convolution `[out, in, (kt,) kh, kw]`, transposed `[in, out, (kt,) kh, kw]`, linear
    /// `[out, in]`.
    pub shape: Vec<usize>,
    /// Values, the last axis running fastest.
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// The same tensor under `prefix.name`.
    pub fn under(self, prefix: &str) -> Self {
        Self { name: format!("{prefix}.{}", self.name), ..self }
    }
}

/// Parameters that do not belong to the plan they are loaded into.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LoadError {
    /// A parameter of the plan is not among those given.
    #[error("parameter `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A parameter is given that the plan does not have.
    #[error("parameter `{name}` is unknown")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A parameter is given twice.
    #[error("parameter `{name}` is given twice")]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// A parameter has another shape than the plan's, or not as many values as its shape says.
    #[error("parameter `{name}`: expected {expected:?}, got {got:?} with {values} values")]
    Shape {
        /// Its name.
        name: String,
        /// The plan's shape.
        expected: Vec<usize>,
        /// The shape given.
        got: Vec<usize>,
        /// The number of values given.
        values: usize,
    },
    /// Something fixed has values that it cannot have.
    #[error("`{name}`: expected {expected}")]
    Value {
        /// Its name.
        name: String,
        /// What it may be.
        expected: &'static str,
    },
}

/// Name, shape and place of a part of a flat vector.
pub(crate) type View = (String, Vec<usize>, Range<usize>);

/// The parts of `flat` under their names.
pub(crate) fn named(views: impl IntoIterator<Item = View>, flat: &[f32]) -> Vec<NamedTensor> {
    let part = |(name, shape, place): View| NamedTensor { name, shape, values: flat[place].to_vec() };
    views.into_iter().map(part).collect()
}

/// The flat vector whose parts are `tensors`: exactly those of `views`, which cover it without gaps.
pub(crate) fn flatten(
    views: &[View],
    tensors: impl IntoIterator<Item = NamedTensor>,
) -> Result<Vec<f32>, LoadError> {
    let mut seen = vec![false; views.len()];
    let mut flat = vec![0.0; views.last().map_or(0, |view| view.2.end)];
    for NamedTensor { name, shape, values } in tensors {
        let Some(index) = views.iter().position(|view| view.0 == name) else {
            return Err(LoadError::Unknown { name });
        };
        let (_, expected, place) = &views[index];
        if std::mem::replace(&mut seen[index], true) {
            return Err(LoadError::Duplicate { name });
        }
        if *expected != shape || place.len() != values.len() {
            let (expected, values) = (expected.clone(), values.len());
            return Err(LoadError::Shape { name, expected, got: shape, values });
        }
        flat[place.clone()].copy_from_slice(&values);
    }
    match seen.iter().position(|&seen| !seen) {
        Some(missing) => Err(LoadError::Missing { name: views[missing].0.clone() }),
        None => Ok(flat),
    }
}

/// The values of a flat tensor.
pub(crate) fn flat_values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// A new parameter with these values, tracked where the device has autodiff.
pub(crate) fn flat_parameter(values: Vec<f32>, device: &Device) -> Param<Tensor<1>> {
    let shape = [values.len()];
    let value = Tensor::<1>::from_data(TensorData::new(values, shape), device);
    let value = if device.is_autodiff() { value.require_grad() } else { value };
    Param::initialized(ParamId::new(), value)
}

/// The parameter with other values, as many as it has, and the same identity, so that an optimiser's state still
/// belongs to it.
pub fn with_values(parameter: Param<Tensor<1>>, values: Vec<f32>) -> Param<Tensor<1>> {
    parameter.map(|old| {
        let new = Tensor::from_data(TensorData::new(values, old.dims()), &old.device());
        if old.is_require_grad() { new.require_grad() } else { new }
    })
}
