//! Passes over rows of bytes.

use super::scale::{ByteLanes, Lanes, to_byte};
use crate::Activation;
use crate::elementwise::for_each_isa;
use crate::tile::{Isa, LANES};
use crate::volume::pass::for_each_activation;
use crate::volume::select::Element;

impl Element for u8 {
    fn maximum(isa: Isa, most: &mut [u8], values: &[u8], step: usize) {
        maximum(isa, most, values, step);
    }
}

for_each_isa! {
    /// A channel's values in bytes.
    fn quantise(step: f32, zero: u8, values: &[f32], bytes: &mut [u8]) {
        let (inverse, zero) = (step.recip(), f32::from(zero));
        values.iter().zip(bytes).for_each(|(value, byte)| *byte = to_byte(value * inverse + zero));
    }
}

for_each_isa! {
    /// Values of sums after the activation, lane by lane.
    fn finish_values(lanes: &Lanes, activation: Activation, sums: &[i32], values: &mut [f32]) {
        for_each_activation!(activation, kind => {
            for (sums, values) in sums.chunks_exact(LANES).zip(values.chunks_exact_mut(LANES)) {
                for lane in 0..LANES {
                    values[lane] = kind.apply(sums[lane] as f32 * lanes.scale[lane] + lanes.shift[lane]);
                }
            }
        });
    }
}

for_each_isa! {
    /// As [`finish_values`], in bytes.
    fn finish_bytes(lanes: &Lanes, activation: Activation, to: &ByteLanes, sums: &[i32], bytes: &mut [u8]) {
        for_each_activation!(activation, kind => {
            for (sums, bytes) in sums.chunks_exact(LANES).zip(bytes.chunks_exact_mut(LANES)) {
                for lane in 0..LANES {
                    let value = kind.apply(sums[lane] as f32 * lanes.scale[lane] + lanes.shift[lane]);
                    bytes[lane] = to_byte(value * to.inverse[lane] + to.zero[lane]);
                }
            }
        });
    }
}

for_each_isa! {
    /// The larger of `most` and of the bytes every `step` vectors apart.
    fn maximum(most: &mut [u8], bytes: &[u8], step: usize) {
        for (most, bytes) in most.chunks_exact_mut(LANES).zip(bytes.chunks(step * LANES)) {
            for lane in 0..LANES {
                most[lane] = most[lane].max(bytes[lane]);
            }
        }
    }
}

for_each_isa! {
    /// values = scale · sums, lane by lane of as many as there are scales.
    fn scale_sums(scale: &[f32], sums: &[i32], values: &mut [f32]) {
        let rows = sums.chunks_exact(scale.len()).zip(values.chunks_exact_mut(scale.len()));
        for (sums, values) in rows {
            for (value, (sum, scale)) in values.iter_mut().zip(sums.iter().zip(scale)) {
                *value = *sum as f32 * scale;
            }
        }
    }
}
