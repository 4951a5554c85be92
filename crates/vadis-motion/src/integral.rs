//! Summed-area tables (Crow, SIGGRAPH 1984): the mean of any rectangle in four look-ups.

use crate::MotionError;

/// Sums of all values above and left of each pixel.
///
/// Sums are `f64`: exact for 8-bit pictures of any size that fits in memory, so a patch's mean depends neither
/// on where in the picture it lies nor on the order of summation.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegralImage {
    width: usize,
    height: usize,
    /// `[height + 1, width + 1]`; the first row and column are zero.
    sums: Vec<f64>,
}

/// A rectangle of a picture and the mean value in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patch {
    /// Left edge in pixels.
    pub x: usize,
    /// Top edge in pixels.
    pub y: usize,
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Mean of the values inside, in their own unit.
    pub mean: f64,
}

impl IntegralImage {
    /// Sums `values`, shaped `[height, width]`, rows top to bottom.
    ///
    /// # Errors
    /// [`MotionError::NoPixels`] and [`MotionError::WrongLength`] if the shape does not hold,
    /// [`MotionError::NotFinite`] at the first NaN or infinity.
    pub fn new<T: Copy + Into<f64>>(width: usize, height: usize, values: &[T]) -> Result<Self, MotionError> {
        check_length(width, height, 1, values.len())?;
        let stride = width + 1;
        let mut sums = vec![0.0; stride * (height + 1)];
        for (y, row) in values.chunks_exact(width).enumerate() {
            let (above, below) = sums[y * stride..].split_at_mut(stride);
            let mut along = 0.0;
            for (x, &value) in row.iter().enumerate() {
                along += finite(value.into(), x, y)?;
                below[x + 1] = above[x + 1] + along;
            }
        }
        Ok(Self { width, height, sums })
    }

    /// Sum over the `width`×`height` rectangle at (`x`, `y`); `None` if it reaches outside.
    pub fn sum(&self, x: usize, y: usize, width: usize, height: usize) -> Option<f64> {
        let (right, bottom) = (x.checked_add(width)?, y.checked_add(height)?);
        (right <= self.width && bottom <= self.height).then(|| {
            let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
            at(right, bottom) - at(x, bottom) - at(right, y) + at(x, y)
        })
    }

    /// Mean of the whole picture.
    pub fn mean(&self) -> f64 {
        self.sums[self.sums.len() - 1] / (self.width * self.height) as f64
    }

    /// The `side`×`side` patch with the highest mean, over every position; the first in reading order among equals.
    ///
    /// A side of the picture shorter than `side` is covered whole.
    ///
    /// # Errors
    /// [`MotionError::NoPatch`] if `side` is 0.
    pub fn worst_patch(&self, side: usize) -> Result<Patch, MotionError> {
        if side == 0 {
            return Err(MotionError::NoPatch);
        }
        let (width, height) = (side.min(self.width), side.min(self.height));
        let (x, y, sum) = self.highest_sum(width, height);
        Ok(Patch { x, y, width, height, mean: sum / (width * height) as f64 })
    }

    /// Column, row and sum of the first rectangle with the highest sum; the rectangle fits in the picture.
    fn highest_sum(&self, width: usize, height: usize) -> (usize, usize, f64) {
        let stride = self.width + 1;
        let mut best = (0, 0, f64::NEG_INFINITY);
        for y in 0..=self.height - height {
            let top = &self.sums[y * stride..][..stride];
            let bottom = &self.sums[(y + height) * stride..][..stride];
            for x in 0..=self.width - width {
                let sum = bottom[x + width] - bottom[x] - top[x + width] + top[x];
                if sum > best.2 {
                    best = (x, y, sum);
                }
            }
        }
        best
    }
}

/// Checks that `actual` values fill `width`×`height` pixels of `channels` each, and that there are some.
pub(crate) fn check_length(
    width: usize,
    height: usize,
    channels: usize,
    actual: usize,
) -> Result<(), MotionError> {
    if width == 0 || height == 0 {
        return Err(MotionError::NoPixels { width, height });
    }
    let expected = width.checked_mul(height).and_then(|n| n.checked_mul(channels)).unwrap_or(usize::MAX);
    if actual == expected {
        Ok(())
    } else {
        Err(MotionError::WrongLength { width, height, expected, actual })
    }
}

fn finite(value: f64, x: usize, y: usize) -> Result<f64, MotionError> {
    if value.is_finite() { Ok(value) } else { Err(MotionError::NotFinite { x, y }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute_sum(values: &[u8], stride: usize, x: usize, y: usize, width: usize, height: usize) -> f64 {
        let rows = values.chunks_exact(stride).skip(y).take(height);
        rows.flat_map(|row| &row[x..x + width]).map(|&v| f64::from(v)).sum()
    }

    fn picture() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
        (1_usize..20, 1_usize..20).prop_flat_map(|(width, height)| {
            (Just(width), Just(height), prop::collection::vec(any::<u8>(), width * height))
        })
    }

    proptest! {
        #[test]
        fn every_rectangle_sums_to_its_pixels(
            (width, height, values) in picture(),
            corner in any::<(u8, u8, u8, u8)>(),
        ) {
            let x = usize::from(corner.0) % width;
            let y = usize::from(corner.1) % height;
            let w = usize::from(corner.2) % (width - x) + 1;
            let h = usize::from(corner.3) % (height - y) + 1;
            let integral = IntegralImage::new(width, height, &values).unwrap();
            prop_assert_eq!(integral.sum(x, y, w, h), Some(brute_sum(&values, width, x, y, w, h)));
        }

        #[test]
        fn no_patch_is_worse_than_the_worst((width, height, values) in picture(), side in 1_usize..25) {
            let integral = IntegralImage::new(width, height, &values).unwrap();
            let worst = integral.worst_patch(side).unwrap();
            let area = (worst.width * worst.height) as f64;
            prop_assert_eq!((worst.width, worst.height), (side.min(width), side.min(height)));
            for y in 0..=height - worst.height {
                for x in 0..=width - worst.width {
                    let mean = brute_sum(&values, width, x, y, worst.width, worst.height) / area;
                    let earlier = (y, x) < (worst.y, worst.x);
                    prop_assert!(mean < worst.mean || (mean == worst.mean && !earlier));
                }
            }
        }

        #[test]
        fn a_patch_of_the_whole_picture_is_its_mean((width, height, values) in picture()) {
            let integral = IntegralImage::new(width, height, &values).unwrap();
            prop_assert_eq!(integral.worst_patch(20).unwrap().mean, integral.mean());
        }
    }

    #[test]
    fn a_rectangle_outside_has_no_sum() {
        let integral = IntegralImage::new(3, 2, &[1_u8; 6]).unwrap();
        assert_eq!(integral.sum(0, 0, 3, 2), Some(6.0));
        assert_eq!(integral.sum(3, 2, 0, 0), Some(0.0));
        assert_eq!(integral.sum(1, 0, 3, 2), None);
        assert_eq!(integral.sum(usize::MAX, 0, 1, 1), None);
    }

    #[test]
    fn impossible_shapes_and_values_are_errors() {
        assert_eq!(IntegralImage::new::<u8>(0, 3, &[]), Err(MotionError::NoPixels { width: 0, height: 3 }));
        assert_eq!(
            IntegralImage::new(2, 2, &[0_u8; 3]),
            Err(MotionError::WrongLength { width: 2, height: 2, expected: 4, actual: 3 })
        );
        assert_eq!(
            IntegralImage::new(usize::MAX, 2, &[0_u8; 3]),
            Err(MotionError::WrongLength { width: usize::MAX, height: 2, expected: usize::MAX, actual: 3 })
        );
        assert_eq!(
            IntegralImage::new(2, 2, &[0.0_f32, 1.0, 2.0, f32::NAN]),
            Err(MotionError::NotFinite { x: 1, y: 1 })
        );
        let integral = IntegralImage::new(1, 1, &[0_u8]).unwrap();
        assert_eq!(integral.worst_patch(0), Err(MotionError::NoPatch));
    }
}
