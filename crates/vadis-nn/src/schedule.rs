//! Learning-rate schedules, by name in a system's configuration.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NnError;

/// How the learning rate goes over a training: a linear warm-up, then a decay.
///
/// As text, the warm-up in steps comes first if there is one: `constant`, `cosine`, `cosine(1e-5)`,
/// `step(0.95, 10)`, `exponential(0.99)`, `warmup(500) + cosine`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Schedule {
    /// Steps over which the rate rises in equal parts to its full height; 0 for none.
    pub warmup: u64,
    /// What follows. It counts from the end of the warm-up.
    pub decay: Decay,
}

/// How the rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Decay {
    /// Not at all.
    #[default]
    Constant,
    /// Along half a cosine to `min` at the last step (Loshchilov & Hutter 2017, Eq. 5 without restarts).
    Cosine {
        /// The rate at the end.
        min: f64,
    },
    /// By a factor every so many epochs.
    Step {
        /// The factor.
        factor: f64,
        /// Epochs between.
        epochs: u64,
    },
    /// By a factor every epoch.
    Exponential {
        /// The factor.
        factor: f64,
    },
}

/// A training's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Optimiser steps in all.
    pub steps: u64,
    /// Optimiser steps an epoch.
    pub steps_per_epoch: u64,
}

impl Span {
    /// `epochs` passes over `items` in steps of `batch`, but at least `least` steps and, unless it is 0, at most
    /// `most`.
    pub fn new(items: usize, batch: usize, epochs: usize, [least, most]: [usize; 2]) -> Self {
        let steps_per_epoch = ((items / batch) as u64).max(1);
        let steps = (steps_per_epoch * epochs as u64).max(least as u64);
        let steps = if most > 0 { steps.min(most as u64) } else { steps };
        Self { steps, steps_per_epoch }
    }
}

/// A schedule for one training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    schedule: Schedule,
    base: f64,
    span: Span,
}

impl Schedule {
    /// Without a warm-up.
    pub fn new(decay: Decay) -> Self {
        Self { warmup: 0, decay }
    }

    /// The schedule over a training with the full learning rate `base`.
    pub fn rates(self, base: f64, span: Span) -> Rates {
        Rates { schedule: self, base, span }
    }
}

impl Rates {
    /// The learning rate of a step, counted from 0. Beyond the last step it stays.
    pub fn rate(&self, step: u64) -> f64 {
        let Self { schedule: Schedule { warmup, decay }, base, span } = *self;
        if step < warmup {
            return base * (step + 1) as f64 / warmup as f64;
        }
        let length = span.steps.saturating_sub(warmup);
        let step = (step - warmup).min(length);
        let epoch = step / span.steps_per_epoch.max(1);
        match decay {
            Decay::Constant => base,
            Decay::Cosine { min } => {
                let done = step as f64 / length.max(1) as f64;
                min + (base - min) * (1.0 + (PI * done).cos()) / 2.0
            }
            Decay::Step { factor, epochs } => base * factor.powf((epoch / epochs.max(1)) as f64),
            Decay::Exponential { factor } => base * factor.powf(epoch as f64),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.warmup > 0 {
            write!(f, "warmup({}) + ", self.warmup)?;
        }
        match self.decay {
            Decay::Constant => f.write_str("constant"),
            Decay::Cosine { min: 0.0 } => f.write_str("cosine"),
            Decay::Cosine { min } => write!(f, "cosine({min})"),
            Decay::Step { factor, epochs } => write!(f, "step({factor}, {epochs})"),
            Decay::Exponential { factor } => write!(f, "exponential({factor})"),
        }
    }
}

impl FromStr for Schedule {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, NnError> {
        parse(text).ok_or_else(|| NnError::Setting {
            key: "schedule",
            value: text.to_owned(),
            expected: "`constant`, `cosine`, `cosine(LAST RATE)`, `step(FACTOR, EPOCHS)` or \
                       `exponential(FACTOR)`, with `warmup(STEPS) + ` before it or not; factors in (0, 1]",
        })
    }
}

fn parse(text: &str) -> Option<Schedule> {
    let (warmup, decay) = match text.split_once('+') {
        None => (0, text),
        Some((warmup, decay)) => match call(warmup)? {
            ("warmup", arguments) => (arguments.trim().parse().ok()?, decay),
            _ => return None,
        },
    };
    let decay = match call(decay)? {
        ("constant", "") => Decay::Constant,
        ("cosine", "") => Decay::Cosine { min: 0.0 },
        ("cosine", min) => Decay::Cosine { min: number(min).filter(|&min| min >= 0.0)? },
        ("step", arguments) => {
            let (factor, epochs) = arguments.split_once(',')?;
            let epochs = epochs.trim().parse().ok().filter(|&epochs| epochs > 0)?;
            Decay::Step { factor: self::factor(factor)?, epochs }
        }
        ("exponential", factor) => Decay::Exponential { factor: self::factor(factor)? },
        _ => return None,
    };
    Some(Schedule { warmup, decay })
}

/// `name(arguments)` or `name`, into the two.
fn call(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    match text.split_once('(') {
        None => Some((text, "")),
        Some((name, rest)) => {
            let arguments = rest.strip_suffix(')')?.trim();
            (!arguments.is_empty()).then_some((name.trim(), arguments))
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

fn factor(text: &str) -> Option<f64> {
    number(text).filter(|&factor| factor > 0.0 && factor <= 1.0)
}

impl From<Schedule> for String {
    fn from(value: Schedule) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Schedule {
    type Error = NnError;

    fn try_from(text: String) -> Result<Self, NnError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in [
            "constant",
            "cosine",
            "cosine(0.00001)",
            "step(0.95, 10)",
            "exponential(0.99)",
            "warmup(500) + cosine",
            "warmup(3) + step(0.5, 1)",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        assert_eq!("cosine(1e-5)".parse::<Schedule>().unwrap().decay, Decay::Cosine { min: 1e-5 });
        let json = serde_json::to_string(&"warmup(2)+cosine".parse::<Schedule>().unwrap()).unwrap();
        assert_eq!(json, "\"warmup(2) + cosine\"");
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap().warmup, 2);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "cosin",
            "cosine(",
            "cosine()",
            "cosine(x)",
            "cosine(-1)",
            "step",
            "step(0.9)",
            "step(2, 1)",
            "step(0.9, 0)",
            "exponential",
            "exponential(0)",
            "exponential(nan)",
            "warmup(2)",
            "cosine + warmup(2)",
            "warmup(-1) + cosine",
            "constant(1)",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_training_has_a_least_and_a_most_length() {
        let span = |items, limits| Span::new(items, 4, 3, limits);
        assert_eq!(span(9, [0, 0]), Span { steps: 6, steps_per_epoch: 2 });
        assert_eq!(span(9, [7, 0]).steps, 7);
        assert_eq!(span(9, [7, 5]).steps, 5, "the most rules");
        assert_eq!(span(3, [0, 9]), Span { steps: 3, steps_per_epoch: 1 });
    }

    #[test]
    fn the_shortest_trainings_have_a_rate() {
        for text in ["cosine", "step(0.9, 1)", "warmup(10) + cosine", "exponential(0.5)"] {
            for (steps, steps_per_epoch) in [(0, 0), (1, 1), (5, 1)] {
                let rates = text.parse::<Schedule>().unwrap().rates(1.0, Span { steps, steps_per_epoch });
                assert!((0..20).all(|step| (0.0..=1.0).contains(&rates.rate(step))), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[a-z]{0,8}[(]?[0-9.,e+ -]{0,8}[)]?( [+] [a-z(0-9)]{0,9})?") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            }
        }
    }
}
