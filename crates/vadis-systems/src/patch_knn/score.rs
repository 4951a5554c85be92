//! Training, which remembers, and the model: the mean distance of a frame's patches and the worst one's.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::PatchKnnConfig;
use super::features::{FEATURES, Features, Looker, Sight};
use super::neighbours::{Neighbours, Reservoir};
use crate::clips::{Parts, clip_starts};
use crate::frames::{calibration_runs, counts_of, observe_runs, spread, veiled};
use crate::model_file::{input_format, parse};
use crate::motion_only::{FrameScore, STILL, TOGETHER};
use crate::patches::Patches;
use crate::stream::{FrameJudge, StreamScorer, Told, explain_by_heat};
use crate::{
    Explanation, FrameStore, InputFormat, Model, Progress, Scorer, Session, Statistics, SystemError,
};

/// Least frames of footage.
const MIN_FRAMES: usize = 4;
const COLUMNS: [&str; 2] = ["distance", "patch_distance"];
/// What a model file holds.
const COUNTS: &str = "reference.counts";
const MEMORY: &str = "memory";
const MEAN: &str = "features.mean";
const DEVIATION: &str = "features.deviation";
/// Largest side of a model file.
const MOST: usize = 4096;

/// The patches of normal footage.
pub struct PatchKnnModel {
    config: PatchKnnConfig,
    format: InputFormat,
    counts: Vec<f32>,
    patches: Patches,
    neighbours: Neighbours,
    statistics: Statistics,
}

impl PatchKnnModel {
    pub(super) fn learn(
        config: &PatchKnnConfig,
        footage: &FrameStore,
        session: &mut Session<'_>,
    ) -> Result<Self, SystemError> {
        let parts = Parts::of(footage.frames(), config.frames.holdout, 2);
        let length = config.clip();
        let clips = spread(&clip_starts(&parts.train, length, 1), config.pairs.div_ceil(length - 1));
        if footage.len() < MIN_FRAMES || clips.is_empty() {
            let (got, needed) = (footage.len(), MIN_FRAMES.max(length));
            return Err(SystemError::TooFewFrames { got, needed, system: "patch-knn" });
        }
        let counts = counts_of(footage.format(), session.ignore.as_ref());
        let patches = grid(config, footage.format(), &counts);
        let sight = Sight { patches: &patches, counts: &counts, fastest: config.fastest };
        let kept = remember(config, footage, &clips, &sight, session)?;
        let mut model = Self {
            config: config.clone(),
            format: footage.format(),
            counts,
            patches,
            neighbours: Neighbours::new(&kept),
            statistics: Statistics::default(),
        };
        let budget = config.frames.calibration_frames;
        let (runs, kind) = calibration_runs(&parts, TOGETHER, budget, session);
        model.statistics = observe_runs(&model, footage, &runs, session)?.statistics(kind);
        Ok(model)
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable parts, [`SystemError::Nn`] for missing arrays.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let misfit = || SystemError::Model { reason: "its arrays do not fit its input".to_owned() };
        let config: PatchKnnConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, 1..=MOST)?;
        let counts = file.values(COUNTS)?.to_vec();
        if format.colour != Colour::Grey || counts.len() != format.width * format.height {
            return Err(misfit());
        }
        let features = |name: &str| Features::try_from(file.values(name)?).map_err(|_| misfit());
        let neighbours = Neighbours::of_values(features(MEAN)?, features(DEVIATION)?, file.values(MEMORY)?);
        let patches = grid(&config, format, &counts);
        let statistics = parse(file, "statistics")?;
        Ok(Self { config, format, counts, patches, neighbours: neighbours.ok_or_else(misfit)?, statistics })
    }

    fn sight(&self) -> Sight<'_> {
        Sight { patches: &self.patches, counts: &self.counts, fastest: self.config.fastest }
    }

    fn told(&self, features: &[Features]) -> Told {
        let k = self.config.neighbours;
        let distances: Vec<f32> = features.par_iter().map(|f| self.neighbours.distance(f, k)).collect();
        let mean = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / distances.len().max(1) as f64;
        let worst = distances.iter().fold(0.0f64, |worst, &d| worst.max(f64::from(d)));
        let score = match self.config.frames.score {
            FrameScore::Mean => mean,
            FrameScore::Patch => worst,
        };
        let mut heat = self.patches.spread(&distances);
        heat.iter_mut().zip(&self.counts).for_each(|(heat, count)| *heat *= count);
        Told { score, indicators: vec![mean, worst], heat, edge: false }
    }
}

fn looker(config: &PatchKnnConfig) -> Result<Looker, SystemError> {
    Looker::new(config.flow.tvl1(), config.frames.around)
}

fn grid(config: &PatchKnnConfig, format: InputFormat, counts: &[f32]) -> Patches {
    Patches::new(format.height, format.width, config.frames.patch, counts).on_grid(config.stride)
}

/// A sample of the patches in the middle of the clips that begin at `clips`.
fn remember(
    config: &PatchKnnConfig,
    footage: &FrameStore,
    clips: &[usize],
    sight: &Sight<'_>,
    session: &mut Session<'_>,
) -> Result<Vec<Features>, SystemError> {
    let mut reservoir = Reservoir::new(ChaCha8Rng::seed_from_u64(session.seed), config.memory);
    let mut looker = looker(config)?;
    for (i, &place) in clips.iter().enumerate() {
        let step = i as u64;
        if session.interrupted() {
            let checkpoint = session.checkpoint.clone().unwrap_or_default();
            return Err(SystemError::Interrupted { step, checkpoint });
        }
        looker.clear();
        let mut features = None;
        for place in place..place + config.clip() {
            features = looker.push(&veiled(&footage.frame(place)?, sight.counts, STILL), sight)?;
        }
        features.into_iter().flatten().for_each(|f| reservoir.push(f));
        let total = clips.len() as u64;
        (session.progress)(Progress { stage: "training", done: step + 1, total, note: String::new() });
    }
    Ok(reservoir.kept)
}

impl FrameJudge for PatchKnnModel {
    type Memory = Looker;

    fn format(&self) -> InputFormat {
        self.format
    }

    fn columns(&self) -> usize {
        COLUMNS.len()
    }

    fn lag(&self) -> usize {
        self.config.frames.around
    }

    fn memory(&self) -> Result<Looker, SystemError> {
        looker(&self.config)
    }

    fn see(&self, memory: &mut Looker, frame: &Frame) -> Result<Option<Told>, SystemError> {
        let features = memory.push(&veiled(frame, &self.counts, STILL), &self.sight())?;
        Ok(features.map(|features| self.told(&features)))
    }

    fn finish(&self, memory: &mut Looker) -> Result<Vec<Told>, SystemError> {
        Ok(memory.finish().iter().map(|features| self.told(features)).collect())
    }
}

impl Model for PatchKnnModel {
    fn system(&self) -> &'static str {
        "patch-knn"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    /// One more than the lag: a video's first frame takes the second one's values.
    fn delay(&self) -> usize {
        self.lag() + 1
    }

    fn indicators(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "mean distance of the patches around a pixel to the nearest known ones, in deviations"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(StreamScorer::new(self))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let InputFormat { width, height, .. } = self.format;
        let Neighbours { mean, deviation, .. } = &self.neighbours;
        for (name, shape, values) in [
            (COUNTS, vec![height, width], self.counts.clone()),
            (MEMORY, vec![FEATURES, self.neighbours.len()], self.neighbours.values()),
            (MEAN, vec![FEATURES], mean.to_vec()),
            (DEVIATION, vec![FEATURES], deviation.to_vec()),
        ] {
            file.insert(NamedTensor { name: name.to_owned(), shape, values });
        }
        file.metadata.insert("input".to_owned(), format!("[1,{height},{width}]"));
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        explain_by_heat(self, frames)
    }
}
