//! Losses, each with a hand-written gradient on `flex` devices and by burn's own operations elsewhere.
//!
//! On `flex`, value and gradient come out of one pass over the frames, each frame's memory is bounded by
//! the frame, and neither depends on the number of threads. A target that itself wants a gradient is
//! served by burn's operations.

mod edges;
mod entropy;
mod frame;
mod fused;
mod ms_ssim;
mod reference;
mod squares;

use burn::tensor::Tensor;

use crate::NnError;

pub use entropy::{Bandwidth, EntropyTerms, RenyiEntropy};
pub use frame::{FrameLoss, FrameTerms, gradient_loss, ms_ssim_loss};
pub use squares::{mse, weighted_mse};

fn check_same_shape<const D: usize>(
    what: &'static str,
    prediction: &Tensor<D>,
    other: &Tensor<D>,
) -> Result<(), NnError> {
    let (expected, got) = (prediction.dims(), other.dims());
    match (0..D).find(|&axis| expected[axis] != got[axis] || expected[axis] == 0) {
        None => Ok(()),
        Some(axis) => Err(NnError::Shape { what, axis, expected: expected[axis].max(1), got: got[axis] }),
    }
}
