//! A synthetic surveillance scene, and anomalies inserted into real footage.
//!
//! [`Scene`] films a pedestrian street with a fixed camera: people in both directions, each on their promenade, some
//! across the forecourt, in waves; sun, clouds and lamps; a tree in the wind; a lens, automatic exposure, shake and
//! sensor noise. Now and then something happens that does not belong ([`Kind`]), and for every frame it is known
//! where. [`write_scene`] writes it as video, labels and masks. [`Inserter`] puts anomalies with known masks into
//! footage from elsewhere: the validation set by which settings are chosen without test labels.
//!
//! Everything is a function of the seed, is made frame by frame, and needs the same memory however long it runs.

mod camera;
mod canvas;
mod difficulty;
mod figure;
mod insert;
mod noise;
mod props;
mod scene;
mod schedule;
mod sensor;
mod street;
mod traffic;
mod write;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Colour, Frame, Mask, VideoError};

pub use difficulty::{Difficulty, TrivialAuc, difficulty};
pub use insert::{Donors, InsertConfig, Inserter, insert_anomalies};
pub use scene::Scene;
pub use write::{KindSpan, SceneFiles, write_scene, write_scene_with};

/// Smallest and greatest side of a frame in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 32..=2048;

/// What can happen that does not belong in the street.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A car or van drives, and perhaps halts, where only people walk.
    Vehicle,
    /// Someone runs.
    Runner,
    /// Someone walks against the direction of a promenade.
    WrongDirection,
    /// Someone hangs about on the forecourt.
    Loitering,
    /// Someone falls and lies on the ground.
    FallenPerson,
    /// A large case or carton stands alone.
    LeftObject,
    /// A bank of lamps fails and its part of the street gets dark.
    LightOut,
}

impl Kind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Vehicle,
        Self::Runner,
        Self::WrongDirection,
        Self::Loitering,
        Self::FallenPerson,
        Self::LeftObject,
        Self::LightOut,
    ];

    /// Its name in files: `vehicle`, `wrong_direction` …
    pub fn name(self) -> &'static str {
        match self {
            Self::Vehicle => "vehicle",
            Self::Runner => "runner",
            Self::WrongDirection => "wrong_direction",
            Self::Loitering => "loitering",
            Self::FallenPerson => "fallen_person",
            Self::LeftObject => "left_object",
            Self::LightOut => "light_out",
        }
    }

    /// Whether one frame is enough to see it; the others are only in the motion.
    pub fn shows_in_one_frame(self) -> bool {
        matches!(self, Self::Vehicle | Self::FallenPerson | Self::LeftObject | Self::LightOut)
    }

    /// The mark it leaves on the canvas: 1 to 7.
    fn owner(self) -> u8 {
        self as u8 + 1
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings of a [`Scene`]. The default is twenty minutes at 6 frames a second, about an eighth of it abnormal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneConfig {
    /// Which street: shop fronts, tree, lamps, light, point of view.
    pub seed: u64,
    /// Which recording of that street: who walks, what happens, the weather.
    pub take: u64,
    /// Pixels a row, 32 to 2048.
    pub width: usize,
    /// Rows, 32 to 2048.
    pub height: usize,
    /// Frames a second, 0.5 to 120.
    pub fps: f64,
    /// Frames in all.
    pub frames: u64,
    /// What a pixel holds.
    pub colour: Colour,
    /// Mean number of people in view, 0 to 60.
    pub density: f32,
    /// Share of the time in which something abnormal is in view, 0 to 0.6; about, since passers-by take the time
    /// they take.
    pub fraction: f64,
    /// The kinds that happen, each as often as the others; none for a normal street.
    pub kinds: Vec<Kind>,
    /// Standard deviation of the sensor noise in grey levels at mid grey, 0 to 50.
    pub noise: f32,
    /// Standard deviation of the camera's shake in pixels of a frame 320 wide, 0 to 1.
    pub jitter: f32,
    /// Slow change of the light over minutes, 0 (none) to 1 (strong).
    pub drift: f32,
    /// How much of the sun passing clouds take, 0 to 1.
    pub clouds: f32,
    /// How far the tree sways, 0 to 1.
    pub wind: f32,
    /// How much of a change of light the automatic exposure makes up for, 0 to 1.
    pub exposure: f32,
    /// Share of light that the lens loses in the corners, 0 to 0.8.
    pub vignette: f32,
    /// Passes each frame through JPEG of this quality, 1 to 100, as a cheap camera does.
    pub jpeg: Option<u8>,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            take: 0,
            width: 320,
            height: 192,
            fps: 6.0,
            frames: 7200,
            colour: Colour::Rgb,
            density: 7.5,
            fraction: 0.13,
            kinds: Kind::ALL.to_vec(),
            noise: 2.5,
            jitter: 0.25,
            drift: 0.6,
            clouds: 0.8,
            wind: 0.5,
            exposure: 0.5,
            vignette: 0.25,
            jpeg: None,
        }
    }
}

/// The same street with nothing abnormal, on another day: training data for `config`.
pub fn normal(config: &SceneConfig) -> SceneConfig {
    SceneConfig { kinds: Vec::new(), take: config.take.wrapping_add(1), ..config.clone() }
}

/// A frame with what is abnormal in it.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneFrame {
    /// The picture.
    pub frame: Frame,
    /// Where something abnormal is seen; empty in a normal frame.
    pub mask: Mask,
    /// The kinds seen, in the order of [`Kind::ALL`]; empty exactly where the mask is.
    pub kinds: Vec<Kind>,
    /// The extent of each kind of `kinds` in the mask.
    pub boxes: Vec<PixelBox>,
}

impl SceneFrame {
    /// 1 where something abnormal is seen, else 0.
    pub fn label(&self) -> u8 {
        u8::from(!self.kinds.is_empty())
    }
}

/// An upright rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelBox {
    /// Left edge.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl PixelBox {
    /// The smallest rectangle that holds both.
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// What can go wrong with the synthetic scene.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A setting outside its range.
    #[error("the scene's {setting} is {value}, outside {range}")]
    Setting {
        /// Name of the field.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: String,
    },
    /// A file of a scene is there already; none is overwritten.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The video could not be written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A file or folder could not be written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `write`, `make` …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SynthError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    fn csv(path: &Path, source: csv::Error) -> Self {
        Self::io("write", path, source.into())
    }
}

impl SceneConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`SynthError::Setting`] names the first setting outside its range.
    pub fn validate(&self) -> Result<(), SynthError> {
        within("width", self.width, *SIDES.start(), *SIDES.end())?;
        within("height", self.height, *SIDES.start(), *SIDES.end())?;
        within("fps", self.fps, 0.5, 120.0)?;
        within("density", self.density, 0.0, 60.0)?;
        within("fraction", self.fraction, 0.0, 0.6)?;
        within("noise", self.noise, 0.0, 50.0)?;
        let shares = [
            ("jitter", self.jitter, 1.0),
            ("drift", self.drift, 1.0),
            ("clouds", self.clouds, 1.0),
            ("wind", self.wind, 1.0),
            ("exposure", self.exposure, 1.0),
            ("vignette", self.vignette, 0.8),
        ];
        shares.into_iter().try_for_each(|(name, value, high)| within(name, value, 0.0, high))?;
        self.jpeg.map_or(Ok(()), |quality| within("jpeg", quality, 1, 100))
    }
}

/// `Ok` where `low <= value <= high`; NaN is not.
fn within<T: Copy + PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), SynthError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(SynthError::Setting { setting, value: value.to_string(), range: format!("{low} to {high}") })
}
