//! Means as lying bars, each with its spread.

use maud::{Markup, html};

use super::Range;
use super::path::tenth;
use crate::words::{number, significant};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
/// From bar to bar.
const STEP: f64 = 64.0;
const BAR: f64 = 30.0;
const BOTTOM: f64 = 22.0;
/// Half of the stroke that ends a whisker.
const CAP: f64 = 6.0;

/// The values of one class.
pub(crate) struct Mean {
    /// The style sheet's colour.
    pub(crate) class: &'static str,
    pub(crate) name: &'static str,
    pub(crate) mean: f64,
    /// Standard deviation.
    pub(crate) std: f64,
}

/// Bars from 0 to each mean and whiskers of one deviation, over one axis that has 0 in it; `note` stands below.
pub(crate) fn means(title: &str, rows: &[Mean], note: &str) -> Markup {
    let ends = || rows.iter().flat_map(|row| [row.mean - row.std, row.mean + row.std]);
    let range = Range::new(ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    let scale = (WIDTH - LEFT - RIGHT) / (range.high - range.low);
    let x = |value: f64| tenth(LEFT + (value - range.low) * scale);
    let bottom = TOP + STEP * rows.len() as f64;
    let said: Vec<String> =
        rows.iter().map(|r| format!("{} {} ± {}", r.name, number(r.mean), number(r.std))).collect();
    html! {
        figure.chart {
            h3 { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (bottom + BOTTOM) } role="img" aria-label={ (title) ": " (said.join(", ")) } {
                @for tick in range.ticks(4) {
                    path.grid d={ "M" (x(tick)) " " (TOP) "V" (bottom) } {}
                    text.tick x=(x(tick)) y=(bottom + 14.0) text-anchor="middle" { (significant(tick, 4)) }
                }
                @for (i, row) in rows.iter().enumerate() {
                    @let top = TOP + STEP * i as f64 + 22.0;
                    @let middle = top + BAR / 2.0;
                    @let (from, to) = (x(row.mean - row.std), x(row.mean + row.std));
                    text.axis x=(LEFT - 8.0) y=(middle + 4.0) text-anchor="end" { (row.name) }
                    path class={ "bars " (row.class) } d={ "M" (x(0.0)) " " (top) "H" (x(row.mean)) "v" (BAR) "H" (x(0.0)) "Z" } {}
                    path.whisker d={ "M" (from) " " (middle) "H" (to) "M" (from) " " (middle - CAP) "v" (2.0 * CAP)
                        "M" (to) " " (middle - CAP) "v" (2.0 * CAP) } {}
                    text.note x=(x(row.mean)) y=(top - 6.0) text-anchor="middle" { (number(row.mean)) " ± " (number(row.std)) }
                }
                path.frame d={ "M" (x(0.0)) " " (TOP) "V" (bottom) } {}
            }
            p.small { (note) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_below_zero_have_bars_too() {
        let rows = [
            Mean { class: "s-normal", name: "normal", mean: -3.0, std: 0.5 },
            Mean { class: "s-abnormal", name: "abnormal", mean: 1.0, std: 0.0 },
        ];
        let text = means("Means", &rows, "").into_string();
        assert!(
            text.contains("normal -3 ± 0.5, abnormal 1 ± 0") || text.contains("normal −3 ± 0.5"),
            "{text}"
        );
        assert!(!text.contains("NaN"));
        let same = means("Means", &[Mean { class: "s-normal", name: "normal", mean: 0.0, std: 0.0 }], "");
        assert!(!same.into_string().contains("NaN"));
    }
}
