//! Solid things: furniture, cases and vehicles, as extruded convex profiles.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::camera::Camera;
use super::canvas::{Canvas, Capsule, Convex, Owner, Paint, Shade};
use super::street::Incident;

/// A convex profile (along, up) in metres, extruded sideways.
struct Prism<'a> {
    profile: &'a [Vec2],
    half_width: f32,
    base: Vec2,
    heading: Vec2,
}

/// What drawing needs to know besides the thing itself.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) camera: &'a Camera,
    pub(super) light: Incident,
    /// As [`super::street::Street::sun_throw`].
    pub(super) sun_throw: Vec2,
    pub(super) owner: Owner,
}

impl Stage<'_> {
    /// Reflected light of a surface with a unit normal.
    fn reflect(&self, colour: Vec3, normal: Vec3) -> Vec3 {
        let to_sun = Vec3::new(-self.sun_throw.x, 1.0, -self.sun_throw.y).normalize_or_zero();
        let soft = 0.72 + 0.28 * normal.y;
        colour * (self.light.soft * soft + self.light.sun * normal.dot(to_sun).max(0.0))
    }

    fn face(&self, corners: &[Vec3], normal: Vec3, colour: Vec3, canvas: &mut Canvas) {
        let image: Option<Vec<Vec2>> =
            corners.iter().map(|&p| self.camera.project(p).map(|q| q.at)).collect();
        if let Some(shape) = image.and_then(|points| Convex::new(points, 1.0)) {
            canvas.paint(&shape, &Paint::flat(self.reflect(colour, normal), self.owner));
        }
    }

    fn sees(&self, point: Vec3, normal: Vec3) -> bool {
        let (eye, _) = self.camera.ray(Vec2::ZERO);
        (eye - point).dot(normal) > 0.0
    }
}

impl Prism<'_> {
    fn lateral(&self) -> Vec3 {
        Vec3::new(-self.heading.y, 0.0, self.heading.x)
    }

    fn place(&self, p: Vec2, side: f32) -> Vec3 {
        let along = Vec3::new(self.heading.x, 0.0, self.heading.y) * p.x;
        Vec3::new(self.base.x, p.y, self.base.y) + along + self.lateral() * (side * self.half_width)
    }

    /// Draws the faces that look at the camera; a convex body needs no order among them.
    fn draw(&self, stage: &Stage<'_>, colour: Vec3, canvas: &mut Canvas) {
        let centre = self.profile.iter().sum::<Vec2>() / self.profile.len() as f32;
        for (i, &p) in self.profile.iter().enumerate() {
            let q = self.profile[(i + 1) % self.profile.len()];
            let mut out = (q - p).perp().normalize_or_zero();
            if out.dot(p - centre) < 0.0 {
                out = -out;
            }
            let normal = Vec3::new(self.heading.x * out.x, out.y, self.heading.y * out.x);
            let corners = [self.place(p, -1.0), self.place(q, -1.0), self.place(q, 1.0), self.place(p, 1.0)];
            if stage.sees(corners[0], normal) {
                stage.face(&corners, normal, colour, canvas);
            }
        }
        for side in [-1.0, 1.0] {
            self.panel(stage, self.profile, side, colour, canvas);
        }
    }

    /// Draws a polygon of the side plane, where that side is seen.
    fn panel(&self, stage: &Stage<'_>, outline: &[Vec2], side: f32, colour: Vec3, canvas: &mut Canvas) {
        let normal = self.lateral() * side;
        let corners: Vec<Vec3> = outline.iter().map(|&p| self.place(p, side)).collect();
        if corners.first().is_some_and(|&p| stage.sees(p, normal)) {
            stage.face(&corners, normal, colour, canvas);
        }
    }

    fn cast(&self, camera: &Camera, throw: Vec2, shade: &mut Shade) {
        let ground = |p: Vec3| camera.project(Vec3::new(p.x + throw.x * p.y, 0.0, p.z + throw.y * p.y));
        let points = self.profile.iter().flat_map(|&p| [-1.0, 1.0].map(|side| ground(self.place(p, side))));
        let points: Option<Vec<Vec2>> = points.map(|p| p.map(|q| q.at)).collect();
        if let Some(shape) = points.and_then(|p| Convex::hull(p, 2.5)) {
            shade.cast(&shape, 0.9);
        }
    }
}

fn block(length: f32, low: f32, high: f32) -> [Vec2; 4] {
    let half = length / 2.0;
    [Vec2::new(-half, low), Vec2::new(half, low), Vec2::new(half, high), Vec2::new(-half, high)]
}

/// A box that stands on the ground, its length along x.
#[derive(Debug, Clone)]
pub(super) struct Crate {
    pub(super) place: Vec2,
    /// Along x, up, along z, in metres.
    pub(super) size: Vec3,
    pub(super) colour: Vec3,
    /// Bands around it: straps of a case, edges of a carton.
    pub(super) band: Option<Vec3>,
}

impl Crate {
    /// A big case, carton or sack truck load of the kind nobody leaves in a street.
    pub(super) fn left_object(place: Vec2, rng: &mut ChaCha8Rng) -> Self {
        const COLOURS: [Vec3; 5] = [
            Vec3::new(0.80, 0.78, 0.72),
            Vec3::new(0.02, 0.02, 0.03),
            Vec3::new(0.78, 0.66, 0.08),
            Vec3::new(0.03, 0.05, 0.10),
            Vec3::new(0.75, 0.74, 0.72),
        ];
        let colour = COLOURS.choose(rng).copied().unwrap_or(COLOURS[0]);
        let size =
            Vec3::new(rng.random_range(1.1..1.5), rng.random_range(0.95..1.25), rng.random_range(0.7..1.0));
        Self { place, size, colour, band: Some(colour * 0.45 + Vec3::splat(0.04)) }
    }

    fn prism<'a>(&self, profile: &'a [Vec2]) -> Prism<'a> {
        Prism { profile, half_width: self.size.z / 2.0, base: self.place, heading: Vec2::X }
    }

    pub(super) fn draw(&self, stage: &Stage<'_>, canvas: &mut Canvas) {
        let profile = block(self.size.x, 0.0, self.size.y);
        let body = self.prism(&profile);
        body.draw(stage, self.colour, canvas);
        if let Some(band) = self.band {
            for at in [0.40, 0.78] {
                let strip = block(self.size.x, self.size.y * at, self.size.y * (at + 0.08));
                for side in [-1.0, 1.0] {
                    body.panel(stage, &strip, side, band, canvas);
                }
            }
        }
    }

    pub(super) fn cast(&self, camera: &Camera, throw: Vec2, shade: &mut Shade) {
        self.prism(&block(self.size.x, 0.0, self.size.y)).cast(camera, throw, shade);
    }
}

/// A motor vehicle.
#[derive(Debug, Clone)]
pub(super) struct Vehicle {
    colour: Vec3,
    van: bool,
    /// Size relative to the usual.
    size: f32,
}

impl Vehicle {
    pub(super) fn random(rng: &mut ChaCha8Rng) -> Self {
        const COLOURS: [Vec3; 6] = [
            Vec3::new(0.70, 0.70, 0.70),
            Vec3::new(0.03, 0.03, 0.04),
            Vec3::new(0.36, 0.04, 0.04),
            Vec3::new(0.05, 0.10, 0.30),
            Vec3::new(0.62, 0.52, 0.08),
            Vec3::new(0.30, 0.32, 0.34),
        ];
        Self {
            colour: COLOURS.choose(rng).copied().unwrap_or(COLOURS[0]),
            van: rng.random_bool(0.5),
            size: rng.random_range(0.92..1.1),
        }
    }

    /// Metres from bumper to bumper.
    pub(super) fn length(&self) -> f32 {
        self.size * if self.van { 4.9 } else { 4.2 }
    }

    fn body(&self) -> Vec<Vec2> {
        let outline: &[(f32, f32)] = if self.van {
            &[(-2.45, 0.35), (2.45, 0.35), (2.45, 1.0), (1.75, 2.05), (1.5, 2.15), (-2.4, 2.15)]
        } else {
            &[(-2.1, 0.3), (2.1, 0.3), (2.1, 0.75), (1.2, 0.98), (-1.95, 1.0), (-2.1, 0.85)]
        };
        outline.iter().map(|&(x, y)| Vec2::new(x, y) * self.size).collect()
    }

    /// The part above the belt line of a car.
    fn cabin(&self) -> Vec<Vec2> {
        [(1.05, 0.95), (0.35, 1.48), (-1.15, 1.5), (-1.85, 0.98)]
            .map(|(x, y)| Vec2::new(x, y) * self.size)
            .to_vec()
    }

    fn windows(&self) -> Vec<Vec<Vec2>> {
        let panes: &[&[(f32, f32)]] = if self.van {
            &[&[(0.75, 1.2), (2.1, 1.2), (1.65, 1.9), (0.75, 1.95)]]
        } else {
            &[
                &[(0.0, 1.0), (0.85, 1.0), (0.3, 1.4), (0.0, 1.42)],
                &[(-1.55, 1.02), (-0.1, 1.0), (-0.1, 1.42), (-1.05, 1.43)],
            ]
        };
        let scaled = |pane: &&[(f32, f32)]| pane.iter().map(|&(x, y)| Vec2::new(x, y) * self.size).collect();
        panes.iter().map(scaled).collect()
    }

    fn prism<'a>(&self, profile: &'a [Vec2], width: f32, base: Vec2, heading: Vec2) -> Prism<'a> {
        Prism { profile, half_width: self.size * width, base, heading }
    }

    pub(super) fn draw(&self, base: Vec2, heading: Vec2, stage: &Stage<'_>, canvas: &mut Canvas) {
        let glass = Vec3::new(0.05, 0.06, 0.08);
        let outline = self.body();
        let body = self.prism(&outline, 0.88, base, heading);
        body.draw(stage, self.colour, canvas);
        let cabin_outline = self.cabin();
        let upper = self.prism(&cabin_outline, 0.74, base, heading);
        if !self.van {
            upper.draw(stage, self.colour * 0.9, canvas);
        }
        let glazed = if self.van { &body } else { &upper };
        for pane in self.windows() {
            for side in [-1.0, 1.0] {
                glazed.panel(stage, &pane, side, glass, canvas);
            }
        }
        self.draw_wheels(&body, stage, canvas);
    }

    fn draw_wheels(&self, body: &Prism<'_>, stage: &Stage<'_>, canvas: &mut Canvas) {
        let axle = 0.31 * self.length();
        for side in [-1.0, 1.0] {
            if !stage.sees(body.place(Vec2::ZERO, side), body.lateral() * side) {
                continue;
            }
            for along in [-axle, axle] {
                let hub = Vec2::new(along, 0.34 * self.size);
                let Some(at) = stage.camera.project(body.place(hub, side)) else { continue };
                for (radius, colour) in [(0.34, 0.02), (0.17, 0.25)] {
                    let radius = radius * self.size * at.scale;
                    let disc = Capsule { a: at.at, b: at.at, radius_a: radius, radius_b: radius, edge: 1.0 };
                    let colour = stage.reflect(Vec3::splat(colour), body.lateral() * side);
                    canvas.paint(&disc, &Paint::flat(colour, stage.owner));
                }
            }
        }
    }

    pub(super) fn cast(&self, base: Vec2, heading: Vec2, camera: &Camera, throw: Vec2, shade: &mut Shade) {
        let outline = self.body();
        self.prism(&outline, 0.88, base, heading).cast(camera, throw, shade);
        if !self.van {
            let cabin = self.cabin();
            self.prism(&cabin, 0.74, base, heading).cast(camera, throw, shade);
        }
    }
}
