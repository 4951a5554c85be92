//! What each of a system's indicators says: all of them on one time axis, and each of normal and abnormal frames.

use maud::{Markup, html};
use vadis_eval::run::{ScoreRow, VideoScores};

use super::timelines::by_importance;
use crate::plot::{Chart, Layer, Range};
use crate::run::{Run, Signal};
use crate::thin::min_max;
use crate::words::{clock, plural};

/// Videos that are drawn, and slices of time of each.
const MOST_VIDEOS: usize = 6;
const BUCKETS: usize = 220;
/// Lines beside the score's.
const LINES: [(&str, &str); 4] = [("g1", "k-g1"), ("g2", "k-g2"), ("g5", "k-g5"), ("g3", "k-g3")];
/// Indicators with a histogram, and its bars.
const MOST_HISTOGRAMS: usize = 8;
const BARS: usize = 40;
/// Share of the frames at either end that may lie beyond a histogram's edge.
const BEYOND: f64 = 0.002;
/// What needs no learning, in every run: not one of the system's own indicators.
const FRAME_DIFF: &str = "frame_diff";
/// Indicators of this beginning are negative log-likelihoods in nats per dimension.
const LIKELIHOOD: &str = "likelihood";

pub(crate) fn section(run: &Run, signals: &[Signal]) -> Option<Markup> {
    let indicators = Indicator::all(run);
    if indicators.len() < 2 {
        return None;
    }
    let drawn = &indicators[..indicators.len().min(LINES.len())];
    let shown: Vec<&Signal> = signals.iter().collect();
    let order = by_importance(run, &shown);
    let labelled = !run.labels.is_empty();
    Some(html! {
        h2 { "What each indicator says" }
        p.lead {
            "The score is made of these. Each is drawn in its own deviations from its own mean over the footage."
            @if labelled { " The band along the bottom is labelled abnormal." }
        }
        div.charts {
            @for &video in order.iter().take(MOST_VIDEOS) {
                (curves(run, &run.scores.videos[video], signals[video].truth.as_deref(), drawn).render())
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
struct Indicator {
    name: String,
    /// Its place among a row's indicators.
    place: usize,
    mean: f64,
    deviation: f64,
}

impl Indicator {
    /// The system's own, in file order.
    fn all(run: &Run) -> Vec<Self> {
        let names = run.scores.indicators.iter().enumerate().filter(|(_, name)| *name != FRAME_DIFF);
        names.map(|(place, name)| Self::of(run, place, name)).collect()
    }

    fn of(run: &Run, place: usize, name: &str) -> Self {
        let rows = run.scores.videos.iter().flat_map(|video| &video.rows);
        let (mean, deviation) = spread(rows.map(|row| row.indicators[place]));
        Self { name: name.to_owned(), place, mean, deviation }
    }

    /// A value in deviations from the mean.
    fn standard(&self, value: f64) -> f64 {
        standard(value, (self.mean, self.deviation))
    }

    fn title(&self) -> String {
        self.name.replace('_', " ")
    }

    /// Its unit, and how many of it its values are.
    fn unit(&self) -> (&'static str, f64) {
        match self.name.starts_with(LIKELIHOOD) {
            true => ("bits per dimension", std::f64::consts::LN_2.recip()),
            false => ("value", 1.0),
        }
    }
}

/// One curve of a video.
struct Curve {
    class: &'static str,
    key: &'static str,
    name: String,
    points: Vec<(f64, f64)>,
}

/// The score and its indicators over one video.
fn curves(run: &Run, video: &VideoScores, truth: Option<&[(f64, f64)]>, indicators: &[Indicator]) -> Chart {
    let times: Vec<f64> = video.rows.iter().map(|row| row.time_s).collect();
    let x = Range::of(times.iter().copied());
    let curve = |class, key, name: String, value: &dyn Fn(&ScoreRow) -> f64| {
        let values: Vec<f64> = video.rows.iter().map(value).collect();
        let thin = min_max(&times, &values, x.low, x.high, BUCKETS);
        Curve {
            class,
            key,
            name,
            points: thin.iter().flat_map(|b| [(b.time, b.low), (b.time, b.high)]).collect(),
        }
    };
    let score = spread(run.scores.videos.iter().flat_map(|v| &v.rows).map(|row| row.score));
    let of_indicator = |(indicator, (class, key)): (&Indicator, (&'static str, &'static str))| {
        curve(class, key, indicator.title(), &|row| indicator.standard(row.indicators[indicator.place]))
    };
    let mut curves: Vec<Curve> = indicators.iter().zip(LINES).map(of_indicator).collect();
    curves.push(curve("s-main", "k-main", "score".to_owned(), &|row| standard(row.score, score)));
    let y = Range::of(curves.iter().flat_map(|c| c.points.iter().map(|p| p.1))).padded(0.06);
    let band = y.low + 0.05 * (y.high - y.low);
    let bars = truth.unwrap_or_default().iter().map(|&(start, end)| (start, end, band)).collect();
    let legend = curves.iter().map(|c| (c.key.to_owned(), c.name.clone())).collect();
    let mut layers = vec![Layer::Bars { class: "s-truth", bars }];
    layers.extend(curves.into_iter().map(|c| Layer::Line { class: c.class, points: c.points }));
    Chart {
        title: video.video.clone(),
        description: format!("indicators from {} to {}", clock(x.low), clock(x.high)),
        x_label: "seconds".to_owned(),
        y_label: "deviations from the mean".to_owned(),
        x,
        y,
        ticks: true,
        layers,
        legend,
    }
}

fn standard(value: f64, (mean, deviation): (f64, f64)) -> f64 {
    if deviation > 0.0 { (value - mean) / deviation } else { 0.0 }
}

/// Mean and deviation of the finite values.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values.filter(|v| v.is_finite()) {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
    }
    (mean, (squares / f64::max(count, 1.0)).sqrt())
}

/// How an indicator lies on normal and on abnormal frames.
fn histogram(run: &Run, indicator: &Indicator) -> Chart {
    let (unit, scale) = indicator.unit();
    let mut classes: [Vec<f64>; 2] = Default::default();
    for video in &run.scores.videos {
        let Some(labels) = run.labels.get(&video.video) else { continue };
        for (row, &label) in video.rows.iter().zip(labels) {
            let value = row.indicators[indicator.place] * scale;
            if value.is_finite() {
                classes[usize::from(label != 0)].push(value);
            }
        }
    }
    let mut all = classes.concat();
    all.sort_by(f64::total_cmp);
    let quantile = |q: f64| all.get((all.len().saturating_sub(1) as f64 * q) as usize).copied();
    let x = Range::of([quantile(BEYOND), quantile(1.0 - BEYOND)].into_iter().flatten());
    let [normal, abnormal] = classes.map(|values| bars(&values, x));
    let highest = normal.iter().chain(&abnormal).map(|bar| bar.2).fold(0.0, f64::max);
    Chart {
        title: indicator.title(),
        description: format!("histogram of {} over normal and abnormal frames", indicator.title()),
        x_label: unit.to_owned(),
        y_label: "share of its class".to_owned(),
        x,
        y: Range::new(0.0, highest * 1.05),
        ticks: true,
        layers: vec![
            Layer::Bars { class: "s-normal", bars: normal },
            Layer::Bars { class: "s-abnormal", bars: abnormal },
        ],
        legend: [("k-normal", "labelled normal"), ("k-abnormal", "labelled abnormal")]
            .map(|(class, name)| (class.to_owned(), name.to_owned()))
            .to_vec(),
    }
}

/// Shares of the values in equal slices of a range; what lies beyond is in the outermost.
fn bars(values: &[f64], x: Range) -> Vec<(f64, f64, f64)> {
    let mut counts = [0u64; BARS];
    for &value in values {
        counts[((x.unit(value) * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    let edge = |i: usize| x.low + (x.high - x.low) * i as f64 / BARS as f64;
    let total = values.len().max(1) as f64;
    counts.iter().enumerate().map(|(i, &count)| (edge(i), edge(i + 1), count as f64 / total)).collect()
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
