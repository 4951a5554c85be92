//! Where the activations of each layer raise the score: Grad-CAM of the network's error (Selvaraju et al., ICCV 2017).
//!
//! What the score has from the network is linear in the squared errors, the place of a worst patch taken as given. Its terms
//! count as in the score; what a student or an anomaly map adds is left out.

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_nn::NnError;
use vadis_nn::networks::Cae;
use vadis_nn::segment::StateDict;

use super::ScoreKind;
use super::score::{MotionMaeModel, Seen};
use super::student::STUDENT;
use crate::{InputFormat, SystemError};

impl MotionMaeModel {
    /// A plane for each of [`Cae::LAYERS`], of the frame in the middle of a clip. The passes of complementary masks count
    /// together, as branches of one network.
    pub(super) fn layer_maps(&self, clip: &[&[f32]]) -> Result<Vec<Vec<f32>>, SystemError> {
        let InputFormat { width, height, .. } = self.format;
        let seen = self.predictor.look(clip)?;
        let weight = self.error_weights(&seen);
        let passes = self.predictor.taken();
        let frames = |planes: Vec<f32>| {
            let channels = planes.len() / (passes.len() * width * height);
            let shape = [passes.len(), channels, height, width];
            Tensor::<4>::from_data(TensorData::new(planes, shape), &Device::default())
        };
        let input = frames(self.predictor.visible(clip));
        let target = frames(clip[clip.len() / 2].repeat(passes.len()));
        let weights = passes.iter().flat_map(|taken| taken.iter().zip(&weight).map(|(t, w)| t * w)).collect();
        let (given, taps) = self.network()?.tapped(input);
        let error = (given.narrow(1, 0, 1) - target.autodiff()).square();
        let gradients = (error * frames(weights).autodiff()).sum().backward();
        let map = |tapped: &vadis_nn::segment::Tapped| tapped.grad_cam(&gradients, [height, width]);
        Ok(taps.iter().map(map).collect::<Result<_, _>>()?)
    }

    /// How much each pixel's squared error counts in the score.
    fn error_weights(&self, seen: &Seen) -> Vec<f32> {
        let [alpha, beta] = self.config.score_weights();
        let everywhere = || vec![(1.0 / seen.predicted) as f32; seen.error.len()];
        let [plain, moving] = match self.config.score {
            ScoreKind::Frame => [("reconstruction", everywhere()), ("motion", everywhere())],
            ScoreKind::Patch | ScoreKind::Gradient => [
                ("patch_reconstruction", self.patches.worst_weights(&seen.error)),
                ("patch_motion", self.patches.worst_weights(&seen.motion)),
            ],
        };
        // The motion term of `gradient` has nothing from the network.
        let beta = if self.config.score == ScoreKind::Gradient { 0.0 } else { beta };
        let scale = |column: &str| {
            let known = self.statistics.column(column).filter(|column| column.std > 0.0);
            known.map_or(1.0, |column| (1.0 / column.std) as f32)
        };
        let (alpha, beta) = (alpha * scale(plain.0), beta * scale(moving.0));
        let of_pixel = |i: usize| alpha * plain.1[i] + beta * moving.1[i] * seen.weights[i];
        self.predictor.predicted().iter().enumerate().map(|(i, predicted)| predicted * of_pixel(i)).collect()
    }

    /// The network as it was trained; what scores is packed, and has no gradients.
    fn network(&self) -> Result<Cae, SystemError> {
        let weights = self.weights.iter().filter(|tensor| !tensor.name.starts_with(STUDENT)).cloned();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let network = self.config.network(self.format).init(&Device::default(), &mut rng)?;
        Ok(network.load_state_dict(weights.collect()).map_err(NnError::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion_mae::lesson::Lessons;
    use crate::motion_mae::{MotionMaeConfig, Passes, Variant};
    use crate::{ColumnStatistics, Preset, Statistics};
    use vadis_video::Colour;

    const AREA: usize = 32 * 24;

    fn model(config: MotionMaeConfig) -> MotionMaeModel {
        let format = InputFormat { width: 32, height: 24, colour: Colour::Grey };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let network = config.network(format).init(&Device::default(), &mut rng).unwrap();
        let mut counts = vec![1.0; AREA];
        counts[..64].fill(0.0);
        let lessons = Lessons { config, format, counts, seed: 0 };
        let mut model = MotionMaeModel::new(Variant::MotionMae, &lessons, &network, None).unwrap();
        let names = ["reconstruction", "motion", "patch_reconstruction", "patch_motion", "patch_gradient"];
        let column = |(i, name): (usize, &str)| ColumnStatistics {
            name: name.to_owned(),
            std: 0.5 + i as f64,
            ..ColumnStatistics::default()
        };
        let columns = names.into_iter().enumerate().map(column).collect();
        model.set_statistics(Statistics { columns, ..Statistics::default() });
        model
    }

    fn clip() -> [Vec<f32>; 3] {
        [13, 37, 29].map(|seed| (0..AREA).map(|i| ((i * seed) % 97) as f32 / 96.0).collect())
    }

    /// Of every score, what it has from the network is the weighted sum of the errors.
    #[test]
    fn the_score_is_linear_in_the_errors() {
        for score in [ScoreKind::Frame, ScoreKind::Patch, ScoreKind::Gradient] {
            for passes in [Passes::Complementary, Passes::Single] {
                let preset = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
                let model = model(MotionMaeConfig { score, passes, alpha: 0.7, beta: 0.4, ..preset });
                let clip = clip();
                let planes = clip.each_ref().map(Vec::as_slice);
                let seen = model.predictor.look(&planes).unwrap();
                let worst = |plane: &[f32]| model.patches.worst_mean(plane);
                let wanted = match score {
                    ScoreKind::Frame => 0.7 / 0.5 * seen.mean_error() + 0.4 / 1.5 * seen.mean_motion(),
                    ScoreKind::Patch => 0.7 / 2.5 * worst(&seen.error) + 0.4 / 3.5 * worst(&seen.motion),
                    ScoreKind::Gradient => 0.7 / 2.5 * worst(&seen.error),
                };
                let square = |i: usize| (clip[1][i] - seen.rebuilt[i]).powi(2);
                let weights = model.error_weights(&seen);
                let sum: f64 = weights.iter().enumerate().map(|(i, w)| f64::from(w * square(i))).sum();
                assert!((sum - wanted).abs() < 1e-5 * wanted.abs().max(1e-3), "{score:?}: {sum} {wanted}");
            }
        }
    }

    /// With one mask and no mask, one channel and several.
    #[test]
    fn every_layer_has_a_map_of_the_frame() {
        for (offset, ratio) in [(0, 0.5), (0, 0.0), (1, 0.25)] {
            let preset = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
            let model = model(MotionMaeConfig { offset, mask_ratio: ratio, ..preset });
            let clip = clip();
            let maps = model.layer_maps(&clip.each_ref().map(Vec::as_slice)).unwrap();
            assert_eq!(maps.len(), Cae::LAYERS.len());
            assert!(maps.iter().all(|map| map.len() == AREA && map.iter().all(|v| *v >= 0.0)));
            assert!(maps.iter().any(|map| map.iter().any(|v| *v > 0.0)));
        }
    }

    #[test]
    fn every_pixel_is_taken_from_one_pass() {
        for (passes, ratio) in [(Passes::Complementary, 0.25), (Passes::Single, 0.5), (Passes::Single, 0.0)] {
            let preset = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
            let taken = model(MotionMaeConfig { passes, mask_ratio: ratio, ..preset }).predictor.taken();
            assert!((0..AREA).all(|i| taken.iter().map(|pass| pass[i]).sum::<f32>() == 1.0));
        }
    }
}
