//! The order in which events are shown.

use super::{EventCandidate, EventKind};
use crate::group::{group_by_leader, typical_distance};
use crate::run::Event;

/// How like events are told from unlike ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankConfig {
    /// Events nearer than this share of the typical distance are alike.
    pub closeness: f64,
    /// The typical distance between the features of any two frames of the footage, if the caller knows it; else the
    /// median distance between the events themselves.
    pub typical_distance: Option<f64>,
}

impl Default for RankConfig {
    /// Half of the typical distance between events.
    fn default() -> Self {
        Self { closeness: 0.5, typical_distance: None }
    }
}

/// An anomaly in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedEvent {
    /// The row of `events.csv`.
    pub event: Event,
    /// Its group, from 1; like events share one.
    pub group: u32,
    /// [`EventCandidate::strength`].
    pub strength: f64,
    /// [`EventCandidate::deviations`].
    pub deviations: f64,
}

/// What there is to show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    /// Anomalies, most unusual first.
    pub events: Vec<RankedEvent>,
    /// Trouble with the cameras, in the order found.
    pub camera: Vec<Event>,
}

impl Ranking {
    /// The rows of `events.csv`: anomalies, then camera trouble.
    pub fn into_rows(self) -> Vec<Event> {
        self.events.into_iter().map(|ranked| ranked.event).chain(self.camera).collect()
    }
}

/// Orders the events of all videos, most unusual first.
///
/// How unusual an event is depends on what has been shown: the n-th strongest of a group of like events counts its
/// strength divided by n. So the strongest event of all is first, the first of every group comes before weaker
/// repetitions of another, and a second like event comes early only if it is strong in its own right. Events without
/// features are unlike all others. Equal strengths keep the order given.
pub fn rank(candidates: Vec<EventCandidate>, config: &RankConfig) -> Ranking {
    let (mut anomalies, camera): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.kind == EventKind::Anomaly);
    anomalies.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    let features: Vec<Option<&[f32]>> = anomalies.iter().map(|a| a.feature.as_deref()).collect();
    let typical = config.typical_distance.or_else(|| typical_distance(&features)).unwrap_or(0.0);
    let groups = group_by_leader(&features, config.closeness * typical);

    let mut shown = vec![0u32; groups.len()];
    let mut ranked: Vec<(f64, RankedEvent)> = Vec::with_capacity(anomalies.len());
    for (candidate, group) in anomalies.into_iter().zip(groups) {
        let repetition = &mut shown[group as usize - 1];
        *repetition += 1;
        let EventCandidate { event, strength, deviations, .. } = candidate;
        let counted = strength / f64::from(*repetition);
        ranked.push((counted, RankedEvent { event, group, strength, deviations }));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ranking {
        events: ranked.into_iter().map(|(_, event)| event).collect(),
        camera: camera.into_iter().map(|candidate| candidate.event).collect(),
    }
}
