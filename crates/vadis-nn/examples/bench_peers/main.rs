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
mod report;
mod side;
mod task;
mod work;

use std::error::Error;

use options::Options;
use report::Row;
use side::Side;
use task::{Measure, Task};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "--work") {
        let task = arguments.nth(1).ok_or("--work needs a task")?;
        return work::answer(&serde_json::from_str(&task)?);
    }
    let options = Options::parse(arguments)?;
    let mut rows = options.kept_rows()?;
    for task in options.tasks() {
        eprintln!("{} {}, batch {} of {:?}", task.network, task.measure, task.batch, task.size);
        rows.retain(|row| !row.is_of(&task));
        rows.push(compare(&task, &options)?);
        report::write(&options.json, &rows)?;
    }
    report::write(&options.json, &rows)?;
    println!("{}", report::table(&rows));
    Ok(())
}

/// One network and one measure, both sides run in turn.
fn compare(task: &Task, options: &Options) -> Outcome<Row> {
    // The fastest variant is looked for in a process of its own: its memory is that of all variants.
    let found = match &task.variant {
        Some(variant) => variant.clone(),
        None => Side::peer(&options.python, task)?.variant.clone(),
    };
    let task = &Task { variant: Some(found.clone()), ..task.clone() };
    let (mut ours, mut peer) = (Side::ours(task)?, Side::peer(&options.python, task)?);
    let [[ours_s, ours_processor_s], [peer_s, peer_processor_s]] =
        interleaved(&mut ours, &mut peer, options.runs)?;
    let peaks = [ours.peak_mib()?, peer.peak_mib()?];
    drop((ours, peer));
    let alone = match options.single_thread {
        false => None,
        true => {
            let task = &Task { threads: 1, ..task.clone() };
            Some(interleaved(
                &mut Side::ours(task)?,
                &mut Side::peer(&options.python, task)?,
                options.runs.div_ceil(2),
            )?)
        }
    };
    let row = Row {
        network: task.network.to_string(),
        measure: task.measure.to_string(),
        ours_s,
        peer_s,
        peer: format!("PyTorch, {found}"),
        ratio: peer_s / ours_s,
        runs: options.runs,
        ours_peak_mib: peaks[0],
        peer_peak_mib: peaks[1],
        threads: task.threads,
        ours_processor_s,
        peer_processor_s,
        ours_one_thread_s: alone.map(|times| times[0][0]),
        peer_one_thread_s: alone.map(|times| times[1][0]),
        batch: task.batch,
        size: task.size.clone(),
        channels: task.channels,
    };
    eprintln!(
        "  {ours_s:.4} s against {peer_s:.4} s: {:.2}; by the processors' time {:.2}",
        row.ratio,
        row.processor_ratio()
    );
    Ok(row)
}

/// Medians of `runs` runs of each side, elapsed and of the processors, after one that pays for memory.
fn interleaved(ours: &mut Side, peer: &mut Side, runs: usize) -> Outcome<[[f64; 2]; 2]> {
    let mut times: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..=runs {
        let pair = [ours.run()?, peer.run()?];
        if round > 0 {
            times
                .iter_mut()
                .flatten()
                .zip(pair.into_iter().flatten())
                .for_each(|(list, time)| list.push(time));
        }
    }
    Ok(times.map(|side| side.map(median)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn parse_measure(text: &str) -> Outcome<Measure> {
    match text {
        "inference" => Ok(Measure::Inference),
        "training" => Ok(Measure::Training),
        "sliding" => Ok(Measure::Sliding),
        other => Err(format!("unknown measure `{other}`: expected inference, training or sliding").into()),
    }
}
