//! A pinhole camera over the street: x along the street, y up, z away from the camera, in metres.

use glam::{Vec2, Vec3};

/// Height of the camera above the ground in metres, as on a wall of the first floor.
const HEIGHT: f32 = 6.0;
/// Points nearer than this in metres are not projected.
const NEAR: f32 = 0.5;

/// A fixed camera with square pixels.
#[derive(Debug, Clone)]
pub(super) struct Camera {
    centre: Vec3,
    forward: Vec3,
    right: Vec3,
    up: Vec3,
    focal: f32,
    principal: Vec2,
}

/// Where a point of the world falls on the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projected {
    /// Canvas position in pixels, pixel centres at integers plus one half.
    pub(super) at: Vec2,
    /// Pixels that a metre across the line of sight takes there.
    pub(super) scale: f32,
}

impl Camera {
    /// Looks down by `pitch` and to the right by `yaw` (radians) onto a canvas of `width` × `height` pixels that
    /// extends `pad` pixels beyond the frame on each side. The view spans 56° where the frame is 5:3 or wider.
    pub(super) fn new(width: usize, height: usize, pad: usize, yaw: f32, pitch: f32) -> Self {
        let (sy, cy) = yaw.sin_cos();
        let (sp, cp) = pitch.sin_cos();
        let span = (width as f32).max(height as f32 * 5.0 / 3.0);
        Self {
            centre: Vec3::new(0.0, HEIGHT, 0.0),
            forward: Vec3::new(sy * cp, -sp, cy * cp),
            right: Vec3::new(cy, 0.0, -sy),
            up: Vec3::new(sy * sp, cp, cy * sp),
            focal: 0.94 * span,
            principal: Vec2::new(pad as f32 + width as f32 / 2.0, pad as f32 + height as f32 / 2.0),
        }
    }

    /// Looks from afar, slightly from above, at `target` in the middle of a canvas of `size` pixels on which a metre
    /// there takes `scale` pixels.
    pub(super) fn portrait(size: (usize, usize), scale: f32, target: Vec3) -> Self {
        const DISTANCE: f32 = 30.0;
        let (sp, cp) = 0.3f32.sin_cos();
        let forward = Vec3::new(0.0, -sp, cp);
        Self {
            centre: target - forward * DISTANCE,
            forward,
            right: Vec3::X,
            up: Vec3::new(0.0, cp, sp),
            focal: scale * DISTANCE,
            principal: Vec2::new(size.0 as f32, size.1 as f32) / 2.0,
        }
    }

    /// The image of a point; `None` behind the camera.
    pub(super) fn project(&self, point: Vec3) -> Option<Projected> {
        let d = point - self.centre;
        let depth = d.dot(self.forward);
        if depth < NEAR {
            return None;
        }
        let scale = self.focal / depth;
        let at = self.principal + Vec2::new(d.dot(self.right), -d.dot(self.up)) * scale;
        Some(Projected { at, scale })
    }

    /// The camera's place and the unnormalised direction of the line of sight through a canvas position.
    pub(super) fn ray(&self, at: Vec2) -> (Vec3, Vec3) {
        let d = (at - self.principal) / self.focal;
        (self.centre, self.forward + self.right * d.x - self.up * d.y)
    }

    /// Distance of a point along the optical axis in metres, negative behind the camera.
    pub(super) fn depth(&self, point: Vec3) -> f32 {
        (point - self.centre).dot(self.forward)
    }

    /// The stretch of street, least and greatest x in metres, that is in view at distance `z` over heights 0 to 2 m.
    pub(super) fn reach(&self, z: f32, width: usize, height: usize) -> (f32, f32) {
        let half = Vec2::new(width as f32, height as f32) / 2.0;
        let corners = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
        let along = corners.map(|(sx, sy)| {
            let (from, ray) = self.ray(self.principal + Vec2::new(sx * half.x, sy * half.y));
            from.x + ray.x / ray.z.max(1e-3) * z
        });
        along.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &x| (lo.min(x), hi.max(x)))
    }
}
