//! Camera health: a dark, frozen, moved or blurred picture is trouble with the camera, not an anomaly of the scene.
//!
//! Streaming, in constant memory, on a grey picture of at most 320 pixels a row. What is normal is learnt while
//! all is well; the thresholds of [`HealthConfig`] are relative to it where they can be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Frame;

/// Longest side of the picture that is looked at.
const LONGEST_SIDE: usize = 320;
/// Cells along the longer side in which stillness is judged.
const CELLS: usize = 32;
/// Distance in pixels of the coarse gradient; the fine one is 1.
const COARSE: usize = 4;
/// The longest time between two frames that counts as time in which something held.
const LONGEST_STEP_S: f64 = 1.0;

/// What is wrong with the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trouble {
    /// No picture: the lens covered, no light at all, no signal.
    Dark,
    /// The same picture for long.
    Frozen,
    /// The whole picture changed its structure and keeps the new one.
    Moved,
    /// Fine detail is gone, coarse structure is not.
    Blurred,
}

impl Trouble {
    /// `dark`, `frozen`, `moved` or `blurred`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Frozen => "frozen",
            Self::Moved => "moved",
            Self::Blurred => "blurred",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When something is trouble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthConfig {
    /// Dark: the 5 % and 95 % quantiles of the grey values are nearer than this, in levels of 255. The quantiles leave out
    /// a caption that is burnt in …
    pub dark_range: f64,
    /// … for this many seconds: a camera that changes over to infrared is blind for a few.
    pub dark_s: f64,
    /// Frozen: no 1/32 of the picture's mean changes by more than this many levels from one frame to the next …
    pub frozen_levels: f64,
    /// … for this many seconds, or three times the longest such time seen so far, if that is more: some cameras repeat frames
    /// and some encoders drop noise by nature.
    pub frozen_s: f64,
    /// Moved: the correlation of the edges of the last seconds with those of the background falls below this share of its
    /// usual value …
    pub moved_share: f64,
    /// … for this many seconds.
    pub moved_s: f64,
    /// Blurred: the energy of fine gradients against coarse ones falls below this share of its usual value …
    pub blurred_share: f64,
    /// … for this many seconds.
    pub blurred_s: f64,
    /// Seconds of a persistent new picture after which it is the normal one.
    pub adopt_s: f64,
    /// Seconds over which the recent picture is averaged.
    pub recent_s: f64,
    /// Seconds over which the normal one is; nothing relative to it is reported before a sixth of them.
    pub normal_s: f64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            dark_range: 16.0,
            dark_s: 10.0,
            frozen_levels: 0.75,
            frozen_s: 20.0,
            moved_share: 0.4,
            moved_s: 4.0,
            blurred_share: 0.45,
            blurred_s: 3.0,
            adopt_s: 30.0,
            recent_s: 1.5,
            normal_s: 60.0,
        }
    }
}

/// Watches one video, frame by frame.
#[derive(Debug, Clone)]
pub struct HealthMonitor {
    config: HealthConfig,
    state: Option<State>,
}

/// All that is remembered.
#[derive(Debug, Clone)]
struct State {
    /// Size of the frames it belongs to.
    source: (usize, usize),
    time_s: f64,
    /// Seconds of good pictures seen.
    learnt_s: f64,
    /// The last seconds' mean picture.
    recent: Picture,
    /// Cell means of the frame before.
    cells: Vec<f32>,
    /// Edges of the normal picture, slowly averaged.
    background: Vec<f32>,
    /// Usual correlation of recent edges with the background, and usual sharpness.
    usual_likeness: f64,
    usual_sharpness: f64,
    /// How long each has held, in seconds.
    dark_s: f64,
    still_s: f64,
    longest_still_s: f64,
    moved_s: f64,
    blurred_s: f64,
}

/// Grey values, rows top to bottom.
#[derive(Debug, Clone, PartialEq)]
struct Picture {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl HealthMonitor {
    /// At the start of a video.
    pub fn new(config: HealthConfig) -> Self {
        Self { config, state: None }
    }

    /// Looks at the next frame. Trouble is told from the frame on in which it has held for long enough.
    pub fn push(&mut self, frame: &Frame) -> Option<Trouble> {
        let size = (frame.width, frame.height);
        if size.0 == 0 || size.1 == 0 {
            return None;
        }
        let picture = shrink(frame);
        match &mut self.state {
            Some(state) if state.source == size => state.push(&self.config, frame.time_s, &picture),
            state => {
                *state = Some(State::new(size, frame.time_s, picture));
                None
            }
        }
    }
}

impl State {
    fn new(source: (usize, usize), time_s: f64, picture: Picture) -> Self {
        Self {
            source,
            time_s,
            learnt_s: 0.0,
            cells: cell_means(&picture),
            background: edges(&picture),
            usual_likeness: 1.0,
            usual_sharpness: sharpness(&picture),
            recent: picture,
            dark_s: 0.0,
            still_s: 0.0,
            longest_still_s: 0.0,
            moved_s: 0.0,
            blurred_s: 0.0,
        }
    }

    fn push(&mut self, config: &HealthConfig, time_s: f64, picture: &Picture) -> Option<Trouble> {
        let step_s = (time_s - self.time_s).clamp(0.0, LONGEST_STEP_S);
        self.time_s = time_s;
        let still = self.is_still(config, picture);
        blend(&mut self.recent.data, &picture.data, step_s / config.recent_s);
        let dark = contrast(picture) < config.dark_range;
        hold(&mut self.dark_s, dark, step_s);
        let frozen = self.frozen(config, still, step_s);
        if dark {
            // what the picture lacks can be neither compared nor learnt
            return (self.dark_s >= config.dark_s).then_some(Trouble::Dark);
        }
        let structure = self.structure(config, step_s);
        if frozen { Some(Trouble::Frozen) } else { structure }
    }

    fn is_still(&mut self, config: &HealthConfig, picture: &Picture) -> bool {
        let cells = cell_means(picture);
        let change = cells.iter().zip(&self.cells).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        self.cells = cells;
        change <= config.frozen_levels
    }

    fn frozen(&mut self, config: &HealthConfig, still: bool, step_s: f64) -> bool {
        let limit = config.frozen_s.max(3.0 * self.longest_still_s);
        if still {
            self.still_s += step_s;
        } else {
            // a freeze that was reported is no measure of what is normal
            if self.still_s < limit {
                self.longest_still_s = self.longest_still_s.max(self.still_s);
            }
            self.still_s = 0.0;
        }
        self.still_s >= limit
    }

    /// Blurred or moved, against what is normal.
    fn structure(&mut self, config: &HealthConfig, step_s: f64) -> Option<Trouble> {
        let now = edges(&self.recent);
        let likeness = correlation(&now, &self.background);
        let sharp = sharpness(&self.recent);
        let known = self.learnt_s >= config.normal_s / 6.0;
        let blurred = known && sharp < config.blurred_share * self.usual_sharpness;
        let moved = known && !blurred && likeness < config.moved_share * self.usual_likeness;
        hold(&mut self.blurred_s, blurred, step_s);
        hold(&mut self.moved_s, moved, step_s);
        if !blurred && !moved {
            self.learn(config, &now, likeness, sharp, step_s);
            return None;
        }
        if self.moved_s >= config.adopt_s || self.blurred_s >= 4.0 * config.adopt_s {
            self.adopt(now, sharp);
            return None;
        }
        if self.blurred_s >= config.blurred_s {
            return Some(Trouble::Blurred);
        }
        (self.moved_s >= config.moved_s).then_some(Trouble::Moved)
    }

    fn learn(&mut self, config: &HealthConfig, now: &[f32], likeness: f64, sharp: f64, step_s: f64) {
        self.learnt_s += step_s;
        // a plain mean at first, so that the first frame weighs no more than any other
        let share = (step_s / self.learnt_s.min(config.normal_s).max(step_s)).clamp(0.0, 1.0);
        if step_s > 0.0 {
            blend(&mut self.background, now, share);
            self.usual_likeness += share * (likeness - self.usual_likeness);
            self.usual_sharpness += share * (sharp - self.usual_sharpness);
        }
    }

    /// The new picture is the normal one from now on.
    fn adopt(&mut self, now: Vec<f32>, sharp: f64) {
        self.background = now;
        self.usual_sharpness = sharp;
        (self.moved_s, self.blurred_s, self.learnt_s) = (0.0, 0.0, 0.0);
        self.usual_likeness = 1.0;
    }
}

fn hold(seconds: &mut f64, holds: bool, step_s: f64) {
    *seconds = if holds { *seconds + step_s } else { 0.0 };
}

/// Moves `mean` by `share` of the way to `next`.
fn blend(mean: &mut [f32], next: &[f32], share: f64) {
    let share = share.clamp(0.0, 1.0) as f32;
    mean.iter_mut().zip(next).for_each(|(mean, next)| *mean += share * (next - *mean));
}

/// Grey means of squares of pixels, at most [`LONGEST_SIDE`] a side; edge pixels that fill no square are left out.
fn shrink(frame: &Frame) -> Picture {
    let grey = frame.to_grey();
    let factor = frame.width.max(frame.height).div_ceil(LONGEST_SIDE);
    let factor = factor.min(frame.width).min(frame.height).max(1);
    let (width, height) = (frame.width / factor, frame.height / factor);
    let mut data = vec![0.0f32; width * height];
    for (y, row) in grey.data.chunks_exact(frame.width).take(height * factor).enumerate() {
        let sums = &mut data[y / factor * width..][..width];
        for (sum, square) in sums.iter_mut().zip(row.chunks_exact(factor)) {
            *sum += square.iter().map(|&v| u32::from(v)).sum::<u32>() as f32;
        }
    }
    let area = (factor * factor) as f32;
    data.iter_mut().for_each(|value| *value /= area);
    Picture { width, height, data }
}

/// The distance of the 5 % and 95 % quantiles, in levels.
fn contrast(picture: &Picture) -> f64 {
    let mut counts = [0usize; 256];
    for &value in &picture.data {
        counts[value as u8 as usize] += 1;
    }
    let level = |share: f64| {
        let wanted = (share * picture.data.len() as f64) as usize;
        let mut seen = 0;
        counts.iter().position(|count| {
            seen += count;
            seen > wanted
        })
    };
    let (low, high) = (level(0.05).unwrap_or(0), level(0.95).unwrap_or(0));
    high as f64 - low as f64
}

/// Means of square cells, [`CELLS`] along the longer side.
fn cell_means(picture: &Picture) -> Vec<f32> {
    let cell = picture.width.max(picture.height).div_ceil(CELLS);
    let (columns, rows) = (picture.width.div_ceil(cell), picture.height.div_ceil(cell));
    let (mut sums, mut counts) = (vec![0.0f32; columns * rows], vec![0.0f32; columns * rows]);
    for (y, row) in picture.data.chunks_exact(picture.width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            let at = y / cell * columns + x / cell;
            sums[at] += value;
            counts[at] += 1.0;
        }
    }
    sums.iter().zip(&counts).map(|(sum, count)| sum / count.max(1.0)).collect()
}

/// Square root of the coarse gradient's size at each pixel: roots keep one lamp from outweighing a room.
fn edges(picture: &Picture) -> Vec<f32> {
    let Picture { width, height, ref data } = *picture;
    let mut edges = Vec::with_capacity(data.len());
    for y in 0..height {
        for x in 0..width {
            let (right, left) = ((x + 1).min(width - 1), x.saturating_sub(1));
            let (below, above) = ((y + 1).min(height - 1), y.saturating_sub(1));
            let dx = data[y * width + right] - data[y * width + left];
            let dy = data[below * width + x] - data[above * width + x];
            edges.push(dx.hypot(dy).sqrt());
        }
    }
    edges
}

/// Pearson's; 0 where either is constant.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let count = a.len().max(1) as f64;
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Energy of gradients over one pixel against that over four, along rows: independent of brightness and contrast.
fn sharpness(picture: &Picture) -> f64 {
    let (mut fine, mut coarse) = (0.0f64, 0.0f64);
    for row in picture.data.chunks_exact(picture.width) {
        let energy = |distance: usize| -> f64 {
            row.iter().zip(row.iter().skip(distance)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        fine += energy(1);
        coarse += energy(COARSE);
    }
    if coarse > 0.0 { fine / coarse } else { 0.0 }
}
