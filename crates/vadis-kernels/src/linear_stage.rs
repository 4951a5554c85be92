//! A fully connected layer of a network, over the whole batch.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::elementwise::{activate, add, times_derivative};
use crate::linear::{Matrix, Panels, Scalars, Vectors, product, write_product};
use crate::memory::cleared;
use crate::{Activation, Isa};

/// Biases whose gradients one task sums.
const BIASES: usize = 1024;

/// A fully connected layer; weight `[output][input]`.
#[derive(Clone, Debug)]
pub(crate) struct LinearStage {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) activation: Activation,
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
}

impl LinearStage {
    pub(crate) fn pack(&self, isa: Isa, parameter: &[f32]) -> Panels {
        let matrix = Matrix::Columns { values: &parameter[self.weight.clone()], terms: self.input };
        Panels::new(isa, matrix, self.input, self.output)
    }

    /// The weights as they lie in the parameter, for a single use.
    pub(crate) fn vectors<'a>(&self, parameter: &'a [f32]) -> Vectors<'a> {
        Vectors::columns(&parameter[self.weight.clone()], self.input, self.output)
    }

    /// Writes all of `y`.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        parameter: &[f32],
        weight: Vectors<'_>,
        x: &[f32],
        y: &mut [MaybeUninit<f32>],
    ) {
        let bias = &parameter[self.bias.clone()];
        write_product(isa, Scalars::Rows(x), weight, y, |row, columns| {
            add(isa, row, &bias[columns]);
            activate(isa, self.activation, row);
        });
    }

    /// Takes the output's gradient back through the activation.
    pub(crate) fn through_activation(&self, isa: Isa, dy: &mut [f32], y: &[f32]) {
        dy.par_chunks_mut(self.output)
            .zip(y.par_chunks(self.output))
            .for_each(|(dy, y)| times_derivative(isa, self.activation, dy, y));
    }

    /// Writes the weight's gradient, the bias's and, unless it is `None`, the input's; `dy` is the gradient before the
    /// activation.
    pub(crate) fn backward(
        &self,
        isa: Isa,
        parameter: &[f32],
        x: &[f32],
        dy: &[f32],
        dx: Option<&mut Vec<f32>>,
        gradient: &mut [MaybeUninit<f32>],
    ) {
        let batch = dy.len() / self.output;
        // dW[o][i] = Σ_n dy[n][o] · x[n][i]
        let vectors = Vectors::terms(x, batch, self.input);
        write_product(isa, Scalars::Terms(dy), vectors, &mut gradient[self.weight.clone()], |_, _| {});
        let bias = gradient[self.bias.clone()].par_chunks_mut(BIASES).enumerate();
        bias.for_each(|(index, bias)| {
            let place = index * BIASES..index * BIASES + bias.len();
            let bias = cleared(bias);
            dy.chunks_exact(self.output).for_each(|dy| add(isa, bias, &dy[place.clone()]));
        });
        if let Some(dx) = dx {
            // dx[n][i] = Σ_o dy[n][o] · W[o][i]
            let vectors = Vectors::terms(&parameter[self.weight.clone()], self.output, self.input);
            dx.resize(batch * self.input, 0.0);
            product(isa, Scalars::Rows(dy), vectors, dx, |_, _| {});
        }
    }
}
