//! The flow against its PyTorch twin (`scripts/networks.py` made the fixture, in double precision), and by what a
//! flow must fulfil.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_nn::NnError;
use vadis_nn::networks::{Arithmetic, Glow, GlowConfig};
use vadis_nn::optim::{Optimiser, Step, gradient_of};
use vadis_nn::segment::{LoadError, NamedTensor, StateDict};

use common::{Fixture, assert_saves_as_pytorch, difference, noise, values};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

/// The fixture's flow.
fn flow(arithmetic: Arithmetic, device: &Device) -> Glow {
    let config = GlowConfig { steps: 2, hidden: 16, arithmetic, ..GlowConfig::new(3, [8, 12], 2) };
    config.init(device, &mut rng()).unwrap().load_state_dict(Fixture::read("glow").state).unwrap()
}

/// Values from −1 to 1 at even distances.
fn line<const D: usize>(shape: [usize; D], [from, to]: [f32; 2], device: &Device) -> Tensor<D> {
    let len: usize = shape.iter().product();
    let value = |i: usize| from + (to - from) * i as f32 / (len - 1) as f32;
    Tensor::from_data(TensorData::new((0..len).map(value).collect::<Vec<_>>(), shape), device)
}

/// Likelihoods, latents, log-determinants and all gradients.
#[test]
fn glow_agrees_with_pytorch() {
    let (fixture, device) = (Fixture::read("glow"), Device::flex().autodiff());
    for (arithmetic, tolerance) in
        [(Arithmetic::Exact, 1e-4), (Arithmetic::Careful, 1e-4), (Arithmetic::Fast, 1e-3)]
    {
        let network = flow(arithmetic, &device);
        let agree = |what: &str, ours: Vec<f32>| {
            let worst = difference(&ours, fixture.values(what));
            assert!(worst < tolerance, "{arithmetic:?}, {what}: {worst}");
        };
        let x = fixture.tensor::<4>("x", &device).require_grad();
        let nll = network.nll(x.clone());
        agree("y", values(nll.clone()));
        let (latents, log_det) = network.forward(x.clone());
        agree("log_det", values(log_det));
        let mut loss = (nll * line([3], [0.5, 1.5], &device)).mean();
        for (index, z) in latents.into_iter().enumerate() {
            agree(&format!("z{index}"), values(z.clone()));
            loss = loss + (line(z.dims(), [-1.0, 1.0], &device) * z).sum().mul_scalar(0.01);
        }
        agree("loss", values(loss.clone()));
        let gradients = loss.backward();
        agree("grad.x", values(x.grad(&gradients).unwrap()));
        let flat = values(network.weight.val().grad(&gradients).unwrap());
        for view in network.parameters() {
            agree(&format!("grad.{}", view.name), flat[view.range].to_vec());
        }
        let x = values(fixture.tensor::<4>("x", &Device::flex()));
        let valid = network.clone().valid();
        agree("inference", values(valid.nll(fixture.tensor("x", &Device::flex()))));
        agree("inference", network.frozen().unwrap().nll(&x, 3).unwrap());
        assert_saves_as_pytorch("glow", network);
    }
}

/// The path of other devices.
#[test]
fn burns_own_operations_give_the_same() {
    let (fixture, device) = (Fixture::read("glow"), Device::flex().autodiff());
    let network = flow(Arithmetic::Exact, &device);
    let weights = || line([3], [0.5, 1.5], &device);
    let [(nll, dx, dw), (reference, reference_dx, reference_dw)] =
        [Glow::nll, Glow::nll_reference].map(|forward| {
            let x = fixture.tensor::<4>("x", &device).require_grad();
            let nll = forward(&network, x.clone());
            let gradients = (nll.clone() * weights()).mean().backward();
            let weight = values(network.weight.val().grad(&gradients).unwrap());
            (values(nll), values(x.grad(&gradients).unwrap()), weight)
        });
    assert!(difference(&nll, &reference) < 1e-5);
    assert!(difference(&dx, &reference_dx) < 1e-4);
    for view in network.parameters() {
        let worst = difference(&dw[view.range.clone()], &reference_dw[view.range]);
        assert!(worst < 1e-4, "{}: {worst}", view.name);
    }
}

#[test]
fn data_initialisation_is_that_of_the_twin() {
    let fixture = Fixture::read("glow");
    let network = flow(Arithmetic::Exact, &Device::flex());
    let network = network.initialise(fixture.tensor("x", &Device::flex())).unwrap();
    for NamedTensor { name, values, .. } in network.state_dict() {
        if name.contains("actnorm") {
            let worst = difference(&values, fixture.values(&format!("initialised.{name}")));
            assert!(worst < 1e-4, "{name}: {worst}");
        }
    }
    let nan = Tensor::<4>::full([2, 3, 8, 12], f32::NAN, &Device::flex());
    assert!(matches!(network.clone().initialise(nan), Err(NnError::NotFinite { .. })));
    let other = Tensor::<4>::zeros([2, 3, 8, 10], &Device::flex());
    assert!(matches!(network.initialise(other), Err(NnError::Shape { axis: 3, .. })));
}

#[test]
fn latents_lead_back_to_the_maps() {
    let device = Device::flex();
    for (channels, levels) in [(2, 1), (1, 2), (3, 3)] {
        let config = GlowConfig { steps: 4, hidden: 24, ..GlowConfig::new(channels, [16, 24], levels) };
        let network = unsettled(config.init(&device, &mut rng()).unwrap());
        let x = noise([3, channels, 16, 24], &device);
        let (latents, _) = network.forward(x.clone());
        assert_eq!(latents.len(), levels);
        let back = network.inverse(&latents).unwrap();
        let worst = (back - x).abs().max().into_scalar::<f32>();
        assert!(worst < 1e-4, "{channels} channels, {levels} levels: {worst}");
        assert!(network.inverse(&[]).is_err());
    }
}

/// With a last layer that is not zero, and factors that are not a rotation's.
fn unsettled(network: Glow) -> Glow {
    let mut state = network.state_dict();
    for tensor in &mut state {
        let scale = match &tensor.name {
            name if name.contains("conv3") => 0.05,
            name if name.contains("actnorm") || name.contains("log_s") => 0.1,
            _ => continue,
        };
        let values = values(noise([tensor.values.len()], &Device::flex()));
        tensor.values.iter_mut().zip(values).for_each(|(v, noise)| *v += scale * noise);
    }
    network.load_state_dict(state).unwrap()
}

/// The Jacobian row by row, from the gradient of each latent value.
#[test]
fn the_log_determinant_is_that_of_the_jacobian() {
    let device = Device::flex().autodiff();
    for (channels, levels) in [(2, 1), (1, 2)] {
        let config = GlowConfig {
            steps: 3,
            hidden: 8,
            arithmetic: Arithmetic::Exact,
            ..GlowConfig::new(channels, [4, 4], levels)
        };
        let network = unsettled(config.init(&device, &mut rng()).unwrap());
        let dimensions = channels * 16;
        let mut jacobian = DMatrix::zeros(dimensions, dimensions);
        let mut log_det = 0.0;
        for row in 0..dimensions {
            let x = noise([1, channels, 4, 4], &device).require_grad();
            let (latents, given) = network.forward(x.clone());
            log_det = values(given)[0];
            let flat: Vec<Tensor<1>> = latents
                .into_iter()
                .map(|z| {
                    let len: usize = z.dims().iter().product();
                    z.reshape([len])
                })
                .collect();
            let gradients = Tensor::cat(flat, 0).narrow(0, row, 1).backward();
            let gradient = values(x.grad(&gradients).unwrap());
            (0..dimensions).for_each(|column| jacobian[(row, column)] = f64::from(gradient[column]));
        }
        let expected = jacobian.determinant().abs().ln();
        assert!((f64::from(log_det) - expected).abs() < 1e-4 * expected.abs(), "{log_det}, {expected}");
    }
}

/// Where the coupling is the identity, the flow's density is a Gaussian's.
#[test]
fn the_likelihood_of_a_gaussian_is_exact() {
    let (device, channels) = (Device::flex(), 4);
    let config = GlowConfig { steps: 1, hidden: 4, ..GlowConfig::new(1, [6, 10], 1) };
    let network = unsettled(config.init(&device, &mut rng()).unwrap());
    let mut state = network.state_dict();
    for tensor in &mut state {
        match &tensor.name {
            name if name.ends_with("conv3.weight") => tensor.values.fill(0.0),
            // log s = 30 and t = 0: s is 1.
            name if name.ends_with("conv3.bias") => tensor.values = vec![30.0, 30.0, 0.0, 0.0],
            name if name.ends_with("lower") || name.ends_with("upper") => {
                tensor.values = values(noise([16], &device));
            }
            _ => {}
        }
    }
    let part = |name: &str| {
        let tensor = state.iter().find(|t| t.name == format!("levels.0.0.{name}")).unwrap();
        tensor.values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()
    };
    let square = |name: &str| DMatrix::from_row_slice(channels, channels, &part(name));
    let vector = |name: &str| DVector::from_vec(part(name));
    let lower = square("permutation.lower").lower_triangle();
    let lower = DMatrix::from_fn(channels, channels, |i, j| if i == j { 1.0 } else { lower[(i, j)] });
    let mut upper = square("permutation.upper").upper_triangle();
    upper.set_diagonal(&vector("permutation.log_s").map(f64::exp).component_mul(&vector("permutation.sign")));
    let scale = DMatrix::from_diagonal(&vector("actnorm.log_scale").map(f64::exp));
    let whiten = square("permutation.p") * lower * upper * scale;
    let (covariance, mean) = ((whiten.transpose() * &whiten).try_inverse().unwrap(), -vector("actnorm.bias"));
    let factor = covariance.cholesky().unwrap();
    let log_det = 2.0 * factor.l().diagonal().map(f64::ln).sum();

    let x = noise([2, 1, 6, 10], &device);
    let got = values(network.load_state_dict(state).unwrap().nll(x.clone()));
    for (x, got) in values(x).chunks(60).zip(got) {
        let mut nats = 0.0;
        for (row, column) in (0..3).flat_map(|row| (0..5).map(move |column| (row, column))) {
            let at = |c: usize| f64::from(x[(2 * row + c / 2) * 10 + 2 * column + c % 2]);
            let d = DVector::from_fn(channels, |c, _| at(c)) - &mean;
            let distance = d.dot(&factor.solve(&d));
            nats += 0.5 * (distance + log_det + channels as f64 * (2.0 * std::f64::consts::PI).ln());
        }
        assert!((f64::from(got) - nats / 60.0).abs() < 1e-5, "{got}, {}", nats / 60.0);
    }
}

/// Paper 003, Section 5, to the digits that it prints.
#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |channels| {
        let config = GlowConfig::new(channels, [60, 90], 1);
        config.init(&Device::flex(), &mut rng()).unwrap().num_params()
    };
    assert_eq!(count(2), 10_163_200);
    assert_eq!(count(3), 11_053_568);
}

#[test]
fn a_score_depends_neither_on_the_batch_nor_on_the_threads() {
    let config = GlowConfig { steps: 3, hidden: 40, ..GlowConfig::new(2, [20, 28], 2) };
    let device = Device::flex().autodiff();
    let network = unsettled(config.init(&device, &mut rng()).unwrap());
    let frozen = network.frozen().unwrap();
    let x = values(noise([3, 2, 20, 28], &Device::flex()));
    let whole = frozen.map(&x, 3).unwrap();
    for (index, x) in x.chunks(2 * 20 * 28).enumerate() {
        let one = frozen.map(x, 1).unwrap();
        assert_eq!((one.nll[0], &one.map[..]), (whole.nll[index], &whole.map[index * 560..][..560]));
        assert_eq!(frozen.nll(x, 1).unwrap(), one.nll);
        let mean = one.map.iter().map(|&v| f64::from(v)).sum::<f64>() / 560.0;
        assert!((mean - f64::from(one.nll[0])).abs() < 1e-6);
    }
    let gradient = || {
        let gradients = network.nll(noise([3, 2, 20, 28], &device)).mean().backward();
        values(network.weight.val().grad(&gradients).unwrap())
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (frozen.map(&x, 3).unwrap(), gradient()))
    };
    let (likelihoods, gradient) = run(1);
    assert_eq!(likelihoods, whole);
    assert!(run(3) == (likelihoods, gradient));
    assert!(frozen.nll(&x[1..], 3).is_err());
    assert!(frozen.nll(&[], usize::MAX).is_err());
    assert!(frozen.nll(&[], 0).unwrap().is_empty());
}

/// Smooth maps: their likelihood must rise far above that of what ActNorm alone knows.
#[test]
fn training_raises_the_likelihood() {
    let device = Device::flex().autodiff();
    let config = GlowConfig { steps: 2, hidden: 16, ..GlowConfig::new(1, [8, 8], 1) };
    let wave =
        |i: usize| ((i % 8) as f32 * 0.4 + (i / 64) as f32).sin() + 0.05 * ((i * 37 % 11) as f32 - 5.0);
    let data = TensorData::new((0..16 * 64).map(wave).collect::<Vec<_>>(), [16, 1, 8, 8]);
    let x = Tensor::<4>::from_data(data, &device);
    let mut network = config.init(&device, &mut rng()).unwrap().initialise(x.clone()).unwrap();
    let optimiser = Optimiser::default();
    let mut state = optimiser.state(network.num_params());
    let mut losses = Vec::new();
    for _ in 0..60 {
        let loss = network.nll(x.clone()).mean();
        let gradient = gradient_of(&network.weight, &loss.backward()).unwrap();
        optimiser.step(&mut state, &mut network.weight, &gradient, Step::of(3e-3)).unwrap();
        losses.push(values(loss)[0]);
    }
    assert!(losses[59] < losses[0] - 0.5, "{} to {}", losses[0], losses[59]);
}

#[test]
fn what_cannot_be_built_or_loaded_is_refused() {
    let device = Device::flex();
    let init = |config: GlowConfig| config.init(&device, &mut rng()).map(drop);
    let error = init(GlowConfig::new(2, [30, 45], 1)).unwrap_err().to_string();
    assert!(error.contains("width of 45"), "{error}");
    let error = init(GlowConfig::new(2, [12, 16], 3)).unwrap_err().to_string();
    assert!(error.contains("height of 12"), "{error}");
    for config in [
        GlowConfig::new(0, [8, 8], 1),
        GlowConfig::new(2, [0, 8], 1),
        GlowConfig::new(2, [8, 8], 0),
        GlowConfig::new(2, [1 << 20, 8], 20),
        GlowConfig::new(usize::MAX, [8, 8], 1),
        GlowConfig { steps: 0, ..GlowConfig::new(2, [8, 8], 1) },
        GlowConfig { steps: usize::MAX, ..GlowConfig::new(2, [8, 8], 1) },
        GlowConfig { hidden: usize::MAX, ..GlowConfig::new(2, [8, 8], 1) },
    ] {
        assert!(matches!(init(config.clone()), Err(NnError::Setting { .. })), "{config:?}");
    }
    for (name, at, value) in [("permutation.p", 0, 0.5), ("permutation.sign", 1, 2.0)] {
        let network = flow(Arithmetic::Exact, &device);
        let mut state = network.state_dict();
        let tensor = state.iter_mut().find(|t| t.name.ends_with(name)).unwrap();
        tensor.values[at] = value;
        assert!(matches!(network.load_state_dict(state), Err(LoadError::Value { .. })), "{name}");
    }
    let network = flow(Arithmetic::Exact, &device);
    let state = network.state_dict().into_iter().skip(1).collect();
    assert!(matches!(network.load_state_dict(state), Err(LoadError::Missing { .. })));
}
