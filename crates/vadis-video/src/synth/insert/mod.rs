//! Anomalies put into footage from elsewhere, with known masks.
//!
//! What is inserted is made of the footage itself where that can be (people sped up, reversed, stopped, lying, cut out
//! by background subtraction), of things cut from other footage ([`Donors`]), or rendered by the synthetic scene, each
//! with its own size, speed and path, edges blended and light adapted to the place.

mod cutout;
mod edit;
mod footage;

use std::collections::VecDeque;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::edit::{Edit, Material};
use self::footage::{Background, Track};
use super::{Kind, PixelBox, SceneFrame, SynthError, within};
use crate::{Frame, Mask};

/// Bytes of frames held at most; a window of large frames is shorter.
const WINDOW_BYTES: usize = 1 << 28;
/// Things kept by [`Donors`] at most.
const DONORS: usize = 32;
/// Share of the frame that an inserted thing must show, 12 pixels of 320 × 192; less is left out.
const LEAST_SHARE: f32 = 2.0e-4;

/// Settings of an [`Inserter`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InsertConfig {
    /// Which anomalies come, when and where.
    pub seed: u64,
    /// The kinds inserted, each as often as the others; none leaves the footage as it is.
    pub kinds: Vec<Kind>,
    /// Share of the frames within an anomaly, 0 to 0.9; about.
    pub fraction: f64,
    /// Shortest length of an anomaly in frames, at least 1.
    pub shortest: usize,
    /// Longest length in frames, up to 100 000.
    pub longest: usize,
    /// Frames a second of the footage, 0.1 to 1000: the pace of rendered people.
    pub fps: f64,
    /// Frames looked at to find the background and who moves, 8 to 512. They are held in memory, so it is less for
    /// frames so large that they would take more than 256 MiB.
    pub window: usize,
}

impl Default for InsertConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            kinds: Kind::ALL.to_vec(),
            fraction: 0.5,
            shortest: 20,
            longest: 70,
            fps: 10.0,
            window: 48,
        }
    }
}

impl InsertConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`SynthError::Setting`] names the first setting outside its range.
    pub fn validate(&self) -> Result<(), SynthError> {
        within("fraction", self.fraction, 0.0, 0.9)?;
        within("shortest", self.shortest, 1, 100_000)?;
        within("longest", self.longest, self.shortest, 100_000)?;
        within("fps", self.fps, 0.1, 1000.0)?;
        within("window", self.window, 8, 512)
    }
}

/// Things cut from other footage, to be found where they do not belong.
#[derive(Debug, Clone, Default)]
pub struct Donors {
    tracks: Vec<Track>,
}

impl Donors {
    /// Cuts what moves out of footage, window by window, until 32 things are found. Looks at `window` frames at a time
    /// (8 to 512; clamped) and keeps no others.
    pub fn from_frames(frames: impl IntoIterator<Item = Frame>, window: usize) -> Self {
        let mut found = Self::default();
        let mut held: VecDeque<Frame> = VecDeque::new();
        let window = window.clamp(8, 512);
        for frame in frames {
            if held.front().is_some_and(|first| !same_shape(first, &frame)) {
                held.clear();
            }
            held.push_back(frame);
            if held.len() >= limit(window, &held) {
                found.cut(&held);
                held.clear();
            }
            if found.tracks.len() >= DONORS {
                return found;
            }
        }
        found.cut(&held);
        found
    }

    fn cut(&mut self, frames: &VecDeque<Frame>) {
        let Some(background) = Background::of(frames) else { return };
        let room = DONORS - self.tracks.len();
        self.tracks.extend(background.tracks(frames).into_iter().take(room));
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }
}

/// Footage with anomalies inserted: an iterator over its frames, as many as went in, changed only where the mask and
/// its immediate surroundings are. See [`insert_anomalies`].
#[derive(Debug)]
pub struct Inserter<I> {
    frames: I,
    config: InsertConfig,
    donors: Donors,
    rng: ChaCha8Rng,
    /// The frame to be given next and those after it.
    ahead: VecDeque<Frame>,
    /// A frame of another shape, where the window ends.
    pending: Option<Frame>,
    round: Vec<Kind>,
    /// Frames before the next anomaly begins.
    wait: usize,
    /// Frames of the slot left after it.
    rest: usize,
    /// Length of the next anomaly.
    length: usize,
    active: Option<Active>,
}

/// The anomaly now shown.
#[derive(Debug)]
struct Active {
    kind: Kind,
    edit: Edit,
    background: Background,
    /// Frames shown so far, and in all.
    shown: usize,
    frames: usize,
}

/// Inserts anomalies into footage that has none. Same footage, same settings: the same frames.
///
/// The frames keep their index and time. The clip should not be shorter than the window; at most the window of frames
/// is held.
///
/// # Errors
/// [`SynthError::Setting`] where a setting is outside its range.
pub fn insert_anomalies<I>(frames: I, config: &InsertConfig) -> Result<Inserter<I::IntoIter>, SynthError>
where
    I: IntoIterator<Item = Frame>,
{
    config.validate()?;
    let mut inserter = Inserter {
        frames: frames.into_iter(),
        config: config.clone(),
        donors: Donors::default(),
        rng: ChaCha8Rng::seed_from_u64(config.seed),
        ahead: VecDeque::new(),
        pending: None,
        round: Vec::new(),
        wait: 0,
        rest: 0,
        length: 0,
        active: None,
    };
    inserter.next_slot();
    Ok(inserter)
}

impl<I> Inserter<I> {
    /// Also uses things cut from other footage.
    #[must_use]
    pub fn with_donors(mut self, donors: Donors) -> Self {
        self.donors = donors;
        self
    }

    /// Frames held at the moment: never more than the window and one.
    pub fn held(&self) -> usize {
        self.ahead.len() + usize::from(self.pending.is_some())
    }

    /// Draws when the next anomaly begins: one in each slot of time, whose length follows from the fraction.
    fn next_slot(&mut self) {
        let c = &self.config;
        self.length = self.rng.random_range(c.shortest..=c.longest);
        if c.kinds.is_empty() || c.fraction <= 0.0 {
            self.wait = usize::MAX;
            return;
        }
        let slack = (self.length as f64 * (1.0 - c.fraction) / c.fraction) as usize;
        self.wait = self.rest + self.rng.random_range(0..=slack);
        self.rest = slack + self.rest - self.wait;
    }

    fn next_kind(&mut self) -> Option<Kind> {
        if self.round.is_empty() {
            self.round.clone_from(&self.config.kinds);
            self.round.shuffle(&mut self.rng);
        }
        self.round.pop()
    }

    /// Begins an anomaly if one is due and the window shows a background.
    fn begin(&mut self) {
        if self.active.is_some() {
            return;
        }
        if self.wait > 0 {
            self.wait = self.wait.saturating_sub(1);
            return;
        }
        let (Some(background), Some(kind)) = (Background::of(&self.ahead), self.next_kind()) else {
            return;
        };
        let own = background.tracks(&self.ahead);
        let material = Material {
            background: &background,
            own: &own,
            donors: &self.donors.tracks,
            fps: self.config.fps as f32,
        };
        let edit = Edit::plan(kind, self.length, &material, &mut self.rng);
        self.active = Some(Active { kind, edit, background, shown: 0, frames: self.length });
    }

    /// The frame with the current anomaly in it.
    fn edit(&mut self, frame: Frame) -> SceneFrame {
        let Some(active) = &mut self.active else { return untouched(frame) };
        let mut changed = frame.clone();
        let mask =
            active.edit.apply(active.shown, active.frames, &mut changed, &active.background, &mut self.rng);
        active.shown += 1;
        let (kind, is_over) = (active.kind, active.shown >= active.frames);
        let least = (LEAST_SHARE * mask.data.len() as f32).ceil() as usize;
        let seen = mask.area() >= least.max(1);
        if is_over {
            self.active = None;
            self.next_slot();
        }
        match bounds(&mask).filter(|_| seen) {
            Some(extent) => SceneFrame { frame: changed, mask, kinds: vec![kind], boxes: vec![extent] },
            None => untouched(frame),
        }
    }
}

impl<I: Iterator<Item = Frame>> Inserter<I> {
    /// Reads ahead as far as the window allows and frames keep their shape.
    fn fill(&mut self) {
        if self.ahead.is_empty() {
            // A new shape: what was planned for the old one does not fit.
            if let Some(frame) = self.pending.take() {
                self.ahead.push_back(frame);
                if self.active.take().is_some() {
                    self.next_slot();
                }
            }
        }
        while self.pending.is_none() && self.ahead.len() < limit(self.config.window, &self.ahead) {
            let Some(frame) = self.frames.next() else { return };
            if self.ahead.front().is_some_and(|first| !same_shape(first, &frame)) {
                self.pending = Some(frame);
            } else {
                self.ahead.push_back(frame);
            }
        }
    }
}

impl<I: Iterator<Item = Frame>> Iterator for Inserter<I> {
    type Item = SceneFrame;

    fn next(&mut self) -> Option<SceneFrame> {
        self.fill();
        self.ahead.front()?;
        // The window is looked at with the frame still in it.
        self.begin();
        let frame = self.ahead.pop_front()?;
        Some(self.edit(frame))
    }
}

fn untouched(frame: Frame) -> SceneFrame {
    let mask = Mask::empty(frame.width, frame.height);
    SceneFrame { frame, mask, kinds: Vec::new(), boxes: Vec::new() }
}

fn same_shape(a: &Frame, b: &Frame) -> bool {
    (a.width, a.height, a.colour) == (b.width, b.height, b.colour)
}

/// Frames that may be held: the window, or fewer where frames are large.
fn limit(window: usize, held: &VecDeque<Frame>) -> usize {
    let bytes = held.front().map_or(1, |f| f.data.len().max(1));
    window.min((WINDOW_BYTES / bytes).max(8))
}

/// The extent of a mask; `None` for an empty one.
fn bounds(mask: &Mask) -> Option<PixelBox> {
    let set = || mask.data.iter().enumerate().filter(|(_, v)| **v != 0).map(|(i, _)| i);
    let (low, high) = (set().map(|i| i % mask.width).min()?, set().map(|i| i % mask.width).max()?);
    let (top, bottom) = (set().next()? / mask.width, set().next_back()? / mask.width);
    Some(PixelBox { x: low, y: top, width: high + 1 - low, height: bottom + 1 - top })
}
