//! Smoothing against SciPy and pandas (`tests/scripts/smoothing.py`).
#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use std::collections::BTreeMap;

use vadis_eval::smooth::Smoothing;

#[derive(serde::Deserialize)]
struct Fixture {
    scores: Vec<f64>,
    median_9_interior: Vec<f64>,
    expected: BTreeMap<String, Vec<f64>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/smoothing.json")).unwrap()
}

fn assert_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!((a - b).abs() < 1e-12, "{what}, frame {i}: {a} instead of {b}");
    }
}

#[test]
fn filters_agree_with_pandas_and_scipy() {
    let Fixture { scores, expected, .. } = fixture();
    for (name, want) in expected {
        let smoothing: Smoothing = name.parse().unwrap();
        assert_close(&smoothing.apply(&scores), &want, &name);
    }
}

#[test]
fn the_median_is_scipys_away_from_the_edges() {
    let Fixture { scores, median_9_interior, .. } = fixture();
    let got = Smoothing::Median(9).apply(&scores);
    assert_close(&got[4..got.len() - 4], &median_9_interior, "median:9");
}

#[test]
fn streams_give_the_same_bits_as_the_batch() {
    let Fixture { scores, .. } = fixture();
    for name in ["none", "causal_median:7", "ema:8"] {
        let smoothing: Smoothing = name.parse().unwrap();
        let mut stream = smoothing.stream().unwrap();
        let streamed: Vec<u64> = scores.iter().map(|&x| stream.push(x).to_bits()).collect();
        let batch: Vec<u64> = smoothing.apply(&scores).into_iter().map(f64::to_bits).collect();
        assert_eq!(streamed, batch, "{name}");
    }
    assert!("median:7".parse::<Smoothing>().unwrap().stream().is_none());
}
