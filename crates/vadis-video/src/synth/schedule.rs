//! When what happens: one anomaly in each slot of time, kinds in shuffled rounds.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Kind, SceneConfig};

/// Seconds kept free at the end of a slot, for actors to walk on and off.
const LEAD_S: f64 = 12.0;

/// An anomaly to stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cue {
    pub(super) kind: Kind,
    /// When its actors enter, in seconds.
    pub(super) start_s: f64,
    /// How long it is to be seen, in seconds.
    pub(super) seconds: f64,
}

/// The cues of a recording, in order, without end.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    rng: ChaCha8Rng,
    kinds: Vec<Kind>,
    /// What is left of the current round.
    round: Vec<Kind>,
    fraction: f64,
    /// Factor on the usual durations by which whole rounds fill the recording.
    stretch: f64,
    slot_from: f64,
}

/// Usual seconds in view of each kind.
fn usual(kind: Kind) -> f64 {
    match kind {
        Kind::Vehicle => 8.0,
        Kind::Runner => 4.0,
        Kind::WrongDirection => 9.5,
        Kind::Loitering => 11.0,
        Kind::FallenPerson => 8.0,
        Kind::LeftObject => 9.0,
        Kind::LightOut => 7.0,
    }
}

impl Schedule {
    pub(super) fn new(config: &SceneConfig, seed: u64) -> Self {
        let round: f64 = config.kinds.iter().map(|&k| usual(k)).sum();
        let abnormal = config.frames as f64 / config.fps * config.fraction;
        let rounds = (abnormal / round).round().max(1.0);
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            kinds: config.kinds.clone(),
            round: Vec::new(),
            fraction: config.fraction,
            // A recording too short for a round shows each kind briefly, as far as it gets.
            stretch: (abnormal / (rounds * round)).max(0.25),
            slot_from: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Cue;

    fn next(&mut self) -> Option<Cue> {
        if self.fraction <= 0.0 {
            return None;
        }
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
            self.round.shuffle(&mut self.rng);
        }
        let kind = self.round.pop()?;
        let mean = usual(kind) * self.stretch;
        let slot = mean / self.fraction;
        let seconds = mean * self.rng.random_range(0.85..1.15);
        let slack = (slot - seconds - LEAD_S).max(0.0);
        let start_s = self.slot_from + slack * self.rng.random::<f64>();
        self.slot_from += slot;
        Some(Cue { kind, start_s, seconds })
    }
}
