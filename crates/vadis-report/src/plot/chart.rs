//! A small chart with two axes: curves, histograms, maps.

use maud::{Markup, html};

use super::Range;
use super::path::{Area, tenth};
use crate::words::significant;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// What is drawn into a chart; `class` names the style sheet's colour.
pub(crate) enum Layer {
    /// A line through points.
    Line { class: &'static str, points: Vec<(f64, f64)> },
    /// Bars from 0 upwards: left edge, right edge, height.
    Bars { class: &'static str, bars: Vec<(f64, f64, f64)> },
    /// Separate dots.
    Dots { class: String, points: Vec<(f64, f64)> },
    /// A vertical line at a value with its name.
    Rule { x: f64, label: String },
}

/// A chart and its axes.
pub(crate) struct Chart {
    /// Heading and accessible name.
    pub(crate) title: String,
    /// What the picture shows, for those who cannot see it.
    pub(crate) description: String,
    /// Name of the horizontal axis.
    pub(crate) x_label: String,
    /// Name of the vertical axis.
    pub(crate) y_label: String,
    /// Values the horizontal axis spans.
    pub(crate) x: Range,
    /// Values the vertical axis spans.
    pub(crate) y: Range,
    /// False for a map whose coordinates mean nothing by themselves.
    pub(crate) ticks: bool,
    /// Drawn in order.
    pub(crate) layers: Vec<Layer>,
    /// Class and name of each series.
    pub(crate) legend: Vec<(String, String)>,
}

impl Chart {
    /// The chart as a figure.
    pub(crate) fn render(&self) -> Markup {
        let area = self.area();
        html! {
            figure.chart {
                h3 { (self.title) }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (self.title) ": " (self.description) } {
                    @if self.ticks { (self.grid(&area)) }
                    (self.frame(&area))
                    @for layer in &self.layers { (render_layer(layer, &area)) }
                }
                (legend(&self.legend))
            }
        }
    }

    fn area(&self) -> Area {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        Area { left: LEFT, top: TOP, width, height, x: self.x, y: self.y }
    }

    fn grid(&self, area: &Area) -> Markup {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        html! {
            @for tick in self.x.ticks(5) {
                @let x = tenth(area.x(tick));
                path.grid d={ "M" (x) " " (TOP) "V" (bottom) } {}
                text.tick x=(x) y=(bottom + 14.0) text-anchor="middle" { (significant(tick, 4)) }
            }
            @for tick in self.y.ticks(4) {
                @let y = tenth(area.y(tick));
                path.grid d={ "M" (LEFT) " " (y) "H" (right) } {}
                text.tick x=(LEFT - 6.0) y=(y + 3.5) text-anchor="end" { (significant(tick, 4)) }
            }
        }
    }

    fn frame(&self, area: &Area) -> Markup {
        let bottom = HEIGHT - BOTTOM;
        let (centre, middle) = (LEFT + area.width / 2.0, TOP + area.height / 2.0);
        html! {
            path.frame d={ "M" (LEFT) " " (TOP) "V" (bottom) "H" (WIDTH - RIGHT) } {}
            text.axis x=(centre) y=(HEIGHT - 6.0) text-anchor="middle" { (self.x_label) }
            text.axis x="0" y="0" text-anchor="middle" transform={ "translate(10 " (middle) ") rotate(-90)" } {
                (self.y_label)
            }
        }
    }
}

fn render_layer(layer: &Layer, area: &Area) -> Markup {
    match layer {
        Layer::Line { class, points } => {
            html! { path class={ "line " (class) } d=(area.line(points.iter().copied())) {} }
        }
        Layer::Bars { class, bars } => html! { path class={ "bars " (class) } d=(bar_path(bars, area)) {} },
        Layer::Dots { class, points } => {
            html! { path class={ "dots " (class) } d=(area.dots(points.iter().copied())) {} }
        }
        Layer::Rule { x, label } => rule(*x, label, area),
    }
}

fn bar_path(bars: &[(f64, f64, f64)], area: &Area) -> String {
    let base = area.y(area.y.low);
    bars.iter()
        .filter(|(_, _, height)| *height > area.y.low)
        .map(|&(left, right, height)| {
            let (x0, x1, y) = (tenth(area.x(left)), tenth(area.x(right)), tenth(area.y(height)));
            format!("M{x0} {}V{y}H{x1}V{}Z", tenth(base), tenth(base))
        })
        .collect()
}

fn rule(value: f64, label: &str, area: &Area) -> Markup {
    let x = tenth(area.x(value));
    let (anchor, shift) = if x > area.left + area.width * 0.6 { ("end", -5.0) } else { ("start", 5.0) };
    html! {
        path.threshold d={ "M" (x) " " (area.top) "v" (area.height) } {}
        text.note x=(x + shift) y=(area.top + 9.0) text-anchor=(anchor) { (label) }
    }
}

/// Names of series beside their colours.
pub(crate) fn legend(entries: &[(String, String)]) -> Markup {
    html! {
        @if !entries.is_empty() {
            ul.legend {
                @for (class, name) in entries {
                    li { i class={ "key " (class) } aria-hidden="true" {} (name) }
                }
            }
        }
    }
}
