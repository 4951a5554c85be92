//! Intruders (LNTRA): a picture that does not belong there wanders through the clip.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::SystemError;
use crate::ae3d::PatchConfig;
use crate::examples::{ClipSource, Example, PlainClips};
use crate::intruder::Intruders;

/// Smallest side of an intruder, as a share of the frame's (ours).
const SMALLEST: f64 = 0.1;
/// Part of an intruder's shorter side over which its border fades in linearly (SmoothMixS; the width is ours).
const BORDER: f32 = 0.25;

/// Clips of which some have an intruder; what is to be made of them is the clip without it.
pub(crate) struct Pasted<'a, P> {
    config: &'a PatchConfig,
    intruders: Intruders,
    clips: PlainClips<'a, P>,
    /// From a value in [−1, 1] to one of the clips'.
    values: fn(f32) -> f32,
}

impl<'a, P: Fn(&[u8]) -> Vec<f32> + Sync> Pasted<'a, P> {
    /// Of clips in which `values` stands for a value in [−1, 1].
    pub(crate) fn new(
        config: &'a PatchConfig,
        clips: PlainClips<'a, P>,
        values: fn(f32) -> f32,
    ) -> Result<Self, SystemError> {
        let colour = clips.footage.format().colour;
        Ok(Self { config, intruders: Intruders::open(&config.intruders, colour)?, clips, values })
    }
}

impl<P: Fn(&[u8]) -> Vec<f32> + Sync> ClipSource for Pasted<'_, P> {
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
        self.clips.clip(start)
    }

    fn example(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
        let clip = self.clip(start)?;
        if !rng.random_bool(self.config.probability) {
            return Ok(Example::plain(clip));
        }
        let format = self.clips.footage.format();
        let frame = Size { width: format.width, height: format.height };
        let side = |side: usize, rng: &mut ChaCha8Rng| {
            let share = rng.random_range(SMALLEST..=self.config.largest);
            ((side as f64 * share) as usize).clamp(2, side)
        };
        let size = Size { width: side(frame.width, rng), height: side(frame.height, rng) };
        let mut picture = self.intruders.draw(size.width, size.height, rng);
        picture.iter_mut().for_each(|value| *value = (self.values)(*value));
        let path = wander(frame, self.clips.length, self.config.moves, rng);
        let mut pasted = clip.clone();
        let planes = pasted.chunks_exact_mut(frame.width * frame.height);
        for (number, plane) in planes.enumerate() {
            let (channel, t) = (number / path.len(), number % path.len());
            let area = size.width * size.height;
            paste(plane, frame, &picture[channel * area..][..area], size, path[t]);
        }
        Ok(Example::undo(pasted, clip))
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy)]
struct Size {
    width: usize,
    height: usize,
}

/// Where the centre is in each frame: it begins anywhere and moves at most `moves` pixels a frame along each axis, within
/// the frame.
fn wander(frame: Size, length: usize, moves: f64, rng: &mut ChaCha8Rng) -> Vec<[f64; 2]> {
    let most = [frame.width, frame.height].map(|side| (side - 1) as f64);
    let mut centre = most.map(|most| rng.random_range(0.0..=most));
    let mut path = Vec::with_capacity(length);
    for _ in 0..length {
        path.push(centre);
        for (place, most) in centre.iter_mut().zip(most) {
            *place = (*place + rng.random_range(-moves..=moves)).clamp(0.0, most);
        }
    }
    path
}

/// Mixes a picture into a plane around `centre`; what lies outside is cut off.
fn paste(plane: &mut [f32], frame: Size, picture: &[f32], size: Size, centre: [f64; 2]) {
    let left = (centre[0] - size.width as f64 / 2.0).round() as isize;
    let top = (centre[1] - size.height as f64 / 2.0).round() as isize;
    for (i, &value) in picture.iter().enumerate() {
        let (x, y) = (i % size.width, i / size.width);
        let place = |from: isize, at: usize, side: usize| {
            usize::try_from(from + at as isize).ok().filter(|&place| place < side)
        };
        let (Some(column), Some(row)) = (place(left, x, frame.width), place(top, y, frame.height)) else {
            continue;
        };
        let old = &mut plane[row * frame.width + column];
        *old += opacity(x, y, size) * (value - *old);
    }
}

/// 1 inside, falling linearly to 0 at the border.
fn opacity(x: usize, y: usize, size: Size) -> f32 {
    let ramp = (size.width.min(size.height) as f32 * BORDER).max(1.0);
    let inside = |at: usize, side: usize| (at as f32 + 0.5).min(side as f32 - at as f32 - 0.5);
    (inside(x, size.width).min(inside(y, size.height)) / ramp).min(1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_path_moves_no_further_than_told_and_stays_inside() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut far = 0.0f64;
        for _ in 0..200 {
            let path = wander(Size { width: 60, height: 20 }, 16, 10.0, &mut rng);
            assert_eq!(path.len(), 16);
            assert!(path.iter().all(|[x, y]| (0.0..=59.0).contains(x) && (0.0..=19.0).contains(y)));
            let steps = path.windows(2).flat_map(|w| [(w[1][0] - w[0][0]).abs(), (w[1][1] - w[0][1]).abs()]);
            far = steps.fold(far, f64::max);
        }
        assert!((9.5..=10.0).contains(&far), "{far}");
    }

    #[test]
    fn a_border_fades_linearly_and_nothing_else_changes() {
        let (frame, size) = (Size { width: 20, height: 14 }, Size { width: 8, height: 8 });
        let mut plane = vec![0.0; 20 * 14];
        paste(&mut plane, frame, &[1.0; 64], size, [10.0, 7.0]);
        let row: Vec<f32> = plane[7 * 20 + 6..7 * 20 + 14].to_vec();
        assert_eq!(row, [0.25, 0.75, 1.0, 1.0, 1.0, 1.0, 0.75, 0.25]);
        assert_eq!(plane.iter().filter(|v| **v > 0.0).count(), 64);
        paste(&mut plane, frame, &[1.0; 64], size, [0.0, 0.0]);
        assert_eq!(plane[0], 1.0, "cut off at the corner");
    }
}
