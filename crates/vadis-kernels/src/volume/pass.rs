//! Passes over rows of sixteen-lane values.

use crate::Activation;
use crate::elementwise::{activate, for_each_isa, times_derivative};
use crate::tile::{Isa, LANES};

/// Applies an activation in place.
pub(crate) fn activate_row(isa: Isa, activation: Activation, row: &mut [f32]) {
    if activation != Activation::None {
        activate(isa, activation, row);
    }
}

/// Multiplies a gradient by the derivative where the activation's output is `output`.
pub(crate) fn through_activation(isa: Isa, activation: Activation, gradient: &mut [f32], output: &[f32]) {
    if activation != Activation::None {
        times_derivative(isa, activation, gradient, output);
    }
}

for_each_isa! {
    /// Adds the row's sum and sum of squares to `moments` = `[2][lane]`, in 64 bits: a variance is a
    /// small difference of these.
    fn add_moments(moments: &mut [f64], row: &[f32]) {
        let (sums, squares) = moments.split_at_mut(LANES);
        let mut sum = [0.0; LANES];
        let mut square = [0.0; LANES];
        for values in row.chunks_exact(LANES) {
            for lane in 0..LANES {
                let value = f64::from(values[lane]);
                sum[lane] += value;
                square[lane] += value * value;
            }
        }
        for lane in 0..LANES {
            sums[lane] += sum[lane];
            squares[lane] += square[lane];
        }
    }
}

for_each_isa! {
    /// output = input · scale + shift, lane by lane, then the activation.
    fn normalise(
        scale: &[f32; LANES],
        shift: &[f32; LANES],
        activation: Activation,
        input: &[f32],
        output: &mut [f32]
    ) {
        let affine = |input: &[f32], output: &mut [f32]| {
            for lane in 0..LANES {
                output[lane] = input[lane] * scale[lane] + shift[lane];
            }
        };
        let pairs = input.chunks_exact(LANES).zip(output.chunks_exact_mut(LANES));
        match activation {
            Activation::None => pairs.for_each(|(input, output)| affine(input, output)),
            Activation::Relu => pairs.for_each(|(input, output)| {
                affine(input, output);
                output.iter_mut().for_each(|y| *y = Activation::Relu.apply(*y));
            }),
            Activation::LeakyRelu(slope) => pairs.for_each(|(input, output)| {
                affine(input, output);
                output.iter_mut().for_each(|y| *y = Activation::LeakyRelu(slope).apply(*y));
            }),
            Activation::Tanh => pairs.for_each(|(input, output)| {
                affine(input, output);
                output.iter_mut().for_each(|y| *y = Activation::Tanh.apply(*y));
            }),
            Activation::Sigmoid => pairs.for_each(|(input, output)| {
                affine(input, output);
                output.iter_mut().for_each(|y| *y = Activation::Sigmoid.apply(*y));
            }),
        }
    }
}

for_each_isa! {
    /// Multiplies the gradient by the activation's derivative and adds, lane by lane, to `sums` =
    /// `[2][lane]` the gradient, and the gradient times the deviation of the norm's input from its mean.
    fn norm_gradient_sums(
        sums: &mut [f64],
        activation: Activation,
        mean: &[f32; LANES],
        gradient: &mut [f32],
        output: &[f32],
        raw: &[f32]
    ) {
        times_derivative_here(activation, gradient, output);
        let (plain, products) = sums.split_at_mut(LANES);
        let mut sum = [0.0f32; LANES];
        let mut product = [0.0f32; LANES];
        for (gradient, raw) in gradient.chunks_exact(LANES).zip(raw.chunks_exact(LANES)) {
            for lane in 0..LANES {
                sum[lane] += gradient[lane];
                product[lane] += gradient[lane] * (raw[lane] - mean[lane]);
            }
        }
        for lane in 0..LANES {
            plain[lane] += f64::from(sum[lane]);
            products[lane] += f64::from(product[lane]);
        }
    }
}

/// As [`times_derivative`], to be inlined under the caller's instruction set.
#[inline(always)]
fn times_derivative_here(activation: Activation, gradient: &mut [f32], output: &[f32]) {
    let pairs = gradient.iter_mut().zip(output);
    match activation {
        Activation::None => {}
        Activation::Relu => pairs.for_each(|(g, &y)| *g *= Activation::Relu.derivative(y)),
        Activation::LeakyRelu(s) => pairs.for_each(|(g, &y)| *g *= Activation::LeakyRelu(s).derivative(y)),
        Activation::Tanh => pairs.for_each(|(g, &y)| *g *= Activation::Tanh.derivative(y)),
        Activation::Sigmoid => pairs.for_each(|(g, &y)| *g *= Activation::Sigmoid.derivative(y)),
    }
}

for_each_isa! {
    /// gradient = factor · gradient + slope · (raw − mean) + constant, lane by lane: the way back
    /// through a norm whose input was `raw`.
    fn norm_gradient(
        factor: &[f32; LANES],
        slope: &[f32; LANES],
        mean: &[f32; LANES],
        constant: &[f32; LANES],
        gradient: &mut [f32],
        raw: &[f32]
    ) {
        for (gradient, raw) in gradient.chunks_exact_mut(LANES).zip(raw.chunks_exact(LANES)) {
            for lane in 0..LANES {
                gradient[lane] = factor[lane] * gradient[lane] + (slope[lane] * (raw[lane] - mean[lane]) + constant[lane]);
            }
        }
    }
}

for_each_isa! {
    /// Adds the row's sum, lane by lane, to `sums`.
    fn add_lanes(sums: &mut [f64], row: &[f32]) {
        let mut sum = [0.0f32; LANES];
        for values in row.chunks_exact(LANES) {
            for lane in 0..LANES {
                sum[lane] += values[lane];
            }
        }
        for lane in 0..LANES {
            sums[lane] += f64::from(sum[lane]);
        }
    }
}

for_each_isa! {
    /// The larger of `most` and of the values every `step` vectors apart; NaN wins.
    fn maximum(most: &mut [f32], values: &[f32], step: usize) {
        for (most, values) in most.chunks_exact_mut(LANES).zip(values.chunks(step * LANES)) {
            for lane in 0..LANES {
                let (old, new) = (most[lane], values[lane]);
                most[lane] = if new > old || new.is_nan() { new } else { old };
            }
        }
    }
}

/// The way back through a window of a max pooling, a row at a time.
pub(crate) struct Pooled<'a> {
    /// The largest values, and their gradient.
    pub(crate) most: &'a [f32],
    pub(crate) gradient: &'a [f32],
    /// Where the values were read, every `step` vectors.
    pub(crate) values: &'a [f32],
    pub(crate) step: usize,
}

for_each_isa! {
    /// Adds the gradient to `to` where the value is the largest and none before it was; `open` holds 1
    /// where none was so far, and 0 elsewhere.
    fn unpool(pooled: &Pooled<'_>, open: &mut [f32], to: &mut [f32]) {
        let Pooled { most, gradient, values, step } = *pooled;
        let inputs = values.chunks(step * LANES).zip(to.chunks_mut(step * LANES));
        let outputs = most.chunks_exact(LANES).zip(gradient.chunks_exact(LANES));
        for (((values, to), (most, gradient)), open) in inputs.zip(outputs).zip(open.chunks_exact_mut(LANES)) {
            for lane in 0..LANES {
                let (value, most) = (values[lane], most[lane]);
                let hit = open[lane] > 0.0 && (value == most || value.is_nan());
                to[lane] += if hit { gradient[lane] } else { 0.0 };
                open[lane] = if hit { 0.0 } else { open[lane] };
            }
        }
    }
}
