use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::prepare::stated_smoothing;
use super::{EvalError, LabelledTable, PreparedVideo, ScoreProtocol, prepare};
use crate::metrics::{Edges, LabelledVideo, Ranking, macro_auc};
use crate::normalise::{Normalisation, TrainingStatistics};
use crate::smooth::{Smoothing, SmoothingKind, SmoothingSpec};

/// The rules that a ladder combines.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// Normalisations, in the order of the rows.
    pub normalisations: Vec<Normalisation>,
    /// Filters.
    pub smoothings: Vec<SmoothingSpec>,
}

impl Ladder {
    /// Every normalisation (`training` only where its statistics are known) and one filter of each kind: none, centred
    /// and trailing median over 5 s, a Gaussian of 3 frames, an exponential average of 8.
    pub fn new(training: Option<TrainingStatistics>) -> Self {
        let training = training.map(|known| Normalisation::Training { mean: known.mean, std: known.std });
        let mut normalisations = vec![Normalisation::None];
        normalisations.extend(training);
        normalisations.extend([Normalisation::PerVideo, Normalisation::Causal]);
        let smoothings = vec![
            SmoothingSpec::Frames(Smoothing::None),
            SmoothingSpec::Seconds { kind: SmoothingKind::Median, seconds: 5.0 },
            SmoothingSpec::Seconds { kind: SmoothingKind::CausalMedian, seconds: 5.0 },
            SmoothingSpec::Frames(Smoothing::Gaussian(3.0)),
            SmoothingSpec::Frames(Smoothing::Ema(8.0)),
        ];
        Self { normalisations, smoothings }
    }
}

/// One score's figures under one combination of rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderRow {
    /// `none`, `training`, `per_video`, `causal`.
    pub normalisation: String,
    /// In frames where all videos agree.
    pub smoothing: String,
    /// `keep` or `drop`.
    pub edges: String,
    /// True if it uses the video's future.
    pub looks_ahead: bool,
    /// Pooled AUC.
    pub micro_auc: Option<f64>,
    /// Mean of the videos' AUCs.
    pub macro_auc: Option<f64>,
}

/// `column` under every normalisation × smoothing × edge rule; edge frames are only ever dropped where there are any.
///
/// # Errors
/// As [`prepare`].
pub fn ladder(table: &LabelledTable<'_>, column: &str, rules: &Ladder) -> Result<Vec<LadderRow>, EvalError> {
    let combinations: Vec<ScoreProtocol> = rules
        .normalisations
        .iter()
        .flat_map(|&normalisation| rules.smoothings.iter().map(move |&smoothing| (normalisation, smoothing)))
        .map(|(normalisation, smoothing)| ScoreProtocol {
            column: column.to_owned(),
            normalisation,
            smoothing,
            ..ScoreProtocol::raw()
        })
        .collect();
    let edges: &[Edges] = if table.has_edges() { &[Edges::Keep, Edges::Drop] } else { &[Edges::Keep] };
    let rows: Vec<Vec<LadderRow>> = combinations
        .par_iter()
        .map(|protocol| {
            let videos = prepare(table, protocol)?;
            edges.iter().map(|&edges| row(protocol, &videos, edges)).collect()
        })
        .collect::<Result<_, EvalError>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn row(protocol: &ScoreProtocol, videos: &[PreparedVideo], edges: Edges) -> Result<LadderRow, EvalError> {
    let labelled: Vec<LabelledVideo<'_>> = videos.iter().map(PreparedVideo::labelled).collect();
    Ok(LadderRow {
        normalisation: protocol.normalisation.to_string(),
        smoothing: stated_smoothing(videos, &protocol.smoothing),
        edges: edges.to_string(),
        looks_ahead: protocol.looks_ahead().is_some(),
        micro_auc: Ranking::pooled(&labelled, edges)?.figures().auc,
        macro_auc: macro_auc(&labelled, edges)?.value,
    })
}
