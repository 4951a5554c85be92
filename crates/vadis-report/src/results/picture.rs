//! The AUC of every system on one data set as a picture that stands by itself.

use maud::{Markup, html};

use super::table::{Group, Section};
use crate::plot::tenth;

const WIDTH: f64 = 760.0;
/// Room for names: so much a letter, between these bounds.
const LETTER: f64 = 7.0;
const LEFT: [f64; 2] = [110.0, 420.0];
const RIGHT: f64 = 60.0;
const TOP: f64 = 60.0;
const ROW: f64 = 22.0;
/// The axis begins at chance.
const LEAST: f64 = 0.5;
/// Colours that are told apart without red and green.
const BAR: &str = "#2a6f9e";
const INTERVAL: &str = "#123a55";
const CAUSAL: &str = "#e8a33d";
const PUBLISHED: &str = "#7a3b8f";
const GRID: &str = "#d8dde2";
const INK: &str = "#22303a";

/// An SVG document: a bar a system under the protocol `paper`, best first, with its interval; a dot for the causal figure
/// and a diamond for the published one. Parts of runs are left out.
pub(super) fn picture(section: &Section<'_>) -> String {
    let mut bars: Vec<Bar> =
        section.groups.iter().filter(|group| !group.is_part()).filter_map(Bar::of).collect();
    bars.sort_by(|a, b| b.auc.total_cmp(&a.auc));
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let axis = Axis { left: (longest as f64 * LETTER + 16.0).clamp(LEFT[0], LEFT[1]) };
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let label = format!("Micro AUC of every system on {}", section.dataset);
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(label)
            font-family="system-ui, sans-serif" font-size="12" style={ "max-width:" (WIDTH) "px" } {
            rect width="100%" height="100%" fill="white" {}
            (legend(section.dataset))
            @for tick in 0..=5 { (axis.grid_line(LEAST + 0.1 * f64::from(tick), height)) }
            @for (i, bar) in bars.iter().enumerate() { (bar.render(TOP + ROW * i as f64, axis)) }
        }
    }
    .into_string()
}

/// One system.
struct Bar {
    name: String,
    auc: f64,
    ends: Option<[f64; 2]>,
    causal: Option<f64>,
    published: Option<f64>,
}

impl Bar {
    fn of(group: &Group<'_>) -> Option<Self> {
        let (auc, ends) = group.value("micro_auc", "paper")?;
        let tuned = if group.tuned_on_test() { " (tuned on test)" } else { "" };
        Some(Self {
            name: format!("{}{tuned}", group.name()),
            auc,
            ends,
            causal: group.value("micro_auc", "causal").map(|(value, _)| value),
            published: group.published("micro_auc"),
        })
    }

    fn render(&self, y: f64, axis: Axis) -> Markup {
        let middle = y + ROW / 2.0;
        let x = |auc: f64| axis.x(auc);
        html! {
            text x=(axis.left - 8.0) y=(middle + 4.0) text-anchor="end" fill=(INK) { (self.name) }
            rect x=(axis.left) y=(y + 4.0) width=(tenth(x(self.auc) - axis.left)) height=(ROW - 8.0) fill=(BAR) {}
            @if let Some([low, high]) = self.ends {
                path d={ "M" (tenth(x(low))) " " (middle) "H" (tenth(x(high))) } stroke=(INTERVAL) stroke-width="1.5" {}
            }
            @if let Some(causal) = self.causal {
                circle cx=(tenth(x(causal))) cy=(middle) r="4" fill=(CAUSAL) stroke="white" {}
            }
            @if let Some(published) = self.published { (diamond(x(published), middle)) }
            text x=(WIDTH - RIGHT + 10.0) y=(middle + 4.0) fill=(INK) { (format!("{:.3}", self.auc)) }
        }
    }
}

fn legend(dataset: &str) -> Markup {
    html! {
        text x="8" y="16" font-weight="600" fill=(INK) { "Micro AUC, " (dataset) }
        rect x="8" y="25" width="14" height="10" fill=(BAR) {}
        text x="28" y="34" fill=(INK) { "protocol paper, with interval" }
        circle cx="218" cy="30" r="4" fill=(CAUSAL) {}
        text x="228" y="34" fill=(INK) { "causal" }
        (diamond(293.0, 30.0))
        text x="304" y="34" fill=(INK) { "published" }
    }
}

fn diamond(x: f64, y: f64) -> Markup {
    html! { path d={ "M" (tenth(x)) " " (y - 5.0) "l5 5l-5 5l-5 -5z" } fill=(PUBLISHED) stroke="white" {} }
}

/// Where figures lie.
#[derive(Clone, Copy)]
struct Axis {
    left: f64,
}

impl Axis {
    /// Below chance at the axis.
    fn x(self, auc: f64) -> f64 {
        self.left + (auc.clamp(LEAST, 1.0) - LEAST) / (1.0 - LEAST) * (WIDTH - self.left - RIGHT)
    }

    fn grid_line(self, value: f64, height: f64) -> Markup {
        let at = tenth(self.x(value));
        html! {
            path d={ "M" (at) " " (TOP - 4.0) "V" (height - 8.0) } stroke=(GRID) {}
            text x=(at) y=(TOP - 8.0) text-anchor="middle" font-size="10" fill=(INK) { (format!("{value:.1}")) }
        }
    }
}
