//! What the flows see of a clip: its features pooled over channels, one set of maps for each feature frame.

use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use crate::{InputFormat, SystemError};

/// Maps of a static feature frame: largest and mean value over the channels, and the frame itself in grey.
pub(super) const STATIC: usize = 3;
/// Maps of a dynamic feature frame: largest and mean value over the channels.
pub(super) const DYNAMIC: usize = 2;
/// The picture is this many times as wide and high as the features.
pub(super) const SHRINK: usize = 4;

/// The maps of a clip's feature frames, `[frame, map, height, width]`: every fourth frame by the static path, all by
/// the dynamic one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Maps {
    /// Of the static path.
    pub(super) appearance: Vec<f32>,
    /// Of the dynamic path.
    pub(super) motion: Vec<f32>,
}

impl Maps {
    /// Of one clip `[channels, length, height, width]` in [−1, 1] and its features, each `[channels, time, height,
    /// width]` with `shapes`: the static path's, then the dynamic path's.
    pub(super) fn of(
        clip: &[f32],
        format: InputFormat,
        features: [&[f32]; 2],
        shapes: [[usize; 4]; 2],
    ) -> Self {
        let [_, taps, height, width] = shapes[0];
        let plane = height * width;
        let pooled = pooled(features[0], shapes[0]);
        let mut appearance = Vec::with_capacity(STATIC * taps * plane);
        for (tap, maps) in pooled.chunks_exact(DYNAMIC * plane).enumerate() {
            appearance.extend(maps);
            appearance.extend(shrunk(clip, format, tap * shapes[1][1] / taps));
        }
        Self { appearance, motion: self::pooled(features[1], shapes[1]) }
    }

    /// Each map less its mean, in its own deviations.
    pub(super) fn standardise(&mut self, scales: &Scales, plane: usize) {
        let (appearance, motion) = scales.0.split_at(STATIC);
        for (maps, scales) in [(&mut self.appearance, appearance), (&mut self.motion, motion)] {
            for (map, [mean, deviation]) in maps.chunks_exact_mut(plane).zip(scales.iter().cycle()) {
                map.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
            }
        }
    }
}

/// Largest and mean value over the channels of each feature frame: `[time, 2, height, width]`.
fn pooled(features: &[f32], [channels, time, height, width]: [usize; 4]) -> Vec<f32> {
    let plane = height * width;
    let mut maps = vec![0.0; time * DYNAMIC * plane];
    for (t, maps) in maps.chunks_exact_mut(DYNAMIC * plane).enumerate() {
        let (largest, mean) = maps.split_at_mut(plane);
        largest.fill(f32::NEG_INFINITY);
        for c in 0..channels {
            let values = &features[(c * time + t) * plane..][..plane];
            for ((largest, mean), value) in largest.iter_mut().zip(mean.iter_mut()).zip(values) {
                *largest = largest.max(*value);
                *mean += value / channels as f32;
            }
        }
    }
    maps
}

/// Frame `t` of a clip in grey at the features' size: the mean of each 4×4 square and of the channels.
fn shrunk(clip: &[f32], format: InputFormat, t: usize) -> Vec<f32> {
    let InputFormat { width, height, colour } = format;
    let channels = colour.channels();
    let length = clip.len() / format.frame_bytes();
    let mut grey = vec![0.0f32; (width / SHRINK) * (height / SHRINK)];
    let share = 1.0 / (SHRINK * SHRINK * channels) as f32;
    for c in 0..channels {
        let plane = &clip[(c * length + t) * width * height..][..width * height];
        for (i, value) in plane.iter().enumerate() {
            let (x, y) = (i % width / SHRINK, i / width / SHRINK);
            grey[y * (width / SHRINK) + x] += share * value;
        }
    }
    grey
}

/// Mean and deviation of each map over training footage: the static path's, then the dynamic path's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scales([[f32; 2]; STATIC + DYNAMIC]);

impl Scales {
    const NAME: &'static str = "maps.scales";

    /// Over all maps of several clips.
    pub(super) fn of(clips: &[Maps], plane: usize) -> Self {
        let mut sums = [[0.0f64; 3]; STATIC + DYNAMIC];
        for Maps { appearance, motion } in clips {
            let of = |maps, first, count| (maps, first, count);
            for (maps, first, count) in [of(appearance, 0, STATIC), of(motion, STATIC, DYNAMIC)] {
                for (place, map) in maps.chunks_exact(plane).enumerate() {
                    let [n, sum, squares] = &mut sums[first + place % count];
                    *n += plane as f64;
                    map.iter().map(|&v| f64::from(v)).for_each(|v| {
                        *sum += v;
                        *squares += v * v;
                    });
                }
            }
        }
        Self(sums.map(|[n, sum, squares]| {
            let mean = sum / n.max(1.0);
            let variance = (squares / n.max(1.0) - mean * mean).max(0.0);
            // A map without any variance says nothing, and must not divide by nothing.
            [mean as f32, variance.sqrt().max(1e-6) as f32]
        }))
    }

    /// As an array of a weight file.
    pub(super) fn named(&self) -> NamedTensor {
        let values = self.0.concat();
        NamedTensor { name: Self::NAME.to_owned(), shape: vec![STATIC + DYNAMIC, 2], values }
    }

    /// Takes the array out of a weight file.
    pub(super) fn take(file: &mut WeightFile) -> Result<Self, SystemError> {
        let values = file.tensors.remove(Self::NAME).map(|(_, values)| values).unwrap_or_default();
        let (pairs, rest) = values.as_chunks::<2>();
        let fits =
            |[mean, deviation]: &[f32; 2]| mean.is_finite() && *deviation > 0.0 && deviation.is_finite();
        match <[[f32; 2]; STATIC + DYNAMIC]>::try_from(pairs) {
            Ok(scales) if rest.is_empty() && scales.iter().all(fits) => Ok(Self(scales)),
            _ => Err(SystemError::Model { reason: format!("`{}` is missing or odd", Self::NAME) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use vadis_video::Colour;

    use super::*;

    /// Naive loops over the same sums.
    #[test]
    fn maps_are_pooled_over_channels_and_standardised() {
        let format = InputFormat { width: 8, height: 8, colour: Colour::Rgb };
        let noise =
            |n: usize, k: usize| -> Vec<f32> { (0..n).map(|i| ((i * k) % 97) as f32 / 97.0).collect() };
        let (clip, length, plane) = (noise(3 * 8 * 64, 31), 8, 4);
        let shapes = [[5, 2, 2, 2], [3, 8, 2, 2]];
        let features = [noise(5 * 2 * 4, 41), noise(3 * 8 * 4, 43)];
        let mut maps = Maps::of(&clip, format, [&features[0], &features[1]], shapes);
        assert_eq!((maps.appearance.len(), maps.motion.len()), (2 * STATIC * plane, 8 * DYNAMIC * plane));
        let channel = |c: usize| features[1][(c * 8 + 6) * plane + 3];
        let (largest, mean) =
            ((0..3).map(channel).fold(0.0, f32::max), (0..3).map(channel).sum::<f32>() / 3.0);
        let motion = &maps.motion[6 * DYNAMIC * plane..];
        assert!(motion[3] == largest && (motion[plane + 3] - mean).abs() < 1e-6);
        // The lower right square of the second tap, frame 4.
        let pixel = |c: usize, y: usize, x: usize| clip[((c * length + 4) * 8 + y) * 8 + x];
        let sum: f32 = (0..3 * 16).map(|i| pixel(i / 16, 4 + i % 16 / 4, 4 + i % 4)).sum();
        assert!((maps.appearance[(STATIC + 2) * plane + 3] - sum / 48.0).abs() < 1e-5);

        let scales = Scales::of(std::slice::from_ref(&maps), plane);
        maps.standardise(&scales, plane);
        let again = Scales::of(std::slice::from_ref(&maps), plane);
        for [mean, deviation] in again.0 {
            assert!(mean.abs() < 1e-4 && (deviation - 1.0).abs() < 1e-3, "{mean} {deviation}");
        }
        let mut file = WeightFile::default();
        file.insert(scales.named());
        assert_eq!(Scales::take(&mut file).unwrap(), scales);
        assert!(Scales::take(&mut file).is_err());
    }
}
