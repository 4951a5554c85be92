//! Every video's score over time.

use std::collections::HashMap;

use maud::{Markup, html};
use vadis_eval::run::Event;

use super::events::target;
use crate::ReportOptions;
use crate::plot::{Lane, Marker, Range, Timeline, legend};
use crate::run::{Run, Signal, is_trouble};
use crate::words::{clock, count, duration, number, plural};

/// Timelines drawn at most, and rows of the table of further videos.
const MOST_TIMELINES: usize = 60;
const MOST_ROWS: usize = 2000;
/// Slices of time over all timelines.
const MOST_BUCKETS: usize = 24_000;
/// Share of the frames whose score is sure to be seen, and how far above it and the threshold the axis reaches at most.
const COMMON: f64 = 0.97;
const HEADROOM: f64 = 1.8;

pub(crate) fn section(run: &Run, signals: &[Signal], options: &ReportOptions) -> Option<Markup> {
    let shown: Vec<&Signal> = signals.iter().filter(|s| !s.times.is_empty()).collect();
    if shown.is_empty() {
        return None;
    }
    let order = by_importance(run, &shown);
    let (drawn, rest) = order.split_at(order.len().min(MOST_TIMELINES));
    let y = shared_range(&shown, run.threshold());
    let buckets = options.buckets.min(MOST_BUCKETS / drawn.len().max(1));
    let options = ReportOptions { buckets, ..options.clone() };
    Some(html! {
        h2 { "When it was strange" }
        p.lead { (explain(run)) }
        (legend(&keys(run, signals)))
        @for &i in drawn {
            (timeline(run, shown[i], i, y, &options).render())
        }
        (further(run, rest.iter().map(|&i| shown[i])))
    })
}

impl Run {
    /// The decision's threshold, where the curve it applies to is known.
    pub(crate) fn threshold(&self) -> Option<f64> {
        self.info.decision.as_ref().filter(|_| self.smoothing_known()).map(|d| d.threshold)
    }

    /// Events of one video with their ranks; camera trouble has rank 0.
    fn events_of<'a>(&'a self, video: &'a str) -> impl Iterator<Item = (usize, &'a Event)> + 'a {
        self.events.iter().enumerate().filter(move |(_, e)| e.video == video)
    }
}

/// Videos in the order of their highest ranked event; those without any keep their order at the end.
pub(super) fn by_importance(run: &Run, signals: &[&Signal]) -> Vec<usize> {
    let mut best: HashMap<&str, usize> = HashMap::new();
    for (rank, event) in run.events.iter().enumerate() {
        best.entry(&event.video).or_insert(rank);
    }
    let mut order: Vec<usize> = (0..signals.len()).collect();
    if signals.len() > 8 {
        order.sort_by_key(|&i| best.get(signals[i].video.as_str()).copied().unwrap_or(usize::MAX));
    }
    order
}

/// One vertical axis for all, so that videos compare. The highest scores may be cut off, or a lone peak would press
/// everything else to the floor: what is far above both the threshold and all but a few frames is drawn at the top.
pub(crate) fn shared_range(signals: &[&Signal], threshold: Option<f64>) -> Range {
    let mut raw: Vec<f64> =
        signals.iter().flat_map(|s| s.raw.iter().copied()).filter(|v| v.is_finite()).collect();
    raw.sort_by(f64::total_cmp);
    let quantile = |q: f64| raw.get(((raw.len() as f64 - 1.0) * q).max(0.0) as usize).copied();
    let mut smooth: Vec<f64> =
        signals.iter().flat_map(|s| s.smooth.iter().copied()).filter(|v| v.is_finite()).collect();
    smooth.sort_by(f64::total_cmp);
    let ends = [quantile(0.001), quantile(0.999), threshold].into_iter().flatten();
    let range = Range::of(ends.chain(smooth.iter().copied()));
    let common = smooth.get((smooth.len().saturating_sub(1) as f64 * COMMON) as usize).copied();
    let enough = [common, threshold].into_iter().flatten().map(|v| range.low + HEADROOM * (v - range.low));
    let high = enough.reduce(f64::max).map_or(range.high, |enough| range.high.min(enough));
    let range = Range::new(range.low, high);
    Range { high: range.high + 0.06 * (range.high - range.low), ..range }
}

fn explain(run: &Run) -> String {
    let Some(decision) = run.info.decision.as_ref().filter(|_| run.smoothing_known()) else {
        return "The anomaly score of each frame; higher is stranger.".to_owned();
    };
    let smoothing = match decision.smoothing.as_str() {
        "none" => "unsmoothed".to_owned(),
        other => format!("smoothed ({other})"),
    };
    format!(
        "The anomaly score, {smoothing}; higher is stranger. Above the dashed line ({}) it counts as an event. Lone peaks may be cut off at the top. Tap an event to see it.",
        decision.rule
    )
}

fn keys(run: &Run, signals: &[Signal]) -> Vec<(String, String)> {
    let key = |class: &str, name: &str| (class.to_owned(), name.to_owned());
    let mut keys = vec![key("k-score", "score")];
    if run.smoothing_known() {
        keys.push(key("k-raw", "each frame, unsmoothed"));
    }
    keys.push(key("k-event", "strange, by rank"));
    if run.events.iter().any(is_trouble) {
        keys.push(key("k-trouble", "camera trouble"));
    }
    if signals.iter().any(|s| s.truth.is_some()) {
        keys.push(key("k-truth", "labelled abnormal"));
    }
    keys
}

fn timeline<'a>(
    run: &Run,
    signal: &'a Signal,
    index: usize,
    y: Range,
    options: &ReportOptions,
) -> Timeline<'a> {
    let (start, end) = signal.span();
    let facts = [
        Some(duration(end - start)),
        run.source(&signal.video).map(|s| format!("{} fps", number(s.fps))),
        Some(plural(run.events_of(&signal.video).count() as u64, "event", "events")),
    ];
    Timeline {
        id: format!("video-{index}"),
        title: &signal.video,
        facts: facts.into_iter().flatten().collect::<Vec<_>>().join(" · "),
        x: Range::new(start, end),
        lane: Lane {
            times: &signal.times,
            raw: &signal.raw,
            smooth: &signal.smooth,
            y,
            threshold: run.threshold(),
        },
        markers: markers(run, &signal.video, options.max_events),
        truth: signal.truth.as_deref(),
        buckets: options.buckets,
    }
}

/// The events of a video as marks on its timeline; the first `cards` rows of `events.csv` have a card to lead to.
pub(crate) fn markers(run: &Run, video: &str, cards: usize) -> Vec<Marker> {
    run.events_of(video).map(|(i, event)| marker(run, i, event, cards)).collect()
}

fn marker(run: &Run, index: usize, event: &Event, shown: usize) -> Marker {
    let trouble = is_trouble(event);
    let rank = if trouble { 0 } else { run.rank(index) };
    let name = if trouble { "Camera trouble".to_owned() } else { format!("Event {rank}") };
    let target = (index < shown).then(|| target(index));
    let label = format!("{name}, {} to {}: {}", clock(event.start_s), clock(event.end_s), event.reason);
    Marker { rank, start: event.start_s, end: event.end_s, label, target }
}

/// Videos beyond those drawn, as a table.
fn further<'a>(run: &Run, rest: impl ExactSizeIterator<Item = &'a Signal>) -> Markup {
    let total = rest.len();
    html! {
        @if total > 0 {
            details {
                summary { (plural(total as u64, "more video", "more videos")) }
                div.wide { table {
                    thead { tr { th scope="col" { "video" } th.n scope="col" { "length" } th.n scope="col" { "frames" }
                        th.n scope="col" { "highest score" } th.n scope="col" { "events" } } }
                    tbody { @for signal in rest.take(MOST_ROWS) { (further_row(run, signal)) } }
                } }
                @if total > MOST_ROWS { p { "The others are in scores.csv." } }
            }
        }
    }
}

fn further_row(run: &Run, signal: &Signal) -> Markup {
    let (start, end) = signal.span();
    let highest = signal.smooth.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    html! {
        tr {
            th scope="row" { (signal.video) }
            td.n { (duration(end - start)) }
            td.n { (count(signal.times.len() as u64)) }
            td.n { (number(highest)) }
            td.n { (run.events_of(&signal.video).count()) }
        }
    }
}
