//! The flow as it scores.

use rayon::prelude::*;
use vadis_kernels::volume::Scratch;

use super::levels::{FrozenFlow, Sample};
use super::likelihood;
use crate::NnError;
use crate::segment::in_pool;

/// [`Glow`](super::Glow) packed for inference on the CPU: a sample's result has the same bits whatever the batch
/// and the threads.
#[derive(Debug)]
pub struct FrozenGlow {
    pub(super) flow: FrozenFlow,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
}

/// Negative log-likelihoods of a batch, in nats per dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihoods {
    /// Of each sample.
    pub nll: Vec<f32>,
    /// `[batch][height][width]`: what each place has to do with it; the mean over a sample's map is its `nll`.
    /// Places that the flow squeezes together (squares of 2 to the power of the levels) share theirs.
    pub map: Vec<f32>,
}

impl FrozenGlow {
    /// Negative log-likelihood of each of `batch` samples `[batch, channels, height, width]`, in nats per
    /// dimension. The samples share the threads: many at a time are faster than one by one.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn nll(&self, x: &[f32], batch: usize) -> Result<Vec<f32>, NnError> {
        self.each(x, batch, |sample| likelihood::of_sample(sample, self.dimensions()))
    }

    /// As [`FrozenGlow::nll`], with the maps that show where it comes from.
    ///
    /// # Errors
    /// As [`FrozenGlow::nll`].
    pub fn map(&self, x: &[f32], batch: usize) -> Result<Likelihoods, NnError> {
        let samples = self.each(x, batch, |sample| {
            let map = likelihood::map_of(sample, self.channels, self.size);
            (likelihood::of_sample(sample, self.dimensions()), map)
        })?;
        let (nll, maps): (Vec<f32>, Vec<Vec<f32>>) = samples.into_iter().unzip();
        Ok(Likelihoods { nll, map: maps.concat() })
    }

    /// What `of` makes of each sample's latents.
    fn each<T: Send>(
        &self,
        x: &[f32],
        batch: usize,
        of: impl Fn(&Sample) -> T + Sync,
    ) -> Result<Vec<T>, NnError> {
        self.check(x, batch)?;
        let run = |scratch: &mut Scratch, x: &[f32]| Ok(of(&self.flow.run(x, scratch)?));
        in_pool(|| x.par_chunks_exact(self.dimensions()).map_init(Scratch::new, run).collect())
    }

    fn dimensions(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    fn check(&self, x: &[f32], batch: usize) -> Result<(), NnError> {
        match batch.checked_mul(self.dimensions()) == Some(x.len()) {
            true => Ok(()),
            false => Err(NnError::Tensor(format!(
                "{} values are not {batch} samples of {} channels of {:?}",
                x.len(),
                self.channels,
                self.size
            ))),
        }
    }
}
