//! The ranges of a network's values over sample clips.

use rayon::prelude::*;

use super::scale::Scale;
use crate::volume::frozen::{Frozen, Scratch};
use crate::volume::network::{RunError, check, volume};
use crate::volume::plan::{Operation, Plan};

/// Bins of a histogram.
const BINS: usize = 512;
/// In how many steps each end of a range is drawn in, in search of the best.
const CUTS: usize = 32;

/// The scale of each node that `frozen` runs, from its values over `clips` = `[n][C][T][H][W]`.
///
/// The input's ranges are those of its values. Further in, a channel's range is the one whose bytes have
/// the smallest mean square error: a few values far out saturate, so that all the others are finer.
pub(super) fn scales(frozen: &Frozen, plan: &Plan, clips: &[f32]) -> Result<Vec<Scale>, RunError> {
    let size = volume(plan.input());
    check("calibration clips", (clips.len() / size).max(1) * size, clips.len())?;
    let mut ranges: Vec<Vec<[f32; 2]>> =
        plan.nodes().iter().map(|node| vec![[0.0; 2]; node.shape[0]]).collect();
    watch(frozen, plan, clips, |index, channel, values| widen(&mut ranges[index][channel], values));
    let finite = |range: &[f32; 2]| range.iter().all(|value| value.is_finite());
    if let Some(index) = ranges.iter().position(|ranges| !ranges.iter().all(finite)) {
        return Err(RunError::NotFinite { node: plan.nodes()[index].name.clone() });
    }
    let mut histograms: Vec<Vec<Histogram>> =
        ranges.iter().map(|ranges| ranges.iter().map(|&range| Histogram::new(range)).collect()).collect();
    watch(frozen, plan, clips, |index, channel, values| histograms[index][channel].add(values));
    let mut scales: Vec<Scale> = Vec::with_capacity(ranges.len());
    for (index, node) in plan.nodes().iter().enumerate() {
        let scale = match node.operation {
            Operation::Input => Scale::new(&ranges[index]),
            Operation::Conv(_) => {
                Scale::new(&histograms[index].par_iter().map(Histogram::best).collect::<Vec<_>>())
            }
            _ => node.inputs.iter().fold(Scale::default(), |mut scale, &input| {
                scale.append(&scales[input]);
                scale
            }),
        };
        scales.push(scale);
    }
    Ok(scales)
}

/// Shows the values of each channel of each node over each clip.
fn watch(frozen: &Frozen, plan: &Plan, clips: &[f32], mut see: impl FnMut(usize, usize, &[f32])) {
    let (mut scratch, mut planes) = (Scratch::new(), Vec::new());
    for x in clips.chunks_exact(volume(plan.input())) {
        frozen.watch(x, &mut scratch, &mut |index, layout, values| {
            let shape = plan.nodes()[index].shape;
            planes.resize(volume(shape), 0.0);
            layout.write_planes(values, &mut planes);
            let channels = planes.chunks_exact(volume(shape) / shape[0]);
            channels.enumerate().for_each(|(channel, values)| see(index, channel, values));
        });
    }
}

/// Widens a range to take in `values`; it is not finite if one of them is not.
fn widen([low, high]: &mut [f32; 2], values: &[f32]) {
    for value in values {
        *low = low.min(*value);
        *high = if value.is_nan() { f32::INFINITY } else { high.max(*value) };
    }
}

/// How often values fall where in a range.
pub(super) struct Histogram {
    range: [f32; 2],
    bins: Vec<u64>,
}

impl Histogram {
    pub(super) fn new(range: [f32; 2]) -> Self {
        Self { range, bins: vec![0; BINS] }
    }

    pub(super) fn add(&mut self, values: &[f32]) {
        let [low, high] = self.range;
        let scale = BINS as f32 / (high - low);
        if scale.is_finite() {
            values.iter().for_each(|value| self.bins[(((value - low) * scale) as usize).min(BINS - 1)] += 1);
        }
    }

    /// The part of the range with the smallest mean square error of its bytes: each end is drawn in as
    /// far as that helps, twice over.
    pub(super) fn best(&self) -> [f32; 2] {
        let mut best = self.range;
        for end in [1, 0, 1, 0] {
            let cut = |i: usize| {
                let mut range = best;
                range[end] = self.range[end] * (CUTS - i) as f32 / CUTS as f32;
                (self.error(range), range)
            };
            if let Some((_, range)) = (0..CUTS).map(cut).min_by(|a, b| a.0.total_cmp(&b.0)) {
                best = range;
            }
        }
        best
    }

    /// The square error of the bytes of a range, summed over all values.
    fn error(&self, [low, high]: [f32; 2]) -> f64 {
        let [first, last] = self.range.map(f64::from);
        let [low, high] = [low, high].map(f64::from);
        let width = (last - first) / BINS as f64;
        // Values are spread evenly over a step.
        let inside = ((high - low) / 255.0).powi(2) / 12.0;
        let of_bin = |(bin, &count): (usize, &u64)| {
            let value = first + (bin as f64 + 0.5) * width;
            let beyond = (low - value).max(value - high).max(0.0);
            count as f64 * if beyond > 0.0 { beyond.powi(2) } else { inside }
        };
        self.bins.iter().enumerate().map(of_bin).sum()
    }
}
