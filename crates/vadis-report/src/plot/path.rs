//! SVG path data.

use std::fmt::Write as _;

use super::Range;

/// A drawing area in SVG units with the ranges its edges stand for; y grows upwards in values, downwards in SVG.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Range,
    pub(crate) y: Range,
}

impl Area {
    pub(crate) fn x(&self, value: f64) -> f64 {
        self.left + self.width * self.x.unit(value)
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - self.y.unit(value))
    }

    /// A line through the points.
    pub(crate) fn line(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut data = String::new();
        self.extend(&mut data, points);
        data
    }

    /// The area between two lines over the same places.
    pub(crate) fn band(&self, upper: &[(f64, f64)], lower: &[(f64, f64)]) -> String {
        let mut data = String::new();
        self.extend(&mut data, upper.iter().copied().chain(lower.iter().rev().copied()));
        data.push('Z');
        data
    }

    /// Separate dots: strokes of no length, drawn round by the style sheet.
    pub(crate) fn dots(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut data = String::new();
        for (x, y) in points {
            data.push('M');
            push_point(&mut data, self.x(x), self.y(y));
            data.push_str("h0");
        }
        data
    }

    fn extend(&self, data: &mut String, points: impl IntoIterator<Item = (f64, f64)>) {
        for (x, y) in points {
            data.push(if data.is_empty() { 'M' } else { ' ' });
            push_point(data, self.x(x), self.y(y));
        }
    }
}

/// Appends a point to a tenth of a unit.
fn push_point(data: &mut String, x: f64, y: f64) {
    // Writing to a String cannot fail.
    let _ = write!(data, "{} {}", tenth(x), tenth(y));
}

/// A coordinate rounded to a tenth, printed as short as possible.
pub(crate) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
