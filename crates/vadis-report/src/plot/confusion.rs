//! The confusion matrix as a table.

use maud::{Markup, html};

use crate::words::count;

/// Frames by what they are and what they were called: `[[true negative, false positive], [false negative, true positive]]`.
pub(crate) fn confusion(title: &str, cells: [[u64; 2]; 2]) -> Markup {
    html! {
        figure.chart {
            h3 { (title) }
            table.confusion {
                thead { tr { td {} th scope="col" { "called normal" } th scope="col" { "called strange" } } }
                tbody {
                    (row("is normal", cells[0], [true, false]))
                    (row("is abnormal", cells[1], [false, true]))
                }
            }
        }
    }
}

fn row(name: &str, cells: [u64; 2], right: [bool; 2]) -> Markup {
    let total = cells[0].saturating_add(cells[1]).max(1);
    html! {
        tr {
            th scope="row" { (name) }
            @for (cell, right) in cells.into_iter().zip(right) {
                @let percent = 100.0 * cell as f64 / total as f64;
                td class=(if right { "right" } else { "wrong" }) style={ "--share:" (format!("{percent:.0}%")) } {
                    b { (count(cell)) }
                    small { (format!("{percent:.1} %")) }
                }
            }
        }
    }
}
