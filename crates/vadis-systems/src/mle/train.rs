//! Training: mean squared error of the reconstruction + λ · order-2 Rényi entropy of the batch's latents.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use vadis_nn::loss::{RenyiEntropy, mse};
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::schedule::Span;
use vadis_nn::segment::{Segment, with_values};
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::MleConfig;
use super::network::Autoencoder;
use super::quality::QualityReference;
use super::score::MleModel;
use crate::clips::shuffled;
use crate::frames::{CALIBRATION_FRAMES, background, calibrate, counts_of, spread, to_unit};
use crate::model_file::metadata;
use crate::session::{CHECKPOINT_EVERY_S, identity};
use crate::{FrameStore, LogRow, Progress, Session, SystemError};

/// Fewer frames than this tell nothing of what is usual.
const MIN_FRAMES: usize = 16;
/// Less explained variance than this at the end: the output hardly depends on the input any more.
const COLLAPSE_EXPLAINED: f64 = 0.05;

/// Trains on `footage` as the session says.
pub(super) fn train(
    config: &MleConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<MleModel, SystemError> {
    let (places, held_out) = split(footage, config.holdout);
    if places.len() < MIN_FRAMES {
        return Err(SystemError::TooFewFrames { got: places.len(), needed: MIN_FRAMES, system: "mle" });
    }
    let counts = counts_of(footage.format(), session.ignore.as_ref());
    let background = background(footage, &places, &counts)?;
    let mut trainer = Trainer::start(config, footage, places.len(), session)?;
    trainer.run(footage, &places, &counts, session)?;
    session.log.clone_from(&trainer.log);
    let calibration = if held_out.is_empty() { &places } else { &held_out };
    let label = if held_out.is_empty() { "training" } else { "held-out" };
    finish(config, footage, &trainer.network, (calibration, label), (background, counts), session)
}

/// Places to train on, and the last `holdout` of each source.
fn split(footage: &FrameStore, holdout: f64) -> (Vec<usize>, Vec<usize>) {
    let mut train = Vec::with_capacity(footage.len());
    let mut held = Vec::new();
    let mut start = 0;
    for clip in footage.frames().chunk_by(|a, b| a.clip == b.clip) {
        let kept = clip.len() - (clip.len() as f64 * holdout) as usize;
        train.extend(start..start + kept);
        held.extend(start + kept..start + clip.len());
        start += clip.len();
    }
    (train, held)
}

/// Everything that changes from step to step, and all that a checkpoint holds.
struct Trainer<'a> {
    config: &'a MleConfig,
    network: Autoencoder,
    entropy: RenyiEntropy,
    moments: [OptimiserState; 2],
    step: u64,
    span: Span,
    log: Vec<LogRow>,
    earlier_s: f64,
    identity: String,
}

/// A checkpoint's metadata; the arrays lie beside it.
#[derive(Serialize, Deserialize)]
struct CheckpointHead {
    identity: String,
    step: u64,
    sigma2: Option<f32>,
    seconds: f64,
    log: Vec<LogRow>,
}

impl<'a> Trainer<'a> {
    fn start(
        config: &'a MleConfig,
        footage: &FrameStore,
        frames: usize,
        session: &mut Session<'_>,
    ) -> Result<Self, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let device = session.device.clone().autodiff();
        let network = Autoencoder::new(config, footage.format(), &device, &mut rng)?;
        let moments = [&network.encoder, &network.decoder].map(|s| Adam::state(s.plan().parameter_count()));
        let mut trainer = Self {
            config,
            network,
            entropy: RenyiEntropy::new(config.bandwidth),
            moments,
            step: 0,
            span: Span::new(frames, config.batch, config.epochs, [config.min_steps, config.max_steps]),
            log: Vec::new(),
            earlier_s: 0.0,
            identity: identity(config, footage, session)?,
        };
        if session.resume {
            trainer.resume(session)?;
        }
        Ok(trainer)
    }

    fn run(
        &mut self,
        footage: &FrameStore,
        places: &[usize],
        counts: &[f32],
        session: &mut Session<'_>,
    ) -> Result<(), SystemError> {
        let began = Instant::now();
        let mut saved = Instant::now();
        let mut order = (u64::MAX, Vec::new());
        while self.step < self.span.steps {
            if session.interrupted() {
                return Err(self.interrupt(began, session)?);
            }
            let epoch = self.step / self.span.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, shuffled(places, session.seed, epoch));
            }
            let batch = self.config.batch.min(places.len());
            let from = (self.step % self.span.steps_per_epoch) as usize * batch;
            let frames = footage.read(&order.1[from..from + batch])?;
            let terms = self.step(&to_unit(&frames, footage.format(), counts), batch)?;
            self.record(terms, self.earlier_s + began.elapsed().as_secs_f64(), session);
            if saved.elapsed().as_secs_f64() > CHECKPOINT_EVERY_S {
                self.save(self.earlier_s + began.elapsed().as_secs_f64(), session)?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    fn interrupt(&self, began: Instant, session: &Session<'_>) -> Result<SystemError, SystemError> {
        self.save(self.earlier_s + began.elapsed().as_secs_f64(), session)?;
        let checkpoint = session.checkpoint.clone().unwrap_or_default();
        Ok(SystemError::Interrupted { step: self.step, checkpoint })
    }

    /// One optimiser step on `batch` frames.
    fn step(&mut self, frames: &[f32], batch: usize) -> Result<Vec<(String, f64)>, SystemError> {
        let [c, h, w] = self.network.encoder.plan().input();
        let device = self.network.encoder.weight.val().device();
        let x = Tensor::<4>::from_data(TensorData::new(frames.to_vec(), [batch, c, h, w]), &device);
        let (z, y) = self.network.forward(x.clone());
        let reconstruction = mse(y, x)?;
        let entropy = self.entropy.forward(z).map_err(|e| self.diverged(e, "the latents"))?;
        let ramp = ((self.step + 1) as f64 / self.config.ramp_steps.max(1) as f64).min(1.0);
        let weight = self.config.entropy_weight * ramp;
        let loss = reconstruction.clone() + entropy.loss.clone().mul_scalar(weight);
        let terms = [scalar(&loss)?, scalar(&reconstruction)?, scalar(&entropy.loss)?];
        if !terms[0].is_finite() {
            return Err(SystemError::Diverged { step: self.step, what: "the loss" });
        }
        let gradients = loss.backward();
        for (segment, state) in
            [&mut self.network.encoder, &mut self.network.decoder].into_iter().zip(&mut self.moments)
        {
            let gradient = gradient_of(&segment.weight, &gradients)?;
            Optimiser::default().step(state, &mut segment.weight, &gradient, Step::of(self.config.rate))?;
        }
        self.step += 1;
        let values = [
            ("loss", terms[0]),
            ("reconstruction", terms[1]),
            ("entropy", terms[2]),
            ("entropy_weight", weight),
            ("mean_distance2", f64::from(entropy.mean_distance2)),
            ("sigma2", f64::from(entropy.sigma2)),
        ];
        Ok(values.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    fn diverged(&self, error: NnError, what: &'static str) -> SystemError {
        match error {
            NnError::NotFinite { .. } => SystemError::Diverged { step: self.step, what },
            other => other.into(),
        }
    }

    fn record(&mut self, terms: Vec<(String, f64)>, seconds: f64, session: &mut Session<'_>) {
        let note = format!("mse {:.5} · entropy {:.2}", terms[1].1, terms[2].1);
        let epoch = self.step as f64 / self.span.steps_per_epoch as f64;
        self.log.push(LogRow { step: self.step, epoch, seconds, terms });
        (session.progress)(Progress { stage: "training", done: self.step, total: self.span.steps, note });
    }

    fn save(&self, seconds: f64, session: &Session<'_>) -> Result<(), SystemError> {
        let Some(path) = &session.checkpoint else { return Ok(()) };
        let mut file = WeightFile::default();
        for (name, segment, state) in self.parts() {
            let values = tensor_values(segment.weight.val())?;
            for (suffix, values) in [("weight", &values), ("first", &state.first), ("second", &state.second)]
            {
                file.tensors.insert(format!("{name}.{suffix}"), (vec![values.len()], values.clone()));
            }
        }
        let head = CheckpointHead {
            identity: self.identity.clone(),
            step: self.step,
            sigma2: self.entropy.running_sigma2(),
            seconds,
            log: self.log.clone(),
        };
        file.metadata.insert("checkpoint".to_owned(), serde_json::to_string(&head).unwrap_or_default());
        Ok(file.save(path)?)
    }

    fn parts(&self) -> [(&'static str, &Segment, &OptimiserState); 2] {
        [
            ("encoder", &self.network.encoder, &self.moments[0]),
            ("decoder", &self.network.decoder, &self.moments[1]),
        ]
    }

    /// Takes up the session's checkpoint, if there is one.
    fn resume(&mut self, session: &mut Session<'_>) -> Result<(), SystemError> {
        let Some(path) = session.checkpoint.clone().filter(|p| p.exists()) else { return Ok(()) };
        let refuse = |reason: &str| SystemError::Checkpoint { path: path.clone(), reason: reason.to_owned() };
        let file = WeightFile::load(&path)?;
        let head: CheckpointHead =
            serde_json::from_str(metadata(&file, "checkpoint")?).map_err(|e| refuse(&e.to_string()))?;
        if head.identity != self.identity {
            return Err(refuse("it was made with other settings, another seed or other footage"));
        }
        let parts = [("encoder", &mut self.network.encoder), ("decoder", &mut self.network.decoder)];
        for ((name, segment), state) in parts.into_iter().zip(&mut self.moments) {
            let part = |suffix: &str| file.values(&format!("{name}.{suffix}")).map(<[f32]>::to_vec);
            let (weight, first, second) = (part("weight")?, part("first")?, part("second")?);
            if [&weight, &first, &second].iter().any(|v| v.len() != state.first.len()) {
                return Err(refuse("its arrays have other lengths"));
            }
            segment.weight = with_values(segment.weight.clone(), weight);
            *state = OptimiserState { steps: head.step, first, second };
        }
        self.entropy.resume(head.sigma2);
        (self.step, self.earlier_s, self.log) = (head.step, head.seconds, head.log);
        session.notes.push(format!("training was resumed at step {}", self.step));
        Ok(())
    }
}

fn scalar(tensor: &Tensor<1>) -> Result<f64, NnError> {
    let value: Result<f32, _> = tensor.clone().detach().try_into_scalar();
    value.map(f64::from).map_err(|e| NnError::Tensor(e.to_string()))
}

/// The finished model: what is usual, and how its columns lie, on the calibration footage.
fn finish(
    config: &MleConfig,
    footage: &FrameStore,
    network: &Autoencoder,
    (places, footage_kind): (&[usize], &str),
    (background, counts): (Vec<f32>, Vec<f32>),
    session: &mut Session<'_>,
) -> Result<MleModel, SystemError> {
    let format = footage.format();
    let reference = QualityReference {
        shape: [format.colour.channels(), format.height, format.width],
        background,
        usual_error: vec![0.0; format.width * format.height],
        counts,
        variance: 0.0,
        patch: config.patch,
    };
    let mut model = MleModel::new(config.clone(), format, network, reference)?;
    let explained = model.learn_usual_error(footage, &spread(places, CALIBRATION_FRAMES))?;
    let statistics = calibrate(&model, footage, places, footage_kind, session)?;
    model.set_statistics(statistics);
    if explained < COLLAPSE_EXPLAINED {
        session.notes.push(format!(
            "the latents have collapsed: the network explains {:.1} % of the frames' variance about their \
             background; lower `entropy_weight` or train longer",
            100.0 * explained.max(0.0)
        ));
    }
    Ok(model)
}
