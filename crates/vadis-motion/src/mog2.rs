//! Background subtraction by a mixture of Gaussians for each pixel, whose number adapts: Zivkovic, *Improved Adaptive
//! Gaussian Mixture Model for Background Subtraction* (ICPR 2004), with the shadow test of Prati et al. (PAMI 2003).

use rayon::prelude::*;
use vadis_video::{Colour, Frame};

use crate::difference::same_size;
use crate::integral::check_length;
use crate::{MAX_PIXELS, MotionError};

/// Most components of a mixture.
const COMPONENTS: usize = 5;
/// Squared Mahalanobis distance within which a value belongs to a component: three standard deviations.
const BELONGS: f32 = 9.0;
/// Weight that the background's components have together: 1 − c_f.
const BACKGROUND: f32 = 0.9;
/// Variance of a new component, and its range.
const NEW_VARIANCE: f32 = 15.0;
const VARIANCES: (f32, f32) = (4.0, 75.0);
/// Weight of the prior that keeps components few: c_T.
const COMPLEXITY: f32 = 0.05;
/// Brightness, as a part of the background's, under which a pixel is too dark for a shadow.
const DARKEST_SHADOW: f32 = 0.5;

/// Settings of [`Mog2`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mog2Config {
    /// Frames that the model remembers: the learning rate is its inverse, after a faster start; at least 1.
    pub history: usize,
    /// Squared Mahalanobis distance up to which a pixel is background; above 0.
    pub threshold: f32,
    /// Whether shadows are told from other foreground.
    pub shadows: bool,
}

impl Default for Mog2Config {
    /// As OpenCV's `createBackgroundSubtractorMOG2`.
    fn default() -> Self {
        Self { history: 500, threshold: 16.0, shadows: true }
    }
}

/// Tells what does not belong to the background, frame by frame; one for each video.
///
/// Memory is 100 bytes a pixel in grey, 180 in colour.
///
/// ```
/// use vadis_motion::{Mog2, Mog2Config};
/// use vadis_video::{Colour, Frame};
///
/// let mut subtractor = Mog2::new(Mog2Config::default())?;
/// let still = Frame::filled(4, 4, Colour::Grey, 80);
/// for _ in 0..20 {
///     subtractor.push(&still)?;
/// }
/// let mut other = still;
/// other.data[5] = 200;
/// let foreground = subtractor.push(&other)?;
/// assert_eq!(foreground.data.iter().filter(|&&value| value == Mog2::FOREGROUND).count(), 1);
/// # Ok::<(), vadis_motion::MotionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mog2 {
    config: Mog2Config,
    /// Size, colour, index and time of the first frame; no pixels.
    first: Option<Frame>,
    frames: usize,
    grey: Vec<Mixture<1>>,
    rgb: Vec<Mixture<3>>,
}

impl Mog2 {
    /// The mask's value where a pixel is background.
    pub const BACKGROUND: u8 = 0;
    /// The mask's value where the background is in shadow.
    pub const SHADOW: u8 = 127;
    /// The mask's value where something else is.
    pub const FOREGROUND: u8 = 255;

    /// A subtractor that has not seen a frame.
    ///
    /// # Errors
    /// [`MotionError::Setting`] if one of them is out of its range.
    pub fn new(config: Mog2Config) -> Result<Self, MotionError> {
        if config.history == 0 {
            return Err(MotionError::Setting { name: "history", range: "at least 1" });
        }
        if !(config.threshold.is_finite() && config.threshold > 0.0) {
            return Err(MotionError::Setting { name: "threshold", range: "above 0" });
        }
        Ok(Self { config, first: None, frames: 0, grey: Vec::new(), rgb: Vec::new() })
    }

    /// Learns from the next frame and returns its mask, with its index and time: [`Self::BACKGROUND`],
    /// [`Self::SHADOW`] or [`Self::FOREGROUND`] for each pixel. All of the first frame is foreground.
    ///
    /// # Errors
    /// [`MotionError::SizeChanged`] or [`MotionError::ColourChanged`] if the frame is not like those before it,
    /// [`MotionError::WrongLength`] or [`MotionError::NoPixels`] for a frame that contradicts itself,
    /// [`MotionError::TooLarge`] for more than 2²⁴ pixels. The model is then as it was before the call.
    pub fn push(&mut self, frame: &Frame) -> Result<Frame, MotionError> {
        self.check(frame)?;
        self.frames += 1;
        let rates = Rates::new(&self.config, self.frames);
        let data = match frame.colour {
            Colour::Grey => subtract(&mut self.grey, rates, frame),
            Colour::Rgb => subtract(&mut self.rgb, rates, frame),
        };
        Ok(Frame { colour: Colour::Grey, data, ..*frame })
    }

    /// Takes the first frame's shape, and holds the others to it.
    fn check(&mut self, frame: &Frame) -> Result<(), MotionError> {
        let (width, height) = (frame.width, frame.height);
        check_length(width, height, frame.colour.channels(), frame.data.len())?;
        if width * height > MAX_PIXELS {
            return Err(MotionError::TooLarge { width, height, limit: MAX_PIXELS });
        }
        let Some(first) = &self.first else {
            match frame.colour {
                Colour::Grey => self.grey = vec![Mixture::default(); width * height],
                Colour::Rgb => self.rgb = vec![Mixture::default(); width * height],
            }
            self.first = Some(Frame { data: Vec::new(), ..*frame });
            return Ok(());
        };
        same_size(first, frame)?;
        if first.colour != frame.colour {
            return Err(MotionError::ColourChanged { index: frame.index });
        }
        Ok(())
    }
}

/// What an update needs.
#[derive(Debug, Clone, Copy)]
struct Rates {
    /// α: the part of the new value in what is learnt.
    learning: f32,
    /// α c_T: the weight that every component loses.
    prune: f32,
    threshold: f32,
    shadows: bool,
}

impl Rates {
    /// Rates at the `frames`th frame: twice the inverse of their number, until that is the history's.
    fn new(config: &Mog2Config, frames: usize) -> Self {
        let learning = 1.0 / frames.saturating_mul(2).min(config.history) as f64;
        Self {
            learning: learning as f32,
            prune: (learning * f64::from(COMPLEXITY)) as f32,
            threshold: config.threshold,
            shadows: config.shadows,
        }
    }
}

/// Classifies and learns every pixel, row by row.
fn subtract<const C: usize>(mixtures: &mut [Mixture<C>], rates: Rates, frame: &Frame) -> Vec<u8> {
    let mut mask = vec![0; frame.width * frame.height];
    let rows = mask.par_chunks_mut(frame.width).zip(mixtures.par_chunks_mut(frame.width));
    rows.zip(frame.data.par_chunks(frame.stride())).with_min_len(8).for_each(|((mask, mixtures), values)| {
        let (values, _) = values.as_chunks::<C>();
        for ((mask, mixture), value) in mask.iter_mut().zip(mixtures).zip(values) {
            *mask = mixture.push(&value.map(f32::from), rates);
        }
    });
    mask
}

/// One Gaussian of a pixel's mixture, with the same variance in each channel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Component<const C: usize> {
    weight: f32,
    variance: f32,
    mean: [f32; C],
}

/// A pixel's Gaussians, the heaviest first.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mixture<const C: usize> {
    components: [Component<C>; COMPONENTS],
    count: u8,
}

impl<const C: usize> Default for Mixture<C> {
    fn default() -> Self {
        let none = Component { weight: 0.0, variance: 0.0, mean: [0.0; C] };
        Self { components: [none; COMPONENTS], count: 0 }
    }
}

impl<const C: usize> Mixture<C> {
    /// Classifies a value by the mixture as it was, and learns it.
    fn push(&mut self, value: &[f32; C], rates: Rates) -> u8 {
        let (background, belongs) = self.learn(value, rates);
        if !belongs {
            self.add(value, rates.learning);
        }
        if background {
            Mog2::BACKGROUND
        } else if rates.shadows && self.is_shadow(value, rates.threshold) {
            Mog2::SHADOW
        } else {
            Mog2::FOREGROUND
        }
    }

    /// Updates weights (Eq. 14 of the paper), and mean and variance of the component that the value belongs to
    /// (Eq. 5 and 6). Whether the value is background, and whether it belongs to a component.
    fn learn(&mut self, value: &[f32; C], rates: Rates) -> (bool, bool) {
        let (mut background, mut belongs, mut total) = (false, false, 0.0);
        let mut i = 0;
        while i < usize::from(self.count) {
            let mut component = self.components[i];
            component.weight = (1.0 - rates.learning) * component.weight - rates.prune;
            let mut place = i;
            if !belongs {
                let distance = component.distance(value);
                background |= total < BACKGROUND && distance < rates.threshold * component.variance;
                if distance < BELONGS * component.variance {
                    belongs = true;
                    component.learn(value, distance, rates.learning);
                    place = self.rise(i, component.weight);
                }
            }
            // Too light a component goes; being the last, it goes with the count.
            if component.weight < rates.prune {
                component.weight = 0.0;
                self.count -= 1;
            }
            self.components[place] = component;
            total += component.weight;
            i += 1;
        }
        let scale = if total.abs() > f32::EPSILON { 1.0 / total } else { 0.0 };
        self.used().iter_mut().for_each(|component| component.weight *= scale);
        (background, belongs)
    }

    /// Makes room for the component at `i`, now of this weight, before all that are not heavier; its new place.
    fn rise(&mut self, i: usize, weight: f32) -> usize {
        let place =
            self.components[..i].iter().rposition(|other| weight < other.weight).map_or(0, |at| at + 1);
        self.components[place..=i].rotate_right(1);
        place
    }

    /// Adds a component, or replaces the lightest.
    fn add(&mut self, value: &[f32; C], learning: f32) {
        self.count = (self.count + 1).min(COMPONENTS as u8);
        let last = usize::from(self.count) - 1;
        let mut weight = learning;
        if last == 0 {
            weight = 1.0;
        }
        self.components[..last].iter_mut().for_each(|component| component.weight *= 1.0 - learning);
        let place = self.rise(last, learning);
        self.components[place] = Component { weight, variance: NEW_VARIANCE, mean: *value };
    }

    /// Whether the value is one of the background's colours, darker.
    fn is_shadow(&mut self, value: &[f32; C], threshold: f32) -> bool {
        let mut total = 0.0;
        for component in self.used() {
            let dot = |a: &[f32; C], b: &[f32; C]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (along, square) = (dot(value, &component.mean), dot(&component.mean, &component.mean));
            if square == 0.0 {
                return false;
            }
            if along <= square && along >= DARKEST_SHADOW * square {
                let brightness = along / square;
                let darker = component.mean.map(|mean| brightness * mean);
                let distance = Component { mean: darker, ..*component }.distance(value);
                if distance < threshold * component.variance * brightness * brightness {
                    return true;
                }
            }
            total += component.weight;
            if total > BACKGROUND {
                return false;
            }
        }
        false
    }

    fn used(&mut self) -> &mut [Component<C>] {
        &mut self.components[..usize::from(self.count)]
    }
}

impl<const C: usize> Component<C> {
    /// Squared Euclidean distance from the mean.
    fn distance(&self, value: &[f32; C]) -> f32 {
        self.mean.iter().zip(value).map(|(mean, value)| (mean - value) * (mean - value)).sum()
    }

    fn learn(&mut self, value: &[f32; C], distance: f32, learning: f32) {
        self.weight += learning;
        let rate = learning / self.weight;
        self.mean.iter_mut().zip(value).for_each(|(mean, value)| *mean -= rate * (*mean - value));
        let variance = self.variance + rate * (distance - self.variance);
        self.variance = variance.clamp(VARIANCES.0, VARIANCES.1);
    }
}
