//! Passes over rows of sixteen-lane values.

use crate::Activation;
use crate::elementwise::{activate, for_each_isa, times_derivative};
use crate::tile::{Isa, LANES};

/// Repeats an expression for each kind of activation, so that the branch stays outside its loop.
macro_rules! for_each_activation {
    ($activation:expr, $name:ident => $body:expr) => {
        match $activation {
            Activation::None => {
                let $name = Activation::None;
                $body
            }
            Activation::Relu => {
                let $name = Activation::Relu;
                $body
            }
            Activation::LeakyRelu(slope) => {
                let $name = Activation::LeakyRelu(slope);
                $body
            }
            Activation::Tanh => {
                let $name = Activation::Tanh;
                $body
            }
            Activation::Sigmoid => {
                let $name = Activation::Sigmoid;
                $body
            }
        }
    };
}
pub(crate) use for_each_activation;

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
        for_each_activation!(activation, kind => {
            for (input, output) in input.chunks_exact(LANES).zip(output.chunks_exact_mut(LANES)) {
                for lane in 0..LANES {
                    output[lane] = kind.apply(input[lane] * scale[lane] + shift[lane]);
                }
            }
        });
    }
}

/// What a norm does to a block of sixteen channels, as far as its way back needs it.
#[derive(Clone, Copy)]
pub(crate) struct NormLanes {
    pub(crate) activation: Activation,
    pub(crate) mean: [f32; LANES],
    /// The norm's output is scale · input + shift.
    pub(crate) scale: [f32; LANES],
    pub(crate) shift: [f32; LANES],
}

/// A position's gradient after the way back through `activation`. The activation's output is computed
/// anew from the norm's input: it need not be read.
#[inline(always)]
fn behind_activation(
    norm: &NormLanes,
    activation: Activation,
    gradient: &[f32],
    raw: &[f32],
) -> [f32; LANES] {
    let mut back = [0.0; LANES];
    for lane in 0..LANES {
        let output = activation.apply(raw[lane] * norm.scale[lane] + norm.shift[lane]);
        back[lane] = gradient[lane] * activation.derivative(output);
    }
    back
}

for_each_isa! {
    /// Adds, lane by lane, to `sums` = `[2][lane]` the gradient after the way back through the
    /// activation, and its product with the deviation of the norm's input from its mean.
    fn norm_gradient_sums(sums: &mut [f64], norm: &NormLanes, gradient: &[f32], raw: &[f32]) {
        let (plain, products) = sums.split_at_mut(LANES);
        let mut sum = [0.0f32; LANES];
        let mut product = [0.0f32; LANES];
        for_each_activation!(norm.activation, kind => {
            for (gradient, raw) in gradient.chunks_exact(LANES).zip(raw.chunks_exact(LANES)) {
                let back = behind_activation(norm, kind, gradient, raw);
                for lane in 0..LANES {
                    sum[lane] += back[lane];
                    product[lane] += back[lane] * (raw[lane] - norm.mean[lane]);
                }
            }
        });
        for lane in 0..LANES {
            plain[lane] += f64::from(sum[lane]);
            products[lane] += f64::from(product[lane]);
        }
    }
}

/// The way back through a norm, lane by lane: factor · gradient + slope · (input − mean) + constant.
#[derive(Clone, Copy)]
pub(crate) struct NormBack {
    pub(crate) norm: NormLanes,
    pub(crate) factor: [f32; LANES],
    pub(crate) slope: [f32; LANES],
    pub(crate) constant: [f32; LANES],
}

for_each_isa! {
    /// Takes a gradient back through the activation and the norm, in place.
    fn norm_gradient(back: &NormBack, gradient: &mut [f32], raw: &[f32]) {
        let NormBack { norm, factor, slope, constant } = *back;
        for_each_activation!(norm.activation, kind => {
            for (gradient, raw) in gradient.chunks_exact_mut(LANES).zip(raw.chunks_exact(LANES)) {
                let back = behind_activation(&norm, kind, gradient, raw);
                for lane in 0..LANES {
                    let deviation = raw[lane] - norm.mean[lane];
                    gradient[lane] = factor[lane] * back[lane] + (slope[lane] * deviation + constant[lane]);
                }
            }
        });
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

for_each_isa! {
    /// Adds to `sums` the first `run` lanes of each position's `width` products from `first` on, where
    /// a position's fall `step` elements after the one's before.
    fn overlap_add(products: &[f32], width: usize, first: usize, run: usize, step: usize, sums: &mut [f32]) {
        match (run, step) {
            (9, 3) => slide::<9, 3>(products, width, first, sums),
            (9, 6) => slide::<9, 6>(products, width, first, sums),
            (3, 1) => slide::<3, 1>(products, width, first, sums),
            (3, 2) => slide::<3, 2>(products, width, first, sums),
            _ => {
                for (x, products) in products.chunks_exact(width).enumerate() {
                    let sums = &mut sums[x * step..][..run];
                    sums.iter_mut().zip(&products[first..]).for_each(|(sum, product)| *sum += product);
                }
            }
        }
    }
}

/// As [`overlap_add`], with the overlap kept in registers.
#[inline(always)]
fn slide<const RUN: usize, const STEP: usize>(
    products: &[f32],
    width: usize,
    first: usize,
    sums: &mut [f32],
) {
    let mut window = [0.0; RUN];
    let mut rest = sums;
    for products in products.chunks_exact(width) {
        let products = &products[first..][..RUN];
        for i in 0..RUN {
            window[i] += products[i];
        }
        let (done, tail) = std::mem::take(&mut rest).split_at_mut(STEP);
        for i in 0..STEP {
            done[i] += window[i];
        }
        for i in 0..RUN {
            window[i] = if i + STEP < RUN { window[i + STEP] } else { 0.0 };
        }
        rest = tail;
    }
    rest.iter_mut().zip(window).for_each(|(sum, value)| *sum += value);
}
