//! The levels of the flow, on plain slices: squeeze, steps, split.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use vadis_kernels::volume::{Network, Scratch, View, Workspace};

use super::GlowConfig;
use super::coupling::{self, Shape};
use super::permutation::Permutation;
use super::step::{FrozenStep, Places, Step, StepMemory};
use crate::NnError;
use crate::networks::does_not_fit;
use crate::segment::{Kernels, NamedTensor, Trained};

/// A level's steps and their one plan.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) shape: Shape,
    /// `[height, width]` after the squeeze.
    pub(super) size: [usize; 2],
    pub(super) net: Network,
    pub(super) steps: Vec<Step>,
    /// Channels of its latent: half of the level's, or all of the last one's.
    pub(super) latent: usize,
}

/// The flow without its parameters.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) levels: Vec<Level>,
}

/// What the backward pass needs of the forward one.
#[derive(Debug, Default)]
pub(super) struct FlowMemory {
    steps: Vec<StepMemory>,
    /// The memory that a step's net needs only while it runs.
    temporaries: Workspace,
}

impl Level {
    /// The second halves of the channels leave as latents, or at the last level all of them: where the latent
    /// starts in a sample.
    fn split(&self) -> usize {
        (self.shape.channels - self.latent) * self.shape.positions
    }
}

impl Flow {
    /// A flow and its initial parameters.
    pub(super) fn random(config: &GlowConfig, rng: &mut impl Rng) -> Result<(Self, Vec<f32>), NnError> {
        let (mut levels, mut parameter): (Vec<Level>, Vec<f32>) = Default::default();
        for index in 0..config.levels {
            let size = config.size.map(|side| side >> (index + 1));
            let channels = config.channels_at(index).unwrap_or(usize::MAX);
            let plan = coupling::plan(channels, size, config.hidden).map_err(does_not_fit)?;
            let net = Network::new(&plan, config.arithmetic.options());
            let steps = (0..config.steps).map(|_| {
                let places = Places::new(parameter.len(), channels, plan.parameter_count());
                parameter.resize(places.end(), 0.0);
                Step::random(places, &net, &mut parameter, rng)
            });
            let steps = steps.collect();
            let latent = if index + 1 == config.levels { channels } else { channels / 2 };
            let shape = Shape { channels, positions: size[0] * size[1] };
            levels.push(Level { shape, size, net, steps, latent });
        }
        Ok((Self { channels: config.channels, size: config.size, levels }, parameter))
    }

    /// Values of a sample.
    pub(super) fn len(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// `[channels, height, width]` of each level's latent.
    pub(super) fn latents(&self) -> Vec<[usize; 3]> {
        self.levels.iter().map(|level| [level.latent, level.size[0], level.size[1]]).collect()
    }

    fn steps(&self) -> impl Iterator<Item = (String, &Level, &Step)> {
        self.levels.iter().enumerate().flat_map(|(l, level)| {
            level.steps.iter().enumerate().map(move |(k, step)| (format!("levels.{l}.{k}"), level, step))
        })
    }

    /// Name, shape and place of each parameter.
    pub(super) fn views(&self) -> Vec<View> {
        let views = |(prefix, level, step): (String, &Level, &Step)| {
            step.places.views(&prefix, level.net.plan().parameters())
        };
        self.steps().flat_map(views).collect()
    }

    /// What is fixed, under PyTorch's names.
    pub(super) fn buffers(&self) -> Vec<NamedTensor> {
        let buffers = |(prefix, _, step): (String, &Level, &Step)| {
            let Permutation { p, sign } = &step.permutation;
            let c = sign.len();
            let tensor = |name: &str, shape: Vec<usize>, values: Vec<f32>| NamedTensor {
                name: format!("{prefix}.permutation.{name}"),
                shape,
                values,
            };
            let rows = p.transpose().iter().map(|&v| v as f32).collect();
            [tensor("p", vec![c, c], rows), tensor("sign", vec![c], sign.iter().map(|&v| v as f32).collect())]
        };
        self.steps().flat_map(buffers).collect()
    }

    /// Takes the values of [`Flow::buffers`], in their order and shapes.
    pub(super) fn set_buffers(&mut self, buffers: &[&[f32]]) {
        let steps = self.levels.iter_mut().flat_map(|level| &mut level.steps);
        for (step, pair) in steps.zip(buffers.chunks_exact(2)) {
            let value = |v: &f32| f64::from(*v);
            let c = pair[1].len();
            step.permutation = Permutation {
                p: DMatrix::from_row_iterator(c, c, pair[0].iter().map(value)),
                sign: DVector::from_iterator(c, pair[1].iter().map(value)),
            };
        }
    }

    /// ActNorm's data initialisation: each step's by what reaches it from the batch `x`.
    pub(super) fn initialise(&self, parameter: &mut [f32], x: &[f32]) -> Result<(), NnError> {
        let (mut rest, mut scratch) = (x.to_vec(), Scratch::new());
        for level in &self.levels {
            let mut x = squeeze(&rest, level.size);
            let mut density = vec![0.0; x.len() / level.shape.channels];
            for step in &level.steps {
                step.initialise(level.shape, parameter, &x)?;
                let frozen = step.freeze(&level.net, parameter)?;
                frozen.forward(level.shape, &mut x, &mut density, &mut scratch)?;
            }
            rest = x.chunks_exact(level.shape.len()).flat_map(|x| &x[..level.split()]).copied().collect();
        }
        Ok(())
    }

    /// The flow packed for inference.
    pub(super) fn freeze(&self, parameter: &[f32]) -> Result<FrozenFlow, NnError> {
        let level = |level: &Level| -> Result<FrozenLevel, NnError> {
            let steps = level.steps.iter();
            Ok(FrozenLevel {
                shape: level.shape,
                size: level.size,
                split: level.split(),
                constant: steps.clone().map(|step| step.constant(parameter)).sum(),
                steps: steps.map(|step| step.freeze(&level.net, parameter)).collect::<Result<_, _>>()?,
            })
        };
        Ok(FrozenFlow { levels: self.levels.iter().map(level).collect::<Result<_, _>>()? })
    }
}

/// Blocks of 2×2 values become four channels, `channel · 4 + 2 · row + column`, as PyTorch's `pixel_unshuffle`
/// has it. `[height, width]` is the size afterwards.
pub(super) fn squeeze(x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for (x, y) in x.chunks_exact(4 * h * w).zip(y.chunks_exact_mut(4 * h * w)) {
        for (row, x) in x.chunks_exact(2 * w).enumerate() {
            for (column, value) in x.iter().enumerate() {
                let channel = row % 2 * 2 + column % 2;
                y[(channel * h + row / 2) * w + column / 2] = *value;
            }
        }
    }
    y
}

/// The inverse of [`squeeze`], with the same size.
pub(super) fn unsqueeze(y: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let mut x = vec![0.0; y.len()];
    for (y, x) in y.chunks_exact(4 * h * w).zip(x.chunks_exact_mut(4 * h * w)) {
        for (row, x) in x.chunks_exact_mut(2 * w).enumerate() {
            for (column, value) in x.iter_mut().enumerate() {
                let channel = row % 2 * 2 + column % 2;
                *value = y[(channel * h + row / 2) * w + column / 2];
            }
        }
    }
    x
}

/// Samples `[channels · height · width]` to rows of all latents, one after another, and the log-determinant.
impl Kernels<2> for Flow {
    type Workspace = FlowMemory;

    const NEEDS_OUTPUT: bool = false;

    fn output_shape(&self, batch: usize) -> [usize; 2] {
        [batch, self.len() + 1]
    }

    fn train(&self, parameter: &[f32], x: &[f32], batch: usize, memory: &mut FlowMemory) -> Option<Trained> {
        let row = self.len() + 1;
        let mut output = vec![0.0; batch * row];
        let mut log_det = vec![0.0; batch];
        let count = self.levels.iter().map(|level| level.steps.len()).sum();
        memory.steps.resize_with(count, StepMemory::default);
        let (mut rest, mut start) = (x.to_vec(), 0);
        let mut memories = memory.steps.iter_mut();
        for level in &self.levels {
            let Level { shape, size, net, steps, latent } = level;
            let mut x = squeeze(&rest, *size);
            let mut density = vec![0.0; batch * shape.positions];
            for (step, own) in steps.iter().zip(&mut memories) {
                own.swap_temporaries(&mut memory.temporaries);
                x = step.forward((*shape, net), parameter, x, &mut density, own)?;
                own.swap_temporaries(&mut memory.temporaries);
            }
            let constant = steps.iter().map(|step| step.constant(parameter)).sum();
            for (log_det, density) in log_det.iter_mut().zip(density.chunks_exact(shape.positions)) {
                *log_det += total(density, constant);
            }
            let (split, len) = (level.split(), latent * shape.positions);
            for (row, x) in output.chunks_exact_mut(row).zip(x.chunks_exact(shape.len())) {
                row[start..start + len].copy_from_slice(&x[split..]);
            }
            rest = x.chunks_exact(shape.len()).flat_map(|x| &x[..split]).copied().collect();
            start += len;
        }
        output.chunks_exact_mut(row).zip(log_det).for_each(|(row, log_det)| row[start] = log_det as f32);
        Some(Trained { output, statistics: Vec::new() })
    }

    fn backward(
        &self,
        parameter: &[f32],
        memory: &mut FlowMemory,
        _: &[f32],
        dy: &[f32],
        want_input: bool,
    ) -> Option<(Option<Vec<f32>>, Vec<f32>)> {
        let (row, mut end) = (self.len() + 1, self.len());
        let log_det: Vec<f32> = dy.chunks_exact(row).map(|row| row[end]).collect();
        let mut gradient = vec![0.0; parameter.len()];
        let mut rest: Vec<f32> = Vec::new();
        let mut memories = memory.steps.iter_mut().rev();
        for level in self.levels.iter().rev() {
            let Level { shape, size, net, steps, latent } = level;
            let (split, start) = (level.split(), end - latent * shape.positions);
            let mut d = Vec::with_capacity(log_det.len() * shape.len());
            for (index, row) in dy.chunks_exact(row).enumerate() {
                d.extend_from_slice(&rest[index * split..(index + 1) * split]);
                d.extend_from_slice(&row[start..end]);
            }
            end = start;
            for (step, own) in steps.iter().rev().zip(&mut memories) {
                own.swap_temporaries(&mut memory.temporaries);
                d = step.backward((*shape, net), parameter, d, &log_det, own, &mut gradient)?;
                own.swap_temporaries(&mut memory.temporaries);
            }
            rest = unsqueeze(&d, *size);
        }
        Some((want_input.then_some(rest), gradient))
    }

    fn evaluate(&self, parameter: &[f32], _: &[f32], x: &[f32], _: usize) -> Option<Vec<f32>> {
        let (frozen, mut scratch) = (self.freeze(parameter).ok()?, Scratch::new());
        let mut output = Vec::with_capacity(x.len());
        for x in x.chunks_exact(self.len()) {
            let sample = frozen.run(x, &mut scratch).ok()?;
            output.extend(sample.levels.iter().flat_map(|level| &level.latent));
            output
                .push(sample.levels.iter().map(|level| total(&level.density, level.constant)).sum::<f64>()
                    as f32);
        }
        Some(output)
    }
}

/// Σ over positions of what varies and what does not.
pub(super) fn total(density: &[f32], constant: f64) -> f64 {
    density.iter().map(|&v| f64::from(v)).sum::<f64>() + constant * density.len() as f64
}

/// The flow as it scores.
#[derive(Debug)]
pub(super) struct FrozenFlow {
    levels: Vec<FrozenLevel>,
}

#[derive(Debug)]
struct FrozenLevel {
    shape: Shape,
    size: [usize; 2],
    split: usize,
    /// Log-determinant of a position, without the couplings'.
    constant: f64,
    steps: Vec<FrozenStep>,
}

/// What a level gives for a sample.
pub(super) struct LevelOutput {
    /// `[channels][positions]`.
    pub(super) latent: Vec<f32>,
    /// The couplings' log-determinant at each position.
    pub(super) density: Vec<f32>,
    /// ActNorms' and 1×1 convolutions' log-determinant at each position.
    pub(super) constant: f64,
    pub(super) size: [usize; 2],
}

/// What the flow gives for a sample.
pub(super) struct Sample {
    pub(super) levels: Vec<LevelOutput>,
}

impl FrozenFlow {
    /// Runs one sample, whose length was checked.
    pub(super) fn run(&self, x: &[f32], scratch: &mut Scratch) -> Result<Sample, NnError> {
        let (mut rest, mut levels) = (x.to_vec(), Vec::with_capacity(self.levels.len()));
        for level in &self.levels {
            let mut x = squeeze(&rest, level.size);
            let mut density = vec![0.0; level.shape.positions];
            for step in &level.steps {
                step.forward(level.shape, &mut x, &mut density, scratch)?;
            }
            let latent = x.split_off(level.split);
            levels.push(LevelOutput { latent, density, constant: level.constant, size: level.size });
            rest = x;
        }
        Ok(Sample { levels })
    }
}
