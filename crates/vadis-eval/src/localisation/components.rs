use super::LocalisationError;

/// A heat map of one frame, rows top to bottom; higher is more unusual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatMap<'a> {
    width: usize,
    height: usize,
    data: &'a [f32],
}

impl<'a> HeatMap<'a> {
    /// `height * width` finite values.
    ///
    /// # Errors
    /// [`LocalisationError`] where there are more or fewer, or one is not finite.
    pub fn new(width: usize, height: usize, data: &'a [f32]) -> Result<Self, LocalisationError> {
        check_size("heat map", width, height, data.len())?;
        match data.iter().position(|heat| !heat.is_finite()) {
            Some(at) => Err(LocalisationError::NotFinite { x: at % width, y: at / width, value: data[at] }),
            None => Ok(Self { width, height, data }),
        }
    }

    /// Pixels a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Every heat.
    pub(crate) fn data(&self) -> &[f32] {
        self.data
    }

    /// The heat at the centre of pixel (`x`, `y`) of a picture of `width` × `height` that shows the same.
    pub(crate) fn at(&self, (x, y): (usize, usize), (width, height): (usize, usize)) -> f32 {
        let column = (2 * x + 1) * self.width / (2 * width);
        let row = (2 * y + 1) * self.height / (2 * height);
        self.data[row * self.width + column]
    }
}

/// Ground truth of one frame: abnormal where it is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TruthMask<'a> {
    width: usize,
    height: usize,
    data: &'a [u8],
}

impl<'a> TruthMask<'a> {
    /// `height * width` values.
    ///
    /// # Errors
    /// [`LocalisationError::Size`] where there are more or fewer.
    pub fn new(width: usize, height: usize, data: &'a [u8]) -> Result<Self, LocalisationError> {
        check_size("mask", width, height, data.len())?;
        Ok(Self { width, height, data })
    }

    /// Pixels a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels that are set, as (x, y).
    pub(crate) fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let set = self.data.iter().enumerate().filter(|&(_, &value)| value != 0);
        set.map(|(at, _)| (at % self.width, at / self.width))
    }

    /// Its 8-connected parts.
    pub(crate) fn parts(&self) -> Parts {
        Parts::new(self.width, self.height, |at| self.data[at] != 0)
    }
}

fn check_size(what: &'static str, width: usize, height: usize, got: usize) -> Result<(), LocalisationError> {
    if width.checked_mul(height) == Some(got) && got > 0 {
        return Ok(());
    }
    Err(LocalisationError::Size { what, width, height, got })
}

/// A box of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Bounds {
    /// Intersection over union with `other`, in [0, 1].
    pub fn iou(&self, other: &Self) -> f64 {
        let across = overlap((self.x, self.width), (other.x, other.width));
        let down = overlap((self.y, self.height), (other.y, other.height));
        let common = across * down;
        let union = self.area() + other.area() - common;
        if union == 0 { 0.0 } else { common as f64 / union as f64 }
    }

    fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The pixels of a picture of size `to` that it touches, where it lies in one of size `from` (width, height).
    pub fn scaled(&self, from: (usize, usize), to: (usize, usize)) -> Self {
        let (x, width) = scaled_span(self.x, self.width, from.0, to.0);
        let (y, height) = scaled_span(self.y, self.height, from.1, to.1);
        Self { x, y, width, height }
    }
}

fn overlap((a, a_length): (u32, u32), (b, b_length): (u32, u32)) -> u64 {
    let end = (u64::from(a) + u64::from(a_length)).min(u64::from(b) + u64::from(b_length));
    end.saturating_sub(u64::from(a.max(b)))
}

fn scaled_span(start: u32, length: u32, from: usize, to: usize) -> (u32, u32) {
    let (from, to) = (from.max(1) as u64, to as u64);
    let first = u64::from(start) * to / from;
    let end = ((u64::from(start) + u64::from(length)) * to).div_ceil(from);
    (first as u32, (end - first).max(1) as u32)
}

/// A connected part of a heat map above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatRegion {
    /// In pixels of the heat map.
    pub bounds: Bounds,
    /// Pixels it has.
    pub area: usize,
    /// Mean heat over them.
    pub mean: f32,
    /// Highest heat.
    pub peak: f32,
}

/// The 8-connected parts of `heat` above `threshold` that have at least `min_area` pixels, from top to bottom.
pub fn heat_regions(heat: &HeatMap<'_>, threshold: f32, min_area: usize) -> Vec<HeatRegion> {
    let parts = Parts::new(heat.width, heat.height, |at| heat.data[at] > threshold);
    let mut sums = vec![(0_usize, 0.0_f64, f32::NEG_INFINITY); parts.bounds.len()];
    for (&part, &heat) in parts.of_pixel.iter().zip(heat.data) {
        if part != 0 {
            let (area, sum, peak) = &mut sums[part as usize - 1];
            *area += 1;
            *sum += f64::from(heat);
            *peak = peak.max(heat);
        }
    }
    parts
        .bounds
        .iter()
        .zip(sums)
        .filter(|(_, (area, ..))| *area >= min_area)
        .map(|(&bounds, (area, sum, peak))| HeatRegion {
            bounds,
            area,
            mean: (sum / area as f64) as f32,
            peak,
        })
        .collect()
}

/// The 8-connected parts of a binary picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// For each pixel 0, or one more than the position of its part in `bounds`.
    pub(crate) of_pixel: Vec<u32>,
    /// Each part's box.
    pub(crate) bounds: Vec<Bounds>,
}

impl Parts {
    fn new(width: usize, height: usize, is_set: impl Fn(usize) -> bool) -> Self {
        let mut parts = Self { of_pixel: vec![0; width * height], bounds: Vec::new() };
        let mut open = Vec::new();
        for start in 0..width * height {
            if parts.of_pixel[start] == 0 && is_set(start) {
                let name = parts.bounds.len() as u32 + 1;
                parts.of_pixel[start] = name;
                open.push(start);
                let bounds = parts.fill(name, &mut open, (width, height), &is_set);
                parts.bounds.push(bounds);
            }
        }
        parts
    }

    /// Names every pixel that is connected with those in `open`; returns the box of all.
    fn fill(
        &mut self,
        name: u32,
        open: &mut Vec<usize>,
        (width, height): (usize, usize),
        is_set: impl Fn(usize) -> bool,
    ) -> Bounds {
        let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
            for row in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for column in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = row * width + column;
                    if self.of_pixel[next] == 0 && is_set(next) {
                        self.of_pixel[next] = name;
                        open.push(next);
                    }
                }
            }
        }
        Bounds {
            x: left as u32,
            y: top as u32,
            width: (right - left + 1) as u32,
            height: (bottom - top + 1) as u32,
        }
    }
}
