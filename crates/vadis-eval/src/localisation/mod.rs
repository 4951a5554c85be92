//! Where in the picture: heat maps against ground-truth masks.
//!
//! Frames come one by one; what is kept grows with the regions and with one number a frame, never with the pixels.
//! Three criteria:
//! * **RBDC** and **TBDC** (Ramachandra & Jones, *Street Scene*, WACV 2020): the share of ground-truth regions, or
//!   tracks, that are detected, against false positive regions per frame; area for rates up to one a frame
//!   ([`RegionCriterion`]).
//! * UCSD's **pixel criterion** (Mahadevan et al., CVPR 2010; Li et al., PAMI 2014): an abnormal frame counts where at
//!   least 40 % of its ground-truth pixels are covered, and any detected pixel on a normal frame is a false positive
//!   ([`PixelCriterion`]).

mod components;
mod pixel;
mod region;
mod tracks;

pub use components::{Bounds, HeatMap, HeatRegion, TruthMask, heat_regions};
pub use pixel::{PixelCriterion, PixelFigures};
pub use region::{Detection, RegionCriterion, RegionFigures, TrueRegion};
pub use tracks::TrackLinker;

use crate::run::{Figure, Protocol};

/// Why a heat map or mask cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LocalisationError {
    /// The values do not fill the picture.
    #[error("a {what} of {width}×{height} pixels has {got} values")]
    Size {
        /// `heat map` or `mask`.
        what: &'static str,
        /// Stated width.
        width: usize,
        /// Stated height.
        height: usize,
        /// Values given.
        got: usize,
    },
    /// A heat is NaN or infinite.
    #[error("the heat at pixel ({x}, {y}) is {value}, which is not a finite number")]
    NotFinite {
        /// Column.
        x: usize,
        /// Row.
        y: usize,
        /// What stands there.
        value: f32,
    },
}

/// Runs all criteria over a run's frames, with tracks made from the masks.
#[derive(Debug, Clone)]
pub struct Localiser {
    threshold: f32,
    min_area: usize,
    video: Option<String>,
    linker: TrackLinker,
    regions: RegionCriterion,
    pixels: PixelCriterion,
}

impl Localiser {
    /// Regions are the connected parts of a heat map above `threshold` with at least `min_area` pixels of the map; the
    /// threshold should come from normal footage. Lower thresholds are not explored: the curves begin there.
    pub fn new(threshold: f32, min_area: usize) -> Self {
        Self {
            threshold,
            min_area,
            video: None,
            linker: TrackLinker::default(),
            regions: RegionCriterion::default(),
            pixels: PixelCriterion::default(),
        }
    }

    /// The next frame of `video`, its videos one after the other and frames in order; no mask is an empty one. Heat map
    /// and mask may differ in size: both show the whole picture.
    pub fn push(&mut self, video: &str, heat: &HeatMap<'_>, mask: Option<&TruthMask<'_>>) {
        if self.video.as_deref() != Some(video) {
            self.video = Some(video.to_owned());
            self.linker.end_tracks();
        }
        let size = mask.map_or((heat.width(), heat.height()), |mask| (mask.width(), mask.height()));
        let detections: Vec<Detection> = heat_regions(heat, self.threshold, self.min_area)
            .iter()
            .map(|region| Detection {
                bounds: region.bounds.scaled((heat.width(), heat.height()), size),
                score: f64::from(region.mean),
            })
            .collect();
        let truth = match mask {
            Some(mask) => self.linker.link(mask),
            None => {
                self.linker.end_tracks();
                Vec::new()
            }
        };
        self.regions.push(&truth, &detections);
        self.pixels.push(heat, mask);
    }

    /// The criteria's figures so far.
    pub fn finish(&self) -> (Option<RegionFigures>, PixelFigures) {
        (self.regions.figures(), self.pixels.figures())
    }

    /// As figures of `metrics.json`: `rbdc`, `tbdc`, `pixel_auc`, `pixel_eer`, those that are defined.
    pub fn figures(&self, protocol: &Protocol) -> Vec<Figure> {
        let (regions, pixels) = self.finish();
        let counts = regions.map(|found| {
            let detector =
                format!("regions of heat above {}, at least {} pixels", self.threshold, self.min_area);
            (
                format!("{} true regions; {detector}", found.regions),
                format!("{} own tracks, not comparable", found.tracks),
            )
        });
        let (rbdc_note, tbdc_note) = counts.unwrap_or_default();
        [
            ("rbdc", regions.map(|found| found.rbdc), rbdc_note),
            ("tbdc", regions.map(|found| found.tbdc), tbdc_note),
            ("pixel_auc", pixels.auc, "at least 40 % of the true pixels covered".to_owned()),
            ("pixel_eer", pixels.eer, "at least 40 % of the true pixels covered".to_owned()),
        ]
        .into_iter()
        .filter_map(|(metric, value, note)| {
            let protocol = protocol.clone();
            value.map(|value| Figure {
                metric: metric.to_owned(),
                value,
                low: None,
                high: None,
                protocol,
                note,
            })
        })
        .collect()
    }
}
