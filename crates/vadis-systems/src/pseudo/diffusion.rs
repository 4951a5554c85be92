//! Inpainting by latent diffusion, the paper's way, behind the trait that all ways share.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vadis_nn::pretrained::latent_diffusion::{Hole, LatentDiffusion, STEPS};
use vadis_video::inpaint::{Inpaint, InpaintError};
use vadis_video::{Colour, Frame, Mask};

use crate::SystemError;

/// Channels of its pictures.
const COLOURS: usize = 3;

/// A latent diffusion model that fills holes.
pub(super) struct DiffusionFill {
    model: LatentDiffusion,
}

impl DiffusionFill {
    /// With the weights at `path`: CompVis's as one file, or a folder as `diffusers` saves it.
    pub(super) fn open(path: &Path, device: &Device) -> Result<Self, SystemError> {
        Ok(Self { model: LatentDiffusion::inpainting(path, device)? })
    }

    /// The hole of one frame filled, from the noise that all frames of a clip begin with.
    fn fill_one(&self, frame: &Frame, hole: &Mask, noise: &[f32]) -> Result<Frame, InpaintError> {
        if hole.data.iter().all(|&set| set == 0) {
            return Ok(frame.clone());
        }
        let padded = Padded::new(frame, hole, self.granularity());
        let asked =
            Hole { picture: &padded.picture, mask: &padded.mask, size: padded.size, noise, steps: STEPS };
        let filled = self.model.inpaint(&asked, |_| ControlFlow::Continue(()));
        let filled = filled.map_err(|e| InpaintError::Network(e.to_string()))?;
        Ok(filled.map_or_else(|| frame.clone(), |filled| padded.put_back(&filled, frame, hole)))
    }

    fn granularity(&self) -> usize {
        self.model.config().granularity()
    }
}

impl Inpaint for DiffusionFill {
    fn name(&self) -> &'static str {
        "diffusion"
    }

    /// All frames begin with the same noise, so that what is painted in does not change from frame to frame more than the
    /// hole does.
    fn fill(
        &self,
        frames: &[Frame],
        holes: &[Mask],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Frame>, InpaintError> {
        let Some(first) = frames.first() else { return Ok(Vec::new()) };
        let size = padded_size(first, self.granularity());
        let noise: Vec<f32> = (0..self.model.noise_len(size)).map(|_| StandardNormal.sample(rng)).collect();
        frames.iter().zip(holes).map(|(frame, hole)| self.fill_one(frame, hole, &noise)).collect()
    }
}

/// Height and width rounded up to multiples of `unit`.
fn padded_size(frame: &Frame, unit: usize) -> [usize; 2] {
    [frame.height, frame.width].map(|side| side.div_ceil(unit) * unit)
}

/// A frame and its hole at a size that the network takes: the last row and column are repeated.
struct Padded {
    size: [usize; 2],
    /// `[3][height][width]` in [0, 1].
    picture: Vec<f32>,
    mask: Vec<bool>,
}

impl Padded {
    fn new(frame: &Frame, hole: &Mask, unit: usize) -> Self {
        let size = padded_size(frame, unit);
        let (channels, plane) = (frame.colour.channels(), size[0] * size[1]);
        let at = |i: usize| {
            let (y, x) = ((i / size[1]).min(frame.height - 1), (i % size[1]).min(frame.width - 1));
            y * frame.width + x
        };
        let value = |i: usize| {
            let channel = if channels == 1 { 0 } else { i / plane };
            f32::from(frame.data[at(i % plane) * channels + channel]) / 255.0
        };
        let picture = (0..COLOURS * plane).map(value).collect();
        let inside = |i: usize| i / size[1] < frame.height && i % size[1] < frame.width;
        let mask = (0..plane).map(|i| inside(i) && hole.data[at(i)] != 0).collect();
        Self { size, picture, mask }
    }

    /// The frame with what was filled in its hole.
    fn put_back(&self, filled: &[f32], frame: &Frame, hole: &Mask) -> Frame {
        let (channels, plane) = (frame.colour.channels(), self.size[0] * self.size[1]);
        let mut out = frame.clone();
        for (pixel, _) in hole.data.iter().enumerate().filter(|(_, set)| **set != 0) {
            let at = pixel / frame.width * self.size[1] + pixel % frame.width;
            let colours: [f32; COLOURS] = std::array::from_fn(|c| filled[c * plane + at]);
            let values = match frame.colour {
                Colour::Grey => [colours.iter().sum::<f32>() / COLOURS as f32; COLOURS],
                Colour::Rgb => colours,
            };
            for (byte, value) in out.data[pixel * channels..][..channels].iter_mut().zip(values) {
                *byte = (value * 255.0).round().clamp(0.0, 255.0) as u8;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hole_changes_whatever_the_size() {
        for colour in [Colour::Grey, Colour::Rgb] {
            let channels = colour.channels();
            let mut frame = Frame::filled(5, 3, colour, 0);
            frame.data.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 13 % 251) as u8);
            let mut hole = Mask::empty(5, 3);
            hole.data[7] = 1;
            hole.data[14] = 1;
            let padded = Padded::new(&frame, &hole, 4);
            assert_eq!((padded.size, padded.picture.len(), padded.mask.len()), ([4, 8], 3 * 32, 32));
            assert_eq!(padded.mask.iter().filter(|set| **set).count(), 2, "the padding is no hole");
            let last = f32::from(frame.data[14 * channels]) / 255.0;
            assert_eq!(padded.picture[3 * 8 + 7], last, "the corner is repeated");
            assert_eq!(padded.put_back(&padded.picture, &frame, &hole), frame);
            let painted = padded.put_back(&[1.0; 3 * 32], &frame, &hole);
            let changed: Vec<usize> = (0..15)
                .filter(|p| {
                    painted.data[p * channels..][..channels] != frame.data[p * channels..][..channels]
                })
                .collect();
            assert_eq!(changed, [7, 14]);
            assert_eq!(painted.data[7 * channels], 255);
        }
    }

    #[test]
    fn weights_that_are_not_there_are_an_error() {
        let refused = DiffusionFill::open(Path::new("nowhere.safetensors"), &Device::default());
        assert!(refused.is_err_and(|e| e.to_string().contains("nowhere")));
    }
}
