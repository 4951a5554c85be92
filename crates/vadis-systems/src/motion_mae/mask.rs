//! Which pixels are hidden, and how much an error weighs.

use rand::Rng;
use rand::seq::SliceRandom;

/// A picture in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Side of a block in pixels; those at the right and lower border may be cut.
    pub(super) side: usize,
}

impl Blocks {
    fn columns(self) -> usize {
        self.width.div_ceil(self.side)
    }

    fn count(self) -> usize {
        self.columns() * self.height.div_ceil(self.side)
    }

    /// 1 for each pixel of the blocks that are `hidden`.
    fn pixels(self, hidden: impl Fn(usize) -> bool) -> Vec<f32> {
        let block =
            |pixel: usize| pixel / self.width / self.side * self.columns() + pixel % self.width / self.side;
        let value = |pixel: usize| if hidden(block(pixel)) { 1.0 } else { 0.0 };
        (0..self.width * self.height).map(value).collect()
    }

    /// 1 for each pixel that is hidden: a `ratio` of the blocks, drawn at random.
    pub(super) fn random(self, ratio: f64, rng: &mut impl Rng) -> Vec<f32> {
        let count = self.count();
        let hidden = (count as f64 * ratio).round() as usize;
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(rng);
        let mut is_hidden = vec![false; count];
        order[..hidden].iter().for_each(|&block| is_hidden[block] = true);
        self.pixels(|block| is_hidden[block])
    }

    /// Masks that together hide every pixel exactly once, each of them about a `ratio` of the blocks, at least two
    /// masks: a chequerboard for a half, diagonals for less, so that a hidden block has visible ones around it. A
    /// `ratio` of 0 hides nothing: one mask of zeros.
    pub(super) fn complementary(self, ratio: f64) -> Vec<Vec<f32>> {
        if ratio == 0.0 {
            return vec![vec![0.0; self.width * self.height]];
        }
        let masks = ((1.0 / ratio).round() as usize).clamp(2, self.count().max(2));
        let of = |block: usize| (block % self.columns() + block / self.columns()) % masks;
        (0..masks).map(|mask| self.pixels(|block| of(block) == mask)).collect()
    }
}

/// A frame's motion gradient g = |I_{t−1} − I_{t+1}|, for pixels in [0, 1]; 0 where a pixel does not count.
pub(super) fn motion_gradient(before: &[f32], after: &[f32], counts: &[f32]) -> Vec<f32> {
    before.iter().zip(after).zip(counts).map(|((a, b), count)| (a - b).abs() * count).collect()
}

/// A pixel's weight (ε + g)/(ε + mean g), of mean 1 over the pixels that count, and 0 elsewhere.
pub(super) fn motion_weights(gradient: &[f32], counts: &[f32], epsilon: f32) -> Vec<f32> {
    let counted: f64 = counts.iter().map(|&c| f64::from(c)).sum();
    let sum: f64 = gradient.iter().zip(counts).map(|(&g, &c)| f64::from(g) * f64::from(c)).sum();
    let mean = (sum / counted.max(1.0)) as f32;
    gradient.iter().zip(counts).map(|(g, count)| count * (epsilon + g) / (epsilon + mean)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    proptest! {
        #[test]
        fn every_pixel_is_hidden_exactly_once(
            width in 1usize..50, height in 1usize..50, side in 1usize..12, ratio in 0.05f64..0.9,
        ) {
            let masks = Blocks { width, height, side }.complementary(ratio);
            prop_assert!(masks.len() >= 2);
            for pixel in 0..width * height {
                prop_assert_eq!(masks.iter().map(|mask| mask[pixel]).sum::<f32>(), 1.0);
            }
        }

        #[test]
        fn weights_have_the_mean_one(gradient in prop::collection::vec(0.0f32..1.0, 1..300), epsilon in 0.001f32..1.0) {
            let counts: Vec<f32> = (0..gradient.len()).map(|i| if i % 5 == 3 { 0.0 } else { 1.0 }).collect();
            let gradient: Vec<f32> = gradient.iter().zip(&counts).map(|(g, c)| g * c).collect();
            let weights = motion_weights(&gradient, &counts, epsilon);
            let mean = weights.iter().sum::<f32>() / counts.iter().sum::<f32>();
            prop_assert!((mean - 1.0).abs() < 1e-4, "{}", mean);
        }
    }

    #[test]
    fn half_of_the_blocks_are_hidden_at_random_and_whole() {
        let blocks = Blocks { width: 200, height: 200, side: 10 };
        let draw = |seed| blocks.random(0.5, &mut ChaCha8Rng::seed_from_u64(seed));
        let mask = draw(1);
        assert_eq!(mask.iter().sum::<f32>(), 20_000.0);
        assert!(mask.chunks_exact(10).all(|run| run.iter().all(|v| *v == run[0])));
        assert_ne!(mask, draw(2));
    }

    #[test]
    fn two_masks_are_a_chequerboard_and_none_hides_nothing() {
        let blocks = Blocks { width: 6, height: 4, side: 2 };
        let masks = blocks.complementary(0.5);
        let row = [1., 1., 0., 0., 1., 1.];
        let other = row.map(|v| 1.0 - v);
        assert_eq!(masks[0], [row, row, other, other].concat());
        assert_eq!(blocks.complementary(0.0), [vec![0.0; 24]]);
        assert_eq!(blocks.complementary(0.25).len(), 4);
    }
}
