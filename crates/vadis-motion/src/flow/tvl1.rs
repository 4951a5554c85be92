//! TV-L1 optical flow, Zach, Pock & Bischof, *A Duality Based Approach for Realtime TV-L1 Optical Flow* (DAGM 2007).

use vadis_video::Frame;

use super::FlowField;
use super::bands::{Bands, Limits};
use super::primal_dual::{Constants, FLOW, TERMS};
use super::resample::{Scale, resample};
use super::rows::Rows;
use super::warp::{Target, linearise};
use crate::difference::{grey, same_size};
use crate::integral::check_length;
use crate::{MAX_PIXELS, MotionError};

/// Sides below which no smaller scale is made.
const MIN_SIDE: usize = 16;
/// Most scales, warps and iterations that a configuration may ask for.
const MAX_COUNT: usize = 10_000;

/// Settings of [`TvL1`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TvL1Config {
    /// Time step τ of the dual variables; above 0, at most 0.25 for the scheme to converge.
    pub tau: f32,
    /// Weight λ of the data term: the smaller, the smoother the flow; above 0.
    pub lambda: f32,
    /// Tightness θ of the coupling between the two halves of the energy; above 0.
    pub theta: f32,
    /// Pyramid levels, the full size included; at least 1. Levels with a side under 16 pixels are left out.
    pub scales: usize,
    /// How much smaller each level is, in (0, 1).
    pub scale_step: f32,
    /// Linearisations a level; at least 1.
    pub warps: usize,
    /// Iterations stop when the flow's mean squared change is at most ε²; at least 0.
    pub epsilon: f32,
    /// Iterations between two medians; at least 1.
    pub inner_iterations: usize,
    /// Medians a warp at most; at least 1.
    pub outer_iterations: usize,
    /// Whether the flow is smoothed by a 5×5 median.
    pub median: bool,
}

impl Default for TvL1Config {
    /// As OpenCV's `DualTVL1OpticalFlow`.
    fn default() -> Self {
        Self {
            tau: 0.25,
            lambda: 0.15,
            theta: 0.3,
            scales: 5,
            scale_step: 0.8,
            warps: 5,
            epsilon: 0.01,
            inner_iterations: 30,
            outer_iterations: 10,
            median: true,
        }
    }
}

impl TvL1Config {
    fn check(&self) -> Result<(), MotionError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let count = |value: usize| (1..=MAX_COUNT).contains(&value);
        let settings = [
            ("tau", "above 0", positive(self.tau)),
            ("lambda", "above 0", positive(self.lambda)),
            ("theta", "above 0", positive(self.theta)),
            ("scales", "from 1 to 10000", count(self.scales)),
            ("scale_step", "between 0 and 1", positive(self.scale_step) && self.scale_step < 1.0),
            ("warps", "from 1 to 10000", count(self.warps)),
            ("epsilon", "at least 0", self.epsilon.is_finite() && self.epsilon >= 0.0),
            ("inner_iterations", "from 1 to 10000", count(self.inner_iterations)),
            ("outer_iterations", "from 1 to 10000", count(self.outer_iterations)),
        ];
        match settings.into_iter().find(|(_, _, holds)| !holds) {
            Some((name, range, _)) => Err(MotionError::Setting { name, range }),
            None => Ok(()),
        }
    }
}

/// Computes TV-L1 flow, keeping its memory from pair to pair.
///
/// The flow u minimises ∫ |∇u₁| + |∇u₂| + λ |I₁(x + u) − I₀(x)| (Eq. 3), coarse to fine, by alternating a pointwise
/// thresholding step (Eq. 15) and Chambolle's dual scheme (Eq. 13 and 14). As in OpenCV's `DualTVL1OpticalFlow` the
/// flow passes a 5×5 median before each run of inner iterations, pictures are warped by cubic convolution with
/// zeros outside, and dual variables are kept from warp to warp.
///
/// Runs on rayon's current pool; the same pictures give the same bits with any number of threads.
///
/// ```
/// use vadis_motion::TvL1;
/// use vadis_video::{Colour, Frame};
///
/// let texture = |shift: usize| {
///     let mut frame = Frame::filled(64, 48, Colour::Grey, 0);
///     for (i, value) in frame.data.iter_mut().enumerate() {
///         let (x, y) = ((i % 64 + 64 - shift) as f64, (i / 64) as f64);
///         *value = (128.0 + 50.0 * (x * 0.4).sin() + 50.0 * (y * 0.5).cos()) as u8;
///     }
///     frame
/// };
/// let flow = TvL1::default().flow(&texture(0), &texture(1))?;
/// let middle = 24 * 64 + 32;
/// assert!((flow.u[middle] - 1.0).abs() < 0.1 && flow.v[middle].abs() < 0.1);
/// # Ok::<(), vadis_motion::MotionError>(())
/// ```
#[derive(Debug, Default)]
pub struct TvL1 {
    config: TvL1Config,
    levels: Vec<Level>,
    target: Target,
    terms: Rows,
    bands: Bands,
}

/// One level of the pyramid.
#[derive(Debug, Default)]
struct Level {
    width: usize,
    height: usize,
    /// The two pictures, in grey levels.
    pictures: [Rows; 2],
    flow: Rows,
}

impl Level {
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
}

impl TvL1 {
    /// A computation with these settings.
    ///
    /// # Errors
    /// [`MotionError::Setting`] if one of them is out of its range.
    pub fn new(config: TvL1Config) -> Result<Self, MotionError> {
        config.check()?;
        Ok(Self { config, ..Self::default() })
    }

    /// The settings.
    pub fn config(&self) -> &TvL1Config {
        &self.config
    }

    /// The flow from `before` to `after`, in pixels; colour is reduced to luma first.
    ///
    /// # Errors
    /// [`MotionError::SizeChanged`] if the sizes differ; [`MotionError::WrongLength`] or [`MotionError::NoPixels`]
    /// for a frame that contradicts itself; [`MotionError::TooLarge`] for more than 2²⁴ pixels.
    pub fn flow(&mut self, before: &Frame, after: &Frame) -> Result<FlowField, MotionError> {
        let (before, after) = (grey(before)?, grey(after)?);
        same_size(&before, &after)?;
        self.compute(before.width, before.height, [&before.data, &after.data], f32::from)
    }

    /// The same for pictures of floats in [0, 1], shaped `[height, width]`.
    ///
    /// # Errors
    /// [`MotionError::WrongLength`] or [`MotionError::NoPixels`] if the shape does not hold,
    /// [`MotionError::NotFinite`] at the first NaN or infinity, [`MotionError::TooLarge`] for more than 2²⁴ pixels.
    pub fn flow_of_floats(
        &mut self,
        width: usize,
        height: usize,
        before: &[f32],
        after: &[f32],
    ) -> Result<FlowField, MotionError> {
        for values in [before, after] {
            check_length(width, height, 1, values.len())?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(MotionError::NotFinite { x: at % width, y: at / width });
            }
        }
        self.compute(width, height, [before, after], |value| value * 255.0)
    }

    fn compute<T: Copy>(
        &mut self,
        width: usize,
        height: usize,
        pictures: [&[T]; 2],
        level: impl Fn(T) -> f32,
    ) -> Result<FlowField, MotionError> {
        if width.saturating_mul(height) > MAX_PIXELS {
            return Err(MotionError::TooLarge { width, height, limit: MAX_PIXELS });
        }
        self.shape(width, height);
        for (rows, values) in self.levels[0].pictures.iter_mut().zip(pictures) {
            for (mut row, values) in rows.iter_mut().zip(values.chunks_exact(width)) {
                row.plane_mut(0).iter_mut().zip(values).for_each(|(to, &from)| *to = level(from));
            }
        }
        // Inside the pool at once: each entry from outside would wait for a thread to wake.
        rayon::scope(|_| self.solve());
        Ok(self.levels[0].field())
    }

    /// From the coarsest level to the finest.
    fn solve(&mut self) {
        self.build_pyramid();
        for level in (0..self.levels.len()).rev() {
            self.refine(level);
            if level > 0 {
                self.hand_down(level);
            }
        }
    }

    /// Gives every level its size, and the coarsest a flow of 0.
    fn shape(&mut self, width: usize, height: usize) {
        let smaller =
            |side: usize| (side as f64 * f64::from(self.config.scale_step)).round_ties_even() as usize;
        let sizes = std::iter::successors(Some((width, height)), |&(w, h)| {
            let (w, h) = (smaller(w), smaller(h));
            (w.min(h) >= MIN_SIDE).then_some((w, h))
        });
        let sizes: Vec<_> = sizes.take(self.config.scales).collect();
        self.levels.resize_with(sizes.len(), Level::default);
        for (level, &(width, height)) in self.levels.iter_mut().zip(&sizes) {
            (level.width, level.height) = (width, height);
            level.pictures.iter_mut().for_each(|picture| picture.reshape(width, height, 1));
            level.flow.reshape(width, height, FLOW);
        }
    }

    fn build_pyramid(&mut self) {
        let step = Scale::Step(1.0 / f64::from(self.config.scale_step));
        for i in 1..self.levels.len() {
            let (finer, coarser) = self.levels.split_at_mut(i);
            let (from, to) = (&finer[i - 1], &mut coarser[0]);
            let size = to.size();
            for (from_picture, to_picture) in from.pictures.iter().zip(&mut to.pictures) {
                resample(from_picture, from.size(), to_picture, size, 1, step, 1.0);
            }
        }
    }

    /// Improves a level's flow.
    fn refine(&mut self, level: usize) {
        let Level { width, height, pictures: [first, second], flow } = &mut self.levels[level];
        let (width, height, config) = (*width, *height, &self.config);
        let constants = Constants {
            theta: config.theta,
            bound: config.lambda * config.theta,
            step: config.tau / config.theta,
        };
        let limits = Limits {
            inner: config.inner_iterations,
            outer: config.outer_iterations,
            median: config.median,
            error: f64::from(config.epsilon).powi(2) * (width * height) as f64,
        };
        self.target.fill(second, width, height);
        self.terms.reshape(width, height, TERMS);
        self.bands.reshape(width, height);
        for _ in 0..config.warps {
            linearise(first, &self.target, flow, &mut self.terms);
            self.bands.solve(constants, limits, &self.terms, flow);
        }
    }

    /// Starts the next finer level from this one's flow.
    fn hand_down(&mut self, level: usize) {
        let (finer, coarser) = self.levels.split_at_mut(level);
        let (from, to) = (&coarser[0], &mut finer[level - 1]);
        let size = to.size();
        resample(&from.flow, from.size(), &mut to.flow, size, FLOW, Scale::Fit, 1.0 / self.config.scale_step);
    }
}

impl Level {
    fn field(&self) -> FlowField {
        let plane = |plane: usize| {
            (0..self.height).flat_map(|y| &self.flow.row(y).plane(plane)[..self.width]).copied().collect()
        };
        FlowField { width: self.width, height: self.height, u: plane(0), v: plane(1) }
    }
}
