//! Filling with something from another time and place of the footage: wrong there, but plausible.
//!
//! Of some random places of other clips the one with the most in it is taken (what stands out from its clip's median), its
//! patches are matched to the surroundings by PatchMatch, and the result is blended in by Poisson's equation. The match is
//! made once a clip and its source moves on with its own clip, so that what is put in moves as things do (ours).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::patch_match::Offsets;
use super::{Inpaint, InpaintError, channel, check, poisson, put_channel};
use crate::{Frame, Mask};

/// Places that are looked at for something to put in.
const CANDIDATES: usize = 12;
/// How far a patch's source may be from the rest of what is put in, as a part of the frame's shorter side.
const REACH: f64 = 1.0 / 24.0;
/// Bytes of exemplars that are held at most.
const MOST_BYTES: usize = 128 << 20;

/// Fills holes from clips of footage.
#[derive(Debug)]
pub struct ExemplarFill {
    clips: Vec<Clip>,
}

/// Consecutive frames, and what stands out in the first one.
#[derive(Debug)]
struct Clip {
    frames: Vec<Frame>,
    /// |first frame − median of the clips|, mean over the channels.
    stands_out: Vec<f32>,
}

impl ExemplarFill {
    /// From `clips` of consecutive frames, all of one size; 128 MiB of them at most are kept.
    ///
    /// # Errors
    /// [`InpaintError::NoFootage`] if there is none, [`InpaintError::Shape`] if they differ in size.
    pub fn new(clips: Vec<Vec<Frame>>) -> Result<Self, InpaintError> {
        let mut bytes = 0;
        let fits = |clip: &Vec<Frame>| {
            bytes += clip.iter().map(|frame| frame.data.len()).sum::<usize>();
            bytes <= MOST_BYTES
        };
        let clips: Vec<Vec<Frame>> =
            clips.into_iter().filter(|clip| !clip.is_empty()).take_while(fits).collect();
        let Some(first) = clips.first().and_then(|clip| clip.first()) else {
            return Err(InpaintError::NoFootage { needed: 1 });
        };
        let all: Vec<Frame> = clips.iter().flatten().cloned().collect();
        check(&all, &vec![Mask::empty(first.width, first.height); all.len()])?;
        let median = median(&clips.iter().map(|clip| &clip[0]).collect::<Vec<_>>());
        let clip = |frames: Vec<Frame>| {
            let channels = frames[0].colour.channels();
            let differ = frames[0].data.iter().zip(&median).map(|(a, b)| f32::from(a.abs_diff(*b)));
            let differ: Vec<f32> = differ.collect();
            let mean = |pixel: &[f32]| pixel.iter().sum::<f32>() / channels as f32;
            Clip { stands_out: differ.chunks_exact(channels).map(mean).collect(), frames }
        };
        Ok(Self { clips: clips.into_iter().map(clip).collect() })
    }

    /// A clip and how far to go in it, for something to fill `hole` with.
    fn choose(&self, hole: &Mask, rng: &mut ChaCha8Rng) -> (&Clip, [isize; 2]) {
        let bounds = Bounds::of(hole);
        let draw = |rng: &mut ChaCha8Rng| {
            let clip = &self.clips[rng.random_range(0..self.clips.len())];
            let by = bounds.somewhere(rng);
            (clip.content(hole, by), clip, by)
        };
        let first = draw(rng);
        let best = (1..CANDIDATES).fold(first, |best, _| {
            let other = draw(rng);
            if other.0 > best.0 { other } else { best }
        });
        (best.1, best.2)
    }
}

impl Clip {
    /// How much stands out in the hole's shape, taken elsewhere: its mean.
    fn content(&self, hole: &Mask, by: [isize; 2]) -> f32 {
        let shift = by[1] * hole.width as isize + by[0];
        let places = hole.data.iter().enumerate().filter(|(_, set)| **set != 0);
        let (mut sum, mut count) = (0.0, 0.0);
        for (i, _) in places {
            sum += self.stands_out[(i as isize + shift) as usize];
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

/// The rectangle around a hole.
struct Bounds {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    width: usize,
    height: usize,
}

impl Bounds {
    fn of(hole: &Mask) -> Self {
        let (width, height) = (hole.width, hole.height);
        let mut bounds = Self { left: width, right: 0, top: height, bottom: 0, width, height };
        for (i, _) in hole.data.iter().enumerate().filter(|(_, set)| **set != 0) {
            let (x, y) = (i % width, i / width);
            (bounds.left, bounds.right) = (bounds.left.min(x), bounds.right.max(x));
            (bounds.top, bounds.bottom) = (bounds.top.min(y), bounds.bottom.max(y));
        }
        bounds
    }

    /// How far the rectangle may go, and still lie in the picture.
    fn somewhere(&self, rng: &mut ChaCha8Rng) -> [isize; 2] {
        if self.left > self.right {
            return [0, 0];
        }
        let along = |low: usize, high: usize, side: usize, rng: &mut ChaCha8Rng| {
            rng.random_range(-(low as i64)..=(side - 1 - high) as i64) as isize
        };
        [along(self.left, self.right, self.width, rng), along(self.top, self.bottom, self.height, rng)]
    }
}

/// Each byte's median over frames.
fn median(frames: &[&Frame]) -> Vec<u8> {
    let mut values = vec![0u8; frames.len()];
    let middle = values.len() / 2;
    let at = |i: usize| {
        values.iter_mut().zip(frames).for_each(|(value, frame)| *value = frame.data[i]);
        *values.select_nth_unstable(middle).1
    };
    (0..frames[0].data.len()).map(at).collect()
}

impl Inpaint for ExemplarFill {
    fn name(&self) -> &'static str {
        "patch"
    }

    fn fill(
        &self,
        frames: &[Frame],
        holes: &[Mask],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Frame>, InpaintError> {
        check(frames, holes)?;
        let (Some(first), Some(hole)) = (frames.first(), holes.first()) else { return Ok(Vec::new()) };
        let known = &self.clips[0].frames[0];
        if (first.width, first.height, first.colour) != (known.width, known.height, known.colour) {
            return Err(InpaintError::Shape {
                got: format!("a frame of {}×{} {:?}", first.width, first.height, first.colour),
                expected: format!("{}×{} {:?}", known.width, known.height, known.colour),
            });
        }
        let (clip, by) = self.choose(hole, rng);
        let mut offsets = Offsets::constant(hole, by);
        let guess = offsets.voted(&clip.frames[0], first);
        let reach = ((first.width.min(first.height) as f64 * REACH) as isize).max(1);
        offsets.refine(&guess, &clip.frames[0], reach, rng);
        let mut out = Vec::with_capacity(frames.len());
        for (t, (frame, hole_now)) in frames.iter().zip(holes).enumerate() {
            // A clip shorter than this one stands still after its last frame.
            let from = &clip.frames[t.min(clip.frames.len() - 1)];
            let now = if hole_now == hole { offsets.clone() } else { Offsets::constant(hole_now, by) };
            out.push(blended(frame, &now.voted(from, frame), hole_now));
        }
        Ok(out)
    }
}

/// The frame with the source's gradients in the hole.
fn blended(frame: &Frame, source: &Frame, hole: &Mask) -> Frame {
    let mut out = frame.clone();
    for c in 0..frame.colour.channels() {
        let mut values = channel(frame, c);
        poisson::clone(&mut values, &channel(source, c), hole);
        put_channel(&mut out, c, &values, hole);
    }
    out
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::Colour;
    use crate::inpaint::MaskGenerator;

    /// A ground of stripes with a bright block that goes right.
    fn clip(colour: Colour, at: usize) -> Vec<Frame> {
        let frame = |t: usize| {
            let mut frame = Frame::filled(64, 48, colour, 0);
            for (i, pixel) in frame.data.chunks_exact_mut(colour.channels()).enumerate() {
                let (x, y) = (i % 64, i / 64);
                let block = (at + t..at + t + 8).contains(&x) && (10..26).contains(&y);
                pixel.fill(if block { 210 } else { 80 + (y % 8) as u8 });
            }
            frame
        };
        (0..6).map(frame).collect()
    }

    #[test]
    fn something_else_is_put_in_and_nothing_changes_outside() {
        for colour in [Colour::Grey, Colour::Rgb] {
            let fill = ExemplarFill::new((0..6).map(|i| clip(colour, 6 + 8 * i)).collect()).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let frames = clip(colour, 2);
            let mut seen = 0;
            for _ in 0..20 {
                let hole = MaskGenerator::new(64, 48).draw(&mut rng);
                let mut again = rng.clone();
                let holes = vec![hole.clone(); 6];
                let filled = fill.fill(&frames, &holes, &mut rng).unwrap();
                assert_eq!(filled, fill.fill(&frames, &holes, &mut again).unwrap(), "the same bytes");
                let channels = colour.channels();
                for (new, old) in filled.iter().zip(&frames) {
                    for (i, (new, old)) in
                        new.data.chunks(channels).zip(old.data.chunks(channels)).enumerate()
                    {
                        assert!(hole.data[i] != 0 || new == old);
                        seen += usize::from(new[0].abs_diff(old[0]) > 40);
                    }
                }
            }
            assert!(seen > 1000, "{seen} pixels are plainly others");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        assert!(matches!(ExemplarFill::new(Vec::new()), Err(InpaintError::NoFootage { .. })));
        let fill = ExemplarFill::new(vec![clip(Colour::Grey, 3)]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let frames = [Frame::filled(64, 48, Colour::Grey, 0)];
        let wrong = fill.fill(&frames, &[Mask::empty(8, 8)], &mut rng);
        assert!(matches!(wrong, Err(InpaintError::Shape { .. })));
        assert!(fill.fill(&frames, &[], &mut rng).is_err());
        let empty = fill.fill(&frames, &[Mask::empty(64, 48)], &mut rng).unwrap();
        assert_eq!(empty, frames, "an empty hole changes nothing");
    }
}
