//! Times the layers of the `mle` autoencoder one by one: forward, weight gradient, input gradient.
//!
//!     RAYON_NUM_THREADS=1 cargo run --release -p vadis-kernels --example image_layers -- [channels] [runs] [layer|all] [plain]
//!
//! `plain`: by vectors of floats alone, where the processor has tiles too. Prints milliseconds and GFLOP/s of the
//! processor's time (Linux), the best of some batches of 256.
#![allow(clippy::print_stdout, reason = "its output")]

mod clock;

use clock::processor_s;
use vadis_kernels::{Activation, Isa, Layer, Network, Plan, Scratch, Workspace};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 256;

fn best(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = processor_s();
        work()?;
        times.push(processor_s() - start);
    }
    Ok(times.into_iter().fold(f64::INFINITY, f64::min))
}

/// Multiply-adds of one image.
fn products(layer: &Layer, input: [usize; 3], output: [usize; 3]) -> usize {
    let weights: usize = layer.weight_shape().iter().product();
    match layer {
        Layer::Conv2d { .. } => weights * output[1] * output[2],
        Layer::ConvTranspose2d { .. } => weights * input[1] * input[2],
        _ => weights,
    }
}

fn measure(name: &str, input: [usize; 3], layer: &Layer, runs: usize) -> Result<()> {
    if std::env::args().nth(3).is_some_and(|only| only != name && only != "all") {
        return Ok(());
    }
    let plan = Plan::new(input)?.layer(name, layer.clone())?;
    let plain = std::env::args().nth(4).is_some();
    let isa = if plain { Isa::detect().vectors() } else { Isa::detect() };
    let network = Network::with_isa(&plan, isa);
    let values = |n: usize| (0..n).map(|i| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect::<Vec<f32>>();
    let parameter = values(plan.parameter_count());
    let x = values(BATCH * input.iter().product::<usize>());
    let dy = values(BATCH * plan.output().iter().product::<usize>());
    let frozen = network.freeze(&parameter)?;
    let mut workspace = Workspace::new();
    let output = network.forward(&parameter, &x, BATCH, &mut workspace)?;
    let (mut scratch, mut y) = (Scratch::default(), Vec::new());
    let forward = best(runs, || frozen.run_into(&x, BATCH, &mut scratch, &mut y).map_err(Into::into))?;
    let backward = |input: bool| {
        best(runs, || {
            network.backward(&parameter, &workspace, &output, &dy, input).map(drop).map_err(Into::into)
        })
    };
    let (weight, both) = (backward(false)?, backward(true)?);
    let work = 2e-9 * (BATCH * products(layer, input, plan.output())) as f64;
    print!("{name:9}");
    for seconds in [forward, weight, both - weight] {
        print!(" {:7.2} ms {:6.1}", seconds * 1e3, work / seconds);
    }
    println!();
    Ok(())
}

fn main() -> Result<()> {
    vadis_kernels::keep_freed_memory();
    let mut arguments = std::env::args().skip(1).take(2).map(|a| a.parse::<usize>());
    let channels = arguments.next().transpose()?.unwrap_or(3);
    let runs = arguments.next().transpose()?.unwrap_or(9);
    let (relu, extra) = (Activation::Relu, [1, 1]);
    println!("layer     forward     GFLOP/s weight gradient  input gradient");
    measure("conv1", [channels, 64, 128], &Layer::conv2d(channels, 16, 3, 2, relu), runs)?;
    measure("conv2", [16, 32, 64], &Layer::conv2d(16, 32, 3, 2, relu), runs)?;
    measure("conv3", [32, 16, 32], &Layer::conv2d(32, 64, 3, 2, relu), runs)?;
    measure("fc", [64, 8, 16], &Layer::linear(8192, 256, Activation::None), runs)?;
    measure("fc", [256, 1, 1], &Layer::linear(256, 8192, relu), runs)?;
    measure("deconv1", [64, 8, 16], &Layer::conv_transpose2d(64, 32, 3, 2, extra, relu), runs)?;
    measure("deconv2", [32, 16, 32], &Layer::conv_transpose2d(32, 16, 3, 2, extra, relu), runs)?;
    let last = Layer::conv_transpose2d(16, channels, 3, 2, extra, Activation::Sigmoid);
    measure("deconv3", [16, 32, 64], &last, runs)
}
