//! How far a count of rare events pins down their rate.

/// Share of the probability that each end of a 95 % interval leaves out.
const TAIL: f64 = 0.025;
/// Halvings of the bracket: it is at most some thousands wide, so that the last one is below an `f64`'s resolution.
const HALVINGS: usize = 80;

/// The exact 95 % interval of a Poisson variable's mean where `count` events were seen (Garwood, Biometrika 28, 1936).
///
/// The lower end is the mean at which `count` or more have a probability of 2.5 %, 0 for no event; the upper end that at
/// which `count` or fewer have it. Equal to `χ²(.025; 2n) / 2` and `χ²(.975; 2n + 2) / 2`. It takes events to come
/// independently of each other; where they come in bursts, it is too narrow.
pub fn garwood(count: u64) -> (f64, f64) {
    let low = count.checked_sub(1).map_or(0.0, |fewer| mean_where(fewer, 1.0 - TAIL));
    (low, mean_where(count, TAIL))
}

/// The mean at which `count` events or fewer have this probability.
fn mean_where(count: u64, probability: f64) -> f64 {
    let n = count as f64;
    let log_factorial: f64 = (2..=count).map(|k| (k as f64).ln()).sum();
    let reach = 20.0 + 10.0 * (n + 1.0).sqrt();
    let (mut low, mut high) = ((n - reach).max(0.0), n + reach);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if at_most(count, middle, log_factorial) > probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// P(X ≤ `count`) at `mean` above 0, summed from the last term down.
fn at_most(count: u64, mean: f64, log_factorial: f64) -> f64 {
    let mut term = (count as f64 * mean.ln() - mean - log_factorial).exp();
    let mut sum = term;
    for k in (1..=count).rev() {
        term *= k as f64 / mean;
        sum += term;
        if (k as f64) < mean && term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `chi2.ppf(.025, 2 * n) / 2` and `chi2.ppf(.975, 2 * n + 2) / 2` of scipy 1.
    const SCIPY: [(u64, f64, f64); 9] = [
        (0, 0.0, 3.688_879_454_113_935_4),
        (1, 0.025_317_807_984_289_876, 5.571_643_390_938_898),
        (2, 0.242_209_278_543_964_96, 7.224_687_667_723_96),
        (5, 1.623_486_390_118_420_7, 11.668_332_079_322_67),
        (10, 4.795_388_696_132_433_5, 18.390_356_042_017_78),
        (30, 20.240_874_021_420_915, 42.826_865_394_807_66),
        (100, 81.363_991_250_923_14, 121.626_793_792_426_38),
        (1000, 938.973_018_407_695_2, 1_063.952_136_016_302),
        (100_000, 99_381.152_663_744_72, 100_621.744_739_743_88),
    ];

    #[test]
    fn intervals_are_scipys() {
        for (count, low, high) in SCIPY {
            let found = garwood(count);
            for (ours, theirs) in [(found.0, low), (found.1, high)] {
                assert!((ours - theirs).abs() <= 1e-8 * theirs.max(1.0), "{count}: {ours}, not {theirs}");
            }
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_the_count_and_rises_with_it(count in 0u64..2000) {
            let (low, high) = garwood(count);
            let (next_low, next_high) = garwood(count + 1);
            prop_assert!(low <= count as f64 && (count as f64) < high);
            prop_assert!(low < next_low && high < next_high);
        }
    }
}
