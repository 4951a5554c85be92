//! Ranges and where their ticks go.

/// A closed range of values that an axis shows; never empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    /// Value at the axis' beginning.
    pub(crate) low: f64,
    /// Value at its end.
    pub(crate) high: f64,
}

impl Range {
    /// From `low` to `high`, widened where they coincide or are not finite.
    pub(crate) fn new(low: f64, high: f64) -> Self {
        match (low.is_finite(), high.is_finite()) {
            (true, true) if high > low => Self { low, high },
            (true, _) => Self { low, high: low + low.abs().max(1.0) * 1e-3 },
            _ => Self { low: 0.0, high: 1.0 },
        }
    }

    /// The range of all finite values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        Self::new(low, high)
    }

    /// The same with `share` of its length added at either end.
    pub(crate) fn padded(self, share: f64) -> Self {
        let pad = (self.high - self.low) * share;
        Self::new(self.low - pad, self.high + pad)
    }

    /// Where a value lies, 0 at the low end, 1 at the high end; values outside go to the nearer end.
    pub(crate) fn unit(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round values inside the range, about `wanted` of them (1, 2 or 5 times a power of ten apart).
    pub(crate) fn ticks(self, wanted: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
        multiples(self, step.unwrap_or(power))
    }
}

/// Round times inside a range of seconds, at most `most` of them.
pub(crate) fn time_ticks(range: Range, most: usize) -> Vec<f64> {
    const STEPS: [f64; 21] = [
        1.0,
        2.0,
        5.0,
        10.0,
        15.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        900.0,
        1800.0,
        3600.0,
        7200.0,
        10_800.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        2_592_000.0,
    ];
    let length = range.high - range.low;
    let step = STEPS.into_iter().find(|s| length / s <= most as f64).unwrap_or(length / most.max(1) as f64);
    multiples(range, step)
}

fn multiples(range: Range, step: f64) -> Vec<f64> {
    const MOST: i64 = 64;
    let first = (range.low / step - 1e-9).ceil() as i64;
    let last = ((range.high / step + 1e-9).floor() as i64).min(first.saturating_add(MOST));
    (first..=last).map(|k| k as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ticks_are_few_and_inside(low in -1e9f64..1e9, length in 1e-6f64..1e9) {
            let range = Range::new(low, low + length);
            let slack = (range.high - range.low) * 1e-6 + low.abs() * 1e-9;
            for ticks in [range.ticks(5), time_ticks(range, 8)] {
                prop_assert!(ticks.len() <= 65);
                prop_assert!(ticks.iter().all(|t| *t >= range.low - slack && *t <= range.high + slack));
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Range::new(0.0, 1.0).ticks(5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(
            time_ticks(Range::new(0.0, 3600.0), 8),
            [0.0, 600.0, 1200.0, 1800.0, 2400.0, 3000.0, 3600.0]
        );
    }

    #[test]
    fn a_range_is_never_empty() {
        for range in [Range::new(1.0, 1.0), Range::new(f64::NAN, 0.0), Range::of([]), Range::of([0.0, 0.0])] {
            assert!(range.high > range.low, "{range:?}");
            assert!(range.unit(range.low) == 0.0);
        }
    }
}
