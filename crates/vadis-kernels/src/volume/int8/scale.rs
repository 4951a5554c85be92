//! What bytes stand for.

use crate::tile::LANES;

/// Activations in bytes: a byte q stands for step · (q − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) step: f32,
    pub(super) zero: u8,
}

impl Scale {
    /// The bytes spread over a range, widened to take in 0, which a byte stands for exactly. A range of
    /// one value, or one too wide for a float, gets a step all the same.
    pub(super) fn new([low, high]: [f32; 2]) -> Self {
        let [low, high] = [low.min(0.0), high.max(0.0)].map(f64::from);
        let step = ((high - low) / 255.0) as f32;
        let step = if step.is_normal() { step } else { 1.0 };
        let zero = (-low / f64::from(step)).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { step, zero }
    }

    pub(super) fn value(self, byte: u8) -> f32 {
        self.step * (f32::from(byte) - f32::from(self.zero))
    }
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

/// A weight in signed bytes, and the step of each output channel.
pub(super) struct Weight {
    pub(super) bytes: Vec<i8>,
    pub(super) steps: Vec<f32>,
}

impl Weight {
    /// From `weight`, of which `channel` gives the output channel of each element.
    ///
    /// A channel's step makes its largest element ±127, unless its sums with bytes of 255 could then
    /// leave 32 bits: it is larger where they could.
    pub(super) fn new(weight: &[f32], channels: usize, channel: impl Fn(usize) -> usize) -> Self {
        let mut largest = vec![0.0f32; channels];
        let mut sums = vec![0.0f64; channels];
        let mut terms = vec![0.0f64; channels];
        for (index, value) in weight.iter().enumerate() {
            let channel = channel(index);
            largest[channel] = largest[channel].max(value.abs());
            sums[channel] += f64::from(value.abs());
            terms[channel] += 1.0;
        }
        let step = |channel: usize| {
            // Rounding adds half a step to each element at most.
            let room = (f64::from(i32::MAX) / 255.0 - terms[channel] / 2.0).max(1.0);
            let step = (f64::from(largest[channel]) / 127.0).max(sums[channel] / room) as f32;
            if step.is_normal() { step } else { 1.0 }
        };
        let steps: Vec<f32> = (0..channels).map(step).collect();
        let to_byte = |(index, value): (usize, &f32)| {
            (f64::from(*value) / f64::from(steps[channel(index)])).round_ties_even().clamp(-127.0, 127.0)
                as i8
        };
        let bytes = weight.iter().enumerate().map(to_byte).collect();
        Self { bytes, steps }
    }
}

/// What turns sums back into values: for each lane of a block, value = scale · sum + shift.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pub(super) scale: [f32; LANES],
    pub(super) shift: [f32; LANES],
}
