//! A [`Plan`] compiled for this machine: forward, backward and inference.
//!
//! Between stages a batch lies as `[batch][channels][height][width]`. A stage of convolutions runs
//! image by image, so that an image's gradients never leave the cache; a linear layer runs over the
//! whole batch.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::aligned::Aligned;
use crate::conv;
use crate::images::{Deltas, ImageStage, Memory};
use crate::linear::{Panels, Vectors};
use crate::linear_stage::LinearStage;
use crate::memory::as_places;
use crate::pool::Pool;
use crate::{Activation, Isa, Layer, Plan, Step};

/// Networks compiled so far.
static COMPILED: AtomicU64 = AtomicU64::new(0);
/// Images whose activations between stages inference holds in memory at a time.
const INFERENCE_BATCH: usize = 256;

/// A slice that does not have the length that the plan and the batch call for.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{what}: expected {expected} values, got {got}")]
pub struct SizeError {
    /// Which slice.
    pub what: &'static str,
    /// Its length by the plan.
    pub expected: usize,
    /// Its length.
    pub got: usize,
}

fn check(what: &'static str, expected: usize, got: usize) -> Result<(), SizeError> {
    if expected == got { Ok(()) } else { Err(SizeError { what, expected, got }) }
}

/// A plan compiled for one instruction set.
#[derive(Clone, Debug)]
pub struct Network {
    /// No other compiled network's but the clones': whose memory a workspace is.
    id: u64,
    isa: Isa,
    input: usize,
    output: usize,
    parameters: usize,
    stages: Vec<Stage>,
}

/// What the backward pass needs of a forward one. Reuse it from step to step: its memory is kept.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The network that it was last used with.
    network: Option<u64>,
    batch: usize,
    /// For each stage its images' activations.
    arenas: Vec<Aligned>,
    /// What arrives at each stage. The first is kept for a linear stage only: nothing else needs it on the way back.
    edges: Vec<Vec<f32>>,
    /// The gradients at the same places, and those within each stage, while a backward pass runs.
    deltas: Pool<Vec<Vec<f32>>>,
    memory: Vec<Pool<Deltas>>,
}

/// The gradients of a backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// With respect to the input, `[batch][channels][height][width]`; if asked for.
    pub input: Option<Vec<f32>>,
    /// With respect to the flat parameter.
    pub parameter: Vec<f32>,
}

/// A network with its weights packed, for inference.
#[derive(Clone, Debug)]
pub struct Frozen {
    network: Network,
    parameter: Vec<f32>,
    packed: Vec<Packed>,
}

#[derive(Clone, Debug)]
enum Stage {
    Images(ImageStage),
    Linear(LinearStage),
}

/// A stage's weights in the order of its forward pass.
#[derive(Clone, Debug)]
enum Packed {
    Images(Vec<conv::Packed>),
    Linear(Panels),
}

impl Network {
    /// Compiles `plan` for the best instruction set of this machine. Where that is [`Isa::Amx`], products round to some 2⁻¹⁷ of
    /// their terms: [`Network::with_isa`] with [`Isa::vectors`] is as exact as floats.
    pub fn new(plan: &Plan) -> Self {
        Self::with_isa(plan, Isa::detect())
    }

    /// Compiles `plan` for `isa`, or for what the machine has if it lacks that.
    pub fn with_isa(plan: &Plan, isa: Isa) -> Self {
        let isa = if isa.is_available() { isa } else { Isa::detect() };
        let written: usize = plan.steps().iter().map(|step| step.weight.len() + step.bias.len()).sum();
        // A backward pass relies on it.
        assert_eq!(written, plan.parameter_count(), "weights and biases are all parameters");
        Self {
            id: COMPILED.fetch_add(1, Ordering::Relaxed),
            isa,
            input: plan.input().iter().product(),
            output: plan.output().iter().product(),
            parameters: plan.parameter_count(),
            stages: stages(isa, plan.steps()),
        }
    }

    /// Runs the layers on `x` = `[batch][channels][height][width]` and keeps in `workspace` what
    /// [`Network::backward`] needs.
    ///
    /// # Errors
    /// `parameter` or `x` has another length than the plan and `batch` say.
    pub fn forward(
        &self,
        parameter: &[f32],
        x: &[f32],
        batch: usize,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>, SizeError> {
        check("parameter", self.parameters, parameter.len())?;
        check("input", batch * self.input, x.len())?;
        workspace.fit(self, batch);
        let Some(last) = self.stages.len().checked_sub(1) else { return Ok(x.to_vec()) };
        let len = batch * self.output;
        let mut output = Vec::with_capacity(len);
        let Workspace { arenas, edges, memory, .. } = workspace;
        for (index, stage) in self.stages.iter().enumerate() {
            let (before, after) = edges.split_at_mut(index + 1);
            let x = if index == 0 { x } else { &before[index][..] };
            let y = match index == last {
                true => &mut output.spare_capacity_mut()[..len],
                // SAFETY: a stage writes values.
                false => unsafe { as_places(&mut after[0]) },
            };
            stage.forward(self.isa, parameter, x, &mut arenas[index], &memory[index], y);
        }
        // SAFETY: the vector has room for so many values, and the last stage wrote as many.
        unsafe { output.set_len(len) };
        if matches!(self.stages[0], Stage::Linear(_)) {
            edges[0].clear();
            edges[0].extend_from_slice(x);
        }
        Ok(output)
    }

    /// The gradients of a loss whose gradient with respect to the output is `dy`, after
    /// [`Network::forward`] with the same `parameter` left `workspace` and gave `output`. `input` asks for the input's.
    ///
    /// # Errors
    /// `parameter`, `output` or `dy` has another length than the plan and the workspace's batch say.
    pub fn backward(
        &self,
        parameter: &[f32],
        workspace: &Workspace,
        output: &[f32],
        dy: &[f32],
        input: bool,
    ) -> Result<Gradients, SizeError> {
        check("parameter", self.parameters, parameter.len())?;
        check("output", workspace.batch * self.output, output.len())?;
        check("output gradient", workspace.batch * self.output, dy.len())?;
        check("workspace", self.stages.len(), workspace.arenas.len())?;
        let mut gradient = Vec::with_capacity(self.parameters);
        let places = &mut gradient.spare_capacity_mut()[..self.parameters];
        let mut deltas = workspace.deltas.lease();
        deltas.resize_with(self.stages.len() + 1, Vec::new);
        for (index, stage) in self.stages.iter().enumerate().rev() {
            let wanted = input || index > 0;
            let last = index + 1 == self.stages.len();
            let saved = Saved {
                input: &workspace.edges[index],
                arena: &workspace.arenas[index],
                output: if last { output } else { &workspace.edges[index + 1] },
            };
            let (before, after) = deltas.split_at_mut(index + 1);
            let dx = wanted.then_some(&mut before[index]);
            match stage {
                Stage::Images(stage) => {
                    let dy = if last { dy } else { &after[0] };
                    let memory = &workspace.memory[index];
                    stage.backward(self.isa, parameter, &saved, dy, dx, memory, places);
                }
                Stage::Linear(stage) => {
                    let curved = stage.activation != Activation::None;
                    if last && curved {
                        after[0].clear();
                        after[0].extend_from_slice(dy);
                    }
                    if curved {
                        stage.through_activation(self.isa, &mut after[0], saved.output);
                    }
                    let dy = if last && !curved { dy } else { &after[0] };
                    stage.backward(self.isa, parameter, saved.input, dy, dx, places);
                }
            }
        }
        // SAFETY: the vector has room for so many values. The layers' weights and biases are all of them, and each stage wrote
        // its layers'.
        unsafe { gradient.set_len(self.parameters) };
        let dx = if self.stages.is_empty() { dy.to_vec() } else { std::mem::take(&mut deltas[0]) };
        Ok(Gradients { input: input.then_some(dx), parameter: gradient })
    }

    /// The network with its weights packed for inference.
    ///
    /// # Errors
    /// `parameter` has another length than the plan says.
    pub fn freeze(&self, parameter: &[f32]) -> Result<Frozen, SizeError> {
        check("parameter", self.parameters, parameter.len())?;
        let packed = self.stages.iter().map(|stage| stage.pack(self.isa, parameter)).collect();
        let (network, parameter) = (self.clone(), parameter.to_vec());
        Ok(Frozen { network, parameter, packed })
    }
}

impl Frozen {
    /// As [`Frozen::run_into`], with memory of its own.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run(&self, x: &[f32], batch: usize) -> Result<Vec<f32>, SizeError> {
        let mut y = Vec::new();
        self.run_into(x, batch, &mut Scratch::default(), &mut y)?;
        Ok(y)
    }

    /// Runs the layers on `x` = `[batch][channels][height][width]` and leaves the output in `y`, which
    /// takes its length; fastest if it has that already. An image's result has the same
    /// bits whatever the batch and the number of threads, and the same as [`Network::forward`]'s.
    /// Memory beyond input and output is that of 256 images between stages, and of one image a thread
    /// within them.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run_into(
        &self,
        x: &[f32],
        batch: usize,
        scratch: &mut Scratch,
        y: &mut Vec<f32>,
    ) -> Result<(), SizeError> {
        let Network { input, output, stages, .. } = &self.network;
        check("input", batch * input, x.len())?;
        y.resize(batch * output, 0.0);
        if stages.is_empty() {
            y.copy_from_slice(x);
            return Ok(());
        }
        scratch.fit(&self.network);
        let chunks = x.chunks(INFERENCE_BATCH * input).zip(y.chunks_mut(INFERENCE_BATCH * output));
        chunks.for_each(|(x, y)| self.run_chunk(x, scratch, y));
        Ok(())
    }

    fn run_chunk(&self, x: &[f32], scratch: &mut Scratch, y: &mut [f32]) {
        let Network { input, stages, isa, .. } = &self.network;
        let batch = x.len() / input;
        let Scratch { memory, edges, .. } = scratch;
        for (index, (stage, packed)) in stages.iter().zip(&self.packed).enumerate() {
            let (before, after) = edges.split_at_mut(index);
            let x = before.last().map_or(x, |edge| &edge[..]);
            let y = if index + 1 == stages.len() {
                &mut *y
            } else {
                after[0].resize(batch * stage.output_len(), 0.0);
                &mut after[0]
            };
            stage.infer(*isa, &self.parameter, packed, x, &memory[index], y);
        }
    }
}

/// Memory of a frozen network's run. Reuse it from run to run.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The network that it was last used with.
    network: Option<u64>,
    memory: Vec<Pool<Memory>>,
    /// What each stage but the last writes.
    edges: Vec<Vec<f32>>,
}

impl Scratch {
    /// Another network's scratch starts anew.
    fn fit(&mut self, network: &Network) {
        let stages = &network.stages;
        if self.network != Some(network.id) {
            *self = Self { network: Some(network.id), ..Self::default() };
            self.memory.resize_with(stages.len(), Pool::default);
            self.edges.resize_with(stages.len(), Vec::new);
        }
    }
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for a batch. Halos are zero from the first allocation on, as only interiors are
    /// ever written; another network's workspace starts anew.
    fn fit(&mut self, network: &Network, batch: usize) {
        let stages = &network.stages;
        if self.network != Some(network.id) {
            *self = Self { network: Some(network.id), ..Self::default() };
        }
        self.batch = batch;
        self.arenas.resize_with(stages.len(), Aligned::default);
        self.memory.resize_with(stages.len(), Pool::default);
        self.edges.resize_with(stages.len(), Vec::new);
        for (index, stage) in stages.iter().enumerate() {
            self.arenas[index].resize(batch * stage.arena_len());
            if let Some(edge) = self.edges.get_mut(index + 1) {
                edge.resize(batch * stage.output_len(), 0.0);
            }
        }
    }
}

/// What a stage's forward pass left.
pub(crate) struct Saved<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) arena: &'a [f32],
    pub(crate) output: &'a [f32],
}

impl Stage {
    fn arena_len(&self) -> usize {
        match self {
            Self::Images(stage) => stage.arena_len(),
            Self::Linear(_) => 0,
        }
    }

    fn output_len(&self) -> usize {
        match self {
            Self::Images(stage) => stage.output_len(),
            Self::Linear(stage) => stage.output,
        }
    }

    fn pack(&self, isa: Isa, parameter: &[f32]) -> Packed {
        match self {
            Self::Images(stage) => Packed::Images(stage.pack(isa, parameter)),
            Self::Linear(stage) => Packed::Linear(stage.pack(isa, parameter)),
        }
    }

    /// A forward pass in training: fills `arena` and writes all of `y`.
    fn forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        x: &[f32],
        arena: &mut [f32],
        memory: &Pool<Deltas>,
        y: &mut [MaybeUninit<f32>],
    ) {
        match self {
            Self::Images(stage) => stage.forward(isa, parameter, x, arena, memory, y),
            Self::Linear(stage) => stage.forward(isa, parameter, stage.vectors(parameter), x, y),
        }
    }

    fn infer(
        &self,
        isa: Isa,
        parameter: &[f32],
        packed: &Packed,
        x: &[f32],
        memory: &Pool<Memory>,
        y: &mut [f32],
    ) {
        match (self, packed) {
            (Self::Images(stage), Packed::Images(packed)) => {
                stage.infer(isa, parameter, packed, x, memory, y);
            }
            (Self::Linear(stage), Packed::Linear(packed)) => {
                // SAFETY: the stage writes values.
                let y = unsafe { as_places(y) };
                stage.forward(isa, parameter, Vectors::Packed(packed), x, y);
            }
            _ => unreachable!("packed by the same stages"),
        }
    }
}

/// Cuts the layers into stages. A reshape leaves `[channels][height][width]` order as it is.
fn stages(isa: Isa, steps: &[Step]) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut images: Vec<&Step> = Vec::new();
    let close = |images: &mut Vec<&Step>, stages: &mut Vec<Stage>| {
        if !images.is_empty() {
            stages.push(Stage::Images(ImageStage::new(isa, images)));
            images.clear();
        }
    };
    for step in steps {
        match step.layer {
            Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. } => images.push(step),
            Layer::Reshape { .. } => close(&mut images, &mut stages),
            Layer::Linear { input, output, activation } => {
                close(&mut images, &mut stages);
                let (weight, bias) = (step.weight.clone(), step.bias.clone());
                stages.push(Stage::Linear(LinearStage { input, output, activation, weight, bias }));
            }
        }
    }
    close(&mut images, &mut stages);
    stages
}
