//! Bilinear resize with OpenCV's numbers.

use crate::{Frame, VideoError};

/// Fraction bits of an interpolation weight.
const BITS: u32 = 11;
const ONE: i32 = 1 << BITS;

/// Scales a frame to `width × height` as OpenCV's `resize` with `INTER_LINEAR` does on 8-bit pictures.
///
/// Pixel centres are aligned (`source = (target + 0.5) · scale − 0.5`), borders repeated, and nothing is averaged on
/// the way down: a large reduction aliases, exactly as it does for the published systems that use that function.
/// Weights have 11 fraction bits and products are cut as there: the bytes are those of OpenCV 4.10 and 5.0 on x86-64.
///
/// # Errors
/// [`VideoError::BadSize`] if either size is zero, or the target larger than a frame may be.
pub fn resize(frame: &Frame, width: usize, height: usize) -> Result<Frame, VideoError> {
    if frame.width == 0 || frame.height == 0 || !crate::ffmpeg::is_valid_size(width, height) {
        return Err(VideoError::BadSize { width, height });
    }
    if (width, height) == (frame.width, frame.height) {
        return Ok(frame.clone());
    }
    let channels = frame.colour.channels();
    let columns = taps(frame.width, width);
    let rows = taps(frame.height, height);
    let mut data = Vec::with_capacity(width * height * channels);
    let mut upper = Line::new(width * channels);
    let mut lower = Line::new(width * channels);
    for row in rows {
        // Going down the picture, the lower line often becomes the upper one.
        if lower.holds(row.first) {
            std::mem::swap(&mut upper, &mut lower);
        }
        upper.fill(frame, row.first, &columns);
        if row.first == row.second {
            push_row(&mut data, &upper.values, &upper.values, row.weight);
        } else {
            lower.fill(frame, row.second, &columns);
            push_row(&mut data, &upper.values, &lower.values, row.weight);
        }
    }
    Ok(Frame { width, height, data, ..*frame })
}

/// The two source positions of a target position, and the weight of the second, of [`ONE`].
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weight: i32,
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = 1.0 / (to as f64 / from as f64);
    (0..to).map(|i| tap(((i as f64 + 0.5) * scale - 0.5) as f32, from - 1)).collect()
}

/// At a border both positions are the same; the weight stays, as its rounding shows in OpenCV's result.
fn tap(position: f32, last: usize) -> Tap {
    let floor = position.floor();
    let weight = ((position - floor) * ONE as f32).round_ties_even() as i32;
    let inside = |offset: f32| ((floor + offset).max(0.0) as usize).min(last);
    Tap { first: inside(0.0), second: inside(1.0), weight }
}

/// A source row stretched to the target's width, in units of 1 / [`ONE`] grey levels.
struct Line {
    row: Option<usize>,
    values: Vec<i32>,
}

impl Line {
    fn new(length: usize) -> Self {
        Self { row: None, values: vec![0; length] }
    }

    fn holds(&self, row: usize) -> bool {
        self.row == Some(row)
    }

    fn fill(&mut self, frame: &Frame, row: usize, columns: &[Tap]) {
        if self.holds(row) {
            return;
        }
        self.row = Some(row);
        let source = &frame.data[row * frame.stride()..][..frame.stride()];
        match frame.colour.channels() {
            1 => stretch::<1>(source, columns, &mut self.values),
            _ => stretch::<3>(source, columns, &mut self.values),
        }
    }
}

fn stretch<const C: usize>(source: &[u8], columns: &[Tap], target: &mut [i32]) {
    for (out, tap) in target.chunks_exact_mut(C).zip(columns) {
        let (a, b) = (&source[tap.first * C..][..C], &source[tap.second * C..][..C]);
        for c in 0..C {
            out[c] = i32::from(a[c]) * (ONE - tap.weight) + i32::from(b[c]) * tap.weight;
        }
    }
}

/// The weighted sum of two lines, rounded in OpenCV's order: each product cut to 18 bits, the sum rounded to 8.
fn push_row(data: &mut Vec<u8>, upper: &[i32], lower: &[i32], weight: i32) {
    let blend = |(a, b): (&i32, &i32)| {
        let sum = (((ONE - weight) * (a >> 4)) >> 16) + ((weight * (b >> 4)) >> 16);
        ((sum + 2) >> 2) as u8
    };
    data.extend(upper.iter().zip(lower).map(blend));
}
