//! Like events in groups, so that ten events shown are not ten times the same.

/// Events beyond these do not take part in estimating the typical distance.
const SAMPLE: usize = 200;

/// Groups vectors by nearness: the first leads group 1, and each next joins the group of the nearest leader within
/// `radius`, or leads a new one ("leader clustering", Hartigan 1975). With the events most unusual first, each group is
/// led by its most unusual event, and the result does not depend on anything but that order.
///
/// `features` are one vector each, `None` for an event that has none: it is its own group. Distances are Euclidean.
/// Returns group numbers from 1.
pub fn group_by_leader(features: &[Option<&[f32]>], radius: f64) -> Vec<u32> {
    let mut leaders: Vec<Option<&[f32]>> = Vec::new();
    let mut groups = Vec::with_capacity(features.len());
    for &feature in features {
        let nearest = leaders
            .iter()
            .enumerate()
            .map(|(i, &leader)| (i, distance(leader, feature)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|&(_, distance)| distance <= radius);
        let group = nearest.map_or(leaders.len(), |(i, _)| i);
        if group == leaders.len() {
            leaders.push(feature);
        }
        groups.push(group as u32 + 1);
    }
    groups
}

/// Median Euclidean distance of all pairs among the first 200 vectors; `None` for fewer than two.
pub fn typical_distance(features: &[Option<&[f32]>]) -> Option<f64> {
    let known: Vec<&[f32]> = features.iter().flatten().copied().take(SAMPLE).collect();
    let mut distances: Vec<f64> = known
        .iter()
        .enumerate()
        .flat_map(|(i, a)| known[..i].iter().map(move |b| distance(Some(a), Some(b))))
        .filter(|distance| distance.is_finite())
        .collect();
    let middle = distances.len() / 2;
    if distances.is_empty() {
        return None;
    }
    Some(*distances.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Infinite where either is missing, they differ in length, or hold NaN.
fn distance(a: Option<&[f32]>, b: Option<&[f32]>) -> f64 {
    let (Some(a), Some(b)) = (a, b) else { return f64::INFINITY };
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let squares: f64 = a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    if squares.is_nan() { f64::INFINITY } else { squares.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_vectors_share_a_group() {
        let [a, b, c, d] = [[0.0f32, 0.0], [10.0, 0.0], [0.5, 0.0], [10.0, 0.4]];
        let features: Vec<Option<&[f32]>> =
            vec![Some(&a), Some(&b), Some(&c), None, Some(&d), None, Some(&a[..1])];
        assert_eq!(group_by_leader(&features, 1.0), [1, 2, 1, 3, 2, 4, 5]);
        assert_eq!(group_by_leader(&features[..3], 0.0), [1, 2, 3]);
        assert_eq!(group_by_leader(&[], 1.0), Vec::<u32>::new());
    }

    #[test]
    fn the_typical_distance_is_the_median() {
        let points = [[0.0f32], [1.0], [3.0]];
        let features: Vec<Option<&[f32]>> = points.iter().map(|p| Some(&p[..])).collect();
        assert_eq!(typical_distance(&features), Some(2.0));
        assert_eq!(typical_distance(&features[..1]), None);
        let nan = [f32::NAN];
        assert_eq!(typical_distance(&[Some(&nan), Some(&nan)]), None);
    }
}
