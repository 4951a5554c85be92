//! What a reconstructed frame is compared by: squared error, structural similarity and image gradients, in
//! one pass over each frame.

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use vadis_kernels::by_parts;

use super::ms_ssim::{Constants, Scratch, TAPS, ms_ssim};
use super::{check_same_shape, edges, fused, reference, squares};
use crate::NnError;

/// A weighted sum of squared error, 1 − MS-SSIM and the gradient loss. With equal weights it is the loss of
/// the implicit two-path autoencoder; a term of weight 0 is not computed.
///
/// * squared error: mean over all elements;
/// * MS-SSIM of every frame and channel apart (see [`ms_ssim_loss`]), averaged;
/// * gradient loss: mean | |∂x I| − |∂x Î| | + mean | |∂y I| − |∂y Î| |, each over the neighbouring pairs
///   along that axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameLoss {
    /// Weight of the mean squared error.
    pub squared: f32,
    /// Weight of 1 − MS-SSIM.
    pub ms_ssim: f32,
    /// Weight of the gradient loss.
    pub gradient: f32,
    /// Largest minus smallest value that a pixel can have: 2 for pixels in [−1, 1].
    pub range: f32,
}

impl Default for FrameLoss {
    /// All three at weight 1, for pixels in [−1, 1].
    fn default() -> Self {
        Self { squared: 1.0, ms_ssim: 1.0, gradient: 1.0, range: 2.0 }
    }
}

/// What one batch gives.
#[derive(Debug, Clone)]
pub struct FrameTerms {
    /// The weighted sum, `[1]`.
    pub loss: Tensor<1>,
    /// Mean squared error; 0 where its weight is.
    pub squared: f64,
    /// 1 − MS-SSIM, in [0, 1]; 0 where its weight is.
    pub ms_ssim: f64,
    /// The gradient loss; 0 where its weight is.
    pub gradient: f64,
}

impl FrameLoss {
    /// Compares frames, the last two axes being height and width.
    ///
    /// # Shapes
    /// - `prediction`, `target`: `[batch, channels, time, height, width]` or any other whose last two axes
    ///   are a frame's
    ///
    /// # Errors
    /// [`NnError::Shape`] where the shapes differ or hold nothing, [`NnError::Rank`] where they have fewer
    /// than two axes; [`NnError::FrameTooSmall`] where MS-SSIM is wanted of frames with a side under 11 pixels;
    /// [`NnError::Setting`] for a range that is not positive.
    pub fn forward<const D: usize>(
        &self,
        prediction: Tensor<D>,
        target: Tensor<D>,
    ) -> Result<FrameTerms, NnError> {
        check_same_shape("target", &prediction, &target)?;
        let plane = plane(prediction.dims())?;
        let constants = self.constants(plane)?;
        let cores = Cores { loss: *self, plane, constants };
        let fast = fused::apply(&prediction, &[&target], |x, constants, wanted| {
            let (terms, gradient) = cores.evaluate(x, constants[0], wanted);
            (self.sum(terms), gradient, terms)
        });
        match fast {
            Some((loss, [squared, ms_ssim, gradient])) => Ok(FrameTerms { loss, squared, ms_ssim, gradient }),
            None => reference::frame(self, cores.constants.as_ref(), prediction, target),
        }
    }

    fn constants(&self, plane: [usize; 2]) -> Result<Option<Constants>, NnError> {
        if self.ms_ssim == 0.0 {
            return Ok(None);
        }
        if !(self.range > 0.0 && self.range.is_finite()) {
            let value = self.range.to_string();
            return Err(NnError::Setting { key: "range", value, expected: "a positive number" });
        }
        let [height, width] = plane;
        match Constants::new(plane, self.range) {
            Some(constants) => Ok(Some(constants)),
            None => Err(NnError::FrameTooSmall { height, width, needed: TAPS }),
        }
    }

    fn sum(&self, terms: [f64; 3]) -> f64 {
        let weights = [self.squared, self.ms_ssim, self.gradient];
        weights.iter().zip(terms).map(|(&weight, term)| f64::from(weight) * term).sum()
    }
}

fn plane<const D: usize>(shape: [usize; D]) -> Result<[usize; 2], NnError> {
    match shape.as_slice() {
        &[.., height, width] => Ok([height, width]),
        _ => Err(NnError::Rank { needed: 2, got: D }),
    }
}

/// 1 − MS-SSIM (Wang, Simoncelli & Bovik 2003): 11×11 Gaussian of σ 1.5 without padding, five scales of
/// exponents .0448 .2856 .3001 .2363 .1333, between them 2×2 average pooling, as PyPI's `pytorch-msssim` has
/// it; each frame and channel apart, then averaged. Where a side is 160 pixels or less, as many scales as
/// fit are used and their exponents renormalised (ours). In [0, 1]; 0 for equal frames.
///
/// A scale whose mean similarity is below .01, where the power's slope is steep without bound, is
/// differentiated as if it were .01 (ours), so that frames with nothing in common yet are pulled on.
///
/// # Shapes
/// - `prediction`, `target`: the last two axes are a frame's height and width
/// - output: `[1]`
///
/// # Errors
/// As [`FrameLoss::forward`].
pub fn ms_ssim_loss<const D: usize>(
    prediction: Tensor<D>,
    target: Tensor<D>,
    range: f32,
) -> Result<Tensor<1>, NnError> {
    let loss = FrameLoss { squared: 0.0, ms_ssim: 1.0, gradient: 0.0, range };
    Ok(loss.forward(prediction, target)?.loss)
}

/// Mean | |∂x I| − |∂x Î| | + mean | |∂y I| − |∂y Î| |, with differences of neighbouring pixels.
///
/// # Shapes
/// - `prediction`, `target`: the last two axes are a frame's height and width
/// - output: `[1]`
///
/// # Errors
/// [`NnError::Shape`] where the shapes differ or hold nothing, [`NnError::Rank`] for fewer than two axes.
pub fn gradient_loss<const D: usize>(prediction: Tensor<D>, target: Tensor<D>) -> Result<Tensor<1>, NnError> {
    let loss = FrameLoss { squared: 0.0, ms_ssim: 0.0, gradient: 1.0, range: 1.0 };
    Ok(loss.forward(prediction, target)?.loss)
}

/// The three cores over all planes.
struct Cores {
    loss: FrameLoss,
    plane: [usize; 2],
    constants: Option<Constants>,
}

impl Cores {
    /// Squared error, 1 − MS-SSIM and gradient loss, and the gradient of their weighted sum if it is wanted. Planes are summed
    /// in their order.
    fn evaluate(&self, x: &[f32], target: &[f32], wanted: bool) -> ([f64; 3], Vec<f32>) {
        let len: usize = self.plane.iter().product();
        let shares = self.shares(x.len());
        let scratch = || self.constants.as_ref().map(|constants| Scratch::new(self.plane, constants));
        let frame = |scratch: &mut _, index: usize, gradient: Option<&mut [f32]>| {
            let [x, target] = [x, target].map(|frames| &frames[index * len..][..len]);
            self.frame(x, target, gradient, shares, scratch)
        };
        let (gradient, sums) = match wanted {
            true => by_parts(x.len(), len, scratch, |scratch, index, gradient| {
                frame(scratch, index, Some(gradient))
            }),
            false => {
                let frames = (0..x.len() / len).into_par_iter();
                (Vec::new(), frames.map_init(scratch, |scratch, index| frame(scratch, index, None)).collect())
            }
        };
        let terms = sums.iter().fold([0.0; 4], |sum, plane| std::array::from_fn(|i| sum[i] + plane[i]));
        let [squared, similar, along_x, along_y] = std::array::from_fn(|i| terms[i] * shares[i]);
        let similar = if self.constants.is_some() { 1.0 - similar } else { 0.0 };
        ([squared, similar, along_x + along_y], gradient)
    }

    /// What each of the four sums is divided by, as a factor: elements, planes, pairs along x and along y.
    fn shares(&self, len: usize) -> [f64; 4] {
        let [height, width] = self.plane;
        let planes = len / (height * width);
        let pairs = [height * (width - 1), (height - 1) * width].map(|pairs| (pairs * planes).max(1));
        [len, planes, pairs[0], pairs[1]].map(|count| 1.0 / count as f64)
    }

    /// One plane: Σ squared error, MS-SSIM, and the gradient loss's two sums.
    fn frame(
        &self,
        x: &[f32],
        target: &[f32],
        mut gradient: Option<&mut [f32]>,
        shares: [f64; 4],
        scratch: &mut Option<Scratch>,
    ) -> [f64; 4] {
        let FrameLoss { squared: w_squared, ms_ssim: w_similar, gradient: w_edges, .. } = self.loss;
        let scaled = |weight: f32, share: f64| (f64::from(weight) * share) as f32;
        let mut sums = [0.0; 4];
        if w_squared != 0.0 {
            let scale = scaled(2.0 * w_squared, shares[0]);
            sums[0] = squares::squares(x, target, None, gradient.as_deref_mut(), scale);
        }
        if let Some((constants, scratch)) = self.constants.as_ref().zip(scratch.as_mut()) {
            let gradient = gradient.as_deref_mut().map(|g| (g, -scaled(w_similar, shares[1])));
            sums[1] = ms_ssim(x, target, constants, scratch, gradient);
        }
        if w_edges != 0.0 {
            let scale = [shares[2], shares[3]].map(|share| scaled(w_edges, share));
            [sums[2], sums[3]] = edges::edges(x, target, self.plane[1], gradient, scale);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Frames with some structure in common: `blend` of the first in the second.
    fn pair(shape: [usize; 3], blend: f32, seed: u64) -> [Vec<f32>; 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let len = shape.iter().product();
        let x: Vec<f32> = (0..len)
            .map(|i| (0.3 * (i as f32 * 0.05).sin() + rng.random_range(-0.6..0.6f32)).clamp(-1.0, 1.0))
            .collect();
        let y = x.iter().map(|v| blend * v + (1.0 - blend.abs()) * rng.random_range(-1.0..1.0f32)).collect();
        [x, y]
    }

    fn tensor(shape: [usize; 3], values: &[f32]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex().autodiff())
    }

    type Path = fn(&FrameLoss, Tensor<3>, Tensor<3>) -> FrameTerms;

    fn fast(loss: &FrameLoss, x: Tensor<3>, y: Tensor<3>) -> FrameTerms {
        loss.forward(x, y).unwrap()
    }

    fn by_burn(loss: &FrameLoss, x: Tensor<3>, y: Tensor<3>) -> FrameTerms {
        let [_, height, width] = x.dims();
        reference::frame(loss, loss.constants([height, width]).unwrap().as_ref(), x, y).unwrap()
    }

    fn value_and_gradient(
        path: Path,
        loss: &FrameLoss,
        shape: [usize; 3],
        [x, y]: &[Vec<f32>; 2],
    ) -> (f32, Vec<f32>) {
        let x = tensor(shape, x).require_grad();
        let terms = path(loss, x.clone(), tensor(shape, y));
        let gradient = crate::tensor_values(x.grad(&terms.loss.backward()).unwrap()).unwrap();
        (terms.loss.into_scalar(), gradient)
    }

    fn assert_paths_agree(loss: &FrameLoss, shape: [usize; 3], frames: &[Vec<f32>; 2]) {
        let (value, gradient) = value_and_gradient(fast, loss, shape, frames);
        let (expected, by_burn) = value_and_gradient(by_burn, loss, shape, frames);
        assert!((value - expected).abs() < 2e-5 * expected.abs().max(0.1), "{value} against {expected}");
        let largest = by_burn.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (got, want) in gradient.iter().zip(&by_burn) {
            assert!((got - want).abs() <= 2e-4 * largest, "{got} against {want} of {largest}: {shape:?}");
        }
    }

    #[test]
    fn kernels_and_burns_operations_agree() {
        let shapes = [[2, 11, 11], [3, 12, 40], [1, 21, 22], [2, 27, 64], [1, 83, 90], [1, 165, 161]];
        for (seed, shape) in shapes.into_iter().enumerate() {
            assert_paths_agree(&FrameLoss::default(), shape, &pair(shape, 0.7, seed as u64));
        }
    }

    /// Below [`super::super::ms_ssim::FLOOR`], and below 0, both paths have the floor's derivative.
    #[test]
    fn opposite_frames_are_wholly_unlike_and_still_pulled() {
        let loss = FrameLoss { squared: 0.0, gradient: 0.0, ..FrameLoss::default() };
        let shape = [1, 24, 30];
        let frames = pair(shape, -0.9, 3);
        let (value, gradient) = value_and_gradient(fast, &loss, shape, &frames);
        assert_eq!(value, 1.0);
        assert!(gradient.iter().all(|v| v.is_finite()) && gradient.iter().any(|&v| v != 0.0));
        assert_paths_agree(&loss, shape, &frames);
    }

    /// Along its own gradient a function rises by the gradient's length.
    #[test]
    fn gradients_are_those_of_finite_differences() {
        let shape = [2, 41, 47];
        let [x, y] = pair(shape, 0.6, 9);
        let single = |term: usize| {
            let weight = |i: usize| if i == term { 1.0 } else { 0.0 };
            FrameLoss { squared: weight(0), ms_ssim: weight(1), gradient: weight(2), range: 2.0 }
        };
        for term in 0..3 {
            let loss = single(term);
            let (_, gradient) = value_and_gradient(fast, &loss, shape, &[x.clone(), y.clone()]);
            let length = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            let at = |step: f64| {
                let moved: Vec<f32> = x
                    .iter()
                    .zip(&gradient)
                    .map(|(&x, &g)| (f64::from(x) + step * f64::from(g) / length) as f32)
                    .collect();
                let terms = loss.forward(tensor(shape, &moved), tensor(shape, &y)).unwrap();
                terms.squared + terms.ms_ssim + terms.gradient
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((slope / length - 1.0).abs() < 0.01, "term {term}: {slope} against {length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn equal_frames_have_no_loss_and_similarity_is_symmetric_and_bounded(
            seed in 0u64..1000, height in 11usize..60, width in 11usize..60, blend in -1f32..1.0
        ) {
            let shape = [2, height, width];
            let [x, y] = pair(shape, blend, seed);
            let terms = |x: &[f32], y: &[f32]| {
                FrameLoss::default().forward(tensor(shape, x), tensor(shape, y)).unwrap()
            };
            let same = terms(&x, &x);
            prop_assert_eq!([same.squared, same.ms_ssim, same.gradient], [0.0; 3]);
            let (there, back) = (terms(&x, &y), terms(&y, &x));
            prop_assert!((there.ms_ssim - back.ms_ssim).abs() < 1e-6);
            prop_assert!((there.gradient - back.gradient).abs() < 1e-6);
            prop_assert!((0.0..=1.0).contains(&there.ms_ssim));
        }
    }
}
