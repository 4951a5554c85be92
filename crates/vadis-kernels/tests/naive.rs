//! The kernels against sums written out in 64-bit floats, over all instruction sets of the machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use vadis_kernels::{Activation, Isa, Layer, Network, Plan, Workspace};

/// Uniform in ±1, from a counter: no two elements alike.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Backwards {
    dx: Vec<f64>,
    dw: Vec<f64>,
    db: Vec<f64>,
}

/// Every product of a layer: (input element, weight element, output element).
fn products(layer: &Layer, [ci, hi, wi]: [usize; 3], [co, ho, wo]: [usize; 3]) -> Vec<[usize; 3]> {
    let mut all = Vec::new();
    let (transposed, kernel, stride, padding) = match *layer {
        Layer::Conv2d { kernel, stride, padding, .. } => (false, kernel, stride, padding),
        Layer::ConvTranspose2d { kernel, stride, padding, .. } => (true, kernel, stride, padding),
        Layer::Linear { input, output, .. } => {
            return (0..output).flat_map(|o| (0..input).map(move |i| [i, o * input + i, o])).collect();
        }
        Layer::Reshape { .. } => unreachable!(),
    };
    let (small, large) = if transposed { ([hi, wi], [ho, wo]) } else { ([ho, wo], [hi, wi]) };
    for y in 0..small[0] {
        for x in 0..small[1] {
            for ky in 0..kernel[0] {
                for kx in 0..kernel[1] {
                    let (ly, lx) = (y * stride[0] + ky, x * stride[1] + kx);
                    if ly < padding[0] || lx < padding[1] {
                        continue;
                    }
                    let (ly, lx) = (ly - padding[0], lx - padding[1]);
                    if ly >= large[0] || lx >= large[1] {
                        continue;
                    }
                    for i in 0..ci {
                        for o in 0..co {
                            let tap = ky * kernel[1] + kx;
                            let area = kernel[0] * kernel[1];
                            all.push(if transposed {
                                [(i * hi + y) * wi + x, (i * co + o) * area + tap, (o * ho + ly) * wo + lx]
                            } else {
                                [(i * hi + ly) * wi + lx, (o * ci + i) * area + tap, (o * ho + y) * wo + x]
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn close(got: &[f32], expected: &[f64], within: f64, what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len());
    // The terms of a sum are of order 1: where they cancel, the error is relative to them, not to what is left.
    let scale = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        prop_assert!((f64::from(g) - e).abs() <= within * scale, "{} [{}]: {} against {}", what, i, g, e);
    }
    Ok(())
}

/// One layer of `[c, h, w]` images against the sums written out.
fn check_layer(layer: &Layer, input: [usize; 3], batch: usize) -> Result<(), TestCaseError> {
    let Ok(plan) = Plan::new(input).and_then(|p| p.layer("l", layer.clone())) else { return Ok(()) };
    let output = plan.output();
    let (n_in, n_out): (usize, usize) = (input.iter().product(), output.iter().product());
    let parameter = noise(plan.parameter_count(), 1);
    let (x, dy) = (noise(batch * n_in, 2), noise(batch * n_out, 3));
    let bias = &parameter[plan.steps()[0].bias.clone()];
    let channel = n_out / bias.len();
    let all = products(layer, input, output);
    let activation = layer.activation();
    let mut y = vec![0.0f64; batch * n_out];
    for n in 0..batch {
        for o in 0..n_out {
            y[n * n_out + o] = f64::from(bias[o / channel]);
        }
        for &[i, w, o] in &all {
            y[n * n_out + o] += f64::from(x[n * n_in + i]) * f64::from(parameter[w]);
        }
    }
    y.iter_mut().for_each(|y| *y = f64::from(activation.apply(*y as f32)));
    let mut back = Backwards {
        dx: vec![0.0; batch * n_in],
        dw: vec![0.0; parameter.len() - bias.len()],
        db: vec![0.0; bias.len()],
    };
    for n in 0..batch {
        let pre = |o: usize| {
            f64::from(dy[n * n_out + o]) * f64::from(activation.derivative(y[n * n_out + o] as f32))
        };
        for &[i, w, o] in &all {
            back.dx[n * n_in + i] += pre(o) * f64::from(parameter[w]);
            back.dw[w] += pre(o) * f64::from(x[n * n_in + i]);
        }
        (0..n_out).for_each(|o| back.db[o / channel] += pre(o));
    }
    for isa in Isa::available() {
        let network = Network::with_isa(&plan, isa);
        // Tiles of halves keep seventeen bits of a term.
        let within = if isa.vectors() == isa { 2e-5 } else { 5e-4 };
        let mut workspace = Workspace::new();
        let got = network.forward(&parameter, &x, batch, &mut workspace).unwrap();
        close(&got, &y, within, "output")?;
        let gradients = network.backward(&parameter, &workspace, &got, &dy, true).unwrap();
        close(&gradients.input.unwrap(), &back.dx, within, "input gradient")?;
        close(&gradients.parameter[..back.dw.len()], &back.dw, within, "weight gradient")?;
        close(&gradients.parameter[back.dw.len()..], &back.db, within, "bias gradient")?;
        let frozen = network.freeze(&parameter).unwrap().run(&x, batch).unwrap();
        prop_assert_eq!(frozen, got);
    }
    Ok(())
}

fn channels() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 2, 3, 5, 8, 16, 20, 33])
}

fn activation() -> impl Strategy<Value = Activation> {
    // Without a kink: there rounding may fall on either side.
    prop::sample::select(vec![Activation::None, Activation::Tanh, Activation::Sigmoid])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolution(
        (cin, cout, h, w, batch) in (channels(), channels(), 1..9usize, 1..18usize, 1..3usize),
        (kernel, stride, padding) in ([1..6usize, 1..6], [1..4usize, 1..4], [0..3usize, 0..3]),
        activation in activation(),
    ) {
        let layer = Layer::Conv2d { cin, cout, kernel, stride, padding, activation };
        check_layer(&layer, [cin, h, w], batch)?;
    }

    #[test]
    fn transposed_convolution(
        (cin, cout, h, w, batch) in (channels(), channels(), 1..6usize, 1..18usize, 1..3usize),
        (kernel, stride, padding) in ([1..6usize, 1..6], [1..4usize, 1..4], [0..3usize, 0..3]),
        output_padding in [0..3usize, 0..3],
        activation in activation(),
    ) {
        let layer = Layer::ConvTranspose2d { cin, cout, kernel, stride, padding, output_padding, activation };
        check_layer(&layer, [cin, h, w], batch)?;
    }

    #[test]
    fn fully_connected(input in 1..700usize, output in 1..40usize, batch in 1..20usize, activation in activation()) {
        check_layer(&Layer::Linear { input, output, activation }, [input, 1, 1], batch)?;
    }
}
