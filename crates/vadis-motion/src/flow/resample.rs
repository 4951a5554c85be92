//! Pictures and flows at another size: bilinear, pixel centres aligned, edges repeated, as OpenCV's `INTER_LINEAR`.

use rayon::prelude::*;

use super::rows::Rows;

/// One output position along an axis: the two samples around it and the second one's weight.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

/// Taps of `out` positions, `scale` samples apart, among `len` samples.
fn taps(len: usize, out: usize, scale: f64) -> Vec<Tap> {
    let tap = |i: usize| {
        let at = (((i as f64) + 0.5) * scale - 0.5) as f32;
        let first = at.floor();
        if first < 0.0 {
            return Tap { first: 0, second: 0, weight: 0.0 };
        }
        let index = (first as usize).min(len - 1);
        let weight = if index + 1 < len { at - first } else { 0.0 };
        Tap { first: index, second: (index + 1).min(len - 1), weight }
    };
    (0..out).map(tap).collect()
}

/// How many samples lie between two positions of the result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// As given.
    Step(f64),
    /// Input size / output size of each axis.
    Fit,
}

/// Resamples the first `planes` planes of `from`, multiplied by `factor`, into `to`, which has the shape of the result.
pub(super) fn resample(
    from: &Rows,
    from_size: (usize, usize),
    to: &mut Rows,
    to_size: (usize, usize),
    planes: usize,
    scale: Scale,
    factor: f32,
) {
    let along = |from: usize, to: usize| match scale {
        Scale::Step(step) => step,
        Scale::Fit => from as f64 / to as f64,
    };
    let columns = taps(from_size.0, to_size.0, along(from_size.0, to_size.0));
    let lines = taps(from_size.1, to_size.1, along(from_size.1, to_size.1));
    let rows: Vec<_> = to.iter_mut().take(to_size.1).collect();
    rows.into_par_iter().zip(&lines).with_min_len(16).for_each(|(mut row, line)| {
        for plane in 0..planes {
            let (above, below) = (from.row(line.first).plane(plane), from.row(line.second).plane(plane));
            for (value, tap) in row.plane_mut(plane).iter_mut().zip(&columns) {
                let blend = |row: &[f32]| row[tap.first] + (row[tap.second] - row[tap.first]) * tap.weight;
                let (above, below) = (blend(above), blend(below));
                *value = (above + (below - above) * line.weight) * factor;
            }
        }
    });
}
