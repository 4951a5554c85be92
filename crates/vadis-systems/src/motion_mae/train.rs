//! Training: the weighted squared error of the pixels that were hidden; Adam; early stopping.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_nn::NnError;
use vadis_nn::loss::weighted_mse;
use vadis_nn::networks::{Cae, CaeHead};
use vadis_nn::optim::{Adam, OptimiserState};
use vadis_nn::segment::StateDict;
use vadis_nn::weights::WeightFile;

use super::lesson::{Lesson, Lessons};
use super::score::{MotionMaeModel, Predictor};
use super::student::StudentLearner;
use super::{MotionMaeConfig, Variant};
use crate::clip_training::{
    ClipLearner, Course, Terms, goes_on_with, put_moments, take_moments, train_on_clips,
};
use crate::clips::Parts;
use crate::examples::{Examples, PlainClips};
use crate::frames::{calibration_runs, counts_of, observe_runs, to_unit};
use crate::pasted::Pasted;
use crate::session::identity;
use crate::training_step::{dropped, term_value, update};
use crate::{FrameStore, Session, SystemError};

/// Least frames of footage.
const MIN_FRAMES: usize = 8;
/// The optimiser's state in a checkpoint, encoder and decoder.
const MOMENTS: [[&str; 2]; 2] =
    [["adam.encoder.first", "adam.encoder.second"], ["adam.decoder.first", "adam.decoder.second"]];
/// Before the names of the best network's weights in a checkpoint.
const BEST: &str = "best.";
/// Held-out clips of an early look: a frame is cheap.
const LOOK_CLIPS: usize = 16;

/// Trains on `footage` as the session says: the network, then its student if it is to have one.
pub(super) fn train(
    variant: Variant,
    config: &MotionMaeConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<MotionMaeModel, SystemError> {
    if footage.len() < MIN_FRAMES {
        let (got, needed) = (footage.len(), MIN_FRAMES);
        return Err(SystemError::TooFewFrames { got, needed, system: variant.key() });
    }
    let parts = Parts::of(footage.frames(), config.holdout, config.clip());
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let identity = format!("{} {}", variant.key(), identity(config, footage, session)?);
    let lessons = Lessons { config: config.clone(), format, counts, seed: session.seed };
    let (network, student) = match config.student_steps {
        0 => (autoencoder(variant, &lessons, identity, (footage, &parts), session)?, None),
        _ => {
            let (network, student) = with_student(variant, &lessons, &identity, (footage, &parts), session)?;
            (network, Some(student))
        }
    };
    let mut model = MotionMaeModel::new(variant, &lessons, &network, student.as_ref())?;
    let (runs, kind) = calibration_runs(&parts, config.clip(), config.calibration_frames, session);
    let mut seen = observe_runs(&model, footage, &runs, session)?;
    model.set_statistics(seen.statistics(kind));
    // Only now the terms can be set against one another.
    seen.retell(|indicators| model.tell(indicators));
    model.set_statistics(seen.statistics(kind));
    Ok(model)
}

fn course(config: &MotionMaeConfig, identity: String) -> Course {
    Course {
        length: config.clip(),
        stride: config.train_stride,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity,
        earlier: Vec::new(),
    }
}

/// Trains the network.
fn autoencoder(
    variant: Variant,
    lessons: &Lessons,
    identity: String,
    (footage, parts): (&FrameStore, &Parts),
    session: &mut Session<'_>,
) -> Result<Cae, SystemError> {
    let Lessons { config, format, counts, .. } = lessons;
    let course = course(config, identity);
    let mut learner = Learner::new(variant, lessons.clone(), session)?;
    let planes = |frame: &[u8]| to_unit(frame, *format, counts);
    let source = PlainClips { footage, length: course.length, planes };
    if config.has_map() {
        let intruders = config.intruders(*format);
        let source = Pasted::new(&intruders, source, |value| (value + 1.0) / 2.0)?;
        train_on_clips(&mut learner, &source, &course, parts, session)?;
    } else {
        train_on_clips(&mut learner, &source, &course, parts, session)?;
    }
    Ok(learner.network.valid())
}

/// Trains the network and then its student. Either can be interrupted and taken up: the checkpoint of the student holds
/// the network.
fn with_student(
    variant: Variant,
    lessons: &Lessons,
    identity: &str,
    (footage, parts): (&FrameStore, &Parts),
    session: &mut Session<'_>,
) -> Result<(Cae, CaeHead), SystemError> {
    let Lessons { config, format, counts, .. } = lessons;
    let steps = config.student_steps;
    let mut course = Course {
        min_steps: steps,
        max_steps: steps,
        ..self::course(config, format!("student of {identity}"))
    };
    let teacher = if goes_on_with(&course.identity, session)? {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        config.network(*format).init(&session.device, &mut rng)?
    } else {
        let identity = format!("teacher of {identity}");
        let teacher = autoencoder(variant, lessons, identity, (footage, parts), session)?;
        // What follows must not look for the teacher's checkpoint.
        session.resume = false;
        course.earlier = std::mem::take(&mut session.log);
        teacher
    };
    let mut learner = StudentLearner::new(variant, lessons.clone(), teacher, session)?;
    let planes = |frame: &[u8]| to_unit(frame, *format, counts);
    let source = PlainClips { footage, length: course.length, planes };
    train_on_clips(&mut learner, &source, &course, parts, session)?;
    Ok((learner.teacher, learner.student.valid()))
}

/// The autoencoder while it learns.
struct Learner {
    variant: Variant,
    lessons: Lessons,
    network: Cae,
    moments: [OptimiserState; 2],
    /// Weights of the network with the lowest held-out loss so far.
    best: Option<WeightFile>,
    steps: u64,
    device: Device,
}

impl Learner {
    fn new(variant: Variant, lessons: Lessons, session: &Session<'_>) -> Result<Self, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let device = session.device.clone();
        let network = lessons.config.network(lessons.format).init(&device.clone().autodiff(), &mut rng)?;
        let moments =
            [&network.encoder, &network.decoder].map(|segment| Adam::state(segment.plan().parameter_count()));
        Ok(Self { variant, lessons, network, moments, best: None, steps: 0, device })
    }

    /// The terms of the loss: reconstruction, motion and, where there is one, the anomaly map.
    fn terms(&self, lesson: Lesson, device: &Device) -> Result<Vec<Tensor<1>>, SystemError> {
        let Lesson { input, target, wanted, moving, map, counts } = lesson;
        let (channels, dropout) = (self.lessons.config.shown().len(), self.lessons.config.dropout);
        let latent = self.network.encode(self.lessons.tensor(input, channels, device));
        let given = self.network.decode(dropped(latent, dropout, self.lessons.common_rng(self.steps)));
        let [target, wanted, moving] = [target, wanted, moving].map(|v| self.lessons.tensor(v, 1, device));
        let rebuilt = given.clone().narrow(1, 0, 1);
        let mut terms = vec![
            weighted_mse(rebuilt.clone(), target.clone(), wanted)?,
            weighted_mse(rebuilt, target, moving)?,
        ];
        if self.lessons.config.has_map() {
            let [map, counts] = [map, counts].map(|v| self.lessons.tensor(v, 1, device));
            terms.push(weighted_mse(given.narrow(1, 1, 1), map, counts)?);
        }
        Ok(terms)
    }
}

impl ClipLearner for Learner {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let device = self.device.clone().autodiff();
        let lesson = self.lessons.batch(&examples, self.steps);
        let terms = self.terms(lesson, &device)?;
        let values = terms.iter().map(term_value).collect::<Result<Vec<_>, _>>()?;
        let [alpha, beta] = self.lessons.config.loss_weights();
        let weights = [alpha, beta, self.lessons.config.map_weight];
        let weighted = terms.into_iter().zip(weights).map(|(term, weight)| term * weight);
        let Some(loss) = weighted.reduce(|sum, term| sum + term) else { return Ok(Terms::new()) };
        let total = term_value(&loss)?;
        if total.is_finite() {
            let segments = [&mut self.network.encoder, &mut self.network.decoder];
            update(&loss, segments, &mut self.moments, rate)?;
        }
        self.steps += 1;
        let named =
            ["loss", "reconstruction", "motion", "map"].into_iter().zip([total].into_iter().chain(values));
        Ok(named.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// As when scoring: complementary masks, nothing dropped, nothing pasted.
    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let predictor = Predictor::new(&self.lessons, &self.network.valid(), None)?;
        let [alpha, beta] = self.lessons.config.loss_weights().map(f64::from);
        let mut sum = 0.0;
        for clip in clips.chunks_exact(clips.len() / batch) {
            let seen = predictor.look(&self.lessons.planes(clip))?;
            sum += alpha * seen.mean_error() + beta * seen.mean_motion();
        }
        Ok(sum / batch as f64)
    }

    fn look_clips(&self) -> usize {
        LOOK_CLIPS
    }

    fn patience(&self) -> u64 {
        self.lessons.config.patience
    }

    fn keep_best(&mut self) -> Result<(), SystemError> {
        self.best = Some(self.network.to_weight_file());
        Ok(())
    }

    fn go_back_to_best(&mut self) -> Result<(), SystemError> {
        if let Some(best) = self.best.take() {
            self.network = self.network.clone().load_weight_file(best).map_err(NnError::from)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = self.network.to_weight_file();
        for (names, moments) in MOMENTS.into_iter().zip(&self.moments) {
            put_moments(&mut file, names, moments);
        }
        for (name, values) in self.best.iter().flat_map(|best| &best.tensors) {
            file.tensors.insert(format!("{BEST}{name}"), values.clone());
        }
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        for (names, moments) in MOMENTS.into_iter().zip(&mut self.moments) {
            *moments = take_moments(&mut state, names, moments.first.len(), steps)?;
        }
        let mut best = WeightFile::default();
        let names: Vec<String> =
            state.tensors.keys().filter(|name| name.starts_with(BEST)).cloned().collect();
        for name in names {
            if let Some(values) = state.tensors.remove(&name) {
                best.tensors.insert(name[BEST.len()..].to_owned(), values);
            }
        }
        self.best = Some(best).filter(|best| !best.tensors.is_empty());
        self.network = self.network.clone().load_weight_file(state).map_err(NnError::from)?;
        self.steps = steps;
        Ok(())
    }
}
