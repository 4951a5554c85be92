//! Our side: answers what it is asked.

use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Outcome;

/// Answers each line on standard input with one on standard output: `run` with the seconds of one `run`, elapsed and of
/// the processors, divided by `share`; `peak` with the largest resident memory in MiB; anything else as `other` does.
///
/// # Errors
/// If a run fails, or nobody knows an answer.
pub fn answer(
    share: f64,
    mut run: impl FnMut() -> Outcome<()>,
    mut other: impl FnMut(&str) -> Outcome<Value>,
) -> Outcome<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{}", json!({ "variant": "vadis" }))?;
    for line in std::io::stdin().lock().lines() {
        let answer = match line?.trim() {
            "run" => {
                let (start, processor) = (Instant::now(), processor_s()?);
                run()?;
                let times = [start.elapsed().as_secs_f64(), processor_s()? - processor];
                json!(times.map(|time| time / share))
            }
            "peak" => json!(peak_mib()?),
            question => other(question)?,
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

/// Seconds that the processors have spent on this process's threads.
fn processor_s() -> Outcome<f64> {
    let mut nanoseconds = 0u64;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += text.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 * 1e-9)
}

fn peak_mib() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
