//! Filling from the rim inwards: Telea, *An Image Inpainting Technique Based on the Fast Marching Method* (2004). It makes
//! smooth ground and no objects: the weakest way.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;

use super::poisson::neighbours;
use super::{Inpaint, InpaintError, channel, check, put_channel};
use crate::{Frame, Mask};

/// Fills holes from their rims, each frame by itself.
#[derive(Debug, Clone, Copy)]
pub struct DiffuseFill {
    /// Pixels around a pixel that it is made of (ε; OpenCV's examples: 3).
    pub radius: usize,
}

impl Default for DiffuseFill {
    fn default() -> Self {
        Self { radius: 3 }
    }
}

impl Inpaint for DiffuseFill {
    fn name(&self) -> &'static str {
        "diffuse"
    }

    fn fill(&self, frames: &[Frame], holes: &[Mask], _: &mut ChaCha8Rng) -> Result<Vec<Frame>, InpaintError> {
        check(frames, holes)?;
        let filled = |(frame, hole): (&Frame, &Mask)| {
            let march = Marched::of(hole);
            let mut filled = frame.clone();
            for c in 0..frame.colour.channels() {
                let mut values = channel(frame, c);
                march.fill(&mut values, self.radius);
                put_channel(&mut filled, c, &values, hole);
            }
            filled
        };
        Ok(frames.iter().zip(holes).map(filled).collect())
    }
}

/// A pixel of the front and its distance from the rim.
#[derive(PartialEq)]
struct Front(f32, usize);

impl Eq for Front {}

impl Ord for Front {
    /// The nearest first; of two as near, the first in the picture.
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The hole's pixels from the rim inwards.
struct Marched {
    width: usize,
    height: usize,
    /// Distance from the rim; 0 outside.
    distance: Vec<f32>,
    /// The hole's pixels in the order in which the front reaches them.
    order: Vec<usize>,
    /// When each pixel is known: 0 outside, else one more than its place in the order.
    known: Vec<usize>,
}

impl Marched {
    /// The fast marching method (Sethian): |∇T| = 1 from the rim on.
    fn of(hole: &Mask) -> Self {
        let (width, height) = (hole.width, hole.height);
        let mut distance: Vec<f32> =
            hole.data.iter().map(|&set| if set == 0 { 0.0 } else { f32::INFINITY }).collect();
        let mut known: Vec<usize> =
            hole.data.iter().map(|&set| if set == 0 { 0 } else { usize::MAX }).collect();
        let (mut order, mut front) = (Vec::new(), BinaryHeap::new());
        for i in (0..known.len()).filter(|&i| known[i] == 0) {
            if neighbours(i, width, height).any(|j| known[j] != 0) {
                front.push(Front(0.0, i));
            }
        }
        while let Some(Front(at, i)) = front.pop() {
            if known[i] != 0 {
                if known[i] != usize::MAX || at > distance[i] {
                    continue;
                }
                order.push(i);
                known[i] = order.len();
            }
            for j in neighbours(i, width, height) {
                if known[j] == usize::MAX {
                    let new = eikonal(j, width, height, &distance, &known);
                    if new < distance[j] {
                        distance[j] = new;
                        front.push(Front(new, j));
                    }
                }
            }
        }
        Self { width, height, distance, order, known }
    }

    /// Each pixel as the mean of the known ones around it, carried along their gradients (Eqs. 1 and 2), weighted by
    /// direction, distance and level (Eqs. 3 to 5).
    fn fill(&self, values: &mut [f32], radius: usize) {
        let Self { width, height, distance, order, known } = self;
        for (step, &i) in order.iter().enumerate() {
            let (x, y) = (i % width, i / width);
            let before = |j: usize| known[j] <= step;
            let normal = gradient(i, *width, *height, |j| distance[j], |j| known[j] <= step + 1);
            let (mut sum, mut weights) = (0.0, 0.0f32);
            for v in y.saturating_sub(radius)..(y + radius + 1).min(*height) {
                for u in x.saturating_sub(radius)..(x + radius + 1).min(*width) {
                    let j = v * width + u;
                    let [dx, dy] = [x as f32 - u as f32, y as f32 - v as f32];
                    let squared = dx * dx + dy * dy;
                    if !before(j) || squared > (radius * radius) as f32 {
                        continue;
                    }
                    let direction = (dx * normal[0] + dy * normal[1]).abs() / squared.sqrt();
                    let level = 1.0 / (1.0 + (distance[i] - distance[j]).abs());
                    let weight = direction.max(1e-6) * level / squared;
                    let slope = gradient(j, *width, *height, |k| values[k], before);
                    sum += weight * (values[j] + slope[0] * dx + slope[1] * dy);
                    weights += weight;
                }
            }
            if weights > 0.0 {
                values[i] = (sum / weights).clamp(0.0, 255.0);
            }
        }
    }
}

/// Central differences of what is known, one-sided where half of it is, else 0.
fn gradient(
    i: usize,
    width: usize,
    height: usize,
    value: impl Fn(usize) -> f32,
    known: impl Fn(usize) -> bool,
) -> [f32; 2] {
    let (x, y) = (i % width, i / width);
    let along = |back: Option<usize>, ahead: Option<usize>| match (
        back.filter(|&j| known(j)),
        ahead.filter(|&j| known(j)),
    ) {
        (Some(a), Some(b)) => (value(b) - value(a)) / 2.0,
        (Some(a), None) => value(i) - value(a),
        (None, Some(b)) => value(b) - value(i),
        (None, None) => 0.0,
    };
    [
        along((x > 0).then(|| i - 1), (x + 1 < width).then_some(i + 1)),
        along((y > 0).then(|| i - width), (y + 1 < height).then_some(i + width)),
    ]
}

/// The distance at a pixel from those of its known neighbours, upwind.
fn eikonal(i: usize, width: usize, height: usize, distance: &[f32], known: &[usize]) -> f32 {
    let (x, y) = (i % width, i / width);
    let at = |j: Option<usize>| j.filter(|&j| known[j] != usize::MAX).map_or(f32::INFINITY, |j| distance[j]);
    let a = at((x > 0).then(|| i - 1)).min(at((x + 1 < width).then_some(i + 1)));
    let b = at((y > 0).then(|| i - width)).min(at((y + 1 < height).then_some(i + width)));
    let (low, high) = (a.min(b), a.max(b));
    match high - low < 1.0 {
        true => (low + high + (2.0 - (high - low) * (high - low)).sqrt()) / 2.0,
        false => low + 1.0,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::Colour;

    fn filled(frame: &Frame, hole: &Mask) -> Frame {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let holes = std::slice::from_ref(hole);
        DiffuseFill::default().fill(std::slice::from_ref(frame), holes, &mut rng).unwrap().remove(0)
    }

    fn square(width: usize, height: usize, [from, to]: [usize; 2]) -> Mask {
        let mut hole = Mask::empty(width, height);
        (from..to).for_each(|y| hole.data[y * width + from..y * width + to].fill(1));
        hole
    }

    #[test]
    fn slopes_go_on_and_nothing_else_changes() {
        let mut frame = Frame::filled(32, 32, Colour::Rgb, 0);
        for (i, pixel) in frame.data.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&[(i % 32 * 5) as u8, (i / 32 * 7) as u8, 90]);
        }
        let hole = square(32, 32, [11, 20]);
        let mut spoilt = frame.clone();
        for (pixel, _) in spoilt.data.chunks_exact_mut(3).zip(&hole.data).filter(|(_, m)| **m != 0) {
            pixel.fill(255);
        }
        let got = filled(&spoilt, &hole);
        let worst = got.data.iter().zip(&frame.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 6, "{worst}");
        for ((got, old), _) in
            got.data.chunks(3).zip(frame.data.chunks(3)).zip(&hole.data).filter(|(_, m)| **m == 0)
        {
            assert_eq!(got, old);
        }
    }

    #[test]
    fn a_front_marches_at_the_same_pace_everywhere() {
        let march = Marched::of(&square(41, 41, [5, 36]));
        assert!((march.distance[20 * 41 + 20] - 15.5).abs() < 1.0, "{}", march.distance[20 * 41 + 20]);
        assert_eq!(march.order.len(), 31 * 31);
        assert!(march.order.windows(2).all(|w| march.distance[w[0]] <= march.distance[w[1]]));
        let nothing_known = Marched::of(&Mask { width: 3, height: 2, data: vec![1; 6] });
        assert!(nothing_known.order.is_empty());
    }
}
