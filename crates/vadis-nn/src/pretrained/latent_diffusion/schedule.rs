//! Denoising diffusion implicit models (Song et al., ICLR 2021), without noise of their own (η = 0).

use super::config::ScheduleConfig;
use crate::NnError;

/// ᾱ of every step of the training.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    alphas: Vec<f64>,
}

/// A step backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Backward {
    /// The step of the training that the sample has the noise of.
    pub(super) time: usize,
    /// ᾱ there.
    alpha: f64,
    /// ᾱ of where it goes.
    next: f64,
}

impl Schedule {
    pub(super) fn new(config: ScheduleConfig) -> Self {
        let [first, last] = [config.first, config.last].map(f64::sqrt);
        let spacing = (last - first) / (config.steps.max(2) - 1) as f64;
        let beta = |step: usize| (first + spacing * step as f64).powi(2);
        let alphas = (0..config.steps).scan(1.0, |alpha, step| {
            *alpha *= 1.0 - beta(step);
            Some(*alpha)
        });
        Self { alphas: alphas.collect() }
    }

    /// `count` steps from noise to a sample, evenly spread as CompVis's sampler does: with 50 of 1000, from 981, 961 … to
    /// 1, and then to ᾱ of step 0.
    pub(super) fn backward(&self, count: usize) -> Result<Vec<Backward>, NnError> {
        let total = self.alphas.len();
        if count == 0 || count >= total {
            let expected = "1 to less than the steps of the training";
            return Err(NnError::Setting { key: "steps", value: count.to_string(), expected });
        }
        let spacing = total / count;
        let alpha =
            |index: usize| if index == 0 { self.alphas[0] } else { self.alphas[(index - 1) * spacing + 1] };
        let step = |index: usize| Backward {
            time: (index - 1) * spacing + 1,
            alpha: alpha(index),
            next: alpha(index - 1),
        };
        Ok((1..=count).rev().map(step).collect())
    }
}

impl Backward {
    /// Factors of the sample and of the noise found in it, whose sum is the sample one step back (Song et al., Eq. 12):
    /// √ᾱ' (x − √(1−ᾱ) ε) / √ᾱ + √(1−ᾱ') ε.
    pub(super) fn factors(&self) -> [f32; 2] {
        let sample = (self.next / self.alpha).sqrt();
        let noise = (1.0 - self.next).sqrt() - sample * (1.0 - self.alpha).sqrt();
        [sample as f32, noise as f32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPAINTING: ScheduleConfig = ScheduleConfig { first: 1.5e-3, last: 2.05e-2, steps: 1000 };

    #[test]
    fn fifty_steps_go_from_981_to_1() {
        let schedule = Schedule::new(INPAINTING);
        let steps = schedule.backward(50).unwrap();
        let times: Vec<_> = steps.iter().map(|step| step.time).collect();
        assert_eq!(times, (0..50).rev().map(|i| i * 20 + 1).collect::<Vec<_>>());
        assert!((schedule.alphas[0] - (1.0 - 1.5e-3)).abs() < 1e-12);
        assert_eq!(steps[49].next, schedule.alphas[0]);
        assert_eq!(steps[0].next, steps[1].alpha);
        assert!(schedule.backward(0).is_err() && schedule.backward(1000).is_err());
    }

    #[test]
    fn the_noise_that_was_added_is_taken_away() {
        let step = Schedule::new(INPAINTING).backward(50).unwrap()[20];
        let (clean, noise) = (0.7, -1.3);
        let noisy = |alpha: f64| alpha.sqrt() * clean + (1.0 - alpha).sqrt() * noise;
        let [a, b] = step.factors().map(f64::from);
        assert!((a * noisy(step.alpha) + b * noise - noisy(step.next)).abs() < 1e-6);
    }
}
