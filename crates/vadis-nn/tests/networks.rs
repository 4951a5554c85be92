//! Networks against their PyTorch twins: `scripts/networks.py` made the fixtures, in double precision.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_nn::segment::{Activation, Layer, Plan, Segment};

use common::{Fixture, difference, values};

/// MLE's autoencoder, with a loss that reaches the latents and the output.
#[test]
fn mle_agrees_with_pytorch() {
    let fixture = Fixture::read("mle");
    let relu = Activation::Relu;
    let encoder = Plan::new([3, 9, 14])
        .and_then(|p| p.layer("conv1", Layer::conv2d(3, 8, 3, 2, relu)))
        .and_then(|p| p.layer("conv2", Layer::conv2d(8, 16, 3, 2, relu)))
        .and_then(|p| p.layer("conv3", Layer::conv2d(16, 32, 3, 2, relu)))
        .and_then(|p| p.layer("fc", Layer::linear(32 * 2 * 2, 12, Activation::None)))
        .unwrap();
    let decoder = Plan::new([12, 1, 1])
        .and_then(|p| p.layer("fc", Layer::linear(12, 32 * 2 * 2, relu)))
        .and_then(|p| p.layer("shape", Layer::Reshape { shape: [32, 2, 2] }))
        .and_then(|p| p.layer("deconv1", Layer::conv_transpose2d(32, 16, 3, 2, [0, 1], relu)))
        .and_then(|p| p.layer("deconv2", Layer::conv_transpose2d(16, 8, 3, 2, [0, 0], relu)))
        .and_then(|p| p.layer("deconv3", Layer::conv_transpose2d(8, 3, 3, 2, [0, 1], Activation::Sigmoid)))
        .unwrap();
    let device = Device::flex().autodiff();
    let segment = |plan: &Plan, prefix: &str| {
        let new = Segment::new(plan, &device, &mut ChaCha8Rng::seed_from_u64(0));
        new.load_named(fixture.part(prefix)).unwrap()
    };
    let parts = [("encoder", segment(&encoder, "encoder")), ("decoder", segment(&decoder, "decoder"))];
    for forward in [Segment::forward, Segment::forward_reference] {
        let x: Tensor<4> = fixture.tensor("x", &device).require_grad();
        let z = forward(&parts[0].1, x.clone());
        let y = forward(&parts[1].1, z.clone());
        assert!(difference(&values(z.clone()), fixture.values("z")) < 1e-5);
        assert!(difference(&values(y.clone()), fixture.values("y")) < 1e-5);
        let target = x.clone().detach().neg().add_scalar(1.0);
        let line = (0..48).map(|i| -1.0 + 2.0 * i as f32 / 47.0).collect();
        let line = Tensor::<4>::from_data(TensorData::new(line, [4, 12, 1, 1]), &device);
        let loss = (y - target).square().mean() + (line * z).sum().mul_scalar(0.01);
        assert!(difference(&values(loss.clone()), fixture.values("loss")) < 1e-5);
        let gradients = loss.backward();
        let dx = values(x.grad(&gradients).unwrap());
        assert!(difference(&dx, fixture.values("grad.x")) < 1e-4);
        for (prefix, segment) in &parts {
            let flat = values(segment.weight.val().grad(&gradients).unwrap());
            for (name, _, place) in segment.plan().views() {
                let worst = difference(&flat[place], fixture.values(&format!("grad.{prefix}.{name}")));
                assert!(worst < 1e-4, "{prefix}.{name}: {worst}");
            }
        }
    }
}
