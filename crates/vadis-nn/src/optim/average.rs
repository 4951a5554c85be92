//! Averaged weights (Polyak & Juditsky, 1992, with exponential forgetting).

use rayon::prelude::*;

use crate::simd::CHUNK;

/// The exponential moving average of a flat parameter vector: what is scored with in place of the last
/// weights. Statistics of batch norm are no weights and are not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct AveragedWeights {
    /// Share of the average kept at each update.
    pub decay: f64,
    /// Updates done.
    pub updates: u64,
    /// The average; empty before the first update.
    pub values: Vec<f32>,
}

impl AveragedWeights {
    /// No average yet. `decay` lies in [0, 1): about the last 1 / (1 − decay) updates are averaged.
    pub fn new(decay: f64) -> Self {
        Self { decay, updates: 0, values: Vec::new() }
    }

    /// Takes in the weights: the first are the average themselves, later ones enter by 1 − decay.
    ///
    /// # Panics
    /// If the number of weights changes: a bug in the caller.
    pub fn update(&mut self, weights: &[f32]) {
        self.updates += 1;
        if self.updates == 1 {
            self.values = weights.to_vec();
            return;
        }
        assert_eq!(self.values.len(), weights.len(), "weights");
        let share = (1.0 - self.decay) as f32;
        self.values.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(values, weights)| {
            values.iter_mut().zip(weights).for_each(|(value, weight)| *value += share * (weight - *value));
        });
    }
}
