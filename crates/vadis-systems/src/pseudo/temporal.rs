//! Optical flow as pictures, and temporal pseudo-anomalies (Eq. 3): a patch of it mixed with another one.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};
use vadis_motion::{FlowCache, FlowField, TvL1};
use vadis_video::{Frame, Mask};

use super::PseudoConfig;
use super::config::FLOW_CHANNELS;
use super::mask::Masks;
use super::spatial::frames_at;
use crate::clips::{Run, put_frame};
use crate::examples::{ClipSource, Example};
use crate::frames::veiled;
use crate::preset::setting;
use crate::{FrameStore, SystemError};

/// Bytes of cached flows at most.
const CACHE_BYTES: u64 = 1 << 30;
/// What pixels that do not count are set to.
const GREY: u8 = 127;

/// Computes flows, or has them from a folder.
#[derive(Debug)]
pub(super) struct Flows {
    cache: Option<FlowCache>,
    /// 1 for each pixel that counts; the others are made grey, so that nothing moves there.
    counts: Vec<f32>,
    /// Memory of computations, as many as run at a time.
    free: Mutex<Vec<TvL1>>,
}

impl Flows {
    /// With flows kept in `folder`; an empty one keeps none.
    pub(super) fn open(folder: &str, counts: &[f32]) -> Result<Self, SystemError> {
        let open = || FlowCache::open(folder, CACHE_BYTES);
        let cache = (!folder.is_empty()).then(open).transpose()?;
        Ok(Self { cache, counts: counts.to_vec(), free: Mutex::default() })
    }

    /// The flow from a frame to the next.
    pub(super) fn flow(&self, before: &Frame, after: &Frame) -> Result<FlowField, SystemError> {
        let (before, after) = (&self.seen(before), &self.seen(after));
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut computation = free().pop().unwrap_or_default();
        let flow = match &self.cache {
            Some(cache) => cache.flow(&mut computation, before, after)?,
            None => computation.flow(before, after)?,
        };
        free().push(computation);
        Ok(flow)
    }

    /// The frame with the pixels that do not count made grey.
    pub(super) fn seen<'a>(&self, frame: &'a Frame) -> Cow<'a, Frame> {
        veiled(frame, &self.counts, GREY)
    }
}

/// A flow as `[3, height, width]` in [−1, 1]: u, v and |(u, v)| over `limit`, cut off there; 0 where a pixel does not count.
pub(super) fn flow_planes(flow: &FlowField, limit: f32, counts: &[f32]) -> Vec<f32> {
    let scaled = |value: f32, count: &f32| (value / limit).clamp(-1.0, 1.0) * count;
    let component = |values: &[f32]| -> Vec<f32> {
        values.iter().zip(counts).map(|(value, count)| scaled(*value, count)).collect()
    };
    let lengths: Vec<f32> = flow.u.iter().zip(&flow.v).map(|(u, v)| u.hypot(*v)).collect();
    [component(&flow.u), component(&flow.v), component(&lengths)].concat()
}

/// Clips of flows, of which some are pseudo-anomalies.
pub(super) struct Temporal<'a> {
    config: &'a PseudoConfig,
    footage: &'a FrameStore,
    /// Stretches without a gap; the last frame of one repeats its last flow (ours).
    runs: &'a [Run],
    counts: &'a [f32],
    masks: &'a Masks,
    flows: &'a Flows,
    mixture: Beta<f64>,
}

impl<'a> Temporal<'a> {
    pub(super) fn new(
        config: &'a PseudoConfig,
        (footage, runs): (&'a FrameStore, &'a [Run]),
        counts: &'a [f32],
        masks: &'a Masks,
        flows: &'a Flows,
    ) -> Result<Self, SystemError> {
        let mixture = Beta::new(config.mixup, config.mixup).map_err(|e| setting("mixup", e))?;
        Ok(Self { config, footage, runs, counts, masks, flows, mixture })
    }

    /// The frames of the clip from `start` on, with the one after it where there is one, and their flows.
    fn flows(&self, start: usize) -> Result<(Vec<Frame>, Vec<FlowField>), SystemError> {
        let length = self.config.ae3d.clip;
        let within = self.runs.iter().any(|run| run.contains(&start) && run.contains(&(start + length)));
        let frames = frames_at(self.footage, start, length + usize::from(within))?;
        let flow = |pair: &[Frame]| self.flows.flow(&pair[0], &pair[1]);
        let mut flows = frames.windows(2).map(flow).collect::<Result<Vec<_>, _>>()?;
        flows.extend(flows.last().filter(|_| !within).cloned());
        Ok((frames, flows))
    }

    fn planes(&self, flows: &[FlowField]) -> Vec<f32> {
        let plane = self.counts.len();
        let mut clip = vec![0.0; FLOW_CHANNELS * flows.len() * plane];
        for (t, flow) in flows.iter().enumerate() {
            let planes = flow_planes(flow, self.config.flow_limit, self.counts);
            put_frame(&mut clip, t, &planes, [FLOW_CHANNELS, flows.len()]);
        }
        clip
    }

    /// The clip of flows from `start` on, and a pseudo-anomaly made of it.
    pub(super) fn anomaly(
        &self,
        start: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<[Vec<FlowField>; 2], SystemError> {
        let (frames, flows) = self.flows(start)?;
        let masks = self.masks.draw(self.footage.frames()[start].clip, &frames[..flows.len()], rng)?;
        let share = self.mixture.sample(rng) as f32;
        let place = [rng.random::<f64>(), rng.random()];
        let mixed = flows.iter().zip(&masks).map(|(flow, mask)| mixed(flow, mask, share, place)).collect();
        Ok([flows, mixed])
    }
}

/// p̂ = λ p + (1 − λ) p_r, where p is the patch around the mask and p_r one of the same size, `place` (each in [0, 1]) of
/// the way from the left and from the top. λ and the way are drawn once a clip, so that the patch moves as one (ours).
fn mixed(flow: &FlowField, mask: &Mask, share: f32, place: [f64; 2]) -> FlowField {
    let mut out = flow.clone();
    let set = || (0..mask.data.len()).filter(|&i| mask.data[i] != 0);
    let (columns, rows) = (|| set().map(|i| i % mask.width), || set().map(|i| i / mask.width));
    let (Some(left), Some(right), Some(top), Some(bottom)) =
        (columns().min(), columns().max(), rows().min(), rows().max())
    else {
        return out;
    };
    let (w, h) = (right - left + 1, bottom - top + 1);
    let from_left = (place[0] * (mask.width - w + 1) as f64) as usize;
    let from_top = (place[1] * (mask.height - h + 1) as f64) as usize;
    for y in 0..h {
        for x in 0..w {
            let at = (top + y) * mask.width + left + x;
            let other = (from_top + y).min(mask.height - h + y) * mask.width
                + (from_left + x).min(mask.width - w + x);
            out.u[at] = share * flow.u[at] + (1.0 - share) * flow.u[other];
            out.v[at] = share * flow.v[at] + (1.0 - share) * flow.v[other];
        }
    }
    out
}

impl ClipSource for Temporal<'_> {
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
        Ok(self.planes(&self.flows(start)?.1))
    }

    fn example(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
        if !rng.random_bool(self.config.temporal) {
            return self.clip(start).map(Example::plain);
        }
        let [flows, mixed] = self.anomaly(start, rng)?;
        Ok(Example::undo(self.planes(&mixed), self.planes(&flows)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn ramp() -> FlowField {
        let u: Vec<f32> = (0..40).map(|i| i as f32).collect();
        FlowField { width: 8, height: 5, v: u.iter().map(|u| -u).collect(), u }
    }

    #[test]
    fn a_patch_is_mixed_with_one_of_its_size() {
        let mut mask = Mask::empty(8, 5);
        [2 * 8 + 3, 3 * 8 + 5].iter().for_each(|&i| mask.data[i] = 1);
        // The box is 3×2, at column 3 and row 2; the other patch lies at the right and the bottom.
        let got = mixed(&ramp(), &mask, 0.25, [0.999, 0.999]);
        for i in 0..40 {
            let (x, y) = (i % 8, i / 8);
            let inside = (3..6).contains(&x) && (2..4).contains(&y);
            let other = (y + 1) * 8 + x + 2;
            let expected = if inside { 0.25 * i as f32 + 0.75 * other as f32 } else { i as f32 };
            assert_eq!((got.u[i], got.v[i]), (expected, -expected), "{x} {y}");
        }
        assert_eq!(mixed(&ramp(), &mask, 1.0, [0.3, 0.1]), ramp());
        assert_eq!(mixed(&ramp(), &Mask::empty(8, 5), 0.5, [0.3, 0.1]), ramp());
    }

    /// Beta(.4, .4): mean ½, variance 1 / (4 · 1.8).
    #[test]
    fn mixtures_are_beta_distributed() {
        let mixture = Beta::new(0.4, 0.4).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn: Vec<f64> = (0..20_000).map(|_| mixture.sample(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 7.2).abs() < 0.003, "{mean} {variance}");
    }

    #[test]
    fn flows_are_scaled_and_cut_off() {
        let flow = FlowField { width: 3, height: 1, u: vec![3.0, -50.0, 1.0], v: vec![4.0, 0.0, 1.0] };
        let planes = flow_planes(&flow, 10.0, &[1.0, 1.0, 0.0]);
        assert_eq!(planes, [0.3, -1.0, 0.0, 0.4, 0.0, 0.0, 0.5, 1.0, 0.0]);
    }
}
