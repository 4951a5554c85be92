//! The scene, frame by frame.

use std::io::Cursor;

use glam::{Vec2, Vec3};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Capsule, Owner, Paint, Shade};
use super::noise::{drift, lerp, smoothstep, unit, value};
use super::props::{Crate, Stage};
use super::schedule::{Cue, Schedule};
use super::sensor::{Optics, Sensor, Shift};
use super::street::{BANKS, Incident, LAMP_HEIGHT, Level, Lights, Street};
use super::traffic::{Actor, Traffic};
use super::{Kind, PixelBox, SceneConfig, SceneFrame, SynthError};
use crate::{Colour, Frame, Mask};

/// Pixels of canvas beyond each side of the frame, into which the camera may shake.
const PAD: usize = 4;
/// Light of the sky, the sun and a lamp right below it, in the units of [`Level`]: late on a clear afternoon.
const SKY: f32 = 0.24;
const SUN: f32 = 1.25;
const LAMP: f32 = 0.62;
/// Share of the frame below which an anomaly is not counted as seen: 31 pixels of 320 × 192.
const LEAST_SHARE: f32 = 5.0e-4;

/// A fixed camera over a street; iterate for its frames. See [`SceneConfig`].
///
/// The iterator ends after [`SceneConfig::frames`] frames and holds one canvas at a time.
#[derive(Debug, Clone)]
pub struct Scene {
    config: SceneConfig,
    street: Street,
    traffic: Traffic,
    schedule: std::iter::Peekable<Schedule>,
    sensor: Sensor,
    weather: u32,
    leaves: Vec<Leaf>,
    outage: Option<Outage>,
    /// For each circuit, the canvas pixels that get dark with it.
    lit_by: [Vec<bool>; BANKS],
    rng: ChaCha8Rng,
    canvas: Canvas,
    shade: Shade,
    next: u64,
}

/// A cluster of leaves: place relative to the tree's foot, radius in metres, brightness, phase of its sway.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    at: Vec3,
    radius: f32,
    tone: f32,
    phase: f32,
}

/// A circuit that has failed.
#[derive(Debug, Clone, Copy)]
struct Outage {
    bank: usize,
    from_s: f64,
    to_s: f64,
}

impl Outage {
    /// Light of the circuit: it flickers for 0.6 s, goes dark, comes back within half a second.
    fn level(self, time_s: f64, weather: u32) -> f32 {
        let since = time_s - self.from_s;
        let until = self.to_s - time_s;
        if since < 0.0 || until < 0.0 {
            return 1.0;
        }
        if since < 0.6 {
            return 0.6 * unit((since * 30.0) as i32, 9, weather);
        }
        lerp(1.0, 0.03, smoothstep(0.0, 0.5, until as f32))
    }
}

impl Scene {
    /// Sets the scene.
    ///
    /// # Errors
    /// [`SynthError::Setting`] where a setting is outside its range.
    pub fn new(config: &SceneConfig) -> Result<Self, SynthError> {
        config.validate()?;
        let mut place = ChaCha8Rng::seed_from_u64(config.seed);
        let street = Street::new(config.width, config.height, PAD, &mut place);
        let leaves = tree(&mut place);
        let mut day = ChaCha8Rng::seed_from_u64(config.seed);
        day.set_stream(config.take.wrapping_add(1));
        let size = (config.width, config.height);
        let (width, height) = (size.0 + 2 * PAD, size.1 + 2 * PAD);
        let optics = Optics {
            width: size.0,
            height: size.1,
            pad: PAD,
            colour: config.colour,
            noise: config.noise,
            jitter: (config.jitter * size.0 as f32 / 320.0).min(1.0),
            vignette: config.vignette,
            exposure: config.exposure,
            fps: config.fps,
        };
        let grey_afternoon =
            Lights::new(&street, Level { sky: SKY, sun: 0.0, lamp: LAMP, roof: 0.0 }, |_| 0.0);
        Ok(Self {
            traffic: Traffic::new(&street, size, config.density, day.random()),
            schedule: Schedule::new(config, day.random()).peekable(),
            sensor: Sensor::new(optics, day.random()),
            weather: day.random(),
            leaves,
            outage: None,
            lit_by: std::array::from_fn(|bank| street.lit_by(bank, &grey_afternoon)),
            rng: day,
            canvas: Canvas::new(width, height),
            shade: Shade::new(width, height),
            next: 0,
            config: config.clone(),
            street,
        })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Begins what is due.
    fn cue(&mut self, time_s: f64) {
        while let Some(cue) = self.schedule.next_if(|cue| cue.start_s <= time_s) {
            let Cue { kind, start_s, seconds } = cue;
            if kind == Kind::LightOut {
                let bank = self.rng.random_range(0..BANKS);
                self.outage = Some(Outage { bank, from_s: start_s, to_s: start_s + seconds });
            }
            self.traffic.stage(kind, seconds as f32);
        }
    }

    /// The light of the moment: clouds over minutes, passing shadows of clouds, lamps.
    fn lights(&self, time_s: f64) -> Lights {
        let c = &self.config;
        let slow = |period: f64, seed: u32| 2.0 * drift(time_s, period, self.weather ^ seed) - 1.0;
        let hour = (time_s / 1200.0) as f32;
        let level = Level {
            sky: SKY * (1.0 + c.drift * (0.28 * slow(140.0, 1) + 0.10 * slow(35.0, 2))),
            sun: SUN * (1.0 + c.drift * (0.30 * slow(220.0, 3) + 0.08 * slow(50.0, 4))),
            lamp: LAMP,
            roof: c.drift * (0.8 * hour.min(4.0) + 0.2 * slow(300.0, 5)),
        };
        let gap = |along: f32| {
            // Cloud shadows some 60 m across drift at 4 m/s; their pattern changes as they go.
            let x = f64::from(along) - 4.0 * time_s;
            let coarse =
                value((x / 60.0).rem_euclid(65536.0) as f32, (time_s / 80.0) as f32, self.weather ^ 6);
            smoothstep(0.30, 0.62, coarse)
        };
        let mut lights = Lights::new(&self.street, level, |along| 1.0 - c.clouds * (1.0 - gap(along)));
        if let Some(outage) = self.outage {
            lights.circuits[outage.bank] = outage.level(time_s, self.weather);
        }
        lights
    }

    /// Where the shadow of a metre's height ends: the sun moves on.
    fn throw(&self, time_s: f64) -> Vec2 {
        let turn = 0.12 * self.config.drift * (time_s / 1200.0).min(4.0) as f32;
        Vec2::from_angle(turn).rotate(self.street.sun_throw)
    }

    fn draw(&mut self, time_s: f64, lights: &Lights) {
        let throw = self.throw(time_s);
        self.shade.clear();
        self.traffic.cast(&self.street, throw, &mut self.shade);
        self.cast_fixtures(throw);
        let sway = self.sway(time_s);
        self.cast_tree(throw, sway);
        self.street.paint(lights, &self.shade, &mut self.canvas);
        let mut queue: Vec<(f32, Item<'_>)> =
            self.traffic.actors(&self.street).into_iter().map(|(depth, a)| (depth, Item::Actor(a))).collect();
        let depth = |foot: Vec2| self.street.camera.depth(Vec3::new(foot.x, 0.0, foot.y));
        queue.extend(self.street.posts.iter().map(|&(foot, bank)| (depth(foot), Item::Post(foot, bank))));
        let boxes = self.street.boxes.iter();
        queue.extend(boxes.map(|&(place, size, colour)| {
            (depth(place), Item::Box(Crate { place, size, colour, band: None }))
        }));
        queue.push((depth(self.street.tree), Item::Tree));
        queue.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, item) in queue {
            match item {
                Item::Actor(actor) => actor.draw(&self.street, lights, throw, &mut self.canvas),
                Item::Post(foot, bank) => {
                    draw_post(&self.street, lights, foot, lights.circuits[bank], &mut self.canvas);
                }
                Item::Box(thing) => {
                    let light = self.street.light_at(thing.place, lights, &self.canvas);
                    let camera = &self.street.camera;
                    let stage = Stage { camera, light, sun_throw: throw, owner: 0 };
                    thing.draw(&stage, &mut self.canvas);
                }
                Item::Tree => draw_tree(&self.street, &self.leaves, lights, sway, &mut self.canvas),
            }
        }
    }

    /// Shadows of what always stands there.
    fn cast_fixtures(&mut self, throw: Vec2) {
        let camera = &self.street.camera;
        for &(foot, _) in &self.street.posts {
            let tip = foot + throw * LAMP_HEIGHT;
            let ground = |p: Vec2| camera.project(Vec3::new(p.x, 0.0, p.y));
            let (Some(a), Some(b)) = (ground(foot), ground(tip)) else { continue };
            let (radius_a, radius_b) = (0.07 * a.scale, 0.05 * b.scale);
            self.shade.cast(&Capsule { a: a.at, b: b.at, radius_a, radius_b, edge: 2.0 }, 0.8);
        }
        for &(place, size, colour) in &self.street.boxes {
            Crate { place, size, colour, band: None }.cast(camera, throw, &mut self.shade);
        }
    }

    fn cast_tree(&mut self, throw: Vec2, sway: Vec2) {
        let camera = &self.street.camera;
        for leaf in self.leaves.iter().step_by(2) {
            let p = leaf.place(self.street.tree, sway);
            let Some(g) = camera.project(Vec3::new(p.x + throw.x * p.y, 0.0, p.z + throw.y * p.y)) else {
                continue;
            };
            let radius = 0.8 * leaf.radius * g.scale;
            let spot = Capsule { a: g.at, b: g.at, radius_a: radius, radius_b: radius, edge: 4.0 };
            self.shade.cast(&spot, 0.7);
        }
    }

    /// Metres that the crown is pushed along x, and the phase of the leaves' own trembling.
    fn sway(&self, time_s: f64) -> Vec2 {
        let gust = drift(time_s, 6.0, self.weather ^ 11) * drift(time_s, 25.0, self.weather ^ 12);
        let swing = (time_s * 1.9).sin() as f32;
        Vec2::new(self.config.wind * (0.5 * gust + 0.22 * gust * swing), (time_s * 4.1 % 1e4) as f32)
    }

    /// The mask under this frame's shift, with the kinds that are seen in it.
    fn findings(&self, lights: &Lights, shift: Shift) -> (Mask, Vec<Kind>, Vec<PixelBox>) {
        let (width, height) = (self.config.width, self.config.height);
        let owners = self.owners(lights, shift);
        let least = (LEAST_SHARE * (width * height) as f32).ceil() as usize;
        let mut seen = Extent::of(&owners, width);
        seen.retain(|(_, extent)| extent.area >= least);
        let mut counted = [0; Kind::ALL.len() + 1];
        seen.iter().for_each(|(kind, _)| counted[kind.owner() as usize] = 1);
        let data = owners.iter().map(|&o| counted[o as usize]).collect();
        let (kinds, boxes) = seen.into_iter().map(|(kind, extent)| (kind, extent.bounds())).unzip();
        (Mask { width, height, data }, kinds, boxes)
    }

    /// For each pixel of the frame the anomaly seen there.
    fn owners(&self, lights: &Lights, shift: Shift) -> Vec<Owner> {
        let (width, height) = (self.config.width, self.config.height);
        let dark = (0..BANKS).find(|&bank| lights.circuits[bank] < 0.7);
        let mut owners = Vec::with_capacity(width * height);
        for y in 0..height {
            let start = (y + shift.y) * self.canvas.width + shift.x;
            let row = &self.canvas.owner[start..start + width];
            match dark {
                None => owners.extend_from_slice(row),
                Some(bank) => {
                    let lost = &self.lit_by[bank][start..start + width];
                    let owner =
                        |(&o, &l): (&Owner, &bool)| if o == 0 && l { Kind::LightOut.owner() } else { o };
                    owners.extend(row.iter().zip(lost).map(owner));
                }
            }
        }
        owners
    }
}

impl Iterator for Scene {
    type Item = SceneFrame;

    fn next(&mut self) -> Option<SceneFrame> {
        if self.next >= self.config.frames {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let time_s = index as f64 / self.config.fps;
        self.cue(time_s);
        if index > 0 {
            self.traffic.advance(1.0 / self.config.fps);
        }
        let lights = self.lights(time_s);
        self.draw(time_s, &lights);
        let (data, shift) = self.sensor.expose(&self.canvas);
        let (mask, kinds, boxes) = self.findings(&lights, shift);
        let SceneConfig { width, height, colour, .. } = self.config;
        let frame = Frame { index, time_s, width, height, colour, data };
        let frame = match self.config.jpeg {
            Some(quality) => through_jpeg(frame, quality),
            None => frame,
        };
        Some(SceneFrame { frame, mask, kinds, boxes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.config.frames - self.next).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

/// What is drawn back to front.
enum Item<'a> {
    Actor(Actor<'a>),
    Post(Vec2, usize),
    Box(Crate),
    Tree,
}

/// Extent of one kind in a frame.
struct Extent {
    area: usize,
    low: (usize, usize),
    high: (usize, usize),
}

impl Extent {
    /// The extents of the kinds present, in the order of [`Kind::ALL`].
    fn of(owners: &[Owner], width: usize) -> Vec<(Kind, Self)> {
        let mut all =
            Kind::ALL.map(|kind| (kind, Self { area: 0, low: (usize::MAX, usize::MAX), high: (0, 0) }));
        for (i, &owner) in owners.iter().enumerate().filter(|(_, owner)| **owner > 0) {
            let (x, y) = (i % width, i / width);
            let extent = &mut all[owner as usize - 1].1;
            extent.area += 1;
            extent.low = (extent.low.0.min(x), extent.low.1.min(y));
            extent.high = (extent.high.0.max(x), extent.high.1.max(y));
        }
        all.into_iter().filter(|(_, extent)| extent.area > 0).collect()
    }

    fn bounds(&self) -> PixelBox {
        let (x, y) = self.low;
        PixelBox { x, y, width: self.high.0 + 1 - x, height: self.high.1 + 1 - y }
    }
}

fn tree(rng: &mut ChaCha8Rng) -> Vec<Leaf> {
    let leaf = |_| {
        let direction = Vec2::from_angle(rng.random_range(0.0..std::f32::consts::TAU));
        let (spread, rise) = (rng.random_range(0.0f32..1.0).sqrt(), rng.random_range(-1.0f32..1.0));
        let round = (1.0 - 0.6 * rise * rise) * 1.7 * spread;
        Leaf {
            at: Vec3::new(direction.x * round, 3.7 + 1.1 * rise, direction.y * round),
            radius: rng.random_range(0.10..0.26),
            tone: rng.random_range(0.5..1.25) * (0.75 + 0.25 * rise),
            phase: rng.random_range(0.0..std::f32::consts::TAU),
        }
    };
    (0..190).map(leaf).collect()
}

impl Leaf {
    fn place(&self, foot: Vec2, sway: Vec2) -> Vec3 {
        let push = sway.x * (0.35 + 0.2 * (self.at.y - 2.6));
        let tremble = 0.12 * sway.x * (sway.y + self.phase).sin();
        Vec3::new(foot.x, 0.0, foot.y) + self.at + Vec3::new(push + tremble, 0.4 * tremble, 0.0)
    }
}

fn draw_tree(street: &Street, leaves: &[Leaf], lights: &Lights, sway: Vec2, canvas: &mut Canvas) {
    let light = street.light_at(street.tree, lights, canvas);
    let foot = Vec3::new(street.tree.x, 0.0, street.tree.y);
    let bark = Vec3::new(0.13, 0.10, 0.07);
    let fork = foot + Vec3::new(0.2 * sway.x, 3.2, 0.0);
    rod(street, (foot, 0.16), (fork, 0.11), reflect(bark, light), canvas);
    let green = Vec3::new(0.085, 0.135, 0.045);
    for leaf in leaves {
        let Some(p) = street.camera.project(leaf.place(street.tree, sway)) else { continue };
        let radius = leaf.radius * p.scale;
        let spot = Capsule { a: p.at, b: p.at, radius_a: radius, radius_b: radius, edge: 1.6 };
        let colour = reflect(green * leaf.tone, light);
        canvas.paint(&spot, &Paint { colour, owner: 0, modelling: Vec2::new(0.0, -0.3), opacity: 0.9 });
    }
}

fn draw_post(street: &Street, lights: &Lights, foot: Vec2, level: f32, canvas: &mut Canvas) {
    let light = street.light_at(foot, lights, canvas);
    let base = Vec3::new(foot.x, 0.0, foot.y);
    let top = base + Vec3::Y * LAMP_HEIGHT;
    let iron = Vec3::new(0.07, 0.08, 0.08);
    rod(street, (base, 0.075), (top, 0.05), reflect(iron, light), canvas);
    rod(street, (base, 0.12), (base + Vec3::Y * 0.5, 0.10), reflect(iron, light), canvas);
    let glow = Vec3::splat(0.10) + lights.lamp * (3.0 * level);
    rod(street, (top, 0.2), (top + Vec3::Y * 0.15, 0.2), glow, canvas);
}

/// Draws a straight rod of the scenery between two points with their radii in metres.
fn rod(street: &Street, a: (Vec3, f32), b: (Vec3, f32), colour: Vec3, canvas: &mut Canvas) {
    let (Some(p), Some(q)) = (street.camera.project(a.0), street.camera.project(b.0)) else { return };
    let (radius_a, radius_b) = (a.1 * p.scale, b.1 * q.scale);
    let shape = Capsule { a: p.at, b: q.at, radius_a, radius_b, edge: 1.0 };
    canvas.paint(&shape, &Paint { colour, owner: 0, modelling: Vec2::new(-0.3, 0.0), opacity: 1.0 });
}

fn reflect(colour: Vec3, light: Incident) -> Vec3 {
    colour * (light.soft * 0.85 + light.sun * 0.6)
}

/// What a JPEG camera makes of a frame; the frame itself should the encoder refuse it.
fn through_jpeg(frame: Frame, quality: u8) -> Frame {
    let kind = match frame.colour {
        Colour::Grey => ExtendedColorType::L8,
        Colour::Rgb => ExtendedColorType::Rgb8,
    };
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    if encoder.encode(&frame.data, frame.width as u32, frame.height as u32, kind).is_err() {
        return frame;
    }
    match image::load(Cursor::new(bytes), ImageFormat::Jpeg) {
        Ok(picture) => {
            let data = match frame.colour {
                Colour::Grey => picture.into_luma8().into_raw(),
                Colour::Rgb => picture.into_rgb8().into_raw(),
            };
            Frame { data, ..frame }
        }
        Err(_) => frame,
    }
}
