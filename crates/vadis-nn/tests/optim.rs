//! Optimisers, clipping, averaged weights and schedules against PyTorch (`scripts/optim.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use vadis_nn::optim::{
    Adam, AveragedWeights, Optimiser, OptimiserState, Sgd, Step, WeightDecay, clip_factor, global_norm,
};
use vadis_nn::schedule::{Schedule, Span};
use vadis_nn::weights::WeightFile;

const COUNT: usize = 70;
const STEPS: usize = 12;
const RATE: f64 = 0.03;

fn fixture() -> WeightFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optim.safetensors");
    WeightFile::load(&path).unwrap()
}

fn noise(seed: u64) -> Vec<f32> {
    let value = |i: u64| ((i + seed) * 2_654_435_761 % (1 << 32)) as f64 / 2f64.powi(31) - 1.0;
    (0..COUNT as u64).map(|i| value(i) as f32).collect()
}

fn gradient(step: usize) -> Vec<f32> {
    let size = (step % 3) as f32 + 0.1;
    noise(1000 * (step as u64 + 1)).iter().map(|g| g * size).collect()
}

fn check(name: &str, got: &[f32]) {
    let file = fixture();
    let expected = file.values(name).unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, want) in got.iter().zip(expected) {
        assert!((got - want).abs() < 2e-6, "{name}: {got} against {want}");
    }
}

/// The steps `from..to` of the script's training.
fn train(
    optimiser: Optimiser,
    state: &mut OptimiserState,
    p: &mut [f32],
    steps: std::ops::Range<usize>,
    max_norm: Option<f64>,
) {
    for step in steps {
        let gradient = gradient(step);
        let gradient_scale = max_norm.map_or(1.0, |norm| clip_factor(&[&gradient], norm));
        let rate = RATE * 0.9f64.powi(step as i32);
        optimiser.update(state, p, &gradient, Step { rate, gradient_scale });
    }
}

#[test]
fn optimisers_do_what_pytorchs_do() {
    let sgd = |momentum, weight_decay| Optimiser::Sgd(Sgd { momentum, weight_decay });
    let decaying = Adam { beta1: 0.8, beta2: 0.99, epsilon: 1e-4, weight_decay: WeightDecay::Coupled(0.1) };
    for (name, optimiser, max_norm) in [
        ("adam", Optimiser::default(), None),
        ("adam_decay", Optimiser::Adam(decaying), None),
        ("adamw", Optimiser::Adam(Adam::decoupled(0.3)), None),
        ("sgd", sgd(0.0, 0.2), None),
        ("sgd_momentum", sgd(0.9, 1e-3), None),
        ("sgd_clipped", sgd(0.9, 0.0), Some(3.0)),
    ] {
        let (mut state, mut p) = (optimiser.state(COUNT), noise(0));
        train(optimiser, &mut state, &mut p, 0..STEPS, max_norm);
        assert_eq!(state.steps, STEPS as u64);
        check(name, &p);
    }
}

#[test]
fn a_stored_state_goes_on_as_if_nothing_had_been() {
    for optimiser in [Optimiser::default(), Optimiser::Sgd(Sgd { momentum: 0.9, weight_decay: 0.1 })] {
        let (mut state, mut p) = (optimiser.state(COUNT), noise(0));
        train(optimiser, &mut state, &mut p, 0..STEPS, None);
        let (mut first, mut q) = (optimiser.state(COUNT), noise(0));
        train(optimiser, &mut first, &mut q, 0..5, None);
        let mut second =
            OptimiserState { steps: first.steps, first: first.first.clone(), second: first.second.clone() };
        train(optimiser, &mut second, &mut q, 5..STEPS, None);
        assert_eq!((state, p), (second, q));
    }
}

#[test]
fn long_vectors_are_updated_the_same_whatever_the_threads() {
    let len = 100_003;
    let values: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let optimiser = Optimiser::Adam(Adam::decoupled(0.01));
            let (mut state, mut p) = (optimiser.state(len), values.clone());
            optimiser.update(&mut state, &mut p, &values, Step::of(1e-3));
            (state, p, global_norm(&[&values, &values[..50]]).to_bits())
        })
    };
    assert_eq!(run(1), run(3));
    // Each element alone gives what it gives among the others.
    let (_, p, _) = run(2);
    for i in [0, 1, 15, 16, 32_767, 32_768, len - 1] {
        let optimiser = Optimiser::Adam(Adam::decoupled(0.01));
        let mut one = [values[i]];
        optimiser.update(&mut optimiser.state(1), &mut one, &values[i..=i], Step::of(1e-3));
        assert!((one[0] - p[i]).abs() <= 1e-7, "{i}");
    }
}

#[test]
fn norms_are_euclidean_and_small_gradients_are_not_scaled() {
    let (a, b) = ([3.0f32, 0.0], vec![4.0f32 / 50.0; 2500]);
    assert!((global_norm(&[&a, &b]) - 5.0).abs() < 1e-6);
    assert!((clip_factor(&[&a, &b], 1.0) - 0.2).abs() < 1e-6);
    assert_eq!(clip_factor(&[&a, &b], 10.0), 1.0);
    assert!(clip_factor(&[&[f32::NAN]], 1.0).is_nan());
    assert_eq!(global_norm(&[]), 0.0);
}

#[test]
fn averaged_weights_are_those_of_pytorch() {
    let mut average = AveragedWeights::new(0.9);
    (0..STEPS as u64).for_each(|step| average.update(&noise(500 * step)));
    check("average", &average.values);
}

#[test]
fn schedules_are_those_of_pytorch() {
    let span = Span { steps: 60, steps_per_epoch: 3 };
    for text in [
        "constant",
        "cosine",
        "cosine(0.001)",
        "step(0.95, 10)",
        "exponential(0.9)",
        "warmup(5) + cosine(0.001)",
    ] {
        let rates = text.parse::<Schedule>().unwrap().rates(RATE, span);
        let got: Vec<f32> = (0..=60).map(|step| rates.rate(step) as f32).collect();
        check(text, &got);
    }
}
