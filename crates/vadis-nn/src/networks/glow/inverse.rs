//! The flow backwards: latents to maps, to look at what it has learnt and to check it.

use vadis_kernels::volume::Scratch;

use super::coupling;
use super::levels::{Flow, unsqueeze};
use crate::NnError;

impl Flow {
    /// A batch of maps from its latents, `[batch][channels][height][width]` each, in the levels' order.
    pub(super) fn inverse(
        &self,
        parameter: &[f32],
        latents: &[Vec<f32>],
        batch: usize,
    ) -> Result<Vec<f32>, NnError> {
        let (mut rest, mut scratch) = (Vec::new(), Scratch::new());
        for (level, latent) in self.levels.iter().zip(latents).rev() {
            let (shape, len) = (level.shape, latent.len() / batch.max(1));
            let split = shape.len() - len;
            let mut x = Vec::with_capacity(batch * shape.len());
            for index in 0..batch {
                x.extend_from_slice(&rest[index * split..(index + 1) * split]);
                x.extend_from_slice(&latent[index * len..(index + 1) * len]);
            }
            for step in level.steps.iter().rev() {
                let net = step.freeze(&level.net, parameter)?.net(shape, &x, &mut scratch)?;
                coupling::inverse(shape, &net, &mut x);
                x = step.inverse_mix(parameter).apply(&x, shape.positions);
            }
            rest = unsqueeze(&x, level.size);
        }
        Ok(rest)
    }
}
