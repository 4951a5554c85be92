//! Scores over time, with what was found and what is known.

use maud::{Markup, html};
use serde::Serialize;

use super::path::Area;
use super::{Range, time_ticks};
use crate::thin::{Bucket, min_max};
use crate::words::{clock, number};

/// Units of the drawing; it is stretched to the page's width, so only their proportion to the buckets counts.
const WIDTH: f64 = 3000.0;
const HEIGHT: f64 = 400.0;
/// A hundredth of the width that a rank needs on a desktop, and on a phone.
const LABEL_PERCENT: f64 = 2.2;
const LABEL_PERCENT_PHONE: f64 = 7.5;

/// A detected event on a timeline.
pub(crate) struct Marker {
    /// Place among the ranked events, from 1; 0 for camera trouble.
    pub(crate) rank: usize,
    /// First second.
    pub(crate) start: f64,
    /// Last second.
    pub(crate) end: f64,
    /// What it is, for the reader who hovers or listens.
    pub(crate) label: String,
    /// The card it leads to, where the page has it.
    pub(crate) target: Option<String>,
}

/// One curve with its own vertical axis.
pub(crate) struct Lane<'a> {
    /// Seconds of each frame.
    pub(crate) times: &'a [f64],
    /// Unsmoothed scores.
    pub(crate) raw: &'a [f64],
    /// What the threshold is compared with.
    pub(crate) smooth: &'a [f64],
    /// Values the vertical axis spans.
    pub(crate) y: Range,
    /// On the smoothed score.
    pub(crate) threshold: Option<f64>,
}

/// One video's timeline.
pub(crate) struct Timeline<'a> {
    /// Unique in the page.
    pub(crate) id: String,
    /// Heading.
    pub(crate) title: &'a str,
    /// Beside the heading.
    pub(crate) facts: String,
    /// Seconds shown.
    pub(crate) x: Range,
    /// The curve.
    pub(crate) lane: Lane<'a>,
    /// Detected events.
    pub(crate) markers: Vec<Marker>,
    /// Labelled stretches in seconds, where labels are known.
    pub(crate) truth: Option<&'a [(f64, f64)]>,
    /// Slices of time drawn at most.
    pub(crate) buckets: usize,
}

/// What the script needs to answer a pointer: times, smoothed and raw maxima of the slices.
#[derive(Serialize)]
struct Readout {
    t: Vec<f64>,
    s: Vec<f64>,
    r: Vec<f64>,
}

impl Timeline<'_> {
    /// The timeline as a figure.
    pub(crate) fn render(&self) -> Markup {
        let smooth = self.thin(self.lane.smooth);
        let raw = self.thin(self.lane.raw);
        html! {
            figure.timeline id=(self.id) {
                @if !self.title.is_empty() { figcaption { h3 { (self.title) } span { (self.facts) } } }
                div.plot {
                    div.scale aria-hidden="true" { span { (number(self.lane.y.high)) } span { (number(self.lane.y.low)) } }
                    div.canvas tabindex="0" role="group" aria-label=(self.summary()) data-start=(self.x.low) data-end=(self.x.high) {
                        (self.drawing(&raw, &smooth))
                        (self.threshold())
                        @for (marker, tier) in self.markers.iter().zip(label_tiers(&self.markers, self.x)) {
                            (self.marker(marker, tier))
                        }
                        i.cursor {}
                        output.tip {}
                    }
                    @if let Some(truth) = self.truth { (self.truth_lane(truth)) }
                    (self.time_axis())
                }
                script type="application/json" { (maud::PreEscaped(readout(&raw, &smooth))) }
            }
        }
    }

    fn thin(&self, values: &[f64]) -> Vec<Bucket> {
        min_max(self.lane.times, values, self.x.low, self.x.high, self.buckets)
    }

    fn summary(&self) -> String {
        let found = self.markers.len();
        let span = format!("{} to {}", clock(self.x.low), clock(self.x.high));
        format!("Anomaly score of {} from {span}; {found} marked. Arrow keys move the cursor.", self.title)
    }

    fn drawing(&self, raw: &[Bucket], smooth: &[Bucket]) -> Markup {
        let area = Area { left: 0.0, top: 0.0, width: WIDTH, height: HEIGHT, x: self.x, y: self.lane.y };
        let upper: Vec<_> = raw.iter().map(|b| (b.time, b.high)).collect();
        let lower: Vec<_> = raw.iter().map(|b| (b.time, b.low)).collect();
        let line = smooth.iter().flat_map(|b| {
            if b.low < b.high { vec![(b.time, b.low), (b.time, b.high)] } else { vec![(b.time, b.high)] }
        });
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                path.raw d=(area.band(&upper, &lower)) {}
                path.score d=(area.line(line)) {}
            }
        }
    }

    fn threshold(&self) -> Markup {
        html! {
            @if let Some(value) = self.lane.threshold {
                div.threshold style={ "bottom:" (percent(self.lane.y.unit(value))) } {
                    span { "threshold " (number(value)) }
                }
            }
        }
    }

    fn marker(&self, marker: &Marker, tier: Tier) -> Markup {
        let left = self.x.unit(marker.start);
        let width = self.x.unit(marker.end) - left;
        let class = if marker.rank == 0 { "event trouble" } else { "event" };
        let style = format!("left:{};width:{}", percent(left), percent(width));
        let rank = html! {
            @match tier {
                Tier::Always => b { (marker.rank) },
                Tier::Wide => b.roomy { (marker.rank) },
                Tier::Never => {}
            }
        };
        html! {
            @if let Some(target) = &marker.target {
                a class=(class) href={ "#" (target) } title=(marker.label) aria-label=(marker.label) style=(style) { (rank) }
            } @else {
                span class=(class) title=(marker.label) style=(style) { (rank) }
            }
        }
    }

    fn truth_lane(&self, truth: &[(f64, f64)]) -> Markup {
        html! {
            div.truth role="img" aria-label={ (truth.len()) " labelled abnormal stretches" } {
                @for &(start, end) in truth {
                    @let left = self.x.unit(start);
                    i title={ "labelled abnormal " (clock(start)) " to " (clock(end)) }
                      style={ "left:" (percent(left)) ";width:" (percent(self.x.unit(end) - left)) } {}
                }
            }
        }
    }

    fn time_axis(&self) -> Markup {
        let coarse = time_ticks(self.x, 4);
        html! {
            div.times aria-hidden="true" {
                @for tick in time_ticks(self.x, 12) {
                    span.fine[!coarse.contains(&tick)] style={ "left:" (percent(self.x.unit(tick))) } { (clock(tick)) }
                }
            }
        }
    }
}

fn readout(raw: &[Bucket], smooth: &[Bucket]) -> String {
    let short = |v: f64| crate::words::significant(v, 4).parse().unwrap_or(0.0);
    let data = Readout {
        t: smooth.iter().map(|b| (b.time * 10.0).round() / 10.0).collect(),
        s: smooth.iter().map(|b| short(b.high)).collect(),
        r: raw.iter().map(|b| short(b.high)).collect(),
    };
    // Three lists of finite numbers: nothing that could fail, nor end the script element.
    serde_json::to_string(&data).unwrap_or_default()
}

/// Where a marker's rank is printed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tier {
    Always,
    /// Where the page is wide.
    Wide,
    Never,
}

/// Prints the ranks that have room, the higher ranked first.
fn label_tiers(markers: &[Marker], x: Range) -> Vec<Tier> {
    let mut order: Vec<usize> = (0..markers.len()).filter(|&i| markers[i].rank > 0).collect();
    order.sort_by_key(|&i| markers[i].rank);
    let mut tiers = vec![Tier::Never; markers.len()];
    let mut placed: Vec<(f64, Tier)> = Vec::new();
    for i in order {
        let at = 100.0 * x.unit((markers[i].start + markers[i].end) / 2.0);
        let free = |gap: f64, tier: Option<Tier>| {
            placed.iter().all(|&(p, t)| tier.is_some_and(|wanted| wanted != t) || (p - at).abs() >= gap)
        };
        tiers[i] = match () {
            () if !free(LABEL_PERCENT, None) => continue,
            () if free(LABEL_PERCENT_PHONE, Some(Tier::Always)) => Tier::Always,
            () => Tier::Wide,
        };
        placed.push((at, tiers[i]));
    }
    tiers
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 10_000.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(rank: usize, start: f64) -> Marker {
        Marker { rank, start, end: start, label: String::new(), target: None }
    }

    #[test]
    fn ranks_are_printed_where_there_is_room() {
        let markers = [marker(1, 50.0), marker(2, 51.0), marker(3, 55.0), marker(0, 80.0)];
        let tiers = label_tiers(&markers, Range::new(0.0, 100.0));
        assert_eq!(tiers, [Tier::Always, Tier::Never, Tier::Wide, Tier::Never]);
    }
}
