//! Grad-CAM: where the activations of a layer raise a score (Selvaraju et al., *Grad-CAM: Visual Explanations from Deep
//! Networks via Gradient-based Localization*, ICCV 2017).

use burn::tensor::activation::relu;
use burn::tensor::{Gradients, Tensor};

use crate::{NnError, tensor_values};

/// A node's values in a pass, and where their gradient is found after it.
#[derive(Debug, Clone)]
pub struct Tapped {
    values: Tensor<5>,
    /// Zeros that were added to the values: a leaf, whose gradient is theirs.
    zeros: Tensor<5>,
}

impl Tapped {
    /// Of these values; what is to go on in their place.
    pub(super) fn new(values: Tensor<5>) -> (Self, Tensor<5>) {
        let zeros = Tensor::zeros(values.dims(), &values.device()).require_grad();
        let on = values.clone() + zeros.clone();
        (Self { values: values.detach(), zeros }, on)
    }

    /// ReLU(Σₖ αₖ Aᵏ), where αₖ is the mean over space of the score's gradient with respect to channel k (Eqs. 1 and 2),
    /// enlarged to `[height, width]`. The inputs of a batch are taken for branches of one network: their channels are
    /// summed together.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `gradients` are not of a score that follows from the pass.
    pub fn grad_cam(&self, gradients: &Gradients, size: [usize; 2]) -> Result<Vec<f32>, NnError> {
        let gradient = self.zeros.grad(gradients);
        let gradient = gradient.ok_or_else(|| NnError::Tensor("a layer has no gradient".to_owned()))?;
        let alpha = gradient.mean_dim(2).mean_dim(3).mean_dim(4);
        let map = relu((alpha * self.values.clone().inner()).sum_dim(0).sum_dim(1).sum_dim(2));
        let [.., height, width] = map.dims();
        Ok(enlarged(&tensor_values(map)?, [height, width], size))
    }
}

/// Bilinear between the centres of pixels, the border continued outwards, as PyTorch's `interpolate` without aligned corners.
fn enlarged(plane: &[f32], [height, width]: [usize; 2], [to_height, to_width]: [usize; 2]) -> Vec<f32> {
    let place = |at: usize, from: usize, to: usize| {
        let centre = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        let first = centre as usize;
        (first, (first + 1).min(from - 1), centre - first as f32)
    };
    let columns: Vec<_> = (0..to_width).map(|x| place(x, width, to_width)).collect();
    let mut out = Vec::with_capacity(to_height * to_width);
    for y in 0..to_height {
        let (above, below, down) = place(y, height, to_height);
        let row = |row: usize, &(left, right, along): &(usize, usize, f32)| {
            plane[row * width + left] * (1.0 - along) + plane[row * width + right] * along
        };
        out.extend(columns.iter().map(|c| row(above, c) * (1.0 - down) + row(below, c) * down));
    }
    out
}
