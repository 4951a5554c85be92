//! Batch norm in training, forward and backward, and the bias's gradient.

use rayon::prelude::*;

use super::layout::Layout;
use super::pass::{
    NormBack, NormLanes, add_lanes, norm_gradient, norm_gradient_sums, normalise, through_activation,
};
use super::plan::EPSILON;
use crate::tile::LANES;
use crate::{Activation, Isa};

/// Rows of a task of the passes that only map.
const ROWS: usize = 16;

/// A batch's statistics, one for each channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Norm {
    pub(crate) mean: Vec<f32>,
    /// 1 / √(variance + ε)
    pub(crate) inverse: Vec<f32>,
    /// Unbiased, for the running variance.
    pub(crate) variance: Vec<f32>,
    /// Values of a channel.
    count: f64,
}

impl Norm {
    /// From each channel's sum and sum of squares over `count` values.
    pub(crate) fn new(sums: &[[f64; 2]], count: usize) -> Self {
        let count = count as f64;
        let mut norm = Self { count, ..Self::default() };
        for &[sum, squares] in sums {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            // NaN must stay, to show that training went astray; `max` would hide it.
            let variance = if squares.is_nan() { squares } else { variance };
            norm.mean.push(mean as f32);
            norm.inverse.push((1.0 / (variance + f64::from(EPSILON)).sqrt()) as f32);
            norm.variance.push((variance * count / (count - 1.0)) as f32);
        }
        norm
    }
}

/// Sixteen values of a block, of those there are one for each channel; zero beyond.
fn of_block(values: &[f32], block: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.iter_mut().zip(&values[block * LANES..]).for_each(|(lane, value)| *lane = *value);
    lanes
}

/// A layer's values around its norm: what went in (without margins) and what came out.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) isa: Isa,
    pub(crate) activation: Activation,
    pub(crate) raw: Layout,
    pub(crate) value: Layout,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

impl Sides<'_> {
    fn block(&self, row: usize) -> usize {
        row % self.value.rows() / (self.value.shape[0] * self.value.shape[1])
    }

    /// Each channel's scale and shift: value = activation(scale · raw + shift), which is
    /// activation(weight · (raw − mean) / √(variance + ε) + bias).
    fn affine(&self, norm: &Norm) -> [Vec<f32>; 2] {
        let scale: Vec<f32> = self.weight.iter().zip(&norm.inverse).map(|(w, inverse)| w * inverse).collect();
        let terms = self.bias.iter().zip(norm.mean.iter().zip(&scale));
        let shift = terms.map(|(b, (mean, scale))| b - mean * scale).collect();
        [scale, shift]
    }

    /// Normalises and activates.
    pub(crate) fn forward(&self, norm: &Norm, raw: &[f32], value: &mut [f32]) {
        let [scale, shift] = self.affine(norm);
        let rows = value.par_chunks_mut(self.value.row_pitch()).zip(raw.par_chunks(self.raw.row_pitch()));
        rows.enumerate().with_min_len(ROWS).for_each(|(index, (value, raw))| {
            let block = self.block(index);
            let [scale, shift] = [&scale, &shift].map(|values| of_block(values, block));
            self.value.clear_margins(value);
            normalise(self.isa, &scale, &shift, self.activation, raw, &mut value[self.value.inside()]);
        });
    }

    fn lanes(&self, norm: &Norm) -> Vec<NormLanes> {
        let [scale, shift] = self.affine(norm);
        let lanes = |block: usize| NormLanes {
            activation: self.activation,
            mean: of_block(&norm.mean, block),
            scale: of_block(&scale, block),
            shift: of_block(&shift, block),
        };
        (0..self.value.blocks()).map(lanes).collect()
    }

    /// Turns the gradient with respect to the value into that with respect to the norm's input, in
    /// place, and gives those of the norm's weight and bias.
    pub(crate) fn backward(&self, norm: &Norm, raw: &[f32], delta: (&Layout, &mut [f32])) -> [Vec<f32>; 2] {
        let (layout, delta) = delta;
        let lanes = self.lanes(norm);
        let sums = self.gradient_sums(&lanes, raw, (layout, &*delta));
        let per_channel = |map: &dyn Fn(usize) -> f64| -> Vec<f32> {
            (0..self.value.channels).map(|c| map(c) as f32).collect()
        };
        let inverse = |c: usize| f64::from(norm.inverse[c]);
        let gain = |c: usize| f64::from(self.weight[c]) * inverse(c);
        let factor = per_channel(&gain);
        let slope = per_channel(&|c| -gain(c) * inverse(c) * inverse(c) * sums[c][1] / norm.count);
        let constant = per_channel(&|c| -gain(c) * sums[c][0] / norm.count);
        let rows = delta.par_chunks_mut(layout.row_pitch()).zip(raw.par_chunks(self.raw.row_pitch()));
        rows.enumerate().with_min_len(ROWS).for_each(|(index, (delta, raw))| {
            let block = self.block(index);
            let [factor, slope, constant] =
                [&factor, &slope, &constant].map(|values| of_block(values, block));
            let back = NormBack { norm: lanes[block], factor, slope, constant };
            norm_gradient(self.isa, &back, &mut delta[layout.inside()], raw);
        });
        [per_channel(&|c| sums[c][1] * inverse(c)), per_channel(&|c| sums[c][0])]
    }

    /// For each channel the sum of the gradient behind the activation, and its sum of products with
    /// the deviation of the norm's input.
    fn gradient_sums(
        &self,
        lanes: &[NormLanes],
        raw: &[f32],
        (layout, delta): (&Layout, &[f32]),
    ) -> Vec<[f64; 2]> {
        let height = self.value.shape[1];
        let slices =
            delta.par_chunks(height * layout.row_pitch()).zip(raw.par_chunks(height * self.raw.row_pitch()));
        let sums: Vec<[f64; 2 * LANES]> = slices
            .enumerate()
            .map(|(index, (delta, raw))| {
                let lanes = &lanes[self.block(index * height)];
                let mut sums = [0.0; 2 * LANES];
                for (delta, raw) in delta.chunks(layout.row_pitch()).zip(raw.chunks(self.raw.row_pitch())) {
                    norm_gradient_sums(self.isa, &mut sums, lanes, &delta[layout.inside()], raw);
                }
                sums
            })
            .collect();
        let mut totals = vec![[0.0; 2]; self.value.channels];
        for (index, sums) in sums.iter().enumerate() {
            let first = self.block(index * height) * LANES;
            for (lane, total) in totals[first..].iter_mut().take(LANES).enumerate() {
                *total = [total[0] + sums[lane], total[1] + sums[LANES + lane]];
            }
        }
        totals
    }
}

/// Takes a gradient through an activation, in place.
pub(crate) fn activation_backward(
    isa: Isa,
    activation: Activation,
    value: (&Layout, &[f32]),
    delta: (&Layout, &mut [f32]),
) {
    if activation == Activation::None {
        return;
    }
    let ((from, value), (layout, delta)) = (value, delta);
    let rows = delta.par_chunks_mut(layout.row_pitch()).zip(value.par_chunks(from.row_pitch()));
    rows.with_min_len(ROWS).for_each(|(delta, value)| {
        through_activation(isa, activation, &mut delta[layout.inside()], &value[from.inside()]);
    });
}

/// Each channel's sum.
pub(crate) fn bias_gradient(isa: Isa, layout: &Layout, delta: &[f32]) -> Vec<f32> {
    let height = layout.shape[1];
    let sums: Vec<[f64; LANES]> = delta
        .par_chunks(height * layout.row_pitch())
        .map(|slice| {
            let mut sums = [0.0; LANES];
            for row in slice.chunks(layout.row_pitch()) {
                let row = &row[layout.inside()];
                if layout.is_blocked() {
                    add_lanes(isa, &mut sums, row);
                } else {
                    let lanes = (0..layout.lanes).cycle();
                    row.iter().zip(lanes).for_each(|(value, lane)| sums[lane] += f64::from(*value));
                }
            }
            sums
        })
        .collect();
    let mut totals = vec![0.0; layout.channels];
    for (index, sums) in sums.iter().enumerate() {
        let block = index / layout.shape[0] % layout.blocks();
        totals[block * layout.lanes..].iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    totals.iter().map(|&total| total as f32).collect()
}
