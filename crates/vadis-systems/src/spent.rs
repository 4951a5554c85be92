//! Where a model's time goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Wall seconds spent in each part of a model, by name; parts that run side by side count both.
#[derive(Debug)]
pub(crate) struct Spent<const N: usize> {
    names: [&'static str; N],
    nanos: [AtomicU64; N],
}

impl<const N: usize> Spent<N> {
    /// Nothing spent yet.
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        Self { names, nanos: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Does `work`, which is of the part at `place`.
    pub(crate) fn on<T>(&self, place: usize, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos[place].fetch_add(nanos, Ordering::Relaxed);
        done
    }

    /// Seconds by part, without those that nothing was spent on.
    pub(crate) fn seconds(&self) -> Vec<(&'static str, f64)> {
        let parts = self.names.iter().zip(&self.nanos);
        let seconds = parts.map(|(name, nanos)| (*name, nanos.load(Ordering::Relaxed) as f64 * 1e-9));
        seconds.filter(|(_, seconds)| *seconds > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_did_nothing_are_left_out() {
        let spent = Spent::new(["network", "flow"]);
        assert_eq!(spent.on(1, || std::thread::sleep(std::time::Duration::from_millis(1))), ());
        let told = spent.seconds();
        assert_eq!(told.len(), 1);
        assert!(told[0].0 == "flow" && told[0].1 >= 1e-3);
    }
}
