//! Several runs side by side.

use std::collections::BTreeSet;

use maud::{Markup, html};
use vadis_eval::run::{Figure, HeatColours};

use super::evaluation::{metric_name, shown};
use super::events::Picture;
use super::timelines::shared_range;
use super::{footer, page};
use crate::ReportOptions;
use crate::colour::Palette;
use crate::plot::{Lane, Range, Timeline, legend};
use crate::run::{Run, Signal, is_trouble};
use crate::same_frames::Moment;
use crate::words::{clock, count, duration, figure, plural};

/// Videos drawn at most.
const MOST_VIDEOS: usize = 24;
/// Slices of time over all curves.
const MOST_BUCKETS: usize = 40_000;
/// Metrics of the table, where a run has them.
const METRICS: [&str; 6] = ["micro_auc", "macro_auc", "eer", "ap", "top10_abnormal", "top10_distinct"];

/// A run with the name it goes by on the page.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) run: Run,
}

/// The page that compares runs.
pub(crate) fn comparison(runs: &[Named], moments: &[Moment], options: &ReportOptions) -> String {
    let title = plural(runs.len() as u64, "run", "runs");
    let body = html! {
        header {
            p.brand { "vadis report" }
            h1 { (title) span { " side by side" } }
        }
        main {
            section id="figures" { h2 { "Figures" } (table(runs)) }
            @if let Some(body) = super::gap::section(runs) { section id="learning" { (body) } }
            section id="timeline" { (timelines(runs, options)) }
            @if !moments.is_empty() { section id="frames" { (same_frames(runs, moments)) } }
        }
        (footer(env!("CARGO_PKG_VERSION")))
    };
    page(&format!("{title} side by side · vadis"), &body, Palette::of(HeatColours::default()))
}

/// Each moment a row: the frame, and every run's heat over it.
fn same_frames(runs: &[Named], moments: &[Moment]) -> Markup {
    html! {
        h2 { "The same frames" }
        p.lead { "Where each run is hottest, at the peaks of the events that any of them ranks first. Each has a heat scale of its own." }
        @for (index, moment) in moments.iter().enumerate() {
            @let size = runs[0].run.source(&moment.video).map_or((16, 9), |s| (s.width.max(1), s.height.max(1)));
            @let view = Picture { id: format!("moment-{}", index + 1), width: size.0, height: size.1 };
            @let at = clock(moment.time_s);
            div.media {
                (view.frame(&moment.picture, &format!("{}, {at}", moment.video), &format!("{} at {at}", moment.video)))
                @for (named, heat) in runs.iter().zip(&moment.heats) { @if let Some(heat) = heat {
                    (view.heat(heat, &named.name, &format!("Heat map of run {} over that frame", named.name)))
                } }
            }
        }
    }
}

/// Rows of figures: metric and protocol, in the order of [`METRICS`], as far as any run has them.
fn columns(runs: &[Named]) -> Vec<(&'static str, String)> {
    let figures = || runs.iter().filter_map(|r| r.run.metrics.as_ref()).flat_map(|m| &m.figures);
    METRICS
        .iter()
        .flat_map(|&metric| {
            let names: BTreeSet<&str> =
                figures().filter(|f| f.metric == metric).map(|f| f.protocol.name.as_str()).collect();
            // `paper` first, as in every table.
            names.into_iter().rev().map(|name| (metric, name.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// A row of the table that is not a figure: its name and a run's value.
type Fact = (&'static str, fn(&Run) -> String);

/// Runs in columns: there are few of them, and many figures.
fn table(runs: &[Named]) -> Markup {
    let facts: [Fact; 7] = [
        ("system", |run| run.info.system.clone()),
        ("preset", |run| run.info.preset.clone()),
        ("seed", |run| run.info.seed.to_string()),
        ("footage", |run| duration(run.footage_s())),
        ("events", |run| run.events.iter().filter(|e| !is_trouble(e)).count().to_string()),
        ("time", |run| duration(run.info.seconds.iter().map(|(_, s)| s).sum())),
        ("memory", |run| {
            run.info.peak_mib.map_or("–".to_owned(), |m| format!("{} MiB", count(m.max(0.0) as u64)))
        }),
    ];
    html! {
        div.wide { table.compare {
            thead { tr { td {} @for named in runs { th.n scope="col" { (named.name) } } } }
            tbody {
                @for (name, value) in facts { tr { th scope="row" { (name) } @for named in runs { td.n { (value(&named.run)) } } } }
                @for (metric, protocol) in columns(runs) {
                    tr {
                        th scope="row" { (metric_name(metric)) small { (protocol) } }
                        @for named in runs {
                            @let value = find(&named.run, metric, &protocol);
                            td.n.best[value.is_some_and(|f| is_best(runs, f))] { @if let Some(f) = value { (cell(f)) } @else { "–" } }
                        }
                    }
                }
            }
        } }
    }
}

fn cell(value: &Figure) -> Markup {
    html! {
        (shown(value))
        @if let (Some(low), Some(high)) = (value.low, value.high) { small { (figure(low)) " – " (figure(high)) } }
        @if value.protocol.tuned_on_test { small.tuned { "tuned on test" } }
    }
}

fn find<'a>(run: &'a Run, metric: &str, protocol: &str) -> Option<&'a Figure> {
    let figures = run.metrics.as_ref().map(|m| m.figures.as_slice()).unwrap_or_default();
    figures.iter().find(|f| f.metric == metric && f.protocol.name == protocol)
}

/// The best of its column, where more than one run has the figure.
fn is_best(runs: &[Named], value: &Figure) -> bool {
    let others = runs.iter().filter_map(|r| find(&r.run, &value.metric, &value.protocol.name));
    let values: Vec<f64> = others.map(|f| f.value).collect();
    let best = if value.metric == "eer" { f64::min } else { f64::max };
    values.len() > 1 && values.into_iter().reduce(best) == Some(value.value)
}

/// For each video the runs' curves above one another, over one time axis. Each keeps its own vertical scale: systems'
/// scores have different units.
fn timelines(runs: &[Named], options: &ReportOptions) -> Markup {
    let signals: Vec<Vec<Signal>> = runs.iter().map(|r| r.run.signals()).collect();
    let videos = videos(&signals);
    let shown = &videos[..videos.len().min(MOST_VIDEOS)];
    let buckets = options.buckets.min(MOST_BUCKETS / (shown.len() * runs.len()).max(1)).max(50);
    let labelled = signals.iter().flatten().any(|s| s.truth.is_some());
    html! {
        h2 { "Scores over time" }
        p.lead { "Each run's score on its own scale, over one time axis." }
        (legend(&keys(labelled)))
        @for (v, video) in shown.iter().enumerate() {
            h3.of { (video) }
            div.stack { @for (r, named) in runs.iter().enumerate() { (lane(named, &signals, r, v, video, buckets)) } }
        }
        @if videos.len() > shown.len() { p.small { (plural((videos.len() - shown.len()) as u64, "further video is", "further videos are")) " not drawn." } }
    }
}

fn keys(labelled: bool) -> Vec<(String, String)> {
    let truth = labelled.then_some(("k-truth", "labelled abnormal"));
    [
        Some(("k-score", "score")),
        Some(("k-raw", "each frame, unsmoothed")),
        Some(("k-event", "strange")),
        truth,
    ]
    .into_iter()
    .flatten()
    .map(|(class, name)| (class.to_owned(), name.to_owned()))
    .collect()
}

/// Every video's name, in the order of the first run that has it.
fn videos(signals: &[Vec<Signal>]) -> Vec<&str> {
    let mut known = BTreeSet::new();
    signals.iter().flatten().map(|s| s.video.as_str()).filter(|v| known.insert(*v)).collect()
}

fn lane(named: &Named, signals: &[Vec<Signal>], run: usize, v: usize, video: &str, buckets: usize) -> Markup {
    let Some(signal) = signals[run].iter().find(|s| s.video == video) else {
        return html! { figure.timeline { figcaption { h3 { (named.name) } span { "did not score this video" } } } };
    };
    let spans = signals.iter().flatten().filter(|s| s.video == video).map(Signal::span);
    let (start, end) = spans.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (s, e)| (a.min(s), b.max(e)));
    let threshold = named.run.threshold();
    let timeline = Timeline {
        id: format!("video-{v}-{run}"),
        title: &named.name,
        facts: format!(
            "{}, preset {}, seed {}",
            named.run.info.system, named.run.info.preset, named.run.info.seed
        ),
        x: Range::new(start, end),
        lane: Lane {
            times: &signal.times,
            raw: &signal.raw,
            smooth: &signal.smooth,
            y: shared_range(&[signal], threshold),
            threshold,
        },
        markers: super::timelines::markers(&named.run, video, 0),
        truth: signal.truth.as_deref(),
        buckets,
    };
    timeline.render()
}
