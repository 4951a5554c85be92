use serde::{Deserialize, Serialize};

use super::{HeatMap, TruthMask};
use crate::metrics::Ranking;

/// UCSD's pixel criterion, accumulated frame by frame.
///
/// An abnormal frame is detected at a threshold when at least 40 % of its ground-truth pixels reach it, so its score is
/// the heat that its hottest 40 % reach; a normal frame is a false positive when any pixel reaches it, so its score is
/// its highest heat. The ROC over all thresholds is that of these scores: exact, with one number a frame.
#[derive(Debug, Clone, Default)]
pub struct PixelCriterion {
    scores: Vec<f64>,
    labels: Vec<u8>,
    /// Reused from frame to frame.
    covered: Vec<f32>,
}

/// Pixel-level figures; none where a class is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelFigures {
    /// Area under the pixel-level ROC curve.
    pub auc: Option<f64>,
    /// Equal error rate on it; 1 − EER is what papers call the rate of detection.
    pub eer: Option<f64>,
}

impl PixelCriterion {
    /// The next frame; no mask is an empty one. A mask's pixel has the heat at its centre.
    pub fn push(&mut self, heat: &HeatMap<'_>, mask: Option<&TruthMask<'_>>) {
        self.covered.clear();
        if let Some(mask) = mask {
            let size = (mask.width(), mask.height());
            self.covered.extend(mask.pixels().map(|pixel| heat.at(pixel, size)));
        }
        let abnormal = !self.covered.is_empty();
        let score = if abnormal { hottest_two_fifths(&mut self.covered) } else { highest(heat.data()) };
        self.scores.push(f64::from(score));
        self.labels.push(u8::from(abnormal));
    }

    /// The figures so far.
    pub fn figures(&self) -> PixelFigures {
        // A heat map's values are finite by construction, so that there is always a ranking.
        let figures =
            Ranking::new(&self.scores, &self.labels).map(|ranking| ranking.figures()).unwrap_or_default();
        PixelFigures { auc: figures.auc, eer: figures.eer }
    }
}

/// The heat that 40 % of the values, rounded up, reach; at least one value.
fn hottest_two_fifths(values: &mut [f32]) -> f32 {
    let rank = (2 * values.len()).div_ceil(5);
    *values.select_nth_unstable_by(rank - 1, |a, b| b.total_cmp(a)).1
}

fn highest(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
