//! The picture types that every crate shares.

use serde::{Deserialize, Serialize};

/// What a pixel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// One byte a pixel: luma.
    Grey,
    /// Three bytes a pixel: red, green, blue.
    Rgb,
}

impl Colour {
    /// Bytes a pixel takes.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// One decoded picture, 8 bits a channel, rows top to bottom, channels interleaved.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Position in its source, from 0.
    pub index: u64,
    /// Presentation time in seconds from the source's first frame, as the container states it.
    pub time_s: f64,
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// What a pixel holds.
    pub colour: Colour,
    /// `height * width * channels` bytes.
    pub data: Vec<u8>,
}

impl Frame {
    /// A frame of one value, at index 0 and time 0.
    pub fn filled(width: usize, height: usize, colour: Colour, value: u8) -> Self {
        let data = vec![value; width * height * colour.channels()];
        Self { index: 0, time_s: 0.0, width, height, colour, data }
    }

    /// Bytes of one row.
    pub fn stride(&self) -> usize {
        self.width * self.colour.channels()
    }

    /// Luma by the BT.601 weights, as OpenCV's `COLOR_RGB2GRAY` (fixed point, rounded); a copy if grey already.
    pub fn to_grey(&self) -> Self {
        let data = match self.colour {
            Colour::Grey => self.data.clone(),
            Colour::Rgb => self.data.chunks_exact(3).map(luma).collect(),
        };
        Self { colour: Colour::Grey, data, ..*self }
    }

    /// Three equal channels from grey; a copy if colour already.
    pub fn to_rgb(&self) -> Self {
        let data = match self.colour {
            Colour::Rgb => self.data.clone(),
            Colour::Grey => self.data.iter().flat_map(|&v| [v, v, v]).collect(),
        };
        Self { colour: Colour::Rgb, data, ..*self }
    }
}

fn luma(rgb: &[u8]) -> u8 {
    let sum = 9798 * u32::from(rgb[0]) + 19235 * u32::from(rgb[1]) + 3735 * u32::from(rgb[2]);
    ((sum + (1 << 14)) >> 15) as u8
}

/// A binary picture: 1 where something is (an anomaly, a zone), 0 elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` values, 0 or 1.
    pub data: Vec<u8>,
}

impl Mask {
    /// A mask without any pixel set.
    pub fn empty(width: usize, height: usize) -> Self {
        Self { width, height, data: vec![0; width * height] }
    }

    /// The 8-connected parts of what is set, each as places in `data`, in the order of their first pixels.
    pub fn components(&self) -> Vec<Vec<usize>> {
        connected(self.data.iter().map(|&v| v != 0).collect(), self.width, self.height)
    }

    /// How many pixels are set.
    pub fn area(&self) -> usize {
        self.data.iter().filter(|&&v| v != 0).count()
    }
}

/// The 8-connected parts of a picture's set pixels, as places in it.
pub(crate) fn connected(mut left: Vec<bool>, width: usize, height: usize) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for start in 0..left.len() {
        if !left[start] {
            continue;
        }
        left[start] = false;
        let mut pixels = vec![start];
        let mut next = 0;
        while let Some(&i) = pixels.get(next) {
            next += 1;
            let (x, y) = (i % width, i / width);
            for v in y.saturating_sub(1)..(y + 2).min(height) {
                for u in x.saturating_sub(1)..(x + 2).min(width) {
                    if std::mem::take(&mut left[v * width + u]) {
                        pixels.push(v * width + u);
                    }
                }
            }
        }
        found.push(pixels);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_connect_and_gaps_do_not() {
        #[rustfmt::skip]
        let data = vec![
            1, 0, 0, 0,
            0, 1, 0, 1,
            0, 0, 0, 1,
            1, 0, 0, 0,
        ];
        let mask = Mask { width: 4, height: 4, data };
        assert_eq!(mask.components(), [vec![0, 5], vec![7, 11], vec![12]]);
        assert!(Mask::empty(3, 0).components().is_empty());
    }
}
