//! The linear-light canvas and its two antialiased primitives: tapered capsules and convex polygons.

use glam::{Vec2, Vec3};

/// Who drew a pixel last: 0 for everything normal, else the number of an anomaly.
pub(super) type Owner = u8;

/// Linear-light colours with, for each pixel, the anomaly that is seen there.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Linear red, green, blue; 1 is white at nominal exposure.
    pub(super) pixels: Vec<Vec3>,
    pub(super) owner: Vec<Owner>,
}

/// How a shape is painted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// Reflected linear light.
    pub(super) colour: Vec3,
    pub(super) owner: Owner,
    /// Canvas direction towards which a rounded shape brightens; its length is the strength.
    pub(super) modelling: Vec2,
    /// Fraction of what lies behind that is hidden, in `[0, 1]`.
    pub(super) opacity: f32,
}

impl Paint {
    pub(super) fn flat(colour: Vec3, owner: Owner) -> Self {
        Self { colour, owner, modelling: Vec2::ZERO, opacity: 1.0 }
    }
}

/// A shape with soft edges.
pub(super) trait Shape {
    /// Smallest and greatest canvas position the shape covers, edges included.
    fn bounds(&self) -> (Vec2, Vec2);
    /// Coverage in `[0, 1]` at a position, and the offset from the shape's axis in units of its radius.
    fn sample(&self, at: Vec2) -> (f32, Vec2);
}

/// A line with a radius at each end; a disc when the ends coincide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capsule {
    pub(super) a: Vec2,
    pub(super) b: Vec2,
    pub(super) radius_a: f32,
    pub(super) radius_b: f32,
    /// Width of the edge in pixels; 1 antialiases, more blurs.
    pub(super) edge: f32,
}

impl Shape for Capsule {
    fn bounds(&self) -> (Vec2, Vec2) {
        let margin = Vec2::splat(self.radius_a.max(self.radius_b) + self.edge);
        (self.a.min(self.b) - margin, self.a.max(self.b) + margin)
    }

    fn sample(&self, at: Vec2) -> (f32, Vec2) {
        let axis = self.b - self.a;
        let t = ((at - self.a).dot(axis) / axis.length_squared().max(1e-6)).clamp(0.0, 1.0);
        let offset = at - (self.a + axis * t);
        let radius = self.radius_a + (self.radius_b - self.radius_a) * t;
        // A limb thinner than the edge keeps its share of the pixel rather than vanishing.
        let (wide, share) = if radius < 0.5 { (0.5, radius / 0.5) } else { (radius, 1.0) };
        let cover = ((wide - offset.length()) / self.edge + 0.5).clamp(0.0, 1.0) * share;
        (cover, offset / wide)
    }
}

/// A convex polygon given by its corners in either order.
#[derive(Debug, Clone)]
pub(super) struct Convex {
    corners: Vec<Vec2>,
    /// For each side its inward normal and offset: positive inside.
    sides: Vec<(Vec2, f32)>,
    edge: f32,
}

impl Convex {
    /// `None` for fewer than three distinct corners or no area. `edge` as in [`Capsule`].
    pub(super) fn new(corners: Vec<Vec2>, edge: f32) -> Option<Self> {
        let n = corners.len();
        let area: f32 = (0..n).map(|i| corners[i].perp_dot(corners[(i + 1) % n])).sum();
        if n < 3 || area.abs() < 1e-3 || !area.is_finite() {
            return None;
        }
        let turn = area.signum();
        let sides = (0..n).filter_map(|i| {
            let from = corners[i];
            let along = (corners[(i + 1) % n] - from).try_normalize()?;
            let normal = along.perp() * turn;
            Some((normal, normal.dot(from)))
        });
        let sides = sides.collect();
        Some(Self { corners, sides, edge })
    }

    /// The convex hull of a few points (Andrew's monotone chain).
    pub(super) fn hull(mut points: Vec<Vec2>, edge: f32) -> Option<Self> {
        points.sort_by(|p, q| p.x.total_cmp(&q.x).then(p.y.total_cmp(&q.y)));
        let mut chain: Vec<Vec2> = Vec::with_capacity(2 * points.len());
        let mut half = |points: &mut dyn Iterator<Item = Vec2>| {
            let base = chain.len();
            for p in points {
                while chain.len() >= base + 2 {
                    let (q, r) = (chain[chain.len() - 1], chain[chain.len() - 2]);
                    if (q - r).perp_dot(p - r) > 0.0 {
                        break;
                    }
                    chain.pop();
                }
                chain.push(p);
            }
            chain.pop();
        };
        half(&mut points.iter().copied());
        half(&mut points.iter().rev().copied());
        Self::new(chain, edge)
    }
}

impl Shape for Convex {
    fn bounds(&self) -> (Vec2, Vec2) {
        let margin = Vec2::splat(self.edge);
        let low = self.corners.iter().fold(Vec2::INFINITY, |m, &p| m.min(p));
        let high = self.corners.iter().fold(Vec2::NEG_INFINITY, |m, &p| m.max(p));
        (low - margin, high + margin)
    }

    fn sample(&self, at: Vec2) -> (f32, Vec2) {
        let inside = self.sides.iter().map(|(n, c)| n.dot(at) - c).fold(f32::MAX, f32::min);
        ((inside / self.edge + 0.5).clamp(0.0, 1.0), Vec2::ZERO)
    }
}

/// Calls `visit(index, coverage, offset)` for each pixel of a `width` × `height` raster that a shape touches.
pub(super) fn scan(shape: &impl Shape, width: usize, height: usize, mut visit: impl FnMut(usize, f32, Vec2)) {
    let (low, high) = shape.bounds();
    if !(low.is_finite() && high.is_finite()) {
        return;
    }
    let clip = |v: f32, end: usize| v.clamp(0.0, end as f32) as usize;
    let (x0, x1) = (clip(low.x.floor(), width), clip(high.x.ceil(), width));
    for y in clip(low.y.floor(), height)..clip(high.y.ceil(), height) {
        for x in x0..x1 {
            let (cover, offset) = shape.sample(Vec2::new(x as f32 + 0.5, y as f32 + 0.5));
            if cover > 0.0 {
                visit(y * width + x, cover, offset);
            }
        }
    }
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![Vec3::ZERO; width * height], owner: vec![0; width * height] }
    }

    /// Paints a shape over what is there.
    pub(super) fn paint(&mut self, shape: &impl Shape, paint: &Paint) {
        let (pixels, owner) = (&mut self.pixels, &mut self.owner);
        scan(shape, self.width, self.height, |i, cover, offset| {
            let alpha = cover * paint.opacity;
            let colour = paint.colour * (1.0 + paint.modelling.dot(offset));
            pixels[i] = pixels[i].lerp(colour, alpha);
            if alpha >= 0.5 {
                owner[i] = paint.owner;
            }
        });
    }
}

/// How much of the sun is taken from each pixel of the ground, in `[0, 1]`.
#[derive(Debug, Clone)]
pub(super) struct Shade {
    width: usize,
    height: usize,
    pub(super) depth: Vec<f32>,
}

impl Shade {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, depth: vec![0.0; width * height] }
    }

    pub(super) fn clear(&mut self) {
        self.depth.fill(0.0);
    }

    /// Adds a shadow; where shadows overlap the deepest holds.
    pub(super) fn cast(&mut self, shape: &impl Shape, strength: f32) {
        let depth = &mut self.depth;
        scan(shape, self.width, self.height, |i, cover, _| depth[i] = depth[i].max(cover * strength));
    }
}
