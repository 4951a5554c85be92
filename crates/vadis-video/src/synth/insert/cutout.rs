//! Pictures of things with soft outlines: cut from footage, or rendered.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::super::camera::Camera;
use super::super::canvas::Canvas;
use super::super::figure::{Look, Pose};
use super::super::props::{Crate, Stage, Vehicle};
use super::super::street::Incident;
use crate::{Colour, Frame, Mask};

/// Samples a pixel and side when rendering.
const OVERSAMPLING: usize = 3;
/// Grey level of sunlit paving beside a rendered thing: what its own light is adapted from.
const RENDERED_SURROUND: f32 = 150.0;

/// A thing without its background.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cutout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Red, green, blue a pixel.
    pub(super) colour: Vec<[u8; 3]>,
    /// Opacity a pixel, 255 opaque.
    pub(super) alpha: Vec<u8>,
    /// Mean grey level of the background it was cut from.
    pub(super) surround: f32,
}

impl Cutout {
    /// Cuts the pixels of `inside` (of the size given, its corner at `from` in the frame) out of a frame, with the
    /// outline feathered over three pixels.
    pub(super) fn from_frame(frame: &Frame, from: (usize, usize), inside: &Mask, surround: f32) -> Self {
        let (width, height) = (inside.width, inside.height);
        let at = |x: usize, y: usize| pixel(frame, from.0 + x, from.1 + y);
        let colour = (0..height).flat_map(|y| (0..width).map(move |x| at(x, y))).collect();
        Self { width, height, colour, alpha: feather(inside), surround }
    }

    /// Mirrors left and right.
    pub(super) fn mirrored(&self) -> Self {
        self.gather(self.width, self.height, |x, y| (self.width - 1 - x, y))
    }

    /// Turns by a quarter, so that what stood lies.
    pub(super) fn lying(&self) -> Self {
        self.gather(self.height, self.width, |x, y| (y, self.height - 1 - x))
    }

    fn gather(&self, width: usize, height: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Self {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let (colour, alpha) = places
            .map(|(x, y)| {
                let (u, v) = from(x, y);
                (self.colour[v * self.width + u], self.alpha[v * self.width + u])
            })
            .unzip();
        Self { width, height, colour, alpha, surround: self.surround }
    }

    /// A car or van `length` pixels long that drives to the right.
    pub(super) fn vehicle(length: f32, rng: &mut ChaCha8Rng) -> Self {
        let vehicle = Vehicle::random(rng);
        let scale = length / vehicle.length();
        let stage_size = Vec2::new(1.15 * length, 3.4 * scale);
        render(stage_size, scale, Vec3::Y, |stage, canvas| vehicle.draw(Vec2::ZERO, Vec2::X, stage, canvas))
    }

    /// A case or carton `height` pixels high.
    pub(super) fn left_object(height: f32, rng: &mut ChaCha8Rng) -> Self {
        let thing = Crate::left_object(Vec2::ZERO, rng);
        let scale = height / (1.2 * thing.size.y);
        render(Vec2::new(1.8, 1.9) * scale, scale, Vec3::Y * 0.5, |stage, canvas| thing.draw(stage, canvas))
    }

    /// A stride of a person `height` pixels tall who walks to the right.
    pub(super) fn walker(height: f32, rng: &mut ChaCha8Rng) -> Vec<Self> {
        const POSES: usize = 12;
        let look = Look::random(rng);
        let scale = height / look.height;
        let turn = rng.random_range(-0.3f32..0.3);
        let pose = |i: usize| Pose {
            foot: Vec2::ZERO,
            facing: Vec2::from_angle(turn),
            phase: std::f32::consts::TAU * i as f32 / POSES as f32,
            swing: 1.0,
            fallen: 0.0,
        };
        let draw = |pose: Pose| {
            render(Vec2::new(1.3, 2.1) * scale, scale, Vec3::Y * 0.9, |stage, canvas| {
                look.draw(&pose, stage.camera, stage.light, stage.sun_throw, stage.owner, canvas);
            })
        };
        (0..POSES).map(|i| draw(pose(i))).collect()
    }
}

/// Renders a thing about `target` (metres) on a stage of `size` pixels at `scale` pixels a metre.
fn render(size: Vec2, scale: f32, target: Vec3, draw: impl FnOnce(&Stage<'_>, &mut Canvas)) -> Cutout {
    let (width, height) = (size.x.ceil().max(2.0) as usize, size.y.ceil().max(2.0) as usize);
    let fine = (width * OVERSAMPLING, height * OVERSAMPLING);
    let camera = Camera::portrait(fine, scale * OVERSAMPLING as f32, target);
    let light = Incident { soft: Vec3::splat(0.5), sun: Vec3::splat(0.5) };
    let stage = Stage { camera: &camera, light, sun_throw: Vec2::new(0.5, 0.5), owner: 1 };
    let mut canvas = Canvas::new(fine.0, fine.1);
    draw(&stage, &mut canvas);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let (colour, alpha) = places.map(|(x, y)| gather_fine(&canvas, x, y)).unzip();
    Cutout { width, height, colour, alpha, surround: RENDERED_SURROUND }
}

/// One pixel from the finely rendered ones: the colour of those covered, and how many are.
fn gather_fine(canvas: &Canvas, x: usize, y: usize) -> ([u8; 3], u8) {
    let mut sum = Vec3::ZERO;
    let mut covered = 0;
    for v in y * OVERSAMPLING..(y + 1) * OVERSAMPLING {
        for u in x * OVERSAMPLING..(x + 1) * OVERSAMPLING {
            let i = v * canvas.width + u;
            if canvas.owner[i] != 0 {
                sum += canvas.pixels[i];
                covered += 1;
            }
        }
    }
    let mean = sum / (covered.max(1) as f32);
    let display = |light: f32| (255.0 * light.clamp(0.0, 1.0).powf(1.0 / 2.2)) as u8;
    let all = OVERSAMPLING * OVERSAMPLING;
    (mean.to_array().map(display), (255 * covered / all) as u8)
}

/// Red, green and blue of a pixel, equal where the frame is grey.
pub(super) fn pixel(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
    let i = y * frame.width + x;
    match frame.colour {
        Colour::Grey => [frame.data[i]; 3],
        Colour::Rgb => [frame.data[3 * i], frame.data[3 * i + 1], frame.data[3 * i + 2]],
    }
}

/// Opacity from a mask: its 3 × 3 mean, so that edges blend.
fn feather(mask: &Mask) -> Vec<u8> {
    let (w, h) = (mask.width as isize, mask.height as isize);
    let at = |x: isize, y: isize| {
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        if inside { u32::from(mask.data[(y * w + x) as usize] != 0) } else { 0 }
    };
    let mean = |x: isize, y: isize| {
        let sum: u32 =
            (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))).map(|(dx, dy)| at(x + dx, y + dy)).sum();
        (sum * 255 / 9) as u8
    };
    (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(|(x, y)| mean(x, y)).collect()
}
