//! An articulated pedestrian: joints in metres from a gait phase, drawn as lit capsules.
//!
//! The gait is the usual first-harmonic approximation: thighs swing as a sine, knees bend in the swing phase, arms
//! swing against the legs, the hip rises twice a cycle.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use glam::{Vec2, Vec3};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::camera::Camera;
use super::canvas::{Canvas, Capsule, Owner, Paint, Shade};
use super::street::Incident;

/// Clothes, hair and build of a person.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// Metres.
    pub(super) height: f32,
    /// Girth relative to average.
    girth: f32,
    skin: Vec3,
    hair: Vec3,
    top: Vec3,
    trousers: Vec3,
    shoes: Vec3,
    /// Colour of a backpack or shoulder bag.
    bag: Option<Vec3>,
    /// A coat or skirt to the knee.
    coat: bool,
}

/// How a person is posed at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// Ground position (x, z).
    pub(super) foot: Vec2,
    /// Unit direction (x, z) faced.
    pub(super) facing: Vec2,
    /// Gait phase in radians; a stride of two steps is one turn.
    pub(super) phase: f32,
    /// Swing of the limbs: 0 standing, 1 walking, about 1.9 running.
    pub(super) swing: f32,
    /// 0 upright, 1 lying on the ground.
    pub(super) fallen: f32,
}

/// A limb in the world: ends, radii in metres and colour.
type Limb = (Vec3, Vec3, f32, f32, Vec3);

impl Look {
    pub(super) fn random(rng: &mut ChaCha8Rng) -> Self {
        const CLOTH: [Vec3; 10] = [
            Vec3::new(0.05, 0.06, 0.09),
            Vec3::new(0.09, 0.09, 0.09),
            Vec3::new(0.07, 0.10, 0.20),
            Vec3::new(0.22, 0.21, 0.20),
            Vec3::new(0.30, 0.07, 0.06),
            Vec3::new(0.12, 0.17, 0.11),
            Vec3::new(0.38, 0.34, 0.27),
            Vec3::new(0.17, 0.11, 0.07),
            Vec3::new(0.50, 0.50, 0.50),
            Vec3::new(0.10, 0.24, 0.32),
        ];
        const SKIN: [Vec3; 4] = [
            Vec3::new(0.48, 0.32, 0.25),
            Vec3::new(0.40, 0.25, 0.18),
            Vec3::new(0.24, 0.14, 0.09),
            Vec3::new(0.10, 0.06, 0.04),
        ];
        const HAIR: [Vec3; 4] = [
            Vec3::new(0.02, 0.02, 0.02),
            Vec3::new(0.08, 0.05, 0.03),
            Vec3::new(0.28, 0.20, 0.10),
            Vec3::new(0.35, 0.34, 0.33),
        ];
        let mut pick = |from: &[Vec3]| from.choose(rng).copied().unwrap_or(Vec3::splat(0.1));
        let (skin, hair, top, bag) = (pick(&SKIN), pick(&HAIR), pick(&CLOTH), pick(&CLOTH));
        let trousers = pick(&CLOTH[..8]) * 0.85;
        Self {
            height: rng.random_range(1.55..1.92),
            girth: rng.random_range(0.88..1.2),
            skin,
            hair,
            top: top * rng.random_range(0.8..1.15),
            trousers,
            shoes: Vec3::splat(rng.random_range(0.03..0.2)),
            bag: rng.random_bool(0.35).then_some(bag),
            coat: rng.random_bool(0.25),
        }
    }

    /// Metres that one turn of the gait phase covers at walking swing.
    pub(super) fn stride(&self) -> f32 {
        0.83 * self.height
    }

    /// The limbs of the figure in the world.
    fn limbs(&self, pose: &Pose) -> Vec<Limb> {
        let frame = Frame::new(pose);
        let h = self.height;
        let bob = 0.012 * h * pose.swing * (2.0 * pose.phase).cos();
        let (hip, shoulder) = (0.52 * h + bob, 0.81 * h + bob);
        let lean = 0.03 * h * pose.swing;
        let g = self.girth;
        let mut limbs = Vec::with_capacity(20);
        for side in [-1.0, 1.0] {
            let phase = pose.phase + if side > 0.0 { 0.0 } else { PI };
            self.leg(&frame, side, phase, pose.swing, hip, &mut limbs);
            self.arm(&frame, side, phase + PI, pose.swing, (shoulder, lean), &mut limbs);
            let at = |up: f32, out: f32, forward: f32| frame.place(forward, up, side * out * h);
            limbs.push((
                at(hip, 0.040 * g, 0.0),
                at(shoulder - 0.02 * h, 0.062 * g, lean),
                0.068 * h * g,
                0.060 * h * g,
                self.top,
            ));
        }
        if self.coat {
            let hem = frame.place(0.0, 0.34 * h, 0.0);
            limbs.push((frame.place(0.0, hip, 0.0), hem, 0.10 * h * g, 0.105 * h * g, self.top));
        }
        if let Some(colour) = self.bag {
            let back = -0.095 * h * g;
            limbs.push((
                frame.place(back, 0.62 * h, 0.0),
                frame.place(back + lean, 0.75 * h, 0.0),
                0.07 * h,
                0.065 * h,
                colour,
            ));
        }
        let head = frame.place(1.6 * lean, 0.925 * h + bob, 0.0);
        limbs.push((frame.place(lean, shoulder, 0.0), head, 0.032 * h, 0.032 * h, self.skin));
        limbs.push((head, head, 0.062 * h, 0.062 * h, self.skin));
        let crown = frame.place(1.6 * lean - 0.018 * h, 0.945 * h + bob, 0.0);
        limbs.push((crown, crown, 0.060 * h, 0.060 * h, self.hair));
        limbs
    }

    fn leg(&self, frame: &Frame, side: f32, phase: f32, swing: f32, hip: f32, limbs: &mut Vec<Limb>) {
        let h = self.height;
        let thigh = 0.44 * swing * phase.sin();
        let bend = swing * (0.12 + 0.62 * (phase.cos()).max(0.0));
        let out = side * 0.050 * h;
        let knee = Vec2::new(thigh.sin(), -thigh.cos()) * (0.25 * h) + Vec2::new(0.0, hip);
        let shin = thigh - bend;
        let ankle = knee + Vec2::new(shin.sin(), -shin.cos()) * (0.25 * h);
        let ankle = Vec2::new(ankle.x, ankle.y.max(0.03 * h));
        let toe = ankle + Vec2::new(0.10 * h, -0.01 * h);
        let at = |p: Vec2| frame.place(p.x, p.y, out);
        let g = self.girth;
        limbs.push((at(Vec2::new(0.0, hip)), at(knee), 0.054 * h * g, 0.040 * h * g, self.trousers));
        limbs.push((at(knee), at(ankle), 0.039 * h * g, 0.027 * h, self.trousers));
        limbs.push((at(ankle), at(toe), 0.028 * h, 0.022 * h, self.shoes));
    }

    fn arm(
        &self,
        frame: &Frame,
        side: f32,
        phase: f32,
        swing: f32,
        (shoulder, lean): (f32, f32),
        limbs: &mut Vec<Limb>,
    ) {
        let h = self.height;
        let upper = 0.42 * swing.min(1.6) * phase.sin();
        let fore = upper + 0.15 + 0.55 * (swing - 0.6).max(0.0);
        let out = side * 0.118 * h * self.girth;
        let top = Vec2::new(lean, shoulder);
        let elbow = top + Vec2::new(upper.sin(), -upper.cos()) * (0.175 * h);
        let hand = elbow + Vec2::new(fore.sin(), -fore.cos()) * (0.155 * h);
        let at = |p: Vec2, spread: f32| frame.place(p.x, p.y, out * spread);
        limbs.push((at(top, 0.9), at(elbow, 1.05), 0.034 * h, 0.027 * h, self.top));
        limbs.push((at(elbow, 1.05), at(hand, 1.05), 0.026 * h, 0.022 * h, self.top * 0.9));
        limbs.push((at(hand, 1.05), at(hand, 1.05), 0.026 * h, 0.026 * h, self.skin));
    }

    /// Draws the person.
    pub(super) fn draw(
        &self,
        pose: &Pose,
        camera: &Camera,
        light: Incident,
        sun_throw: Vec2,
        owner: Owner,
        canvas: &mut Canvas,
    ) {
        let mut limbs = self.limbs(pose);
        limbs.sort_by(|p, q| {
            let depth = |l: &Limb| camera.depth((l.0 + l.1) * 0.5);
            depth(q).total_cmp(&depth(p))
        });
        let towards_sun = Vec2::new(-sun_throw.x, -0.8).normalize_or_zero() * 0.28;
        for (a, b, radius_a, radius_b, colour) in limbs {
            let (Some(a), Some(b)) = (camera.project(a), camera.project(b)) else { continue };
            let shape = Capsule {
                a: a.at,
                b: b.at,
                radius_a: radius_a * a.scale,
                radius_b: radius_b * b.scale,
                edge: 1.1,
            };
            let colour = colour * (light.soft * 0.85 + light.sun * 0.6);
            canvas.paint(&shape, &Paint { colour, owner, modelling: towards_sun, opacity: 1.0 });
        }
    }

    /// Casts the person's shadow on the ground; `throw` is where the shadow of a metre's height ends.
    pub(super) fn cast(&self, pose: &Pose, camera: &Camera, throw: Vec2, shade: &mut Shade) {
        for (a, b, radius_a, radius_b, _) in self.limbs(pose) {
            let ground = |p: Vec3| camera.project(Vec3::new(p.x + throw.x * p.y, 0.0, p.z + throw.y * p.y));
            let (Some(a), Some(b)) = (ground(a), ground(b)) else { continue };
            // The ground is seen obliquely: a shadow is thinner than the limb is.
            let shape = Capsule {
                a: a.at,
                b: b.at,
                radius_a: 0.75 * radius_a * a.scale,
                radius_b: 0.75 * radius_b * b.scale,
                edge: 2.2,
            };
            shade.cast(&shape, 0.85);
        }
    }
}

/// The body's axes in the world.
struct Frame {
    origin: Vec3,
    forward: Vec3,
    up: Vec3,
    lateral: Vec3,
}

impl Frame {
    fn new(pose: &Pose) -> Self {
        let ahead = Vec3::new(pose.facing.x, 0.0, pose.facing.y);
        let (s, c) = (pose.fallen * FRAC_PI_2).sin_cos();
        Self {
            // A body has thickness: lying, its axis is not in the ground.
            origin: Vec3::new(pose.foot.x, 0.13 * pose.fallen, pose.foot.y),
            forward: ahead * c - Vec3::Y * s,
            up: ahead * s + Vec3::Y * c,
            lateral: Vec3::new(-pose.facing.y, 0.0, pose.facing.x),
        }
    }

    fn place(&self, forward: f32, up: f32, lateral: f32) -> Vec3 {
        let p = self.origin + self.forward * forward + self.up * up + self.lateral * lateral;
        Vec3::new(p.x, p.y.max(0.02), p.z)
    }
}

/// Advances a gait phase by a distance walked.
pub(super) fn advance(phase: f32, metres: f32, stride: f32) -> f32 {
    (phase + TAU * metres / stride).rem_euclid(TAU)
}
