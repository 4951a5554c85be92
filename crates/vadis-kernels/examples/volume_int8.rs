//! Times inference in bytes against inference in floats, interleaved, and compares their outputs; with
//! `layers` each convolution by itself too.
//!
//!     cargo run --release -p vadis-kernels --example volume_int8 -- ae3d|itae|cae [runs] [layers] [cpu]
//!
//! The weights are random, the norms' statistics those of the clips, and the clips smooth patterns.
//! `cpu` counts the threads' time on a processor (Linux) instead of the clock's: on a machine with
//! other work, with `RAYON_NUM_THREADS=1`.
#![allow(clippy::print_stdout, reason = "its output")]

use clock::{median, now};
use vadis_kernels::volume::{Network, Operation, Options, Plan, Scratch, Workspace};

mod clock;
#[path = "../tests/volume/plans.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod plans;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn size(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

fn noise(len: usize) -> Vec<f32> {
    let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
    (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 25) as f32 - 0.25).collect()
}

/// Moving waves in −1 to 1, another for each clip.
fn waves(shape: [usize; 4], clips: usize) -> Vec<f32> {
    let [c, t, h, w] = shape;
    let wave = |i: usize| {
        let [x, y, t, c, clip] =
            [i % w, i / w % h, i / (w * h) % t, i / (t * w * h) % c, i / (c * t * w * h)].map(|n| n as f32);
        let slow = (0.021 * x + 0.013 * y + 0.11 * t + c).sin() * (0.034 * y - 0.017 * x + clip).cos();
        0.6 * slow + 0.4 * (0.31 * x - 0.23 * y + 0.5 * t + 2.0 * clip).sin() * (0.05 * x).cos()
    };
    (0..clips * size(shape)).map(wave).collect()
}

/// Random weights, and the statistics of the norms over `x`.
fn parameter(plan: &Plan, x: &[f32]) -> Result<[Vec<f32>; 2]> {
    let mut parameter = noise(plan.parameter_count());
    for node in plan.nodes() {
        if let Operation::Conv(conv) = &node.operation {
            let gain = 8.0 / (conv.fan_in() as f32).sqrt();
            parameter[node.places.weight.clone()].iter_mut().for_each(|w| *w *= gain);
            parameter[node.places.norm_weight.clone()].fill(1.0);
        }
    }
    let network = Network::new(plan, Options::default());
    let clips = x.len() / size(plan.input());
    let buffers = network.forward_train(&parameter, x, clips, &mut Workspace::new())?.statistics;
    Ok([parameter, buffers])
}

/// Signal to error, in decibels.
fn snr(exact: &[f32], got: &[f32]) -> f64 {
    let mean = exact.iter().map(|&v| f64::from(v)).sum::<f64>() / exact.len() as f64;
    let signal: f64 = exact.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let error: f64 = exact.iter().zip(got).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    10.0 * (signal / error).log10()
}

struct Measured {
    floats: f64,
    bytes: f64,
    snr: f64,
}

fn measure(plan: &Plan, clips: usize, runs: usize) -> Result<Measured> {
    let x = waves(plan.input(), clips);
    let [parameter, buffers] = parameter(plan, &x)?;
    let network = Network::new(plan, Options::default());
    let output = [&plan.nodes()[plan.output_node()].name[..]];
    let floats = network.freeze(&parameter, &buffers, &output)?;
    let bytes = network.freeze_int8(&parameter, &buffers, &output, &x[..size(plan.input())])?;
    let mut scratch = [Scratch::new(), Scratch::new()];
    let mut times = [vec![], vec![]];
    let mut ratio = 0.0;
    for run in 0..=runs {
        let start = now();
        let exact = floats.run(&x, clips, &mut scratch[0])?;
        let middle = now();
        let got = bytes.run(&x, clips, &mut scratch[1])?;
        if run > 0 {
            times[0].push(middle - start);
            times[1].push(now() - middle);
        }
        ratio = snr(&exact[0], &got[0]);
    }
    let [floats, bytes] = times.map(median);
    Ok(Measured { floats, bytes, snr: ratio })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("ae3d", String::as_str);
    let runs = arguments.get(1).map_or(Ok(7), |runs| runs.parse())?;
    let (plan, clips) = match name {
        "itae" => (plans::itae(3, 256)?, 1),
        "cae" => (plans::cae(200)?, 16),
        _ => (plans::ae3d(256)?, 1),
    };
    if arguments.iter().any(|argument| argument == "layers") {
        println!("{:18} {:>9} {:>12} {:>12} {:>7}", "layer", "GFLOP", "floats, /s", "bytes, /s", "ratio");
        for node in plan.nodes() {
            let Operation::Conv(conv) = &node.operation else { continue };
            let input = plan.nodes()[node.inputs[0]].shape;
            let mut layer = Plan::new("x", input)?.conv(&node.name, "x", conv.clone())?;
            if *node != plan.nodes()[plan.output_node()] {
                // Read by another node, its values are bytes, as in the network.
                layer = layer.sample("few", &node.name, 16)?;
            }
            let gigas = plan.node_flops(node) * clips as f64 / 1e9;
            let Measured { floats, bytes, .. } = measure(&layer, clips, runs)?;
            let (name, ratio) = (&node.name, floats / bytes);
            println!("{name:18} {gigas:9.2} {:12.1} {:12.1} {ratio:7.2}", gigas / floats, gigas / bytes);
        }
    }
    let gigas = plan.flops() * clips as f64 / 1e9;
    let Measured { floats, bytes, snr } = measure(&plan, clips, runs)?;
    println!("{name}, {clips} of {gigas:.1} GFLOP together:");
    println!(
        "floats {floats:.4} s ({:.0} GFLOP/s), bytes {bytes:.4} s ({:.0})",
        gigas / floats,
        gigas / bytes
    );
    println!("ratio {:.2}, signal to error {snr:.1} dB", floats / bytes);
    Ok(())
}
