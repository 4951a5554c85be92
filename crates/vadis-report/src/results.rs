//! The table of a benchmark, as Markdown and as a page.

use std::path::Path;

use maud::html;
use vadis_eval::run::{LambdaPoint, ResultRow, Results};

use crate::ReportError;
use crate::files::write_whole;
use crate::page;
use crate::plot::{Chart, Layer, Range};

/// Names of the table's columns; the first four are words, the others numbers.
const COLUMNS: [&str; 13] = [
    "data",
    "system",
    "preset, seeds",
    "learnt from",
    "AUC, protocol paper",
    "AUC, causal",
    "EER, paper",
    "the paper's AUC",
    "the paper's EER",
    "training",
    "frames/s",
    "peak MiB",
    "test looks",
];
/// Columns of words.
const WORDS: usize = 4;
/// Where there is nothing to say.
const NOTHING: &str = "–";

/// Writes `results.md` and `results.html` beside `results.json` in `folder`.
///
/// # Errors
/// If they cannot be written.
pub fn write_results(results: &Results, folder: &Path) -> Result<(), ReportError> {
    write_whole(&folder.join("results.md"), results_markdown(results).as_bytes())?;
    write_whole(&folder.join("results.html"), results_page(results).as_bytes())
}

/// The table as Markdown.
pub fn results_markdown(results: &Results) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&COLUMNS.map(str::to_owned));
    let rule = (0..COLUMNS.len()).map(|i| if i < WORDS { "---" } else { "---:" });
    text += &line(&rule.map(str::to_owned).collect::<Vec<_>>());
    for cells in table(results) {
        text += &line(&cells.map(|cell| cell.replace('|', "\\|")));
    }
    text.push('\n');
    notes(results).iter().for_each(|note| text += &format!("* {note}\n"));
    text
}

fn results_page(results: &Results) -> String {
    let body = html! {
        header { p.brand { "vadis bench" } h1 { "Results" } }
        main {
            section id="results" {
                div.wide { table.compare {
                    thead { tr { @for column in COLUMNS { th scope="col" { (column) } } } }
                    tbody { @for cells in table(results) {
                        tr { @for (i, cell) in cells.iter().enumerate() {
                            @if i < WORDS { td { (cell) } } @else { td.n { (cell) } }
                        } }
                    } }
                } }
                ul.notes { @for note in notes(results) { li { (note) } } }
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
    page::page("Results · vadis", &body)
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

/// Runs of one data set, system and configuration, whatever the seed.
fn groups(results: &Results) -> Vec<Vec<&ResultRow>> {
    let mut groups: Vec<Vec<&ResultRow>> = Vec::new();
    for row in &results.rows {
        let same = |group: &&mut Vec<&ResultRow>| {
            let first = group[0];
            (&first.dataset, &first.system, &first.config) == (&row.dataset, &row.system, &row.config)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// Data sets in the order they were measured, each with its systems and then what needs no learning.
fn table(results: &Results) -> Vec<[String; COLUMNS.len()]> {
    let mut names: Vec<&str> = Vec::new();
    results.rows.iter().map(|row| row.dataset.as_str()).for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    let groups = groups(results);
    let mut table = Vec::new();
    for name in names {
        table.extend(groups.iter().filter(|group| group[0].dataset == name).map(|group| cells(group)));
        let sanity = results.sanity.iter().filter(|s| s.dataset == name).flat_map(|s| &s.rows);
        table.extend(sanity.map(|row| {
            let mut cells = std::array::from_fn(|_| NOTHING.to_owned());
            (cells[0], cells[1]) = (name.to_owned(), row.name.clone());
            cells[4] = row.micro_auc.map_or_else(|| NOTHING.to_owned(), share);
            cells[6] = row.eer.map_or_else(|| NOTHING.to_owned(), share);
            cells
        }));
    }
    table
}

fn cells(group: &[&ResultRow]) -> [String; COLUMNS.len()] {
    let first = group[0];
    let seeds: Vec<String> = group.iter().map(|row| row.seed.to_string()).collect();
    let published = |metric: &str| {
        let found = first.published.iter().find(|p| p.metric == metric);
        found.map_or_else(|| NOTHING.to_owned(), |p| share(p.value))
    };
    let mean =
        |value: fn(&ResultRow) -> f64| group.iter().map(|r| value(r)).sum::<f64>() / group.len() as f64;
    let peak = group
        .iter()
        .filter_map(|row| row.peak_mib)
        .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))));
    let looks = group.iter().map(|row| row.test_looks).max().unwrap_or(0);
    [
        first.dataset.clone(),
        first.system.clone(),
        format!("{}, {}", first.preset, seeds.join(" ")),
        first.learnt_from.clone(),
        figures(group, "micro_auc", "paper"),
        figures(group, "micro_auc", "causal"),
        figures(group, "eer", "paper"),
        published("micro_auc"),
        published("eer"),
        seconds(mean(|row| row.train_s)),
        format!("{:.1}", mean(|row| row.frames_per_s)),
        peak.map_or_else(|| NOTHING.to_owned(), |peak| format!("{peak:.0}")),
        if looks == 0 { NOTHING.to_owned() } else { looks.to_string() },
    ]
}

/// One seed: the figure and its interval; several: their mean and range.
fn figures(group: &[&ResultRow], metric: &str, protocol: &str) -> String {
    let found: Vec<_> = group.iter().filter_map(|row| row.figure(metric, protocol)).collect();
    let tuned = if found.iter().any(|f| f.protocol.tuned_on_test) { ", tuned on test" } else { "" };
    match found.as_slice() {
        [] => NOTHING.to_owned(),
        [one] => match (one.low, one.high) {
            (Some(low), Some(high)) => {
                format!("{} [{}–{}]{tuned}", share(one.value), share(low), share(high))
            }
            _ => share(one.value) + tuned,
        },
        several => {
            let values = several.iter().map(|f| f.value);
            let mean = values.clone().sum::<f64>() / several.len() as f64;
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            format!("{} ({}–{}){tuned}", share(mean), share(low), share(high))
        }
    }
}

fn share(value: f64) -> String {
    format!("{value:.3}")
}

fn seconds(s: f64) -> String {
    if s < 90.0 { format!("{s:.0} s") } else { format!("{:.1} min", s / 60.0) }
}

/// What a reader must know.
fn notes(results: &Results) -> Vec<String> {
    let mut notes = vec![
        "One seed: the figure with its 95 % interval, by resampling videos (minutes where there is one video); \
         several seeds: their mean and range."
            .to_owned(),
        "Causal is what a live camera can have: nothing of the footage to come beyond the declared delay.".to_owned(),
    ];
    let mut add = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    for row in &results.rows {
        if let Some(figure) = row.figure("micro_auc", "paper") {
            let p = &figure.protocol;
            add(format!(
                "{}: protocol paper is column {}, normalisation {}, smoothing {}, edges {}.",
                row.system, p.score, p.normalisation, p.smoothing, p.edges
            ));
        }
        for p in &row.published {
            add(format!("Published figures of {}: {}.", row.dataset, p.source));
        }
        if row.dataset.ends_with("-validation") {
            add(format!(
                "{}: anomalies inserted into held-out training footage; no test label was looked at.",
                row.dataset
            ));
        }
    }
    for sanity in &results.sanity {
        add(format!(
            "{}: random, constant and frame_diff with smoothing {}.",
            sanity.dataset, sanity.smoothing
        ));
    }
    notes
}
