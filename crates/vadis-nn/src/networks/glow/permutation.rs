//! The invertible 1×1 convolution (Glow, Eqs. 10 and 11): W = P·L·(U + diag(sign · exp(log_s))).
//!
//! P and the signs are fixed; L has ones on its diagonal, U zeros. The log-determinant is Σ log_s at each
//! position.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_distr::StandardNormal;

/// What is fixed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Permutation {
    pub(super) p: DMatrix<f64>,
    pub(super) sign: DVector<f64>,
}

/// What is learnt: two matrices by rows, of which the strict triangles are read, and a vector; and likewise
/// their gradients.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factors<T> {
    pub(super) lower: T,
    pub(super) upper: T,
    pub(super) log_s: T,
}

impl Permutation {
    /// A random rotation.
    pub(super) fn random(channels: usize, rng: &mut impl Rng) -> (Self, Factors<Vec<f32>>) {
        let noise = DMatrix::from_fn(channels, channels, |_, _| rng.sample::<f64, _>(StandardNormal));
        let lu = noise.qr().q().lu();
        let mut p = DMatrix::identity(channels, channels);
        lu.p().inv_permute_rows(&mut p);
        let (lower, upper) = (lu.l(), lu.u());
        let diagonal = upper.diagonal();
        let factors = Factors {
            lower: rows(&lower.lower_triangle(), |i, j| i > j),
            upper: rows(&upper, |i, j| i < j),
            log_s: diagonal.iter().map(|s| s.abs().ln() as f32).collect(),
        };
        (Self { p, sign: diagonal.map(f64::signum) }, factors)
    }

    fn channels(&self) -> usize {
        self.sign.len()
    }

    /// W.
    pub(super) fn matrix(&self, factors: &Factors<&[f32]>) -> DMatrix<f64> {
        &self.p * self.lower(factors) * self.upper(factors)
    }

    fn lower(&self, factors: &Factors<&[f32]>) -> DMatrix<f64> {
        let c = self.channels();
        DMatrix::from_fn(c, c, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Greater => f64::from(factors.lower[i * c + j]),
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Less => 0.0,
        })
    }

    fn upper(&self, factors: &Factors<&[f32]>) -> DMatrix<f64> {
        let c = self.channels();
        DMatrix::from_fn(c, c, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Greater => 0.0,
            std::cmp::Ordering::Equal => self.sign[i] * f64::from(factors.log_s[i]).exp(),
            std::cmp::Ordering::Less => f64::from(factors.upper[i * c + j]),
        })
    }

    /// The gradients of the factors from that of W, without the log-determinant's.
    pub(super) fn gradients(&self, factors: &Factors<&[f32]>, dw: &DMatrix<f64>) -> Factors<Vec<f32>> {
        let (lower, upper) = (self.lower(factors), self.upper(factors));
        let dw = self.p.transpose() * dw;
        let (d_lower, d_upper) = (&dw * upper.transpose(), lower.transpose() * &dw);
        Factors {
            lower: rows(&d_lower, |i, j| i > j),
            upper: rows(&d_upper, |i, j| i < j),
            log_s: (0..self.channels()).map(|i| (d_upper[(i, i)] * upper[(i, i)]) as f32).collect(),
        }
    }
}

/// A matrix by rows, zero where not `kept`.
fn rows(matrix: &DMatrix<f64>, kept: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let (c, kept) = (matrix.ncols(), &kept);
    let value = |i, j| if kept(i, j) { matrix[(i, j)] as f32 } else { 0.0 };
    (0..matrix.nrows()).flat_map(|i| (0..c).map(move |j| value(i, j))).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_random_one_is_a_rotation() {
        for channels in [1, 8, 12, 48] {
            let (permutation, factors) = Permutation::random(channels, &mut ChaCha8Rng::seed_from_u64(0));
            let Factors { lower, upper, log_s } = &factors;
            let w = permutation.matrix(&Factors { lower, upper, log_s });
            let unit = DMatrix::identity(channels, channels);
            assert!((w.transpose() * &w - &unit).amax() < 1e-5);
            assert!((permutation.p.transpose() * &permutation.p - &unit).amax() == 0.0);
            assert!(log_s.iter().sum::<f32>().abs() < 1e-4, "|det| of a rotation is 1");
        }
    }
}
