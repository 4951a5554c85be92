//! The affine coupling (Glow, Table 1): (log s, t) = net(x_a), s = sigmoid(log s + 2), y_b = (x_b + t) · s; the
//! log-determinant is Σ log s.
//!
//! The published 10.16 and 11.05 million parameters (paper 003, Section 5) come out when the hidden
//! convolutions have neither bias nor norm, and the last one a bias.

use rayon::prelude::*;
use vadis_kernels::volume::{Conv, Plan, PlanError};
use vadis_kernels::{Activation, exp, ln};

use crate::simd::{Vectorised, vectorised};

/// Added to log s: an untrained step leaves nearly all of x_b.
pub(super) const OFFSET: f32 = 2.0;

/// The net: half of the channels to log s and t of the other half. Images are clips of one frame.
pub(super) fn plan(channels: usize, [h, w]: [usize; 2], hidden: usize) -> Result<Plan, PlanError> {
    let conv = |cin, cout, side: usize| Conv::new(cin, cout, [1, side, side], [1; 3]);
    let layer = |cin, side| conv(cin, hidden, side).without_bias().activation(Activation::Relu);
    Plan::new("half", [channels / 2, 1, h, w])?
        .conv("conv1", "half", layer(channels / 2, 3))?
        .conv("conv2", "conv1", layer(hidden, 1))?
        .conv("conv3", "conv2", conv(hidden, channels, 3))
}

/// Sizes of a batch at a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) channels: usize,
    pub(super) positions: usize,
}

impl Shape {
    /// Values of a sample.
    pub(super) fn len(self) -> usize {
        self.channels * self.positions
    }

    /// Values of half a sample.
    pub(super) fn half(self) -> usize {
        self.channels / 2 * self.positions
    }

    /// The first half of each sample's channels.
    pub(super) fn first_halves(self, x: &[f32]) -> Vec<f32> {
        x.chunks_exact(self.len()).flat_map(|x| &x[..self.half()]).copied().collect()
    }
}

/// Scales the second half of each sample of `x` by what the net gave, in place. The scales go to `gates`
/// (`[batch][channels / 2][positions]`), and each position's Σ log s is added to `density` (`[batch][positions]`).
pub(super) fn forward(shape: Shape, net: &[f32], x: &mut [f32], gates: &mut [f32], density: &mut [f32]) {
    x.par_chunks_exact_mut(shape.len())
        .zip(net.par_chunks_exact(shape.len()))
        .zip(gates.par_chunks_exact_mut(shape.half()).zip(density.par_chunks_exact_mut(shape.positions)))
        .for_each(|((x, net), (gates, density))| {
            let (raw, shift) = net.split_at(shape.half());
            vectorised(Forward { raw, shift, x: &mut x[shape.half()..], gates, density });
        });
}

struct Forward<'a> {
    raw: &'a [f32],
    shift: &'a [f32],
    x: &'a mut [f32],
    gates: &'a mut [f32],
    density: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let positions = self.density.len();
        let planes = self.raw.chunks_exact(positions).zip(self.shift.chunks_exact(positions));
        let values = self.x.chunks_exact_mut(positions).zip(self.gates.chunks_exact_mut(positions));
        for ((raw, shift), (x, gates)) in planes.zip(values) {
            let inputs = raw.iter().zip(shift);
            let outputs = x.iter_mut().zip(gates).zip(self.density.iter_mut());
            for ((&raw, &shift), ((x, gate), density)) in inputs.zip(outputs) {
                // s = 1 / d, and log s = −log d.
                let d = 1.0 + exp(-(raw + OFFSET));
                *gate = 1.0 / d;
                *density -= ln(d);
                *x = (*x + shift) * *gate;
            }
        }
    }
}

/// The gradient of the net's output `[batch][channels][positions]`; that of the second half of y, in `dy`, is made
/// that of x. `scaled` is the second half of y, `log_det` each sample's gradient of its log-determinant.
pub(super) fn backward(
    shape: Shape,
    gates: &[f32],
    scaled: &[f32],
    log_det: &[f32],
    dy: &mut [f32],
) -> Vec<f32> {
    let mut net = vec![0.0; dy.len()];
    dy.par_chunks_exact_mut(shape.len())
        .zip(net.par_chunks_exact_mut(shape.len()))
        .zip(gates.par_chunks_exact(shape.half()).zip(scaled.par_chunks_exact(shape.half())))
        .zip(log_det)
        .for_each(|(((dy, net), (gates, scaled)), &log_det)| {
            let (raw, shift) = net.split_at_mut(shape.half());
            vectorised(Backward { raw, shift, gates, scaled, log_det, dy: &mut dy[shape.half()..] });
        });
    net
}

struct Backward<'a> {
    raw: &'a mut [f32],
    shift: &'a mut [f32],
    gates: &'a [f32],
    scaled: &'a [f32],
    log_det: f32,
    dy: &'a mut [f32],
}

impl Vectorised for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let inputs = self.gates.iter().zip(self.scaled);
        let outputs = self.raw.iter_mut().zip(self.shift).zip(self.dy);
        for ((&gate, &y), ((raw, shift), dy)) in inputs.zip(outputs) {
            // ds/d log s = s (1 − s), and (x_b + t) · s = y_b.
            *raw = (*dy * y + self.log_det) * (1.0 - gate);
            *dy *= gate;
            *shift = *dy;
        }
    }
}

/// Takes the scaling back: x_b = y_b / s − t.
pub(super) fn inverse(shape: Shape, net: &[f32], y: &mut [f32]) {
    for (y, net) in y.chunks_exact_mut(shape.len()).zip(net.chunks_exact(shape.len())) {
        let (raw, shift) = net.split_at(shape.half());
        for ((y, &raw), &shift) in y[shape.half()..].iter_mut().zip(raw).zip(shift) {
            *y = *y * (1.0 + exp(-(raw + OFFSET))) - shift;
        }
    }
}
