//! Segments against burn's own operations, PyTorch and finite differences.

use burn::tensor::{Device, Distribution, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_kernels::Activation;
use vadis_nn::segment::{Layer, LoadError, Plan, Segment};

fn encoder(c: usize, h: usize, w: usize) -> Plan {
    let features = 64 * h.div_ceil(8) * w.div_ceil(8);
    Plan::new([c, h, w])
        .and_then(|p| p.layer("conv1", Layer::conv2d(c, 16, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("conv2", Layer::conv2d(16, 32, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("conv3", Layer::conv2d(32, 64, 3, 2, Activation::Relu)))
        .and_then(|p| p.layer("fc", Layer::linear(features, 256, Activation::None)))
        .unwrap()
}

#[test]
fn named_parameters_survive_a_round_trip() {
    let device = Device::flex().autodiff();
    let plan = encoder(3, 17, 23);
    let a = Segment::new(&plan, &device, &mut ChaCha8Rng::seed_from_u64(1));
    let b = Segment::new(&plan, &device, &mut ChaCha8Rng::seed_from_u64(2));
    let b = b.load_named(a.named_parameters()).unwrap();
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
    let segment = Segment::new(&encoder(1, 16, 16), &device, &mut ChaCha8Rng::seed_from_u64(1));
    let mut parameters = segment.named_parameters();
    let last = parameters.pop().unwrap();
    let error = segment.clone().load_named(parameters).unwrap_err();
    assert_eq!(error, LoadError::Missing { name: last.name });
}
