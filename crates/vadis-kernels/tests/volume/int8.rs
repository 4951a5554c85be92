//! Inference in bytes against inference in floats.

use proptest::prelude::*;
use vadis_kernels::volume::{
    Conv, FrozenInt8, Network, Operation, Options, Plan, RunError, Scales, Scratch, Workspace,
};
use vadis_kernels::{Activation, Isa};

use crate::reference::{noise, size};
use crate::{any_plan, names, plans, trained};

/// Smooth clips in −1 to 1.
fn waves(shape: [usize; 4], clips: usize) -> Vec<f32> {
    let [c, t, h, w] = shape;
    let wave = |i: usize| {
        let [x, y, t, c, clip] =
            [i % w, i / w % h, i / (w * h) % t, i / (t * w * h) % c, i / (c * t * w * h)].map(|n| n as f32);
        let slow = (0.21 * x + 0.13 * y + 0.11 * t + c).sin() * (0.34 * y - 0.17 * x + clip).cos();
        0.6 * slow + 0.4 * (0.9 * x - 0.7 * y + 0.5 * t + 2.0 * clip).sin()
    };
    (0..clips * size(shape)).map(wave).collect()
}

/// Random weights, and the statistics of the norms over `x`.
fn settled(plan: &Plan, x: &[f32]) -> [Vec<f32>; 2] {
    let mut parameter = noise(plan.parameter_count(), 1);
    for node in plan.nodes() {
        if let Operation::Conv(conv) = &node.operation {
            let gain = 2.0 / (conv.fan_in() as f32).sqrt();
            parameter[node.places.weight.clone()].iter_mut().for_each(|w| *w *= gain);
            parameter[node.places.norm_weight.clone()].fill(1.0);
        }
    }
    let clips = x.len() / size(plan.input());
    let network = Network::new(plan, Options::default());
    let forward = network.forward_train(&parameter, x, clips, &mut Workspace::new()).unwrap();
    [parameter, forward.statistics]
}

/// Signal to error, in decibels.
fn snr(exact: &[f32], got: &[f32]) -> f64 {
    let mean = exact.iter().map(|&v| f64::from(v)).sum::<f64>() / exact.len() as f64;
    let signal: f64 = exact.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let error: f64 = exact.iter().zip(got).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    10.0 * (signal / error).log10()
}

fn output_snr(plan: &Plan) -> f64 {
    let x = waves(plan.input(), 3);
    let [parameter, buffers] = settled(plan, &x);
    let network = Network::new(plan, Options::default());
    let output = [plan.nodes()[plan.output_node()].name.as_str()];
    let exact = network.freeze(&parameter, &buffers, &output).unwrap().run(&x, 3, &mut Scratch::new());
    let bytes = network.freeze_int8(&parameter, &buffers, &output, &x).unwrap();
    snr(&exact.unwrap()[0], &bytes.run(&x, 3, &mut Scratch::new()).unwrap()[0])
}

#[test]
fn small_networks_come_close_to_floats() {
    let leaky = Activation::LeakyRelu(0.2);
    let plan = Plan::new("x", [3, 4, 24, 30])
        .and_then(|p| p.conv("a", "x", Conv::new(3, 20, [3; 3], [1, 2, 2]).norm("n").activation(leaky)))
        .and_then(|p| p.conv("b", "a", Conv::new(20, 32, [3; 3], [1; 3]).activation(Activation::Relu)))
        .and_then(|p| p.conv("y", "b", Conv::transposed(32, 3, [3; 3], [1, 2, 2], [0, 1, 1])))
        .unwrap();
    let got = output_snr(&plan);
    assert!(got > 30.0, "{got} dB");
}

/// With random weights, each of eight layers adds to the error of those before it as to the signal.
#[test]
fn whole_networks_come_near_floats() {
    for (plan, least) in [
        (plans::cae(40).unwrap(), 22.0),
        (plans::ae3d(32).unwrap(), 12.0),
        (plans::itae(3, 32).unwrap(), 10.0),
    ] {
        let got = output_snr(&plan);
        assert!(got > least, "{}: {got} dB", plan.nodes()[1].name);
    }
}

fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[test]
fn a_clip_has_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    for plan in [plans::itae(1, 8).unwrap(), plans::ae3d(16).unwrap(), plans::cae(24).unwrap()] {
        let x = waves(plan.input(), 3);
        let [parameter, buffers] = settled(&plan, &x);
        let output = [plan.nodes()[plan.output_node()].name.as_str()];
        for isa in Isa::available() {
            let network = Network::new(&plan, Options { isa: Some(isa), ..Options::default() });
            let frozen = network.freeze_int8(&parameter, &buffers, &output, &x).unwrap();
            let run = |batch: usize| {
                let mut scratch = Scratch::new();
                let clips = x.chunks(batch * size(plan.input()));
                let run =
                    |x: &[f32]| frozen.run(x, x.len() / size(plan.input()), &mut scratch).unwrap().remove(0);
                clips.flat_map(run).collect::<Vec<f32>>()
            };
            let together = on(1, || run(3));
            assert!(together == on(2, || run(1)), "{isa:?}");
            assert!(together == on(5, || run(2)), "{isa:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_networks(plan in any_plan()) {
        let (parameter, buffers) = trained(&plan);
        let x = noise(2 * size(plan.input()), 2);
        let network = Network::new(&plan, Options { exact: true, ..Options::default() });
        let exact = network.freeze(&parameter, &buffers, &names(&plan)).unwrap();
        let exact = exact.run(&x, 2, &mut Scratch::new()).unwrap();
        let bytes = network.freeze_int8(&parameter, &buffers, &names(&plan), &x).unwrap();
        let bytes = bytes.run(&x, 2, &mut Scratch::new()).unwrap();
        for ((exact, got), node) in exact.iter().zip(&bytes).zip(plan.nodes()) {
            let largest = exact.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
            let error = exact.iter().zip(got).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
            prop_assert!(error <= 0.15 * largest + 1e-6, "{}: {} of {}", node.name, error, largest);
        }
    }
}

#[test]
fn values_beyond_the_calibrated_ones_saturate() {
    let plan = plans::ae3d(16).unwrap();
    let x = waves(plan.input(), 1);
    let [parameter, buffers] = settled(&plan, &x);
    let frozen = Network::new(&plan, Options::default())
        .freeze_int8(&parameter, &buffers, &["decoder.9"], &x)
        .unwrap();
    let wild: Vec<f32> = noise(x.len(), 3).iter().map(|v| 1e30 * v).collect();
    let mut tame = wild.clone();
    let plane = x.len() / 3;
    for (tame, x) in tame.chunks_exact_mut(plane).zip(x.chunks_exact(plane)) {
        let [low, high] = x.iter().fold([0.0f32; 2], |[low, high], &v| [low.min(v), high.max(v)]);
        tame.iter_mut().for_each(|v| *v = v.clamp(low, high));
    }
    let mut scratch = Scratch::new();
    let output = frozen.run(&wild, 1, &mut scratch).unwrap();
    assert!(output[0].iter().all(|v| v.is_finite()));
    assert_eq!(output, frozen.run(&tame, 1, &mut scratch).unwrap());
    let nothing = frozen.run(&vec![f32::NAN; x.len()], 1, &mut scratch).unwrap();
    assert!(nothing[0].iter().all(|v| v.is_finite()));
}

#[test]
fn constant_clips_calibrate_too() {
    let plan = plans::cae(24).unwrap();
    let [parameter, _] = settled(&plan, &waves(plan.input(), 2));
    for value in [0.0, 0.5] {
        let x = vec![value; size(plan.input())];
        let network = Network::new(&plan, Options::default());
        let exact =
            network.freeze(&parameter, &[], &["c7"]).unwrap().run(&x, 1, &mut Scratch::new()).unwrap();
        let bytes = network.freeze_int8(&parameter, &[], &["c7"], &x).unwrap();
        let bytes = bytes.run(&x, 1, &mut Scratch::new()).unwrap();
        let error = exact[0].iter().zip(&bytes[0]).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
        assert!(error < 0.02, "{value}: {error}");
    }
}

#[test]
fn what_cannot_calibrate_is_an_error() {
    let plan = Plan::new("x", [1, 1, 2, 2]).unwrap().conv("c", "x", Conv::new(1, 2, [1; 3], [1; 3])).unwrap();
    let (network, parameter) = (Network::new(&plan, Options::default()), vec![0.5; 4]);
    let freeze = |parameter: &[f32], node: &str, x: &[f32]| {
        network.freeze_int8(parameter, &[], &[node], x).map(|_| ()).unwrap_err()
    };
    let few = RunError::Size { what: "calibration clips", expected: 4, got: 0 };
    assert_eq!(freeze(&parameter, "c", &[]), few);
    let odd = RunError::Size { what: "calibration clips", expected: 4, got: 5 };
    assert_eq!(freeze(&parameter, "c", &[0.0; 5]), odd);
    assert_eq!(freeze(&parameter, "d", &[0.0; 4]), RunError::UnknownNode { name: "d".to_owned() });
    assert!(matches!(freeze(&parameter[1..], "c", &[0.0; 4]), RunError::Size { what: "parameter", .. }));
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let clip = [0.0, value, 1.0, 0.0];
        assert_eq!(freeze(&parameter, "c", &clip), RunError::NotFinite { node: "x".to_owned() });
    }
    let frozen = network.freeze_int8(&parameter, &[], &["c"], &[1.0; 4]).unwrap();
    assert!(frozen.run(&[1.0; 5], 1, &mut Scratch::new()).is_err());
    assert_eq!(frozen.run(&[], 0, &mut Scratch::new()).unwrap(), vec![Vec::<f32>::new()]);
}

/// Scales are kept in place of the clips: the same bits, and no other plan's are taken.
#[test]
fn scales_stand_for_the_clips() {
    let plan = Plan::new("x", [2, 4, 12, 10])
        .and_then(|p| p.conv("a", "x", Conv::new(2, 20, [3; 3], [1, 2, 2]).activation(Activation::Relu)))
        .and_then(|p| p.conv("y", "a", Conv::new(20, 3, [3; 3], [1; 3])))
        .unwrap();
    let x = waves(plan.input(), 2);
    let [parameter, buffers] = settled(&plan, &x);
    let network = Network::new(&plan, Options::default());
    let scales = network.int8_scales(&parameter, &buffers, &["y"], &x).unwrap();
    let values = scales.values();
    let again = Scales::from_values(&plan, &values).unwrap();
    assert_eq!(again, scales);
    let run = |frozen: FrozenInt8| frozen.run(&x, 2, &mut Scratch::new()).unwrap();
    let kept = network.freeze_int8_by(&parameter, &buffers, &["y"], &again).unwrap();
    let direct = network.freeze_int8(&parameter, &buffers, &["y"], &x).unwrap();
    assert_eq!(run(kept), run(direct));
    assert!(Scales::from_values(&plan, &values[1..]).is_err());
    for wrong in [f32::NAN, -1.0, 0.0, f32::MIN_POSITIVE / 4.0] {
        let spoilt = [&[wrong], &values[1..]].concat();
        assert!(Scales::from_values(&plan, &spoilt).is_err(), "a step of {wrong}");
    }
    for wrong in [f32::NAN, -1.0, 256.0, 0.5] {
        let spoilt = [&values[..1], &[wrong], &values[2..]].concat();
        assert!(Scales::from_values(&plan, &spoilt).is_err(), "a zero of {wrong}");
    }
    let other = Plan::new("x", [1, 4, 12, 10]).unwrap();
    let few = Scales::from_values(&other, &[1.0, 0.0]).unwrap();
    assert!(network.freeze_int8_by(&parameter, &buffers, &["y"], &few).is_err());
}
