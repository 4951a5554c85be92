//! A [`Plan`] compiled for this machine: forward, backward and inference.
//!
//! Between stages a batch lies as `[batch][channels][height][width]`. A stage of convolutions runs
//! image by image, so that an image's gradients never leave the cache; a linear layer runs over the
//! whole batch.

use std::ops::Range;

use rayon::prelude::*;
use thiserror::Error;

use crate::conv::{Gather, Halo, Image, WeightGradient, Window, add_channel_sums};
use crate::elementwise::{activate, add, times_derivative};
use crate::linear::{Panels, Scalars, product};
use crate::{Activation, Isa, Layer, Plan, Step};

/// Shares into which a batch's weight gradient is cut. A constant, so that sums have the same bits
/// for any number of threads.
const SHARES: usize = 32;
/// Images that inference holds in memory at a time.
const INFERENCE_BATCH: usize = 64;

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
    isa: Isa,
    input: usize,
    output: usize,
    parameters: usize,
    stages: Vec<Stage>,
}

/// What the backward pass needs of a forward one. Reuse it from step to step: its memory is kept.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    batch: usize,
    /// For each stage the images in its arena.
    layout: Vec<Vec<Image>>,
    /// For each stage its images' activations.
    arenas: Vec<Vec<f32>>,
    /// What arrives at each stage, and last the output. The first and the last are kept for linear
    /// stages only: nothing else needs them on the way back.
    edges: Vec<Vec<f32>>,
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
    Images(Vec<Vec<f32>>),
    Linear(Panels),
}

impl Network {
    /// Compiles `plan` for the best instruction set of this machine.
    pub fn new(plan: &Plan) -> Self {
        Self::with_isa(plan, Isa::detect())
    }

    /// Compiles `plan` for `isa`, or for what the machine has if it lacks that.
    pub fn with_isa(plan: &Plan, isa: Isa) -> Self {
        let isa = if isa.is_available() { isa } else { Isa::detect() };
        Self {
            isa,
            input: plan.input().iter().product(),
            output: plan.output().iter().product(),
            parameters: plan.parameter_count(),
            stages: stages(plan.steps()),
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
        Ok(self.run(parameter, &self.pack(parameter), x, batch, workspace))
    }

    fn pack(&self, parameter: &[f32]) -> Vec<Packed> {
        self.stages.iter().map(|stage| stage.pack(parameter)).collect()
    }

    fn run(
        &self,
        parameter: &[f32],
        packed: &[Packed],
        x: &[f32],
        batch: usize,
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        workspace.fit(&self.stages, batch);
        let Some(last) = self.stages.len().checked_sub(1) else { return x.to_vec() };
        let mut output = vec![0.0; batch * self.output];
        let Workspace { arenas, edges, .. } = workspace;
        for (index, (stage, packed)) in self.stages.iter().zip(packed).enumerate() {
            let (before, after) = edges.split_at_mut(index + 1);
            let x = if index == 0 { x } else { &before[index][..] };
            let y = if index == last { &mut output } else { &mut after[0] };
            stage.forward(self.isa, parameter, packed, x, &mut arenas[index], y);
        }
        if matches!(self.stages[0], Stage::Linear(_)) {
            edges[0].clear();
            edges[0].extend_from_slice(x);
        }
        if matches!(self.stages[last], Stage::Linear(_)) {
            edges[last + 1].clear();
            edges[last + 1].extend_from_slice(&output);
        }
        output
    }

    /// The gradients of a loss whose gradient with respect to the output is `dy`, after
    /// [`Network::forward`] with the same `parameter` left `workspace`. `input` asks for the input's.
    ///
    /// # Errors
    /// `parameter` or `dy` has another length than the plan and the workspace's batch say.
    pub fn backward(
        &self,
        parameter: &[f32],
        workspace: &Workspace,
        dy: &[f32],
        input: bool,
    ) -> Result<Gradients, SizeError> {
        check("parameter", self.parameters, parameter.len())?;
        check("output gradient", workspace.batch * self.output, dy.len())?;
        check("workspace", self.stages.len(), workspace.arenas.len())?;
        let mut gradient = vec![0.0; self.parameters];
        let mut dy = dy.to_vec();
        for (index, stage) in self.stages.iter().enumerate().rev() {
            let wanted = input || index > 0;
            let saved = Saved {
                input: &workspace.edges[index],
                arena: &workspace.arenas[index],
                output: &workspace.edges[index + 1],
            };
            dy = match stage {
                Stage::Images(stage) => {
                    stage.backward(self.isa, parameter, &saved, &dy, wanted, &mut gradient)
                }
                Stage::Linear(stage) => {
                    stage.backward(self.isa, parameter, &saved, dy, wanted, &mut gradient)
                }
            };
        }
        Ok(Gradients { input: input.then_some(dy), parameter: gradient })
    }

    /// The network with its weights packed for inference.
    ///
    /// # Errors
    /// `parameter` has another length than the plan says.
    pub fn freeze(&self, parameter: &[f32]) -> Result<Frozen, SizeError> {
        check("parameter", self.parameters, parameter.len())?;
        let (network, parameter, packed) = (self.clone(), parameter.to_vec(), self.pack(parameter));
        Ok(Frozen { network, parameter, packed })
    }
}

impl Frozen {
    /// Runs the layers on `x` = `[batch][channels][height][width]`. An image's result has the same
    /// bits whatever the batch and the number of threads, and the same as [`Network::forward`]'s.
    /// Memory beyond input and output is that of 64 images.
    ///
    /// # Errors
    /// `x` has another length than the plan and `batch` say.
    pub fn run(&self, x: &[f32], batch: usize) -> Result<Vec<f32>, SizeError> {
        check("input", batch * self.network.input, x.len())?;
        let mut workspace = Workspace::default();
        let mut output = Vec::with_capacity(batch * self.network.output);
        for x in x.chunks(INFERENCE_BATCH * self.network.input) {
            let images = x.len() / self.network.input;
            let y = self.network.run(&self.parameter, &self.packed, x, images, &mut workspace);
            output.extend_from_slice(&y);
        }
        Ok(output)
    }
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for a batch. Halos are zero from the first allocation on, as only interiors are
    /// ever written; another network's workspace starts anew.
    fn fit(&mut self, stages: &[Stage], batch: usize) {
        let layout: Vec<_> = stages.iter().map(|stage| stage.images().to_vec()).collect();
        if self.layout != layout {
            *self = Self { layout, ..Self::default() };
        }
        self.batch = batch;
        self.arenas.resize_with(stages.len(), Vec::new);
        self.edges.resize_with(stages.len() + 1, Vec::new);
        for (index, stage) in stages.iter().enumerate() {
            self.arenas[index].resize(batch * stage.arena_len(), 0.0);
            if index + 1 < stages.len() {
                self.edges[index + 1].resize(batch * stage.output_len(), 0.0);
            }
        }
    }
}

/// What a stage's forward pass left.
struct Saved<'a> {
    input: &'a [f32],
    arena: &'a [f32],
    output: &'a [f32],
}

impl Stage {
    fn images(&self) -> &[Image] {
        match self {
            Self::Images(stage) => &stage.images,
            Self::Linear(_) => &[],
        }
    }

    fn arena_len(&self) -> usize {
        match self {
            Self::Images(stage) => stage.arena_len,
            Self::Linear(_) => 0,
        }
    }

    fn output_len(&self) -> usize {
        match self {
            Self::Images(stage) => stage.output,
            Self::Linear(stage) => stage.output,
        }
    }

    fn pack(&self, parameter: &[f32]) -> Packed {
        match self {
            Self::Images(stage) => Packed::Images(
                stage
                    .layers
                    .iter()
                    .map(|layer| layer.forward.pack(&parameter[layer.weight.clone()]))
                    .collect(),
            ),
            Self::Linear(stage) => Packed::Linear(Panels::from_columns(
                &parameter[stage.weight.clone()],
                stage.input,
                stage.output,
            )),
        }
    }

    fn forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        packed: &Packed,
        x: &[f32],
        arena: &mut [f32],
        y: &mut [f32],
    ) {
        match (self, packed) {
            (Self::Images(stage), Packed::Images(packed)) => {
                stage.forward(isa, parameter, packed, x, arena, y);
            }
            (Self::Linear(stage), Packed::Linear(packed)) => stage.forward(isa, parameter, packed, x, y),
            _ => unreachable!("packed by the same stages"),
        }
    }
}

/// Cuts the layers into stages. A reshape leaves `[channels][height][width]` order as it is.
fn stages(steps: &[Step]) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut images: Vec<&Step> = Vec::new();
    let close = |images: &mut Vec<&Step>, stages: &mut Vec<Stage>| {
        if !images.is_empty() {
            stages.push(Stage::Images(ImageStage::new(images)));
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

/// A chain of convolutions and transposed convolutions.
#[derive(Clone, Debug)]
struct ImageStage {
    layers: Vec<ConvLayer>,
    /// The activations before, between and after the layers, and their places in an image's arena.
    images: Vec<Image>,
    places: Vec<Range<usize>>,
    arena_len: usize,
    /// The gradients at the same points, with halos of their own.
    gradients: Vec<Image>,
    input: usize,
    output: usize,
    /// Length of a share's partial sums.
    partial_len: usize,
}

#[derive(Clone, Debug)]
struct ConvLayer {
    forward: Gather,
    backward: Gather,
    weights: WeightGradient,
    transposed: bool,
    activation: Activation,
    weight: Range<usize>,
    bias: Range<usize>,
    /// Places of the weight's and the bias's sums in a share's.
    partial: [Range<usize>; 2],
}

impl ImageStage {
    fn new(steps: &[&Step]) -> Self {
        let windows: Vec<_> = steps.iter().map(|step| window(&step.layer)).collect();
        let mut gathers: Vec<_> = steps
            .iter()
            .zip(&windows)
            .map(|(step, &(transposed, window))| {
                let forward = Gather::new(transposed, window, step.input, step.output);
                let backward = Gather::new(!transposed, window, step.output, step.input);
                [forward, backward]
            })
            .collect();
        let shapes: Vec<_> =
            steps.iter().map(|step| step.input).chain(steps.last().map(|step| step.output)).collect();
        let (mut halos, mut gradient_halos) =
            (vec![Halo::default(); shapes.len()], vec![Halo::default(); shapes.len()]);
        for (i, (step, &(transposed, window))) in steps.iter().zip(&windows).enumerate() {
            let [forward, backward] = &gathers[i];
            halos[i] = halos[i].union(forward.halo());
            gradient_halos[i + 1] = gradient_halos[i + 1].union(backward.halo());
            if transposed {
                let halo = WeightGradient::halo(window, step.output, step.input);
                gradient_halos[i + 1] = gradient_halos[i + 1].union(halo);
            } else {
                halos[i] = halos[i].union(WeightGradient::halo(window, step.input, step.output));
            }
        }
        for (i, [forward, backward]) in gathers.iter_mut().enumerate() {
            forward.place(halos[i], halos[i + 1]);
            backward.place(gradient_halos[i + 1], gradient_halos[i]);
        }
        let place = |halos: &[Halo]| -> Vec<Image> {
            shapes.iter().zip(halos).map(|(&shape, &halo)| Image::new(shape, halo)).collect()
        };
        let (images, gradients) = (place(&halos), place(&gradient_halos));
        let mut partial_len = 0;
        let mut layers = Vec::new();
        for (i, ([forward, backward], step)) in gathers.into_iter().zip(steps).enumerate() {
            let (transposed, window) = windows[i];
            let weights = match transposed {
                true => WeightGradient::new(window, gradients[i + 1], images[i]),
                false => WeightGradient::new(window, images[i], gradients[i + 1]),
            };
            let bias_start = partial_len + weights.partial_len();
            let partial = [partial_len..bias_start, bias_start..bias_start + step.bias.len()];
            partial_len = partial[1].end;
            layers.push(ConvLayer {
                forward,
                backward,
                weights,
                transposed,
                activation: step.layer.activation(),
                weight: step.weight.clone(),
                bias: step.bias.clone(),
                partial,
            });
        }
        let (places, arena_len) = places(&images);
        let volume = |shape: Option<&[usize; 3]>| shape.map_or(0, |shape| shape.iter().product());
        let (input, output) = (volume(shapes.first()), volume(shapes.last()));
        Self { layers, images, places, arena_len, gradients, input, output, partial_len }
    }

    fn forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        packed: &[Vec<f32>],
        x: &[f32],
        arena: &mut [f32],
        y: &mut [f32],
    ) {
        let images = x.par_chunks(self.input).zip(arena.par_chunks_mut(self.arena_len));
        images.zip(y.par_chunks_mut(self.output)).for_each(|((x, arena), y)| {
            self.images[0].read_planes(x, &mut arena[self.places[0].clone()]);
            for (i, (layer, packed)) in self.layers.iter().zip(packed).enumerate() {
                let (before, after) = arena.split_at_mut(self.places[i + 1].start);
                let (input, output) =
                    (&before[self.places[i].clone()], &mut after[..self.images[i + 1].len()]);
                let bias = &parameter[layer.bias.clone()];
                layer.forward.run(isa, input, packed, bias, layer.activation, output);
            }
            let last = self.layers.len();
            self.images[last].write_planes(&arena[self.places[last].clone()], y);
        });
    }

    fn backward(
        &self,
        isa: Isa,
        parameter: &[f32],
        saved: &Saved<'_>,
        dy: &[f32],
        wanted: bool,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let pack = |layer: &ConvLayer| layer.backward.pack(&parameter[layer.weight.clone()]);
        let packed: Vec<_> = self.layers.iter().map(pack).collect();
        let batch = dy.len() / self.output;
        let mut dx = vec![0.0; if wanted { batch * self.input } else { 0 }];
        let share = batch.div_ceil(SHARES).max(1);
        let mut slices: Vec<&mut [f32]> = dx.chunks_mut(share * self.input).collect();
        slices.resize_with(batch.div_ceil(share), Default::default);
        let partials: Vec<_> = slices
            .into_par_iter()
            .enumerate()
            .map(|(index, dx)| {
                let range = index * share..batch.min((index + 1) * share);
                let mut sums = vec![0.0; self.partial_len];
                let mut scratch: Vec<_> = self.gradients.iter().map(|image| vec![0.0; image.len()]).collect();
                for image in range.clone() {
                    let arena = &saved.arena[image * self.arena_len..][..self.arena_len];
                    let dy = &dy[image * self.output..][..self.output];
                    self.image_backward(isa, &packed, arena, dy, wanted, &mut scratch, &mut sums);
                    if wanted {
                        let dx = &mut dx[(image - range.start) * self.input..][..self.input];
                        self.gradients[0].write_planes(&scratch[0], dx);
                    }
                }
                sums
            })
            .collect();
        let mut total = vec![0.0; self.partial_len];
        partials.iter().for_each(|sums| add(isa, &mut total, sums));
        for layer in &self.layers {
            let [weight, bias] = &layer.partial;
            layer.weights.scatter(&total[weight.clone()], &mut gradient[layer.weight.clone()]);
            add(isa, &mut gradient[layer.bias.clone()], &total[bias.clone()]);
        }
        dx
    }

    /// One image's way back: adds to the partial sums and leaves the input's gradient, if wanted, in
    /// `scratch[0]`.
    #[expect(clippy::too_many_arguments, reason = "private, and all of it is one image's state")]
    fn image_backward(
        &self,
        isa: Isa,
        packed: &[Vec<f32>],
        arena: &[f32],
        dy: &[f32],
        wanted: bool,
        scratch: &mut [Vec<f32>],
        sums: &mut [f32],
    ) {
        let last = self.layers.len();
        self.gradients[last].read_planes(dy, &mut scratch[last]);
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = scratch.split_at_mut(i + 1);
            let dy = &mut after[0];
            let y = &arena[self.places[i + 1].clone()];
            self.through_activation(isa, i + 1, layer.activation, dy, y);
            let x = &arena[self.places[i].clone()];
            let (scalar, vector) = if layer.transposed { (&dy[..], x) } else { (x, &dy[..]) };
            let [weight, bias] = &layer.partial;
            layer.weights.accumulate(isa, scalar, vector, &mut sums[weight.clone()]);
            add_channel_sums(&self.gradients[i + 1], dy, &mut sums[bias.clone()]);
            if wanted || i > 0 {
                layer.backward.run(isa, dy, &packed[i], &[], Activation::None, &mut before[i]);
            }
        }
    }

    fn through_activation(&self, isa: Isa, i: usize, activation: Activation, dy: &mut [f32], y: &[f32]) {
        for row in 0..self.images[i].height {
            let (gradient, output) = (self.gradients[i].row(row), self.images[i].row(row));
            times_derivative(isa, activation, &mut dy[gradient], &y[output]);
        }
    }
}

fn window(layer: &Layer) -> (bool, Window) {
    match *layer {
        Layer::Conv2d { kernel, stride, padding, .. } => (false, Window { kernel, stride, padding }),
        Layer::ConvTranspose2d { kernel, stride, padding, .. } => (true, Window { kernel, stride, padding }),
        Layer::Linear { .. } | Layer::Reshape { .. } => unreachable!("not a layer of an image stage"),
    }
}

fn places(images: &[Image]) -> (Vec<Range<usize>>, usize) {
    let mut end = 0;
    let places = images
        .iter()
        .map(|image| {
            let start = end;
            end += image.len();
            start..end
        })
        .collect();
    (places, end)
}

/// A fully connected layer; weight `[output][input]`.
#[derive(Clone, Debug)]
struct LinearStage {
    input: usize,
    output: usize,
    activation: Activation,
    weight: Range<usize>,
    bias: Range<usize>,
}

impl LinearStage {
    fn forward(&self, isa: Isa, parameter: &[f32], packed: &Panels, x: &[f32], y: &mut [f32]) {
        let bias = &parameter[self.bias.clone()];
        let scalars = Scalars { values: x, row_step: self.input, term_step: 1 };
        product(isa, scalars, packed, y, |row| {
            add(isa, row, bias);
            activate(isa, self.activation, row);
        });
    }

    fn backward(
        &self,
        isa: Isa,
        parameter: &[f32],
        saved: &Saved<'_>,
        mut dy: Vec<f32>,
        wanted: bool,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let batch = dy.len() / self.output;
        dy.par_chunks_mut(self.output)
            .zip(saved.output.par_chunks(self.output))
            .for_each(|(dy, y)| times_derivative(isa, self.activation, dy, y));
        // dW[o][i] = Σ_n dy[n][o] · x[n][i]
        let scalars = Scalars { values: &dy, row_step: 1, term_step: self.output };
        let panels = Panels::from_rows(saved.input, batch, self.input);
        product(isa, scalars, &panels, &mut gradient[self.weight.clone()], |_| {});
        let bias = &mut gradient[self.bias.clone()];
        dy.chunks_exact(self.output).for_each(|dy| add(isa, bias, dy));
        if !wanted {
            return Vec::new();
        }
        // dx[n][i] = Σ_o dy[n][o] · W[o][i]
        let scalars = Scalars { values: &dy, row_step: self.output, term_step: 1 };
        let panels = Panels::from_rows(&parameter[self.weight.clone()], self.output, self.input);
        let mut dx = vec![0.0; batch * self.input];
        product(isa, scalars, &panels, &mut dx, |_| {});
        dx
    }
}
