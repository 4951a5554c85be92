//! Segments on our kernels against burn's own operations and finite differences.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::tensor::{Device, Distribution, Tensor};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_nn::segment::{Activation, Layer, LoadError, Plan, Segment};

use common::{difference, noise, values};

fn encoder(c: usize, h: usize, w: usize) -> Plan {
    let features = 64 * h.div_ceil(8) * w.div_ceil(8);
    Plan::new([c, h, w])
        .and_then(|p| p.layer("conv1", Layer::conv2d(c, 16, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("conv2", Layer::conv2d(16, 32, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("conv3", Layer::conv2d(32, 64, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("fc", Layer::linear(features, 256, Activation::None)))
        .unwrap()
}

fn segment(plan: &Plan, device: &Device, seed: u64) -> Segment {
    Segment::new(plan, device, &mut ChaCha8Rng::seed_from_u64(seed))
}

/// Output, input gradient and parameter gradient of a loss with all output gradients different.
fn gradients(plan: &Plan, batch: usize, forward: impl Fn(&Segment, Tensor<4>) -> Tensor<4>) -> [Vec<f32>; 3] {
    let device = Device::flex().autodiff();
    let segment = segment(plan, &device, 7);
    let [c, h, w] = plan.input();
    let x = noise([batch, c, h, w], &device).require_grad();
    let y = forward(&segment, x.clone());
    let loss = (y.clone() * noise(y.dims(), &device)).sum();
    let gradients = loss.backward();
    let weight = segment.weight.val().grad(&gradients).unwrap();
    [values(y), values(x.grad(&gradients).unwrap()), values(weight)]
}

#[test]
fn kernels_agree_with_burn_over_a_whole_autoencoder() {
    for (c, h, w) in [(1, 16, 24), (3, 17, 23)] {
        let sizes = |n: usize| [n, n.div_ceil(2), n.div_ceil(4), n.div_ceil(8)];
        let (hs, ws) = (sizes(h), sizes(w));
        let extra = |i: usize| [1 - hs[i] % 2, 1 - ws[i] % 2];
        let plan = encoder(c, h, w)
            .layer("d", Layer::linear(256, 64 * hs[3] * ws[3], Activation::Relu))
            .and_then(|p| p.layer("shape", Layer::Reshape { shape: [64, hs[3], ws[3]] }))
            .and_then(|p| p.layer("t1", Layer::conv_transpose2d(64, 32, 3, 2, extra(2), Activation::Relu)))
            .and_then(|p| p.layer("t2", Layer::conv_transpose2d(32, 16, 3, 2, extra(1), Activation::Tanh)))
            .and_then(|p| p.layer("t3", Layer::conv_transpose2d(16, c, 3, 2, extra(0), Activation::Sigmoid)))
            .unwrap();
        assert_eq!(plan.output(), [c, h, w]);
        let ours = gradients(&plan, 5, Segment::forward);
        let burns = gradients(&plan, 5, Segment::forward_reference);
        for (ours, burns) in ours.iter().zip(&burns) {
            let worst = difference(ours, burns);
            assert!(worst < 1e-4, "{c} channels: {worst}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kernels_agree_with_burn_on_single_layers(
        (cin, cout) in (prop::sample::select(vec![1usize, 3, 16, 20, 64]), prop::sample::select(vec![1usize, 3, 16, 20, 64])),
        (h, w) in (5..14usize, 5..20usize),
        (kernel, stride) in (prop::sample::select(vec![1usize, 3, 5]), 1..3usize),
        transposed in any::<bool>(),
    ) {
        let activation = Activation::LeakyRelu(0.2);
        let layer = match transposed {
            true => Layer::conv_transpose2d(cin, cout, kernel, stride, [stride - 1, 0], activation),
            false => Layer::conv2d(cin, cout, kernel, stride, activation),
        };
        let plan = Plan::new([cin, h, w]).unwrap().layer("l", layer).unwrap();
        let ours = gradients(&plan, 2, Segment::forward);
        let burns = gradients(&plan, 2, Segment::forward_reference);
        for (ours, burns) in ours.iter().zip(&burns) {
            prop_assert!(difference(ours, burns) < 1e-4);
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let plan = Plan::new([2, 5, 6])
        .and_then(|p| p.layer("a", Layer::conv2d(2, 5, 3, 2, Activation::Tanh)))
        .and_then(|p| p.layer("b", Layer::linear(45, 8, Activation::Sigmoid)))
        .and_then(|p| p.layer("s", Layer::Reshape { shape: [2, 2, 2] }))
        .and_then(|p| p.layer("c", Layer::conv_transpose2d(2, 3, 3, 2, [1, 1], Activation::Tanh)))
        .unwrap();
    let device = Device::flex();
    let [_, dx, dw] = gradients(&plan, 1, Segment::forward);
    let x = values(noise([1, 2, 5, 6], &device));
    let frozen = segment(&plan, &device, 7);
    let flat = values(frozen.weight.val());
    let loss = |x: &[f32], w: &[f32]| -> f64 {
        let network = vadis_kernels::Network::new(&plan);
        let y = network.freeze(w).unwrap().run(x, 1).unwrap();
        let dy = values(noise([1, 3, 4, 4], &device));
        y.iter().zip(dy).map(|(&y, g)| f64::from(y) * f64::from(g)).sum()
    };
    let derivative = |at: usize, of_x: bool| {
        let (step, mut ends) = (1e-2, [0.0; 2]);
        for (end, sign) in ends.iter_mut().zip([-1.0, 1.0]) {
            let (mut x, mut w) = (x.clone(), flat.clone());
            *(if of_x { &mut x[at] } else { &mut w[at] }) += sign * step;
            *end = loss(&x, &w);
        }
        (ends[1] - ends[0]) / f64::from(2.0 * step)
    };
    for (gradient, of_x) in [(&dx, true), (&dw, false)] {
        let scale = gradient.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (at, &g) in gradient.iter().enumerate() {
            let expected = derivative(at, of_x) as f32;
            assert!((g - expected).abs() < 2e-3 * scale, "{at}: {g} against {expected}");
        }
    }
}

#[test]
fn inference_without_burn_has_the_bits_of_training() {
    let plan = encoder(3, 17, 23);
    let device = Device::flex().autodiff();
    let segment = segment(&plan, &device, 3);
    let x = noise([70, 3, 17, 23], &device);
    let trained = values(segment.forward(x.clone()));
    let frozen = segment.freeze().unwrap().run(&values(x.clone()), 70).unwrap();
    assert_eq!(trained, frozen);
    let plain = values(segment.forward(x.inner()).inner());
    assert_eq!(trained, plain);
}

#[test]
fn a_segment_can_be_used_twice_in_a_graph_and_dropped_without_a_backward_pass() {
    let device = Device::flex().autodiff();
    let plan = Plan::new([4, 1, 1]).unwrap().layer("l", Layer::linear(4, 4, Activation::Tanh)).unwrap();
    let segment = segment(&plan, &device, 3);
    drop(segment.forward(noise([9, 4, 1, 1], &device)));
    let run = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let gradients = f(f(noise([3, 4, 1, 1], &device))).sum().backward();
        values(segment.weight.val().grad(&gradients).unwrap())
    };
    let ours = run(&|x| segment.forward(x));
    let burns = run(&|x| segment.forward_reference(x));
    assert!(difference(&ours, &burns) < 1e-5);
}

#[test]
fn named_parameters_survive_a_round_trip() {
    let device = Device::flex().autodiff();
    let plan = encoder(3, 17, 23);
    let a = segment(&plan, &device, 1);
    let b = segment(&plan, &device, 2).load_named(a.named_parameters()).unwrap();
    assert_eq!(a.named_parameters(), b.named_parameters());
    let x = Tensor::random([2, 3, 17, 23], Distribution::Uniform(0.0, 1.0), &device);
    let y = b.forward(x);
    assert_eq!(y.dims(), [2, 256, 1, 1]);
    let gradients = y.sum().backward();
    assert!(b.weight.val().grad(&gradients).is_some());
}

#[test]
fn loading_refuses_what_does_not_belong() {
    let device = Device::flex();
    let segment = segment(&encoder(1, 16, 16), &device, 1);
    let good = segment.named_parameters();
    let load = |change: &dyn Fn(&mut Vec<vadis_nn::segment::NamedTensor>)| {
        let mut parameters = good.clone();
        change(&mut parameters);
        segment.clone().load_named(parameters).unwrap_err()
    };
    let name = || good[0].name.clone();
    assert_eq!(load(&|p| drop(p.remove(0))), LoadError::Missing { name: name() });
    assert_eq!(load(&|p| p.push(p[0].clone())), LoadError::Duplicate { name: name() });
    assert_eq!(load(&|p| p[0].name = "x".into()), LoadError::Unknown { name: "x".into() });
    assert!(matches!(load(&|p| p[0].shape.reverse()), LoadError::Shape { .. }));
    assert!(matches!(load(&|p| p[0].values.clear()), LoadError::Shape { .. }));
}

#[test]
fn initial_values_are_uniform_in_pytorchs_bounds() {
    let plan = Plan::new([64, 4, 4])
        .and_then(|p| p.layer("t", Layer::conv_transpose2d(64, 32, 3, 2, [1, 1], Activation::Relu)))
        .unwrap();
    let flat = values(segment(&plan, &Device::flex(), 5).weight.val());
    // torch: fan in of a transposed convolution is out · kh · kw.
    let bound = 1.0 / (32.0f32 * 9.0).sqrt();
    let largest = flat.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(largest <= bound && largest > 0.999 * bound);
    let variance = flat.iter().map(|v| v * v).sum::<f32>() / flat.len() as f32;
    assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.02);
}
