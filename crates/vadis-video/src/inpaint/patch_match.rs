//! Nearest patches of another picture: Barnes et al., *PatchMatch: A Randomized Correspondence Algorithm for Structural
//! Image Editing* (SIGGRAPH 2009).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::{Frame, Mask};

/// Half a patch's side: patches of 7×7 pixels.
const HALF: isize = 3;
/// Passes of propagation and search.
const PASSES: usize = 3;

/// Where in another picture each pixel of a hole is taken from: columns and rows to go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Offsets {
    /// The hole's pixels in reading order.
    pixels: Vec<usize>,
    /// For each of them.
    by: Vec<[isize; 2]>,
    width: usize,
    height: usize,
}

impl Offsets {
    /// All pixels of the hole from one place, `by` from their own.
    pub(super) fn constant(hole: &Mask, by: [isize; 2]) -> Self {
        let pixels: Vec<usize> = (0..hole.data.len()).filter(|&i| hole.data[i] != 0).collect();
        let mut offsets = Self { by: vec![by; pixels.len()], pixels, width: hole.width, height: hole.height };
        for place in 0..offsets.pixels.len() {
            offsets.by[place] = offsets.inside(place, by);
        }
        offsets
    }

    /// The offset that keeps a pixel's source within the picture.
    fn inside(&self, place: usize, by: [isize; 2]) -> [isize; 2] {
        let pixel = self.pixels[place];
        let kept =
            |at: usize, by: isize, side: usize| (at as isize + by).clamp(0, side as isize - 1) - at as isize;
        [kept(pixel % self.width, by[0], self.width), kept(pixel / self.width, by[1], self.height)]
    }

    fn source(&self, place: usize, by: [isize; 2]) -> usize {
        (self.pixels[place] as isize + by[1] * self.width as isize + by[0]) as usize
    }

    /// Searches for patches of `from` that are more like those of `target`, whose hole already has a guess in it. No
    /// pixel's source is further than `reach` pixels from where it began, so that a thing stays a thing.
    pub(super) fn refine(&mut self, target: &Frame, from: &Frame, reach: isize, rng: &mut ChaCha8Rng) {
        let began = self.by.clone();
        let mut place_of = vec![usize::MAX; self.width * self.height];
        self.pixels.iter().enumerate().for_each(|(place, &pixel)| place_of[pixel] = place);
        let mut costs: Vec<u64> = (0..self.by.len())
            .map(|place| self.cost(target, from, place, self.by[place], u64::MAX))
            .collect();
        for pass in 0..PASSES {
            let back = pass % 2 == 1;
            for step in 0..self.pixels.len() {
                let place = if back { self.pixels.len() - 1 - step } else { step };
                let candidates = self.candidates(place, &place_of, back, began[place], reach, rng);
                for by in candidates {
                    let by = self.inside(place, by);
                    let far = (by[0] - began[place][0]).abs().max((by[1] - began[place][1]).abs());
                    if by == self.by[place] || far > reach {
                        continue;
                    }
                    let cost = self.cost(target, from, place, by, costs[place]);
                    if cost < costs[place] {
                        (self.by[place], costs[place]) = (by, cost);
                    }
                }
            }
        }
    }

    /// The offsets of the neighbours already visited (propagation), and random ones at shrinking distances (search).
    fn candidates(
        &self,
        place: usize,
        place_of: &[usize],
        back: bool,
        began: [isize; 2],
        reach: isize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<[isize; 2]> {
        let pixel = self.pixels[place];
        let (x, y) = (pixel % self.width, pixel / self.width);
        let beside = match back {
            false => [(x > 0).then(|| pixel - 1), (y > 0).then(|| pixel - self.width)],
            true => [
                (x + 1 < self.width).then_some(pixel + 1),
                (y + 1 < self.height).then_some(pixel + self.width),
            ],
        };
        let known = beside.into_iter().flatten().map(|pixel| place_of[pixel]).filter(|&p| p != usize::MAX);
        let mut candidates: Vec<[isize; 2]> = known.map(|place| self.by[place]).collect();
        let mut radius = reach;
        while radius >= 1 {
            let near =
                self.by[place].map(|by| by + rng.random_range(-(radius as i64)..=radius as i64) as isize);
            candidates.push(std::array::from_fn(|a| near[a].clamp(began[a] - reach, began[a] + reach)));
            radius /= 2;
        }
        candidates
    }

    /// Squared difference of the patches around a pixel and around its source, where both lie in their pictures, scaled to
    /// a whole patch; `least` ends it early.
    fn cost(&self, target: &Frame, from: &Frame, place: usize, by: [isize; 2], least: u64) -> u64 {
        let channels = target.colour.channels();
        let pixel = self.pixels[place];
        let [x, y] = [(pixel % self.width) as isize, (pixel / self.width) as isize];
        let [w, h] = [self.width as isize, self.height as isize];
        let (mut sum, mut count) = (0u64, 0u64);
        for v in (y - HALF).max(0).max(-by[1])..(y + HALF + 1).min(h).min(h - by[1]) {
            let [left, right] = [(x - HALF).max(0).max(-by[0]), (x + HALF + 1).min(w).min(w - by[0])];
            let row = |v: isize, u: isize| (v * w + u) as usize * channels;
            let a = &target.data[row(v, left)..row(v, right)];
            let b = &from.data[row(v + by[1], left + by[0])..row(v + by[1], right + by[0])];
            sum += a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>();
            count += a.len() as u64;
            if sum > least {
                return u64::MAX;
            }
        }
        sum * ((2 * HALF + 1) * (2 * HALF + 1)) as u64 * channels as u64 / count.max(1)
    }

    /// A picture of `from` in which each pixel of the hole is the mean of what the patches over it say of it; outside it is
    /// `around`.
    pub(super) fn voted(&self, from: &Frame, around: &Frame) -> Frame {
        let channels = from.colour.channels();
        let mut sums = vec![[0u32; 4]; self.width * self.height];
        let [w, h] = [self.width as isize, self.height as isize];
        for (place, &pixel) in self.pixels.iter().enumerate() {
            let [x, y] = [(pixel % self.width) as isize, (pixel / self.width) as isize];
            let source = self.source(place, self.by[place]);
            let [sx, sy] = [(source % self.width) as isize, (source / self.width) as isize];
            for dy in -1..=1 {
                for dx in -1..=1 {
                    let inside = |x: isize, y: isize| (0..w).contains(&x) && (0..h).contains(&y);
                    if !inside(x + dx, y + dy) || !inside(sx + dx, sy + dy) {
                        continue;
                    }
                    let taken = &from.data[((sy + dy) * w + sx + dx) as usize * channels..][..channels];
                    let sum = &mut sums[((y + dy) * w + x + dx) as usize];
                    sum.iter_mut().zip(taken).for_each(|(sum, &value)| *sum += u32::from(value));
                    sum[3] += 1;
                }
            }
        }
        let mut out = around.clone();
        for &pixel in &self.pixels {
            let sum = sums[pixel];
            let values = &mut out.data[pixel * channels..][..channels];
            values.iter_mut().zip(sum).for_each(|(value, total)| *value = (total / sum[3].max(1)) as u8);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::Colour;

    fn texture(width: usize, height: usize, shift: usize) -> Frame {
        let mut frame = Frame::filled(width, height, Colour::Grey, 0);
        for (i, value) in frame.data.iter_mut().enumerate() {
            let (x, y) = (i % width + shift, i / width);
            *value = ((x * x * 7 + y * y * 13 + x * y * 3) % 241) as u8;
        }
        frame
    }

    #[test]
    fn a_shifted_texture_is_found_where_it_went() {
        let (target, from) = (texture(40, 30, 0), texture(40, 30, 2));
        let mut hole = Mask::empty(40, 30);
        (8..20).for_each(|y| hole.data[y * 40 + 12..y * 40 + 26].fill(1));
        // The texture of `from` stands two columns further left; the search begins four columns beside that.
        let mut offsets = Offsets::constant(&hole, [2, 1]);
        offsets.refine(&target, &from, 6, &mut ChaCha8Rng::seed_from_u64(2));
        let right = offsets.by.iter().filter(|by| **by == [-2, 0]).count();
        assert!(right * 10 > offsets.by.len() * 9, "{right} of {}", offsets.by.len());
        let filled = offsets.voted(&from, &Frame::filled(40, 30, Colour::Grey, 0));
        let same =
            (0..hole.data.len()).filter(|&i| hole.data[i] != 0 && filled.data[i] == target.data[i]).count();
        assert!(same * 10 > offsets.by.len() * 8, "{same}");
        assert!((0..hole.data.len()).all(|i| hole.data[i] != 0 || filled.data[i] == 0));
    }

    #[test]
    fn sources_stay_in_the_picture_and_within_reach() {
        let (target, from) = (texture(20, 20, 0), texture(20, 20, 5));
        let hole = Mask { width: 20, height: 20, data: vec![1; 400] };
        let mut offsets = Offsets::constant(&hole, [9, -9]);
        let began = offsets.by.clone();
        offsets.refine(&target, &from, 3, &mut ChaCha8Rng::seed_from_u64(2));
        for (place, (by, began)) in offsets.by.iter().zip(began).enumerate() {
            let (x, y) = ((place % 20) as isize + by[0], (place / 20) as isize + by[1]);
            assert!((0..20).contains(&x) && (0..20).contains(&y));
            assert!((by[0] - began[0]).abs() <= 3 && (by[1] - began[1]).abs() <= 3);
        }
    }
}
