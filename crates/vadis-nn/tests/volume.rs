//! Volume segments on our kernels against burn's own operations.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_kernels::volume::{Conv, Options, Plan, Scratch};
use vadis_nn::segment::{Activation, LoadError, NamedTensor, VolumeSegment};

use common::{difference, noise, values};

const EXACT: Options = Options { isa: None, exact: true, small_tiles: false };

/// Every operation that a plan can have.
fn plan() -> Plan {
    let leaky = Activation::LeakyRelu(0.2);
    Plan::new("clip", [3, 8, 11, 12])
        .and_then(|p| p.conv("a", "clip", Conv::new(3, 5, [5, 3, 3], [1, 2, 2]).norm("an").activation(leaky)))
        .and_then(|p| p.sample("slow", "clip", 4))
        .and_then(|p| {
            p.conv("b", "slow", Conv::new(3, 18, [1, 3, 3], [1, 2, 2]).norm("bn").activation(leaky))
        })
        .and_then(|p| p.conv("lateral", "a", Conv::new(5, 4, [5, 1, 1], [4, 1, 1])))
        .and_then(|p| p.concat("joined", &["b", "lateral"]))
        .and_then(|p| p.conv("c", "joined", Conv::new(22, 17, [3; 3], [1; 3]).activation(Activation::Relu)))
        .and_then(|p| p.max_pool("pool", "c", [2, 2, 2], [1, 2, 2]))
        .and_then(|p| p.upsample("up", "pool", [2, 2, 2]))
        .and_then(|p| {
            let conv = Conv::transposed(17, 6, [3; 3], [2; 3], [1, 0, 1]).without_bias().norm("dn");
            p.conv("d", "up", conv.activation(leaky))
        })
        .and_then(|p| p.conv("e", "d", Conv::new(6, 3, [3; 3], [1; 3]).activation(Activation::Tanh)))
        .unwrap()
}

fn segment(device: &Device, seed: u64) -> VolumeSegment {
    VolumeSegment::new(&plan(), EXACT, device, &mut ChaCha8Rng::seed_from_u64(seed))
}

type Forward = fn(&VolumeSegment, Tensor<5>) -> Tensor<5>;

/// Output, running statistics, and gradients of input and parameter, of a loss with all output
/// gradients different.
fn step(forward: Forward) -> [Vec<f32>; 4] {
    let device = Device::flex().autodiff();
    let segment = segment(&device, 7);
    let x = noise([2, 3, 8, 11, 12], &device).require_grad();
    let y = forward(&segment, x.clone());
    let gradients = (y.clone() * noise(y.dims(), &device)).sum().backward();
    let running = values(segment.running.value_sync());
    let weight = segment.weight.val().grad(&gradients).unwrap();
    [values(y), running, values(x.grad(&gradients).unwrap()), values(weight)]
}

#[test]
fn kernels_agree_with_burn_in_training() {
    let ours = step(VolumeSegment::forward);
    let burns = step(VolumeSegment::forward_reference);
    for (what, (ours, burns)) in
        ["output", "running", "input", "parameter"].iter().zip(ours.iter().zip(&burns))
    {
        let worst = difference(ours, burns);
        assert!(worst < 1e-4, "{what}: {worst}");
    }
}

#[test]
fn kernels_agree_with_burn_in_evaluation() {
    let device = Device::flex().autodiff();
    let segment = segment(&device, 7);
    (0..3).for_each(|_| drop(segment.forward(noise([2, 3, 8, 11, 12], &device))));
    let segment = segment.valid();
    let x = noise([2, 3, 8, 11, 12], &Device::flex());
    let before = segment.named_buffers();
    let y = values(segment.forward(x.clone()));
    assert!(difference(&y, &values(segment.forward_reference(x.clone()))) < 1e-4);
    assert_eq!(segment.named_buffers(), before, "evaluation leaves the running statistics alone");
    let frozen = segment.frozen().unwrap();
    assert_eq!(frozen.run(&values(x), 2, &mut Scratch::default()).unwrap(), [y]);
}

#[test]
fn parameters_and_running_statistics_survive_a_round_trip() {
    let device = Device::flex().autodiff();
    let first = segment(&device, 1);
    drop(first.forward(noise([2, 3, 8, 11, 12], &device)));
    let state = [first.named_parameters(), first.named_buffers()].concat();
    assert!(state.iter().any(|t| t.name == "dn.num_batches_tracked" && t.values == [1.0]));
    let second = segment(&device, 2).load_named(state.clone()).unwrap();
    assert_eq!([second.named_parameters(), second.named_buffers()].concat(), state);
    let x = noise([1, 3, 8, 11, 12], &Device::flex());
    assert_eq!(values(first.valid().forward(x.clone())), values(second.clone().valid().forward(x)));
    let y = second.forward(noise([1, 3, 8, 11, 12], &device));
    assert!(second.weight.val().grad(&y.sum().backward()).is_some(), "it still learns");
}

#[test]
fn loading_refuses_what_does_not_belong() {
    let segment = segment(&Device::flex(), 1);
    let state = [segment.named_parameters(), segment.named_buffers()].concat();
    let without = |name: &str| {
        let rest: Vec<NamedTensor> = state.iter().filter(|t| t.name != name).cloned().collect();
        segment.clone().load_named(rest)
    };
    assert!(without("an.num_batches_tracked").is_ok());
    let missing = LoadError::Missing { name: "an.running_var".into() };
    assert_eq!(without("an.running_var").unwrap_err(), missing);
}

#[test]
fn a_segment_can_be_dropped_without_a_backward_pass_and_used_twice_in_a_graph() {
    let device = Device::flex().autodiff();
    let plan = Plan::new("x", [2, 3, 5, 4])
        .and_then(|p| p.conv("a", "x", Conv::new(2, 2, [3; 3], [1; 3]).activation(Activation::Tanh)))
        .unwrap();
    let segment = VolumeSegment::new(&plan, EXACT, &device, &mut ChaCha8Rng::seed_from_u64(3));
    let x = || noise([2, 2, 3, 5, 4], &device);
    drop(segment.forward(x()));
    let twice = |f: Forward| {
        let gradients = f(&segment, f(&segment, x())).sum().backward();
        values(segment.weight.val().grad(&gradients).unwrap())
    };
    let worst = difference(&twice(VolumeSegment::forward), &twice(VolumeSegment::forward_reference));
    assert!(worst < 1e-4, "{worst}");
}
