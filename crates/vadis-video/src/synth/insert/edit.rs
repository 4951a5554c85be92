//! One inserted anomaly and how it changes a frame.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::super::Kind;
use super::cutout::Cutout;
use super::footage::{Background, Track};
use crate::{Colour, Frame, Mask};

/// Frames over which something that does not enter from the border appears and vanishes.
const FADE: usize = 2;
/// Depth of a failing light's edge from which a pixel counts as abnormal.
const COVERED: f32 = 0.3;
/// Opacity from which something that appears counts as seen.
const OPAQUE: f32 = 0.5;

/// An anomaly being inserted.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    /// Something pasted over the footage.
    Paste(Paste),
    /// Part of the picture gets dark.
    Dim(Dim),
}

/// Cutouts pasted along a path.
#[derive(Debug, Clone)]
pub(super) struct Paste {
    /// Shown in turn, over and over.
    cutouts: Vec<Cutout>,
    /// Cutouts advanced each frame.
    pace: f32,
    /// Bottom centre in the first frame, in pixels.
    from: (f32, f32),
    /// Pixels a frame.
    velocity: (f32, f32),
    /// Whether it comes and goes within the picture.
    fades: bool,
    /// Whether it has no noise of its own from frame to frame.
    still: bool,
}

/// A soft-edged ellipse in which the light fails.
#[derive(Debug, Clone)]
pub(super) struct Dim {
    centre: (f32, f32),
    radius: (f32, f32),
    /// Light left in the middle.
    level: f32,
    /// Light left during the first, flickering frames.
    flicker: [f32; 3],
}

/// What an anomaly is made from.
pub(super) struct Material<'a> {
    pub(super) background: &'a Background,
    /// People and things of this footage, longest path first.
    pub(super) own: &'a [Track],
    /// Those cut from other footage.
    pub(super) donors: &'a [Track],
    /// Frames a second.
    pub(super) fps: f32,
}

impl Edit {
    /// Plans an anomaly of a kind that is seen for `frames` frames at most.
    pub(super) fn plan(kind: Kind, frames: usize, material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        match kind {
            Kind::LightOut => Self::Dim(Dim::plan(material.background, rng)),
            Kind::Vehicle => Self::Paste(Paste::vehicle(frames, material, rng)),
            Kind::LeftObject => Self::Paste(Paste::left_object(material, rng)),
            Kind::FallenPerson => Self::Paste(Paste::fallen(material, rng)),
            Kind::Loitering => Self::Paste(Paste::stopped(material, rng)),
            Kind::Runner => Self::Paste(Paste::runner(material, rng)),
            Kind::WrongDirection => Self::Paste(Paste::reversed(material, rng)),
        }
    }

    /// Changes the `n`-th of its `frames` frames; where it did.
    pub(super) fn apply(
        &self,
        n: usize,
        frames: usize,
        frame: &mut Frame,
        background: &Background,
        rng: &mut ChaCha8Rng,
    ) -> Mask {
        match self {
            Self::Paste(paste) => paste.apply(n, frames, frame, background, rng),
            Self::Dim(dim) => dim.apply(n, frame),
        }
    }
}

impl Material<'_> {
    /// Someone who moves: from this footage, else from other footage, else rendered.
    fn person(&self, rng: &mut ChaCha8Rng) -> Track {
        let pool = if self.own.is_empty() { self.donors } else { self.own };
        // Among the longest few, so that two anomalies seldom show the same person.
        if !pool.is_empty() {
            return pool[rng.random_range(0..pool.len().min(4))].clone();
        }
        self.rendered_person(rng)
    }

    fn rendered_person(&self, rng: &mut ChaCha8Rng) -> Track {
        let height = self.person_height();
        let cutouts = Cutout::walker(height, rng);
        let foot = self.ground(rng);
        // A person walks their own height in about 1.3 s.
        let step = height / (1.3 * self.fps);
        let feet = (0..cutouts.len()).map(|i| (foot.0 + step * i as f32, foot.1)).collect();
        Track { cutouts, feet }
    }

    /// Pixels a person is tall here: the median of those who move, or an eighth of the picture.
    fn person_height(&self) -> f32 {
        let mut heights: Vec<f32> = self.own.iter().map(Track::height).collect();
        heights.sort_by(f32::total_cmp);
        let height = heights.get(heights.len() / 2).copied();
        // A tiny picture has tiny people: the lower bound gives way last.
        let tall = self.background.height as f32;
        height.unwrap_or(tall / 8.0).max(8.0).min(tall / 2.0).max(2.0)
    }

    /// A place where someone stands on the ground: where people walk, else in the lower half of the picture.
    fn ground(&self, rng: &mut ChaCha8Rng) -> (f32, f32) {
        if !self.own.is_empty() {
            let track = &self.own[rng.random_range(0..self.own.len())];
            return track.feet[rng.random_range(0..track.feet.len())];
        }
        let (w, h) = (self.background.width as f32, self.background.height as f32);
        (w * rng.random_range(0.2..0.8), h * rng.random_range(0.55..0.9))
    }
}

impl Paste {
    fn still(cutout: Cutout, at: (f32, f32)) -> Self {
        Self { cutouts: vec![cutout], pace: 0.0, from: at, velocity: (0.0, 0.0), fades: true, still: true }
    }

    /// Sped up: enters from the border and runs along the person's own line.
    fn runner(material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let person = material.person(rng);
        let factor = rng.random_range(2.3..3.2);
        let (vx, vy) = person.velocity();
        let velocity = (factor * vx, factor * vy);
        Self { pace: 2.0, ..Self::through(&person, velocity, material.background) }
    }

    /// Time reversed: the person's own way backwards, in from the border.
    fn reversed(material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let mut person = material.person(rng);
        let (vx, vy) = person.velocity();
        person.cutouts.reverse();
        Self::through(&person, (-vx, -vy), material.background)
    }

    /// Stopped where they walked.
    fn stopped(material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let person = material.person(rng);
        let i = rng.random_range(0..person.cutouts.len());
        let at = if material.own.is_empty() { material.ground(rng) } else { person.feet[i] };
        Self::still(person.cutouts[i].clone(), at)
    }

    /// Lying where they walked.
    fn fallen(material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let person = material.person(rng);
        let i = rng.random_range(0..person.cutouts.len());
        let lying = person.cutouts[i].lying();
        let lying = if rng.random_bool(0.5) { lying.mirrored() } else { lying };
        Self::still(lying, material.ground(rng))
    }

    /// Something of another footage that now stands still, or a rendered case.
    fn left_object(material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let at = material.ground(rng);
        if !material.donors.is_empty() && rng.random_bool(0.5) {
            let donor = &material.donors[rng.random_range(0..material.donors.len())];
            return Self::still(donor.cutouts[rng.random_range(0..donor.cutouts.len())].clone(), at);
        }
        let height = material.person_height() * rng.random_range(0.55..0.85);
        Self::still(Cutout::left_object(height, rng), at)
    }

    fn vehicle(frames: usize, material: &Material<'_>, rng: &mut ChaCha8Rng) -> Self {
        let length = material.person_height() * rng.random_range(2.3..2.9);
        let length = length.min(0.8 * material.background.width as f32);
        let car = Cutout::vehicle(length, rng);
        let way = material.background.width as f32 + car.width as f32;
        let speed = way / (frames.max(2) as f32 * rng.random_range(0.7..1.0));
        let rightwards = rng.random_bool(0.5);
        let (car, speed) = if rightwards { (car, speed) } else { (car.mirrored(), -speed) };
        let ground = material.ground(rng);
        let track = Track { cutouts: vec![car], feet: vec![ground] };
        Self { still: true, ..Self::through(&track, (speed, 0.0), material.background) }
    }

    /// A way through the picture on the line of a track at some velocity, from just outside where it would enter;
    /// from where it is, if it hardly moves.
    fn through(track: &Track, velocity: (f32, f32), background: &Background) -> Self {
        let size = |f: fn(&Cutout) -> usize| track.cutouts.iter().map(f).max().unwrap_or(1) as f32;
        let (w, h) = (size(|c| c.width), size(|c| c.height));
        let (x, y) = track.feet[track.feet.len() / 2];
        let back = |at: f32, v: f32, low: f32, high: f32| match v {
            v if v > 0.05 => (at - low) / v,
            v if v < -0.05 => (at - high) / v,
            _ => f32::INFINITY,
        };
        let (width, height) = (background.width as f32, background.height as f32);
        let frames_back =
            back(x, velocity.0, -w / 2.0, width + w / 2.0).min(back(y, velocity.1, 0.0, height + h));
        let fades = !frames_back.is_finite();
        let frames_back = if fades { 0.0 } else { frames_back.max(0.0) };
        let from = (x - velocity.0 * frames_back, y - velocity.1 * frames_back);
        Self { cutouts: track.cutouts.clone(), pace: 1.0, from, velocity, fades, still: false }
    }

    fn apply(
        &self,
        n: usize,
        frames: usize,
        frame: &mut Frame,
        background: &Background,
        rng: &mut ChaCha8Rng,
    ) -> Mask {
        let cutout = &self.cutouts[(self.pace * n as f32) as usize % self.cutouts.len()];
        let centre = self.from.0 + self.velocity.0 * n as f32;
        let foot = self.from.1 + self.velocity.1 * n as f32;
        let corner = (
            (centre - cutout.width as f32 / 2.0).round() as isize,
            (foot - cutout.height as f32).round() as isize,
        );
        let here = background.mean(corner, (cutout.width, cutout.height));
        let gain = (here / cutout.surround.max(1.0)).clamp(0.5, 1.8);
        let noise = if self.still { background.noise } else { 0.0 };
        let opacity = fade(n, frames, self.fades);
        blend(cutout, corner, (gain, opacity, noise), frame, rng)
    }
}

/// Opacity in the `n`-th of `frames` frames of something that vanishes, and perhaps appears, within the picture.
fn fade(n: usize, frames: usize, appears: bool) -> f32 {
    let since = if appears { n + 1 } else { FADE + 1 };
    let edge = since.min(frames.saturating_sub(n).max(1)).min(FADE + 1);
    edge as f32 / (FADE + 1) as f32
}

/// Blends a cutout into a frame with its corner at a place; where it is now seen, its blended edge included.
fn blend(
    cutout: &Cutout,
    corner: (isize, isize),
    (gain, opacity, noise): (f32, f32, f32),
    frame: &mut Frame,
    rng: &mut ChaCha8Rng,
) -> Mask {
    let mut mask = Mask::empty(frame.width, frame.height);
    let channels = frame.colour.channels();
    for v in 0..cutout.height {
        for u in 0..cutout.width {
            let (x, y) = (corner.0 + u as isize, corner.1 + v as isize);
            let cover = f32::from(cutout.alpha[v * cutout.width + u]) / 255.0;
            let alpha = opacity * cover;
            let inside = (0..frame.width as isize).contains(&x) && (0..frame.height as isize).contains(&y);
            if alpha <= 0.0 || !inside {
                continue;
            }
            let i = y as usize * frame.width + x as usize;
            let grain: f32 = StandardNormal.sample(rng);
            let colour = cutout.colour[v * cutout.width + u];
            for (c, value) in in_colour(colour, frame.colour).into_iter().take(channels).enumerate() {
                let shown = gain * f32::from(value) + noise * grain;
                let below = f32::from(frame.data[i * channels + c]);
                frame.data[i * channels + c] = (below + alpha * (shown - below) + 0.5) as u8;
            }
            mask.data[i] = u8::from(opacity >= OPAQUE);
        }
    }
    mask
}

/// A colour as the channels of a frame; grey by the BT.601 weights.
fn in_colour([r, g, b]: [u8; 3], colour: Colour) -> [u8; 3] {
    match colour {
        Colour::Rgb => [r, g, b],
        Colour::Grey => {
            let grey = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
            [(grey + 0.5) as u8; 3]
        }
    }
}

impl Dim {
    fn plan(background: &Background, rng: &mut ChaCha8Rng) -> Self {
        let (w, h) = (background.width as f32, background.height as f32);
        let mut flicker = || rng.random_range(0.3..0.9);
        let flicker = [flicker(), flicker(), flicker()];
        Self {
            centre: (w * rng.random_range(0.2..0.8), h * rng.random_range(0.2..0.8)),
            radius: (w * rng.random_range(0.22..0.4), h * rng.random_range(0.3..0.5)),
            level: rng.random_range(0.35..0.6),
            flicker,
        }
    }

    fn apply(&self, n: usize, frame: &mut Frame) -> Mask {
        let level = self.flicker.get(n).copied().unwrap_or(self.level);
        let mut mask = Mask::empty(frame.width, frame.height);
        let channels = frame.colour.channels();
        for y in 0..frame.height {
            for x in 0..frame.width {
                let dx = (x as f32 + 0.5 - self.centre.0) / self.radius.0;
                let dy = (y as f32 + 0.5 - self.centre.1) / self.radius.1;
                // Full inside 0.85 radii, nothing beyond 1.15.
                let inside = ((1.15 - dx.hypot(dy)) / 0.3).clamp(0.0, 1.0);
                if inside <= 0.0 {
                    continue;
                }
                let i = y * frame.width + x;
                let factor = 1.0 + inside * (level - 1.0);
                for value in &mut frame.data[i * channels..(i + 1) * channels] {
                    *value = (f32::from(*value) * factor + 0.5) as u8;
                }
                mask.data[i] = u8::from(inside >= COVERED);
            }
        }
        mask
    }
}
