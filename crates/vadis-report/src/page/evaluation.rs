//! Scores against labels, where labels are known.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use vadis_eval::metrics::{Confusion, Curves, ThresholdRow};
use vadis_eval::operations::Operations;
use vadis_eval::protocol::{EvalError, Evaluation, LadderRow, ProtocolReport, SanityRow};
use vadis_eval::run::{Figure, KindFigure, Protocol};

use crate::plot::{Chart, Layer, Mean, Range, confusion, means};
use crate::run::Run;
use crate::words::{count, duration, figure, number, plural};

/// Colours of the protocols' curves: the first solid, the others dotted.
const LINES: [(&str, &str); 2] = [("s-main", "k-main"), ("s-second", "k-second")];

/// What evaluating came to, where there were labels.
type Outcome<'a> = Option<&'a Result<Evaluation, EvalError>>;

pub(crate) fn section(run: &Run, outcome: Outcome<'_>, figures: &[Figure]) -> Option<Markup> {
    let evaluation = outcome.and_then(|o| o.as_ref().ok());
    if figures.is_empty() && outcome.is_none() {
        return None;
    }
    Some(html! {
        h2 { "How right it is" }
        p.lead { "Measured against labels, which neither training nor threshold has seen unless a row says so." }
        @if let Some(Err(error)) = outcome { ul.notes { li.bad { "The labels do not fit the scores: " (error) } } }
        @if let Some(evaluation) = evaluation {
            @for note in &evaluation.notes { p.small { (note) } }
            (charts(evaluation))
            @if let Some(operations) = &evaluation.operations { (in_practice(operations)) }
        }
        (figure_tables(figures))
        @if let Some(metrics) = &run.metrics { (kinds(&metrics.kinds)) }
        @if let Some(evaluation) = evaluation {
            (sanity(&evaluation.sanity))
            @if let Some(rows) = &evaluation.ladder { (ladder(rows)) }
        }
    })
}

/// Those of `metrics.json`, which have intervals; else those just computed.
pub(crate) fn figures<'a>(run: &'a Run, outcome: Outcome<'a>) -> &'a [Figure] {
    let kept = run.metrics.as_ref().map(|m| m.figures.as_slice()).filter(|f| !f.is_empty());
    let computed = outcome.and_then(|o| o.as_ref().ok()).map(|e| e.metrics.figures.as_slice());
    kept.or(computed).unwrap_or_default()
}

fn charts(evaluation: &Evaluation) -> Markup {
    let first = evaluation.protocols.first();
    html! {
        div.charts {
            (roc(&evaluation.protocols).render())
            (precision_recall(&evaluation.protocols).render())
            @if let Some(report) = first { (histogram(report).render()) }
            @if let Some(chart) = first.and_then(by_threshold) { (chart.render()) }
            @if let Some(classes) = first.and_then(class_means) { (classes) }
            @if let Some(operations) = &evaluation.operations {
                (confusion("Frames inside events", cells(&operations.frames)))
            }
            @if let Some(report) = first.filter(|r| r.curves.best_threshold.is_some()) {
                (confusion("At the best F1 (picked on labels)", cells(&report.curves.confusion)))
            }
        }
    }
}

fn cells(confusion: &Confusion) -> [[u64; 2]; 2] {
    [[confusion.true_negative, confusion.false_positive], [confusion.false_negative, confusion.true_positive]]
}

/// One line for each protocol, named in the legend with what `name` says of it.
fn curves(
    protocols: &[ProtocolReport],
    points: impl Fn(&Curves) -> Vec<(f64, f64)>,
) -> (Vec<Layer>, Vec<(String, String)>) {
    let styled = protocols.iter().zip(LINES);
    styled
        .map(|(report, (line, key))| {
            let layer = Layer::Line { class: line, points: points(&report.curves) };
            (layer, (key.to_owned(), report.protocol.name.clone()))
        })
        .unzip()
}

fn unit_chart(
    title: &str,
    x_label: &str,
    y_label: &str,
    layers: Vec<Layer>,
    legend: Vec<(String, String)>,
) -> Chart {
    let names: Vec<&str> = legend.iter().map(|(_, name)| name.as_str()).collect();
    Chart {
        title: title.to_owned(),
        description: format!("{y_label} against {x_label}, for {}", names.join(", ")),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        x: Range::new(0.0, 1.0),
        y: Range::new(0.0, 1.0),
        ticks: true,
        layers,
        legend,
    }
}

fn roc(protocols: &[ProtocolReport]) -> Chart {
    let (mut layers, mut legend) = curves(protocols, |c| c.roc.iter().map(|p| (p.x, p.y)).collect());
    layers.insert(0, Layer::Line { class: "s-chance", points: vec![(0.0, 0.0), (1.0, 1.0)] });
    legend.push(("k-chance".to_owned(), "chance".to_owned()));
    unit_chart("ROC", "false positive rate", "true positive rate", layers, legend)
}

fn precision_recall(protocols: &[ProtocolReport]) -> Chart {
    let (mut layers, mut legend) =
        curves(protocols, |c| c.precision_recall.iter().map(|p| (p.x, p.y)).collect());
    if let Some(prevalence) = protocols.first().and_then(prevalence) {
        layers
            .insert(0, Layer::Line { class: "s-chance", points: vec![(0.0, prevalence), (1.0, prevalence)] });
        legend.push(("k-chance".to_owned(), format!("chance: {} are abnormal", figure(prevalence))));
    }
    unit_chart("Precision and recall", "recall", "precision", layers, legend)
}

/// Precision, recall and F1 of the frames flagged at each score, over the histogram's range of scores.
fn by_threshold(report: &ProtocolReport) -> Option<Chart> {
    let curves = &report.curves;
    let (low, high) = (curves.histogram.low, curves.histogram.high);
    let mut rows = curves.by_threshold();
    rows.retain(|row| (low..=high).contains(&row.threshold));
    if rows.len() < 2 {
        return None;
    }
    let line = |class, value: fn(&ThresholdRow) -> f64| {
        let points = rows.iter().map(|row| (row.threshold, value(row))).collect();
        Layer::Line { class, points }
    };
    let mut layers =
        vec![line("s-precision", |r| r.precision), line("s-recall", |r| r.recall), line("s-main", |r| r.f1)];
    layers.extend(curves.best_threshold.map(|x| Layer::Rule { x, label: "best F1".to_owned() }));
    Some(Chart {
        title: "Precision, recall and F1 by threshold".to_owned(),
        description: format!("of frames flagged at or above each score, protocol {}", report.protocol.name),
        x_label: format!("threshold of the score, protocol {}", report.protocol.name),
        y_label: "share".to_owned(),
        x: Range::new(low, high),
        y: Range::new(0.0, 1.0),
        ticks: true,
        layers,
        legend: [("k-precision", "precision"), ("k-recall", "recall"), ("k-main", "F1")]
            .map(|(class, name)| (class.to_owned(), name.to_owned()))
            .to_vec(),
    })
}

/// The mean score of both classes with their spread; none where one is missing.
fn class_means(report: &ProtocolReport) -> Option<Markup> {
    let classes = report.separation?;
    let distance = classes.d_prime().map(|d| format!(" Between the means: {} deviations (d′).", figure(d)));
    let note = format!(
        "Bars: the mean; whiskers: one standard deviation of the frames, protocol {}.{}",
        report.protocol.name,
        distance.unwrap_or_default()
    );
    let rows = [
        Mean { class: "s-normal", name: "normal", mean: classes.mean_normal, std: classes.std_normal },
        Mean {
            class: "s-abnormal",
            name: "abnormal",
            mean: classes.mean_abnormal,
            std: classes.std_abnormal,
        },
    ];
    Some(means("Mean score, normal and abnormal", &rows, &note))
}

fn prevalence(report: &ProtocolReport) -> Option<f64> {
    let frames: usize = report.videos.iter().map(|v| v.frames).sum();
    let abnormal: usize = report.videos.iter().map(|v| v.abnormal).sum();
    (frames > 0).then(|| abnormal as f64 / frames as f64)
}

fn histogram(report: &ProtocolReport) -> Chart {
    let shown = &report.curves.histogram;
    let width = (shown.high - shown.low) / shown.normal.len().max(1) as f64;
    let bars = |counts: &[u64]| {
        let edge = |i: usize| shown.low + i as f64 * width;
        shares(counts).into_iter().enumerate().map(|(i, h)| (edge(i), edge(i + 1), h)).collect()
    };
    let mut chart =
        of_classes([bars(&shown.normal), bars(&shown.abnormal)], Range::new(shown.low, shown.high));
    chart.title = "Scores of normal and abnormal frames".to_owned();
    chart.description = format!("histogram of both classes, protocol {}", report.protocol.name);
    chart.x_label = format!("score, protocol {}", report.protocol.name);
    let best = report.curves.best_threshold;
    chart.layers.extend(best.map(|x| Layer::Rule { x, label: "best F1".to_owned() }));
    chart
}

/// A histogram of normal and of abnormal frames over values `x`, each bar a left edge, a right edge and a share of its
/// class; without its names.
pub(super) fn of_classes([normal, abnormal]: [Vec<(f64, f64, f64)>; 2], x: Range) -> Chart {
    let highest = normal.iter().chain(&abnormal).map(|bar| bar.2).fold(0.0, f64::max);
    Chart {
        title: String::new(),
        description: String::new(),
        x_label: String::new(),
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

/// Counts as shares of their sum, so that a rare class is seen beside a common one.
pub(super) fn shares(counts: &[u64]) -> Vec<f64> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().map(|&c| c as f64 / total).collect()
}

/// What somebody watching would have seen, in sentences.
fn in_practice(operations: &Operations) -> Markup {
    let delay = operations.median_delay_s().map(|d| match d {
        0.0 => ", half of them at once".to_owned(),
        d => format!(", half of them within {}", duration(d)),
    });
    let alarms = operations.false_alarms_per_hour().map(|a| format!(" False alarms: {} an hour.", number(a)));
    html! {
        p {
            "Of the first " (plural(operations.top.considered as u64, "event", "events")) ", " strong { (operations.top.abnormal) }
            " are abnormal for half their length or more; together they touch " strong { (operations.top.distinct) }
            " true events. All events together find " strong { (operations.found()) } " of "
            (operations.truth.len()) " true events" (delay.unwrap_or_default()) "." (alarms.unwrap_or_default())
        }
    }
}

/// Metrics in rows, protocols side by side; protocols that have no metric in common with the first (those of events)
/// follow in a table of their own.
fn figure_tables(figures: &[Figure]) -> Markup {
    let Some(first) = figures.first() else { return html! {} };
    let metrics: BTreeSet<&str> =
        figures.iter().filter(|f| f.protocol == first.protocol).map(|f| f.metric.as_str()).collect();
    let common = |f: &&Figure| {
        figures.iter().any(|other| other.protocol == f.protocol && metrics.contains(other.metric.as_str()))
    };
    let (main, others): (Vec<_>, Vec<_>) = figures.iter().partition(common);
    html! {
        h3 { "Figures" }
        (figure_table(&main))
        @if !others.is_empty() { (figure_table(&others)) }
    }
}

fn figure_table(figures: &[&Figure]) -> Markup {
    let mut sheet = Sheet::default();
    figures.iter().for_each(|figure| sheet.add(figure));
    html! {
        div.wide { table {
            thead { tr { td {} @for protocol in &sheet.protocols { th.n scope="col" { (protocol.name) } } } }
            tbody {
                @for metric in &sheet.metrics {
                    tr {
                        th scope="row" { (metric_name(metric)) }
                        @for column in 0..sheet.protocols.len() { td.n { (sheet.cell(metric, column)) } }
                    }
                }
            }
        } }
        @for (i, note) in sheet.notes.iter().enumerate() { p.foot { sup { (i + 1) } " " (note) } }
        @for protocol in &sheet.protocols { (stated(protocol)) }
    }
}

/// A table of figures being put together.
#[derive(Default)]
struct Sheet<'a> {
    /// Columns.
    protocols: Vec<&'a Protocol>,
    /// Rows.
    metrics: Vec<&'a str>,
    cells: BTreeMap<(&'a str, usize), &'a Figure>,
    /// Each once, as footnotes.
    notes: Vec<&'a str>,
}

impl<'a> Sheet<'a> {
    fn add(&mut self, figure: &'a Figure) {
        let column = position(&mut self.protocols, &figure.protocol);
        position(&mut self.metrics, figure.metric.as_str());
        if !figure.note.is_empty() {
            position(&mut self.notes, figure.note.as_str());
        }
        self.cells.insert((&figure.metric, column), figure);
    }

    fn cell(&self, metric: &str, column: usize) -> Markup {
        let Some(value) = self.cells.get(&(metric, column)) else { return html! { "–" } };
        let note = self.notes.iter().position(|note| *note == value.note);
        html! {
            (shown(value)) @if let Some(note) = note { sup { (note + 1) } }
            @if let (Some(low), Some(high)) = (value.low, value.high) { small { (figure(low)) " – " (figure(high)) } }
        }
    }
}

/// Where an item is in a list, which it joins if it is new.
fn position<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

fn stated(protocol: &Protocol) -> Markup {
    html! {
        p.foot {
            strong { (protocol.name) } ": column " (protocol.score) ", normalisation " (protocol.normalisation)
            ", smoothing " (protocol.smoothing) ", edge frames " (protocol.edges) ", labels " (protocol.labels)
            @if protocol.tuned_on_test { ", " strong.tuned { "tuned on test" } }
        }
    }
}

/// A figure's value; those of the first ten events are counts.
pub(crate) fn shown(value: &Figure) -> String {
    if value.metric.starts_with("top10_") { format!("{:.0}", value.value) } else { figure(value.value) }
}

/// A metric's name as written in the field.
pub(crate) fn metric_name(metric: &str) -> String {
    match metric {
        "micro_auc" => "micro AUC",
        "macro_auc" => "macro AUC",
        "eer" => "equal error rate",
        "ap" => "average precision",
        "prevalence" => "prevalence (share abnormal)",
        "d_prime" => "d′",
        "best_f1" => "best F1",
        "rbdc" => "RBDC",
        "tbdc" => "TBDC",
        "fpr_at_90_recall" => "false positive rate at 90 % recall",
        "precision_at_best_f1" => "precision at best F1",
        "recall_at_best_f1" => "recall at best F1",
        "accuracy_at_best_f1" => "accuracy at best F1",
        "mean_normal" => "mean score, normal",
        "mean_abnormal" => "mean score, abnormal",
        "event_precision" => "share of events that are true",
        "event_recall" => "share of true events found",
        "median_delay_s" => "median delay (s)",
        "false_alarms_per_hour" => "false alarms an hour",
        "top10_abnormal" => "first ten: abnormal",
        "top10_distinct" => "first ten: distinct true events",
        "event_frame_f1" => "F1 of frames inside events",
        other => return at_recall(other).unwrap_or_else(|| other.replace('_', " ")),
    }
    .to_owned()
}

/// The name of a figure of two runs at equal recall: `false_positives_at_90_recall_other`.
fn at_recall(metric: &str) -> Option<String> {
    let (what, rest) = metric.split_once("_at_")?;
    let (percent, run) = rest.split_once("_recall")?;
    let what = match what {
        "false_alarm_minutes" => "minutes of false alarm an hour",
        "fewer_false_positives" => "fewer false positives (share)",
        other => &other.replace('_', " "),
    };
    let run = if run.is_empty() { "" } else { ", other run" };
    Some(format!("{what} at {percent} % recall{run}"))
}

/// What is found of each kind of anomaly.
fn kinds(rows: &[KindFigure]) -> Markup {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), figure);
    let Some(first) = rows.first() else { return html! {} };
    html! {
        h3 { "By kind of anomaly" }
        div.wide { table {
            thead { tr { th scope="col" { "kind" } th scope="col" { "protocol" } th.n scope="col" { "frames" } th.n scope="col" { "AUC" }
                th.n scope="col" { "recall" small { "at " (number(100.0 * first.fpr)) " % false positives" } }
                th.n scope="col" { "recall" small { "inside events" } } th.n scope="col" { "stretches found" } } }
            tbody { @for row in rows { tr {
                th scope="row" { (row.kind.replace('_', " ")) } td { (row.protocol) } td.n { (count(row.frames)) }
                @for value in [row.auc, row.recall_at_fpr, row.recall_in_events] { td.n { (shown(value)) } }
                td.n { @if let Some(found) = row.spans_found { (found) " of " (row.spans) } @else { "–" } }
            } } }
        } }
        p.foot { "Each kind's frames against all frames labelled normal." }
    }
}

fn sanity(rows: &[SanityRow]) -> Markup {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), figure);
    html! {
        @if !rows.is_empty() {
            h3 { "What needs no learning reaches" }
            div.wide { table {
                thead { tr { td {} th.n scope="col" { "micro AUC" } th.n scope="col" { "macro AUC" }
                    th.n scope="col" { "equal error rate" } th.n scope="col" { "average precision" } } }
                tbody { @for row in rows { tr {
                    th scope="row" { (row.name) }
                    @for value in [row.micro_auc, row.macro_auc, row.eer, row.average_precision] { td.n { (shown(value)) } }
                } } }
            } }
        }
    }
}

fn ladder(rows: &[LadderRow]) -> Markup {
    let best = rows.iter().filter_map(|r| r.micro_auc).fold(f64::NEG_INFINITY, f64::max);
    html! {
        details {
            summary { "The ladder: how much of the figure is protocol" }
            div.wide { table {
                thead { tr { th scope="col" { "normalisation" } th scope="col" { "smoothing" } th scope="col" { "edges" }
                    th scope="col" { "needs the future" } th.n scope="col" { "micro AUC" } th.n scope="col" { "macro AUC" } } }
                tbody { @for row in rows { tr {
                    td { (row.normalisation) } td { (row.smoothing) } td { (row.edges) }
                    td { (if row.looks_ahead { "yes" } else { "no" }) }
                    td.n.best[row.micro_auc == Some(best)] { (row.micro_auc.map_or("–".to_owned(), figure)) }
                    td.n { (row.macro_auc.map_or("–".to_owned(), figure)) }
                } } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_names_for_people() {
        let names = [
            ("micro_auc", "micro AUC"),
            ("fewer_false_positives_at_90_recall", "fewer false positives (share) at 90 % recall"),
            ("false_positives_at_99.5_recall_other", "false positives at 99.5 % recall, other run"),
            ("pixel_auc", "pixel auc"),
        ];
        names.iter().for_each(|(metric, name)| assert_eq!(metric_name(metric), *name));
    }
}
