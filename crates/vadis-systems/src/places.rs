//! What heat is usual at each place of the picture, and how far a frame's heat is above it (ours).
//!
//! A reconstruction is worse where people walk near the camera, and hardly ever wrong on the lawn. The same error means
//! little at one place and much at the other; the mean over a frame, and its worst patch, do not tell them apart.

use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use crate::SystemError;

/// Of the spreads of all places the one below which a tenth of them lie is added to each: where nothing ever happens a
/// spread of next to 0 would make every flicker an alarm.
const FLOOR: f64 = 0.1;
/// The share of the places whose mean is the frame's: some are always far above the usual.
const WORST: f64 = 0.01;

/// Sums over the heat of frames, place by place.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeatSums {
    frames: u64,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl HeatSums {
    pub(crate) fn push(&mut self, heat: &[f32]) {
        self.frames += 1;
        self.sum.resize(heat.len(), 0.0);
        self.squares.resize(heat.len(), 0.0);
        for ((sum, square), &heat) in self.sum.iter_mut().zip(&mut self.squares).zip(heat) {
            let heat = f64::from(heat);
            *sum += heat;
            *square += heat * heat;
        }
    }
}

/// Mean and spread of the heat at each place over normal footage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Places {
    mean: Vec<f32>,
    /// Standard deviation, the floor added; above 0.
    spread: Vec<f32>,
}

impl Places {
    const NAME: &'static str = "reference.places";

    /// Of the frames in `sums`; `counts` is 1 for each place that counts.
    pub(crate) fn of(sums: &HeatSums, counts: &[f32]) -> Self {
        let frames = sums.frames.max(1) as f64;
        let at = |values: &[f64], place: usize| values.get(place).copied().unwrap_or(0.0) / frames;
        let mean: Vec<f64> = (0..counts.len()).map(|place| at(&sums.sum, place)).collect();
        let deviation =
            |(place, mean): (usize, &f64)| (at(&sums.squares, place) - mean * mean).max(0.0).sqrt();
        let deviations: Vec<f64> = mean.iter().enumerate().map(deviation).collect();
        let floor = floor(&deviations, counts);
        Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            spread: deviations.iter().map(|deviation| (deviation + floor) as f32).collect(),
        }
    }

    /// How many spreads the heat is above the usual, mean over the worst hundredth of the places that count.
    pub(crate) fn worst(&self, heat: &[f32], counts: &[f32]) -> f64 {
        let usual = self.mean.iter().zip(&self.spread);
        let above = heat.iter().zip(usual).map(|(heat, (mean, spread))| (heat - mean) / spread);
        let mut above: Vec<f32> =
            above.zip(counts).filter(|(_, count)| **count > 0.0).map(|(z, _)| z).collect();
        let worst = ((above.len() as f64 * WORST).ceil() as usize).min(above.len());
        if worst == 0 {
            return 0.0;
        }
        above.select_nth_unstable_by(worst - 1, |a, b| b.total_cmp(a));
        above[..worst].iter().map(|&z| f64::from(z)).sum::<f64>() / worst as f64
    }

    /// As an array of a weight file, `[2, place]`: means and spreads.
    pub(crate) fn named(&self) -> NamedTensor {
        let values = [self.mean.as_slice(), &self.spread].concat();
        NamedTensor { name: Self::NAME.to_owned(), shape: vec![2, self.mean.len()], values }
    }

    /// Whether an array of a weight file is this one.
    pub(crate) fn is_it(name: &str) -> bool {
        name == Self::NAME
    }

    /// From a weight file, for `places` of them.
    ///
    /// # Errors
    /// [`SystemError::Model`] if the array is not there, not so large, or no means and spreads.
    pub(crate) fn from_file(file: &WeightFile, places: usize) -> Result<Self, SystemError> {
        let odd = || SystemError::Model { reason: format!("`{}` is missing or odd", Self::NAME) };
        let (shape, values) = file.tensors.get(Self::NAME).ok_or_else(odd)?;
        if *shape != [2, places] || !values.iter().all(|v| v.is_finite()) {
            return Err(odd());
        }
        let (mean, spread) = values.split_at(places);
        let fits = spread.iter().all(|&spread| spread > 0.0);
        fits.then(|| Self { mean: mean.to_vec(), spread: spread.to_vec() }).ok_or_else(odd)
    }
}

/// What is added to every spread: above 0, also where nothing moved at all.
fn floor(deviations: &[f64], counts: &[f32]) -> f64 {
    let counted = deviations.iter().zip(counts).filter(|(_, count)| **count > 0.0);
    let mut sorted: Vec<f64> = counted.map(|(deviation, _)| *deviation).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tenth = sorted.get((sorted.len() as f64 * FLOOR) as usize).copied().unwrap_or(0.0);
    tenth.max(f64::from(f32::EPSILON))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(heats: &[&[f32]]) -> HeatSums {
        let mut sums = HeatSums::default();
        heats.iter().for_each(|heat| sums.push(heat));
        sums
    }

    #[test]
    fn heat_is_set_against_what_is_usual_at_its_place() {
        let counts = [1.0, 1.0, 0.0];
        let places = Places::of(&sums(&[&[0.0, 10.0, 0.0], &[2.0, 30.0, 0.0]]), &counts);
        assert_eq!(places.mean, [1.0, 20.0, 0.0]);
        // Spreads of 1 and 10, and a floor of the smaller one; what does not count is not asked.
        assert_eq!(places.spread, [2.0, 11.0, 1.0]);
        assert!((places.worst(&[5.0, 20.0, 99.0], &counts) - 2.0).abs() < 1e-6);
        assert!((places.worst(&[1.0, 64.0, 99.0], &counts) - 4.0).abs() < 1e-6);
        assert_eq!(places.worst(&[1.0, 2.0, 3.0], &[0.0; 3]), 0.0);
    }

    #[test]
    fn the_worst_hundredth_counts() {
        let counts = [1.0; 400];
        let places = Places { mean: vec![0.0; 400], spread: vec![1.0; 400] };
        let mut heat = [0.0; 400];
        (heat[7], heat[80], heat[300], heat[399], heat[1]) = (8.0, 4.0, 2.0, 2.0, 1.0);
        assert!((places.worst(&heat, &counts) - 4.0).abs() < 1e-6);
    }

    #[test]
    fn a_file_keeps_them() {
        let places = Places::of(&sums(&[&[0.0, 1.0], &[2.0, 1.0]]), &[1.0; 2]);
        assert!(places.spread.iter().all(|&s| s > 0.0), "nothing moves at the second place");
        let mut file = WeightFile::default();
        assert!(Places::from_file(&file, 2).is_err());
        file.insert(places.named());
        assert_eq!(Places::from_file(&file, 2).unwrap(), places);
        assert!(Places::from_file(&file, 1).is_err());
        file.insert(NamedTensor { values: vec![0.0; 4], ..places.named() });
        assert!(Places::from_file(&file, 2).is_err(), "a spread of 0");
    }

    proptest! {
        /// Brighter footage and a brighter frame are the same to it.
        #[test]
        fn scale_does_not_matter(
            heats in proptest::collection::vec(proptest::collection::vec(0.0f32..1.0, 12), 3..6),
            scale in 0.5f32..100.0,
        ) {
            let counts = [1.0; 12];
            let scaled: Vec<Vec<f32>> = heats.iter().map(|h| h.iter().map(|v| v * scale).collect()).collect();
            let z = |heats: &[Vec<f32>]| {
                let (frame, footage) = heats.split_last().unwrap();
                let footage: Vec<&[f32]> = footage.iter().map(Vec::as_slice).collect();
                Places::of(&sums(&footage), &counts).worst(frame, &counts)
            };
            let (plain, after) = (z(&heats), z(&scaled));
            prop_assert!((plain - after).abs() <= 1e-3 * plain.abs().max(1.0), "{plain} and {after}");
        }
    }
}
