//! Six numbers of each patch: how it moves.

use vadis_motion::{FlowField, TvL1, TvL1Config, frame_difference};
use vadis_video::Frame;

use crate::SystemError;
use crate::around::Around;
use crate::patches::{Patches, Tables};

/// Numbers of a patch.
pub(crate) const FEATURES: usize = 6;
/// Grey level that stands for 1.
const WHITE: f64 = 255.0;

/// What a patch is.
pub(crate) type Features = [f32; FEATURES];

/// Looks at consecutive frames of a video.
pub(crate) struct Looker {
    flows: Box<TvL1>,
    before: Option<Frame>,
    around: Around,
}

impl Looker {
    /// Averages the features over so many frames on either side.
    pub(super) fn new(config: TvL1Config, around: usize) -> Result<Self, SystemError> {
        Ok(Self { flows: Box::new(TvL1::new(config)?), before: None, around: Around::new(around) })
    }

    /// Forgets the frames so far: another video begins.
    pub(super) fn clear(&mut self) {
        self.before = None;
        self.around.clear();
    }

    /// Takes the next grey frame: the features of every patch so many frames before it; none for the first.
    pub(super) fn push(
        &mut self,
        frame: &Frame,
        see: &Sight<'_>,
    ) -> Result<Option<Vec<Features>>, SystemError> {
        let Some(before) = self.before.replace(frame.clone()) else { return Ok(None) };
        let flow = self.flows.flow(&before, frame)?;
        let difference = frame_difference(&before, frame)?;
        let features = see.features(&flow, &difference.data).into_flattened();
        Ok(self.around.push(features).map(|mean| patches(&mean)))
    }

    /// The features of a video's last frames.
    pub(super) fn finish(&mut self) -> Vec<Vec<Features>> {
        self.around.finish().iter().map(|mean| patches(mean)).collect()
    }
}

fn patches(features: &[f32]) -> Vec<Features> {
    features.as_chunks().0.to_vec()
}

/// The patches looked at, and the pixels that count.
pub(super) struct Sight<'a> {
    pub(super) patches: &'a Patches,
    pub(super) counts: &'a [f32],
    /// Whether the fourth power counts; it is 0 otherwise, which makes no distance.
    pub(super) fastest: bool,
}

impl Sight<'_> {
    /// Mean |(u, v)|, mean |u|, mean |v|, root mean square and fourth root of the mean fourth power of |(u, v)|, all in
    /// pixels a frame, and mean |∂I/∂t| for pixels in [0, 1]; of each patch, over the pixels that count.
    fn features(&self, flow: &FlowField, difference: &[u8]) -> Vec<Features> {
        let counted = |value: f64, i: usize| if self.counts[i] > 0.0 { value } else { 0.0 };
        let [u, v] = [&flow.u, &flow.v].map(|plane| |i: usize| f64::from(plane[i]));
        let square = |i: usize| u(i) * u(i) + v(i) * v(i);
        let tables: Tables<FEATURES> = [
            self.patches.table(|i| counted(square(i).sqrt(), i)),
            self.patches.table(|i| counted(u(i).abs(), i)),
            self.patches.table(|i| counted(v(i).abs(), i)),
            self.patches.table(|i| counted(square(i), i)),
            self.patches.table(|i| if self.fastest { counted(square(i).powi(2), i) } else { 0.0 }),
            self.patches.table(|i| counted(f64::from(difference[i]) / WHITE, i)),
        ];
        let feature = |(area, sums): (f64, [f64; FEATURES])| {
            let [length, u, v, square, fourth, change] = sums.map(|sum| (sum / area).max(0.0));
            [length, u, v, square.sqrt(), fourth.sqrt().sqrt(), change].map(|value| value as f32)
        };
        self.patches.sums(&tables).map(feature).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_what_plain_sums_over_it_say() {
        let (w, h) = (12, 10);
        let field =
            |seed: usize| (0..w * h).map(|i| ((i * seed) % 23) as f32 / 5.0 - 2.0).collect::<Vec<_>>();
        let flow = FlowField { width: w, height: h, u: field(7), v: field(11) };
        let difference: Vec<u8> = (0..w * h).map(|i| (i * 13 % 251) as u8).collect();
        let mut counts = vec![1.0; w * h];
        counts[..5].fill(0.0);
        let patches = Patches::new(h, w, 4, &counts).on_grid(3);
        let got = Sight { patches: &patches, counts: &counts, fastest: true }.features(&flow, &difference);
        let corners: Vec<[usize; 2]> =
            [0, 3, 6].iter().flat_map(|&top| [0, 3, 6, 8].map(|left| [top, left])).collect();
        assert_eq!(got.len(), corners.len(), "the last column's patches are there too");
        for (got, [top, left]) in got.iter().zip(corners) {
            let pixels = (0..16).map(|i| (top + i / 4) * w + left + i % 4);
            let inside: Vec<usize> = pixels.filter(|&i| counts[i] > 0.0).collect();
            let mean = |value: &dyn Fn(usize) -> f32| {
                inside.iter().map(|&i| value(i)).sum::<f32>() / inside.len() as f32
            };
            let square = |i: usize| flow.u[i].powi(2) + flow.v[i].powi(2);
            let wanted = [
                mean(&|i| square(i).sqrt()),
                mean(&|i| flow.u[i].abs()),
                mean(&|i| flow.v[i].abs()),
                mean(&square).sqrt(),
                mean(&|i| square(i).powi(2)).powf(0.25),
                mean(&|i| f32::from(difference[i]) / 255.0),
            ];
            assert!(got.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} against {wanted:?}");
        }
        let without =
            Sight { patches: &patches, counts: &counts, fastest: false }.features(&flow, &difference);
        let same = |(a, b): (&Features, &Features)| a[..4] == b[..4] && a[4] == 0.0 && a[5] == b[5];
        assert!(without.iter().zip(&got).all(same), "only the fourth power is left out");
    }
}
