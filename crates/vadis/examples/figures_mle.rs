//! Gathers the runs that `scripts/figures-mle` made into `mle.json` and `mle.md`.
//!
//! Usage: `cargo run --release -p vadis --example figures_mle -- RUNS OUT`, where a run lies in `RUNS/DATA/SYSTEM/SEED/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use vadis::eval::protocol::{EvalOptions, evaluate};
use vadis::eval::run::{KindFigure, Metrics, RunInfo, ScoreTable, read_labels};

/// Columns that stand beside each system's own score, where a run has them.
const COLUMNS: [&str; 4] = ["pcc", "local_pcc", "squared_error", "residual"];
/// Sets of data in the order of the table, with what they are.
const DATA: [(&str, &str); 13] = [
    ("upcam", "upCam, one hour"),
    ("upcam-x3", "upCam, the hour three times over"),
    ("ped2", "Ped2, all clips pooled (36 % abnormal), test clips scored"),
    ("ped2-c05", "Ped2 at 5 % contamination, scored on the same footage"),
    ("ped2-c10", "Ped2 at 10 %, the same"),
    ("ped2-c20", "Ped2 at 20 %, the same"),
    ("ped2-c30", "Ped2 at 30 %, the same"),
    ("ped2-c05-test", "Ped2 at 5 % contamination, scored on all test clips"),
    ("ped2-c10-test", "Ped2 at 10 %, all test clips"),
    ("ped2-c20-test", "Ped2 at 20 %, all test clips"),
    ("ped2-c30-test", "Ped2 at 30 %, all test clips"),
    ("synth", "synthetic street, a scene for each seed"),
    ("other", "other"),
];

/// One run.
#[derive(Serialize)]
struct Row {
    dataset: String,
    system: String,
    preset: String,
    seed: u64,
    command: String,
    frames: u64,
    train_s: f64,
    score_s: f64,
    total_s: f64,
    frames_per_s: f64,
    peak_mib: Option<f64>,
    figures: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<KindFigure>,
}

/// One figure of a run.
#[derive(Serialize, Clone)]
struct Cell {
    metric: String,
    protocol: String,
    column: String,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [runs, out] = arguments.as_slice() else {
        eprintln!("usage: figures_mle RUNS OUT");
        return ExitCode::from(2);
    };
    match gather(runs).and_then(|rows| write(&rows, out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn gather(runs: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for data in folders(runs)? {
        for system in folders(&data)? {
            for seed in folders(&system)? {
                if seed.join("run.json").is_file() {
                    rows.push(row(&name(&data), &name(&system), &seed)?);
                }
            }
        }
    }
    if rows.is_empty() {
        return Err(format!("no run in {}", runs.display()).into());
    }
    rows.sort_by_key(|row| (place(&row.dataset), row.system.clone(), row.seed));
    Ok(rows)
}

fn place(dataset: &str) -> usize {
    DATA.iter().position(|(key, _)| *key == dataset).unwrap_or(DATA.len())
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(|p| p.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn row(dataset: &str, system: &str, run: &Path) -> Result<Row, Failure> {
    let info = RunInfo::read(&run.join("run.json"))?;
    let seconds = |stage: &str| info.seconds.iter().find(|(name, _)| name == stage).map_or(0.0, |(_, s)| *s);
    let frames = info.sources.iter().map(|s| s.frames).sum();
    let metrics_file = run.join("metrics.json");
    let metrics = if metrics_file.exists() { Metrics::read(&metrics_file)? } else { Metrics::default() };
    let mut figures: Vec<Cell> = metrics
        .figures
        .iter()
        .map(|f| Cell {
            metric: f.metric.clone(),
            protocol: f.protocol.name.clone(),
            column: f.protocol.score.clone(),
            value: f.value,
            low: f.low,
            high: f.high,
        })
        .collect();
    if metrics_file.exists() {
        figures.extend(beside(run)?);
    }
    Ok(Row {
        dataset: dataset.to_owned(),
        system: system.to_owned(),
        preset: info.preset.clone(),
        seed: info.seed,
        command: anywhere(&info.command_line),
        frames,
        train_s: seconds("train"),
        score_s: seconds("score"),
        total_s: info.seconds.iter().map(|(_, s)| s).sum(),
        frames_per_s: frames as f64 / seconds("score").max(1e-9),
        peak_mib: info.peak_mib,
        figures,
        kinds: metrics.kinds,
    })
}

/// A command line without where the data lie on this machine.
fn anywhere(command: &str) -> String {
    match std::env::var("VADIS_DATA") {
        Ok(data) if !data.is_empty() => command.replace(&data, "$VADIS_DATA"),
        _ => command.to_owned(),
    }
}

/// Micro AUC of the other columns under the same two protocols.
fn beside(run: &Path) -> Result<Vec<Cell>, Failure> {
    let (table, labels) = (ScoreTable::read(&run.join("scores.csv"))?, read_labels(&run.join("labels.csv"))?);
    let mut cells = Vec::new();
    for column in COLUMNS.into_iter().filter(|c| table.indicators.iter().any(|name| name == c)) {
        let mut options = EvalOptions { bootstrap: None, ..EvalOptions::mle("labels.csv") };
        for protocol in [&mut options.paper, &mut options.causal] {
            column.clone_into(&mut protocol.column);
        }
        let figures = evaluate(&table, &labels, None, &options)?.metrics.figures;
        cells.extend(figures.into_iter().filter(|f| f.metric == "micro_auc").map(|f| Cell {
            metric: f.metric,
            protocol: f.protocol.name,
            column: f.protocol.score,
            value: f.value,
            low: None,
            high: None,
        }));
    }
    Ok(cells)
}

fn write(rows: &[Row], out: &Path) -> Result<(), Failure> {
    fs::create_dir_all(out)?;
    let json = serde_json::to_string_pretty(&serde_json::json!({ "rows": rows }))?;
    fs::write(out.join("mle.json"), json + "\n")?;
    fs::write(out.join("mle.md"), page(rows))?;
    eprintln!("{}", out.join("mle.md").display());
    Ok(())
}

fn page(rows: &[Row]) -> String {
    let mut text = "# `mle`: figures\n\nMade by `scripts/figures-mle` from the real footage and three synthetic scenes; \
        `mle-l0` is `mle` without the entropy term (λ = 0). Micro AUC over all frames, smoothed by a median over 5 s \
        (`paper`: centred, `causal`: the past only); mean over the seeds, and the range of the seeds where there are \
        several. Everything else is in `mle.json`.\n\nIn a pool of a given contamination nearly all normal frames come from \
        training clips and all abnormal ones from test clips, so a figure on the same footage also rewards telling the two \
        apart; the rows scored on all test clips do not. Times are by the clock, on two cores of a shared Xeon (AVX-512) \
        with other work on it.\n"
        .to_owned();
    let groups = grouped(rows);
    text += &accuracy(&groups);
    text += &events(&groups);
    text += &kinds(&groups);
    text += &cost(&groups);
    text
}

type Groups<'a> = BTreeMap<(usize, &'a str, &'a str), Vec<&'a Row>>;

fn grouped(rows: &[Row]) -> Groups<'_> {
    let mut groups = Groups::new();
    for row in rows {
        groups.entry((place(&row.dataset), &row.dataset, &row.system)).or_default().push(row);
    }
    groups
}

fn title(dataset: &str) -> String {
    DATA.iter().find(|(key, _)| *key == dataset).map_or(dataset, |(_, title)| *title).to_owned()
}

/// `.912 (.905–.920)`
fn summary(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "–".to_owned();
    }
    let show = |v: f64| {
        let text = format!("{v:.digits$}");
        text.strip_prefix("0.").map_or(text.clone(), |rest| format!(".{rest}"))
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    if values.len() == 1 { show(mean) } else { format!("{} ({}–{})", show(mean), show(low), show(high)) }
}

fn values(rows: &[&Row], metric: &str, protocol: &str, column: Option<&str>) -> Vec<f64> {
    let own = |c: &&Cell| match column {
        Some(column) => c.column == column,
        None => c.column == "score" || c.column == "causal",
    };
    let of = |row: &&Row| {
        let mut cells = row.figures.iter().filter(|c| c.metric == metric && c.protocol == protocol);
        cells.find(own).map(|c| c.value)
    };
    rows.iter().filter_map(of).collect()
}

fn accuracy(groups: &Groups<'_>) -> String {
    let mut text = "\n| data | system | seeds | score, `paper` | `causal` |".to_owned();
    COLUMNS.iter().for_each(|column| text += &format!(" `{column}` |"));
    text += "\n|---|---|---|---|---|";
    text += &"---|".repeat(COLUMNS.len());
    text.push('\n');
    for ((_, dataset, system), rows) in groups {
        if rows.iter().all(|row| row.figures.is_empty()) {
            continue;
        }
        let own = |protocol| summary(&values(rows, "micro_auc", protocol, None), 3);
        let _ = write!(
            text,
            "| {} | `{system}` | {} | {} | {} |",
            title(dataset),
            rows.len(),
            own("paper"),
            own("causal")
        );
        for column in COLUMNS {
            let _ = write!(text, " {} |", summary(&values(rows, "micro_auc", "paper", Some(column)), 3));
        }
        text.push('\n');
    }
    text
}

fn events(groups: &Groups<'_>) -> String {
    let mut text = "\n## The first ten events\n\n| data | system | abnormal for half their length | distinct true events \
        | false alarms an hour |\n|---|---|---|---|---|\n"
        .to_owned();
    for ((_, dataset, system), rows) in groups {
        let of = |metric, digits| summary(&values(rows, metric, "events", None), digits);
        if !values(rows, "top10_abnormal", "events", None).is_empty() {
            let _ = writeln!(
                text,
                "| {} | `{system}` | {} | {} | {} |",
                title(dataset),
                of("top10_abnormal", 0),
                of("top10_distinct", 0),
                of("false_alarms_per_hour", 1)
            );
        }
    }
    text
}

fn kinds(groups: &Groups<'_>) -> String {
    let mut text = String::new();
    for ((_, dataset, system), rows) in groups {
        let mut found: BTreeMap<&str, Vec<&KindFigure>> = BTreeMap::new();
        for kind in rows.iter().flat_map(|row| &row.kinds).filter(|kind| kind.protocol == "paper") {
            found.entry(&kind.kind).or_default().push(kind);
        }
        let Some(first) = found.values().flatten().next() else { continue };
        let _ = write!(
            text,
            "\n## {}, `{system}`, by kind\n\n| kind | AUC | recall at {} % false positives | recall inside events |\n|---|---|---|---|\n",
            title(dataset),
            100.0 * first.fpr
        );
        for (kind, rows) in &found {
            let of = |value: fn(&KindFigure) -> Option<f64>| {
                summary(&rows.iter().filter_map(|row| value(row)).collect::<Vec<_>>(), 3)
            };
            let (auc, recall, inside) = (of(|k| k.auc), of(|k| k.recall_at_fpr), of(|k| k.recall_in_events));
            let _ = writeln!(text, "| {} | {auc} | {recall} | {inside} |", kind.replace('_', " "));
        }
    }
    text
}

fn cost(groups: &Groups<'_>) -> String {
    let mut text = "\n## Time and memory\n\n| data | system | frames | training (s) | in all (s) | frames scored a second \
        | peak (MiB) |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for ((_, dataset, system), rows) in groups {
        let of = |value: &dyn Fn(&Row) -> Option<f64>| {
            summary(&rows.iter().filter_map(|row| value(row)).collect::<Vec<_>>(), 0)
        };
        let _ = writeln!(
            text,
            "| {} | `{system}` | {} | {} | {} | {} | {} |",
            title(dataset),
            of(&|r| Some(r.frames as f64)),
            of(&|r| Some(r.train_s)),
            of(&|r| Some(r.total_s)),
            of(&|r| Some(r.frames_per_s)),
            of(&|r| r.peak_mib)
        );
    }
    text
}
