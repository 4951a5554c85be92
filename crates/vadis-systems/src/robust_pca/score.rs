//! The model: background, subspace, and the score of a frame's sparse part. The delay is 0.

use nalgebra::DMatrix;
use rayon::prelude::*;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::pursuit::{Subspace, pursue};
use super::{RobustPcaConfig, ScoreKind};
use crate::frames::{background, calibrate, counts_of, grey_bytes, to_unit};
use crate::model_file::parse;
use crate::patches::{Patches, box_blur};
use crate::store::check_format;
use crate::{
    Explanation, FrameStore, InputFormat, Model, Progress, Scored, Scorer, Session, Statistics, SystemError,
};

const MIN_FRAMES: usize = 8;
const COLUMNS: [&str; 2] = ["residual", "patch_residual"];

/// A learnt subspace.
pub struct RobustPcaModel {
    config: RobustPcaConfig,
    format: InputFormat,
    background: Vec<f32>,
    counts: Vec<f32>,
    subspace: Subspace,
    statistics: Statistics,
}

impl RobustPcaModel {
    pub(super) fn learn(
        config: &RobustPcaConfig,
        footage: &FrameStore,
        session: &mut Session<'_>,
    ) -> Result<Self, SystemError> {
        if footage.len() < MIN_FRAMES {
            return Err(SystemError::TooFewFrames {
                got: footage.len(),
                needed: MIN_FRAMES,
                system: "robust-pca",
            });
        }
        let format = footage.format();
        let counts = counts_of(format, session.ignore.as_ref());
        let all: Vec<usize> = (0..footage.len()).collect();
        let background = background(footage, &all, &counts)?;
        let chosen = footage.spread(config.frames);
        let frames = to_unit(&footage.read(&chosen)?, format, &counts);
        let pixels = format.frame_bytes();
        let data = DMatrix::from_fn(pixels, chosen.len(), |i, k| frames[k * pixels + i] - background[i]);
        let subspace = pursue(&data, config.sparsity, config.rank, config.iterations, |done| {
            let (done, total) = (done as u64, config.iterations as u64);
            (session.progress)(Progress { stage: "training", done, total, note: String::new() });
            !session.interrupt.load(std::sync::atomic::Ordering::Relaxed)
        });
        let checkpoint = session.checkpoint.clone().unwrap_or_default();
        let subspace = subspace.ok_or(SystemError::Interrupted { step: 0, checkpoint })?;
        let config = config.clone();
        let mut model =
            Self { config, format, background, counts, subspace, statistics: Statistics::default() };
        model.statistics = calibrate(&model, footage, &all, "training", session)?;
        Ok(model)
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable parts, [`SystemError::Nn`] for missing arrays.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let config: RobustPcaConfig = parse(file, "config")?;
        config.check()?;
        let [height, width]: [usize; 2] = parse(file, "input")?;
        let format = InputFormat { width, height, colour: Colour::Grey };
        let (background, counts) = (file.values("background")?.to_vec(), file.values("counts")?.to_vec());
        let (axes, noise) = (file.values("axes")?, file.values("noise")?);
        let pixels = width.checked_mul(height).filter(|&p| p > 0).unwrap_or(usize::MAX);
        let fits = background.len() == pixels && counts.len() == pixels && noise.len() == 1;
        if !fits || axes.len() % pixels != 0 {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let axes = DMatrix::from_column_slice(pixels, axes.len() / pixels, axes);
        let subspace = Subspace { axes, noise: noise[0] };
        Ok(Self { config, format, background, counts, subspace, statistics: parse(file, "statistics")? })
    }

    /// Low-rank and sparse part, both about the background; nothing is sparse where nothing counts.
    fn split(&self, frame: &Frame) -> Result<(Vec<f32>, Vec<f32>), SystemError> {
        check_format(frame, self.format)?;
        let mut x = to_unit(&frame.data, self.format, &self.counts);
        x.iter_mut().zip(&self.background).for_each(|(v, b)| *v -= b);
        let (low, mut sparse) = self.subspace.split(&x);
        sparse.iter_mut().zip(&self.counts).for_each(|(s, c)| *s = s.abs() * c);
        Ok((low, sparse))
    }

    fn score(&self, frame: &Frame) -> Result<Scored, SystemError> {
        let InputFormat { width, height, .. } = self.format;
        let (_, sparse) = self.split(frame)?;
        let counted: f64 = self.counts.iter().map(|&c| f64::from(c)).sum();
        let mean = sparse.iter().map(|&s| f64::from(s)).sum::<f64>() / counted.max(1.0);
        let worst = Patches::new(height, width, self.config.patch, &self.counts).worst_mean(&sparse);
        let score = match self.config.score {
            ScoreKind::Residual => mean,
            ScoreKind::PatchResidual => worst,
        };
        Ok(Scored {
            frame: frame.index,
            time_s: frame.time_s,
            score,
            causal: score,
            edge: false,
            indicators: vec![mean, worst],
            heat: box_blur(&sparse, height, width, 2),
        })
    }
}

impl Model for RobustPcaModel {
    fn system(&self) -> &'static str {
        "robust-pca"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    fn delay(&self) -> usize {
        0
    }

    fn indicators(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "absolute sparse part of a pixel in [0, 1], mean over 5×5"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(RobustPcaScorer { model: self })
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let InputFormat { width, height, .. } = self.format;
        let mut insert = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
            file.insert(NamedTensor { name: name.to_owned(), shape, values });
        };
        let axes = &self.subspace.axes;
        insert("axes", vec![axes.ncols(), height, width], axes.as_slice().to_vec());
        insert("background", vec![height, width], self.background.clone());
        insert("counts", vec![height, width], self.counts.clone());
        insert("noise", vec![1], vec![self.subspace.noise]);
        file.metadata.insert("input".to_owned(), format!("[{height},{width}]"));
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(frame) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: "robust-pca" });
        };
        let (mut low, _) = self.split(frame)?;
        let latent = self.subspace.axes.tr_mul(&nalgebra::DVector::from_column_slice(&low));
        low.iter_mut().zip(&self.background).for_each(|(v, b)| *v += b);
        let reconstruction = Frame { data: grey_bytes(&low), ..frame.clone() };
        Ok(Explanation {
            reconstruction: Some(reconstruction),
            latent: latent.as_slice().to_vec(),
            unlikely: None,
        })
    }
}

struct RobustPcaScorer<'a> {
    model: &'a RobustPcaModel,
}

impl Scorer for RobustPcaScorer<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let scored: Result<Vec<Scored>, SystemError> =
            frames.par_iter().map(|f| self.model.score(f)).collect();
        out.extend(scored?);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Scored>) -> Result<(), SystemError> {
        Ok(())
    }
}
