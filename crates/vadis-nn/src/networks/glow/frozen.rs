//! The flow as it scores.

use vadis_kernels::volume::Scratch;

use super::levels::FrozenFlow;
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
    /// dimension. Memory in `scratch` is used again from call to call.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn nll(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        self.check(x, batch)?;
        let dimensions = self.dimensions();
        in_pool(|| {
            let samples = x.chunks_exact(dimensions).map(|x| self.flow.run(x, scratch));
            samples.map(|sample| Ok(likelihood::of_sample(&sample?, dimensions))).collect()
        })
    }

    /// As [`FrozenGlow::nll`], with the maps that show where it comes from.
    ///
    /// # Errors
    /// As [`FrozenGlow::nll`].
    pub fn map(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Likelihoods, NnError> {
        self.check(x, batch)?;
        let (mut nll, mut map) = (Vec::with_capacity(batch), Vec::new());
        for x in x.chunks_exact(self.dimensions()) {
            let sample = in_pool(|| self.flow.run(x, scratch))?;
            nll.push(likelihood::of_sample(&sample, self.dimensions()));
            map.extend(likelihood::map_of(&sample, self.channels, self.size));
        }
        Ok(Likelihoods { nll, map })
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
