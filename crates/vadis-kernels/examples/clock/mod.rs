//! What the examples measure time with.
#![allow(dead_code, reason = "each example uses its part")]

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static CPU: LazyLock<bool> = LazyLock::new(|| std::env::args().any(|argument| argument == "cpu"));

/// Seconds that the process's threads have run (Linux).
pub(crate) fn processor_s() -> f64 {
    let ran = |task: std::fs::DirEntry| -> Option<f64> {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(ran).sum::<f64>() / 1e9
}

/// Seconds by the clock, or with the argument `cpu` those that the process's threads have run.
pub(crate) fn now() -> f64 {
    if *CPU { processor_s() } else { START.elapsed().as_secs_f64() }
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
