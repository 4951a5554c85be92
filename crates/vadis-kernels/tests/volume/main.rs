//! Networks over clips against plain loops in 64-bit floats and finite differences of those.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bits;
mod int8;
mod plans;
mod reference;
mod sliding;

use proptest::prelude::*;
use reference::{Norms, double, noise, products, size};
use vadis_kernels::volume::{Conv, Network, Node, Operation, Options, Plan, RunError, Scratch, Workspace};
use vadis_kernels::{Activation, Isa};

fn close(got: &[f32], expected: &[f64], tolerance: f64, what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len(), "{}", what);
    // The terms of a sum are of order 1: where they cancel, the error is relative to them.
    let scale = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        prop_assert!((f64::from(g) - e).abs() <= tolerance * scale, "{} [{}]: {} against {}", what, i, g, e);
    }
    Ok(())
}

fn options() -> Vec<Options> {
    let sets = Isa::available().into_iter().map(Some);
    let all = sets.flat_map(|isa| {
        let exact = Options { isa, exact: true, small_tiles: false };
        [exact, Options { exact: false, ..exact }, Options { exact: false, small_tiles: true, ..exact }]
    });
    all.collect()
}

/// One convolution without a norm against the sums written out.
fn check_conv(conv: &Conv, input: [usize; 4], batch: usize) -> Result<(), TestCaseError> {
    let activation = conv.activation;
    let Ok(plan) = Plan::new("x", input).and_then(|p| p.conv("c", "x", conv.clone())) else { return Ok(()) };
    let parameter = noise(plan.parameter_count(), 1);
    let x = noise(batch * size(input), 2);
    let output = plan.output();
    let mut dy = noise(batch * size(output), 3);
    let run = |plan: &Plan| reference::run(plan, &double(&parameter), &Norms::Batch, &double(&x), batch).0;
    let (values, linear) = (run(&plan), Conv { activation: Activation::None, ..conv.clone() });
    let y = &values[1];
    let before = &run(&Plan::new("x", input).and_then(|p| p.conv("c", "x", linear)).unwrap())[1];
    // So close to an activation's bend rounding decides on which side a sum lies, and which slope it has.
    dy.iter_mut().zip(before).filter(|(_, sum)| sum.abs() < 1e-3).for_each(|(dy, _)| *dy = 0.0);
    let all = products(conv, input, output);
    let places = &plan.nodes()[1].places;
    let mut dx = vec![0.0; x.len()];
    let mut dp = vec![0.0; parameter.len()];
    for sample in 0..batch {
        let at = sample * size(output);
        let delta = |o: usize| f64::from(dy[at + o]) * f64::from(activation.derivative(y[at + o] as f32));
        for &[i, w, o] in &all {
            dx[sample * size(input) + i] += delta(o) * f64::from(parameter[w]);
            dp[w] += delta(o) * f64::from(x[sample * size(input) + i]);
        }
        if conv.bias {
            let plane = size(output) / output[0];
            (0..size(output)).for_each(|o| dp[places.bias.start + o / plane] += delta(o));
        }
    }
    for options in options() {
        let tolerance = if options.exact || options.small_tiles { 3e-5 } else { 3e-4 };
        let network = Network::new(&plan, options);
        let mut workspace = Workspace::new();
        let forward = network.forward_train(&parameter, &x, batch, &mut workspace).unwrap();
        close(&forward.output, y, tolerance, "output")?;
        let gradients = network.backward(&parameter, &mut workspace, &dy, true).unwrap();
        close(&gradients.input.unwrap(), &dx, tolerance, "input gradient")?;
        close(&gradients.parameter, &dp, tolerance, "parameter gradient")?;
        let frozen = network.freeze(&parameter, &[], &["c", "x"]).unwrap();
        let outputs = frozen.run(&x, batch, &mut Scratch::new()).unwrap();
        close(&outputs[0], y, tolerance, "frozen output")?;
        prop_assert_eq!(&outputs[1], &x);
    }
    Ok(())
}

fn dot(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum()
}

/// Sets the norms' parameters to values that a trained network might have.
fn trained(plan: &Plan) -> (Vec<f32>, Vec<f32>) {
    let mut parameter = noise(plan.parameter_count(), 1);
    let mut buffers = noise(plan.buffer_count(), 5);
    for node in plan.nodes() {
        if let Operation::Conv(conv) = &node.operation {
            let gain = (conv.fan_in() as f32).sqrt().recip();
            parameter[node.places.weight.clone()].iter_mut().for_each(|w| *w *= gain);
        }
        parameter[node.places.norm_weight.clone()].iter_mut().for_each(|w| *w = 1.0 + 0.5 * *w);
        buffers[node.places.variance.clone()].iter_mut().for_each(|v| *v = 1.0 + 0.5 * *v);
    }
    (parameter, buffers)
}

/// A whole plan: values against the reference, gradients against its finite differences.
fn check_plan(plan: &Plan, batch: usize, options: Options) -> Result<(), TestCaseError> {
    let (parameter, buffers) = trained(plan);
    let x = noise(batch * size(plan.input()), 2);
    let dy = noise(batch * size(plan.output()), 3);
    let (values, statistics) = reference::run(plan, &double(&parameter), &Norms::Batch, &double(&x), batch);
    // Norms over values that hardly vary blow up every error before them.
    let vary = |node: &Node| statistics[node.places.variance.clone()].iter().all(|&v| v > 1e-3);
    prop_assume!(plan.nodes().iter().all(vary) && !reference::has_near_ties(plan, &values));
    let network = Network::new(plan, options);
    let mut workspace = Workspace::new();
    let forward = network.forward_train(&parameter, &x, batch, &mut workspace).unwrap();
    let tolerance = if options.exact { 2e-4 } else { 1e-3 };
    close(&forward.output, &values[plan.output_node()], tolerance, "output")?;
    close(&forward.statistics, &statistics, tolerance, "statistics")?;
    let gradients = network.backward(&parameter, &mut workspace, &dy, true).unwrap();
    let halves = !options.exact && Isa::detect() != Isa::detect().vectors();
    let back = (&gradients.parameter[..], &gradients.input.unwrap()[..]);
    check_gradients(plan, &parameter, &x, &dy, batch, back, halves)?;

    let frozen = network.freeze(&parameter, &buffers, &names(plan)).unwrap();
    let outputs = frozen.run(&x, batch, &mut Scratch::new()).unwrap();
    let running = double(&buffers);
    let (values, _) =
        reference::run(plan, &double(&parameter), &Norms::Running(&running), &double(&x), batch);
    for ((output, value), node) in outputs.iter().zip(&values).zip(plan.nodes()) {
        close(output, value, tolerance, &node.name)?;
    }
    Ok(())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.nodes().iter().map(|node| node.name.as_str()).collect()
}

fn check_gradients(
    plan: &Plan,
    parameter: &[f32],
    x: &[f32],
    dy: &[f32],
    batch: usize,
    (parameter_gradient, input_gradient): (&[f32], &[f32]),
    halves: bool,
) -> Result<(), TestCaseError> {
    let loss = |step: f64, dp: &[f64], dx: &[f64]| {
        let moved = |values: &[f32], direction: &[f64]| -> Vec<f64> {
            values.iter().zip(direction).map(|(&v, d)| f64::from(v) + step * d).collect()
        };
        let (values, _) = reference::run(plan, &moved(parameter, dp), &Norms::Batch, &moved(x, dx), batch);
        dot(dy, &values[plan.output_node()])
    };
    let difference =
        |step: f64, dp: &[f64], dx: &[f64]| (loss(step, dp, dx) - loss(-step, dp, dx)) / (2.0 * step);
    let check = |name: &str, got: f64, bound: f64, dp: &[f64], dx: &[f64]| {
        let expected = difference(1e-6, dp, dx);
        if (got - expected).abs() < bound {
            return Ok(());
        }
        // A chain of norms over values that hardly vary loses what differences are made of: by how much, another step tells.
        let noise = (expected - difference(4e-6, dp, dx)).abs();
        prop_assert!((got - expected).abs() < bound + 2.0 * noise, "{}: {} against {}", name, got, expected);
        Ok(())
    };
    // Where terms cancel, as before a norm, an error is that of the terms. Tiles of halves keep seventeen bits of them.
    let least = if halves { 1e-1 } else { 1e-2 };
    let scale = |g: &[f32]| g.iter().fold(least, |m: f64, &g| m.max(f64::from(g.abs())));
    for (view, seed) in plan.parameters().iter().zip(10..) {
        let mut direction = vec![0.0; parameter.len()];
        direction[view.range.clone()].copy_from_slice(&double(&noise(view.range.len(), seed)));
        let bound = 2e-3 * scale(&parameter_gradient[view.range.clone()]) * (view.range.len() as f64).sqrt();
        check(&view.name, dot(parameter_gradient, &direction), bound, &direction, &vec![0.0; x.len()])?;
    }
    let direction = double(&noise(x.len(), 9));
    let bound = 2e-3 * scale(input_gradient) * (x.len() as f64).sqrt();
    check("input", dot(input_gradient, &direction), bound, &vec![0.0; parameter.len()], &direction)
}

fn channels() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 2, 3, 5, 8, 12, 16, 20, 33, 48])
}

/// As many as fast convolution is used for.
fn many() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![48, 50, 64])
}

fn activation() -> impl Strategy<Value = Activation> {
    // Without a kink: there rounding may fall on either side.
    prop::sample::select(vec![Activation::None, Activation::Tanh, Activation::Sigmoid])
}

fn window() -> impl Strategy<Value = ([usize; 3], [usize; 3], [usize; 3])> {
    ([1..4usize, 1..6, 1..6], [1..5usize, 1..4, 1..4], [0..2usize, 0..3, 0..3])
}

/// A random network: each node reads one of the last few.
fn any_plan() -> impl Strategy<Value = Plan> {
    let input = ([1..4usize, 1..6, 1..10, 1..13]).prop_map(|shape| Plan::new("x", shape).unwrap());
    let node = (0..6usize, 0..4usize, channels(), window(), activation(), any::<[bool; 3]>());
    (input, prop::collection::vec(node, 1..6)).prop_map(|(plan, nodes)| {
        nodes.into_iter().fold(
            plan,
            |plan, (kind, back, cout, (kernel, stride, padding), activation, flags)| {
                let count = plan.nodes().len();
                let read = plan.nodes()[count - 1 - back.min(count - 1)].clone();
                let (name, input) = (format!("n{count}"), read.name.as_str());
                let before = plan.clone();
                let mut conv = Conv {
                    transposed: flags[0].then_some([0; 3]),
                    padding: std::array::from_fn(|a| padding[a].min(kernel[a] - 1)),
                    activation,
                    bias: flags[1],
                    ..Conv::new(read.shape[0], cout, kernel, stride)
                };
                if flags[2] {
                    conv = conv.norm(format!("bn{count}"));
                }
                let grown = match kind {
                    0 => plan.max_pool(&name, input, [1, 2, 2], [1, 2, 2]),
                    1 => plan.upsample(&name, input, [1, 2, 2]),
                    2 => {
                        let same: Vec<String> = plan
                            .nodes()
                            .iter()
                            .filter(|other| other.shape[1..] == read.shape[1..])
                            .map(|other| other.name.clone())
                            .collect();
                        let same: Vec<&str> = same.iter().map(String::as_str).collect();
                        plan.concat(&name, &same)
                    }
                    3 => plan.sample(&name, input, stride[0]),
                    _ => plan.conv(&name, input, conv),
                };
                // Kept small: the reference is slow, and a norm over a few values is ill-conditioned.
                match grown {
                    Ok(plan) => {
                        let grown = plan.nodes()[count].shape;
                        let few = flags[2] && kind > 3 && size(grown) / grown[0] < 6;
                        if few || size(grown) > 6000 { before } else { plan }
                    }
                    Err(_) => before,
                }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolution(
        (cin, cout, t, h, w, batch) in (channels(), channels(), 1..4usize, 1..7usize, 1..19usize, 1..4usize),
        (kernel, stride, padding) in window(),
        (activation, bias) in (activation(), any::<bool>()),
    ) {
        let conv = Conv { padding, activation, bias, ..Conv::new(cin, cout, kernel, stride) };
        check_conv(&conv, [cin, t, h, w], batch)?;
    }

    #[test]
    fn transposed_convolution(
        (cin, cout, t, h, w, batch) in (channels(), channels(), 1..3usize, 1..5usize, 1..17usize, 1..4usize),
        (kernel, stride, padding) in window(),
        extra in [0..3usize, 0..3, 0..3],
        (activation, bias) in (activation(), any::<bool>()),
    ) {
        let conv = Conv { padding, activation, bias, ..Conv::transposed(cin, cout, kernel, stride, extra) };
        check_conv(&conv, [cin, t, h, w], batch)?;
    }

    #[test]
    fn winograd_shapes(
        (cin, cout, t, h, w, batch) in (many(), many(), 1..4usize, 1..7usize, 1..11usize, 1..3usize),
        (transposed, temporal, steps, stride) in (any::<bool>(), any::<bool>(), 1..4usize, 1..3usize),
        extra in [0..3usize, 0..2],
    ) {
        let (kernel, steps) = if temporal { (3, steps) } else { (1, 1) };
        let extra = [extra[0].min(steps - 1), extra[1].min(stride - 1), 0];
        let conv = Conv::new(cin, cout, [kernel, 3, 3], [steps, stride, stride]);
        check_conv(&Conv { transposed: transposed.then_some(extra), ..conv }, [cin, t, h, w], batch)?;
    }

    #[test]
    fn random_networks(plan in any_plan(), batch in 2..4usize, exact in any::<bool>()) {
        check_plan(&plan, batch, Options { exact, ..Options::default() })?;
    }
}

#[test]
fn all_kinds_of_nodes_together() {
    let leaky = Activation::LeakyRelu(0.2);
    let plan = Plan::new("x", [3, 8, 8, 10])
        .and_then(|p| p.sample("slow", "x", 4))
        .and_then(|p| {
            p.conv("s1", "slow", Conv::new(3, 20, [1, 3, 3], [1, 2, 2]).norm("s1n").activation(leaky))
        })
        .and_then(|p| p.conv("f1", "x", Conv::new(3, 12, [5, 3, 3], [1, 2, 2]).norm("f1n").activation(leaky)))
        .and_then(|p| p.conv("l1", "f1", Conv::new(12, 20, [5, 1, 1], [4, 1, 1])))
        .and_then(|p| p.concat("j1", &["s1", "l1"]))
        .and_then(|p| p.conv("s2", "j1", Conv::new(40, 18, [3; 3], [1; 3]).norm("s2n").activation(leaky)))
        .and_then(|p| p.max_pool("p", "f1", [2, 2, 2], [2, 2, 2]))
        .and_then(|p| p.upsample("u", "p", [1, 2, 2]))
        .and_then(|p| {
            p.conv("f2", "u", Conv::new(12, 17, [3; 3], [2, 1, 1]).norm("f2n").activation(Activation::Relu))
        })
        .and_then(|p| p.conv("f3", "f2", Conv::transposed(17, 16, [1, 2, 2], [1; 3], [0; 3])))
        .and_then(|p| p.conv("f4", "f3", Conv::new(16, 16, [1, 3, 2], [1; 3]).padding([0, 1, 0])))
        .and_then(|p| {
            p.conv("d1", "s2", Conv::transposed(18, 17, [3; 3], [2; 3], [1; 3]).norm("d1n").activation(leaky))
        })
        .and_then(|p| {
            p.conv(
                "d2",
                "d1",
                Conv::transposed(17, 3, [3; 3], [2, 1, 1], [1, 0, 0]).activation(Activation::Tanh),
            )
        })
        .unwrap();
    for options in options() {
        check_plan(&plan, 2, options).unwrap();
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let plan = Plan::new("x", [1, 1, 1, 1])
        .unwrap()
        .conv("c", "x", Conv::new(1, 2, [1; 3], [1; 3]).norm("n"))
        .unwrap();
    let network = Network::new(&plan, Options::default());
    let parameter = vec![0.5; plan.parameter_count()];
    let mut workspace = Workspace::new();
    let error = network.forward_train(&parameter[1..], &[1.0], 1, &mut workspace).unwrap_err();
    assert_eq!(error, RunError::Size { what: "parameter", expected: 8, got: 7 });
    let error = network.forward_train(&parameter, &[1.0], 1, &mut workspace).unwrap_err();
    assert_eq!(error, RunError::OneValue { node: "c".to_owned() });
    assert_eq!(network.backward(&parameter, &mut workspace, &[], false), Err(RunError::NoForward));
    assert!(network.freeze(&parameter, &[], &["c"]).is_err());
    let buffers = plan.initial_buffers();
    let unknown = network.freeze(&parameter, &buffers, &["d"]).unwrap_err();
    assert_eq!(unknown, RunError::UnknownNode { name: "d".to_owned() });
    let frozen = network.freeze(&parameter, &buffers, &["c"]).unwrap();
    assert!(frozen.run(&[1.0, 2.0], 1, &mut Scratch::new()).is_err());
    assert_eq!(frozen.run(&[], 0, &mut Scratch::new()).unwrap(), vec![Vec::<f32>::new()]);
    assert_eq!(network.forward_train(&parameter, &[], 0, &mut workspace).unwrap().output, Vec::<f32>::new());
}
