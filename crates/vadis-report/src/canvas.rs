//! Drawing on a frame's pixels.

use font8x8::legacy::BASIC_LEGACY;
use vadis_video::{Colour, Frame};

/// An RGB picture; what is drawn outside it is cut off.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// A part of a picture in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rectangle {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Canvas {
    /// Pixels a character takes, both ways: an 8×8 letter, twice as large.
    pub(crate) const GLYPH: usize = 16;

    pub(crate) fn new(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, data: colour.repeat(width * height) }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Lays a frame of the canvas' width, in colour, over the top.
    pub(crate) fn draw(&mut self, frame: &Frame) {
        let length = frame.data.len().min(self.data.len());
        self.data[..length].copy_from_slice(&frame.data[..length]);
    }

    pub(crate) fn into_frame(self, index: u64, time_s: f64) -> Frame {
        let Self { width, height, data } = self;
        Frame { index, time_s, width, height, colour: Colour::Rgb, data }
    }

    /// Mixes a colour into a pixel; `opacity` from 0 (nothing) to 1 (all of it).
    pub(crate) fn mix(&mut self, x: usize, y: usize, colour: [u8; 3], opacity: f32) {
        if x < self.width && y < self.height {
            let at = (y * self.width + x) * 3;
            for (pixel, new) in self.data[at..at + 3].iter_mut().zip(colour) {
                let mixed = f32::from(*pixel) * (1.0 - opacity) + f32::from(new) * opacity;
                *pixel = mixed.round() as u8;
            }
        }
    }

    pub(crate) fn fill(&mut self, part: &Rectangle, colour: [u8; 3]) {
        for y in part.top..(part.top + part.height).min(self.height) {
            for x in part.left..(part.left + part.width).min(self.width) {
                let at = (y * self.width + x) * 3;
                self.data[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// A dashed horizontal line through a part.
    pub(crate) fn dashes(&mut self, part: &Rectangle, row: usize, colour: [u8; 3]) {
        for left in (part.left..part.left + part.width).step_by(10) {
            self.fill(&Rectangle { left, top: row, width: 5, height: 1 }, colour);
        }
    }

    /// A frame around the uppermost `rows` rows.
    pub(crate) fn border(&mut self, rows: usize, colour: [u8; 3]) {
        const THICK: usize = 3;
        let (width, height) = (self.width, rows);
        let sides = [
            Rectangle { left: 0, top: 0, width, height: THICK },
            Rectangle { left: 0, top: rows.saturating_sub(THICK), width, height: THICK },
            Rectangle { left: 0, top: 0, width: THICK, height },
            Rectangle { left: width.saturating_sub(THICK), top: 0, width: THICK, height },
        ];
        for side in &sides {
            self.fill(side, colour);
        }
    }

    /// One line of ASCII; other characters are left blank.
    pub(crate) fn text(&mut self, left: usize, top: usize, text: &str, colour: [u8; 3]) {
        const SCALE: usize = Canvas::GLYPH / 8;
        for (i, c) in text.chars().enumerate() {
            let glyph = BASIC_LEGACY.get(c as usize).copied().unwrap_or_default();
            for (y, bits) in glyph.into_iter().enumerate() {
                for x in (0..8).filter(|x| bits >> x & 1 == 1) {
                    let (left, top) = (left + i * Self::GLYPH + x * SCALE, top + y * SCALE);
                    self.fill(&Rectangle { left, top, width: SCALE, height: SCALE }, colour);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_is_cut_off_at_the_edges() {
        let mut canvas = Canvas::new(5, 4, [0; 3]);
        canvas.fill(&Rectangle { left: 3, top: 2, width: 100, height: 100 }, [9; 3]);
        canvas.text(0, 0, "score é", [7; 3]);
        canvas.border(4, [1; 3]);
        canvas.mix(99, 99, [1; 3], 1.0);
        let frame = canvas.into_frame(0, 0.0);
        assert_eq!(frame.data.len(), 60);
    }
}
