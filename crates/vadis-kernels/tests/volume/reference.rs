//! The same networks in 64-bit floats and plain loops.

use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, EPSILON, Node, Operation, Plan};

/// Uniform in ±1, from a counter: no two elements alike.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn apply(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => {
            if x > 0.0 {
                x
            } else {
                f64::from(slope) * x
            }
        }
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

/// Every product of a convolution: (input, weight, output) element.
pub(crate) fn products(conv: &Conv, input: [usize; 4], output: [usize; 4]) -> Vec<[usize; 3]> {
    let (small, large) = if conv.transposed.is_some() { (input, output) } else { (output, input) };
    let [kt, kh, kw] = conv.kernel;
    let mut all = Vec::new();
    for place in 0..small[1] * small[2] * small[3] {
        let s = [place / (small[2] * small[3]), place / small[3] % small[2], place % small[3]];
        for tap in 0..kt * kh * kw {
            let k = [tap / (kh * kw), tap / kw % kh, tap % kw];
            let l: Vec<usize> =
                (0..3).map(|a| (s[a] * conv.stride[a] + k[a]).wrapping_sub(conv.padding[a])).collect();
            if (0..3).any(|a| l[a] >= large[1 + a]) {
                continue;
            }
            let far = (l[0] * large[2] + l[1]) * large[3] + l[2];
            let volume = |shape: [usize; 4]| shape[1] * shape[2] * shape[3];
            for i in 0..conv.cin {
                for o in 0..conv.cout {
                    let taps = kt * kh * kw;
                    all.push(match conv.transposed {
                        None => [
                            i * volume(input) + far,
                            (o * conv.cin + i) * taps + tap,
                            o * volume(output) + place,
                        ],
                        Some(_) => [
                            i * volume(input) + place,
                            (i * conv.cout + o) * taps + tap,
                            o * volume(output) + far,
                        ],
                    });
                }
            }
        }
    }
    all
}

pub(crate) fn size(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// How norms get their statistics: from the batch, or from the running ones.
pub(crate) enum Norms<'a> {
    Batch,
    Running(&'a [f64]),
}

/// Every node's values, and the batch's statistics in the order of the buffers.
pub(crate) fn run(
    plan: &Plan,
    parameter: &[f64],
    norms: &Norms<'_>,
    x: &[f64],
    batch: usize,
) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut values: Vec<Vec<f64>> = Vec::new();
    let mut statistics = vec![0.0; plan.buffer_count()];
    for node in plan.nodes() {
        let value = match &node.operation {
            Operation::Input => x.to_vec(),
            Operation::Conv(conv) => {
                let input = &plan.nodes()[node.inputs[0]];
                let mut y = convolve(conv, node, input.shape, parameter, &values[node.inputs[0]], batch);
                if conv.norm.is_some() {
                    normalise(node, parameter, norms, &mut y, batch, &mut statistics);
                }
                y.iter_mut().for_each(|y| *y = apply(conv.activation, *y));
                y
            }
            Operation::Concat => {
                let mut joined = Vec::new();
                for sample in 0..batch {
                    for &input in &node.inputs {
                        let len = values[input].len() / batch;
                        joined.extend_from_slice(&values[input][sample * len..][..len]);
                    }
                }
                joined
            }
            _ => select(node, plan.nodes()[node.inputs[0]].shape, &values[node.inputs[0]], batch),
        };
        values.push(value);
    }
    (values, statistics)
}

fn convolve(
    conv: &Conv,
    node: &Node,
    input: [usize; 4],
    parameter: &[f64],
    x: &[f64],
    batch: usize,
) -> Vec<f64> {
    let all = products(conv, input, node.shape);
    let (n_in, n_out) = (size(input), size(node.shape));
    let weight = &parameter[node.places.weight.clone()];
    let bias = &parameter[node.places.bias.clone()];
    let mut y = vec![0.0; batch * n_out];
    for sample in 0..batch {
        let y = &mut y[sample * n_out..][..n_out];
        for (i, y) in y.iter_mut().enumerate() {
            *y = bias.get(i / (n_out / conv.cout)).copied().unwrap_or(0.0);
        }
        for &[i, w, o] in &all {
            y[o] += x[sample * n_in + i] * weight[w];
        }
    }
    y
}

fn normalise(
    node: &Node,
    parameter: &[f64],
    norms: &Norms<'_>,
    y: &mut [f64],
    batch: usize,
    statistics: &mut [f64],
) {
    let channels = node.shape[0];
    let plane = size(node.shape) / channels;
    for c in 0..channels {
        let places: Vec<usize> =
            (0..batch).flat_map(|s| (s * channels + c) * plane..(s * channels + c + 1) * plane).collect();
        let count = places.len() as f64;
        let (mean, variance) = match norms {
            Norms::Batch => {
                let mean = places.iter().map(|&i| y[i]).sum::<f64>() / count;
                let squares = places.iter().map(|&i| (y[i] - mean).powi(2)).sum::<f64>();
                statistics[node.places.mean.start + c] = mean;
                statistics[node.places.variance.start + c] = squares / (count - 1.0);
                (mean, squares / count)
            }
            Norms::Running(buffers) => {
                (buffers[node.places.mean.start + c], buffers[node.places.variance.start + c])
            }
        };
        let gain = parameter[node.places.norm_weight.start + c] / (variance + f64::from(EPSILON)).sqrt();
        for i in places {
            y[i] = (y[i] - mean) * gain + parameter[node.places.norm_bias.start + c];
        }
    }
}

fn select(node: &Node, [channels, t, h, w]: [usize; 4], x: &[f64], batch: usize) -> Vec<f64> {
    let (kernel, stride, factor) = match node.operation {
        Operation::MaxPool { kernel, stride } => (kernel, stride, [1; 3]),
        Operation::Upsample { factor } => ([1; 3], [1; 3], factor),
        Operation::Sample { step } => ([1; 3], [step, 1, 1], [1; 3]),
        _ => unreachable!(),
    };
    let mut y = Vec::new();
    for plane in 0..batch * channels {
        for place in 0..size(node.shape) / channels {
            let [_, _, ho, wo] = node.shape;
            let p = [place / (ho * wo), place / wo % ho, place % wo];
            let start = std::array::from_fn(|a| p[a] / factor[a] * stride[a]);
            let window = window(&x[plane * t * h * w..], [h, w], kernel, start);
            y.push(window.fold(f64::NEG_INFINITY, f64::max));
        }
    }
    y
}

/// The values of a window of a plane of `[time, height, width]`.
fn window(
    plane: &[f64],
    [h, w]: [usize; 2],
    kernel: [usize; 3],
    start: [usize; 3],
) -> impl Iterator<Item = f64> {
    let [t0, y0, x0] = start;
    (0..kernel.iter().product()).map(move |k: usize| {
        let [t, y, x] = [k / (kernel[1] * kernel[2]), k / kernel[2] % kernel[1], k % kernel[2]];
        plane[((t0 + t) * h + y0 + y) * w + x0 + x]
    })
}

/// Whether a window of a max pooling holds two largest values that rounding may turn round; equal ones are copies of one.
pub(crate) fn has_near_ties(plan: &Plan, values: &[Vec<f64>]) -> bool {
    plan.nodes().iter().any(|node| {
        let Operation::MaxPool { kernel, stride } = node.operation else { return false };
        let [_, t, h, w] = plan.nodes()[node.inputs[0]].shape;
        let [_, to, ho, wo] = node.shape;
        let x = &values[node.inputs[0]];
        x.chunks_exact(t * h * w).any(|plane| {
            (0..to * ho * wo).any(|place| {
                let p = [place / (ho * wo), place / wo % ho, place % wo];
                let start = std::array::from_fn(|a| p[a] * stride[a]);
                let mut values: Vec<f64> = window(plane, [h, w], kernel, start).collect();
                values.sort_by(|a, b| b.total_cmp(a));
                matches!(values[..], [first, second, ..] if first != second && first - second < 1e-4)
            })
        })
    })
}
