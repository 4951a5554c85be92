//! How well a frame was rebuilt: the Pearson correlation of MLE-UVAD and the variants beside it.
//!
//! All take the frame x and its reconstruction y as `[channels, height, width]` in [0, 1], and a mask of the
//! pixels that count.

use crate::patches::{Patches, Tables, box_blur};

/// SSIM's constant C₃ = (0.03)²/2 (Wang et al., 2004): where a patch or a foreground has no more structure
/// than the sensor's noise, correlation is noise too, and this keeps it near 1.
const STRUCTURE_FLOOR: f64 = 4.5e-4;
/// A frame whose standard deviation is below half a grey level holds no structure that a camera could show.
const CONSTANT_FRAME_STD: f64 = 0.5 / 255.0;
/// Smallest usual squared error of a pixel, a quarter grey level squared: quantisation alone gives 1/12.
const ERROR_FLOOR: f32 = (0.25 / (255.0 * 255.0)) as f32;

/// What the variants compare with, learnt from the training footage.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityReference {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Median frame of the footage, `channels · height · width`.
    pub background: Vec<f32>,
    /// Each pixel's mean squared error on the footage, averaged over channels, `height · width`.
    pub usual_error: Vec<f32>,
    /// 1 where a pixel counts, 0 where the user ignores it, `height · width`.
    pub counts: Vec<f32>,
    /// Mean over the footage of a frame's variance: the scale of the fall-back for constant frames.
    pub variance: f32,
    /// Side of a patch, in pixels.
    pub patch: usize,
}

/// One frame's columns, in the order of `ScoreKind`, and its heat.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Higher is worse.
    pub columns: [f64; 6],
    /// Squared error of each pixel, averaged over channels and a 5×5 neighbourhood, `height · width`.
    pub heat: Vec<f32>,
}

impl QualityReference {
    /// All columns for one frame.
    pub fn assess(&self, x: &[f32], y: &[f32]) -> Quality {
        let [channels, height, width] = self.shape;
        let plane = height * width;
        let error = self.squared_error(x, y);
        let standardised: Vec<f32> =
            error.iter().zip(&self.usual_error).map(|(e, usual)| e / (usual + ERROR_FLOOR)).collect();
        let patches = Patches::new(height, width, self.patch, &self.counts);
        let counted: f64 = self.counts.iter().map(|&c| f64::from(c)).sum();
        let mse = error.iter().map(|&e| f64::from(e)).sum::<f64>() / counted.max(1.0);
        let foreground = |v: &[f32]| v.iter().zip(&self.background).map(|(a, b)| a - b).collect::<Vec<f32>>();
        let columns = [
            1.0 - pearson(x, y, &self.counts, self.variance),
            worst_structure(&patches, x, y, channels, &self.counts),
            1.0 - structure(moments(&foreground(x), &foreground(y), &self.counts)),
            mse,
            patches.worst_mean(&error),
            patches.worst_mean(&standardised),
        ];
        debug_assert_eq!(error.len(), plane);
        Quality { columns, heat: box_blur(&error, height, width, 2) }
    }

    /// Each pixel's squared error, mean over channels, 0 where it does not count.
    pub fn squared_error(&self, x: &[f32], y: &[f32]) -> Vec<f32> {
        let [channels, height, width] = self.shape;
        let plane = height * width;
        let mut error = vec![0.0f32; plane];
        for c in 0..channels {
            let range = c * plane..(c + 1) * plane;
            for (e, (a, b)) in error.iter_mut().zip(x[range.clone()].iter().zip(&y[range])) {
                *e += (a - b) * (a - b);
            }
        }
        error.iter_mut().zip(&self.counts).for_each(|(e, c)| *e *= c / channels as f32);
        error
    }
}

/// First and second moments of a pair of signals.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Moments {
    fn var_x(&self) -> f64 {
        (self.xx / self.n - (self.x / self.n).powi(2)).max(0.0)
    }

    fn var_y(&self) -> f64 {
        (self.yy / self.n - (self.y / self.n).powi(2)).max(0.0)
    }

    fn covariance(&self) -> f64 {
        self.xy / self.n - self.x / self.n * (self.y / self.n)
    }

    fn squared_error(&self) -> f64 {
        ((self.xx - 2.0 * self.xy + self.yy) / self.n).max(0.0)
    }
}

fn moments(x: &[f32], y: &[f32], counts: &[f32]) -> Moments {
    let mut sum = Moments::default();
    for (xs, ys) in x.chunks_exact(counts.len()).zip(y.chunks_exact(counts.len())) {
        for ((&a, &b), &c) in xs.iter().zip(ys).zip(counts) {
            let (a, b, c) = (f64::from(a), f64::from(b), f64::from(c));
            sum.n += c;
            sum.x += c * a;
            sum.y += c * b;
            sum.xx += c * a * a;
            sum.yy += c * b * b;
            sum.xy += c * a * b;
        }
    }
    sum
}

/// Pearson correlation coefficient of a frame and its reconstruction over the pixels that count, all channels
/// together, in [−1, 1] (MLE-UVAD's reconstruction quality).
///
/// It is 0/0 on a constant frame: lights do go out, and encoders do paint black. There it falls back to
/// 1 − e / (e + `variance`), with e the mean squared error and `variance` the footage's usual frame variance: 1 for
/// a constant frame that is rebuilt, towards 0 the more it is not.
pub fn pearson(x: &[f32], y: &[f32], counts: &[f32], variance: f32) -> f64 {
    let m = moments(x, y, counts);
    if m.n == 0.0 {
        return 1.0;
    }
    let (sx, sy) = (m.var_x().sqrt(), m.var_y().sqrt());
    if sx < CONSTANT_FRAME_STD || sy < 1e-6 {
        let error = m.squared_error();
        return 1.0 - error / (error + f64::from(variance).max(1e-6));
    }
    (m.covariance() / (sx * sy)).clamp(-1.0, 1.0)
}

/// SSIM's structure term: the correlation, near 1 where both signals are flat.
fn structure(m: Moments) -> f64 {
    if m.n == 0.0 {
        return 1.0;
    }
    (m.covariance() + STRUCTURE_FLOOR) / ((m.var_x() * m.var_y()).sqrt() + STRUCTURE_FLOOR)
}

/// The largest 1 − structure over a patch, channels averaged.
fn worst_structure(patches: &Patches, x: &[f32], y: &[f32], channels: usize, counts: &[f32]) -> f64 {
    let plane = counts.len();
    let mut loss: Vec<f64> = Vec::new();
    for c in 0..channels {
        let (x, y) = (&x[c * plane..(c + 1) * plane], &y[c * plane..(c + 1) * plane]);
        let table = |f: fn(f64, f64) -> f64| {
            patches.table(|i| f64::from(counts[i]) * f(f64::from(x[i]), f64::from(y[i])))
        };
        let tables: Tables<5> =
            [table(|a, _| a), table(|_, b| b), table(|a, _| a * a), table(|_, b| b * b), table(|a, b| a * b)];
        let losses = patches
            .sums(&tables)
            .map(|(n, [x, y, xx, yy, xy])| 1.0 - structure(Moments { n, x, y, xx, yy, xy }));
        match c {
            0 => loss = losses.collect(),
            _ => loss.iter_mut().zip(losses).for_each(|(sum, l)| *sum += l),
        }
    }
    loss.iter().fold(0.0f64, |worst, &l| worst.max(l / channels as f64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(height: usize, width: usize, patch: usize) -> QualityReference {
        QualityReference {
            shape: [1, height, width],
            background: vec![0.5; height * width],
            usual_error: vec![0.01; height * width],
            counts: vec![1.0; height * width],
            variance: 0.04,
            patch,
        }
    }

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919) % 101) as f32 / 100.0).collect()
    }

    /// NumPy: np.corrcoef(…)[0, 1].
    #[test]
    fn correlation_agrees_with_numpy() {
        let got = pearson(&[0.1, 0.5, 0.3, 0.9], &[0.2, 0.4, 0.4, 0.7], &[1.0; 4], 0.1);
        assert!((got - 0.970_431_19).abs() < 1e-6, "{got}");
    }

    #[test]
    fn a_constant_frame_is_judged_by_its_error() {
        let (black, grey) = (vec![0.0; 16], vec![0.5; 16]);
        assert_eq!(pearson(&black, &black, &[1.0; 16], 0.04), 1.0);
        let missed = pearson(&black, &grey, &[1.0; 16], 0.04);
        assert!((missed - 0.04 / 0.29).abs() < 1e-6, "{missed}");
        assert!(pearson(&ramp(16), &grey, &[1.0; 16], 0.04).is_finite());
    }

    #[test]
    fn a_local_fault_shows_in_the_worst_patch_and_the_heat() {
        let judge = reference(32, 40, 8);
        let x = ramp(32 * 40);
        let mut y = x.clone();
        for row in 10..18 {
            y[row * 40 + 20..row * 40 + 28].iter_mut().for_each(|v| *v = 1.0 - *v);
        }
        let quality = judge.assess(&x, &y);
        let worst: f64 = (10..18)
            .flat_map(|r| (20..28).map(move |c| r * 40 + c))
            .map(|i| f64::from(x[i] - y[i]).powi(2))
            .sum::<f64>()
            / 64.0;
        assert!((quality.columns[4] - worst).abs() < 1e-6);
        assert!(quality.columns[1] > 1.9, "anticorrelated there: {}", quality.columns[1]);
        let hottest = (0..32 * 40).max_by(|&a, &b| quality.heat[a].total_cmp(&quality.heat[b])).unwrap();
        assert!((10..18).contains(&(hottest / 40)) && (20..28).contains(&(hottest % 40)));
    }

    #[test]
    fn ignored_pixels_do_not_count() {
        let mut judge = reference(16, 16, 4);
        let x = ramp(256);
        let mut y = x.clone();
        y[..64].iter_mut().for_each(|v| *v = 0.0);
        judge.counts[..64].iter_mut().for_each(|c| *c = 0.0);
        let quality = judge.assess(&x, &y);
        for column in quality.columns {
            assert!(column.abs() < 1e-9, "{:?}", quality.columns);
        }
        judge.counts.iter_mut().for_each(|c| *c = 0.0);
        assert!(judge.assess(&x, &y).columns.iter().all(|c| c.is_finite()));
    }

    proptest! {
        #[test]
        fn correlation_ignores_gain_and_offset(gain in 0.1f32..3.0, offset in -1.0f32..1.0) {
            let x = ramp(64);
            let y: Vec<f32> = x.iter().map(|v| v * gain + offset).collect();
            prop_assert!((pearson(&x, &y, &[1.0; 64], 0.1) - 1.0).abs() < 1e-6);
            let z: Vec<f32> = y.iter().map(|v| -v).collect();
            prop_assert!((pearson(&x, &z, &[1.0; 64], 0.1) + 1.0).abs() < 1e-6);
        }
    }
}
