//! What steps of training share, whatever they learn.

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_nn::optim::{Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::VolumeSegment;
use vadis_nn::{NnError, tensor_values};

use crate::SystemError;

/// Random streams of a step: a batch has at most 256 clips, each one of its own.
const STREAMS: u64 = 1024;

/// What is random in step `step` of a training, `part` by `part`.
pub(crate) fn step_rng(seed: u64, step: u64, part: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((step + 1) * STREAMS + part);
    rng
}

/// What is random in a step beside its clips.
pub(crate) fn common_rng(seed: u64, step: u64) -> ChaCha8Rng {
    step_rng(seed, step, STREAMS - 1)
}

/// Drops this share of the latents, and scales up the rest.
pub(crate) fn dropped(latent: Tensor<4>, share: f64, mut rng: ChaCha8Rng) -> Tensor<4> {
    if share == 0.0 {
        return latent;
    }
    let kept = (1.0 / (1.0 - share)) as f32;
    let (shape, device) = (latent.dims(), latent.device());
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|_| if rng.random_bool(share) { 0.0 } else { kept })
        .collect();
    latent * Tensor::from_data(TensorData::new(values, shape), &device)
}

/// The value of a term of a loss.
pub(crate) fn term_value(term: &Tensor<1>) -> Result<f64, NnError> {
    Ok(f64::from(tensor_values(term.clone().detach())?[0]))
}

/// One update of each segment by its gradient of `loss`.
pub(crate) fn update<const N: usize>(
    loss: &Tensor<1>,
    segments: [&mut VolumeSegment; N],
    moments: &mut [OptimiserState],
    rate: f64,
) -> Result<(), SystemError> {
    let gradients = loss.backward();
    for (segment, moments) in segments.into_iter().zip(moments) {
        let gradient = gradient_of(&segment.weight, &gradients)?;
        Optimiser::default().step(moments, &mut segment.weight, &gradient, Step::of(rate))?;
    }
    Ok(())
}
