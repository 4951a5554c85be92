//! A two-dimensional map of latents, for people.

use nalgebra::{DMatrix, SymmetricEigen};

/// Principal component analysis to two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    mean: Vec<f64>,
    axes: [Vec<f64>; 2],
}

impl Projection {
    /// The two axes along which `vectors` (all of one length) vary most. Signs are fixed by each axis's largest
    /// part, so that the same vectors give the same map.
    pub fn fit(vectors: &[Vec<f32>]) -> Self {
        let dimension = vectors.first().map_or(0, Vec::len);
        if dimension == 0 {
            return Self { mean: Vec::new(), axes: [Vec::new(), Vec::new()] };
        }
        let n = vectors.len() as f64;
        let mut mean = vec![0.0; dimension];
        for vector in vectors {
            mean.iter_mut().zip(vector).for_each(|(m, &v)| *m += f64::from(v) / n);
        }
        let centred = DMatrix::from_fn(vectors.len(), dimension, |i, k| f64::from(vectors[i][k]) - mean[k]);
        let eigen = SymmetricEigen::new(centred.tr_mul(&centred));
        let mut order: Vec<usize> = (0..dimension).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let axis = |rank: usize| match order.get(rank) {
            Some(&k) => oriented(eigen.eigenvectors.column(k).iter().copied().collect()),
            None => vec![0.0; dimension],
        };
        Self { axes: [axis(0), axis(1)], mean }
    }

    /// Where a vector lies on the map.
    pub fn place(&self, vector: &[f32]) -> [f64; 2] {
        let along = |axis: &[f64]| {
            axis.iter().zip(vector.iter().zip(&self.mean)).map(|(a, (&v, m))| a * (f64::from(v) - m)).sum()
        };
        [along(&self.axes[0]), along(&self.axes[1])]
    }
}

fn oriented(mut axis: Vec<f64>) -> Vec<f64> {
    let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    if largest < 0.0 {
        axis.iter_mut().for_each(|v| *v = -*v);
    }
    axis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_plane_keep_their_distances() {
        let flat = [[3.0f32, 1.0], [-2.0, 0.5], [0.0, -1.0], [1.0, 2.0], [-4.0, 0.0]];
        // An isometry of the plane into five dimensions.
        let lifted: Vec<Vec<f32>> =
            flat.iter().map(|[a, b]| vec![0.6 * a, 0.8 * b, 0.8 * a, -0.6 * b, 7.0]).collect();
        let map = Projection::fit(&lifted);
        let places: Vec<[f64; 2]> = lifted.iter().map(|v| map.place(v)).collect();
        for i in 0..5 {
            for j in 0..i {
                let flat = f64::from(flat[i][0] - flat[j][0]).hypot(f64::from(flat[i][1] - flat[j][1]));
                let mapped = (places[i][0] - places[j][0]).hypot(places[i][1] - places[j][1]);
                assert!((flat - mapped).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn few_or_equal_vectors_are_no_trouble() {
        assert_eq!(Projection::fit(&[]).place(&[]), [0.0, 0.0]);
        let one = Projection::fit(&[vec![1.0]]);
        assert_eq!(one.place(&[1.0]), [0.0, 0.0]);
        assert!(Projection::fit(&vec![vec![2.0; 3]; 4]).place(&[2.0; 3]).iter().all(|v| v.is_finite()));
    }
}
