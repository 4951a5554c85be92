//! Times a network over clips: inference, training step, and each convolution by itself.
//!
//!     cargo run --release -p vadis-kernels --example volume_step -- ae3d|itae|cae|coupling|small-coupling [runs] [layers] [exact|vectors] [cpu]
//!
//! `exact`: plain sums of floats; `vectors`: no tiles of halves, where the processor has them. `cpu` counts the threads'
//! time on a processor (Linux) instead of the clock's: on a machine with other work, with `RAYON_NUM_THREADS=1`.
#![allow(clippy::print_stdout, reason = "its output")]

use clock::{median, now};
use vadis_kernels::Isa;
use vadis_kernels::volume::{Network, Operation, Options, Plan, Scratch, Workspace};

mod clock;
#[path = "../tests/volume/plans.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod plans;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Median seconds of `runs`, after one that is not counted.
fn time(runs: usize, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = now();
        f()?;
        times.push(now() - start);
    }
    Ok(median(times))
}

fn noise(len: usize) -> Vec<f32> {
    let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
    (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 25) as f32 - 0.25).collect()
}

fn parameter(plan: &Plan) -> Vec<f32> {
    let mut parameter = noise(plan.parameter_count());
    for node in plan.nodes() {
        if let Operation::Conv(conv) = &node.operation {
            let gain = 4.0 / (conv.fan_in() as f32).sqrt();
            parameter[node.places.weight.clone()].iter_mut().for_each(|w| *w *= gain);
            parameter[node.places.norm_weight.clone()].fill(1.0);
        }
    }
    parameter
}

fn size(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

struct Times {
    inference: f64,
    forward: f64,
    backward: f64,
}

fn measure(
    plan: &Plan,
    options: Options,
    [clips, batch]: [usize; 2],
    runs: usize,
    want_input: bool,
) -> Result<Times> {
    let network = Network::new(plan, options);
    let parameter = parameter(plan);
    let output = plan.nodes()[plan.output_node()].name.clone();
    let frozen = network.freeze(&parameter, &plan.initial_buffers(), &[&output])?;
    let (x, mut scratch) = (noise(clips.max(batch) * size(plan.input())), Scratch::new());
    let inference = time(runs, || {
        frozen.run(&x[..clips * size(plan.input())], clips, &mut scratch)?;
        Ok(())
    })?;
    let (x, dy) = (&x[..batch * size(plan.input())], noise(batch * size(plan.output())));
    let mut workspace = Workspace::new();
    let mut backward = Vec::new();
    let both = time(runs, || {
        network.forward_train(&parameter, x, batch, &mut workspace)?;
        let start = now();
        network.backward(&parameter, &mut workspace, &dy, want_input)?;
        backward.push(now() - start);
        Ok(())
    })?;
    let backward = median(backward.split_off(1));
    Ok(Times { inference, forward: both - backward, backward })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("ae3d", String::as_str);
    let runs = arguments.get(1).map_or(Ok(5), |runs| runs.parse())?;
    let (plan, clips, batch) = match name {
        "itae" => (plans::itae(3, 256)?, 1, 2),
        "cae" => (plans::cae(200)?, 16, 16),
        "coupling" => (plans::coupling(8, 512, [30, 45])?, 8, 8),
        "small-coupling" => (plans::coupling(8, 64, [15, 22])?, 8, 8),
        _ => (plans::ae3d(256)?, 1, 2),
    };
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let isa = has("vectors").then(|| Isa::detect().vectors());
    let options = Options { exact: has("exact"), isa, ..Options::default() };
    if arguments.iter().any(|argument| argument == "layers") {
        println!(
            "{:18} {:>9} {:>9} {:>9} {:>9}  GFLOP/s",
            "layer", "GFLOP", "inference", "forward", "backward"
        );
        for node in plan.nodes() {
            let Operation::Conv(conv) = &node.operation else { continue };
            let input = plan.nodes()[node.inputs[0]].shape;
            // One slice is asked for: in a network the others are not brought into planes.
            let layer = Plan::new("x", input)?.conv(&node.name, "x", conv.clone())?.sample(
                "slice",
                &node.name,
                node.shape[1],
            )?;
            let gigas = plan.node_flops(node) / 1e9;
            let first = node.inputs[0] == 0;
            let times = measure(&layer, options, [clips, batch], runs, !first)?;
            let twice = if first { 1.0 } else { 2.0 };
            println!(
                "{:18} {gigas:9.2} {:9.1} {:9.1} {:9.1}",
                node.name,
                gigas * clips as f64 / times.inference,
                gigas * batch as f64 / times.forward,
                twice * gigas * batch as f64 / times.backward
            );
        }
    }
    let gigas = plan.flops() / 1e9;
    let times = measure(&plan, options, [clips, batch], runs, false)?;
    println!("{name}: {gigas:.1} GFLOP a clip");
    println!(
        "inference of {clips}: {:.4} s, {:.0} GFLOP/s",
        times.inference,
        gigas * clips as f64 / times.inference
    );
    println!("training step of {batch}: {:.4} s forward, {:.4} s backward", times.forward, times.backward);
    Ok(())
}
