//! Where a frame's features are less likely than they usually are at that place (ours).
//!
//! The likelihood of a whole frame follows how many people are in view, and an object of a hundredth of the picture
//! hardly moves it. The worst patch of what each place has to do with it, against what is usual there, does see it; it is to
//! Eq. 13 what the paper's sliding patch is to the mean error.

use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use crate::SystemError;
use crate::frames::above_usual;
use crate::patches::Patches;

/// Mean map of each flow over training footage, nats per dimension.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usual([Vec<f32>; 2]);

impl Usual {
    const NAME: &'static str = "flows.usual";

    /// Of some maps of each flow, each of `plane` values.
    pub(super) fn of(maps: [&[f32]; 2], plane: usize) -> Self {
        Self(maps.map(|maps| {
            let share = 1.0 / (maps.len() / plane).max(1) as f32;
            let mut mean = vec![0.0; plane];
            for map in maps.chunks_exact(plane) {
                mean.iter_mut().zip(map).for_each(|(mean, value)| *mean += share * value);
            }
            mean
        }))
    }

    /// How much less likely than usual each place of a map of `flow` is, 0 where it is no less or does not count.
    pub(super) fn unusual(&self, flow: usize, map: &[f32], counts: &[f32]) -> Vec<f32> {
        above_usual(map, &self.0[flow], counts)
    }

    /// The worst patch of each of the maps of `flow`.
    pub(super) fn worst(&self, flow: usize, maps: &[f32], patches: &Patches, counts: &[f32]) -> Vec<f32> {
        let worst = |map: &[f32]| patches.worst_mean(&self.unusual(flow, map, counts)) as f32;
        maps.chunks_exact(counts.len()).map(worst).collect()
    }

    /// As an array of a weight file, `[2, place]`.
    pub(super) fn named(&self) -> NamedTensor {
        let shape = vec![2, self.0[0].len()];
        NamedTensor { name: Self::NAME.to_owned(), shape, values: self.0.concat() }
    }

    /// Takes the array out of a weight file, for maps of `plane` values.
    ///
    /// # Errors
    /// [`SystemError::Model`] if it is not there, or not so large.
    pub(super) fn take(file: &mut WeightFile, plane: usize) -> Result<Self, SystemError> {
        match file.tensors.remove(Self::NAME) {
            Some((shape, values)) if shape == [2, plane] && values.iter().all(|v| v.is_finite()) => {
                let (appearance, motion) = values.split_at(plane);
                Ok(Self([appearance.to_vec(), motion.to_vec()]))
            }
            _ => Err(SystemError::Model { reason: format!("`{}` is missing or odd", Self::NAME) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_patch_is_what_is_above_the_usual() {
        let usual = Usual::of([&[1.0, 2.0, 1.0, 4.0, 3.0, 2.0, 1.0, 4.0], &[0.0; 4]], 4);
        assert_eq!(usual.0[0], [2.0, 2.0, 1.0, 4.0]);
        let counts = [1.0, 1.0, 1.0, 0.0];
        assert_eq!(usual.unusual(0, &[1.0, 5.0, 2.0, 9.0], &counts), [0.0, 3.0, 1.0, 0.0]);
        let patches = Patches::new(2, 2, 1, &counts);
        assert_eq!(usual.worst(0, &[1.0, 5.0, 2.0, 9.0, 2.0, 2.0, 1.0, 4.0], &patches, &counts), [3.0, 0.0]);
        let mut file = WeightFile::default();
        file.insert(usual.named());
        assert_eq!(Usual::take(&mut file.clone(), 4).unwrap(), usual);
        assert!(Usual::take(&mut file, 5).is_err() && Usual::take(&mut file, 4).is_err());
    }
}
