//! Random crop, flip and small rotation (paper 004), of a frame and its neighbours alike.

use std::f32::consts::PI;

use rand::Rng;

/// Least share of the sides that is kept by a crop (ours).
const SMALLEST_CROP: f32 = 0.85;
/// Largest rotation (ours).
const LARGEST_ANGLE: f32 = 5.0 * PI / 180.0;

/// Where a picture's pixels come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    width: usize,
    height: usize,
    /// x' = a·x + b·y + c and y' = d·x + e·y + f, in pixels.
    map: [f32; 6],
}

impl View {
    /// A crop of at least .85 of the sides, at any place in the picture, rotated by at most 5° about its middle, every
    /// second one mirrored.
    pub(crate) fn random(width: usize, height: usize, rng: &mut impl Rng) -> Self {
        let scale = rng.random_range(SMALLEST_CROP..=1.0);
        let (sin, cos) = rng.random_range(-LARGEST_ANGLE..=LARGEST_ANGLE).sin_cos();
        let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let middle = |side: usize, shift: f32| {
            let half = (side as f32 - 1.0) / 2.0;
            (half, half + shift * (1.0 - scale) * half)
        };
        let (x0, cx) = middle(width, rng.random_range(-1.0..=1.0));
        let (y0, cy) = middle(height, rng.random_range(-1.0..=1.0));
        let [a, b, d, e] = [mirror * cos, -sin, mirror * sin, cos].map(|v| v * scale);
        Self { width, height, map: [a, b, cx - a * x0 - b * y0, d, e, cy - d * x0 - e * y0] }
    }

    /// A plane as seen so: bilinear, the border continued outwards.
    pub(crate) fn of(&self, plane: &[f32]) -> Vec<f32> {
        let Self { width, height, map: [a, b, c, d, e, f] } = *self;
        let (right, bottom) = (width - 1, height - 1);
        let mut out = Vec::with_capacity(plane.len());
        for y in 0..height {
            for x in 0..width {
                let (x, y) = (x as f32, y as f32);
                let u = (a * x + b * y + c).clamp(0.0, right as f32);
                let v = (d * x + e * y + f).clamp(0.0, bottom as f32);
                let (left, top) = (u as usize, v as usize);
                let (fu, fv) = (u - left as f32, v - top as f32);
                let (next, under) = ((left + 1).min(right), (top + 1).min(bottom));
                let row = |y: usize| plane[y * width + left] * (1.0 - fu) + plane[y * width + next] * fu;
                out.push(row(top) * (1.0 - fv) + row(under) * fv);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_view_without_a_change_is_the_picture() {
        let plane: Vec<f32> = (0..35).map(|i| (i * i % 17) as f32).collect();
        let still = View { width: 7, height: 5, map: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0] };
        assert_eq!(still.of(&plane), plane);
        let mirrored = View { width: 7, height: 5, map: [-1.0, 0.0, 6.0, 0.0, 1.0, 0.0] };
        assert_eq!(mirrored.of(&plane)[0], plane[6]);
        assert_eq!(mirrored.of(&mirrored.of(&plane)), plane);
    }

    /// A linear ramp stays linear under an affine map, wherever the border is not needed.
    #[test]
    fn a_ramp_is_seen_as_the_map_says() {
        let (w, h) = (40, 30);
        let plane: Vec<f32> = (0..w * h).map(|i| 2.0 * (i % w) as f32 + 3.0 * (i / w) as f32).collect();
        for seed in 0..50 {
            let view = View::random(w, h, &mut ChaCha8Rng::seed_from_u64(seed));
            let [a, b, c, d, e, f] = view.map;
            let got = view.of(&plane);
            for (i, got) in got.iter().enumerate() {
                let (x, y) = ((i % w) as f32, (i / w) as f32);
                let (u, v) = (a * x + b * y + c, d * x + e * y + f);
                assert!(u > -3.0 && u < w as f32 + 2.0 && v > -3.0 && v < h as f32 + 2.0, "{u} {v}");
                let (u, v) = (u.clamp(0.0, 39.0), v.clamp(0.0, 29.0));
                assert!((got - (2.0 * u + 3.0 * v)).abs() < 1e-3);
            }
        }
    }
}
