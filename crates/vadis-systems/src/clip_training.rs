//! The training loop of clip-based systems: shuffled clips, a schedule, an early look at held-out clips, checkpoints
//! from which it goes on to the same bits.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use vadis_nn::optim::OptimiserState;
use vadis_nn::schedule::{Rates, Schedule, Span};
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use crate::clips::{Parts, Run, clip_starts};
use crate::examples::{ClipSource, Examples, Order, Prefetched};
use crate::model_file::metadata;
use crate::session::CHECKPOINT_EVERY_S;
use crate::{LogRow, Progress, Session, SystemError};

/// Early looks in one training.
const LOOKS: u64 = 40;
/// Steps between two at least.
const LOOK_EVERY: u64 = 10;
/// Held-out clips of an early look, where a learner does not ask for another number.
const LOOK_CLIPS: usize = 6;

/// Name and value of each logged term.
pub(crate) type Terms = Vec<(String, f64)>;

/// How long and how fast a system learns.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// Frames of a clip.
    pub(crate) length: usize,
    /// Frames between the beginnings of training clips.
    pub(crate) stride: usize,
    /// Clips a step.
    pub(crate) batch: usize,
    /// Passes over the clips.
    pub(crate) epochs: usize,
    /// Least steps, however short the footage.
    pub(crate) min_steps: usize,
    /// Most steps, however long the footage; 0 for no limit.
    pub(crate) max_steps: usize,
    /// Full learning rate.
    pub(crate) rate: f64,
    /// How it goes.
    pub(crate) schedule: Schedule,
    /// What a checkpoint must agree with.
    pub(crate) identity: String,
    /// The log of what was learnt before, by another learner of the same training.
    pub(crate) earlier: Vec<LogRow>,
}

/// What learns.
pub(crate) trait ClipLearner {
    /// Its key.
    fn system(&self) -> &'static str;
    /// One optimiser step at `rate` on examples `[batch, channels, length, height, width]`. The first term is the
    /// loss.
    ///
    /// # Errors
    /// If the network does not take the clips.
    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError>;
    /// The loss of clips that are not learnt from.
    ///
    /// # Errors
    /// If the network does not take the clips.
    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError>;
    /// Held-out clips of a look.
    fn look_clips(&self) -> usize {
        LOOK_CLIPS
    }
    /// Looks without a lower loss of the held-out clips after which training stops, with what had the lowest; 0 to
    /// train to the end.
    fn patience(&self) -> u64 {
        0
    }
    /// Keeps what is learnt so far as the best. It belongs to the state.
    ///
    /// # Errors
    /// If the device does not give the weights.
    fn keep_best(&mut self) -> Result<(), SystemError> {
        Ok(())
    }
    /// Goes back to the best that was kept.
    ///
    /// # Errors
    /// If the device does not take the weights.
    fn go_back_to_best(&mut self) -> Result<(), SystemError> {
        Ok(())
    }
    /// All that changes from step to step.
    ///
    /// # Errors
    /// If the device does not give the weights.
    fn state(&self) -> Result<WeightFile, SystemError>;
    /// Takes up a state after `steps` steps.
    ///
    /// # Errors
    /// If it is not one of this learner.
    fn restore(&mut self, state: WeightFile, steps: u64) -> Result<(), SystemError>;
}

/// Puts an optimiser's moments into a state, under these names.
pub(crate) fn put_moments(state: &mut WeightFile, names: [&str; 2], moments: &OptimiserState) {
    for (name, values) in names.into_iter().zip([&moments.first, &moments.second]) {
        state.insert(NamedTensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.clone(),
        });
    }
}

/// Takes the moments of `length` parameters after `steps` steps out of a state.
///
/// # Errors
/// [`SystemError::Model`] if they are not there.
pub(crate) fn take_moments(
    state: &mut WeightFile,
    names: [&str; 2],
    length: usize,
    steps: u64,
) -> Result<OptimiserState, SystemError> {
    let mut moment = |name: &str| match state.tensors.remove(name) {
        Some((_, values)) if values.len() == length => Ok(values),
        _ => Err(SystemError::Model { reason: format!("`{name}` is missing or has another length") }),
    };
    Ok(OptimiserState { steps, first: moment(names[0])?, second: moment(names[1])? })
}

/// A checkpoint's metadata; the arrays lie beside it.
#[derive(Serialize, Deserialize)]
struct Head {
    identity: String,
    step: u64,
    seconds: f64,
    log: Vec<LogRow>,
    #[serde(default)]
    earlier: Vec<LogRow>,
    #[serde(default)]
    best: Option<Best>,
}

/// The look with the lowest loss, where a learner has patience.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Best {
    loss: f64,
    /// Looks since then.
    since: u64,
}

/// Whether the session goes on with a checkpoint of this identity.
///
/// # Errors
/// If there is a file that is no checkpoint.
pub(crate) fn goes_on_with(identity: &str, session: &Session<'_>) -> Result<bool, SystemError> {
    let Some(path) = session.checkpoint.as_ref().filter(|p| session.resume && p.exists()) else {
        return Ok(false);
    };
    let head: Result<Head, _> = serde_json::from_str(metadata(&WeightFile::load(path)?, "checkpoint")?);
    Ok(head.is_ok_and(|head| head.identity == identity))
}

/// Trains `learner` on what `source` makes of the clips of `parts.train`, as the session says, and leaves the log in
/// the session.
pub(crate) fn train_on_clips<L: ClipLearner, S: ClipSource>(
    learner: &mut L,
    source: &S,
    course: &Course,
    parts: &Parts,
    session: &mut Session<'_>,
) -> Result<(), SystemError> {
    let starts = clip_starts(&parts.train, course.length, course.stride);
    if starts.is_empty() {
        // Of all stretches without a gap the longest is too short.
        let (got, needed) = (parts.train.iter().map(Run::len).max().unwrap_or(0), course.length);
        return Err(SystemError::TooFewFrames { got, needed, system: learner.system() });
    }
    let held_out = clip_starts(&parts.held_out, course.length, course.length);
    let held_out = crate::frames::spread(&held_out, learner.look_clips());
    let batch = course.batch.min(starts.len());
    let limits = [course.min_steps, course.max_steps];
    let span = Span::new(starts.len(), course.batch, course.epochs, limits);
    let rates = course.schedule.rates(course.rate, span);
    let earlier = course.earlier.clone();
    let order = Order { starts, batch, span, seed: session.seed };
    let (step, log) = (0, Vec::new());
    let mut training =
        Training { learner, source, course, held_out, order, rates, step, log, earlier, best: None };
    let result = training.run(session);
    session.log = joined(training.earlier, training.log);
    result
}

/// Two logs with the columns of both; what is not learnt keeps its last value, and is 0 before it has one.
fn joined(earlier: Vec<LogRow>, later: Vec<LogRow>) -> Vec<LogRow> {
    let Some(last) = earlier.last().cloned() else { return later };
    let mut terms: Terms = Vec::new();
    for (name, _) in last.terms.iter().chain(later.first().iter().flat_map(|row| &row.terms)) {
        if terms.iter().all(|(known, _)| known != name) {
            terms.push((name.clone(), 0.0));
        }
    }
    let offset = |mut row: LogRow| {
        (row.step, row.epoch, row.seconds) =
            (row.step + last.step, row.epoch + last.epoch, row.seconds + last.seconds);
        row
    };
    let rows = earlier.into_iter().chain(later.into_iter().map(offset));
    rows.map(|row| {
        for (name, value) in row.terms {
            terms.iter_mut().filter(|(known, _)| *known == name).for_each(|term| term.1 = value);
        }
        LogRow { terms: terms.clone(), ..row }
    })
    .collect()
}

struct Training<'a, L, S> {
    learner: &'a mut L,
    source: &'a S,
    course: &'a Course,
    held_out: Vec<usize>,
    order: Order,
    rates: Rates,
    step: u64,
    log: Vec<LogRow>,
    earlier: Vec<LogRow>,
    best: Option<Best>,
}

/// Wall seconds of a training, those of earlier sessions included.
struct Clock {
    earlier_s: f64,
    began: Instant,
    saved: Instant,
}

impl Clock {
    fn seconds(&self) -> f64 {
        self.earlier_s + self.began.elapsed().as_secs_f64()
    }
}

impl<L: ClipLearner, S: ClipSource> Training<'_, L, S> {
    fn run(&mut self, session: &mut Session<'_>) -> Result<(), SystemError> {
        let earlier_s = if session.resume { self.resume(session)? } else { 0.0 };
        let mut clock = Clock { earlier_s, began: Instant::now(), saved: Instant::now() };
        let source = self.source;
        let order = Order { starts: self.order.starts.clone(), ..self.order };
        std::thread::scope(|scope| {
            let mut examples = Prefetched::start(scope, source, &order, self.step);
            while self.step < order.span.steps && !self.is_patience_over() {
                if session.interrupted() {
                    self.save(clock.seconds(), session)?;
                    let checkpoint = session.checkpoint.clone().unwrap_or_default();
                    return Err(SystemError::Interrupted { step: self.step, checkpoint });
                }
                let Some(examples) = examples.next()? else { break };
                let terms = self.one_step(examples)?;
                self.record(terms, clock.seconds(), session);
                if clock.saved.elapsed().as_secs_f64() > CHECKPOINT_EVERY_S {
                    self.save(clock.seconds(), session)?;
                    clock.saved = Instant::now();
                }
            }
            Ok::<_, SystemError>(())
        })?;
        if self.is_patience_over() {
            session
                .notes
                .push(format!("training stopped at step {}: held-out loss no longer fell", self.step));
        }
        match self.best {
            Some(_) => self.learner.go_back_to_best(),
            None => Ok(()),
        }
    }

    fn is_patience_over(&self) -> bool {
        let patience = self.learner.patience();
        patience > 0 && self.best.is_some_and(|best| best.since >= patience)
    }

    /// Keeps what is learnt if the held-out loss was never lower.
    fn compare(&mut self, loss: f64) -> Result<(), SystemError> {
        if self.learner.patience() == 0 {
            return Ok(());
        }
        match &mut self.best {
            Some(best) if loss >= best.loss => best.since += 1,
            best => {
                *best = Some(Best { loss, since: 0 });
                self.learner.keep_best()?;
            }
        }
        Ok(())
    }

    fn one_step(&mut self, examples: Examples) -> Result<Terms, SystemError> {
        let rate = self.rates.rate(self.step);
        let mut terms = self.learner.step(examples, rate)?;
        if terms.iter().any(|(_, value)| !value.is_finite()) {
            return Err(SystemError::Diverged { step: self.step, what: "the loss" });
        }
        self.step += 1;
        terms.push(("rate".to_owned(), rate));
        if let Some(loss) = self.held_out_loss()? {
            terms.push(("held_out".to_owned(), loss));
        }
        Ok(terms)
    }

    /// The loss of held-out clips as it was when they were last looked at; none where none are held out.
    fn held_out_loss(&mut self) -> Result<Option<f64>, SystemError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let steps = self.order.span.steps;
        let every = (steps / LOOKS).max(LOOK_EVERY);
        let before = self.log.last().and_then(|row| row.terms.iter().find(|(name, _)| name == "held_out"));
        match before {
            Some((_, loss)) if !self.step.is_multiple_of(every) && self.step < steps => Ok(Some(*loss)),
            _ => {
                let clips = self.held_out.iter().map(|&start| self.source.clip(start));
                let clips = clips.collect::<Result<Vec<_>, _>>()?.concat();
                let loss = self.learner.look(clips, self.held_out.len())?;
                self.compare(loss)?;
                Ok(Some(loss))
            }
        }
    }

    fn record(&mut self, terms: Terms, seconds: f64, session: &mut Session<'_>) {
        let shown = |wanted: &str| terms.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        let mut note = format!("loss {:.4}", terms[0].1);
        if let Some(loss) = shown("held_out") {
            note += &format!(" · held-out {loss:.4}");
        }
        let epoch = self.step as f64 / self.order.span.steps_per_epoch as f64;
        self.log.push(LogRow { step: self.step, epoch, seconds, terms });
        let total = self.order.span.steps;
        (session.progress)(Progress { stage: "training", done: self.step, total, note });
    }

    fn save(&self, seconds: f64, session: &Session<'_>) -> Result<(), SystemError> {
        let Some(path) = &session.checkpoint else { return Ok(()) };
        let mut file = self.learner.state()?;
        let identity = self.course.identity.clone();
        let (log, earlier) = (self.log.clone(), self.earlier.clone());
        let head = Head { identity, step: self.step, seconds, log, earlier, best: self.best };
        file.metadata.insert("checkpoint".to_owned(), serde_json::to_string(&head).unwrap_or_default());
        Ok(file.save(path)?)
    }

    /// Takes up the session's checkpoint, if there is one. Returns the seconds of the earlier sessions.
    fn resume(&mut self, session: &mut Session<'_>) -> Result<f64, SystemError> {
        let Some(path) = session.checkpoint.clone().filter(|p| p.exists()) else { return Ok(0.0) };
        let refuse = |reason: String| SystemError::Checkpoint { path: path.clone(), reason };
        let file = WeightFile::load(&path)?;
        let head: Head =
            serde_json::from_str(metadata(&file, "checkpoint")?).map_err(|e| refuse(e.to_string()))?;
        if head.identity != self.course.identity {
            return Err(refuse("it was made with other settings, another seed or other footage".to_owned()));
        }
        self.learner.restore(file, head.step).map_err(|e| refuse(e.to_string()))?;
        (self.step, self.log, self.earlier, self.best) = (head.step, head.log, head.earlier, head.best);
        session.notes.push(format!("training was resumed at step {}", self.step));
        Ok(head.seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use vadis_nn::schedule::Decay;
    use vadis_video::{Colour, Frame};

    use super::*;
    use crate::examples::PlainClips;
    use crate::{FrameStoreWriter, InputFormat, cpu_device};

    /// Knows the step that it is at, and the one that it kept; its held-out loss is lowest at step 30.
    struct Stepper {
        patience: u64,
        at: u64,
        kept: u64,
    }

    impl ClipLearner for Stepper {
        fn system(&self) -> &'static str {
            "stepper"
        }

        fn step(&mut self, _examples: Examples, _rate: f64) -> Result<Terms, SystemError> {
            self.at += 1;
            Ok(vec![("loss".to_owned(), 1.0)])
        }

        fn look(&self, _clips: Vec<f32>, _batch: usize) -> Result<f64, SystemError> {
            Ok(self.at.abs_diff(30) as f64)
        }

        fn patience(&self) -> u64 {
            self.patience
        }

        fn keep_best(&mut self) -> Result<(), SystemError> {
            self.kept = self.at;
            Ok(())
        }

        fn go_back_to_best(&mut self) -> Result<(), SystemError> {
            self.at = self.kept;
            Ok(())
        }

        fn state(&self) -> Result<WeightFile, SystemError> {
            Ok(WeightFile::default())
        }

        fn restore(&mut self, _state: WeightFile, _steps: u64) -> Result<(), SystemError> {
            Ok(())
        }
    }

    /// Steps done and the step whose result is kept, of 200.
    fn trained(patience: u64) -> (usize, u64) {
        let format = InputFormat { width: 1, height: 1, colour: Colour::Grey };
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), format, 100).unwrap();
        (0..40).for_each(|index| {
            writer.push(0, &Frame { index, ..Frame::filled(1, 1, Colour::Grey, 7) }).unwrap();
        });
        let footage = writer.finish().unwrap();
        let parts = Parts::of(footage.frames(), 0.2, 3);
        let course = Course {
            length: 3,
            stride: 1,
            batch: 4,
            epochs: 1,
            min_steps: 200,
            max_steps: 200,
            rate: 0.1,
            schedule: Schedule::new(Decay::Constant),
            identity: String::new(),
            earlier: Vec::new(),
        };
        let interrupt = AtomicBool::new(false);
        let mut progress = |_| {};
        let mut session = Session::new(0, cpu_device(), &interrupt, &mut progress);
        let mut learner = Stepper { patience, at: 0, kept: 0 };
        let planes = |frame: &[u8]| frame.iter().map(|&v| f32::from(v)).collect();
        let source = PlainClips { footage: &footage, length: 3, planes };
        train_on_clips(&mut learner, &source, &course, &parts, &mut session).unwrap();
        assert_eq!(session.notes.len(), usize::from(patience > 0));
        (session.log.len(), learner.at)
    }

    #[test]
    fn training_stops_after_looks_without_a_lower_loss_and_goes_back() {
        // Looks come after the first step and each tenth: the third after that of step 30 is that of step 60.
        assert_eq!(trained(3), (60, 30));
        assert_eq!(trained(0), (200, 200));
    }

    #[test]
    fn logs_of_two_learners_have_the_columns_of_both() {
        let row = |step: u64, terms: &[(&str, f64)]| LogRow {
            step,
            epoch: step as f64,
            seconds: 2.0 * step as f64,
            terms: terms.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let got = joined(
            vec![row(1, &[("loss", 3.0), ("a", 1.0)]), row(2, &[("loss", 2.0), ("a", 0.5)])],
            vec![row(1, &[("loss", 9.0), ("b", 4.0)])],
        );
        let wanted = [
            row(1, &[("loss", 3.0), ("a", 1.0), ("b", 0.0)]),
            row(2, &[("loss", 2.0), ("a", 0.5), ("b", 0.0)]),
            row(3, &[("loss", 9.0), ("a", 0.5), ("b", 4.0)]),
        ];
        assert_eq!(got, wanted);
        assert_eq!(joined(Vec::new(), vec![row(1, &[("b", 1.0)])]), [row(1, &[("b", 1.0)])]);
    }
}
