//! Both sides run in turns; what counts is the median.

use std::thread::sleep;
use std::time::Duration;

use crate::{Outcome, Side};

/// Before a run: the threads of the side that ran before wait for work in a loop for a while, and would take a share of it.
const REST: Duration = Duration::from_millis(20);

/// What a comparison found: first ours, then the peer's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Median seconds of a run.
    pub seconds: [f64; 2],
    /// Median seconds that all processors spent on a run.
    pub processor_s: [f64; 2],
    /// Largest resident memory in MiB.
    pub peak_mib: [f64; 2],
    /// Median seconds of a run on one thread, where that was asked for.
    pub alone_s: Option<[f64; 2]>,
}

/// Compares the sides that `start` gives for a number of threads, over `runs` runs; on one thread too, with half as many
/// runs, if `single_thread`.
///
/// # Errors
/// If a side fails.
pub fn measure(
    start: impl Fn(usize) -> Outcome<[Side; 2]>,
    threads: usize,
    single_thread: bool,
    runs: usize,
) -> Outcome<Measured> {
    let mut sides = start(threads)?;
    let [seconds, processor_s] = interleaved(&mut sides, runs)?;
    let peak_mib = [sides[0].peak_mib()?, sides[1].peak_mib()?];
    drop(sides);
    let alone = || Ok::<_, Box<dyn std::error::Error>>(interleaved(&mut start(1)?, runs.div_ceil(2))?[0]);
    let alone_s = single_thread.then(alone).transpose()?;
    Ok(Measured { seconds, processor_s, peak_mib, alone_s })
}

/// Medians of `runs` runs, elapsed and of the processors, each of both sides, after one that pays for memory.
fn interleaved(sides: &mut [Side; 2], runs: usize) -> Outcome<[[f64; 2]; 2]> {
    let mut times: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..=runs {
        for (side, at) in sides.iter_mut().zip(0..) {
            sleep(REST);
            let [elapsed, processor] = side.run()?;
            if round > 0 {
                times[0][at].push(elapsed);
                times[1][at].push(processor);
            }
        }
    }
    Ok(times.map(|kind| kind.map(median)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(vec![2.0]), 2.0);
    }
}
