//! The student (Ristea et al., Section 3): a smaller decoder over the frozen network's latents learns what the network
//! predicts of normal frames. Of what neither has learnt they are likely to say different things.

use burn::module::Module;
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_nn::NnError;
use vadis_nn::loss::weighted_mse;
use vadis_nn::networks::{Cae, CaeHead};
use vadis_nn::optim::{Adam, OptimiserState};
use vadis_nn::segment::StateDict;
use vadis_nn::weights::WeightFile;

use super::Variant;
use super::lesson::{Lesson, Lessons};
use super::score::Predictor;
use crate::clip_training::{ClipLearner, Terms, put_moments, take_moments};
use crate::examples::Examples;
use crate::training_step::{term_value, update};
use crate::{Session, SystemError};

/// The optimiser's state in a checkpoint.
const MOMENTS: [&str; 2] = ["adam.student.first", "adam.student.second"];
/// Before the names of the student's weights.
pub(super) const STUDENT: &str = "student.";
/// The teacher's steps come before, with random streams of their own.
const FIRST_STEP: u64 = 1 << 29;

/// The student while it learns.
pub(super) struct StudentLearner {
    variant: Variant,
    lessons: Lessons,
    /// Frozen.
    pub(super) teacher: Cae,
    pub(super) student: CaeHead,
    moments: OptimiserState,
    steps: u64,
    device: Device,
}

impl StudentLearner {
    /// Of a `teacher` on a device without autodiff.
    pub(super) fn new(
        variant: Variant,
        lessons: Lessons,
        teacher: Cae,
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        rng.set_stream(FIRST_STEP);
        let device = session.device.clone();
        let network = lessons.config.network(lessons.format);
        let student = network.init_head(&device.clone().autodiff(), &mut rng)?;
        let moments = Adam::state(student.decoder.plan().parameter_count());
        Ok(Self { variant, lessons, teacher, student, moments, steps: 0, device })
    }
}

impl ClipLearner for StudentLearner {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    /// Squared difference from the teacher's prediction of the hidden pixels.
    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let Lesson { input, wanted, .. } = self.lessons.batch(&examples, FIRST_STEP + self.steps);
        let channels = self.lessons.config.shown().len();
        let latent = self.teacher.encode(self.lessons.tensor(input, channels, &self.device));
        let target = self.teacher.decode(latent.clone()).narrow(1, 0, 1).autodiff();
        let wanted = self.lessons.tensor(wanted, 1, &self.device.clone().autodiff());
        let loss = weighted_mse(self.student.decode(latent.autodiff()), target, wanted)?;
        let total = term_value(&loss)?;
        if total.is_finite() {
            update(&loss, [&mut self.student.decoder], std::slice::from_mut(&mut self.moments), rate)?;
        }
        self.steps += 1;
        Ok(vec![("loss".to_owned(), total)])
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let predictor = Predictor::new(&self.lessons, &self.teacher, Some(&self.student.valid()))?;
        let mut sum = 0.0;
        for clip in clips.chunks_exact(clips.len() / batch) {
            sum += predictor.look(&self.lessons.planes(clip))?.mean_difference();
        }
        Ok(sum / batch as f64)
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = self.teacher.to_weight_file();
        file.tensors.extend(self.student.to_weight_file().tensors);
        put_moments(&mut file, MOMENTS, &self.moments);
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        self.moments = take_moments(&mut state, MOMENTS, self.moments.first.len(), steps)?;
        let mut student = WeightFile::default();
        (student.tensors, state.tensors) =
            state.tensors.into_iter().partition(|(name, _)| name.starts_with(STUDENT));
        self.student = self.student.clone().load_weight_file(student).map_err(NnError::from)?;
        self.teacher = self.teacher.clone().load_weight_file(state).map_err(NnError::from)?;
        self.steps = steps;
        Ok(())
    }
}
