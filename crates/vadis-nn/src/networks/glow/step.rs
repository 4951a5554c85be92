//! A step of the flow: ActNorm, the invertible 1×1 convolution and the affine coupling, on plain slices.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use vadis_kernels::volume::{Frozen, Network, Scratch, View, Workspace};

use super::actnorm;
use super::coupling::{self, Shape};
use super::mix::{self, Mix};
use super::permutation::{Factors, Permutation};
use crate::NnError;
use crate::segment::initial_values;

/// Where a step's parameters lie in the flat parameter.
#[derive(Clone, Debug)]
pub(super) struct Places {
    bias: Range<usize>,
    log_scale: Range<usize>,
    factors: Factors<Range<usize>>,
    net: Range<usize>,
}

impl Places {
    /// From `start` on, for so many channels and parameters of the net.
    pub(super) fn new(start: usize, channels: usize, net: usize) -> Self {
        let mut end = start;
        let mut next = |len: usize| {
            end += len;
            end - len..end
        };
        Self {
            bias: next(channels),
            log_scale: next(channels),
            factors: Factors {
                lower: next(channels * channels),
                upper: next(channels * channels),
                log_s: next(channels),
            },
            net: next(net),
        }
    }

    pub(super) fn end(&self) -> usize {
        self.net.end
    }

    /// PyTorch's names and shapes, under `prefix`.
    pub(super) fn views(&self, prefix: &str, net: &[View]) -> Vec<View> {
        let c = self.bias.len();
        let view = |name: &str, shape: Vec<usize>, range: &Range<usize>| View {
            name: format!("{prefix}.{name}"),
            shape,
            range: range.clone(),
        };
        let mut views = vec![
            view("actnorm.bias", vec![c], &self.bias),
            view("actnorm.log_scale", vec![c], &self.log_scale),
            view("permutation.lower", vec![c, c], &self.factors.lower),
            view("permutation.upper", vec![c, c], &self.factors.upper),
            view("permutation.log_s", vec![c], &self.factors.log_s),
        ];
        for View { name, shape, range } in net {
            let mut shape = shape.clone();
            if shape.len() == 5 {
                shape.remove(2); // PyTorch's 2-D convolutions have no temporal axis
            }
            let range = self.net.start + range.start..self.net.start + range.end;
            views.push(view(&format!("coupling.{name}"), shape, &range));
        }
        views
    }
}

/// A step without its parameters.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) places: Places,
    pub(super) permutation: Permutation,
}

/// What a step's backward pass needs of the forward one.
#[derive(Debug, Default)]
pub(super) struct StepMemory {
    net: Workspace,
    input: Vec<f32>,
    gates: Vec<f32>,
    /// The second half of the output.
    scaled: Vec<f32>,
}

impl StepMemory {
    /// Trades the memory of a running pass.
    pub(super) fn swap_temporaries(&mut self, other: &mut Workspace) {
        self.net.swap_temporaries(other);
    }
}

impl Step {
    /// A step and its initial parameters in `parameter`: ActNorm the identity, the 1×1 convolution a random
    /// rotation, the net by PyTorch's defaults but for its last layer, which is 0.
    pub(super) fn random(places: Places, net: &Network, parameter: &mut [f32], rng: &mut impl Rng) -> Self {
        let (permutation, factors) = Permutation::random(places.bias.len(), rng);
        let Factors { lower, upper, log_s } = &places.factors;
        parameter[lower.clone()].copy_from_slice(&factors.lower);
        parameter[upper.clone()].copy_from_slice(&factors.upper);
        parameter[log_s.clone()].copy_from_slice(&factors.log_s);
        let plan = net.plan();
        let mut values = initial_values(plan, rng);
        let last = &plan.nodes()[plan.output_node()].places;
        values[last.weight.start..last.bias.end].fill(0.0);
        parameter[places.net.clone()].copy_from_slice(&values);
        Self { places, permutation }
    }

    fn factors<'a>(&self, parameter: &'a [f32]) -> Factors<&'a [f32]> {
        let Factors { lower, upper, log_s } = &self.places.factors;
        let part = |place: &Range<usize>| &parameter[place.clone()];
        Factors { lower: part(lower), upper: part(upper), log_s: part(log_s) }
    }

    /// ActNorm's bias, its scale and W.
    fn parts(&self, parameter: &[f32]) -> (DVector<f64>, DVector<f64>, DMatrix<f64>) {
        let vector = |place: &Range<usize>| {
            DVector::from_iterator(place.len(), parameter[place.clone()].iter().map(|&v| f64::from(v)))
        };
        let scale = vector(&self.places.log_scale).map(f64::exp);
        (vector(&self.places.bias), scale, self.permutation.matrix(&self.factors(parameter)))
    }

    /// M = W · diag(scale) and ActNorm's bias: the step's map is M·(x + bias).
    fn map(&self, parameter: &[f32]) -> (DMatrix<f64>, DVector<f64>) {
        let (bias, scale, w) = self.parts(parameter);
        (w * DMatrix::from_diagonal(&scale), bias)
    }

    fn mix(&self, parameter: &[f32]) -> Mix {
        let (matrix, bias) = self.map(parameter);
        let shift = &matrix * bias;
        Mix::new(&matrix, &shift)
    }

    /// The log-determinant of ActNorm and the 1×1 convolution, at each position.
    pub(super) fn constant(&self, parameter: &[f32]) -> f64 {
        [&self.places.log_scale, &self.places.factors.log_s]
            .into_iter()
            .flat_map(|place| &parameter[place.clone()])
            .map(|&v| f64::from(v))
            .sum()
    }

    /// Sets ActNorm by the step's input.
    pub(super) fn initialise(&self, shape: Shape, parameter: &mut [f32], x: &[f32]) -> Result<(), NnError> {
        let [bias, log_scale] = actnorm::initial(x, shape.channels, shape.positions)?;
        parameter[self.places.bias.clone()].copy_from_slice(&bias);
        parameter[self.places.log_scale.clone()].copy_from_slice(&log_scale);
        Ok(())
    }

    /// Runs the step on `x` = `[batch][channels][positions]`. Each position's Σ log s is added to `density`
    /// (`[batch][positions]`). `None` if a length is wrong.
    pub(super) fn forward(
        &self,
        (shape, net): (Shape, &Network),
        parameter: &[f32],
        x: Vec<f32>,
        density: &mut [f32],
        memory: &mut StepMemory,
    ) -> Option<Vec<f32>> {
        let mut y = self.mix(parameter).apply(&x, shape.positions);
        let batch = x.len() / shape.len();
        let half = shape.first_halves(&y);
        let given =
            net.forward_train(&parameter[self.places.net.clone()], &half, batch, &mut memory.net).ok()?;
        memory.gates.resize(half.len(), 0.0);
        coupling::forward(shape, &given.output, &mut y, &mut memory.gates, density);
        memory.scaled.clear();
        memory.scaled.extend(y.chunks_exact(shape.len()).flat_map(|y| &y[shape.half()..]));
        memory.input = x;
        Some(y)
    }

    /// The gradient of the step's input, from that of its output and of each sample's log-determinant, after
    /// [`Step::forward`] left `memory`. Those of the parameters are written to their places in `gradient`.
    pub(super) fn backward(
        &self,
        (shape, net): (Shape, &Network),
        parameter: &[f32],
        mut dy: Vec<f32>,
        log_det: &[f32],
        memory: &mut StepMemory,
        gradient: &mut [f32],
    ) -> Option<Vec<f32>> {
        let d_net = coupling::backward(shape, &memory.gates, &memory.scaled, log_det, &mut dy);
        let place = self.places.net.clone();
        let back = net.backward(&parameter[place.clone()], &mut memory.net, &d_net, true).ok()?;
        gradient[place].copy_from_slice(&back.parameter);
        let half = back.input?;
        for (dy, half) in dy.chunks_exact_mut(shape.len()).zip(half.chunks_exact(shape.half())) {
            dy.iter_mut().zip(half).for_each(|(dy, half)| *dy += half);
        }
        let (d_matrix, d_shift) = mix::gradients(&dy, &memory.input, shape.channels, shape.positions);
        let positions = shape.positions as f64 * log_det.iter().map(|&g| f64::from(g)).sum::<f64>();
        self.map_gradients(parameter, (d_matrix, d_shift), positions, gradient);
        let (matrix, _) = self.map(parameter);
        let back = Mix::new(&matrix.transpose(), &DVector::zeros(shape.channels));
        Some(back.apply(&dy, shape.positions))
    }

    /// From the gradients of the map y = M·x + c, with c = M·bias, to those of ActNorm and the 1×1 convolution.
    /// `log_det` is the gradient of what [`Step::constant`] gives.
    fn map_gradients(
        &self,
        parameter: &[f32],
        (d_matrix, d_shift): (DMatrix<f64>, DVector<f64>),
        log_det: f64,
        gradient: &mut [f32],
    ) {
        let (bias, scale, w) = self.parts(parameter);
        let matrix = &w * DMatrix::from_diagonal(&scale);
        let d_matrix = d_matrix + &d_shift * bias.transpose();
        let d_bias = matrix.transpose() * d_shift;
        let d_scale = d_matrix.component_mul(&matrix).row_sum();
        let dw = d_matrix * DMatrix::from_diagonal(&scale);
        let Factors { lower, upper, log_s } = self.permutation.gradients(&self.factors(parameter), &dw);
        let mut set = |place: &Range<usize>, values: &mut dyn Iterator<Item = f32>| {
            gradient[place.clone()].iter_mut().zip(values).for_each(|(to, value)| *to = value);
        };
        let factors = &self.places.factors;
        set(&self.places.bias, &mut d_bias.iter().map(|&v| v as f32));
        set(&self.places.log_scale, &mut d_scale.iter().map(|&v| (v + log_det) as f32));
        set(&factors.lower, &mut lower.into_iter());
        set(&factors.upper, &mut upper.into_iter());
        set(&factors.log_s, &mut log_s.into_iter().map(|v| v + log_det as f32));
    }

    /// The step packed for inference.
    pub(super) fn freeze(&self, net: &Network, parameter: &[f32]) -> Result<FrozenStep, NnError> {
        let net = net.freeze(&parameter[self.places.net.clone()], &[], &[net.plan().output_name()])?;
        Ok(FrozenStep { mix: self.mix(parameter), net })
    }

    /// The map's inverse x = M⁻¹·y − bias; NaN where there is none.
    pub(super) fn inverse_mix(&self, parameter: &[f32]) -> Mix {
        let (matrix, bias) = self.map(parameter);
        let [rows, columns] = [matrix.nrows(), matrix.ncols()];
        let inverse = matrix.try_inverse().unwrap_or_else(|| DMatrix::repeat(rows, columns, f64::NAN));
        Mix::new(&inverse, &-bias)
    }
}

/// A step as it scores.
#[derive(Debug)]
pub(super) struct FrozenStep {
    mix: Mix,
    net: Frozen,
}

impl FrozenStep {
    /// As [`Step::forward`], in place.
    pub(super) fn forward(
        &self,
        shape: Shape,
        x: &mut Vec<f32>,
        density: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), NnError> {
        *x = self.mix.apply(x, shape.positions);
        let net = self.net(shape, x, scratch)?;
        let mut gates = vec![0.0; x.len() / 2];
        coupling::forward(shape, &net, x, &mut gates, density);
        Ok(())
    }

    /// What the net gives for the first halves, which the coupling does not change.
    pub(super) fn net(&self, shape: Shape, x: &[f32], scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        let mut outputs = self.net.run(&shape.first_halves(x), x.len() / shape.len(), scratch)?;
        Ok(outputs.pop().unwrap_or_default())
    }
}
