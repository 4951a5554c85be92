//! Does training with fast convolution reach what plain sums reach? Trains `itae` (half width, Adam 1e-3, MSE to
//! the clip), half of whose layers are of stride 1, on real clips with either arithmetic from the same weights and in the same order, and prints the loss
//! at the end and on clips kept out.
//!
//! Usage: `cargo run --release -p vadis-systems --example winograd_training -- STEPS SEEDS SIDE SOURCE...`
//! where a source is a video or a folder of frames; the last one is kept out.

use std::error::Error;
use std::io::Write;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_nn::loss::mse;
use vadis_nn::networks::{Arithmetic, Itae, ItaeConfig};
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::tensor_values;
use vadis_video::{Colour, FrameFormat, FrameReader, ReadOptions, discover};

const FRAMES: usize = 16;
const BATCH: usize = 2;
const RATE: f64 = 1e-3;
/// The end of training over which the loss is averaged, and how many clips are kept out.
const LAST: usize = 30;
const KEPT_OUT: usize = 16;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Grey frames of one source, in [−1, 1].
type Footage = Vec<f32>;

struct Settings {
    steps: usize,
    seeds: u64,
    side: usize,
    sources: Vec<String>,
}

fn main() -> Outcome<()> {
    let Some(settings) = settings(&std::env::args().skip(1).collect::<Vec<_>>()) else {
        return Err("usage: winograd_training STEPS SEEDS SIDE SOURCE SOURCE...".into());
    };
    let mut footage =
        settings.sources.iter().map(|s| read(s, settings.side)).collect::<Outcome<Vec<Footage>>>()?;
    let kept_out = footage.pop().ok_or("at least two sources: the last is kept out")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "seed,arithmetic,last_{LAST}_steps,kept_out")?;
    for seed in 0..settings.seeds {
        for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
            let [trained, held] = train(&settings, seed, arithmetic, &footage, &kept_out)?;
            writeln!(out, "{seed},{arithmetic:?},{trained:.6},{held:.6}")?;
            out.flush()?;
        }
    }
    Ok(())
}

fn settings(arguments: &[String]) -> Option<Settings> {
    let [steps, seeds, side, sources @ ..] = arguments else { return None };
    let sources = sources.to_vec();
    let (steps, seeds, side) = (steps.parse().ok()?, seeds.parse().ok()?, side.parse().ok()?);
    (steps >= LAST && sources.len() > 1).then_some(Settings { steps, seeds, side, sources })
}

fn read(source: &str, side: usize) -> Outcome<Footage> {
    let format = FrameFormat { size: Some((side, side)), colour: Colour::Grey };
    let mut values = Vec::new();
    for source in discover(source)? {
        for frame in FrameReader::open(&source, &format, &ReadOptions::default())? {
            values.extend(frame?.data.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
        }
    }
    match values.len() / (side * side) {
        n if n > FRAMES => Ok(values),
        n => Err(format!("{source} has {n} frames").into()),
    }
}

/// The clips `[batch, 1, 16, side, side]` that begin at the given frames.
fn clips(starts: &[(&Footage, usize)], side: usize, device: &Device) -> Tensor<5> {
    let plane = side * side;
    let values = starts.iter().flat_map(|&(f, start)| &f[start * plane..(start + FRAMES) * plane]);
    let values: Vec<f32> = values.copied().collect();
    Tensor::from_data(TensorData::new(values, [starts.len(), 1, FRAMES, side, side]), device)
}

/// Mean loss over the last steps, and over clips kept out with the running statistics.
fn train(
    settings: &Settings,
    seed: u64,
    arithmetic: Arithmetic,
    footage: &[Footage],
    kept_out: &Footage,
) -> Outcome<[f64; 2]> {
    let (side, device) = (settings.side, Device::flex().autodiff());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = ItaeConfig { width: 0.5, arithmetic, ..ItaeConfig::new(1, [FRAMES, side, side]) };
    let mut network = config.init(&device, &mut rng)?;
    let mut state = Adam::state(network.network.plan().parameter_count());
    let mut losses = Vec::with_capacity(settings.steps);
    for _ in 0..settings.steps {
        let starts: Vec<_> = (0..BATCH).map(|_| random_start(footage, side, &mut rng)).collect();
        let x = clips(&starts, side, &device);
        losses.push(step(&mut network, &mut state, x)?);
    }
    let last = &losses[losses.len() - LAST..];
    Ok([last.iter().sum::<f64>() / LAST as f64, evaluate(&network, kept_out, side)?])
}

fn random_start<'a>(footage: &'a [Footage], side: usize, rng: &mut impl Rng) -> (&'a Footage, usize) {
    let source = &footage[rng.random_range(0..footage.len())];
    (source, rng.random_range(0..=source.len() / (side * side) - FRAMES))
}

fn step(network: &mut Itae, state: &mut OptimiserState, x: Tensor<5>) -> Outcome<f64> {
    let loss = mse(network.forward(x.clone()), x)?;
    let value = loss.clone().detach().into_scalar::<f32>();
    let weight = &mut network.network.weight;
    let gradient = gradient_of(weight, &loss.backward())?;
    Optimiser::default().step(state, weight, &gradient, Step::of(RATE))?;
    Ok(f64::from(value))
}

fn evaluate(network: &Itae, kept_out: &Footage, side: usize) -> Outcome<f64> {
    let (network, last) = (network.clone().valid(), kept_out.len() / (side * side) - FRAMES);
    let mut sum = 0.0;
    for i in 0..KEPT_OUT {
        let x = clips(&[(kept_out, i * last / (KEPT_OUT - 1))], side, &Device::flex());
        let error = tensor_values((network.forward(x.clone()) - x).powi_scalar(2).mean())?[0];
        sum += f64::from(error) / KEPT_OUT as f64;
    }
    Ok(sum)
}
