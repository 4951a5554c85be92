//! Further rows of one run: what its system's parts reach alone, from the indicator columns of the same scoring.

use vadis::Failure;
use vadis::eval::normalise::Normalisation;
use vadis::eval::protocol::{EvalOptions, evaluate};
use vadis::eval::run::{Figure, KindFigure, LambdaPoint, ScoreTable};

use super::super::eval::Case;

/// The system of flows.
const SYSTEM: &str = "itae-nf";
/// System, indicator column, name of the row.
const PARTS: [(&str, &str, &str); 41] = [
    (SYSTEM, "reconstruction", "itae-nf: reconstruction alone"),
    (SYSTEM, "with_static", "itae-nf: + static flow"),
    (SYSTEM, "with_dynamic", "itae-nf: + dynamic flow"),
    (SYSTEM, "likelihood", "itae-nf: flows alone"),
    ("nf-frames", "likelihood", "nf-frames: whole frame"),
    ("nf-frames", "patch_likelihood", "nf-frames: worst patch"),
    ("frame-diff", "difference", "frame-diff: mean"),
    ("frame-diff", "patch_difference", "frame-diff: worst patch"),
    ("mog2", "foreground", "mog2: mean"),
    ("mog2", "patch_foreground", "mog2: worst patch"),
    ("flow-magnitude", "flow", "flow-magnitude: mean"),
    ("flow-magnitude", "patch_flow", "flow-magnitude: worst patch"),
    ("patch-knn", "distance", "patch-knn: mean"),
    ("patch-knn", "patch_distance", "patch-knn: worst patch"),
    ("motion-mae", "with_frame", "motion-mae: frame"),
    ("motion-mae", "with_patch", "motion-mae: worst patch"),
    ("motion-mae", "with_gradient", "motion-mae: worst patch and motion gradient"),
    ("motion-mae", "reconstruction", "motion-mae: reconstruction alone"),
    ("motion-mae", "patch_reconstruction", "motion-mae: worst patch of reconstruction alone"),
    ("motion-mae", "patch_motion", "motion-mae: worst patch of motion alone"),
    ("cae", "reconstruction", "cae: frame"),
    ("cae", "patch_reconstruction", "cae: worst patch"),
    ("gan", "with_frame", "gan: frame"),
    ("gan", "with_patch", "gan: worst patch"),
    ("gan", "patch_reconstruction", "gan: worst patch of reconstruction alone"),
    ("gan", "patch_doubt", "gan: discriminator alone, worst place"),
    ("ae3d", "reconstruction", "ae3d: whole frame"),
    ("ae3d", "worst_patch", "ae3d: worst patch"),
    ("memae", "reconstruction", "memae: whole clip or frame"),
    ("memae", "worst_patch", "memae: worst patch"),
    ("lntra-patch", "reconstruction", "lntra-patch: whole frame"),
    ("lntra-patch", "worst_patch", "lntra-patch: worst patch"),
    ("lntra-skip", "reconstruction", "lntra-skip: whole frame"),
    ("lntra-skip", "worst_patch", "lntra-skip: worst patch"),
    ("steal", "reconstruction", "steal: whole frame"),
    ("steal", "worst_patch", "steal: worst patch"),
    ("pseudo", "appearance", "pseudo: appearance alone"),
    ("pseudo", "motion", "pseudo: motion alone"),
    ("pseudo", "appearance_patch", "pseudo: appearance alone, worst patch"),
    ("pseudo", "motion_patch", "pseudo: motion alone, worst patch"),
    ("pseudo", "semantic", "pseudo: meaning alone"),
];
/// λ_L of paper 003, Section 4.2, which it chose by test labels.
const LAMBDAS: [(&str, f64); 3] = [("ped2", 0.3), ("avenue", 0.1), ("shanghaitech", 0.7)];
/// The row of the paper's combination.
const COMBINATION: &str = "itae-nf: the paper's combination";
/// Steps of the sweep of λ_L from 0 to 1.
const SWEEP: u32 = 10;

/// A further row.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) figures: Vec<Figure>,
    /// How each kind of anomaly was found, where kinds are known.
    pub(super) kinds: Vec<KindFigure>,
}

/// The rows of the parts of `system`.
pub(super) fn parts(system: &str, case: &Case) -> Result<Vec<Part>, Failure> {
    // A system may lack what it had no weights for.
    let there = |column: &str| case.table.indicators.iter().any(|name| name == column);
    let ours = PARTS.iter().filter(|(of, column, _)| *of == system && there(column));
    ours.map(|&(_, column, name)| {
        let mut options = EvalOptions { sanity_columns: Vec::new(), ..case.options.clone() };
        for protocol in [&mut options.paper, &mut options.causal] {
            column.clone_into(&mut protocol.column);
        }
        let metrics = evaluate(&case.table, &case.labels, None, &options)?.metrics;
        Ok(Part { name, figures: metrics.figures, kinds: metrics.kinds })
    })
    .collect()
}

/// The paper's own combination, Eq. 14: R + λ_L · L, L scaled to [0, 1] over each video; where the paper has a λ_L for
/// the data set. It looks ahead, so that it has no causal figure.
pub(super) fn combination(system: &str, dataset: &str, case: &Case) -> Result<Option<Part>, Failure> {
    let lambda = LAMBDAS.iter().find(|(of, _)| *of == dataset).map(|(_, lambda)| *lambda);
    let Some(lambda) = lambda.filter(|_| system == SYSTEM) else { return Ok(None) };
    let mut figures = combined(case, lambda, case.options.clone())?;
    figures.iter_mut().for_each(|figure| figure.protocol.tuned_on_test = true);
    Ok(Some(Part { name: COMBINATION, figures, kinds: Vec::new() }))
}

/// The same for every λ_L: how much hangs on it.
pub(super) fn sweep(system: &str, case: &Case) -> Result<Vec<LambdaPoint>, Failure> {
    if system != SYSTEM {
        return Ok(Vec::new());
    }
    let point = |step: u32| {
        let lambda = f64::from(step) / f64::from(SWEEP);
        let figures = combined(case, lambda, EvalOptions { bootstrap: None, ..case.options.clone() })?;
        let value = |metric: &str| figures.iter().find(|f| f.metric == metric).map(|f| f.value);
        Ok(LambdaPoint { lambda, auc: value("micro_auc"), eer: value("eer") })
    };
    (0..=SWEEP).map(point).collect()
}

fn combined(case: &Case, lambda: f64, mut options: EvalOptions) -> Result<Vec<Figure>, Failure> {
    let column = format!("reconstruction + {lambda} likelihood, that one scaled to [0, 1] per video");
    let mut table = case.table.clone();
    if !add_combination(&mut table, lambda, &column) {
        return Ok(Vec::new());
    }
    (options.kinds, options.sanity_columns) = (None, Vec::new());
    options.paper.column = column;
    let figures = evaluate(&table, &case.labels, None, &options)?.metrics.figures;
    Ok(figures.into_iter().filter(|figure| figure.protocol.name == "paper").collect())
}

/// Adds the combination as an indicator. Whether the table has what it is made of.
fn add_combination(table: &mut ScoreTable, lambda: f64, name: &str) -> bool {
    let place = |name: &str| table.indicators.iter().position(|column| column == name);
    let (Some(error), Some(likelihood)) = (place("reconstruction"), place("likelihood")) else {
        return false;
    };
    for video in &mut table.videos {
        let values: Vec<f64> = video.rows.iter().map(|row| row.indicators[likelihood]).collect();
        for (row, scaled) in video.rows.iter_mut().zip(Normalisation::PerVideo.apply(&values)) {
            row.indicators.push(row.indicators[error] + lambda * scaled);
        }
    }
    table.indicators.push(name.to_owned());
    true
}

#[cfg(test)]
mod tests {
    use vadis::eval::run::{ScoreRow, VideoScores};

    use super::*;

    #[test]
    fn the_likelihood_is_scaled_over_each_video() {
        let video = |rows: &[[f64; 2]]| {
            let row = |(frame, indicators): (usize, &[f64; 2])| ScoreRow {
                frame: frame as u64,
                indicators: indicators.to_vec(),
                ..ScoreRow::default()
            };
            VideoScores { video: String::new(), rows: rows.iter().enumerate().map(row).collect() }
        };
        let videos = vec![video(&[[0.1, -2.0], [0.2, 2.0], [0.4, -1.0]]), video(&[[0.5, 7.0], [0.6, 7.0]])];
        let indicators = ["reconstruction", "likelihood"].map(str::to_owned).to_vec();
        let mut table = ScoreTable { indicators, videos };
        assert!(add_combination(&mut table, 0.4, "sum"));
        let got: Vec<f64> = table.videos.iter().flat_map(|v| &v.rows).map(|row| row.indicators[2]).collect();
        let wanted = [0.1, 0.6, 0.5, 0.5, 0.6];
        assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
        let mut other = ScoreTable { indicators: vec!["reconstruction".to_owned()], videos: Vec::new() };
        assert!(!add_combination(&mut other, 0.4, "sum"));
    }
}
