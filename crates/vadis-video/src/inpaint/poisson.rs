//! Seamless cloning: Pérez, Gangnet & Blake, *Poisson Image Editing* (SIGGRAPH 2003), Eqs. 7 and 8.

use crate::Mask;

/// Over-relaxation; near the best for holes of some twenty pixels across.
const RELAXATION: f32 = 1.85;
/// Sweeps at most, and the largest change of a grey level at which they end.
const SWEEPS: usize = 400;
const ENOUGH: f32 = 0.02;

/// Fills `hole` of `picture` with what has the gradients of `source` (pictures of the same size, one channel) and meets
/// the picture around it. Where the hole reaches the picture's border nothing is asked of it; a hole without anything
/// around it becomes the source.
pub(super) fn clone(picture: &mut [f32], source: &[f32], hole: &Mask) {
    let (width, height) = (hole.width, hole.height);
    let inside: Vec<usize> = (0..picture.len()).filter(|&i| hole.data[i] != 0).collect();
    // Starts from the source shifted to the mean level around the hole.
    let rim: Vec<f32> = inside
        .iter()
        .flat_map(|&i| neighbours(i, width, height))
        .filter(|&j| hole.data[j] == 0)
        .map(|j| picture[j] - source[j])
        .collect();
    let shift = if rim.is_empty() { 0.0 } else { rim.iter().sum::<f32>() / rim.len() as f32 };
    inside.iter().for_each(|&i| picture[i] = source[i] + shift);
    if rim.is_empty() {
        return;
    }
    for _ in 0..SWEEPS {
        let mut largest = 0.0f32;
        for &i in &inside {
            let (mut sum, mut count) = (0.0, 0.0);
            for j in neighbours(i, width, height) {
                sum += picture[j] + source[i] - source[j];
                count += 1.0;
            }
            if count == 0.0 {
                continue;
            }
            let change = RELAXATION * (sum / count - picture[i]);
            picture[i] += change;
            largest = largest.max(change.abs());
        }
        if largest < ENOUGH {
            break;
        }
    }
}

/// The pixels beside, above and below a pixel.
pub(super) fn neighbours(i: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (i % width, i / width);
    let sides = [
        (x > 0).then(|| i - 1),
        (x + 1 < width).then_some(i + 1),
        (y > 0).then(|| i - width),
        (y + 1 < height).then_some(i + width),
    ];
    sides.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(width: usize, height: usize, [left, right]: [usize; 2], [top, bottom]: [usize; 2]) -> Mask {
        let mut mask = Mask::empty(width, height);
        for y in top..bottom {
            mask.data[y * width + left..y * width + right].fill(1);
        }
        mask
    }

    #[test]
    fn what_differs_by_a_constant_is_found_exactly() {
        let truth: Vec<f32> = (0..30 * 20).map(|i| ((i % 30) * (i / 30) % 97) as f32).collect();
        let source: Vec<f32> = truth.iter().map(|v| v + 40.0).collect();
        let mask = hole(30, 20, [5, 25], [0, 15]);
        let mut picture = truth.clone();
        picture.iter_mut().zip(&mask.data).filter(|(_, m)| **m != 0).for_each(|(v, _)| *v = -7.0);
        clone(&mut picture, &source, &mask);
        assert!(picture.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 0.5), "the same, border included");
    }

    /// A membrane (Laplace's equation): x² − y² is harmonic, on the grid too.
    #[test]
    fn without_gradients_the_fill_is_harmonic() {
        let harmonic = |i: usize| {
            let (x, y) = ((i % 24) as f32 / 2.0, (i / 24) as f32 / 2.0);
            x * x - y * y
        };
        let truth: Vec<f32> = (0..24 * 24).map(harmonic).collect();
        let mask = hole(24, 24, [4, 20], [3, 20]);
        let mut picture = truth.clone();
        clone(&mut picture, &vec![9.0; 24 * 24], &mask);
        let worst = picture.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.5, "{worst}");
    }

    #[test]
    fn a_hole_without_surroundings_becomes_the_source() {
        let source: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let mut picture = vec![50.0; 12];
        clone(&mut picture, &source, &hole(4, 3, [0, 4], [0, 3]));
        assert_eq!(picture, source);
    }
}
