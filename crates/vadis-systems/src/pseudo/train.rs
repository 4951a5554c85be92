//! Training (Eqs. 4 and 5): the autoencoder of appearance, then that of motion. Both learn to give the normal clip, whether
//! they see it or a pseudo-anomaly made of it.

use tempfile::TempDir;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use super::PseudoConfig;
use super::mask::Masks;
use super::score::{PARTS, PseudoModel, autoencoders};
use super::semantic::Semantic;
use super::sheet;
use super::spatial::{Spatial, inpainting};
use super::temporal::{Flows, Temporal};
use crate::ae3d::network::{Autoencoder, Shape};
use crate::ae3d::train::{AutoencoderLearner, course};
use crate::clip_training::{ClipLearner, Course, Terms, goes_on_with, train_on_clips};
use crate::clips::{Parts, clip_starts};
use crate::examples::Examples;
use crate::frames::{calibration_runs, counts_of, observe_runs};
use crate::model_file::take_part;
use crate::preset::setting;
use crate::session::identity;
use crate::{FrameStore, Session, SystemError};

/// Trains on `footage` as the session says.
pub(super) fn train(
    config: &PseudoConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<PseudoModel, SystemError> {
    let parts = Parts::of(footage.frames(), config.ae3d.holdout, config.ae3d.clip);
    let (format, clip) = (footage.format(), config.ae3d.clip);
    if clip_starts(&parts.train, clip, 1).is_empty() {
        // Masks and exemplars are looked for before the training would say so.
        let got = parts.train.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        return Err(SystemError::TooFewFrames { got, needed: clip, system: super::KEY });
    }
    let counts = counts_of(format, session.ignore.as_ref());
    let identity = format!("{} {}", super::KEY, identity(config, footage, session)?);
    let masks = Masks::new(config, footage, &parts.train)?;
    let inpaint = inpainting(config, footage, &parts.train, &session.device)?;
    let spatial = Spatial { config, footage, counts: &counts, masks: &masks, inpaint: inpaint.as_ref() };
    let (_folder, flows) = flows(config, &counts)?;
    let temporal = Temporal::new(config, (footage, &parts.train), &counts, &masks, &flows)?;
    sheet::show(&spatial, &temporal, &parts.train, clip, session)?;
    let shapes = config.networks(format).map(Shape::Plain);
    let [appearance, motion] = match config.trained.as_str() {
        "" => learn(config, (&spatial, &temporal), &shapes, (&parts, &identity), session)?,
        path => taken(path, &shapes)?,
    };
    let networks = [&appearance, &motion];
    let semantic = Semantic::learn(config, &spatial, &flows, &parts.train, session)?;
    let model = PseudoModel::new(config.clone(), format, networks, counts.clone(), semantic)?;
    let mut model = model.with_flow_cache()?;
    let (runs, kind) = calibration_runs(&parts, clip, config.ae3d.calibration_frames, session);
    let mut seen = observe_runs(&model, footage, &runs, session)?;
    model.set_statistics(seen.statistics(kind));
    // Only now the indicators can be set against one another.
    seen.retell(|indicators| model.told(indicators));
    model.set_statistics(seen.statistics(kind));
    Ok(model)
}

/// Trains both autoencoders, one after the other.
fn learn(
    config: &PseudoConfig,
    (spatial, temporal): (&Spatial<'_>, &Temporal<'_>),
    shapes: &[Shape; 2],
    (parts, identity): (&Parts, &str),
    session: &mut Session<'_>,
) -> Result<[Autoencoder; 2], SystemError> {
    let motion = course(&config.ae3d, format!("motion of {identity}"));
    let taken_up = goes_on_with(&motion.identity, session)?;
    let (appearance, earlier) = if taken_up {
        (shapes[0].init(&session.device, 0)?, Vec::new())
    } else {
        let appearance = course(&config.ae3d, format!("appearance of {identity}"));
        let mut learner =
            AutoencoderLearner::new(super::KEY, shapes[0].clone(), &config.ae3d.start, session)?;
        train_on_clips(&mut learner, spatial, &appearance, parts, session)?;
        // What follows must not look for the first one's checkpoint.
        session.resume = false;
        let state = learner.network.state();
        (shapes[0].init(&session.device, 0)?.with_state(state)?, std::mem::take(&mut session.log))
    };
    let course = Course { earlier, ..motion };
    let motion = AutoencoderLearner::new(super::KEY, shapes[1].clone(), "", session)?;
    let mut learner = MotionLearner { appearance, motion };
    train_on_clips(&mut learner, temporal, &course, parts, session)?;
    Ok([learner.appearance, learner.motion.network])
}

/// Both autoencoders of a trained model.
fn taken(path: &str, shapes: &[Shape; 2]) -> Result<[Autoencoder; 2], SystemError> {
    let wrong = |reason: String| setting("trained", format!("{path}: {reason}"));
    let file = WeightFile::load(path.as_ref()).map_err(|e| wrong(e.to_string()))?;
    autoencoders(&file, shapes).map_err(|e| wrong(e.to_string()))
}

/// Flows, kept in the folder of the settings or in one that lasts as long as the training.
fn flows(config: &PseudoConfig, counts: &[f32]) -> Result<(Option<TempDir>, Flows), SystemError> {
    if !config.flow_cache.is_empty() {
        return Ok((None, Flows::open(&config.flow_cache, counts)?));
    }
    let store = |source| SystemError::Store { folder: std::env::temp_dir(), source };
    let folder = tempfile::tempdir().map_err(store)?;
    let flows = Flows::open(&folder.path().to_string_lossy(), counts)?;
    Ok((Some(folder), flows))
}

/// The autoencoder of motion while it learns; its checkpoints hold that of appearance, which has learnt.
struct MotionLearner {
    appearance: Autoencoder,
    motion: AutoencoderLearner,
}

impl ClipLearner for MotionLearner {
    fn system(&self) -> &'static str {
        super::KEY
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let terms = self.motion.step(examples, rate)?;
        Ok(terms.into_iter().map(|(name, value)| (format!("motion_{name}"), value)).collect())
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        self.motion.look(clips, batch)
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = self.motion.state()?;
        let appearance = self.appearance.state().into_iter();
        appearance.for_each(|tensor| file.insert(tensor.under(PARTS[0])));
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        let named = |(name, (shape, values))| NamedTensor { name, shape, values };
        let mut tensors = std::mem::take(&mut state.tensors).into_iter().map(named).collect();
        let appearance = take_part(&mut tensors, PARTS[0]);
        self.appearance = self.appearance.clone().with_state(appearance)?;
        tensors.into_iter().for_each(|tensor| state.insert(tensor));
        self.motion.restore(state, steps)
    }
}
