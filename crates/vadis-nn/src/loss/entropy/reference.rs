//! The entropy by burn's own operations: the path of every device that has no kernels of ours, and what
//! the kernels are tested against.

use burn::tensor::{Tensor, TensorData};

use super::{Bandwidth, EntropyTerms, RenyiEntropy, SIGMA2_FLOOR, pairs};
use crate::NnError;

/// [`RenyiEntropy::forward`] for at least two latents.
pub(super) fn forward(entropy: &mut RenyiEntropy, latents: Tensor<2>) -> Result<EntropyTerms, NnError> {
    let [n, _] = latents.dims();
    let distance2 = pairwise_squared_distances(latents);
    let pairs = read_pairs(&distance2, n)?;
    let mean = (pairs.iter().map(|&v| f64::from(v)).sum::<f64>() / pairs.len() as f64) as f32;
    let sigma2 = entropy.sigma2(|| pairs::median(pairs.clone()), mean);
    let exponent = match entropy.bandwidth {
        Bandwidth::Mean => {
            let sigma2 = distance2.clone().sum().div_scalar(4.0 * pairs.len() as f32);
            distance2.div(sigma2.clamp_min(SIGMA2_FLOOR).reshape([1, 1])).mul_scalar(-0.25)
        }
        _ => distance2.mul_scalar(-0.25 / sigma2),
    };
    // The diagonal is exactly 0 and nothing is above it, so the largest exponent is 0 and the
    // logsumexp needs no shift: the sum lies in [N, N²].
    let loss = exponent.exp().sum().log().neg().add_scalar(2.0 * (n as f32).ln());
    Ok(EntropyTerms { loss, mean_distance2: mean, sigma2 })
}

/// ‖z_i − z_j‖² as `[N, N]` by one GEMM, clamped at 0, its diagonal exactly 0.
///
/// The batch mean is taken off first (without gradient: distances do not depend on it), or the two large
/// squares would cancel to noise where latents lie far from the origin.
fn pairwise_squared_distances(latents: Tensor<2>) -> Tensor<2> {
    let n = latents.dims()[0];
    let centred = latents.clone() - latents.detach().mean_dim(0);
    let norms = centred.clone().powi_scalar(2).sum_dim(1);
    let cross = centred.clone().matmul(centred.transpose());
    let distance2 = norms.clone() + norms.transpose() - cross.mul_scalar(2.0);
    let mut off_diagonal = vec![1.0f32; n * n];
    off_diagonal.iter_mut().step_by(n + 1).for_each(|v| *v = 0.0);
    let mask = Tensor::<2>::from_data(TensorData::new(off_diagonal, [n, n]), &distance2.device());
    distance2.clamp_min(0.0) * mask
}

/// The distances above the diagonal.
fn read_pairs(distance2: &Tensor<2>, n: usize) -> Result<Vec<f32>, NnError> {
    let all = crate::tensor_values(distance2.clone().detach())?;
    let pairs: Vec<f32> = (0..n).flat_map(|i| all[i * n + i + 1..(i + 1) * n].iter().copied()).collect();
    match pairs.iter().all(|v| v.is_finite()) {
        true => Ok(pairs),
        false => Err(NnError::NotFinite { what: "latents" }),
    }
}
