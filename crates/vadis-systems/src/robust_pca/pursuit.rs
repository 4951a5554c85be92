//! Principal component pursuit by the inexact augmented Lagrangian (Lin, Chen & Ma, 2010, algorithm 5), and the
//! split of one new frame over the subspace found.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// ‖D − L − S‖_F / ‖D‖_F at which the split is good enough.
const TOLERANCE: f64 = 1e-4;
/// Growth of the penalty a step.
const GROWTH: f64 = 1.5;
/// Alternations of subspace and sparse part for one frame; the change is below a grey level after five or so.
const SPLIT_STEPS: usize = 8;

/// Orthonormal axes of the low-rank part, `[pixels, rank]`.
pub(super) struct Subspace {
    pub(super) axes: DMatrix<f32>,
    /// Largest absolute value that counts as dense noise, not as sparse: the threshold of a frame's split.
    pub(super) noise: f32,
}

/// Splits `data` (`[pixels, frames]`) into low rank and sparse, and keeps the low-rank part's axes.
/// `step` is told after each iteration and stops the work by returning false.
pub(super) fn pursue(
    data: &DMatrix<f32>,
    sparsity: f64,
    rank: usize,
    iterations: usize,
    mut step: impl FnMut(usize) -> bool,
) -> Option<Subspace> {
    let lambda = sparsity / (data.nrows().max(data.ncols()) as f64).sqrt();
    let norm = f64::from(data.norm()).max(1e-12);
    let spectral = eigen(data).eigenvalues.iter().copied().fold(0.0, f64::max).sqrt().max(1e-12);
    let dual = spectral.max(f64::from(data.amax()) / lambda);
    let mut multiplier = data / dual as f32;
    let mut penalty = 1.25 / spectral;
    let mut sparse = DMatrix::<f32>::zeros(data.nrows(), data.ncols());
    let mut low = DMatrix::<f32>::zeros(data.nrows(), data.ncols());
    for iteration in 0..iterations {
        let inverse = (1.0 / penalty) as f32;
        low = shrink_singular(&(data - &sparse + &multiplier * inverse), 1.0 / penalty);
        let bound = (lambda / penalty) as f32;
        sparse = (data - &low + &multiplier * inverse).map(|v| soft(v, bound));
        let rest = data - &low - &sparse;
        multiplier += &rest * penalty as f32;
        penalty *= GROWTH;
        if !step(iteration + 1) {
            return None;
        }
        if f64::from(rest.norm()) / norm < TOLERANCE {
            break;
        }
    }
    Some(Subspace { axes: axes(&low, rank), noise: noise(&sparse) })
}

/// Singular values less `bound`, at least 0: X·V·diag(max(σ − bound, 0)/σ)·Vᵀ.
fn shrink_singular(x: &DMatrix<f32>, bound: f64) -> DMatrix<f32> {
    let SymmetricEigen { eigenvectors, eigenvalues } = eigen(x);
    let gain = eigenvalues.map(|e| {
        let sigma = e.max(0.0).sqrt();
        if sigma > bound { 1.0 - bound / sigma } else { 0.0 }
    });
    let v = eigenvectors;
    let scaled = DMatrix::from_fn(v.nrows(), v.ncols(), |i, k| v[(i, k)] * gain[k]);
    x * (scaled * v.transpose()).map(|e| e as f32)
}

/// Eigenvectors of xᵀx, the right singular vectors of x.
fn eigen(x: &DMatrix<f32>) -> SymmetricEigen<f64, nalgebra::Dyn> {
    SymmetricEigen::new(x.tr_mul(x).map(f64::from))
}

/// Left singular vectors of the `rank` largest singular values; those that carry nothing are left out.
fn axes(low: &DMatrix<f32>, rank: usize) -> DMatrix<f32> {
    let SymmetricEigen { eigenvectors, eigenvalues } = eigen(low);
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let largest = order.first().map_or(0.0, |&k| eigenvalues[k]);
    order.truncate(rank);
    order.retain(|&k| eigenvalues[k] > 1e-8 * largest && eigenvalues[k] > 0.0);
    let columns: Vec<DVector<f32>> = order
        .iter()
        .map(|&k| low * eigenvectors.column(k).map(|e| (e / eigenvalues[k].sqrt()) as f32))
        .collect();
    match columns.is_empty() {
        true => DMatrix::zeros(low.nrows(), 0),
        false => DMatrix::from_columns(&columns),
    }
}

/// Three robust deviations of the sparse part's small entries, at least one grey level.
fn noise(sparse: &DMatrix<f32>) -> f32 {
    let mut sizes: Vec<f32> = sparse.iter().step_by(17).map(|v| v.abs()).collect();
    if sizes.is_empty() {
        return 1.0 / 255.0;
    }
    let middle = sizes.len() / 2;
    let median = *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
    (3.0 * 1.4826 * median).max(1.0 / 255.0)
}

fn soft(value: f32, bound: f32) -> f32 {
    value.signum() * (value.abs() - bound).max(0.0)
}

impl Subspace {
    /// The low-rank part of a frame (about the background) and its sparse part: alternately the projection of what
    /// is not sparse, and what exceeds the noise. An object is not projected into the background that way.
    pub(super) fn split(&self, frame: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let x = DVector::from_column_slice(frame);
        let mut sparse = DVector::<f32>::zeros(frame.len());
        let mut low = sparse.clone();
        for _ in 0..SPLIT_STEPS {
            let coefficients = self.axes.tr_mul(&(&x - &sparse));
            low = &self.axes * coefficients;
            sparse = (&x - &low).map(|v| soft(v, self.noise));
        }
        (low.as_slice().to_vec(), sparse.as_slice().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A rank-2 matrix with 4 % of its entries spoilt, as in Candès et al.'s section 4.1.
    fn spoilt(rows: usize, columns: usize) -> (DMatrix<f32>, DMatrix<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let a = DMatrix::from_fn(rows, 2, |_, _| rng.random_range(-1.0f32..1.0));
        let b = DMatrix::from_fn(2, columns, |_, _| rng.random_range(-1.0f32..1.0));
        let low = a * b;
        let data = low.map(|v| if rng.random_bool(0.04) { v + rng.random_range(-2.0f32..2.0) } else { v });
        (low, data)
    }

    #[test]
    fn the_low_rank_part_is_recovered_under_gross_errors() {
        let (low, data) = spoilt(200, 60);
        let found = pursue(&data, 1.0, 2, 100, |_| true).unwrap();
        assert_eq!(found.axes.ncols(), 2);
        let projected = &found.axes * found.axes.tr_mul(&low);
        assert!((&projected - &low).norm() / low.norm() < 1e-2);
        let gram = found.axes.tr_mul(&found.axes);
        assert!((gram - DMatrix::identity(2, 2)).amax() < 1e-4);
    }

    #[test]
    fn an_object_stays_in_the_sparse_part() {
        let (low, data) = spoilt(200, 60);
        let found = pursue(&data, 1.0, 2, 100, |_| true).unwrap();
        let mut frame: Vec<f32> = low.column(7).iter().copied().collect();
        frame[20..30].iter_mut().for_each(|v| *v += 3.0);
        let (rebuilt, sparse) = found.split(&frame);
        let worst = rebuilt.iter().zip(low.column(7).iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.1, "{worst}");
        assert!(sparse[20..30].iter().all(|&v| v > 2.5));
    }

    #[test]
    fn the_work_can_be_stopped_and_nothing_is_no_trouble() {
        let (_, data) = spoilt(30, 10);
        assert!(pursue(&data, 1.0, 2, 100, |i| i < 3).is_none());
        let nothing = pursue(&DMatrix::zeros(30, 10), 1.0, 2, 5, |_| true).unwrap();
        assert_eq!(nothing.axes.ncols(), 0);
        assert_eq!(nothing.split(&[0.0; 30]).1, vec![0.0; 30]);
    }
}
