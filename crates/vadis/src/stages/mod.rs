//! The stages of a run, in the order they happen.

mod decide;
mod gather;
mod illustrate;
mod replay;
mod score;
mod sources;

pub use decide::{Calibration, Decided, DecisionOptions, FrameNotes, calibrate, decide};
pub use gather::{Gathered, Thinning, gather};
pub use illustrate::illustrate;
pub use replay::{Replay, observe};
pub use score::{ScoreOptions, ScoredRun, Scorers, score, score_by};
pub use sources::{Opened, open_sources, probe_sources};

use std::sync::atomic::AtomicBool;

use vadis_video::ReadOptions;

/// What every stage needs to know of how the command was called.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// How sources are read.
    pub read: ReadOptions,
    /// No progress on stderr.
    pub quiet: bool,
    /// Set when the user wants to stop.
    pub interrupt: &'a AtomicBool,
}

impl Surroundings<'_> {
    fn interrupted(&self) -> bool {
        self.interrupt.load(std::sync::atomic::Ordering::Relaxed)
    }
}
