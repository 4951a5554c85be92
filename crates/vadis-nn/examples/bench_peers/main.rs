//! The networks against PyTorch on this machine: inference, training step and a stream's windows, time
//! and peak memory, two threads and one; interleaved in one run, medians. On a machine that others use too, the processors'
//! time tells more than the clock's.
//!
//! ```text
//! make bench-peers
//! scripts/bench-peers --network ae3d,cae --measure training --runs 3 --scale 0.25
//! ```
//!
//! Both sides are processes of their own that answer the same questions: this program with `--work`
//! (`work.rs`), and `benches/peers.py`. `target/bench-peers.json` and `.svg` have the result.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its measurements")]

mod options;
mod task;
mod work;

use options::Options;
use task::{Measure, Task};
use vadis_peers::report::{self, Row, Subject};
use vadis_peers::{Outcome, Side};

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py");

fn main() -> Outcome<()> {
    if let Some(task) = vadis_peers::own_task()? {
        return work::answer(&task);
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let mut rows = options.common.kept_rows()?;
    for task in options.tasks() {
        eprintln!("{} {}, batch {} of {:?}", task.network, task.measure, task.batch, task.size);
        rows.retain(|row| !row.is_of(&task.network.to_string(), &task.measure.to_string()));
        rows.push(compare(&task, &options)?);
        report::write(&options.common.json, &rows)?;
    }
    report::write(&options.common.json, &rows)?;
    println!("{}", report::table(&rows));
    Ok(())
}

/// One network and one measure, both sides run in turn.
fn compare(task: &Task, options: &Options) -> Outcome<Row> {
    let python = &options.common.python;
    // The fastest variant is looked for in a process of its own: its memory is that of all variants.
    let found = match &task.variant {
        Some(variant) => variant.clone(),
        None => Side::python(python, PEER, task)?.variant.clone(),
    };
    let sides = |threads| {
        let task = &Task { variant: Some(found.clone()), threads, ..task.clone() };
        Ok([Side::ours(task, threads)?, Side::python(python, PEER, task)?])
    };
    let runs = options.common.runs;
    let measured = vadis_peers::measure(sides, task.threads, options.common.single_thread, runs)?;
    let subject = Subject {
        network: task.network.to_string(),
        measure: task.measure.to_string(),
        batch: task.batch,
        size: task.size.clone(),
        channels: task.channels,
        threads: task.threads,
    };
    let row = Row::new(subject, &measured, runs, &found);
    eprintln!("{}", row.told());
    Ok(row)
}

fn parse_measure(text: &str) -> Outcome<Measure> {
    match text {
        "inference" => Ok(Measure::Inference),
        "training" => Ok(Measure::Training),
        "sliding" => Ok(Measure::Sliding),
        other => Err(format!("unknown measure `{other}`: expected inference, training or sliding").into()),
    }
}
