//! Long series made short enough to draw.

/// The least and greatest value within one slice of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Time of the slice's middle, in the unit of the input.
    pub(crate) time: f64,
    /// Least value.
    pub(crate) low: f64,
    /// Greatest value.
    pub(crate) high: f64,
}

/// Cuts `[start, end]` into `buckets` equal slices and keeps the least and greatest value of each, so that no
/// spike is lost however long the series is. Slices without a value are left out, as are non-finite values.
pub(crate) fn min_max(times: &[f64], values: &[f64], start: f64, end: f64, buckets: usize) -> Vec<Bucket> {
    let buckets = buckets.max(1);
    let width = (end - start) / buckets as f64;
    if width.is_nan() || width <= 0.0 {
        return Vec::new();
    }
    let mut slices: Vec<Option<Bucket>> = vec![None; buckets];
    for (&time, &value) in times.iter().zip(values) {
        if !time.is_finite() || !value.is_finite() || time < start || time > end {
            continue;
        }
        let index = (((time - start) / width) as usize).min(buckets - 1);
        let middle = start + (index as f64 + 0.5) * width;
        let slice = slices[index].get_or_insert(Bucket { time: middle, low: value, high: value });
        slice.low = slice.low.min(value);
        slice.high = slice.high.max(value);
    }
    slices.into_iter().flatten().collect()
}

/// At most `limit` items, evenly spread, the first and the last among them.
pub(crate) fn evenly<T: Copy>(items: &[T], limit: usize) -> Vec<T> {
    if items.len() <= limit || limit < 2 {
        return items.iter().copied().take(limit.max(1)).collect();
    }
    let step = (items.len() - 1) as f64 / (limit - 1) as f64;
    (0..limit).map(|i| items[(i as f64 * step).round() as usize]).collect()
}

/// The runs of a binary series: first and last index of each stretch of non-zero labels.
pub(crate) fn runs(labels: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (i, &label) in labels.iter().enumerate() {
        match (label != 0, start) {
            (true, None) => start = Some(i),
            (false, Some(first)) => {
                found.push((first, i - 1));
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|first| (first, labels.len() - 1)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn thinning_keeps_the_extremes(values in prop::collection::vec(-1e6f64..1e6, 1..3000), buckets in 1usize..500) {
            let times: Vec<f64> = (0..values.len()).map(|i| i as f64).collect();
            let thin = min_max(&times, &values, 0.0, values.len() as f64, buckets);
            prop_assert!(thin.len() <= buckets);
            let high = thin.iter().map(|b| b.high).fold(f64::MIN, f64::max);
            let low = thin.iter().map(|b| b.low).fold(f64::MAX, f64::min);
            prop_assert_eq!(high, values.iter().copied().fold(f64::MIN, f64::max));
            prop_assert_eq!(low, values.iter().copied().fold(f64::MAX, f64::min));
            prop_assert!(thin.windows(2).all(|w| w[0].time < w[1].time));
        }

        #[test]
        fn runs_cover_exactly_the_ones(labels in prop::collection::vec(0u8..2, 0..200)) {
            let mut rebuilt = vec![0u8; labels.len()];
            for (first, last) in runs(&labels) {
                rebuilt[first..=last].fill(1);
            }
            prop_assert_eq!(rebuilt, labels);
        }

        #[test]
        fn even_choice_keeps_both_ends(count in 1usize..5000, limit in 2usize..300) {
            let items: Vec<usize> = (0..count).collect();
            let kept = evenly(&items, limit);
            prop_assert!(kept.len() <= limit.max(1));
            prop_assert_eq!(kept.first(), items.first());
            prop_assert_eq!(kept.last(), items.last());
        }
    }

    #[test]
    fn non_finite_values_and_empty_ranges_give_nothing() {
        assert!(min_max(&[0.0, 1.0], &[f64::NAN, f64::INFINITY], 0.0, 1.0, 10).is_empty());
        assert!(min_max(&[0.0], &[1.0], 0.0, 0.0, 10).is_empty());
    }
}
