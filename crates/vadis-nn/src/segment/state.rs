//! The weights of a module under PyTorch's names.

use super::image::Segment;
use super::named::{LoadError, NamedTensor};
use super::volume::VolumeSegment;
use crate::weights::WeightFile;

/// A module whose parameters and running statistics go by PyTorch's names and layouts, so that its
/// weight file is a `state_dict` and a `state_dict` of the same network loads.
pub trait StateDict: Sized {
    /// Parameters and running statistics.
    fn state_dict(&self) -> Vec<NamedTensor>;

    /// The module with the given values. Parameters keep their identity, so that an optimiser's state
    /// still belongs to them. A norm's `num_batches_tracked` may be missing.
    ///
    /// # Errors
    /// Unless exactly the module's own are given, with their shapes.
    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError>;

    /// A weight file of the state, without metadata.
    fn to_weight_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        self.state_dict().into_iter().for_each(|tensor| file.insert(tensor));
        file
    }

    /// The module with the arrays of a weight file, which has no others.
    ///
    /// # Errors
    /// As [`StateDict::load_state_dict`].
    fn load_weight_file(self, file: WeightFile) -> Result<Self, LoadError> {
        let named = |(name, (shape, values))| NamedTensor { name, shape, values };
        self.load_state_dict(file.tensors.into_iter().map(named).collect())
    }
}

impl StateDict for Segment {
    fn state_dict(&self) -> Vec<NamedTensor> {
        self.named_parameters()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        self.load_named(state)
    }
}

impl StateDict for VolumeSegment {
    fn state_dict(&self) -> Vec<NamedTensor> {
        [self.named_parameters(), self.named_buffers()].concat()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        self.load_named(state)
    }
}

/// The state of a part of a module, under the part's name.
pub fn under(part: &str, module: &impl StateDict) -> Vec<NamedTensor> {
    module.state_dict().into_iter().map(|tensor| tensor.under(part)).collect()
}

/// Sorts a module's state by the parts it belongs to, the parts' names taken off.
///
/// # Errors
/// [`LoadError::Unknown`] for what belongs to none of them.
pub fn by_part<const N: usize>(
    parts: [&str; N],
    state: Vec<NamedTensor>,
) -> Result<[Vec<NamedTensor>; N], LoadError> {
    let mut sorted: [Vec<NamedTensor>; N] = std::array::from_fn(|_| Vec::new());
    for NamedTensor { name, shape, values } in state {
        let owner = name.split_once('.').and_then(|(part, rest)| {
            let index = parts.iter().position(|&p| p == part)?;
            Some((index, rest.to_owned()))
        });
        let Some((index, name)) = owner else { return Err(LoadError::Unknown { name }) };
        sorted[index].push(NamedTensor { name, shape, values });
    }
    Ok(sorted)
}
