//! Whole systems beside PyTorch on this machine: from frames in memory to scores and heat maps, as `vadis score` does it
//! between decoding and its files.
//!
//! ```text
//! make bench-scoring
//! scripts/bench-peers --scoring --system ae3d --preset cpu --runs 3 --no-compile
//! ```
//!
//! Ours is the model's own scorer, PyTorch's side is `benches/scoring.py`, which reads the same model file. Before anything
//! is timed, both score the same frames, and their scores, indicators and heat must agree. A run is some frames of an
//! endless stream whose first windows are past, the time that of a frame. `target/bench-scoring.json` and `.svg` have the result.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its measurements")]

mod footage;
mod options;
mod subject;
mod work;

use options::Options;
use subject::{Prepared, Task};
use vadis_peers::report::{self, Row};
use vadis_peers::{Outcome, Side};

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scoring.py");
/// By so much may numbers differ that are made in another order, as a share of a column's largest value.
const TOLERANCE: f64 = 1e-3;
/// By so much may flows differ, in pixels.
const FLOW_TOLERANCE: f64 = 0.05;

fn main() -> Outcome<()> {
    if let Some(task) = vadis_peers::own_task()? {
        return work::answer(&task);
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let mut rows = options.common.kept_rows()?;
    for subject in options.subjects() {
        let prepared = Prepared::new(&subject, &options)?;
        let mut found = options.common.variant.clone();
        for task in prepared.tasks(&options)? {
            // What is fastest for a system is looked for once.
            let task = Task { variant: found, ..task };
            let row = compare(&prepared, &task, &options)?;
            found = Some(row.variant().to_owned());
            rows.retain(|old| !old.is_of(&row.network, &row.measure));
            rows.push(row);
            report::write(&options.common.json, &rows)?;
        }
    }
    report::write(&options.common.json, &rows)?;
    println!("{}", report::table(&rows));
    Ok(())
}

/// One system by one task, both sides run in turn once they agree.
fn compare(prepared: &Prepared, task: &Task, options: &Options) -> Outcome<Row> {
    let common = &options.common;
    let subject = prepared.row(task);
    eprintln!("{} {}, {} frames of {:?}", subject.network, subject.measure, subject.batch, subject.size);
    // The fastest variant is looked for in a process of its own: its memory is that of all variants.
    let mut peer = Side::python(&common.python, PEER, task)?;
    let found = peer.variant.clone();
    let difference = match task.flows.is_some() && !task.flow_given {
        true => flows_agree(&mut peer)?,
        false => scores_agree(&mut Side::ours(task, task.threads)?, &mut peer)?,
    };
    drop(peer);
    let sides = |threads| {
        let task = &Task { variant: Some(found.clone()), threads, ..task.clone() };
        Ok([Side::ours(task, threads)?, Side::python(&common.python, PEER, task)?])
    };
    let measured = vadis_peers::measure(sides, task.threads, common.single_thread, common.runs)?;
    let row = Row::new(subject, &measured, common.runs, &found);
    eprintln!("{}", row.told());
    Ok(Row { difference: Some(difference), ..row })
}

/// Largest difference of the sides' rows, each column's as a share of its largest value.
fn scores_agree(ours: &mut Side, peer: &mut Side) -> Outcome<f64> {
    let [ours, peer]: [Vec<Vec<f64>>; 2] = [ours.ask("scores")?, peer.ask("scores")?];
    let columns = ours.first().map_or(0, Vec::len);
    if columns == 0 || ours.len() != peer.len() || peer.iter().chain(&ours).any(|row| row.len() != columns) {
        return Err(format!("{} rows of ours, {} of the peer's", ours.len(), peer.len()).into());
    }
    let share = |column: usize| {
        let largest = ours.iter().map(|row| row[column].abs()).fold(f64::MIN_POSITIVE, f64::max);
        let apart = ours.iter().zip(&peer).map(|(a, b)| (a[column] - b[column]).abs());
        apart.fold(0.0, f64::max) / largest
    };
    let shares: Vec<f64> = (0..columns).map(share).collect();
    let told: Vec<String> = shares.iter().map(|share| format!("{share:.1e}")).collect();
    eprintln!("  {} frames agree up to (score, indicators, heat) {}", ours.len(), told.join(" "));
    within(shares.into_iter().fold(0.0, f64::max), TOLERANCE)
}

/// Mean end-point error of OpenCV's flow beside ours, in pixels: where each side has its own, errors of flows, which are
/// small, differ by more than arithmetic.
fn flows_agree(peer: &mut Side) -> Outcome<f64> {
    let error = peer.ask("flow_error")?;
    eprintln!("  flows agree up to {error:.4} pixels");
    within(error, FLOW_TOLERANCE)
}

fn within(difference: f64, tolerance: f64) -> Outcome<f64> {
    match difference <= tolerance {
        true => Ok(difference),
        false => Err(format!("the sides differ by {difference:.1e}, more than {tolerance:.0e}").into()),
    }
}
