//! What is measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A network of `vadis_nn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    Ae3d,
    #[serde(rename = "memae")]
    MemAe,
    Itae,
    OnePath,
    Cae,
    Mle,
    /// The dynamic flow of paper 003 on Ped2.
    Glow,
    /// A flow that trains in minutes.
    GlowSmall,
    /// A flow on frames, of three levels.
    GlowFrames,
}

impl Name {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ae3d,
        Self::MemAe,
        Self::Itae,
        Self::OnePath,
        Self::Cae,
        Self::Mle,
        Self::Glow,
        Self::GlowSmall,
        Self::GlowFrames,
    ];

    /// Steps, levels and hidden channels of a flow.
    pub(crate) fn flow(self) -> Option<[usize; 3]> {
        match self {
            Self::Glow => Some([32, 1, 512]),
            Self::GlowSmall => Some([8, 1, 64]),
            Self::GlowFrames => Some([8, 3, 64]),
            _ => None,
        }
    }

    /// What sides are a multiple of.
    fn grid(self) -> f64 {
        match self {
            Self::Glow | Self::GlowSmall => 2.0,
            Self::Cae | Self::GlowFrames => 8.0,
            _ => 16.0,
        }
    }

    /// Channels, size and batches of inference and training as the papers have them.
    fn defaults(self) -> (usize, Vec<usize>, [usize; 2]) {
        match self {
            Self::Ae3d | Self::Itae | Self::OnePath => (3, vec![16, 256, 256], [1, 2]),
            Self::MemAe => (1, vec![16, 256, 256], [1, 2]),
            Self::Cae => (1, vec![200, 200], [16, 16]),
            Self::Mle => (3, vec![64, 128], [256, 256]),
            Self::Glow => (2, vec![60, 90], [8, 8]),
            Self::GlowSmall => (2, vec![30, 44], [8, 8]),
            Self::GlowFrames => (1, vec![64, 96], [8, 8]),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ae3d => "ae3d",
            Self::MemAe => "memae",
            Self::Itae => "itae",
            Self::OnePath => "one-path",
            Self::Cae => "cae",
            Self::Mle => "mle",
            Self::Glow => "glow",
            Self::GlowSmall => "glow-small",
            Self::GlowFrames => "glow-frames",
        })
    }
}

/// What one run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    /// A forward pass in evaluation.
    Inference,
    /// Forward, the system's loss, backward, Adam.
    Training,
    /// Scoring a stream frame by frame by windows that slide by one: the time of a frame. The peer runs a
    /// whole window for each.
    Sliding,
}

impl Measure {
    /// The frames that our side does in a run: as many as the temporal strides of the networks multiply
    /// to, after which the same work comes again.
    pub(crate) fn frames(self) -> usize {
        if self == Self::Sliding { 8 } else { 1 }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inference => "inference",
            Self::Training => "training",
            Self::Sliding => "sliding",
        })
    }
}

/// One network under one measure; both sides read it as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) network: Name,
    pub(crate) measure: Measure,
    pub(crate) channels: usize,
    /// `[time, height, width]` or `[height, width]`.
    pub(crate) size: Vec<usize>,
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    /// Steps, levels and hidden channels of a flow.
    pub(crate) flow: Option<[usize; 3]>,
    /// Whether the peer may compile.
    pub(crate) compile: bool,
    /// The peer's variant; it looks for the fastest if not given.
    pub(crate) variant: Option<String>,
}

impl Task {
    /// The task at the papers' size, height and width multiplied by `scale` and rounded to what the network
    /// divides.
    pub(crate) fn new(network: Name, measure: Measure, scale: f64, threads: usize, compile: bool) -> Self {
        let (channels, mut size, batches) = network.defaults();
        let step = network.grid();
        let sides = size.len() - 2;
        size[sides..].iter_mut().for_each(|side| {
            *side = ((*side as f64 * scale / step).round() * step).max(step) as usize;
        });
        let batch = batches[usize::from(measure == Measure::Training)];
        let flow = network.flow();
        Self { network, measure, channels, size, batch, threads, flow, compile, variant: None }
    }

    /// Whether it can be measured: images do not slide.
    pub(crate) fn makes_sense(&self) -> bool {
        self.measure != Measure::Sliding || self.size.len() == 3
    }
}
