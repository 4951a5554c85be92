//! Networks against their PyTorch twins: `scripts/networks.py` made the fixtures, in double precision.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_kernels::volume::Scratch;
use vadis_nn::NnError;
use vadis_nn::networks::{
    Ae3d, Ae3dConfig, Arithmetic, Cae, CaeConfig, Itae, ItaeConfig, MemAe, MemAeConfig,
    PatchDiscriminatorConfig, Sliding,
};
use vadis_nn::segment::{
    Activation, Layer, LoadError, NamedTensor, Plan, Segment, StateDict, VolumeSegment, by_part, under,
};

use common::{Fixture, assert_saves_as_pytorch, difference, values};

/// Encoder and decoder of MLE's autoencoder, as `vadis-systems` has them.
struct Mle([Segment; 2]);

impl StateDict for Mle {
    fn state_dict(&self) -> Vec<NamedTensor> {
        [under("encoder", &self.0[0]), under("decoder", &self.0[1])].concat()
    }

    fn load_state_dict(self, state: Vec<NamedTensor>) -> Result<Self, LoadError> {
        let [encoder, decoder] = by_part(["encoder", "decoder"], state)?;
        let [first, second] = self.0;
        Ok(Self([first.load_named(encoder)?, second.load_named(decoder)?]))
    }
}

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
    let device = common::device().autodiff();
    let parts = [&encoder, &decoder].map(|plan| Segment::new(plan, &device, &mut rng()));
    let network = Mle(parts).load_state_dict(fixture.state.clone()).unwrap();
    let [encoder, decoder] = &network.0;
    for forward in [Segment::forward, Segment::forward_reference] {
        let x: Tensor<4> = fixture.tensor("x", &device).require_grad();
        let z = forward(encoder, x.clone());
        let y = forward(decoder, z.clone());
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
        for (prefix, segment) in [("encoder", encoder), ("decoder", decoder)] {
            let flat = values(segment.weight.val().grad(&gradients).unwrap());
            for (name, _, place) in segment.plan().views() {
                let worst = difference(&flat[place], fixture.values(&format!("grad.{prefix}.{name}")));
                assert!(worst < 1e-4, "{prefix}.{name}: {worst}");
            }
        }
    }
    assert_saves_as_pytorch("mle", network);
}

/// A network as the fixtures know it.
trait Twin: Module + StateDict {
    /// Output, and the entropy term of a memory.
    fn run(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>);

    /// Its segments and their names.
    fn segments(&self) -> Vec<(&'static str, &VolumeSegment)>;

    /// The memory's items.
    fn items(&self) -> Option<Tensor<2>> {
        None
    }

    /// The output of the network without burn.
    fn infer(&self, x: &[f32], batch: usize) -> Vec<f32>;

    /// The same in bytes, calibrated over the input, where the network has it.
    fn infer_int8(&self, _x: &[f32], _batch: usize) -> Option<Vec<f32>> {
        None
    }
}

impl Twin for Ae3d {
    fn run(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>) {
        (self.forward(x), None)
    }

    fn segments(&self) -> Vec<(&'static str, &VolumeSegment)> {
        vec![("encoder.", &self.encoder), ("decoder.", &self.decoder)]
    }

    fn infer(&self, x: &[f32], batch: usize) -> Vec<f32> {
        self.frozen().unwrap().run(x, batch, &mut Default::default()).unwrap()
    }

    fn infer_int8(&self, x: &[f32], batch: usize) -> Option<Vec<f32>> {
        Some(self.frozen_int8(x).unwrap().run(x, batch, &mut Default::default()).unwrap())
    }
}

impl Twin for MemAe {
    fn run(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>) {
        let output = self.forward(x);
        (output.reconstruction, Some(output.entropy))
    }

    fn segments(&self) -> Vec<(&'static str, &VolumeSegment)> {
        vec![("encoder.", &self.encoder), ("decoder.", &self.decoder)]
    }

    fn items(&self) -> Option<Tensor<2>> {
        Some(self.memory.weight.val())
    }

    fn infer(&self, x: &[f32], batch: usize) -> Vec<f32> {
        self.frozen().unwrap().run(x, batch, &mut Default::default()).unwrap()
    }
}

impl Twin for Itae {
    fn run(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>) {
        (self.forward(x), None)
    }

    fn segments(&self) -> Vec<(&'static str, &VolumeSegment)> {
        vec![("", &self.network)]
    }

    fn infer(&self, x: &[f32], batch: usize) -> Vec<f32> {
        self.frozen().unwrap().run(x, batch, &mut Default::default()).unwrap()
    }

    fn infer_int8(&self, x: &[f32], batch: usize) -> Option<Vec<f32>> {
        Some(self.frozen_int8(x).unwrap().run(x, batch, &mut Default::default()).unwrap())
    }
}

impl Twin for Cae {
    fn run(&self, x: Tensor<5>) -> (Tensor<5>, Option<Tensor<1>>) {
        let [batch, c, _, h, w] = x.dims();
        (self.forward(x.reshape([batch, c, h, w])).reshape([batch, c, 1, h, w]), None)
    }

    fn segments(&self) -> Vec<(&'static str, &VolumeSegment)> {
        vec![("encoder.", &self.encoder), ("decoder.", &self.decoder)]
    }

    fn infer(&self, x: &[f32], batch: usize) -> Vec<f32> {
        self.frozen().unwrap().run(x, batch, &mut Default::default()).unwrap()
    }

    fn infer_int8(&self, x: &[f32], batch: usize) -> Option<Vec<f32>> {
        Some(self.frozen_int8(x).unwrap().run(x, batch, &mut Default::default()).unwrap())
    }
}

/// Loads the twin's weights, does its step and its inference, and compares everything.
fn check<N: Twin>(name: &str, new: impl Fn(Arithmetic, &Device) -> N) {
    let device = common::device().autodiff();
    for (arithmetic, tolerance) in
        [(Arithmetic::Exact, 1e-4), (Arithmetic::Careful, 1e-4), (Arithmetic::Fast, 1e-3)]
    {
        let fixture = Fixture::read(name);
        let network = new(arithmetic, &device).load_state_dict(fixture.state.clone()).unwrap();
        let agree = |what: &str, ours: &[f32], least: f32| {
            let expected = fixture.values(what);
            assert_eq!(ours.len(), expected.len(), "{name} {what}");
            let scale = expected.iter().fold(least, |m, v| m.max(v.abs()));
            let worst = ours.iter().zip(expected).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
            assert!(worst < tolerance, "{name}, {arithmetic:?}, {what}: {worst}");
        };
        let x = fixture.clips("x", &device).require_grad();
        let (y, entropy) = network.run(x.clone());
        agree("y", &values(y.clone()), 0.0);
        let mut loss = (y - x.clone().detach().neg().add_scalar(1.0)).square().mean();
        if let Some(entropy) = entropy {
            agree("entropy", &values(entropy.clone()), 0.0);
            loss = loss + entropy.mul_scalar(0.05);
        }
        agree("loss", &values(loss.clone()), 0.0);
        let gradients = loss.backward();
        agree("grad.x", &values(x.grad(&gradients).unwrap()), 0.0);
        if let Some(items) = network.items() {
            agree("grad.memory.weight", &values(items.grad(&gradients).unwrap()), 0.0);
        }
        for (prefix, segment) in network.segments() {
            let flat = values(segment.weight.val().grad(&gradients).unwrap());
            let largest = flat.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for view in segment.plan().parameters() {
                // The bias before a norm has a gradient of 0: what is left is rounding.
                let gradient = &flat[view.range.clone()];
                agree(&format!("grad.{prefix}{}", view.name), gradient, 1e-2 * largest);
            }
            for NamedTensor { name, values, .. } in segment.named_buffers() {
                agree(&format!("after.{prefix}{name}"), &values, 0.0);
            }
        }
        let x = fixture.clips("x", &common::device());
        let (clips, valid) = (values(x.clone()), network.clone().valid());
        agree("inference", &values(valid.run(x).0), 0.0);
        let whole = network.infer(&clips, 2);
        agree("inference", &whole, 0.0);
        if let Some(bytes) = network.infer_int8(&clips, 2) {
            let worst = difference(&bytes, &whole);
            assert!(worst < 0.15, "{name}, in bytes: {worst}");
        }
        let (first, second) = clips.split_at(clips.len() / 2);
        assert_eq!(whole, [network.infer(first, 1), network.infer(second, 1)].concat(), "{name}, by clip");
        assert_saves_as_pytorch(
            name,
            new(arithmetic, &device).load_state_dict(fixture.state.clone()).unwrap(),
        );
    }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

#[test]
fn ae3d_agrees_with_pytorch() {
    check("ae3d", |arithmetic, device| {
        let config = Ae3dConfig { width: 1.0 / 12.0, arithmetic, ..Ae3dConfig::new(3, [8, 17, 22]) };
        config.init(device, &mut rng()).unwrap()
    });
}

#[test]
fn memae_agrees_with_pytorch() {
    check("memae", |arithmetic, device| {
        let network = Ae3dConfig { width: 1.0 / 16.0, arithmetic, ..Ae3dConfig::new(1, [8, 17, 22]) };
        let config = MemAeConfig { network, slots: 50, shrink: 0.02, entropy_weight: 0.05 };
        config.init(device, &mut rng()).unwrap()
    });
}

#[test]
fn itae_agrees_with_pytorch() {
    check("itae", |arithmetic, device| {
        let config = ItaeConfig { width: 1.0 / 16.0, arithmetic, ..ItaeConfig::new(3, [8, 12, 16]) };
        config.init(device, &mut rng()).unwrap()
    });
    check("one_path", |arithmetic, device| {
        let config = ItaeConfig { width: 1.0 / 16.0, arithmetic, ..ItaeConfig::one_path(1, [8, 12, 16]) };
        config.init(device, &mut rng()).unwrap()
    });
}

#[test]
fn cae_agrees_with_pytorch() {
    check("cae", |arithmetic, device| {
        let config = CaeConfig { width: 0.25, arithmetic, ..CaeConfig::new(1, [16, 24]) };
        config.init(device, &mut rng()).unwrap()
    });
}

/// Eqs. 1 and 2 of Selvaraju et al., over the layers of `cae`; `scripts/grad_cam.py` made the maps.
#[test]
fn grad_cam_agrees_with_pytorch() {
    let fixture = Fixture::read("cae");
    let file = Fixture::path("grad_cam.safetensors");
    let maps = vadis_nn::weights::WeightFile::load(&file).unwrap().tensors;
    let device = common::device();
    let config = CaeConfig { width: 0.25, ..CaeConfig::new(1, [16, 24]) };
    let network = config.init(&device, &mut rng()).unwrap().load_state_dict(fixture.state.clone()).unwrap();
    let x: Tensor<4> = fixture.tensor("x", &device);
    let (y, taps) = network.tapped(x.clone());
    assert!(difference(&values(y.clone()), fixture.values("y")) < 1e-5);
    let (shape, weights) = &maps["weights"];
    let shape: [usize; 4] = shape.as_slice().try_into().unwrap();
    let weights = Tensor::<4>::from_data(TensorData::new(weights.clone(), shape), &device);
    let target = x.neg().add_scalar(1.0);
    let gradients = ((y - target.autodiff()).square() * weights.autodiff()).sum().backward();
    assert_eq!(taps.len(), Cae::LAYERS.len());
    for (name, tapped) in Cae::LAYERS.into_iter().zip(taps) {
        let map = tapped.grad_cam(&gradients, [16, 24]).unwrap();
        let worst = difference(&map, &maps[name].1);
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

/// Two encoders' passes stand for one: the second decoder reads the same latents.
#[test]
fn a_second_decoder_reads_the_latents() {
    let config = CaeConfig { width: 0.25, outputs: 2, ..CaeConfig::new(3, [16, 24]) };
    let network = config.init(&Device::flex(), &mut rng()).unwrap();
    let head = config.init_head(&Device::flex(), &mut rng()).unwrap();
    let x: Vec<f32> = (0..2 * 3 * 16 * 24).map(|i| ((i * 37) % 101) as f32 / 100.0).collect();
    let mut scratch = Default::default();
    let frozen = network.frozen().unwrap();
    let [first, second] = frozen.run_with(&head.frozen().unwrap(), &x, 2, &mut scratch).unwrap();
    assert_eq!(first, frozen.run(&x, 2, &mut scratch).unwrap());
    assert_eq!((first.len(), second.len()), (2 * 2 * 16 * 24, 2 * 16 * 24));
    let latent = network.encode(Tensor::from_data(TensorData::new(x, [2, 3, 16, 24]), &Device::flex()));
    assert!(difference(&values(head.decode(latent)), &second) < 1e-4);
    let state = head.state_dict();
    assert_eq!(state.iter().map(|t| t.values.len()).sum::<usize>(), config.head_value_count().unwrap());
    assert!(state.iter().all(|t| t.name.starts_with("student.conv")));
    head.load_state_dict(state).unwrap();
}

/// With a loss by which every place has a gradient of its own.
#[test]
fn the_discriminator_of_patches_agrees_with_pytorch() {
    let fixture = Fixture::read("patch_discriminator");
    let device = common::device().autodiff();
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        let config = PatchDiscriminatorConfig {
            width: 0.25,
            arithmetic,
            ..PatchDiscriminatorConfig::new(1, [17, 24])
        };
        let network = config.init(&device, &mut rng()).unwrap();
        let network = network.load_state_dict(fixture.state.clone()).unwrap();
        let x: Tensor<4> = fixture.tensor("x", &device).require_grad();
        let y = network.forward(x.clone());
        assert_eq!(y.dims()[2..], config.places());
        assert!(difference(&values(y.clone()), fixture.values("y")) < 1e-4);
        let gradients = (y - 1.0).square().mean().backward();
        assert!(difference(&values(x.grad(&gradients).unwrap()), fixture.values("grad.x")) < 1e-3);
        let flat = values(network.network.weight.val().grad(&gradients).unwrap());
        for view in network.network.plan().parameters() {
            let gradient = &flat[view.range.clone()];
            let worst = difference(gradient, fixture.values(&format!("grad.{}", view.name)));
            assert!(worst < 1e-3, "{}: {worst}", view.name);
        }
        let frozen = network.frozen().unwrap();
        let flat = frozen.run(fixture.values("x"), 2, &mut Scratch::default()).unwrap();
        assert!(difference(&flat, fixture.values("inference")) < 1e-4);
        assert_saves_as_pytorch("patch_discriminator", network);
    }
}

/// Papers 002 to 004 and MemAE; with grey frames by arithmetic.
#[test]
fn parameter_counts_are_the_published_ones() {
    let (device, size) = (Device::flex(), [16, 256, 256]);
    let ae3d = |channels| Ae3dConfig::new(channels, size).init(&device, &mut rng()).unwrap().num_params();
    let itae =
        |config: ItaeConfig| config.init(&device, &mut rng()).unwrap().network.plan().parameter_count();
    let parameters =
        |parts: &[&VolumeSegment]| parts.iter().map(|s| s.plan().parameter_count()).sum::<usize>();
    for (channels, count) in [(3, 5_991_171), (1, 5_980_801)] {
        let network = Ae3dConfig::new(channels, size).init(&device, &mut rng()).unwrap();
        assert_eq!(parameters(&[&network.encoder, &network.decoder]), count);
        assert!(ae3d(channels) > count, "running statistics are counted by burn");
    }
    let memae = MemAeConfig::new(1, size).init(&device, &mut rng()).unwrap();
    assert_eq!(memae.memory.weight.val().dims(), [2000, 256]);
    assert_eq!(itae(ItaeConfig::new(3, size)), 7_740_491);
    assert_eq!(itae(ItaeConfig::new(1, size)), 7_732_497);
    assert_eq!(itae(ItaeConfig::one_path(3, size)), 5_764_803);
    assert_eq!(itae(ItaeConfig::one_path(1, size)), 5_757_889);
    let cae = CaeConfig::new(1, [200, 200]).init(&device, &mut rng()).unwrap();
    assert_eq!(parameters(&[&cae.encoder, &cae.decoder]), 332_801);
}

#[test]
fn settings_that_cannot_be_built_are_refused() {
    let device = Device::flex();
    assert!(Ae3dConfig::new(3, [16, 0, 256]).init(&device, &mut rng()).is_err());
    assert!(
        Ae3dConfig { width: f64::NAN, ..Ae3dConfig::new(3, [16, 64, 64]) }.init(&device, &mut rng()).is_err()
    );
    assert!(ItaeConfig::new(3, [16, 62, 64]).init(&device, &mut rng()).is_err());
    assert!(CaeConfig::new(1, [200, 201]).init(&device, &mut rng()).is_err());
    assert!(CaeConfig::new(0, [200, 200]).init(&device, &mut rng()).is_err());
    let none = MemAeConfig { slots: 0, ..MemAeConfig::new(1, [16, 64, 64]) };
    assert!(none.init(&device, &mut rng()).is_err());
    let one = Ae3dConfig::new(1, [1, 1, 1]).init(&device, &mut rng()).unwrap();
    assert_eq!(one.infer(&[0.5], 1).len(), 1);
    let pixels = ItaeConfig::new(1, [4, 4, 4]).init(&device, &mut rng()).unwrap();
    assert_eq!(pixels.infer(&[0.5; 64], 1).len(), 64);
}

/// The features that the flows are trained on are the nodes before the fusion.
#[test]
fn itae_gives_the_features_of_both_paths() {
    let fixture = Fixture::read("itae");
    let config = ItaeConfig { width: 1.0 / 16.0, ..ItaeConfig::new(3, [8, 12, 16]) };
    let network = config.init(&Device::flex(), &mut rng()).unwrap();
    let network = network.load_state_dict(fixture.state.clone()).unwrap();
    let features = network.frozen_features().unwrap();
    assert_eq!(features.shapes(), [[16, 2, 3, 4], [2, 8, 3, 4]]);
    let values = features.run(fixture.values("x"), 2, &mut Scratch::default()).unwrap();
    assert_eq!(values.iter().map(Vec::len).collect::<Vec<_>>(), [2 * 16 * 24, 2 * 2 * 96]);
}

/// Streams a video with `push` and compares each frame with that of its whole window.
fn check_sliding(mut sliding: Sliding, shape: [usize; 4], wanted: usize, whole: impl Fn(&[f32]) -> Vec<f32>) {
    let [channels, time, height, width] = shape;
    let plane = height * width;
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let frame = |i: usize| (0..channels * plane).map(|j| value(i * 7919 + j)).collect::<Vec<f32>>();
    // The second shot is too short for a window, the third begins anew.
    for (first, frames) in [(0, time + 10), (1000, time - 1), (2000, time + 2)] {
        let shot: Vec<Vec<f32>> = (first..first + frames).map(frame).collect();
        sliding.reset();
        for (i, frame) in shot.iter().enumerate() {
            let got = sliding.push(frame).unwrap();
            let Some(start) = (i + 1).checked_sub(time) else {
                assert_eq!(got, None);
                continue;
            };
            let window = &shot[start..=i];
            let planes = |c: usize| window.iter().flat_map(move |frame| &frame[c * plane..][..plane]);
            let y = whole(&(0..channels).flat_map(planes).copied().collect::<Vec<f32>>());
            let wanted = |c: usize| &y[(c * time + wanted) * plane..][..plane];
            assert_eq!(got, Some((0..channels).flat_map(wanted).copied().collect()), "frame {i}");
        }
    }
    assert!(sliding.push(&[0.0]).is_err());
}

#[test]
fn streams_have_the_bits_of_whole_windows() {
    let (device, shape) = (Device::flex(), [3, 16, 20, 24]);
    let [channels, size @ ..] = shape;
    let small = Ae3dConfig { width: 0.25, ..Ae3dConfig::new(channels, size) };
    let ae3d = small.init(&device, &mut rng()).unwrap();
    let whole = |x: &[f32]| ae3d.infer(x, 1);
    check_sliding(ae3d.frozen().unwrap().sliding(8).unwrap(), shape, 8, whole);
    assert!(ae3d.frozen().unwrap().sliding(16).is_err());
    let bytes = ae3d.frozen_int8(&vec![0.5; shape.iter().product()]).unwrap();
    assert!(matches!(bytes.sliding(8), Err(NnError::SlidingInBytes)));
    let config = MemAeConfig { network: small, slots: 60, shrink: 0.02, entropy_weight: 0.0 };
    let memae = config.init(&device, &mut rng()).unwrap();
    check_sliding(memae.frozen().unwrap().sliding(8).unwrap(), shape, 8, |x| memae.infer(x, 1));
    let config = ItaeConfig { width: 0.25, ..ItaeConfig::new(channels, size) };
    let itae = config.init(&device, &mut rng()).unwrap();
    check_sliding(itae.frozen().unwrap().sliding(15).unwrap(), shape, 15, |x| itae.infer(x, 1));
}
