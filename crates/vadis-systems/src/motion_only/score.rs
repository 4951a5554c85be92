//! The model: what moves, over the frame and in its worst patch.

use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::measure::{Measure, STILL};
use super::{FrameScore, Kind, MotionConfig};
use crate::around::Around;
use crate::clips::Parts;
use crate::frames::{background, calibration_runs, counts_of, grey_bytes, observe_runs, veiled};
use crate::model_file::{input_format, parse};
use crate::patches::{Patches, box_blur};
use crate::stream::{FrameJudge, StreamScorer, Told, explain_by_heat};
use crate::{Explanation, FrameStore, InputFormat, Model, Scorer, Session, Statistics, SystemError};

/// Least frames of footage.
const MIN_FRAMES: usize = 4;
/// What a model file holds.
const COUNTS: &str = "reference.counts";
const GROUND: &str = "reference.ground";
/// Largest side of a model file.
const MOST: usize = 4096;

/// What is measured, with how it lies on normal footage.
pub struct MotionModel {
    kind: Kind,
    config: MotionConfig,
    format: InputFormat,
    counts: Vec<f32>,
    /// The median picture of the training footage, in [0, 1].
    ground: Vec<f32>,
    patches: Patches,
    statistics: Statistics,
}

impl MotionModel {
    pub(super) fn learn(
        kind: Kind,
        config: &MotionConfig,
        footage: &FrameStore,
        session: &mut Session<'_>,
    ) -> Result<Self, SystemError> {
        if footage.len() < MIN_FRAMES {
            let (got, needed) = (footage.len(), MIN_FRAMES);
            return Err(SystemError::TooFewFrames { got, needed, system: kind.key() });
        }
        let parts = Parts::of(footage.frames(), config.frames().holdout, 2);
        let counts = counts_of(footage.format(), session.ignore.as_ref());
        let learnt: Vec<usize> = parts.train.iter().cloned().flatten().collect();
        let ground = background(footage, &learnt, &counts)?;
        let mut model = Self::new(kind, config.clone(), footage.format(), counts, ground);
        let budget = config.frames().calibration_frames;
        let (runs, footage_kind) = calibration_runs(&parts, super::config::TOGETHER, budget, session);
        let seen = observe_runs(&model, footage, &runs, session)?;
        model.statistics = seen.statistics(footage_kind);
        Ok(model)
    }

    fn new(
        kind: Kind,
        config: MotionConfig,
        format: InputFormat,
        counts: Vec<f32>,
        ground: Vec<f32>,
    ) -> Self {
        let patches = Patches::new(format.height, format.width, config.frames().patch, &counts);
        Self { kind, config, format, counts, ground, patches, statistics: Statistics::default() }
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable parts, [`SystemError::Nn`] for missing arrays.
    pub fn from_file(kind: Kind, file: &WeightFile) -> Result<Self, SystemError> {
        let config = MotionConfig::of_file(kind, file)?;
        let format = input_format(file, 1..=MOST)?;
        let [counts, ground] = [file.values(COUNTS)?, file.values(GROUND)?];
        let pixels = format.width * format.height;
        if format.colour != Colour::Grey || [counts, ground].iter().any(|values| values.len() != pixels) {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let mut model = Self::new(kind, config, format, counts.to_vec(), ground.to_vec());
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// Frames that must follow a frame before its motion is measured.
    fn after(&self) -> usize {
        match &self.config {
            MotionConfig::Difference(config) => vadis_motion::Span::from(config.span).delay(),
            _ => 0,
        }
    }

    fn told(&self, mut map: Vec<f32>) -> Told {
        map.iter_mut().zip(&self.counts).for_each(|(value, count)| *value *= count);
        let counted: f64 = self.counts.iter().map(|&c| f64::from(c)).sum();
        let mean = map.iter().map(|&v| f64::from(v)).sum::<f64>() / counted.max(1.0);
        let worst = self.patches.worst_mean(&map);
        let score = match self.config.frames().score {
            FrameScore::Mean => mean,
            FrameScore::Patch => worst,
        };
        let InputFormat { width, height, .. } = self.format;
        let heat = box_blur(&map, height, width, self.config.frames().patch / 4);
        Told { score, indicators: vec![mean, worst], heat, edge: false }
    }
}

/// What a model remembers of a video.
pub(crate) struct Memory {
    measure: Measure,
    around: Around,
}

impl FrameJudge for MotionModel {
    type Memory = Memory;

    fn format(&self) -> InputFormat {
        self.format
    }

    fn columns(&self) -> usize {
        self.indicators().len()
    }

    fn lag(&self) -> usize {
        self.after() + self.config.frames().around
    }

    fn memory(&self) -> Result<Memory, SystemError> {
        let InputFormat { width, height, colour } = self.format;
        let ground = Frame { data: grey_bytes(&self.ground), ..Frame::filled(width, height, colour, 0) };
        let measure = Measure::new(&self.config, &veiled(&ground, &self.counts, STILL))?;
        Ok(Memory { measure, around: Around::new(self.config.frames().around) })
    }

    fn see(&self, memory: &mut Memory, frame: &Frame) -> Result<Option<Told>, SystemError> {
        let map = memory.measure.push(&veiled(frame, &self.counts, STILL))?;
        Ok(map.and_then(|map| memory.around.push(map)).map(|map| self.told(map)))
    }

    fn finish(&self, memory: &mut Memory) -> Result<Vec<Told>, SystemError> {
        let mut told: Vec<Told> = memory.around.finish().into_iter().map(|map| self.told(map)).collect();
        // Frames that what follows would be needed for.
        let edges = told.last().map(|last| vec![Told { edge: true, ..last.clone() }; self.after()]);
        told.extend(edges.into_iter().flatten());
        Ok(told)
    }
}

impl Model for MotionModel {
    fn system(&self) -> &'static str {
        self.kind.key()
    }

    fn config(&self) -> serde_json::Value {
        self.config.value()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    /// One more than the lag: a video's first frame takes the second one's values.
    fn delay(&self) -> usize {
        self.lag() + 1
    }

    fn indicators(&self) -> &[&'static str] {
        match self.kind {
            Kind::Difference => &["difference", "patch_difference"],
            Kind::Foreground => &["foreground", "patch_foreground"],
            Kind::Flow => &["flow", "patch_flow"],
        }
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        match self.kind {
            Kind::Difference => "mean absolute difference around a pixel, for pixels in [0, 1]",
            Kind::Foreground => "share of foreground around a pixel",
            Kind::Flow => "mean motion around a pixel, in pixels a frame",
        }
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(StreamScorer::new(self))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let InputFormat { width, height, .. } = self.format;
        for (name, values) in [(COUNTS, &self.counts), (GROUND, &self.ground)] {
            let (name, shape, values) = (name.to_owned(), vec![height, width], values.clone());
            file.insert(NamedTensor { name, shape, values });
        }
        file.metadata.insert("input".to_owned(), format!("[1,{height},{width}]"));
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        explain_by_heat(self, frames)
    }
}
