//! Objects by background subtraction: what stands out from a still background, as one mask for each. It is the way to
//! object masks without a segmentation network.

use vadis_video::inpaint::dilated;
use vadis_video::{Frame, Mask};

use crate::MotionError;
use crate::difference::same_size;

/// Share of the frame that an object covers, least and greatest.
const AREA: (f64, f64) = (4.0e-4, 0.06);
/// Pixels around an object that its mask takes along: its blurred edge.
const MARGIN: usize = 1;

/// The objects in a frame, the largest first: connected parts, cleaned of single pixels, that differ from the background
/// by more than `contrast` grey levels and have a size that a person or a vehicle may have.
///
/// # Errors
/// [`MotionError::SizeChanged`] if frame and background differ in size.
pub fn objects_against(background: &Frame, frame: &Frame, contrast: u8) -> Result<Vec<Mask>, MotionError> {
    same_size(background, frame)?;
    let (width, height) = (frame.width, frame.height);
    let [ground, seen] = [background.to_grey(), frame.to_grey()];
    let differs = |(a, b): (&u8, &u8)| u8::from(a.abs_diff(*b) > contrast);
    let data = ground.data.iter().zip(&seen.data).map(differs).collect();
    let mut parts = without_specks(&Mask { width, height, data }).components();
    let [least, most] = [AREA.0, AREA.1].map(|share| share * (width * height) as f64);
    parts.retain(|pixels| (least..=most).contains(&(pixels.len() as f64)));
    parts.sort_by_key(|pixels| std::cmp::Reverse(pixels.len()));
    let object = |pixels: Vec<usize>| {
        let mut mask = Mask::empty(width, height);
        pixels.into_iter().for_each(|i| mask.data[i] = 1);
        dilated(&mask, MARGIN)
    };
    Ok(parts.into_iter().map(object).collect())
}

/// A pixel is set where most of the pixels around it are.
fn without_specks(mask: &Mask) -> Mask {
    let Mask { width, height, ref data } = *mask;
    let mut out = Mask::empty(width, height);
    for (i, value) in out.data.iter_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        let columns = x.saturating_sub(1)..(x + 2).min(width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        let area = columns.len() * rows.len();
        let count: usize =
            rows.map(|row| data[row * width..][columns.clone()].iter().filter(|&&v| v != 0).count()).sum();
        *value = u8::from(2 * count > area);
    }
    out
}

#[cfg(test)]
mod tests {
    use vadis_video::Colour;

    use super::*;

    #[test]
    fn each_thing_is_an_object_and_single_pixels_are_none() {
        let background = Frame::filled(80, 60, Colour::Grey, 90);
        let mut frame = background.clone();
        for (i, value) in frame.data.iter_mut().enumerate() {
            let (x, y) = (i % 80, i / 80);
            let inside = |left: usize, top: usize, w: usize, h: usize| {
                (left..left + w).contains(&x) && (top..top + h).contains(&y)
            };
            if inside(60, 10, 6, 12) || inside(10, 40, 4, 8) {
                *value = 220;
            }
        }
        frame.data[30 * 80 + 40] = 255;
        let found = objects_against(&background, &frame, 20).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].area() > found[1].area(), "the largest first");
        assert!(found[0].data[16 * 80 + 63] != 0 && found[1].data[44 * 80 + 12] != 0, "where they are");
        assert!((6 * 12 - 4..=8 * 14).contains(&found[0].area()), "{}", found[0].area());
        assert!(objects_against(&background, &Frame::filled(8, 8, Colour::Grey, 0), 20).is_err());
        assert!(objects_against(&background, &background.to_rgb(), 20).unwrap().is_empty());
    }
}
