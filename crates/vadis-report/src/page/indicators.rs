//! What each of a system's indicators says: all of them on one time axis, and each of normal and abnormal frames.

use maud::{Markup, html};
use vadis_eval::normalise::Normalisation;
use vadis_eval::run::{FRAME_DIFF, ScoreRow, VideoScores};

use super::evaluation::{of_classes, shares};
use super::timelines::by_importance;
use crate::plot::{Chart, Layer, Range};
use crate::run::{Run, Signal};
use crate::thin::min_max;
use crate::words::{clock, plural};

/// Videos that are drawn, and slices of time of each.
const MOST_VIDEOS: usize = 6;
const BUCKETS: usize = 220;
/// Lines beside the score's.
const LINES: [(&str, &str); 7] = [
    ("g1", "k-g1"),
    ("g2", "k-g2"),
    ("g5", "k-g5"),
    ("g3", "k-g3"),
    ("g6", "k-g6"),
    ("g4", "k-g4"),
    ("g7", "k-g7"),
];
/// Indicators with a histogram, and its bars.
const MOST_HISTOGRAMS: usize = 8;
const BARS: usize = 40;
/// Share of the frames at either end that may lie beyond a histogram's edge.
const BEYOND: f64 = 0.002;
/// Indicators of this beginning are negative log-likelihoods in nats per dimension.
const LIKELIHOOD: &str = "likelihood";

pub(crate) fn section(run: &Run, signals: &[Signal]) -> Option<Markup> {
    let own = run.scores.indicators.iter().enumerate().filter(|(_, name)| *name != FRAME_DIFF);
    let indicators: Vec<Column> = own.map(|(place, name)| Column::of(run, name, Some(place))).collect();
    if indicators.len() < 2 {
        return None;
    }
    let score = Column::of(run, "score", None);
    let mut lines: Vec<Line<'_>> = indicators.iter().zip(LINES).collect();
    lines.push((&score, ("s-main", "k-main")));
    let order = by_importance(run, &signals.iter().collect::<Vec<_>>());
    let labelled = !run.labels.is_empty();
    let parts = if run.info.combination.is_some() { "member" } else { "indicator" };
    Some(html! {
        h2 { "What each " (parts) " says" }
        p.lead {
            "The score is made of these. Each is drawn in its own deviations from its own mean over the footage."
            @if labelled { " The band along the bottom is labelled abnormal." }
        }
        div.charts {
            @for &video in order.iter().take(MOST_VIDEOS) {
                (curves(&run.scores.videos[video], signals[video].truth.as_deref(), &lines).render())
            }
        }
        @if order.len() > MOST_VIDEOS {
            p.small { (plural((order.len() - MOST_VIDEOS) as u64, "more video", "more videos")) ": see scores.csv." }
        }
        @if labelled {
            div.charts { @for indicator in indicators.iter().take(MOST_HISTOGRAMS) { (histogram(run, indicator).render()) } }
        }
    })
}

/// A column of the scores.
struct Column {
    name: String,
    /// Its place among a row's indicators; none for the score itself.
    place: Option<usize>,
    /// To deviations from its mean over all footage.
    scale: Normalisation,
}

/// A column, and the classes of its line and of its key.
type Line<'a> = (&'a Column, (&'static str, &'static str));

impl Column {
    fn of(run: &Run, name: &str, place: Option<usize>) -> Self {
        let mut column = Self { name: name.replace('_', " "), place, scale: Normalisation::None };
        let rows = run.scores.videos.iter().flat_map(|video| &video.rows);
        column.scale = standard(&rows.map(|row| column.value(row)).collect::<Vec<_>>());
        column
    }

    fn value(&self, row: &ScoreRow) -> f64 {
        self.place.map_or(row.score, |place| row.indicators[place])
    }

    /// Its unit, and how many of it its values are.
    fn unit(&self) -> (&'static str, f64) {
        match self.name.starts_with(LIKELIHOOD) {
            true => ("bits per dimension", std::f64::consts::LN_2.recip()),
            false => ("value", 1.0),
        }
    }
}

fn standard(values: &[f64]) -> Normalisation {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    Normalisation::Training { mean, std: variance.sqrt() }
}

/// The columns over one video.
fn curves(video: &VideoScores, truth: Option<&[(f64, f64)]>, lines: &[Line<'_>]) -> Chart {
    let times: Vec<f64> = video.rows.iter().map(|row| row.time_s).collect();
    let x = Range::of(times.iter().copied());
    let points = |column: &Column| -> Vec<(f64, f64)> {
        let values: Vec<f64> = video.rows.iter().map(|row| column.value(row)).collect();
        let thin = min_max(&times, &column.scale.apply(&values), x.low, x.high, BUCKETS);
        thin.iter().flat_map(|b| [(b.time, b.low), (b.time, b.high)]).collect()
    };
    let drawn: Vec<Vec<(f64, f64)>> = lines.iter().map(|(column, _)| points(column)).collect();
    let y = Range::of(drawn.iter().flatten().map(|point| point.1)).padded(0.06);
    let band = y.low + 0.05 * (y.high - y.low);
    let bars = truth.unwrap_or_default().iter().map(|&(start, end)| (start, end, band)).collect();
    let mut layers = vec![Layer::Bars { class: "s-truth", bars }];
    layers.extend(lines.iter().zip(drawn).map(|((_, (class, _)), points)| Layer::Line { class, points }));
    Chart {
        title: video.video.clone(),
        description: format!("indicators from {} to {}", clock(x.low), clock(x.high)),
        x_label: "seconds".to_owned(),
        y_label: "deviations from the mean".to_owned(),
        x,
        y,
        ticks: true,
        layers,
        legend: lines.iter().map(|(column, (_, key))| ((*key).to_owned(), column.name.clone())).collect(),
    }
}

/// How an indicator lies on normal and on abnormal frames.
fn histogram(run: &Run, indicator: &Column) -> Chart {
    let (unit, scale) = indicator.unit();
    let mut classes: [Vec<f64>; 2] = Default::default();
    for video in &run.scores.videos {
        let Some(labels) = run.labels.get(&video.video) else { continue };
        for (row, &label) in video.rows.iter().zip(labels) {
            classes[usize::from(label != 0)].push(indicator.value(row) * scale);
        }
    }
    let mut all = classes.concat();
    all.sort_by(f64::total_cmp);
    let quantile = |q: f64| all.get((all.len().saturating_sub(1) as f64 * q) as usize).copied();
    let x = Range::of([quantile(BEYOND), quantile(1.0 - BEYOND)].into_iter().flatten());
    let mut chart = of_classes(classes.map(|values| bars(&values, x)), x);
    chart.title.clone_from(&indicator.name);
    chart.description = format!("histogram of {} over normal and abnormal frames", indicator.name);
    unit.clone_into(&mut chart.x_label);
    chart
}

/// Shares of the values in equal slices of a range; what lies beyond is in the outermost.
fn bars(values: &[f64], x: Range) -> Vec<(f64, f64, f64)> {
    let mut counts = [0u64; BARS];
    for &value in values {
        counts[((x.unit(value) * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    let edge = |i: usize| x.low + (x.high - x.low) * i as f64 / BARS as f64;
    shares(&counts).into_iter().enumerate().map(|(i, share)| (edge(i), edge(i + 1), share)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_holds_every_value_once() {
        let x = Range::new(0.0, 4.0);
        let got = bars(&[-3.0, 0.05, 2.0, 2.04, 3.99, 9.0], x);
        assert!((got.iter().map(|bar| bar.2).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((got[0].2 - 2.0 / 6.0).abs() < 1e-12 && (got[20].2 - 2.0 / 6.0).abs() < 1e-12);
        assert_eq!((got[20].0, got[39].1), (2.0, 4.0));
    }
}
