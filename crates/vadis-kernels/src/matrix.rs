//! Matrix products on plain slices, all matrices row after row.

use crate::linear::{Scalars, Vectors, product};
use crate::tile::Isa;

/// output = a · bᵀ with a = `[rows][terms]`, b = `[columns][terms]` and the output `[rows][columns]`.
///
/// An element's bits depend on its row of `a` and its row of `b` alone; swapping them changes none.
///
/// # Panics
/// If a slice's length is not a multiple of `terms`, or the output's is not rows · columns: a bug in the
/// caller.
pub fn multiply_transposed(a: &[f32], b: &[f32], terms: usize, output: &mut [f32]) {
    let [rows, columns] = [a, b].map(|matrix| whole(matrix.len(), terms));
    assert_eq!(output.len(), rows * columns, "output of {rows} rows and {columns} columns");
    if !output.is_empty() {
        let vectors = Vectors::columns(b, terms, columns);
        product(Isa::detect().vectors(), Scalars::Rows(a), vectors, output, |_, _| {});
    }
}

/// output = a · b with a = `[rows][terms]`, b = `[terms][columns]` and the output `[rows][columns]`.
///
/// # Panics
/// As [`multiply_transposed`].
pub fn multiply(a: &[f32], b: &[f32], terms: usize, output: &mut [f32]) {
    let [rows, columns] = [a, b].map(|matrix| whole(matrix.len(), terms));
    assert_eq!(output.len(), rows * columns, "output of {rows} rows and {columns} columns");
    if !output.is_empty() {
        let vectors = Vectors::terms(b, terms, columns);
        product(Isa::detect().vectors(), Scalars::Rows(a), vectors, output, |_, _| {});
    }
}

fn whole(len: usize, terms: usize) -> usize {
    assert!(terms > 0 && len.is_multiple_of(terms), "{len} elements are no whole rows of {terms} terms");
    len / terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_naive_loop() {
        for [rows, terms, columns] in [[1, 1, 1], [3, 5, 40], [60, 33, 17], [70, 600, 65]] {
            let matrix = |len: usize, seed: usize| -> Vec<f32> {
                (0..len).map(|i| ((i * 7919 + seed) % 101) as f32 / 50.0 - 1.0).collect()
            };
            let (a, b) = (matrix(rows * terms, 1), matrix(columns * terms, 2));
            let transposed: Vec<f32> =
                (0..terms * columns).map(|i| b[i % columns * terms + i / columns]).collect();
            let mut outputs = [vec![f32::NAN; rows * columns], vec![f32::NAN; rows * columns]];
            multiply_transposed(&a, &b, terms, &mut outputs[0]);
            multiply(&a, &transposed, terms, &mut outputs[1]);
            for (i, got) in outputs.iter().flat_map(|output| output.iter().enumerate()) {
                let (row, column) = (i / columns, i % columns);
                let terms =
                    (0..terms).map(|k| f64::from(a[row * terms + k]) * f64::from(b[column * terms + k]));
                let (expected, size) =
                    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                assert!((f64::from(*got) - expected).abs() <= 1e-5 * size, "{got} against {expected}");
            }
        }
    }

    #[test]
    fn a_gram_matrix_is_symmetric_to_the_bit() {
        let (n, d) = (37, 19);
        let a: Vec<f32> = (0..n * d).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
        let mut gram = vec![0.0; n * n];
        multiply_transposed(&a, &a, d, &mut gram);
        assert!((0..n * n).all(|i| gram[i] == gram[i % n * n + i / n]));
    }

    #[test]
    #[should_panic(expected = "no whole rows")]
    fn a_broken_row_is_a_bug() {
        multiply(&[0.0; 5], &[0.0; 4], 2, &mut [0.0; 4]);
    }
}
