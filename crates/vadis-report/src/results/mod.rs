//! What a benchmark found, as Markdown, as a page, and as a picture of each data set.

mod picture;
mod table;

use std::path::Path;

use maud::{Markup, PreEscaped, html};
use vadis_eval::run::{HeatColours, LambdaPoint, ResultRow, Results};

use crate::ReportError;
use crate::colour::Palette;
use crate::files::write_whole;
use crate::page;
use crate::plot::{Chart, Layer, Range};
use picture::picture;
use table::{WORDS, sections};

/// Writes `results.md`, `results.html` and `auc-DATASET.svg` for each data set beside `results.json` in `folder`.
///
/// # Errors
/// If they cannot be written.
pub fn write_results(results: &Results, folder: &Path) -> Result<(), ReportError> {
    for section in sections(results) {
        write_whole(&folder.join(format!("auc-{}.svg", section.dataset)), picture(&section).as_bytes())?;
    }
    write_whole(&folder.join("results.md"), results_markdown(results).as_bytes())?;
    write_whole(&folder.join("results.html"), results_page(results).as_bytes())
}

/// A table for each data set, as Markdown.
pub fn results_markdown(results: &Results) -> String {
    let mut text = String::new();
    for section in sections(results) {
        text += &format!("### {}\n\n", section.dataset);
        text += &markdown_table(&section.columns(), WORDS, &section.cells());
        if let Some((columns, lines)) = section.by_kind() {
            text += &markdown_table(&columns, 1, &lines);
        }
        section.notes().iter().for_each(|note| text += &format!("* {note}\n"));
        text.push('\n');
    }
    text
}

/// A table whose first columns are words, and a blank line.
fn markdown_table(columns: &[&str], words: usize, lines: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
    let rule = (0..columns.len()).map(|i| if i < words { "---" } else { "---:" }.to_owned());
    text += &line(&rule.collect::<Vec<_>>());
    for cells in lines {
        text += &line(&cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>());
    }
    text + "\n"
}

/// The same as HTML.
fn html_table(columns: &[&str], words: usize, lines: &[Vec<String>]) -> Markup {
    html! {
        div.wide { table.compare {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
            tbody { @for cells in lines {
                tr { @for (i, cell) in cells.iter().enumerate() {
                    @if i < words { td { (cell) } } @else { td.n { (cell) } }
                } }
            } }
        } }
    }
}

fn results_page(results: &Results) -> String {
    let body = html! {
        header { p.brand { "vadis bench" } h1 { "Results" } }
        main {
            @for section in sections(results) {
                section id={ "results-" (section.dataset) } {
                    h2 { (section.dataset) }
                    div.wide { (PreEscaped(picture(&section))) }
                    (html_table(&section.columns(), WORDS, &section.cells()))
                    @if let Some((columns, lines)) = section.by_kind() { (html_table(&columns, 1, &lines)) }
                    ul.notes { @for note in section.notes() { li { (note) } } }
                }
            }
            @if results.rows.iter().any(|row| !row.lambda_sweep.is_empty()) {
                section id="sweep" {
                    h2 { "How much hangs on the weight of the likelihood" }
                    p.lead { "The paper's combination by its weight: a weight picked here would be tuned on the labels." }
                    div.charts {
                        @for row in results.rows.iter().filter(|row| !row.lambda_sweep.is_empty()) {
                            (sweep(row).render())
                        }
                    }
                }
            }
        }
        (page::footer(env!("CARGO_PKG_VERSION")))
    };
    page::page("Results · vadis", &body, Palette::of(HeatColours::default()))
}

/// Figures by the weight of a combination.
fn sweep(row: &ResultRow) -> Chart {
    let points = |value: fn(&LambdaPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        row.lambda_sweep.iter().filter_map(|point| Some((point.lambda, value(point)?))).collect()
    };
    let lines = [("s-main", points(|point| point.auc)), ("s-second", points(|point| point.eer))];
    Chart {
        title: format!("{} on {}, seed {}", row.system, row.dataset, row.seed),
        description: "micro AUC and equal error rate by the weight of the likelihood".to_owned(),
        x_label: "λ_L".to_owned(),
        y_label: String::new(),
        x: Range::new(0.0, 1.0),
        y: Range::new(0.0, 1.0),
        ticks: true,
        layers: lines.map(|(class, points)| Layer::Line { class, points }).into(),
        legend: [("k-main", "micro AUC"), ("k-second", "equal error rate")]
            .map(|(class, name)| (class.to_owned(), name.to_owned()))
            .to_vec(),
    }
}
