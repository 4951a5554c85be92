//! A chain of convolutions of a network, image by image.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::conv::{Gather, Halo, Image, Packed, Window};
use crate::elementwise::{add, times_derivative};
use crate::memory::cleared;
use crate::network::Saved;
use crate::planar::Planar;
use crate::pool::Pool;
use crate::weight_gradient::{WeightGradient, finish_gradient};
use crate::{Activation, Isa, Layer, Step};

/// Shares into which a batch's weight gradient is cut. A constant, so that sums have the same bits
/// for any number of threads.
const SHARES: usize = 32;

/// Elements that are copied and worked on at a time.
const PIECE: usize = 2048;
/// Partial sums that a task adds up.
const PARTIAL: usize = 4096;

/// A chain of convolutions and transposed convolutions.
#[derive(Clone, Debug)]
pub(crate) struct ImageStage {
    layers: Vec<ConvLayer>,
    /// The activations before, between and after the layers, and the places of all but the last in an
    /// image's arena.
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
    forward: Forward,
    backward: Gather,
    weights: WeightGradient,
    transposed: bool,
    activation: Activation,
    weight: Range<usize>,
    bias: Range<usize>,
    /// Places of the weight's and the bias's sums in a share's.
    partial: [Range<usize>; 2],
}

#[derive(Clone, Debug)]
enum Forward {
    Gather(Gather),
    /// Of a last layer: writes planes.
    Planar(Planar),
}

impl Forward {
    fn pack(&self, isa: Isa, weight: &[f32]) -> Packed {
        match self {
            Self::Gather(gather) => gather.pack(isa, weight),
            Self::Planar(planar) => Packed::floats(planar.pack(weight)),
        }
    }
}

impl ImageStage {
    pub(crate) fn new(isa: Isa, steps: &[&Step]) -> Self {
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
                true => WeightGradient::new(isa, window, gradients[i + 1], images[i]),
                false => WeightGradient::new(isa, window, images[i], gradients[i + 1]),
            };
            let bias_start = partial_len + weights.partial_len();
            let partial = [partial_len..bias_start, bias_start..bias_start + step.bias.len()];
            partial_len = partial[1].end;
            let last = i + 1 == steps.len();
            let planar = last.then(|| Planar::new(transposed, window, step.input, step.output)).flatten();
            layers.push(ConvLayer {
                forward: planar.map_or(Forward::Gather(forward), Forward::Planar),
                backward,
                weights,
                transposed,
                activation: step.layer.activation(),
                weight: step.weight.clone(),
                bias: step.bias.clone(),
                partial,
            });
        }
        let (places, arena_len) = places(&images[..steps.len()]);
        let volume = |shape: Option<&[usize; 3]>| shape.map_or(0, |shape| shape.iter().product());
        let (input, output) = (volume(shapes.first()), volume(shapes.last()));
        Self { layers, images, places, arena_len, gradients, input, output, partial_len }
    }

    pub(crate) fn arena_len(&self) -> usize {
        self.arena_len
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output
    }

    /// The last layer's.
    pub(crate) fn activation(&self) -> Activation {
        self.layers.last().map_or(Activation::None, |layer| layer.activation)
    }

    pub(crate) fn pack(&self, isa: Isa, parameter: &[f32]) -> Vec<Packed> {
        self.layers.iter().map(|layer| layer.forward.pack(isa, &parameter[layer.weight.clone()])).collect()
    }

    /// In training: `arena` keeps the activations, all of `y` is written.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        x: &[f32],
        arena: &mut [f32],
        memory: &Pool<Deltas>,
        y: &mut [MaybeUninit<f32>],
    ) {
        let packed = self.pack(isa, parameter);
        let images = x.par_chunks(self.input).zip(arena.par_chunks_mut(self.arena_len));
        images.zip(y.par_chunks_mut(self.output)).for_each_init(
            || memory.lease(),
            |memory, ((x, arena), y)| {
                self.image_forward(isa, parameter, &packed, x, arena, &mut memory.forward, cleared(y));
            },
        );
    }

    pub(crate) fn infer(
        &self,
        isa: Isa,
        parameter: &[f32],
        packed: &[Packed],
        x: &[f32],
        memory: &Pool<Memory>,
        y: &mut [f32],
    ) {
        let images = x.par_chunks(self.input).zip(y.par_chunks_mut(self.output));
        images.for_each_init(
            || memory.lease(),
            |memory, (x, y)| {
                let Memory { arena, scratch } = &mut **memory;
                arena.resize(self.arena_len);
                self.image_forward(isa, parameter, packed, x, arena, scratch, y);
            },
        );
    }

    /// One image's way: `arena`'s halos are zero, `scratch` is empty or was used for this stage only.
    #[expect(clippy::too_many_arguments, reason = "private, and all of it is one image's state")]
    fn image_forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        packed: &[Packed],
        x: &[f32],
        arena: &mut [f32],
        scratch: &mut Vec<f32>,
        y: &mut [f32],
    ) {
        self.images[0].read_planes(isa, x, &mut arena[self.places[0].clone()]);
        for (i, (layer, packed)) in self.layers.iter().zip(packed).enumerate() {
            let (before, after) = arena.split_at_mut(self.places[i].end);
            let input = &before[self.places[i].clone()];
            let (bias, activation) = (&parameter[layer.bias.clone()], layer.activation);
            let image = &self.images[i + 1];
            match &layer.forward {
                Forward::Planar(planar) => {
                    planar.run(isa, &self.images[i], input, packed.as_floats(), bias, activation, y, scratch);
                }
                Forward::Gather(gather) if i + 1 < self.layers.len() => {
                    gather.run(isa, input, packed, bias, activation, &mut after[..image.len()]);
                }
                Forward::Gather(gather) => {
                    scratch.resize(image.len(), 0.0);
                    gather.run(isa, input, packed, bias, activation, scratch);
                    image.write_planes(isa, scratch, y);
                }
            }
        }
    }

    /// Writes the parameters' gradients and, unless it is `None`, the input's.
    #[expect(clippy::too_many_arguments, reason = "a pass reads the saved, and writes gradients and memory")]
    pub(crate) fn backward(
        &self,
        isa: Isa,
        parameter: &[f32],
        saved: &Saved<'_>,
        dy: &[f32],
        dx: Option<&mut Vec<f32>>,
        memory: &Pool<Deltas>,
        gradient: &mut [MaybeUninit<f32>],
    ) {
        let wanted = dx.is_some();
        let pack = |layer: &ConvLayer| layer.backward.pack(isa, &parameter[layer.weight.clone()]);
        let packed: Vec<_> = self.layers.iter().map(pack).collect();
        let batch = dy.len() / self.output;
        let share = batch.div_ceil(SHARES).max(1);
        let mut slices: Vec<&mut [f32]> = Vec::new();
        if let Some(dx) = dx {
            dx.resize(batch * self.input, 0.0);
            slices.extend(dx.chunks_mut(share * self.input));
        }
        slices.resize_with(batch.div_ceil(share), Default::default);
        let partials: Vec<_> = slices
            .into_par_iter()
            .enumerate()
            .map(|(index, dx)| {
                let range = index * share..batch.min((index + 1) * share);
                let mut sums = vec![0.0; self.partial_len];
                let mut deltas = memory.lease();
                let Deltas { images: scratch, planes, wide, .. } = &mut *deltas;
                scratch.resize_with(self.gradients.len(), Aligned::default);
                // Halos are zero from the first allocation on.
                for (buffer, image) in scratch.iter_mut().zip(&self.gradients) {
                    buffer.resize(image.len());
                }
                for image in range.clone() {
                    let arena = &saved.arena[image * self.arena_len..][..self.arena_len];
                    let place = image * self.output..(image + 1) * self.output;
                    let dy = self.output_gradient(isa, &dy[place.clone()], saved.output, place, planes);
                    let last = self.layers.len();
                    self.gradients[last].read_planes(isa, dy, &mut scratch[last]);
                    self.image_backward(isa, &packed, arena, wanted, scratch, wide, &mut sums);
                    if wanted {
                        let dx = &mut dx[(image - range.start) * self.input..][..self.input];
                        self.gradients[0].write_planes(isa, &scratch[0], dx);
                    }
                }
                sums
            })
            .collect();
        let mut total = vec![0.0; self.partial_len];
        total.par_chunks_mut(PARTIAL).enumerate().for_each(|(index, total)| {
            let place = index * PARTIAL..index * PARTIAL + total.len();
            partials.iter().for_each(|sums| add(isa, total, &sums[place.clone()]));
        });
        for layer in &self.layers {
            let [weight, bias] = &layer.partial;
            layer.weights.scatter(&total[weight.clone()], &mut gradient[layer.weight.clone()]);
            gradient[layer.bias.clone()].write_copy_of_slice(&total[bias.clone()]);
        }
    }

    /// An image's output gradient before the last activation.
    fn output_gradient<'a>(
        &self,
        isa: Isa,
        dy: &'a [f32],
        output: &[f32],
        place: Range<usize>,
        planes: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let activation = self.activation();
        if activation == Activation::None {
            return dy;
        }
        planes.resize(dy.len(), 0.0);
        // Piece by piece: what was copied is in the cache still.
        let output = output[place].chunks(PIECE);
        for ((planes, dy), output) in planes.chunks_mut(PIECE).zip(dy.chunks(PIECE)).zip(output) {
            planes.copy_from_slice(dy);
            times_derivative(isa, activation, planes, output);
        }
        planes
    }

    /// One image's way back from the gradient before the last activation, which is in `scratch`'s last:
    /// adds to the partial sums and leaves the input's gradient, if wanted, in `scratch[0]`.
    #[expect(clippy::too_many_arguments, reason = "private, and all of it is one image's state")]
    fn image_backward(
        &self,
        isa: Isa,
        packed: &[Packed],
        arena: &[f32],
        wanted: bool,
        scratch: &mut [Aligned],
        wide: &mut Vec<f32>,
        sums: &mut [f32],
    ) {
        let last = self.layers.len();
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = scratch.split_at_mut(i + 1);
            let dy = &mut after[0];
            let [weight, bias] = &layer.partial;
            let y = (i + 1 < last)
                .then(|| (layer.activation, &self.images[i + 1], &arena[self.places[i + 1].clone()]));
            finish_gradient(isa, &self.gradients[i + 1], dy, y, &mut sums[bias.clone()], wide);
            let x = &arena[self.places[i].clone()];
            let (scalar, vector) = if layer.transposed { (&dy[..], x) } else { (x, &dy[..]) };
            layer.weights.accumulate(isa, scalar, vector, &mut sums[weight.clone()]);
            if wanted || i > 0 {
                layer.backward.run(isa, dy, &packed[i], &[], Activation::None, &mut before[i]);
            }
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

/// One image's memory in a stage in inference.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    arena: Aligned,
    scratch: Vec<f32>,
}

/// A thread's memory in a stage in training.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    /// One image's gradients.
    images: Vec<Aligned>,
    /// The output's, before the last activation, in planes.
    planes: Vec<f32>,
    /// Sums of a bias's gradient.
    wide: Vec<f32>,
    /// The last layer's, forward.
    forward: Vec<f32>,
}
