//! The street itself: paving, kerbs, a row of shops, lamp posts, a tree, and how light falls on them.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::camera::Camera;
use super::canvas::{Canvas, Shade};
use super::noise::{fractal, lerp, smoothstep, unit, value};

/// Distance of the shop fronts in metres.
pub(super) const WALL: f32 = 19.6;
/// The open paving before the camera, where few people walk: least and greatest z in metres.
pub(super) const FORECOURT: (f32, f32) = (6.9, 7.8);
/// The near promenade, walked towards +x.
pub(super) const NEAR_LANE: (f32, f32) = (10.9, 12.7);
/// The strip of lamp posts, benches and the tree between the promenades.
pub(super) const FURNITURE: f32 = 13.8;
/// The far promenade, walked towards −x.
pub(super) const FAR_LANE: (f32, f32) = (15.4, 18.6);
/// Banks of lamps, each on its own circuit.
pub(super) const BANKS: usize = 2;
/// Height of a lamp above the ground in metres.
pub(super) const LAMP_HEIGHT: f32 = 4.4;
/// Steps in the table of cloud shade along the wind.
const CLOUD_STEPS: usize = 256;

/// What never changes: the picture of the street with its response to each light.
#[derive(Debug, Clone)]
pub(super) struct Street {
    pub(super) camera: Camera,
    /// Lamp posts and the circuit of each.
    pub(super) posts: Vec<(Vec2, usize)>,
    /// Foot of the tree.
    pub(super) tree: Vec2,
    /// Furniture along the strip: place, size (x, y, z in metres) and colour.
    pub(super) boxes: Vec<(Vec2, Vec3, Vec3)>,
    /// Where a shadow of a metre's height ends, from its foot, at the start of the recording.
    pub(super) sun_throw: Vec2,
    albedo: Vec<Vec3>,
    /// Cosine between the surface and the sun, 0 in permanent shade.
    facing: Vec<f32>,
    /// 1 on the ground, 0 on walls: where moving things cast shadows.
    ground: Vec<f32>,
    /// Metres beyond the roof line's shadow at the start.
    beyond_roof: Vec<f32>,
    /// Index into the cloud table.
    cloud: Vec<u8>,
    /// Metres along the wind of the cloud table's ends.
    cloud_span: (f32, f32),
    lamps: [Vec<f32>; BANKS],
}

/// The lights at one moment.
#[derive(Debug, Clone)]
pub(super) struct Lights {
    pub(super) sky: Vec3,
    pub(super) sun: Vec3,
    pub(super) lamp: Vec3,
    /// 1 on, 0 off, for each circuit.
    pub(super) circuits: [f32; BANKS],
    /// How far the roof line's shadow has moved away from the camera, in metres.
    pub(super) roof: f32,
    /// Share of the sun that clouds let through, along the wind.
    clouds: Vec<f32>,
}

/// Light that arrives at a place, apart by source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incident {
    /// Sky and lamps.
    pub(super) soft: Vec3,
    /// Direct sun, facing it.
    pub(super) sun: Vec3,
}

impl Street {
    /// Builds the street for frames of `width` × `height` with a canvas margin of `pad` pixels.
    pub(super) fn new(width: usize, height: usize, pad: usize, rng: &mut ChaCha8Rng) -> Self {
        let side: f32 = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let yaw = side * rng.random_range(0.20..0.34);
        let pitch = rng.random_range(0.43..0.47);
        let camera = Camera::new(width, height, pad, yaw, pitch);
        let (low, high) = camera.reach(FURNITURE, width, height);
        let mut street = Self {
            posts: lamp_posts(low, high, rng),
            tree: Vec2::new(lerp(low, high, rng.random_range(0.2..0.8)), FURNITURE + 0.2),
            boxes: furniture(low, high, rng),
            sun_throw: Vec2::new(-side * rng.random_range(0.7..1.1), rng.random_range(0.45..0.7)),
            camera,
            albedo: Vec::new(),
            facing: Vec::new(),
            ground: Vec::new(),
            beyond_roof: Vec::new(),
            cloud: Vec::new(),
            cloud_span: (0.0, 0.0),
            lamps: [Vec::new(), Vec::new()],
        };
        street.build(width + 2 * pad, height + 2 * pad, rng.random());
        street
    }

    fn build(&mut self, width: usize, height: usize, seed: u32) {
        let roof = roof_shadow(seed);
        let mut along_wind = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let centre = self.hit(Vec2::new(x as f32 + 0.5, y as f32 + 0.5));
                self.albedo.push(self.texture(x, y, seed));
                let on_ground = centre.y < 1e-3;
                self.ground.push(if on_ground { 1.0 } else { 0.0 });
                self.facing.push(if on_ground { 0.62 } else { 0.5 });
                self.beyond_roof.push(if on_ground { centre.z - roof(centre.x) } else { 10.0 });
                along_wind.push(centre.x * 0.8 + centre.z * 0.6);
                for bank in 0..BANKS {
                    let received = self.lamp_light(centre, bank);
                    self.lamps[bank].push(received);
                }
            }
        }
        let low = along_wind.iter().copied().fold(f32::MAX, f32::min);
        let high = along_wind.iter().copied().fold(f32::MIN, f32::max);
        self.cloud_span = (low, high);
        let step = (CLOUD_STEPS - 1) as f32 / (high - low).max(1e-3);
        self.cloud = along_wind.iter().map(|a| ((a - low) * step) as u8).collect();
    }

    /// The first surface along a line of sight: ground before the wall, or the wall.
    fn hit(&self, at: Vec2) -> Vec3 {
        let (from, ray) = self.camera.ray(at);
        let to_wall = (WALL - from.z) / ray.z.max(1e-3);
        let to_ground = if ray.y < -1e-4 { -from.y / ray.y } else { f32::MAX };
        let mut point = from + ray * to_wall.min(to_ground);
        if to_ground <= to_wall {
            point.y = 0.0;
        }
        point
    }

    /// Albedo of a pixel, averaged over 3 × 3 lines of sight.
    fn texture(&self, x: usize, y: usize, seed: u32) -> Vec3 {
        let offsets = [1.0 / 6.0, 0.5, 5.0 / 6.0];
        let mut sum = Vec3::ZERO;
        for dy in offsets {
            for dx in offsets {
                let p = self.hit(Vec2::new(x as f32 + dx, y as f32 + dy));
                sum += if p.y > 0.0 { wall(p.x, p.y, seed) } else { paving(p.x, p.z, seed) };
            }
        }
        sum / 9.0
    }

    /// Light of one circuit at a point, 1 right under a lamp: inverse square with the cosine of incidence.
    fn lamp_light(&self, point: Vec3, bank: usize) -> f32 {
        let posts = self.posts.iter().filter(|(_, circuit)| *circuit == bank);
        let pools = posts.map(|&(foot, _)| {
            let d2 = (Vec2::new(point.x, point.z) - foot).length_squared();
            let h = LAMP_HEIGHT - point.y;
            let falloff = 1.0 + d2 / (LAMP_HEIGHT * LAMP_HEIGHT);
            if h > 0.0 { 1.0 / (falloff * falloff.sqrt()) } else { 0.0 }
        });
        pools.sum()
    }

    /// Paints the lit street, `shade` taking its part of the sun away.
    pub(super) fn paint(&self, lights: &Lights, shade: &Shade, canvas: &mut Canvas) {
        canvas.owner.fill(0);
        let shaded = shade.depth.iter().zip(&self.ground);
        let surface = self.albedo.iter().zip(&self.facing);
        for (i, ((pixel, (depth, ground)), (albedo, facing))) in
            canvas.pixels.iter_mut().zip(shaded).zip(surface).enumerate()
        {
            let incident = self.incident(i, lights);
            let shadow = depth * ground;
            // What shades the sun also hides part of the sky.
            let soft = incident.soft * (1.0 - 0.2 * shadow);
            *pixel = *albedo * (soft + incident.sun * (facing * (1.0 - shadow)));
        }
    }

    /// Light arriving at the surface seen in a canvas pixel.
    fn incident(&self, i: usize, lights: &Lights) -> Incident {
        let lit = smoothstep(-0.45, 0.45, self.beyond_roof[i] - lights.roof);
        let sun = lights.sun * (lit * lights.clouds[self.cloud[i] as usize]);
        let lamps = self.lamps[0][i] * lights.circuits[0] + self.lamps[1][i] * lights.circuits[1];
        Incident { soft: lights.sky + lights.lamp * lamps, sun }
    }

    /// Light on something that stands at `foot`; that of the nearest visible ground where the foot is out of view.
    pub(super) fn light_at(&self, foot: Vec2, lights: &Lights, canvas: &Canvas) -> Incident {
        let seen = self.camera.project(Vec3::new(foot.x, 0.0, foot.y)).map_or(Vec2::ZERO, |p| p.at);
        let x = (seen.x.max(0.0) as usize).min(canvas.width - 1);
        let y = (seen.y.max(0.0) as usize).min(canvas.height - 1);
        self.incident(y * canvas.width + x, lights)
    }

    /// Where losing a circuit takes at least a quarter of the light of a grey afternoon.
    pub(super) fn lit_by(&self, bank: usize, lights: &Lights) -> Vec<bool> {
        let luma = |c: Vec3| c.dot(LUMA);
        let (sky, lamp) = (luma(lights.sky), luma(lights.lamp));
        let total = |i: usize| sky + lamp * (self.lamps[0][i] + self.lamps[1][i]);
        let share = |i: usize| lamp * self.lamps[bank][i] / total(i);
        (0..self.albedo.len()).map(|i| share(i) >= 0.25).collect()
    }
}

/// Weights of linear red, green and blue in luminance (ITU-R BT.709).
pub(super) const LUMA: Vec3 = Vec3::new(0.2126, 0.7152, 0.0722);

impl Lights {
    /// Lights at a moment; `cover(metres)` is the share of the sun that passes the clouds there along the wind.
    pub(super) fn new(street: &Street, level: Level, cover: impl Fn(f32) -> f32) -> Self {
        let (low, high) = street.cloud_span;
        let place = |i: usize| lerp(low, high, i as f32 / (CLOUD_STEPS - 1) as f32);
        Self {
            sky: Vec3::new(0.92, 0.98, 1.10) * level.sky,
            sun: Vec3::new(1.12, 1.0, 0.82) * level.sun,
            lamp: Vec3::new(1.15, 0.98, 0.72) * level.lamp,
            circuits: [1.0; BANKS],
            roof: level.roof,
            clouds: (0..CLOUD_STEPS).map(|i| cover(place(i))).collect(),
        }
    }
}

/// Strengths of the lights; 1 on white paving is white at nominal exposure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) sky: f32,
    pub(super) sun: f32,
    pub(super) lamp: f32,
    /// As [`Lights::roof`].
    pub(super) roof: f32,
}

/// Two posts on each circuit: one circuit lights the left of the view, the other the right.
fn lamp_posts(low: f32, high: f32, rng: &mut ChaCha8Rng) -> Vec<(Vec2, usize)> {
    let places = [(0.12, FURNITURE, 0), (0.26, 9.9, 0), (0.68, FURNITURE, 1), (0.78, 9.9, 1)];
    let post = |(share, z, bank): (f32, f32, usize)| {
        let x = lerp(low, high, share + rng.random_range(-0.05..0.05));
        (Vec2::new(x, z), bank)
    };
    places.map(post).to_vec()
}

fn furniture(low: f32, high: f32, rng: &mut ChaCha8Rng) -> Vec<(Vec2, Vec3, Vec3)> {
    let planter = (Vec3::new(1.6, 0.55, 0.6), Vec3::new(0.20, 0.24, 0.14));
    let bench = (Vec3::new(1.7, 0.45, 0.45), Vec3::new(0.25, 0.16, 0.09));
    let bin = (Vec3::new(0.45, 0.9, 0.45), Vec3::new(0.10, 0.13, 0.12));
    [planter, bench, bin, bench, planter]
        .iter()
        .enumerate()
        .map(|(i, &(size, colour))| {
            let share = (i as f32 + rng.random_range(0.25..0.75)) / 5.0;
            (Vec2::new(lerp(low, high, share), FURNITURE + rng.random_range(-0.3..0.3)), size, colour)
        })
        .collect()
}

/// z of the shadow that the roofs behind the camera cast, by x: flat roofs of differing height.
fn roof_shadow(seed: u32) -> impl Fn(f32) -> f32 {
    move |x| {
        let house = (x / 6.0 + 0.3).floor();
        let level = |k: f32| 8.4 + 2.2 * unit(k as i32, 7, seed);
        let within = x / 6.0 + 0.3 - house;
        lerp(level(house), level(house + 1.0), smoothstep(0.93, 1.0, within))
    }
}

/// Albedo of the ground.
fn paving(x: f32, z: f32, seed: u32) -> Vec3 {
    let stain = 0.82 + 0.36 * fractal(x * 0.35, z * 0.35, seed ^ 0x51);
    let grain = 0.94 + 0.12 * value(x * 9.0, z * 9.0, seed ^ 0x52);
    let base = match z {
        z if z < 10.1 => slabs(x, z, Vec2::new(1.2, 1.2), Vec3::new(0.40, 0.39, 0.36), seed),
        z if z < 10.35 => Vec3::splat(0.50),
        z if z < 13.0 => slabs(x, z, Vec2::new(0.8, 0.4), Vec3::new(0.34, 0.29, 0.25), seed ^ 1),
        z if z < 13.15 => Vec3::splat(0.15),
        z if z < 14.9 => slabs(x, z, Vec2::new(0.3, 0.3), Vec3::new(0.21, 0.21, 0.20), seed ^ 2),
        z if z < 15.1 => Vec3::splat(0.15),
        _ => slabs(x, z, Vec2::new(0.9, 0.9), Vec3::new(0.42, 0.41, 0.38), seed ^ 3),
    };
    base * (stain * grain)
}

/// Slabs of a size in metres in half-shifted rows, each of its own tone, with dark joints.
fn slabs(x: f32, z: f32, size: Vec2, colour: Vec3, seed: u32) -> Vec3 {
    let row = (z / size.y).floor();
    let across = x / size.x + 0.5 * (row as i32).rem_euclid(2) as f32;
    let tone = 0.88 + 0.24 * unit(across.floor() as i32, row as i32, seed);
    let to_joint = |f: f32, size: f32| (f - f.round()).abs() * size;
    let joint = to_joint(across, size.x).min(to_joint(z / size.y, size.y));
    colour * (tone * lerp(0.62, 1.0, smoothstep(0.0, 0.03, joint)))
}

/// Albedo of the shop fronts at height `y`.
fn wall(x: f32, y: f32, seed: u32) -> Vec3 {
    const RENDERS: [Vec3; 5] = [
        Vec3::new(0.46, 0.38, 0.29),
        Vec3::new(0.36, 0.19, 0.14),
        Vec3::new(0.50, 0.49, 0.45),
        Vec3::new(0.34, 0.38, 0.40),
        Vec3::new(0.52, 0.44, 0.27),
    ];
    let house = (x / 7.3).floor() as i32;
    let within = x / 7.3 - house as f32;
    let render = RENDERS[(super::noise::hash(house, 1, seed) % 5) as usize];
    let weather = 0.85 + 0.3 * fractal(x * 0.8, y * 0.5, seed ^ 0x61);
    let bay = (within * 3.0).floor() as i32;
    let in_bay = within * 3.0 - bay as f32;
    let ground_floor = shop(house * 3 + bay, in_bay, y, seed);
    let upper_floor = window(house * 3 + bay, in_bay, y - 3.9, seed);
    let seam = if !(0.012..0.988).contains(&within) { 0.55 } else { 1.0 };
    let skirting = if y < 0.35 { 0.6 } else { 1.0 };
    ground_floor.or(upper_floor).unwrap_or(render * (weather * seam * skirting))
}

/// Shop window, door or sign of a bay 2.4 m wide; `None` where the wall shows.
fn shop(bay: i32, u: f32, y: f32, seed: u32) -> Option<Vec3> {
    let pick = unit(bay, 2, seed);
    let sign = Vec3::new(unit(bay / 3, 3, seed), unit(bay / 3, 4, seed), unit(bay / 3, 5, seed));
    if (2.55..3.1).contains(&y) {
        let letters = value(bay as f32 * 7.0 + u * 9.0, y * 5.0, seed) > 0.62 && (2.68..2.97).contains(&y);
        return Some(if letters { Vec3::splat(0.55) } else { Vec3::splat(0.08) + sign * 0.30 });
    }
    let is_door = pick < 0.3;
    let opening = if is_door { 0.28..0.72 } else { 0.08..0.92 };
    let sill = if is_door { 0.05 } else { 0.55 };
    if !opening.contains(&u) || !(sill..2.4).contains(&y) {
        return None;
    }
    let frame = (u - opening.start).min(opening.end - u) < 0.03 || y > 2.32 || y < sill + 0.07;
    if frame {
        return Some(Vec3::splat(0.12) + sign * 0.1);
    }
    Some(glass(bay as f32 * 2.4 + u * 2.4, y, pick > 0.6, seed))
}

fn window(bay: i32, u: f32, y: f32, seed: u32) -> Option<Vec3> {
    if !(0.25..0.75).contains(&u) || !(0.0..1.7).contains(&y) {
        return None;
    }
    let frame = !(0.29..0.71).contains(&u) || !(0.08..1.62).contains(&y) || (u - 0.5).abs() < 0.015;
    Some(if frame { Vec3::splat(0.5) } else { glass(bay as f32 * 3.0 + u, y, false, seed) })
}

/// Panes reflect a little and, where the shop is lit, show goods behind.
fn glass(x: f32, y: f32, lit: bool, seed: u32) -> Vec3 {
    let sheen = 0.05 + 0.08 * value(x * 0.7 + y, y * 0.6, seed ^ 0x71);
    let goods = if lit { 0.30 * value(x * 3.0, y * 4.0, seed ^ 0x72) } else { 0.0 };
    Vec3::new(sheen + goods, sheen + 0.9 * goods, 1.15 * sheen + 0.7 * goods)
}
