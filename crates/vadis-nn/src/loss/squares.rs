//! Mean squared error, plain and weighted pixel by pixel.

use burn::tensor::Tensor;
use rayon::prelude::*;
use vadis_kernels::by_parts;

use super::{check_same_shape, fused};
use crate::NnError;
use crate::simd::{CHUNK, LANES, Vectorised, multiply_add, total, vectorised};

/// Elements summed in 32-bit lanes before they go on to 64 bits.
const RUN: usize = 64 * LANES;

/// Mean over all elements of (prediction − target)².
///
/// # Shapes
/// - `prediction`, `target`: any, the same
/// - output: `[1]`
///
/// # Errors
/// [`NnError::Shape`] where the shapes differ or hold nothing.
pub fn mse<const D: usize>(prediction: Tensor<D>, target: Tensor<D>) -> Result<Tensor<1>, NnError> {
    check_same_shape("target", &prediction, &target)?;
    let fast = fused::apply(&prediction, &[&target], |x, constants, wanted| {
        let (loss, gradient) = mean_square(x, constants[0], None, wanted);
        (loss, gradient, ())
    });
    Ok(match fast {
        Some((loss, ())) => loss,
        None => (prediction - target).square().mean(),
    })
}

/// Mean over all elements of weight · (prediction − target)²: the motion term of `motion-mae`, whose weights
/// have the mean 1.
///
/// # Shapes
/// - `prediction`, `target`, `weight`: any, the same
/// - output: `[1]`
///
/// # Errors
/// [`NnError::Shape`] where the shapes differ or hold nothing.
pub fn weighted_mse<const D: usize>(
    prediction: Tensor<D>,
    target: Tensor<D>,
    weight: Tensor<D>,
) -> Result<Tensor<1>, NnError> {
    check_same_shape("target", &prediction, &target)?;
    check_same_shape("weight", &prediction, &weight)?;
    let fast = fused::apply(&prediction, &[&target, &weight], |x, constants, wanted| {
        let (loss, gradient) = mean_square(x, constants[0], Some(constants[1]), wanted);
        (loss, gradient, ())
    });
    Ok(match fast {
        Some((loss, ())) => loss,
        None => ((prediction - target).square() * weight).mean(),
    })
}

/// The mean of weight · (x − t)², and its gradient if it is wanted.
fn mean_square(x: &[f32], target: &[f32], weight: Option<&[f32]>, wanted: bool) -> (f64, Vec<f32>) {
    let scale = (2.0 / x.len() as f64) as f32;
    let part = |index: usize, gradient: Option<&mut [f32]>| {
        let range = index * CHUNK..((index + 1) * CHUNK).min(x.len());
        let [x, target] = [x, target].map(|s| &s[range.clone()]);
        squares(x, target, weight.map(|w| &w[range.clone()]), gradient, scale)
    };
    let (gradient, sums) = match wanted {
        true => by_parts(x.len(), CHUNK, || (), |(), index, gradient| part(index, Some(gradient))),
        false => {
            let parts = (0..x.len().div_ceil(CHUNK)).into_par_iter();
            (Vec::new(), parts.map(|index| part(index, None)).collect())
        }
    };
    (sums.iter().sum::<f64>() / x.len() as f64, gradient)
}

/// Σ weight · (x − t)²; `scale` · weight · (x − t) is written to `gradient`.
pub(super) fn squares(
    x: &[f32],
    target: &[f32],
    weight: Option<&[f32]>,
    gradient: Option<&mut [f32]>,
    scale: f32,
) -> f64 {
    vectorised(Squares { x, target, weight, gradient, scale })
}

struct Squares<'a> {
    x: &'a [f32],
    target: &'a [f32],
    weight: Option<&'a [f32]>,
    gradient: Option<&'a mut [f32]>,
    scale: f32,
}

impl Vectorised for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(mut self) -> f64 {
        let mut sum = 0.0;
        for (index, (x, target)) in self.x.chunks(RUN).zip(self.target.chunks(RUN)).enumerate() {
            let (first, len) = (index * RUN, x.len());
            let (mut error, mut weighted) = ([0.0; RUN], [0.0; RUN]);
            error.iter_mut().zip(x).zip(target).for_each(|((e, &x), &t)| *e = x - t);
            match self.weight {
                Some(weight) => {
                    let weight = &weight[first..][..len];
                    weighted.iter_mut().zip(&error).zip(weight).for_each(|((v, &e), &w)| *v = w * e);
                }
                None => weighted = error,
            }
            if let Some(gradient) = &mut self.gradient {
                let gradient = &mut gradient[first..][..len];
                gradient.iter_mut().zip(&weighted).for_each(|(g, &v)| *g = self.scale * v);
            }
            sum += product_sum::<FMA>(&error, &weighted);
        }
        sum
    }
}

#[inline(always)]
fn product_sum<const FMA: bool>(a: &[f32; RUN], b: &[f32; RUN]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((sum, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *sum = multiply_add::<FMA>(a, b, *sum);
        }
    }
    total(&lanes)
}
