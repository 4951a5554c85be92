//! Times losses (value and gradient) and optimiser updates: ours, burn's own operations where there is such
//! a path, and PyTorch where a Python with it is named; interleaved, medians.
//!
//! ```text
//! cargo run --release -p vadis-nn --example losses -- [repeats] [python] [case...]
//! ```
//!
//! Printed are elapsed milliseconds and, in brackets, those that the process's threads spent on a processor
//! (Linux only): on a shared machine the second is what can be compared.
//!
//! Clips are 2 × 16 frames of 256×256 RGB, latents 256 × 256, parameters 7 740 491. Threads are rayon's
//! (`RAYON_NUM_THREADS`), and PyTorch gets as many.

#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Tensor};
use vadis_nn::Values;
use vadis_nn::loss::{Bandwidth, FrameLoss, RenyiEntropy, gradient_loss, ms_ssim_loss, mse};
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Sgd, Step};

const CLIP: [usize; 5] = [2, 3, 16, 256, 256];
const LATENTS: [usize; 2] = [256, 256];
const PARAMETERS: usize = 7_740_491;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One measurement: its name, the peers' names, and a run of ours in seconds.
struct Case<'a> {
    name: &'static str,
    peers: &'static [&'static str],
    run: Box<dyn FnMut() -> Outcome<[f64; 2]> + 'a>,
}

/// Value and gradient of a loss of a new leaf.
fn backward<const D: usize>(
    x: &Tensor<D>,
    loss: impl FnOnce(Tensor<D>) -> Outcome<Tensor<1>>,
) -> Outcome<[f64; 2]> {
    let x = x.clone().detach().require_grad();
    timed(|| {
        black_box(x.grad(&loss(x.clone())?.backward()));
        Ok(())
    })
}

/// Seconds elapsed, and on a processor.
fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<[f64; 2]> {
    let (start, before) = (Instant::now(), processor_seconds());
    work()?;
    Ok([start.elapsed().as_secs_f64(), processor_seconds() - before])
}

/// What all threads of this process have spent on a processor; NaN where the system does not tell.
fn processor_seconds() -> f64 {
    let nanoseconds = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    tasks.flatten().filter_map(nanoseconds).sum::<f64>() * 1e-9
}

/// One update.
struct Update {
    optimiser: Optimiser,
    state: OptimiserState,
    parameter: Param<Tensor<1>>,
    gradient: Values,
}

impl Update {
    fn new(optimiser: Optimiser, device: &Device) -> Outcome<Self> {
        let values = || Tensor::<1>::random([PARAMETERS], Distribution::Normal(0.0, 1.0), device);
        Ok(Self {
            optimiser,
            state: optimiser.state(PARAMETERS),
            parameter: Param::initialized(ParamId::new(), values().require_grad()),
            gradient: Values::of(values())?,
        })
    }

    fn run(&mut self) -> Outcome<[f64; 2]> {
        timed(|| {
            let step = Step::of(1e-3);
            Ok(self.optimiser.step(&mut self.state, &mut self.parameter, &self.gradient, step)?)
        })
    }
}

/// `benches/losses.py`: a measurement for each line that it reads, its seconds on a line of their own,
/// elapsed and on a processor.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str) -> Outcome<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/losses.py");
        let threads = rayon::current_num_threads().to_string();
        let mut child = Command::new(python)
            .args([script, &threads])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, input, output })
    }

    fn run(&mut self, name: &str) -> Outcome<[f64; 2]> {
        writeln!(self.input, "{name}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (elapsed, processor) = line.trim().split_once(' ').ok_or("no answer")?;
        Ok([elapsed.parse()?, processor.parse()?])
    }

    fn stop(mut self) -> Outcome<()> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}

fn medians(times: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|kind| {
        let mut values: Vec<f64> = times.iter().map(|time| time[kind]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

fn measure(case: &mut Case<'_>, repeats: usize, mut peer: Option<&mut Peer>) -> Outcome<()> {
    let mut times = vec![Vec::new(); 1 + case.peers.len()];
    // The first rounds pay for memory.
    for round in 0..repeats + 2 {
        let mut round_times = vec![(case.run)()?];
        if let Some(peer) = &mut peer {
            for name in case.peers {
                round_times.push(peer.run(name)?);
            }
        }
        if round >= 2 {
            times.iter_mut().zip(round_times).for_each(|(list, time)| list.push(time));
        }
    }
    let ours = medians(&times.remove(0));
    print!("{:<10} {:9.3} [{:.3}] ms", case.name, ours[0] * 1e3, ours[1] * 1e3);
    for (name, times) in case.peers.iter().zip(times).filter(|(_, times)| !times.is_empty()) {
        let theirs = medians(&times);
        let ratios = [theirs[0] / ours[0], theirs[1] / ours[1]];
        print!("   torch {name} {:.3} [{:.3}] ms,", theirs[0] * 1e3, theirs[1] * 1e3);
        print!(" {:.2} [{:.2}] times", ratios[0], ratios[1]);
    }
    println!();
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let repeats: usize = arguments.next().map_or(Ok(7), |n| n.parse())?;
    let mut peer = arguments.next().map(|python| Peer::start(&python)).transpose()?;
    let wanted: Vec<String> = arguments.collect();
    let device = Device::flex().autodiff();
    let x = Tensor::<5>::random(CLIP, Distribution::Uniform(-1.0, 1.0), &device);
    let noise = Tensor::<5>::random(CLIP, Distribution::Uniform(-1.0, 1.0), &device);
    let target = x.clone().mul_scalar(0.7) + noise.mul_scalar(0.3);
    let latents = Tensor::<2>::random(LATENTS, Distribution::Normal(0.0, 1.0), &device);
    let mut entropy = RenyiEntropy::new(Bandwidth::Median);
    let mut adam = Update::new(Optimiser::default(), &device)?;
    let mut adamw = Update::new(Optimiser::Adam(Adam::decoupled(0.01)), &device)?;
    let mut sgd = Update::new(Optimiser::Sgd(Sgd { momentum: 0.9, weight_decay: 0.0 }), &device)?;
    let on_clip = |loss: fn(Tensor<5>, Tensor<5>) -> Outcome<Tensor<1>>| {
        let (x, target) = (x.clone(), target.clone());
        Box::new(move || backward(&x, |x| loss(x, target.clone())))
    };
    let cases = [
        Case {
            name: "renyi",
            peers: &["renyi"],
            run: Box::new(|| backward(&latents, |z| Ok(entropy.forward(z)?.loss))),
        },
        Case { name: "mse", peers: &["mse"], run: on_clip(|x, y| Ok(mse(x, y)?)) },
        Case { name: "gradient", peers: &["gradient"], run: on_clip(|x, y| Ok(gradient_loss(x, y)?)) },
        Case { name: "ms_ssim", peers: &["ms_ssim"], run: on_clip(|x, y| Ok(ms_ssim_loss(x, y, 2.0)?)) },
        Case {
            name: "itae",
            peers: &["itae"],
            run: on_clip(|x, y| Ok(FrameLoss::default().forward(x, y)?.loss)),
        },
        Case { name: "adam", peers: &["adam", "adam_foreach", "adam_fused"], run: Box::new(|| adam.run()) },
        Case { name: "adamw", peers: &["adamw_fused"], run: Box::new(|| adamw.run()) },
        Case { name: "sgd", peers: &["sgd", "sgd_fused"], run: Box::new(|| sgd.run()) },
    ];
    println!("{} threads, medians of {repeats}", rayon::current_num_threads());
    for mut case in
        cases.into_iter().filter(|case| wanted.is_empty() || wanted.iter().any(|w| w == case.name))
    {
        measure(&mut case, repeats, peer.as_mut())?;
    }
    peer.map_or(Ok(()), Peer::stop)
}
