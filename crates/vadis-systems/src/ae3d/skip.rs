//! Skipped frames (LNTRA, STEAL Net): motion that is too fast.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::SkipConfig;
use crate::SystemError;
use crate::clips::{Run, read_clip};
use crate::examples::{ClipSource, Example, PlainClips};

/// Clips of which some skip frames; what is to be made of them is the clip from the same beginning that skips none.
pub(super) struct Skipped<'a, P> {
    pub(super) config: &'a SkipConfig,
    pub(super) clips: PlainClips<'a, P>,
    /// Stretches without a gap, beyond which no clip may reach.
    pub(super) runs: &'a [Run],
    /// 1 where the network learns to undo the skipping, −1 where it is pushed away from doing so.
    pub(super) sign: f32,
}

impl<P: Fn(&[u8]) -> Vec<f32> + Sync> Skipped<'_, P> {
    /// The strides at which a clip from `start` on stays in its run.
    fn fitting(&self, start: usize) -> Vec<usize> {
        let end = self.runs.iter().find(|run| run.contains(&start)).map_or(0, |run| run.end);
        let fits = |stride: &usize| start + (self.clips.length - 1) * stride < end;
        self.config.strides.iter().copied().filter(fits).collect()
    }
}

impl<P: Fn(&[u8]) -> Vec<f32> + Sync> ClipSource for Skipped<'_, P> {
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
        self.clips.clip(start)
    }

    fn example(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
        let clip = self.clip(start)?;
        let chosen = rng.random_bool(self.config.probability);
        let Some(&stride) = self.fitting(start).choose(rng).filter(|_| chosen) else {
            return Ok(Example::plain(clip));
        };
        let places: Vec<usize> = (0..self.clips.length).map(|i| start + i * stride).collect();
        let fast = read_clip(self.clips.footage, &places, &self.clips.planes)?;
        Ok(Example { sign: self.sign, ..Example::undo(fast, clip) })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use vadis_video::{Colour, Frame};

    use super::*;
    use crate::{FrameStoreWriter, InputFormat};

    #[test]
    fn skipping_stays_in_its_source_and_is_undone_to_the_same_beginning() {
        let format = InputFormat { width: 1, height: 1, colour: Colour::Grey };
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), format, 99).unwrap();
        for t in 0..40u8 {
            let frame = Frame { index: u64::from(t), ..Frame::filled(1, 1, Colour::Grey, t) };
            writer.push(usize::from(t >= 20), &frame).unwrap();
        }
        let footage = writer.finish().unwrap();
        let planes = |bytes: &[u8]| vec![f32::from(bytes[0])];
        let clips = PlainClips { footage: &footage, length: 4, planes };
        let config = SkipConfig { probability: 0.5, strides: vec![2, 3, 5] };
        let runs = [0..20, 20..40];
        let skipped = Skipped { config: &config, clips, runs: &runs, sign: -1.0 };
        assert_eq!(skipped.fitting(4), [2, 3, 5]);
        assert_eq!(skipped.fitting(5), [2, 3]);
        assert_eq!(skipped.fitting(14), [0usize; 0]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let examples: Vec<Example> = (0..400).map(|_| skipped.example(21, &mut rng).unwrap()).collect();
        let changed: Vec<&Example> = examples.iter().filter(|e| e.target.is_some()).collect();
        assert!((160..240).contains(&changed.len()), "{} of 400", changed.len());
        for example in changed {
            let stride = example.input[1] - example.input[0];
            assert!([2.0, 3.0, 5.0].contains(&stride) && example.sign == -1.0);
            assert_eq!(example.input, [0.0, 1.0, 2.0, 3.0].map(|i| 21.0 + i * stride));
            assert_eq!(example.target.as_deref(), Some(&[21.0, 22.0, 23.0, 24.0][..]));
        }
        assert_eq!(skipped.example(36, &mut rng).unwrap(), Example::plain(vec![36.0, 37.0, 38.0, 39.0]));
    }
}
