//! Patches remembered, and the distance to the nearest of them, exactly.

use rand::Rng;
use vadis_kernels::simd::{LANES, Vectorised, multiply_add, vectorised};

use super::features::{FEATURES, Features};

/// Least deviation by which a feature is divided.
const LEAST: f32 = 1e-6;

/// A uniform sample of what passes, of bounded size (Vitter, ACM TOMS 1985, Algorithm R).
pub(super) struct Reservoir<R> {
    rng: R,
    capacity: usize,
    seen: usize,
    pub(super) kept: Vec<Features>,
}

impl<R: Rng> Reservoir<R> {
    pub(super) fn new(rng: R, capacity: usize) -> Self {
        Self { rng, capacity, seen: 0, kept: Vec::new() }
    }

    pub(super) fn push(&mut self, features: Features) {
        self.seen += 1;
        if self.kept.len() < self.capacity {
            self.kept.push(features);
            return;
        }
        let place = self.rng.random_range(0..self.seen);
        if let Some(slot) = self.kept.get_mut(place) {
            *slot = features;
        }
    }
}

/// Standardised patches, feature by feature so that many are compared at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Neighbours {
    /// Mean and deviation of each feature.
    pub(super) mean: Features,
    pub(super) deviation: Features,
    /// `[FEATURES, padded]`; the padding is infinitely far.
    planes: Vec<f32>,
    padded: usize,
    count: usize,
}

impl Neighbours {
    /// Of these patches.
    pub(super) fn new(patches: &[Features]) -> Self {
        let n = patches.len().max(1) as f64;
        let over = |value: &dyn Fn(&Features) -> f64| patches.iter().map(value).sum::<f64>() / n;
        let mean: [f64; FEATURES] = std::array::from_fn(|f| over(&|p| f64::from(p[f])));
        let deviation = std::array::from_fn(|f| over(&|p| (f64::from(p[f]) - mean[f]).powi(2)).sqrt() as f32);
        let mean = mean.map(|value| value as f32);
        let mut neighbours = Self::standing(mean, deviation.map(|d: f32| d.max(LEAST)), patches.len());
        for (i, patch) in patches.iter().enumerate() {
            let standard = neighbours.standardised(patch);
            for (plane, value) in neighbours.planes.chunks_exact_mut(neighbours.padded).zip(standard) {
                plane[i] = value;
            }
        }
        neighbours
    }

    fn standing(mean: Features, deviation: Features, count: usize) -> Self {
        let padded = count.div_ceil(LANES) * LANES;
        Self { mean, deviation, planes: vec![f32::INFINITY; FEATURES * padded], padded, count }
    }

    /// From standardised values, `[FEATURES, count]`; none where they are not that or not finite.
    pub(super) fn of_values(mean: Features, deviation: Features, values: &[f32]) -> Option<Self> {
        let count = values.len() / FEATURES;
        let finite = [&mean[..], &deviation, values].iter().all(|v| v.iter().all(|v| v.is_finite()));
        if count == 0
            || !values.len().is_multiple_of(FEATURES)
            || !finite
            || deviation.iter().any(|d| *d < LEAST)
        {
            return None;
        }
        let mut neighbours = Self::standing(mean, deviation, count);
        let planes = neighbours.planes.chunks_exact_mut(neighbours.padded);
        planes
            .zip(values.chunks_exact(count))
            .for_each(|(plane, values)| plane[..count].copy_from_slice(values));
        Some(neighbours)
    }

    /// The standardised values, `[FEATURES, count]`.
    pub(super) fn values(&self) -> Vec<f32> {
        self.planes.chunks_exact(self.padded).flat_map(|plane| &plane[..self.count]).copied().collect()
    }

    /// Patches remembered.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn standardised(&self, patch: &Features) -> Features {
        std::array::from_fn(|f| (patch[f] - self.mean[f]) / self.deviation[f])
    }

    /// The mean Euclidean distance of a patch to the `k` nearest, in deviations; of all where they are fewer.
    pub(super) fn distance(&self, patch: &Features, k: usize) -> f32 {
        let query = self.standardised(patch);
        let nearest = vectorised(Search { neighbours: self, query, k: k.min(self.count) });
        nearest.iter().map(|square| square.sqrt()).sum::<f32>() / nearest.len().max(1) as f32
    }
}

/// The squared distances of the nearest, ascending.
struct Search<'a> {
    neighbours: &'a Neighbours,
    query: Features,
    k: usize,
}

impl Vectorised for Search<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<f32> {
        let Self { neighbours: Neighbours { planes, padded, .. }, query, k } = self;
        let mut nearest = vec![f32::INFINITY; k];
        let Some(mut bound) = nearest.last().copied() else { return nearest };
        for first in (0..*padded).step_by(LANES) {
            let mut squares = [0.0f32; LANES];
            for (f, &wanted) in query.iter().enumerate() {
                let values = &planes[f * padded + first..][..LANES];
                for (square, &value) in squares.iter_mut().zip(values) {
                    let away = value - wanted;
                    *square = multiply_add::<FMA>(away, away, *square);
                }
            }
            let mut closer = 0u32;
            squares.iter().for_each(|square| closer += u32::from(*square < bound));
            if closer == 0 {
                continue;
            }
            for square in squares {
                if square < bound {
                    let place = nearest.partition_point(|&n| n <= square);
                    nearest[place..].rotate_right(1);
                    nearest[place] = square;
                    bound = nearest[k - 1];
                }
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_full_sort(
            patches in prop::collection::vec(prop::array::uniform6(0.0f32..9.0), 1..90),
            query in prop::array::uniform6(-3.0f32..12.0), k in 1usize..6,
        ) {
            let neighbours = Neighbours::new(&patches);
            let standard = neighbours.standardised(&query);
            let mut distances: Vec<f32> = patches.iter().map(|patch| {
                let patch = neighbours.standardised(patch);
                (0..FEATURES).map(|f| (patch[f] - standard[f]).powi(2)).sum::<f32>().sqrt()
            }).collect();
            distances.sort_unstable_by(f32::total_cmp);
            let k = k.min(patches.len());
            let wanted = distances[..k].iter().sum::<f32>() / k as f32;
            let got = neighbours.distance(&query, k);
            prop_assert!((got - wanted).abs() <= 1e-4 * wanted.max(1.0), "{} against {}", got, wanted);
            let again = Neighbours::of_values(neighbours.mean, neighbours.deviation, &neighbours.values());
            prop_assert_eq!(again, Some(neighbours));
        }
    }

    #[test]
    fn features_are_standardised() {
        let patches: Vec<Features> =
            (0..100).map(|i| [i as f32, 2.0 * i as f32, 5.0, 0.0, -1.0, 7.0]).collect();
        let neighbours = Neighbours::new(&patches);
        assert_eq!(neighbours.mean[..2], [49.5, 99.0]);
        assert!((neighbours.deviation[0] - 28.866_07).abs() < 1e-3);
        assert!(neighbours.distance(&[49.0, 98.0, 5.0, 0.0, -1.0, 7.0], 1) < 1e-6);
    }

    /// Each of 1000 is kept with the chance 1/10: 100 ± 9.5 of the first half, in a sample of 200 draws' mean.
    #[test]
    fn a_reservoir_is_a_uniform_sample() {
        let mut early = 0;
        for seed in 0..200 {
            let mut reservoir = Reservoir::new(ChaCha8Rng::seed_from_u64(seed), 100);
            (0..1000).for_each(|i| reservoir.push([i as f32; FEATURES]));
            assert_eq!(reservoir.kept.len(), 100);
            early += reservoir.kept.iter().filter(|patch| patch[0] < 500.0).count();
        }
        assert!((f64::from(early as u32) / 200.0 - 50.0).abs() < 1.5, "{early}");
    }
}
