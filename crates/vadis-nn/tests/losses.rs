//! The losses against PyTorch and PyPI's `pytorch-msssim` (`scripts/losses.py`), value and gradient.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use vadis_nn::NnError;
use vadis_nn::loss::{Bandwidth, FrameLoss, RenyiEntropy, gradient_loss, ms_ssim_loss, mse, weighted_mse};
use vadis_nn::tensor_values;
use vadis_nn::weights::WeightFile;

/// Every so many elements of a gradient are in the fixture.
const STRIDE: usize = 7;

const FIVE: [usize; 5] = [1, 1, 2, 163, 170];
const THREE: [usize; 5] = [1, 2, 2, 45, 52];
const ONE: [usize; 5] = [2, 1, 1, 11, 13];

fn fixture() -> WeightFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/losses.safetensors");
    WeightFile::load(&path).unwrap()
}

fn noise(index: usize, seed: u64) -> f64 {
    ((index as u64 + seed) * 2_654_435_761 % (1 << 32)) as f64 / 2f64.powi(31) - 1.0
}

/// Prediction, target and weights, as the script makes them.
fn frames(shape: [usize; 5]) -> [Vec<f32>; 3] {
    let width = shape[4];
    let ramp = |i: usize| ((i / width * 3 + i % width * 5) & 63) as f64 / 32.0 - 1.0;
    let all = 0..shape.iter().product::<usize>();
    [
        all.clone().map(|i| (0.7 * ramp(i) + 0.3 * noise(i, 0)) as f32).collect(),
        all.clone().map(|i| (0.6 * ramp(i) + 0.4 * noise(i, 1000)) as f32).collect(),
        all.map(|i| (noise(i, 77) * 0.5 + 0.5) as f32).collect(),
    ]
}

fn tensors<const D: usize>(shape: [usize; D], values: [Vec<f32>; 3]) -> [Tensor<D>; 3] {
    let device = Device::flex().autodiff();
    let [x, target, weight] =
        values.map(|values| Tensor::<D>::from_data(TensorData::new(values, shape), &device));
    [x.require_grad(), target, weight]
}

/// Compares with the fixture: the loss to 1e-5 of itself, the gradient to 1e-4 of its largest element.
fn check<const D: usize>(name: &str, x: &Tensor<D>, loss: &Tensor<1>) {
    let file = fixture();
    let gradient = tensor_values(x.grad(&loss.backward()).unwrap()).unwrap();
    let (value, expected) = (loss.clone().into_scalar::<f32>(), file.values(name).unwrap()[0]);
    assert!((value - expected).abs() <= 1e-5 * expected, "{name}: {value} against {expected}");
    let expected = file.values(&format!("{name}.gradient")).unwrap();
    let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    let worst = gradient
        .iter()
        .step_by(STRIDE)
        .zip(expected)
        .fold(0f32, |worst, (got, want)| worst.max((got - want).abs()));
    assert_eq!(gradient.iter().step_by(STRIDE).count(), expected.len());
    assert!(worst <= 1e-4 * largest, "{name}: a gradient is off by {worst} where the largest is {largest}");
}

#[test]
fn ms_ssim_is_that_of_pytorch_msssim_at_five_three_and_one_scale() {
    for (name, shape, range) in [("five", FIVE, 2.0), ("three", THREE, 1.0), ("one", ONE, 2.0)] {
        let [x, target, _] = tensors(shape, frames(shape));
        check(&format!("{name}.ms_ssim"), &x, &ms_ssim_loss(x.clone(), target, range).unwrap());
    }
}

#[test]
fn squared_errors_and_the_gradient_loss_are_those_of_pytorch() {
    let [x, target, weight] = tensors(THREE, frames(THREE));
    check("three.mse", &x, &mse(x.clone(), target.clone()).unwrap());
    check("three.weighted_mse", &x, &weighted_mse(x.clone(), target.clone(), weight).unwrap());
    check("three.gradient_loss", &x, &gradient_loss(x.clone(), target).unwrap());
}

#[test]
fn the_weighted_sum_is_that_of_pytorch() {
    let [x, target, _] = tensors(THREE, frames(THREE));
    let loss = FrameLoss { squared: 0.5, ms_ssim: 2.0, gradient: 3.0, range: 1.0 };
    let terms = loss.forward(x.clone(), target).unwrap();
    check("three.sum", &x, &terms.loss);
    let file = fixture();
    for (name, got) in [("mse", terms.squared), ("ms_ssim", terms.ms_ssim), ("gradient_loss", terms.gradient)]
    {
        let expected = f64::from(file.values(&format!("three.{name}")).unwrap()[0]);
        assert!((got - expected).abs() < 1e-5 * expected, "{name}: {got} against {expected}");
    }
}

#[test]
fn renyi_entropy_is_that_of_pytorch_under_every_bandwidth_rule() {
    let rules = [("median", Bandwidth::Median), ("mean", Bandwidth::Mean), ("fixed", Bandwidth::Fixed(1.5))];
    for (name, rule) in rules {
        let [z, _, _] = frames([1, 1, 1, 48, 40]);
        let [z, _, _] = tensors([48, 40], [z.clone(), z.clone(), z]);
        let terms = RenyiEntropy::new(rule).forward(z.clone()).unwrap();
        check(&format!("renyi.{name}"), &z, &terms.loss);
    }
}

#[test]
fn the_gradient_of_a_scaled_loss_is_scaled_and_plain_tensors_have_the_same_value() {
    let gradient = |factor: f32| {
        let [x, target, _] = tensors(THREE, frames(THREE));
        let loss = FrameLoss::default().forward(x.clone(), target).unwrap().loss.mul_scalar(factor);
        tensor_values(x.grad(&loss.backward()).unwrap()).unwrap()
    };
    let (one, three) = (gradient(1.0), gradient(3.0));
    assert!(one.iter().zip(&three).all(|(a, b)| (3.0 * a - b).abs() <= 1e-6 * b.abs()));
    let [x, target, _] = tensors(THREE, frames(THREE));
    let tracked = FrameLoss::default().forward(x.clone(), target.clone()).unwrap().loss;
    let plain = FrameLoss::default().forward(x.inner(), target.inner()).unwrap().loss;
    assert_eq!(tracked.into_scalar::<f32>(), plain.into_scalar::<f32>());
}

#[test]
fn a_target_that_wants_a_gradient_gets_it() {
    let [x, target, _] = tensors(THREE, frames(THREE));
    let target = target.require_grad();
    let loss = mse(x.clone(), target.clone()).unwrap();
    let gradients = loss.backward();
    let [dx, dt] = [&x, &target].map(|t| tensor_values(t.grad(&gradients).unwrap()).unwrap());
    assert!(dx.iter().zip(&dt).all(|(a, b)| (a + b).abs() < 1e-9));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let [x, target, weight] = tensors(FIVE, frames(FIVE));
            let frame = FrameLoss::default().forward(x.clone(), target.clone()).unwrap().loss;
            let loss = frame + weighted_mse(x.clone(), target, weight).unwrap();
            let gradient = tensor_values(x.grad(&loss.backward()).unwrap()).unwrap();
            (loss.into_scalar::<f32>(), gradient)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn misfits_are_told_by_axis() {
    let frame = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &Device::flex());
    let error = mse(frame([2, 3, 20, 30]), frame([2, 3, 21, 30])).unwrap_err();
    assert!(matches!(error, NnError::Shape { what: "target", axis: 2, expected: 20, got: 21 }));
    let error = ms_ssim_loss(frame([1, 1, 10, 30]), frame([1, 1, 10, 30]), 2.0).unwrap_err();
    assert!(matches!(error, NnError::FrameTooSmall { height: 10, width: 30, needed: 11 }));
    let error = ms_ssim_loss(frame([1, 1, 20, 30]), frame([1, 1, 20, 30]), 0.0).unwrap_err();
    assert!(matches!(error, NnError::Setting { key: "range", .. }));
    let row = Tensor::<1>::zeros([5], &Device::flex());
    assert!(matches!(gradient_loss(row.clone(), row), Err(NnError::Rank { .. })));
    let pixel = frame([1, 1, 1, 1]);
    assert_eq!(gradient_loss(pixel.clone(), pixel).unwrap().into_scalar::<f32>(), 0.0);
}
