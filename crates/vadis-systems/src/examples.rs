//! What a step of a training learns from: clips, or what a system makes of them, prepared on threads beside the
//! training.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_nn::schedule::Span;

use crate::clips::{read_clip, shuffled};
use crate::{FrameStore, SystemError};

/// Threads that prepare examples.
const WORKERS: u64 = 2;
/// Steps that each of them is ahead at most, beside the one in the making.
const AHEAD: usize = 1;
/// Random streams below this belong to the order of the clips.
const FIRST_STREAM: u64 = 1 << 40;

/// What is learnt from one clip.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// What the network sees.
    pub(crate) input: Vec<f32>,
    /// What it is to give; none for the input itself.
    pub(crate) target: Option<Vec<f32>>,
    /// Factor on its loss: 1, or −1 for what is not to be given.
    pub(crate) sign: f32,
}

impl Example {
    /// A clip that is to be rebuilt.
    pub(crate) fn plain(clip: Vec<f32>) -> Self {
        Self { input: clip, target: None, sign: 1.0 }
    }

    /// Something else than the clip, of which the clip is to be made.
    pub(crate) fn undo(input: Vec<f32>, clip: Vec<f32>) -> Self {
        Self { input, target: Some(clip), sign: 1.0 }
    }
}

/// The examples of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Examples {
    /// How many.
    pub(crate) batch: usize,
    /// Inputs, one after another.
    pub(crate) input: Vec<f32>,
    /// Targets, one after another; none where all are the inputs.
    pub(crate) target: Option<Vec<f32>>,
    /// A factor on the loss of each.
    pub(crate) signs: Vec<f32>,
}

impl Examples {
    fn of(examples: Vec<Example>) -> Self {
        let signs = examples.iter().map(|example| example.sign).collect();
        let any = examples.iter().any(|example| example.target.is_some());
        let target = any.then(|| {
            let values = |e: &Example| e.target.clone().unwrap_or_else(|| e.input.clone());
            examples.iter().flat_map(values).collect()
        });
        let batch = examples.len();
        Self { batch, input: examples.into_iter().flat_map(|e| e.input).collect(), target, signs }
    }
}

/// Where the examples of a training come from; it is asked by several threads.
pub(crate) trait ClipSource: Sync {
    /// The clip that begins at place `start`, as it is: `[channels, length, height, width]`.
    ///
    /// # Errors
    /// If the footage cannot be read.
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError>;

    /// What is learnt from that clip; all that is random is drawn from `rng`.
    ///
    /// # Errors
    /// As [`ClipSource::clip`].
    fn example(&self, start: usize, _rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
        self.clip(start).map(Example::plain)
    }
}

/// The clips of the footage themselves.
pub(crate) struct PlainClips<'a, P> {
    /// Where they are read.
    pub(crate) footage: &'a FrameStore,
    /// Frames of a clip.
    pub(crate) length: usize,
    /// A frame as `[channels, height, width]` for the network.
    pub(crate) planes: P,
}

impl<P: Fn(&[u8]) -> Vec<f32> + Sync> ClipSource for PlainClips<'_, P> {
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
        let places: Vec<usize> = (start..start + self.length).collect();
        read_clip(self.footage, &places, &self.planes)
    }
}

/// Which clips each step has.
#[derive(Debug)]
pub(crate) struct Order {
    /// First places of all clips.
    pub(crate) starts: Vec<usize>,
    /// Clips a step.
    pub(crate) batch: usize,
    /// How long it goes.
    pub(crate) span: Span,
    /// Everything random follows from it.
    pub(crate) seed: u64,
}

impl Order {
    /// The examples of the steps `from`, `from + every`, …, as the consumer takes them.
    fn produce(
        &self,
        source: &impl ClipSource,
        (from, every): (u64, u64),
        send: &SyncSender<Result<Examples, SystemError>>,
    ) {
        let mut order = (u64::MAX, Vec::new());
        for step in (from..self.span.steps).step_by(every as usize) {
            let epoch = step / self.span.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, shuffled(&self.starts, self.seed, epoch));
            }
            let at = (step % self.span.steps_per_epoch) as usize * self.batch;
            let made = self.examples(source, &order.1[at..at + self.batch], step);
            let stop = made.is_err();
            if send.send(made).is_err() || stop {
                return;
            }
        }
    }

    fn examples(
        &self,
        source: &impl ClipSource,
        starts: &[usize],
        step: u64,
    ) -> Result<Examples, SystemError> {
        let made = starts.iter().zip(step * self.batch as u64..).map(|(&start, number)| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(FIRST_STREAM + number);
            source.example(start, &mut rng)
        });
        Ok(Examples::of(made.collect::<Result<_, _>>()?))
    }
}

/// Examples step by step, prepared ahead by a bounded number of threads. They are the same however many those are.
pub(crate) struct Prefetched {
    workers: Vec<Receiver<Result<Examples, SystemError>>>,
    step: u64,
}

impl Prefetched {
    /// The examples from step `step` on.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        source: &'env impl ClipSource,
        order: &'env Order,
        step: u64,
    ) -> Self {
        let worker = |number| {
            let (send, receive) = sync_channel(AHEAD);
            scope.spawn(move || order.produce(source, (step + number, WORKERS), &send));
            receive
        };
        Self { workers: (0..WORKERS).map(worker).collect(), step: 0 }
    }

    /// The next step's; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Examples>, SystemError> {
        let worker = (self.step % WORKERS) as usize;
        self.step += 1;
        self.workers[worker].recv().ok().transpose()
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// Gives each clip's place, and a random number now and then.
    struct Places;

    impl ClipSource for Places {
        fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
            Ok(vec![start as f32])
        }

        fn example(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
            let clip = self.clip(start)?;
            Ok(match rng.random_bool(0.5) {
                true => Example { sign: -1.0, ..Example::undo(vec![rng.random()], clip) },
                false => Example::plain(clip),
            })
        }
    }

    fn taken(from: u64) -> Vec<Examples> {
        let span = Span { steps: 11, steps_per_epoch: 3 };
        let order = Order { starts: (0..7).collect(), batch: 2, span, seed: 5 };
        std::thread::scope(|scope| {
            let mut examples = Prefetched::start(scope, &Places, &order, from);
            std::iter::from_fn(|| examples.next().unwrap()).collect()
        })
    }

    #[test]
    fn examples_come_in_order_and_are_the_same_from_any_step_on() {
        let whole = taken(0);
        assert_eq!(whole.len(), 11);
        assert_eq!(taken(4), whole[4..]);
        let seen: Vec<&Examples> = whole.iter().collect();
        assert!(seen.iter().any(|e| e.signs.contains(&-1.0)) && seen.iter().any(|e| e.signs.contains(&1.0)));
        for examples in seen {
            let Some(target) = &examples.target else { continue };
            for ((target, input), sign) in target.iter().zip(&examples.input).zip(&examples.signs) {
                assert!(*sign < 0.0 || target == input, "a plain clip is its own target");
                assert!(target.fract() == 0.0, "targets are the clips");
            }
        }
    }

    #[test]
    fn a_consumer_that_leaves_ends_the_threads() {
        let order = Order {
            starts: (0..7).collect(),
            batch: 2,
            span: Span { steps: 1 << 40, steps_per_epoch: 3 },
            seed: 5,
        };
        std::thread::scope(|scope| {
            let mut examples = Prefetched::start(scope, &Places, &order, 0);
            assert!(examples.next().unwrap().is_some());
        });
    }
}
