//! Sums of bytes against plain loops over integers.

use proptest::prelude::*;

use super::calibrate::Histogram;
use super::scale::{Scale, Weight, to_byte};
use super::{ConvInt8, FrozenInt8};
use crate::volume::frozen::Scratch;
use crate::volume::network::{Network, Options, volume};
use crate::volume::plan::{Conv, Plan};
use crate::{Activation, Isa};

/// Uniform in ±1.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn byte(scale: &Scale, channel: usize, value: f32) -> u8 {
    to_byte(value * scale.steps[channel].recip() + f32::from(scale.zeros[channel]))
}

/// Input and output channel of an element of the weight.
fn channels(conv: &Conv, element: usize) -> [usize; 2] {
    let taps: usize = conv.kernel.iter().product();
    match conv.transposed {
        None => [element / taps % conv.cin, element / (conv.cin * taps)],
        Some(_) => [element / (conv.cout * taps), element / taps % conv.cout],
    }
}

/// A convolution's output after the activation, from sums of integers over all products.
fn expected(plan: &Plan, conv: &Conv, parameter: &[f32], scale: &Scale, x: &[f32]) -> Vec<f32> {
    let places = &plan.nodes()[1].places;
    let scaled = |(element, value): (usize, &f32)| value * scale.steps[channels(conv, element)[0]];
    let weight: Vec<f32> = parameter[places.weight.clone()].iter().enumerate().map(scaled).collect();
    let weight = Weight::new(&weight, conv.cout, |element| channels(conv, element)[1]);
    let ([_, input @ ..], [_, output @ ..]) = (plan.input(), plan.nodes()[1].shape);
    let index = |[t, y, x]: [usize; 3], [_, h, w]: [usize; 3]| (t * h + y) * w + x;
    let (plane_in, plane_out) = (input.iter().product::<usize>(), output.iter().product::<usize>());
    let mut sums = vec![0i64; conv.cout * plane_out];
    let (small, large) = if conv.transposed.is_some() { (input, output) } else { (output, input) };
    let taps: usize = conv.kernel.iter().product();
    let volume = |[t, h, w]: [usize; 3]| (0..t * h * w).map(move |i| [i / (h * w), i / w % h, i % w]);
    for place in volume(small) {
        for (k, tap) in volume(conv.kernel).enumerate() {
            let far: [usize; 3] =
                std::array::from_fn(|a| (place[a] * conv.stride[a] + tap[a]).wrapping_sub(conv.padding[a]));
            if (0..3).any(|a| far[a] >= large[a]) {
                continue;
            }
            let [from, to] = if conv.transposed.is_some() { [place, far] } else { [far, place] };
            for element in (k..weight.bytes.len()).step_by(taps) {
                let [i, o] = channels(conv, element);
                let byte = byte(scale, i, x[i * plane_in + index(from, input)]);
                let active = i64::from(byte) - i64::from(scale.zeros[i]);
                sums[o * plane_out + index(to, output)] += active * i64::from(weight.bytes[element]);
            }
        }
    }
    let finish = |(at, &sum): (usize, &i64)| {
        let o = at / plane_out;
        conv.activation.apply(sum as f32 * weight.steps[o] + parameter[places.bias.start + o])
    };
    sums.iter().enumerate().map(finish).collect()
}

fn freeze(plan: &Plan, isa: Isa, parameter: &[f32], node: &str, x: &[f32]) -> FrozenInt8 {
    let network = Network::new(plan, Options { isa: Some(isa), ..Options::default() });
    network.freeze_int8(parameter, &[], &[node], x).unwrap()
}

/// One convolution, into floats and into bytes, on every instruction set.
fn check(conv: &Conv, input: [usize; 4]) -> Result<(), TestCaseError> {
    let Ok(plan) = Plan::new("x", input).and_then(|p| p.conv("c", "x", conv.clone())) else { return Ok(()) };
    let read = plan.clone().sample("read", "c", 1).unwrap();
    let (parameter, x) = (noise(plan.parameter_count(), 1), noise(volume(input), 2));
    for isa in Isa::available() {
        let frozen = freeze(&plan, isa, &parameter, "c", &x);
        let scale = &frozen.nodes[0].as_ref().unwrap().scale;
        let exact = expected(&plan, conv, &parameter, scale, &x);
        let got = frozen.run(&x, 1, &mut Scratch::new()).unwrap().remove(0);
        if let Some(ConvInt8::Few(_)) = &frozen.nodes[1].as_ref().unwrap().conv {
            // There the last sums are of floats.
            let largest = exact.iter().fold(1.0, |m: f32, v| m.max(v.abs()));
            let near = got.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= 2e-6 * largest);
            prop_assert!(near, "{:?}", isa);
        } else {
            prop_assert_eq!(&got, &exact, "{:?}", isa);
        }
        let frozen = freeze(&read, isa, &parameter, "read", &x);
        let node = &frozen.nodes[1].as_ref().unwrap();
        prop_assert!(matches!(node.conv, Some(ConvInt8::Bytes(_))));
        let plane = exact.len() / conv.cout;
        let rounded =
            |(at, &value): (usize, &f32)| node.scale.value(at / plane, byte(&node.scale, at / plane, value));
        let rounded: Vec<f32> = exact.iter().enumerate().map(rounded).collect();
        prop_assert_eq!(frozen.run(&x, 1, &mut Scratch::new()).unwrap().remove(0), rounded, "{:?}", isa);
    }
    Ok(())
}

fn any_channels() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 2, 3, 4, 5, 8, 12, 16, 20, 33, 48])
}

fn activation() -> impl Strategy<Value = Activation> {
    use Activation::{LeakyRelu, None, Relu, Sigmoid, Tanh};
    prop::sample::select(vec![None, Relu, LeakyRelu(0.2), Tanh, Sigmoid])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_are_sums_of_integers(
        (cin, cout, activation) in (any_channels(), any_channels(), activation()),
        input in [1..4usize, 1..7, 1..19],
        (kernel, stride) in ([1..4usize, 1..6, 1..6], [1..5usize, 1..4, 1..4]),
        (padding, extra) in ([0..2usize, 0..3, 0..3], [0..3usize, 0..3, 0..3]),
        transposed in any::<bool>(),
    ) {
        let transposed = transposed.then_some(extra);
        let padding = std::array::from_fn(|a| padding[a].min(kernel[a] - 1));
        let conv = Conv { padding, transposed, activation, ..Conv::new(cin, cout, kernel, stride) };
        check(&conv, [cin, input[0], input[1], input[2]])?;
    }
}

#[test]
fn wide_rows_are_cut_into_tiles() {
    for width in [14, 15, 29, 64] {
        for stride in [1, 2] {
            check(&Conv::new(32, 48, [1, 3, 3], [1, 1, stride]), [32, 1, 3, width]).unwrap();
        }
        check(&Conv::transposed(16, 32, [1, 3, 3], [1, 2, 2], [0, 1, 1]), [16, 1, 2, width]).unwrap();
        check(&Conv::transposed(16, 3, [3; 3], [1, 2, 2], [0, 1, 1]), [16, 2, 2, width]).unwrap();
    }
}

#[test]
fn bytes_round_to_the_nearest_and_saturate() {
    let scale = Scale::new(&[[-1.0, 1.55], [2.0, 5.1], [0.0, 0.0], [-3.0, -1.0]]);
    assert_eq!(scale.zeros, [100, 0, 0, 255]);
    assert_eq!(scale.steps[..2], [2.55 / 255.0, 5.1 / 255.0]);
    assert_eq!(scale.steps[2], (scale.steps[0] + scale.steps[1] + scale.steps[3]) / 3.0);
    for channel in 0..4 {
        assert_eq!(scale.value(channel, byte(&scale, channel, 0.0)), 0.0);
    }
    let bytes = [-7.0, -1.0, -0.004, 0.004, 0.996, 1.55, 9.0, f32::INFINITY, f32::NAN];
    assert_eq!(bytes.map(|value| byte(&scale, 0, value)), [0, 0, 100, 100, 200, 255, 255, 255, 0]);
    assert_eq!([0.5, 1.5, 2.5].map(to_byte), [0, 2, 2]);
    assert_eq!(Scale::new(&[[0.0, 0.0], [0.0, f32::MAX]]).value(1, 255), f32::MAX);
    assert_eq!(Scale::new(&[[0.0, 0.0]]).steps, [1.0]);
}

#[test]
fn no_sum_leaves_32_bits() {
    let largest = |weight: &Weight| weight.bytes.iter().map(|&b| i64::from(b).abs()).sum::<i64>() * 255;
    let even = Weight::new(&vec![1.0; 1 << 20], 1, |_| 0);
    assert!(largest(&even) <= i64::from(i32::MAX) && largest(&even) > i64::from(i32::MAX) / 2);
    let few = Weight::new(&[0.5, -1.0, 0.0, 0.0], 2, |element| element / 2);
    assert_eq!(few.bytes, [64, -127, 0, 0]);
    assert_eq!(few.steps, [1.0 / 127.0, 1.0]);
}

#[test]
fn a_range_leaves_rare_values_out() {
    let mut even = Histogram::new([-1.0, 1.0]);
    even.add(&noise(10_000, 3));
    assert_eq!(even.best(), [-1.0, 1.0]);
    let mut rare = Histogram::new([-1.0, 100.0]);
    rare.add(&noise(1_000_000, 3));
    rare.add(&[100.0]);
    let [low, high] = rare.best();
    assert!((-1.0..-0.85).contains(&low) && high < 90.0, "{low} {high}");
}
