//! Frames as they come, and as a network of others reads them.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::NnError;

/// Longest side of a frame.
const MAX_SIDE: usize = 1 << 14;

/// A frame of bytes, `[height][width][channels]`, RGB or grey.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    data: &'a [u8],
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Picture<'a> {
    /// A frame of 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// [`NnError::Shape`] unless the data has that size, and a side is of 1 to 16 384 pixels.
    pub fn new(data: &'a [u8], [height, width]: [usize; 2], channels: usize) -> Result<Self, NnError> {
        for (axis, side) in [height, width].into_iter().enumerate() {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(NnError::Shape {
                    what: "a frame",
                    axis,
                    expected: side.clamp(1, MAX_SIDE),
                    got: side,
                });
            }
        }
        if channels != 1 && channels != 3 {
            return Err(NnError::Shape { what: "a frame", axis: 2, expected: 3, got: channels });
        }
        let expected = height * width * channels;
        if data.len() != expected {
            return Err(NnError::Shape { what: "a frame's bytes", axis: 0, expected, got: data.len() });
        }
        Ok(Self { data, height, width, channels })
    }

    /// The whole frame at another size and in RGB, `[height][width][3]` in 0..=255: filtered as Pillow and PyTorch's
    /// `antialias=True` do, so that a smaller picture has no aliases. Rounds nothing.
    pub(crate) fn resized(
        &self,
        [height, width]: [usize; 2],
        filter: FilterType,
    ) -> Result<Vec<f32>, NnError> {
        let pixels: Vec<F32x3> = match self.channels {
            1 => self.data.iter().map(|&v| F32x3::new([f32::from(v); 3])).collect(),
            _ => self.data.as_chunks().0.iter().map(|rgb: &[u8; 3]| F32x3::new(rgb.map(f32::from))).collect(),
        };
        let failed = |e: String| NnError::Tensor(format!("resizing a frame: {e}"));
        let from = TypedImageRef::new(self.width as u32, self.height as u32, &pixels);
        let from = from.map_err(|e| failed(e.to_string()))?;
        let mut to = TypedImage::<F32x3>::new(width as u32, height as u32);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
        Resizer::new().resize_typed(&from, &mut to, &options).map_err(|e| failed(e.to_string()))?;
        Ok(to.pixels().iter().flat_map(|pixel| pixel.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_none_is_an_error() {
        assert!(Picture::new(&[0; 12], [2, 2], 3).is_ok());
        for (len, size, channels) in
            [(11, [2, 2], 3), (8, [2, 2], 2), (0, [0, 2], 3), (20_000, [1, 20_000], 1)]
        {
            assert!(
                matches!(Picture::new(&vec![0; len], size, channels), Err(NnError::Shape { .. })),
                "{size:?}"
            );
        }
    }

    #[test]
    fn grey_frames_become_rgb_and_their_own_size_is_left_alone() {
        let data: Vec<u8> = (0..6).map(|i| i * 40).collect();
        let frame = Picture::new(&data, [2, 3], 1).unwrap();
        let expected: Vec<f32> = data.iter().flat_map(|&v| [f32::from(v); 3]).collect();
        assert_eq!(frame.resized([2, 3], FilterType::Bilinear).unwrap(), expected);
        let flat = Picture::new(&[77; 40 * 30 * 3], [40, 30], 3).unwrap();
        let small = flat.resized([7, 11], FilterType::CatmullRom).unwrap();
        assert!(small.iter().all(|v| (v - 77.0).abs() < 1e-3));
    }
}
