//! How many of some further blocks exceed a threshold that earlier blocks set, if all of them are exchangeable.

/// The probability that at least `exceeding` of `further` blocks exceed the `rank`-th largest (from 1) of `blocks` earlier
/// ones: the share that exceeds it is not `rank / (blocks + 1)` but spread around it, Beta(rank, blocks + 1 − rank), as the
/// threshold itself was drawn; the count is beta-binomial.
pub fn at_least(exceeding: u64, further: u64, rank: u64, blocks: u64) -> f64 {
    if exceeding == 0 {
        return 1.0;
    }
    if exceeding > further || rank == 0 || rank > blocks {
        return 0.0;
    }
    let (k, rest) = (rank, blocks + 1 - rank);
    let longest = usize::try_from(further + blocks + 1).unwrap_or(usize::MAX);
    let factorials = log_factorials(longest);
    let log = |n: u64| factorials[usize::try_from(n).unwrap_or(0)];
    // Beta(a, b) of whole numbers is (a − 1)! (b − 1)! / (a + b − 1)!.
    let beta = |a: u64, b: u64| log(a - 1) + log(b - 1) - log(a + b - 1);
    let term = |x: u64| {
        let ways = log(further) - log(x) - log(further - x);
        (ways + beta(x + k, further - x + rest) - beta(k, rest)).exp()
    };
    (exceeding..=further).map(term).sum::<f64>().min(1.0)
}

/// ln 0! to ln n!.
fn log_factorials(n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    std::iter::once(0.0)
        .chain((1..=n).map(|i| {
            sum += (i as f64).ln();
            sum
        }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAILS: [(u64, u64, u64, u64, f64); 5] = [
        (1, 60, 1, 59, 0.504201680672),
        (39, 720, 24, 719, 0.0256702499117),
        (25, 720, 24, 719, 0.443679898101),
        (5, 12, 2, 30, 0.00470549122667),
        (300, 720, 24, 719, 1.99396055223e-13),
    ];

    /// SciPy: `betabinom.sf(exceeding - 1, further, rank, blocks + 1 - rank)`.
    #[test]
    fn tails_are_scipys() {
        for (exceeding, further, rank, blocks, expected) in TAILS {
            let got = at_least(exceeding, further, rank, blocks);
            assert!((got - expected).abs() < 1e-9, "{exceeding} of {further}: {got}, not {expected}");
        }
    }

    #[test]
    fn ends_are_sure() {
        assert_eq!(at_least(0, 60, 1, 59), 1.0);
        assert_eq!((at_least(61, 60, 1, 59), at_least(1, 60, 0, 59)), (0.0, 0.0));
        // One further block exceeds the k-th largest of n with probability k / (n + 1).
        assert!((at_least(1, 1, 3, 59) - 3.0 / 60.0).abs() < 1e-12);
    }
}
