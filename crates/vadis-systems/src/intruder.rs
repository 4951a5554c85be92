//! Pictures of what does not belong there: the user's, or textures that are made up.

use std::f32::consts::TAU;
use std::path::Path;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use vadis_video::{Colour, Frame, FrameFormat, FrameReader, ReadOptions, VideoError, discover_path, resize};

use crate::SystemError;
use crate::preset::setting;

/// Side to which the user's pictures are scaled; CIFAR's have 32 pixels.
const SIDE: usize = 64;
/// Most of the user's pictures that are kept.
const MOST: u64 = 4096;
/// Waves in a made-up texture.
const WAVES: usize = 4;
/// Standard deviation-like spread of its grain, for values in [−1, 1].
const GRAIN: f32 = 0.15;

/// Where intruders come from.
#[derive(Debug)]
pub(crate) struct Intruders {
    /// The user's, `SIDE`×`SIDE`; none for made-up ones.
    pictures: Vec<Frame>,
    channels: usize,
}

impl Intruders {
    /// The pictures in a folder; of an empty path, textures.
    ///
    /// # Errors
    /// [`SystemError::Setting`] if the folder has none that can be read.
    pub(crate) fn open(folder: &str, colour: Colour) -> Result<Self, SystemError> {
        let channels = colour.channels();
        if folder.is_empty() {
            return Ok(Self { pictures: Vec::new(), channels });
        }
        let pictures = read(Path::new(folder), colour).map_err(|e| setting("intruders", e))?;
        match pictures.is_empty() {
            true => Err(setting("intruders", format!("{folder} has no pictures"))),
            false => Ok(Self { pictures, channels }),
        }
    }

    /// An intruder `[channels, height, width]` in [−1, 1].
    pub(crate) fn draw(&self, width: usize, height: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        if self.pictures.is_empty() {
            return texture(self.channels, width, height, rng);
        }
        let picture = &self.pictures[rng.random_range(0..self.pictures.len())];
        let mirrored = rng.random_bool(0.5);
        // Sizes within a frame's are always valid.
        let Ok(picture) = resize(picture, width, height) else {
            return vec![0.0; self.channels * width * height];
        };
        let value = |i: usize| {
            let (channel, y, x) = (i / (width * height), i / width % height, i % width);
            let x = if mirrored { width - 1 - x } else { x };
            f32::from(picture.data[(y * width + x) * self.channels + channel]) / 127.5 - 1.0
        };
        (0..self.channels * width * height).map(value).collect()
    }
}

fn read(folder: &Path, colour: Colour) -> Result<Vec<Frame>, VideoError> {
    let format = FrameFormat { size: Some((SIDE, SIDE)), colour };
    let mut pictures = Vec::new();
    for source in discover_path(folder)? {
        let options =
            ReadOptions { max_frames: Some(MOST - pictures.len() as u64), ..ReadOptions::default() };
        pictures.extend(FrameReader::open(&source, &format, &options)?.collect::<Result<Vec<_>, _>>()?);
        if pictures.len() as u64 >= MOST {
            break;
        }
    }
    Ok(pictures)
}

/// One pattern of a few waves, with grain.
struct Pattern {
    base: Vec<f32>,
    /// Direction and frequency in cycles a picture, phase, and height for each channel.
    waves: Vec<([f32; 2], f32, Vec<f32>)>,
}

impl Pattern {
    fn new(channels: usize, rng: &mut ChaCha8Rng) -> Self {
        let base = (0..channels).map(|_| rng.random_range(-0.9..=0.9)).collect();
        let wave = |rng: &mut ChaCha8Rng| {
            let (angle, cycles) = (rng.random_range(0.0..TAU), rng.random_range(0.3..6.0f32));
            let height = (0..channels).map(|_| rng.random_range(-0.5..=0.5)).collect();
            ([cycles * angle.cos(), cycles * angle.sin()], rng.random_range(0.0..TAU), height)
        };
        Self { base, waves: (0..WAVES).map(|_| wave(rng)).collect() }
    }

    fn at(&self, channel: usize, [u, v]: [f32; 2]) -> f32 {
        let wave = |([along, down], phase, height): &([f32; 2], f32, Vec<f32>)| {
            height[channel] * (TAU * (along * u + down * v) + phase).sin()
        };
        self.base[channel] + self.waves.iter().map(wave).sum::<f32>()
    }
}

/// A figure of one pattern on a ground of another (ours): edges, shading and grain as pictures of things have them, and
/// nothing of any scene.
fn texture(channels: usize, width: usize, height: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let [ground, figure] = [Pattern::new(channels, rng), Pattern::new(channels, rng)];
    let middle: [f32; 2] = std::array::from_fn(|_| rng.random_range(0.3..0.7));
    let radii: [f32; 2] = std::array::from_fn(|_| rng.random_range(0.15..0.45));
    let round = rng.random_bool(0.5);
    let mut out = Vec::with_capacity(channels * width * height);
    for channel in 0..channels {
        for i in 0..width * height {
            let place = [(i % width) as f32 / width as f32, (i / width) as f32 / height as f32];
            let [a, b] = std::array::from_fn(|axis| (place[axis] - middle[axis]) / radii[axis]);
            let inside = if round { a * a + b * b < 1.0 } else { a.abs().max(b.abs()) < 1.0 };
            let pattern = if inside { &figure } else { &ground };
            out.push((pattern.at(channel, place) + rng.random_range(-GRAIN..=GRAIN)).clamp(-1.0, 1.0));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn textures_differ_and_lie_in_range() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let made_up = Intruders::open("", Colour::Rgb).unwrap();
        let textures: Vec<Vec<f32>> = (0..20).map(|_| made_up.draw(17, 9, &mut rng)).collect();
        for (i, texture) in textures.iter().enumerate() {
            assert_eq!(texture.len(), 3 * 17 * 9);
            assert!(texture.iter().all(|v| (-1.0..=1.0).contains(v)));
            let spread = |v: &[f32]| {
                v.iter().copied().fold(f32::MIN, f32::max) - v.iter().copied().fold(f32::MAX, f32::min)
            };
            assert!(spread(texture) > 0.2, "not flat");
            assert!(textures[..i].iter().all(|other| other != texture));
        }
    }

    #[test]
    fn the_users_pictures_are_taken_and_a_wrong_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let wrong = Intruders::open(missing.to_str().unwrap(), Colour::Grey);
        assert!(matches!(wrong, Err(SystemError::Setting { key, .. }) if key == "intruders"));
        assert!(Intruders::open(folder.path().to_str().unwrap(), Colour::Grey).is_err());
        // Portable greymaps are no format of image folders; a bitmap of one colour is easily written by hand.
        std::fs::write(folder.path().join("a.bmp"), bitmap([40, 80, 200])).unwrap();
        let given = Intruders::open(folder.path().to_str().unwrap(), Colour::Rgb).unwrap();
        let drawn = given.draw(5, 3, &mut ChaCha8Rng::seed_from_u64(0));
        let expected = [40.0, 80.0, 200.0].map(|v: f32| v / 127.5 - 1.0);
        assert!(drawn.iter().enumerate().all(|(i, v)| (v - expected[i / 15]).abs() < 1e-6), "{drawn:?}");
    }

    /// 2×2 pixels of one colour.
    fn bitmap([r, g, b]: [u8; 3]) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        for value in [70u32, 0, 54, 40, 2, 2, 1 | (24 << 16), 0, 16, 0, 0, 0, 0] {
            bytes.extend(value.to_le_bytes());
        }
        (0..2).for_each(|_| bytes.extend([b, g, r, b, g, r, 0, 0]));
        bytes
    }
}
