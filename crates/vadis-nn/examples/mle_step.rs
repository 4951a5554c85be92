//! Times one training step of the `mle` autoencoder (64×128 frames, batch 256): our kernels, burn's
//! own operations and, where a Python with PyTorch is named, PyTorch; interleaved, medians.
//!
//! ```text
//! cargo run --release -p vadis-nn --example mle_step -- [channels] [repeats] [python]
//! ```
//!
//! A step is forward, mean squared error, backward and Adam.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_nn::loss::mse;
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::{Activation, Layer, Plan, Segment};

const BATCH: usize = 256;
const SIZE: [usize; 2] = [64, 128];

fn autoencoder(channels: usize) -> Result<Plan, Box<dyn Error>> {
    let [h, w] = SIZE;
    let (relu, extra) = (Activation::Relu, [1, 1]);
    let shape = [64, h / 8, w / 8];
    let features = shape.iter().product();
    Ok(Plan::new([channels, h, w])?
        .layer("conv1", Layer::conv2d(channels, 16, 3, 2, relu))?
        .layer("conv2", Layer::conv2d(16, 32, 3, 2, relu))?
        .layer("conv3", Layer::conv2d(32, 64, 3, 2, relu))?
        .layer("encode", Layer::linear(features, 256, Activation::None))?
        .layer("decode", Layer::linear(256, features, relu))?
        .layer("shape", Layer::Reshape { shape })?
        .layer("deconv1", Layer::conv_transpose2d(64, 32, 3, 2, extra, relu))?
        .layer("deconv2", Layer::conv_transpose2d(32, 16, 3, 2, extra, relu))?
        .layer("deconv3", Layer::conv_transpose2d(16, channels, 3, 2, extra, Activation::Sigmoid))?)
}

type Forward = fn(&Segment, Tensor<4>) -> Tensor<4>;

struct Ours {
    segment: Segment,
    state: OptimiserState,
    forward: Forward,
}

impl Ours {
    fn new(plan: &Plan, device: &Device, forward: Forward) -> Self {
        let segment = Segment::new(plan, device, &mut ChaCha8Rng::seed_from_u64(0));
        Self { segment, state: Adam::state(plan.parameter_count()), forward }
    }

    /// Seconds of a step, and of forward and backward alone.
    fn step(&mut self, x: &Tensor<4>) -> Result<[f64; 2], Box<dyn Error>> {
        let start = Instant::now();
        let y = (self.forward)(&self.segment, x.clone());
        let gradients = mse(y, x.clone())?.backward();
        let gradient = gradient_of(&self.segment.weight, &gradients)?;
        let network = start.elapsed().as_secs_f64();
        Optimiser::default().step(&mut self.state, &mut self.segment.weight, &gradient, Step::of(5e-4))?;
        Ok([start.elapsed().as_secs_f64(), network])
    }
}

/// `benches/mle_step.py`: a step for each line that it reads, its seconds on a line of their own.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str, channels: usize) -> Result<Self, Box<dyn Error>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/mle_step.py");
        let mut child = Command::new(python)
            .args([script, &channels.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, input, output })
    }

    fn step(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.input, "step")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }

    fn stop(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let channels = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let repeats: usize = arguments.next().map_or(Ok(7), |n| n.parse())?;
    let mut peer = arguments.next().map(|python| Peer::start(&python, channels)).transpose()?;
    let plan = autoencoder(channels)?;
    let device = Device::flex().autodiff();
    let [h, w] = SIZE;
    let x = Tensor::random([BATCH, channels, h, w], Distribution::Uniform(0.0, 1.0), &device);
    let mut kernels = Ours::new(&plan, &device, Segment::forward);
    let mut burns = Ours::new(&plan, &device, Segment::forward_reference);
    let mut times: [Vec<f64>; 4] = Default::default();
    // The first round pays for memory.
    for round in 0..=repeats {
        let [ours, network] = kernels.step(&x)?;
        let [burn, _] = burns.step(&x)?;
        let torch = peer.as_mut().map_or(Ok(f64::NAN), Peer::step)?;
        if round > 0 {
            times.iter_mut().zip([ours, network, burn, torch]).for_each(|(list, t)| list.push(t));
        }
    }
    let [ours, network, burn, torch] = times.map(median);
    println!("{channels} channels, batch {BATCH}, {h}x{w}, medians of {repeats}");
    println!("vadis    {ours:.3} s a step, {network:.3} s of it forward and backward");
    println!("burn     {burn:.3} s, {:.1} times vadis", burn / ours);
    if let Some(peer) = peer {
        println!("pytorch  {torch:.3} s, {:.1} times vadis", torch / ours);
        peer.stop()?;
    }
    Ok(())
}
