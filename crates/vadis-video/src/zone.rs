//! Zones of the picture to be ignored: a burnt-in clock, a road behind the fence.
//!
//! | text | meaning |
//! |---|---|
//! | `10,0,120,20` | left edge, top edge, width, height in pixels of the source |
//! | `0,0,100%,8%` | the same as shares of the picture's width and height |
//! | `0,0,1.0,0.08` | the same, a share being any number with a decimal point |
//! | `0,50%;30%,100%;0,100%` | a polygon of at least three corners `x,y` |

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Frame, Mask};

/// What an ignored pixel becomes: mid-grey, the same in every frame.
pub const NEUTRAL: u8 = 128;
/// Most corners of a polygon.
const MAX_CORNERS: usize = 256;
/// Lines tested in each row of pixels.
const LINES: usize = 4;

/// Why a zone could not be understood or used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ZoneError {
    /// Neither a rectangle nor a polygon.
    #[error(
        "cannot read zone `{}`: expected a rectangle x,y,width,height such as 0,0,100%,8%, or a polygon x,y;x,y;x,y",
        shorten(text)
    )]
    Syntax {
        /// What was given.
        text: String,
    },
    /// A part that is no length.
    #[error(
        "zone `{}`: `{}` is no length: expected whole pixels (12), a percentage (8%) or a share from 0.0 to 1.0 (0.08)",
        shorten(text),
        shorten(part)
    )]
    Length {
        /// What was given.
        text: String,
        /// The part of it.
        part: String,
    },
    /// Without any area.
    #[error("zone `{}` is empty: {why}", shorten(text))]
    Empty {
        /// What was given.
        text: String,
        /// What it lacks.
        why: &'static str,
    },
    /// More corners than anyone draws.
    #[error("zone `{}` has {corners} corners, at most {MAX_CORNERS} are taken", shorten(text))]
    TooManyCorners {
        /// What was given.
        text: String,
        /// Its corners.
        corners: usize,
    },
    /// Beside the picture.
    #[error("zone `{zone}` lies outside the picture of {width}x{height} pixels")]
    Outside {
        /// The zone.
        zone: String,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A mask of another size than the frame.
    #[error("a mask of {mask_width}x{mask_height} does not fit a frame of {width}x{height}")]
    Size {
        /// The mask's pixels a row.
        mask_width: usize,
        /// The mask's rows.
        mask_height: usize,
        /// The frame's pixels a row.
        width: usize,
        /// The frame's rows.
        height: usize,
    },
}

fn shorten(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A length along one side of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Pixels of the source.
    Pixels(u32),
    /// A share of the side, in `[0, 1]`.
    Share(f64),
}

impl Length {
    /// As a share of a side of `side` pixels; above 1 where pixels go beyond it.
    fn share(self, side: usize) -> f64 {
        match self {
            Self::Pixels(pixels) => f64::from(pixels) / side.max(1) as f64,
            Self::Share(share) => share,
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Self::Pixels(0)) || self == Self::Share(0.0)
    }

    fn parse(part: &str) -> Option<Self> {
        let part = part.trim();
        let share = |text: &str, scale: f64| {
            let value = text.trim().parse::<f64>().ok()? / scale;
            (0.0..=1.0).contains(&value).then_some(Self::Share(value))
        };
        match part.strip_suffix('%') {
            Some(percent) => share(percent, 100.0),
            None if part.contains('.') => share(part, 1.0),
            None => part.parse().ok().map(Self::Pixels),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => pixels.fmt(f),
            // the decimal point tells a share from pixels
            Self::Share(share) if share.fract() == 0.0 => write!(f, "{share:.1}"),
            Self::Share(share) => share.fmt(f),
        }
    }
}

/// A part of the picture to be ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Zone {
    /// A rectangle.
    Rectangle {
        /// Left edge.
        x: Length,
        /// Top edge.
        y: Length,
        /// Width.
        width: Length,
        /// Height.
        height: Length,
    },
    /// Corners `(x, y)` in order, at least three; where it crosses itself, even-odd.
    Polygon(Vec<(Length, Length)>),
}

impl Zone {
    /// Its pixels in a picture of `width` × `height`, made from a source of `source` (width, height) pixels: 1 where any
    /// part of the pixel is in the zone (to a quarter of a row), since a resize mixes a pixel from all that it
    /// covers. What juts out of the picture is cut off.
    ///
    /// # Errors
    /// [`ZoneError::Outside`] if no pixel is left.
    pub fn rasterise(&self, source: (usize, usize), width: usize, height: usize) -> Result<Mask, ZoneError> {
        let mut mask = Mask::empty(width, height);
        let corners = self.corners(source);
        let scaled: Vec<(f64, f64)> =
            corners.iter().map(|&(x, y)| (x * width as f64, y * height as f64)).collect();
        for row in 0..height {
            for line in 0..LINES {
                fill_line(&mut mask, row, &scaled, row as f64 + (line as f64 + 0.5) / LINES as f64);
            }
        }
        if mask.area() > 0 {
            return Ok(mask);
        }
        Err(ZoneError::Outside { zone: shorten(&self.to_string()), width: source.0, height: source.1 })
    }

    /// Corners in shares of the source.
    fn corners(&self, source: (usize, usize)) -> Vec<(f64, f64)> {
        match self {
            Self::Polygon(corners) => {
                corners.iter().map(|(x, y)| (x.share(source.0), y.share(source.1))).collect()
            }
            Self::Rectangle { x, y, width, height } => {
                let (left, top) = (x.share(source.0), y.share(source.1));
                let (right, bottom) = (left + width.share(source.0), top + height.share(source.1));
                vec![(left, top), (right, top), (right, bottom), (left, bottom)]
            }
        }
    }
}

/// Sets the pixels of `row` that the horizontal at `y` meets inside the polygon.
fn fill_line(mask: &mut Mask, row: usize, corners: &[(f64, f64)], y: f64) {
    let mut crossings: Vec<f64> = Vec::new();
    for (i, &(x0, y0)) in corners.iter().enumerate() {
        let (x1, y1) = corners[(i + 1) % corners.len()];
        if (y0 <= y) != (y1 <= y) {
            crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
        }
    }
    crossings.sort_unstable_by(f64::total_cmp);
    let width = mask.width as f64;
    for pair in crossings.chunks_exact(2) {
        // forgives the rounding of shares, so that an exact edge does not take the next pixel too
        let first = (pair[0] + 1e-9).floor().clamp(0.0, width) as usize;
        let end = (pair[1] - 1e-9).ceil().clamp(0.0, width) as usize;
        if first < end {
            mask.data[row * mask.width + first..row * mask.width + end].fill(1);
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rectangle { x, y, width, height } => write!(f, "{x},{y},{width},{height}"),
            Self::Polygon(corners) => {
                for (i, (x, y)) in corners.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ";" };
                    write!(f, "{separator}{x},{y}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = |part: &str| {
            Length::parse(part)
                .ok_or_else(|| ZoneError::Length { text: text.to_owned(), part: part.trim().to_owned() })
        };
        let syntax = || ZoneError::Syntax { text: text.to_owned() };
        if text.contains(';') {
            return polygon(text, length);
        }
        let parts: Vec<&str> = text.split(',').take(5).collect();
        let [x, y, width, height] = parts[..] else { return Err(syntax()) };
        let (x, y, width, height) = (length(x)?, length(y)?, length(width)?, length(height)?);
        if width.is_zero() || height.is_zero() {
            let why = "its width and height must be above 0";
            return Err(ZoneError::Empty { text: text.to_owned(), why });
        }
        Ok(Self::Rectangle { x, y, width, height })
    }
}

fn polygon(text: &str, length: impl Fn(&str) -> Result<Length, ZoneError>) -> Result<Zone, ZoneError> {
    // a last `;` closes the polygon as drawing programs write it
    let parts = text.trim_end().trim_end_matches(';');
    let corners = parts.split(';').count();
    if corners > MAX_CORNERS {
        return Err(ZoneError::TooManyCorners { text: text.to_owned(), corners });
    }
    let corner = |part: &str| {
        let (x, y) = part.split_once(',').ok_or_else(|| ZoneError::Syntax { text: text.to_owned() })?;
        Ok((length(x)?, length(y)?))
    };
    let corners: Vec<(Length, Length)> = parts.split(';').map(corner).collect::<Result<_, _>>()?;
    if corners.len() < 3 {
        return Err(ZoneError::Empty {
            text: text.to_owned(),
            why: "a polygon has at least three corners x,y;x,y;x,y",
        });
    }
    Ok(Zone::Polygon(corners))
}

/// All zones in one mask; `None` if there are none.
///
/// # Errors
/// As [`Zone::rasterise`].
pub fn ignored(
    zones: &[Zone],
    source: (usize, usize),
    width: usize,
    height: usize,
) -> Result<Option<Mask>, ZoneError> {
    let mut all: Option<Mask> = None;
    for zone in zones {
        let mask = zone.rasterise(source, width, height)?;
        match &mut all {
            None => all = Some(mask),
            Some(all) => all.data.iter_mut().zip(&mask.data).for_each(|(a, b)| *a |= b),
        }
    }
    Ok(all)
}

/// Makes every pixel of the mask [`NEUTRAL`], so that nothing there can differ from frame to frame.
///
/// # Errors
/// [`ZoneError::Size`] if the mask is not of the frame's size.
pub fn neutralise(frame: &mut Frame, mask: &Mask) -> Result<(), ZoneError> {
    let (width, height) = (frame.width, frame.height);
    if (mask.width, mask.height) != (width, height) {
        let (mask_width, mask_height) = (mask.width, mask.height);
        return Err(ZoneError::Size { mask_width, mask_height, width, height });
    }
    for (pixel, &ignored) in frame.data.chunks_exact_mut(frame.colour.channels()).zip(&mask.data) {
        if ignored != 0 {
            pixel.fill(NEUTRAL);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Colour;

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    fn picture(text: &str, source: (usize, usize), width: usize, height: usize) -> String {
        let mask = zone(text).rasterise(source, width, height).unwrap();
        let row = |row: &[u8]| row.iter().map(|&v| if v == 1 { '#' } else { '.' }).collect::<String>();
        mask.data.chunks(width).map(row).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn rectangles_in_pixels_shares_and_percentages() {
        assert_eq!(picture("1,0,2,1", (4, 3), 4, 3), ".##./..../....");
        assert_eq!(picture("25%, 0, 50%, 40%", (4, 3), 4, 3), ".##./.##./....");
        assert_eq!(picture("0.25,0.0,0.5,0.33", (4, 3), 4, 3), ".##./..../....");
        assert_eq!(picture("0,0,100%,8%", (100, 100), 3, 25).matches('#').count(), 6);
        // any part of a smaller picture's pixel counts
        assert_eq!(picture("3,0,2,8", (8, 8), 4, 2), ".##./.##.");
        // what juts out is cut off
        assert_eq!(picture("2,1,100,100", (4, 3), 4, 3), "..../..##/..##");
    }

    #[test]
    fn polygons() {
        assert_eq!(picture("0,0;4,0;0,4", (4, 4), 4, 4), "####/###./##../#...");
        assert_eq!(picture("0,0;100%,0;100%,50%;0,50%;", (4, 4), 4, 4), "####/####/..../....");
        // even-odd where it crosses itself
        assert_eq!(picture("0,0;4,4;4,0;0,4", (4, 4), 4, 4), "#..#/####/####/#..#");
    }

    #[test]
    fn errors_teach() {
        let cases = [
            ("", "expected a rectangle x,y,width,height such as 0,0,100%,8%"),
            ("1,2,3", "expected a rectangle"),
            ("1,2,3,4,5", "expected a rectangle"),
            ("1,2,x,4", "`x` is no length: expected whole pixels (12)"),
            ("1,-2,3,4", "`-2` is no length"),
            ("0,0,120%,8%", "`120%` is no length"),
            ("0,0,1.5,0.5", "`1.5` is no length"),
            ("0,0,nan%,1", "is no length"),
            ("0,0,0,5", "width and height must be above 0"),
            ("0,0;1,1", "at least three corners"),
            ("0,0;1;2,2", "expected a rectangle"),
        ];
        for (text, want) in cases {
            let error = text.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains(want), "{error:?} lacks {want:?}");
        }
        assert!("0,0;".repeat(300).parse::<Zone>().is_err());
        let error = zone("50,0,10,10").rasterise((40, 30), 40, 30).unwrap_err();
        assert_eq!(error.to_string(), "zone `50,0,10,10` lies outside the picture of 40x30 pixels");
    }

    #[test]
    fn ignored_pixels_become_neutral() {
        let mut frame = Frame::filled(3, 1, Colour::Rgb, 7);
        let mask = ignored(&[zone("0,0,1,1"), zone("2,0,1,1")], (3, 1), 3, 1).unwrap().unwrap();
        neutralise(&mut frame, &mask).unwrap();
        assert_eq!(frame.data, [128, 128, 128, 7, 7, 7, 128, 128, 128]);
        assert_eq!(ignored(&[], (3, 1), 3, 1), Ok(None));
        assert!(neutralise(&mut frame, &Mask::empty(2, 2)).is_err());
    }

    fn length() -> impl Strategy<Value = Length> {
        prop_oneof![(1u32..2000).prop_map(Length::Pixels), (0.0..=1.0f64).prop_map(Length::Share)]
    }

    proptest! {
        #[test]
        fn zones_round_trip(corners in prop::collection::vec((length(), length()), 3..9)) {
            let zone = Zone::Polygon(corners);
            prop_assert_eq!(zone.to_string().parse::<Zone>(), Ok(zone));
        }

        #[test]
        fn no_text_panics(text in "[-0-9.,;%e ]{0,40}", w in 0usize..20, h in 0usize..20) {
            if let Ok(zone) = text.parse::<Zone>() {
                let _ = zone.rasterise((w, h), h, w);
            }
        }
    }
}
