//! Rows that say whether a figure is any good: what nothing at all reaches under the same protocol.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::prepare::prepare_with;
use super::{EvalError, LabelledTable, PreparedVideo, ScoreProtocol, prepare};
use crate::metrics::{Edges, LabelledVideo, Ranking, macro_auc};

/// A score that needs no learning, under the `paper` protocol's normalisation, smoothing and edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SanityRow {
    /// `random`, `constant`, or a column of the score table.
    pub name: String,
    /// Pooled AUC.
    pub micro_auc: Option<f64>,
    /// Mean of the videos' AUCs.
    pub macro_auc: Option<f64>,
    /// Equal error rate.
    pub eer: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
}

/// `random`, `constant` and the given columns.
pub(crate) fn sanity_rows(
    table: &LabelledTable<'_>,
    protocol: &ScoreProtocol,
    columns: &[String],
    seed: u64,
) -> Result<Vec<SanityRow>, EvalError> {
    // One generator over all videos: a stream for each would repeat itself.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let random = with_scores(table, protocol, || rng.random())?;
    let constant = with_scores(table, protocol, || 0.0)?;
    let mut rows = vec![row("random", &random, protocol.edges)?, row("constant", &constant, protocol.edges)?];
    for column in columns {
        let protocol = ScoreProtocol { column: column.clone(), ..protocol.clone() };
        rows.push(row(column, &prepare(table, &protocol)?, protocol.edges)?);
    }
    Ok(rows)
}

fn with_scores(
    table: &LabelledTable<'_>,
    protocol: &ScoreProtocol,
    mut score: impl FnMut() -> f64,
) -> Result<Vec<PreparedVideo>, EvalError> {
    let mut prepared = Vec::with_capacity(table.videos.len());
    for (video, labels) in &table.videos {
        let raw: Vec<f64> = video.rows.iter().map(|_| score()).collect();
        prepared.push(prepare_with(video, labels, &raw, protocol)?);
    }
    Ok(prepared)
}

fn row(name: &str, videos: &[PreparedVideo], edges: Edges) -> Result<SanityRow, EvalError> {
    let labelled: Vec<LabelledVideo<'_>> = videos.iter().map(PreparedVideo::labelled).collect();
    let figures = Ranking::pooled(&labelled, edges)?.figures();
    Ok(SanityRow {
        name: name.to_owned(),
        micro_auc: figures.auc,
        macro_auc: macro_auc(&labelled, edges)?.value,
        eer: figures.eer,
        average_precision: figures.average_precision,
    })
}
