//! What bytes stand for.

use crate::tile::LANES;
use crate::volume::network::{RunError, check};
use crate::volume::plan::Plan;

/// What the bytes of each node of a plan stand for: found once over clips, and kept in their place.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales(pub(super) Vec<Scale>);

impl Scales {
    /// Step and zero of each channel of each node, one after another, as [`Scales::from_values`] takes them.
    pub fn values(&self) -> Vec<f32> {
        let channels = self.0.iter().flat_map(|scale| scale.steps.iter().zip(&scale.zeros));
        channels.flat_map(|(&step, &zero)| [step, f32::from(zero)]).collect()
    }

    /// The scales of `plan` with those values.
    ///
    /// # Errors
    /// [`RunError::Size`] if there are not two for each channel of each node, [`RunError::NotFinite`] for a step that is
    /// no positive number or a zero that is no byte.
    pub fn from_values(plan: &Plan, values: &[f32]) -> Result<Self, RunError> {
        let channels = plan.nodes().iter().map(|node| node.shape[0]);
        check("scales", 2 * channels.sum::<usize>(), values.len())?;
        let mut rest = values;
        let mut scales = Vec::with_capacity(plan.nodes().len());
        for node in plan.nodes() {
            let (own, after) = rest.split_at(2 * node.shape[0]);
            rest = after;
            let fits = |pair: &[f32]| {
                let [step, zero] = [pair[0], pair[1]];
                step > 0.0 && is_step(step) && (0.0..=255.0).contains(&zero) && zero.fract() == 0.0
            };
            if !own.chunks_exact(2).all(fits) {
                return Err(RunError::NotFinite { node: node.name.clone() });
            }
            let steps = own.iter().step_by(2).copied().collect();
            scales.push(Scale { steps, zeros: own[1..].iter().step_by(2).map(|&zero| zero as u8).collect() });
        }
        Ok(Self(scales))
    }
}

/// Whether a step can be multiplied by and divided by.
fn is_step(step: f32) -> bool {
    step.is_normal() && step.recip().is_normal()
}

/// Activations in bytes: a byte q of channel c stands for steps[c] · (q − zeros[c]).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scale {
    pub(super) steps: Vec<f32>,
    pub(super) zeros: Vec<u8>,
}

impl Scale {
    /// The bytes of each channel spread over its range, widened to take in 0, which a byte stands for
    /// exactly. Where a range is 0 alone, or too wide for a float, the step is the mean of the others: one
    /// out of proportion would spoil the weight that it is put into.
    pub(super) fn new(ranges: &[[f32; 2]]) -> Self {
        let steps: Vec<Option<f32>> = ranges.iter().map(step).collect();
        let known: Vec<f32> = steps.iter().copied().flatten().collect();
        let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f32>() / known.len() as f32 };
        let zero = |(range, step): (&[f32; 2], &Option<f32>)| {
            step.map_or(0, |step| (-range[0].min(0.0) / step).round_ties_even().min(255.0) as u8)
        };
        let zeros = ranges.iter().zip(&steps).map(zero).collect();
        Self { steps: steps.iter().map(|step| step.unwrap_or(mean)).collect(), zeros }
    }

    /// Adds another one's channels.
    pub(super) fn append(&mut self, other: &Self) {
        self.steps.extend(&other.steps);
        self.zeros.extend(&other.zeros);
    }

    pub(super) fn value(&self, channel: usize, byte: u8) -> f32 {
        self.steps[channel] * (f32::from(byte) - f32::from(self.zeros[channel]))
    }

    /// What stands for zero in the lanes of a block.
    pub(super) fn zeros_of<const N: usize>(&self, block: usize) -> [u8; N] {
        std::array::from_fn(|lane| self.zeros.get(block * N + lane).copied().unwrap_or(0))
    }
}

fn step(&[low, high]: &[f32; 2]) -> Option<f32> {
    let step = ((f64::from(high.max(0.0)) - f64::from(low.min(0.0))) / 255.0) as f32;
    is_step(step).then_some(step)
}

/// The byte nearest to `x`, which is counted in steps from byte 0; NaN is byte 0.
#[inline(always)]
pub(super) fn to_byte(x: f32) -> u8 {
    /// 1.5 · 2²³: adding it rounds to an integer, which then is in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < 255.0 { x } else { 255.0 };
    ((x + ROUND).to_bits() & 0xff) as u8
}

/// A convolution's weight in signed bytes, and the step of each output channel.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub(super) bytes: Vec<i8>,
    pub(super) steps: Vec<f32>,
}

impl Weight {
    /// From `weight` with the steps of the input's channels in it; `channel` gives the output channel of
    /// each element.
    ///
    /// A channel's step makes its largest element ±127, unless its sums with bytes of 255 could then
    /// leave 32 bits: it is larger where they could.
    pub(super) fn new(weight: &[f32], channels: usize, channel: impl Fn(usize) -> usize) -> Self {
        let mut largest = vec![0.0f32; channels];
        let mut sums = vec![[0.0f64; 2]; channels];
        for (index, value) in weight.iter().enumerate() {
            let channel = channel(index);
            largest[channel] = largest[channel].max(value.abs());
            sums[channel][0] += f64::from(value.abs());
            sums[channel][1] += 1.0;
        }
        let step = |(&largest, &[sum, terms]): (&f32, &[f64; 2])| {
            // Rounding adds half a step to each element at most.
            let room = (f64::from(i32::MAX) / 255.0 - terms / 2.0).max(1.0);
            let step = (f64::from(largest) / 127.0).max(sum / room) as f32;
            if step.is_normal() { step } else { 1.0 }
        };
        let steps: Vec<f32> = largest.iter().zip(&sums).map(step).collect();
        let to_byte = |(index, value): (usize, &f32)| {
            let steps = f64::from(*value) / f64::from(steps[channel(index)]);
            steps.round_ties_even().clamp(-127.0, 127.0) as i8
        };
        let bytes = weight.iter().enumerate().map(to_byte).collect();
        Self { bytes, steps }
    }
}

/// What turns the sums of a block back into values: value = scale · sum + shift.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pub(super) scale: [f32; LANES],
    pub(super) shift: [f32; LANES],
}

/// What turns the values of a block into bytes: byte = inverse · value + zero.
#[derive(Clone, Copy)]
pub(super) struct ByteLanes {
    pub(super) inverse: [f32; LANES],
    pub(super) zero: [f32; LANES],
}

impl ByteLanes {
    pub(super) fn new(scale: &Scale, block: usize) -> Self {
        let step = |lane: usize| scale.steps.get(block * LANES + lane).map_or(1.0, |step| step.recip());
        Self { inverse: std::array::from_fn(step), zero: scale.zeros_of::<LANES>(block).map(f32::from) }
    }
}
