//! What surrounds a training: seed, device, checkpoint, interruption, progress.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use serde::Serialize;
use vadis_video::Mask;

use crate::{FrameStore, SystemError};

/// Wall seconds between checkpoints.
pub(crate) const CHECKPOINT_EVERY_S: f64 = 60.0;

/// How far the work is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done: `training`.
    pub stage: &'static str,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// A few words on how it goes: the losses.
    pub note: String,
}

/// One logged optimiser step: the columns of `training.csv`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogRow {
    /// Steps done, from 1.
    pub step: u64,
    /// Passes over the footage done.
    pub epoch: f64,
    /// Wall seconds since training began, earlier sessions included.
    pub seconds: f64,
    /// Name and value of each term.
    pub terms: Vec<(String, f64)>,
}

/// The surroundings of one training.
pub struct Session<'a> {
    /// Everything random follows from it.
    pub seed: u64,
    /// Where tensors live, without autodiff.
    pub device: Device,
    /// Pixels that must not count, at the input format's size.
    pub ignore: Option<Mask>,
    /// Where the resumable state is written; none is written without.
    pub checkpoint: Option<PathBuf>,
    /// Take up the checkpoint if it is there.
    pub resume: bool,
    /// Set from elsewhere (Ctrl-C) to stop after the current step.
    pub interrupt: &'a AtomicBool,
    /// Called after each step.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Filled by the training: the log, earlier sessions included.
    pub log: Vec<LogRow>,
    /// Filled by the training: what the user should know.
    pub notes: Vec<String>,
}

impl<'a> Session<'a> {
    /// A training from its beginning, without a checkpoint, of which every pixel counts.
    pub fn new(
        seed: u64,
        device: Device,
        interrupt: &'a AtomicBool,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            seed,
            device,
            ignore: None,
            checkpoint: None,
            resume: false,
            interrupt,
            progress,
            log: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// True once the user asked to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}

/// What a checkpoint must agree with: settings, seed, footage, ignored pixels.
pub(crate) fn identity(
    config: &impl Serialize,
    footage: &FrameStore,
    session: &Session<'_>,
) -> Result<String, SystemError> {
    // FNV-1a over a few frames: other footage of the same length is told apart.
    let sample = footage.read(&footage.spread(32))?;
    let hash = sample
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let ignored = session.ignore.as_ref().map_or(0, Mask::area);
    let config = serde_json::to_string(config).unwrap_or_default();
    Ok(format!("{config} seed {} frames {} {hash:016x} ignored {ignored}", session.seed, footage.len()))
}
