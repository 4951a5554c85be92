//! Our side: builds the network of a task and answers `run` and `peak`.

use std::collections::HashMap;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Gradients, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vadis_kernels::{Activation, Layer, Plan, PlanError, Scratch};
use vadis_nn::loss::{Bandwidth, FrameLoss, RenyiEntropy, mse};
use vadis_nn::networks::{Ae3dConfig, CaeConfig, GlowConfig, ItaeConfig, MemAeConfig};
use vadis_nn::optim::{self, Optimiser, OptimiserState, Step};
use vadis_nn::segment::Segment;
use vadis_peers::Outcome;

use crate::task::{Measure, Name, Task};

/// λ of `mle`.
const ENTROPY_WEIGHT: f64 = 0.01;
const RATE: f64 = 1e-4;

type Run = Box<dyn FnMut() -> Outcome<()>>;

/// Answers each line on standard input with one on standard output.
pub(crate) fn answer(task: &Task) -> Outcome<()> {
    // As the program does.
    vadis_kernels::keep_freed_memory();
    let run = match task.measure {
        Measure::Inference => inference(task)?,
        Measure::Training => training(task)?,
        Measure::Sliding => sliding(task)?,
    };
    vadis_peers::answer(task.measure.frames() as f64, run, |other| {
        Err(format!("unknown question `{other}`").into())
    })
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn clip(task: &Task) -> Outcome<[usize; 3]> {
    task.size.as_slice().try_into().map_err(|_| "a clip has three sides".into())
}

fn frame(task: &Task) -> Outcome<[usize; 2]> {
    task.size.as_slice().try_into().map_err(|_| "a frame has two sides".into())
}

/// A batch without a pattern, in [−1, 1] for clips and [0, 1] for frames.
fn batch<const D: usize>(task: &Task, device: &Device) -> Tensor<D> {
    let shape: Vec<usize> =
        [task.batch, task.channels].into_iter().chain(task.size.iter().copied()).collect();
    let shape: [usize; D] = shape.try_into().unwrap_or([1; D]);
    let least = if D == 5 { -1.0 } else { 0.0 };
    Tensor::random(shape, Distribution::Uniform(least, 1.0), device)
}

fn values<const D: usize>(task: &Task) -> Outcome<Vec<f32>> {
    Ok(vadis_nn::tensor_values(batch::<D>(task, &Device::flex()))?)
}

fn inference(task: &Task) -> Outcome<Run> {
    let (device, channels, batch) = (Device::flex(), task.channels, task.batch);
    Ok(match task.network {
        Name::Ae3d => {
            let network = Ae3dConfig::new(channels, clip(task)?).init(&device, &mut rng())?.frozen()?;
            let (x, mut scratch) = (values::<5>(task)?, Default::default());
            Box::new(move || network.run(&x, batch, &mut scratch).map(drop).map_err(Into::into))
        }
        Name::MemAe => {
            let network = MemAeConfig::new(channels, clip(task)?).init(&device, &mut rng())?.frozen()?;
            let (x, mut scratch) = (values::<5>(task)?, Default::default());
            Box::new(move || network.run(&x, batch, &mut scratch).map(drop).map_err(Into::into))
        }
        Name::Itae | Name::OnePath => {
            let network = itae(task)?.init(&device, &mut rng())?.frozen()?;
            let (x, mut scratch) = (values::<5>(task)?, Default::default());
            Box::new(move || network.run(&x, batch, &mut scratch).map(drop).map_err(Into::into))
        }
        Name::Cae => {
            let network = CaeConfig::new(channels, frame(task)?).init(&device, &mut rng())?.frozen()?;
            let (x, mut scratch) = (values::<4>(task)?, Default::default());
            Box::new(move || network.run(&x, batch, &mut scratch).map(drop).map_err(Into::into))
        }
        Name::Glow | Name::GlowSmall | Name::GlowFrames => {
            let network = flow(task)?.init(&device, &mut rng())?.frozen()?;
            let x = values::<4>(task)?;
            Box::new(move || network.nll(&x, batch).map(drop).map_err(Into::into))
        }
        Name::Mle => {
            let [encoder, decoder] = mle(task, &device)?;
            let (encoder, decoder) = (encoder.freeze()?, decoder.freeze()?);
            let (x, mut z, mut y) = (values::<4>(task)?, Vec::new(), Vec::new());
            let mut scratch = [Scratch::default(), Scratch::default()];
            Box::new(move || {
                encoder.run_into(&x, batch, &mut scratch[0], &mut z)?;
                Ok(decoder.run_into(&z, batch, &mut scratch[1], &mut y)?)
            })
        }
    })
}

/// A stream in which the first window, where everything is new, is long past.
fn sliding(task: &Task) -> Outcome<Run> {
    let (device, channels, size) = (Device::flex(), task.channels, clip(task)?);
    let wanted = size[0] / 2;
    let mut network = match task.network {
        Name::Ae3d => Ae3dConfig::new(channels, size).init(&device, &mut rng())?.frozen()?.sliding(wanted)?,
        Name::MemAe => {
            MemAeConfig::new(channels, size).init(&device, &mut rng())?.frozen()?.sliding(wanted)?
        }
        Name::Itae | Name::OnePath => itae(task)?.init(&device, &mut rng())?.frozen()?.sliding(wanted)?,
        _ => return Err("images do not slide".into()),
    };
    let values = values::<5>(task)?;
    let frames: Vec<Vec<f32>> = values.chunks_exact(values.len() / size[0]).map(<[f32]>::to_vec).collect();
    let mut stream = frames.into_iter().cycle();
    let mut push = move |count: usize| -> Outcome<()> {
        stream.by_ref().take(count).try_for_each(|frame| Ok(network.push(&frame).map(drop)?))
    };
    push(size[0] + 3 * task.measure.frames())?;
    let frames = task.measure.frames();
    Ok(Box::new(move || push(frames)))
}

fn training(task: &Task) -> Outcome<Run> {
    let device = Device::flex().autodiff();
    let channels = task.channels;
    let mut adam = Adam::default();
    Ok(match task.network {
        Name::Ae3d => {
            let mut network = Ae3dConfig::new(channels, clip(task)?).init(&device, &mut rng())?;
            let x = batch::<5>(task, &device);
            Box::new(move || {
                let gradients = mse(network.forward(x.clone()), x.clone())?.backward();
                adam.step(&mut network.encoder.weight, &gradients)?;
                adam.step(&mut network.decoder.weight, &gradients)
            })
        }
        Name::MemAe => {
            let config = MemAeConfig::new(channels, clip(task)?);
            let mut network = config.init(&device, &mut rng())?;
            let x = batch::<5>(task, &device);
            Box::new(move || {
                let output = network.forward(x.clone());
                let entropy = output.entropy.mul_scalar(config.entropy_weight);
                let gradients = (mse(output.reconstruction, x.clone())? + entropy).backward();
                adam.step(&mut network.encoder.weight, &gradients)?;
                adam.step(&mut network.memory.weight, &gradients)?;
                adam.step(&mut network.decoder.weight, &gradients)
            })
        }
        Name::Itae | Name::OnePath => {
            let mut network = itae(task)?.init(&device, &mut rng())?;
            let x = batch::<5>(task, &device);
            Box::new(move || {
                let terms = FrameLoss::default().forward(network.forward(x.clone()), x.clone())?;
                adam.step(&mut network.network.weight, &terms.loss.backward())
            })
        }
        Name::Cae => {
            let mut network = CaeConfig::new(channels, frame(task)?).init(&device, &mut rng())?;
            let x = batch::<4>(task, &device);
            Box::new(move || {
                let gradients = mse(network.forward(x.clone()), x.clone())?.backward();
                adam.step(&mut network.encoder.weight, &gradients)?;
                adam.step(&mut network.decoder.weight, &gradients)
            })
        }
        Name::Glow | Name::GlowSmall | Name::GlowFrames => {
            let x = batch::<4>(task, &device);
            let mut network = flow(task)?.init(&device, &mut rng())?.initialise(x.clone())?;
            Box::new(move || {
                let loss = network.nll(x.clone()).mean();
                adam.step(&mut network.weight, &loss.backward())
            })
        }
        Name::Mle => {
            let [mut encoder, mut decoder] = mle(task, &device)?;
            let mut entropy = RenyiEntropy::new(Bandwidth::Median);
            let x = batch::<4>(task, &device);
            Box::new(move || {
                let z = encoder.forward(x.clone());
                let y = decoder.forward(z.clone());
                let [n, latent, ..] = z.dims();
                let terms = entropy.forward(z.reshape([n, latent]))?;
                let loss = mse(y, x.clone())? + terms.loss.mul_scalar(ENTROPY_WEIGHT);
                let gradients = loss.backward();
                adam.step(&mut encoder.weight, &gradients)?;
                adam.step(&mut decoder.weight, &gradients)
            })
        }
    })
}

fn itae(task: &Task) -> Outcome<ItaeConfig> {
    let (channels, size) = (task.channels, clip(task)?);
    Ok(match task.network {
        Name::OnePath => ItaeConfig::one_path(channels, size),
        _ => ItaeConfig::new(channels, size),
    })
}

fn flow(task: &Task) -> Outcome<GlowConfig> {
    let [steps, levels, hidden] = task.flow.ok_or("a flow has steps, levels and hidden channels")?;
    Ok(GlowConfig { steps, hidden, ..GlowConfig::new(task.channels, frame(task)?, levels) })
}

/// Encoder and decoder of `mle` as `vadis-systems` has them.
fn mle(task: &Task, device: &Device) -> Outcome<[Segment; 2]> {
    let [encoder, decoder] = mle_plans(task.channels, frame(task)?)?;
    Ok([Segment::new(&encoder, device, &mut rng()), Segment::new(&decoder, device, &mut rng())])
}

fn mle_plans(channels: usize, [h, w]: [usize; 2]) -> Result<[Plan; 2], PlanError> {
    let (relu, extra) = (Activation::Relu, [1, 1]);
    let shape = [64, h / 8, w / 8];
    let features = shape.iter().product();
    let encoder = Plan::new([channels, h, w])?
        .layer("conv1", Layer::conv2d(channels, 16, 3, 2, relu))?
        .layer("conv2", Layer::conv2d(16, 32, 3, 2, relu))?
        .layer("conv3", Layer::conv2d(32, 64, 3, 2, relu))?
        .layer("fc", Layer::linear(features, 256, Activation::None))?;
    let decoder = Plan::new([256, 1, 1])?
        .layer("fc", Layer::linear(256, features, relu))?
        .layer("shape", Layer::Reshape { shape })?
        .layer("deconv1", Layer::conv_transpose2d(64, 32, 3, 2, extra, relu))?
        .layer("deconv2", Layer::conv_transpose2d(32, 16, 3, 2, extra, relu))?
        .layer("deconv3", Layer::conv_transpose2d(16, channels, 3, 2, extra, Activation::Sigmoid))?;
    Ok([encoder, decoder])
}

/// Adam over a network's parameters.
#[derive(Default)]
struct Adam {
    optimiser: Optimiser,
    states: HashMap<ParamId, OptimiserState>,
}

impl Adam {
    fn step<const D: usize>(
        &mut self,
        parameter: &mut Param<Tensor<D>>,
        gradients: &Gradients,
    ) -> Outcome<()> {
        let gradient = optim::gradient_of(parameter, gradients)?;
        let len = parameter.val().dims().iter().product();
        let state = self.states.entry(parameter.id).or_insert_with(|| self.optimiser.state(len));
        Ok(self.optimiser.step(state, parameter, &gradient, Step::of(RATE))?)
    }
}
