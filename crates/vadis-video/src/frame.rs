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

    /// How many pixels are set.
    pub fn area(&self) -> usize {
        self.data.iter().filter(|&&v| v != 0).count()
    }
}
