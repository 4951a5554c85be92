//! Whether anomalies stay apart: the maps of the latents beside one another, and the gap between the reconstruction
//! errors of normal and abnormal frames.
//!
//! It is the claim of minimal latent entropy as a picture: with the entropy term the normal frames' latents are pulled
//! together and the anomalies keep a large error; without it the network learns to rebuild them too.

use maud::{Markup, html};
use vadis_eval::metrics::{Edges, LabelledVideo, Ranking, Separation};

use super::comparison::Named;
use super::learning::latent_map;
use crate::plot::{Chart, Layer, Range};
use crate::run::Run;
use crate::words::{figure, number};

/// Columns that are a frame's mean reconstruction error, in the order they are looked for.
const ERRORS: [&str; 3] = ["squared_error", "residual", "reconstruction"];
/// Bars of the histogram.
const BINS: usize = 48;
/// Share of the frames that may lie beyond the histogram's end, so that a few do not press the rest to its edge.
const BEYOND: f64 = 0.03;

/// The section, where any run has latents or labels.
pub(crate) fn section(runs: &[Named]) -> Option<Markup> {
    let gaps: Vec<Option<Gap>> = runs.iter().map(|named| Gap::of(&named.run)).collect();
    let mapped = runs.iter().any(|named| !named.run.latents.is_empty());
    if !mapped && gaps.iter().all(Option::is_none) {
        return None;
    }
    let end = shared_end(&gaps);
    Some(html! {
        h2 { "What was learnt" }
        @if mapped {
            p.lead { "Each dot is a frame, placed so that frames the system sees as alike lie close together; each run has its own two directions. Lone frames far out are drawn on the edge." }
            div.charts { @for named in runs { @if !named.run.latents.is_empty() { (latent_map(&named.run, title(named)).render()) } } }
        }
        @if gaps.iter().any(Option::is_some) {
            h3 { "The gap between normal and abnormal frames" }
            p.lead { "How badly each frame is rebuilt, before any smoothing; the last bar holds all that lies beyond. The further apart the two are, the better an anomaly is told from what is normal." }
            div.charts { @for (named, gap) in runs.iter().zip(&gaps) { @if let Some(gap) = gap { (gap.chart(title(named), end).render()) } } }
            (table(runs, &gaps))
        }
    })
}

/// The run's name, and the weight of its entropy term where it has one.
fn title(named: &Named) -> String {
    match named.run.info.config.get("entropy_weight").and_then(serde_json::Value::as_f64) {
        Some(weight) => format!("run {}, entropy weight {}", named.name, number(weight)),
        None => format!("run {}", named.name),
    }
}

/// One run's reconstruction errors by label.
struct Gap {
    column: &'static str,
    normal: Vec<f64>,
    abnormal: Vec<f64>,
    classes: Separation,
    auc: Option<f64>,
}

impl Gap {
    /// None without labels of both kinds, or without a column of errors.
    fn of(run: &Run) -> Option<Self> {
        let (at, column) = ERRORS.iter().find_map(|name| {
            Some((run.scores.indicators.iter().position(|column| column == name)?, *name))
        })?;
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for video in &run.scores.videos {
            let Some(own) = run.labels.get(&video.video) else { continue };
            let rows = video.rows.iter().zip(own);
            let known = rows.filter_map(|(row, label)| Some((*row.indicators.get(at)?, *label)));
            for (score, label) in known.filter(|(score, label)| score.is_finite() && *label < 2) {
                scores.push(score);
                labels.push(label);
            }
        }
        let of = |class: u8| {
            let both = scores.iter().zip(&labels).filter(|(_, label)| **label == class);
            both.map(|(score, _)| *score).collect::<Vec<f64>>()
        };
        let (normal, abnormal) = (of(0), of(1));
        let (edge, time_s) = (vec![false; scores.len()], vec![0.0; scores.len()]);
        let all =
            LabelledVideo { video: "all", scores: &scores, edge: &edge, labels: &labels, time_s: &time_s };
        let classes = Separation::of(&[all], Edges::Keep)?;
        let auc = Ranking::new(&scores, &labels).ok()?.figures().auc;
        Some(Self { column, normal, abnormal, classes, auc })
    }

    /// Abnormal over normal mean error.
    fn ratio(&self) -> Option<f64> {
        let ratio = self.classes.mean_abnormal / self.classes.mean_normal;
        ratio.is_finite().then_some(ratio)
    }

    /// Where all but a few of both classes lie below.
    fn end(&self) -> f64 {
        let upper = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted.get(((1.0 - BEYOND) * (sorted.len().saturating_sub(1)) as f64) as usize).copied()
        };
        [upper(&self.normal), upper(&self.abnormal)].into_iter().flatten().fold(0.0, f64::max)
    }

    fn chart(&self, title: String, shared: Option<f64>) -> Chart {
        let end = shared.unwrap_or_else(|| self.end()).max(f64::MIN_POSITIVE);
        let (normal, abnormal) = (shares(&self.normal, end), shares(&self.abnormal, end));
        let highest = normal.iter().chain(&abnormal).copied().fold(0.0, f64::max);
        let width = end / BINS as f64;
        let bars = |heights: Vec<f64>| {
            let bar = |(i, height): (usize, f64)| (i as f64 * width, (i + 1) as f64 * width, height);
            heights.into_iter().enumerate().map(bar).collect()
        };
        Chart {
            title,
            description: format!(
                "mean {} of normal frames {}, of abnormal frames {}",
                self.column.replace('_', " "),
                number(self.classes.mean_normal),
                number(self.classes.mean_abnormal)
            ),
            x_label: self.column.replace('_', " "),
            y_label: "share of its class".to_owned(),
            x: Range::new(0.0, end),
            y: Range::new(0.0, highest * 1.05),
            ticks: true,
            layers: vec![
                Layer::Bars { class: "s-normal", bars: bars(normal) },
                Layer::Bars { class: "s-abnormal", bars: bars(abnormal) },
            ],
            legend: [("k-normal", "labelled normal"), ("k-abnormal", "labelled abnormal")]
                .map(|(class, name)| (class.to_owned(), name.to_owned()))
                .to_vec(),
        }
    }
}

/// Each bar's share of the class; what lies beyond the end is in the last bar.
fn shares(values: &[f64], end: f64) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for value in values {
        bins[((value / end * BINS as f64) as usize).min(BINS - 1)] += 1.0 / values.len() as f64;
    }
    bins
}

/// One horizontal axis for all where they measure the same thing.
fn shared_end(gaps: &[Option<Gap>]) -> Option<f64> {
    let mut known = gaps.iter().flatten();
    let first = known.next()?;
    let end = first.end();
    known.try_fold(end, |end, gap| (gap.column == first.column).then(|| end.max(gap.end())))
}

fn table(runs: &[Named], gaps: &[Option<Gap>]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { th scope="col" { "run" } th scope="col" { "error" } th.n scope="col" { "mean, normal" }
                th.n scope="col" { "mean, abnormal" } th.n scope="col" { "ratio" } th.n scope="col" { "d′" } th.n scope="col" { "AUC, unsmoothed" } } }
            tbody { @for (named, gap) in runs.iter().zip(gaps) { @if let Some(gap) = gap { tr {
                th scope="row" { (title(named)) } td { (gap.column.replace('_', " ")) }
                td.n { (number(gap.classes.mean_normal)) } td.n { (number(gap.classes.mean_abnormal)) }
                td.n { (gap.ratio().map_or("–".to_owned(), |r| format!("{r:.2}"))) }
                td.n { (gap.classes.d_prime().map_or("–".to_owned(), number)) }
                td.n { (gap.auc.map_or("–".to_owned(), figure)) }
            } } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_keep_what_lies_beyond() {
        let bins = shares(&[0.0, 0.5, 1.0, 7.0], 1.0);
        assert_eq!((bins[0], bins[BINS / 2], bins[BINS - 1]), (0.25, 0.25, 0.5));
        assert!((bins.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
