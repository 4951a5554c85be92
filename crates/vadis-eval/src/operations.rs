//! What an operator sees: how many events are worth looking at, how many are missed, how late they come.
//!
//! A *true event* is an unbroken run of abnormal frames. A detected event is *true* when at least half of its frames are
//! abnormal, else a false alarm; a true event is *found* when a detected event shares a frame with it.

use serde::{Deserialize, Serialize};

use crate::metrics::Confusion;
use crate::run::Event;

/// A reason that begins so is the camera's trouble, not an anomaly: such events are not judged.
pub const CAMERA_REASON: &str = "camera:";
/// How many of the first events are summed up.
const TOP: usize = 10;

/// One video's ground truth with its clock; all slices have one entry a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthVideo<'a> {
    /// The source's name.
    pub video: &'a str,
    /// Frame numbers, rising.
    pub frames: &'a [u64],
    /// 0 normal, 1 abnormal.
    pub labels: &'a [u8],
    /// Seconds from the first frame.
    pub time_s: &'a [f64],
}

/// An unbroken run of abnormal frames, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueEvent {
    /// The source's name.
    pub video: String,
    /// First frame.
    pub start_frame: u64,
    /// Last frame, inclusive.
    pub end_frame: u64,
    /// Time of the first frame.
    pub start_s: f64,
    /// Time of the last frame.
    pub end_s: f64,
    /// Seconds from its first frame to that of the earliest detected event that overlaps it, at least 0; none if missed.
    pub delay_s: Option<f64>,
}

/// A detected event against the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedEvent {
    /// Its place in the ranked list, from 1.
    pub rank: usize,
    /// Share of its frames that are abnormal, in [0, 1].
    pub abnormal_share: f64,
    /// The true events it overlaps, as positions in [`Operations::truth`].
    pub touches: Vec<usize>,
}

impl JudgedEvent {
    /// At least half of its frames are abnormal.
    pub fn is_true(&self) -> bool {
        self.abnormal_share >= 0.5
    }
}

/// The first events of the ranked list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopEvents {
    /// How many were looked at: ten, or all where there are fewer.
    pub considered: usize,
    /// How many of them have half or more of their frames abnormal.
    pub abnormal: usize,
    /// How many distinct true events they touch together.
    pub distinct: usize,
}

/// Detected events against true ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Operations {
    /// Every detected event of a labelled video, in ranked order, camera trouble left out.
    pub events: Vec<JudgedEvent>,
    /// Every true event, by video and time.
    pub truth: Vec<TrueEvent>,
    /// Hours of labelled footage.
    pub hours: f64,
    /// The ten first.
    pub top: TopEvents,
    /// Frames by label and whether they lie in an event.
    pub frames: Confusion,
}

impl Event {
    /// True for the camera's trouble, which is no anomaly of the scene.
    pub fn is_camera(&self) -> bool {
        self.reason.starts_with(CAMERA_REASON)
    }
}

impl Operations {
    /// Judges `events` (ranked, most unusual first) by the videos' labels; events of other videos are left out.
    pub fn judge(events: &[Event], videos: &[TruthVideo<'_>]) -> Self {
        let mut truth: Vec<TrueEvent> = videos.iter().flat_map(true_events).collect();
        let mut flagged: Vec<Vec<bool>> =
            videos.iter().map(|video| vec![false; video.labels.len()]).collect();
        let mut judged = Vec::new();
        for (index, event) in events.iter().enumerate().filter(|(_, event)| !event.is_camera()) {
            if let Some(which) = videos.iter().position(|video| video.video == event.video) {
                let touches = touch(event, &mut truth);
                let abnormal_share = mark(event, &videos[which], &mut flagged[which]);
                judged.push(JudgedEvent { rank: index + 1, abnormal_share, touches });
            }
        }
        let hours = videos.iter().map(|video| duration_s(video.time_s)).sum::<f64>() / 3600.0;
        Self { top: top(&judged), frames: confusion(videos, &flagged), events: judged, truth, hours }
    }

    /// Detected events of which at least half is abnormal.
    pub fn true_detections(&self) -> usize {
        self.events.iter().filter(|event| event.is_true()).count()
    }

    /// True events that a detected one overlaps.
    pub fn found(&self) -> usize {
        self.truth.iter().filter(|event| event.delay_s.is_some()).count()
    }

    /// Share of detected events that are true; none without any.
    pub fn precision(&self) -> Option<f64> {
        (!self.events.is_empty()).then(|| self.true_detections() as f64 / self.events.len() as f64)
    }

    /// Share of true events that are found; none without any.
    pub fn recall(&self) -> Option<f64> {
        (!self.truth.is_empty()).then(|| self.found() as f64 / self.truth.len() as f64)
    }

    /// False alarms in an hour of footage; none without footage.
    pub fn false_alarms_per_hour(&self) -> Option<f64> {
        (self.hours > 0.0).then(|| (self.events.len() - self.true_detections()) as f64 / self.hours)
    }

    /// Median delay of the true events found, in seconds.
    pub fn median_delay_s(&self) -> Option<f64> {
        let mut delays: Vec<f64> = self.truth.iter().filter_map(|event| event.delay_s).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let middle = delays.len().checked_sub(1)?;
        Some((delays[middle / 2] + delays[middle.div_ceil(2)]) / 2.0)
    }
}

/// The runs of abnormal frames of a video, none found yet.
pub fn true_events(video: &TruthVideo<'_>) -> Vec<TrueEvent> {
    let mut events = Vec::new();
    let mut row = 0;
    for run in video.labels.chunk_by(|a, b| a == b) {
        let (first, last) = (row, row + run.len() - 1);
        row += run.len();
        if run[0] != 0 {
            events.push(TrueEvent {
                video: video.video.to_owned(),
                start_frame: video.frames[first],
                end_frame: video.frames[last],
                start_s: video.time_s[first],
                end_s: video.time_s[last],
                delay_s: None,
            });
        }
    }
    events
}

/// The true events that `event` overlaps; their delays become its own where it comes earlier.
fn touch(event: &Event, truth: &mut [TrueEvent]) -> Vec<usize> {
    let mut touched = Vec::new();
    for (index, real) in truth.iter_mut().enumerate() {
        let overlaps = real.start_frame <= event.end_frame && event.start_frame <= real.end_frame;
        if real.video == event.video && overlaps {
            let delay = (event.start_s - real.start_s).max(0.0);
            real.delay_s = Some(real.delay_s.map_or(delay, |earlier| earlier.min(delay)));
            touched.push(index);
        }
    }
    touched
}

/// Flags the event's frames; returns the share of them that is abnormal.
fn mark(event: &Event, video: &TruthVideo<'_>, flagged: &mut [bool]) -> f64 {
    let from = video.frames.partition_point(|&frame| frame < event.start_frame);
    let to = video.frames.partition_point(|&frame| frame <= event.end_frame).max(from);
    flagged[from..to].fill(true);
    let abnormal = video.labels[from..to].iter().filter(|&&label| label != 0).count();
    abnormal as f64 / (to - from).max(1) as f64
}

fn confusion(videos: &[TruthVideo<'_>], flagged: &[Vec<bool>]) -> Confusion {
    let mut counts = Confusion::default();
    for (video, flagged) in videos.iter().zip(flagged) {
        for (&label, &flagged) in video.labels.iter().zip(flagged) {
            match (label != 0, flagged) {
                (true, true) => counts.true_positive += 1,
                (false, true) => counts.false_positive += 1,
                (false, false) => counts.true_negative += 1,
                (true, false) => counts.false_negative += 1,
            }
        }
    }
    counts
}

fn top(judged: &[JudgedEvent]) -> TopEvents {
    let first = &judged[..judged.len().min(TOP)];
    let mut touched: Vec<usize> = first.iter().flat_map(|event| event.touches.iter().copied()).collect();
    touched.sort_unstable();
    touched.dedup();
    TopEvents {
        considered: first.len(),
        abnormal: first.iter().filter(|event| event.is_true()).count(),
        distinct: touched.len(),
    }
}

/// From the first frame to the end of the last, which is shown as long as a frame is on average.
pub(crate) fn duration_s(time_s: &[f64]) -> f64 {
    match (time_s.first(), time_s.last()) {
        (Some(first), Some(last)) if time_s.len() > 1 => {
            (last - first) * time_s.len() as f64 / (time_s.len() - 1) as f64
        }
        _ => 0.0,
    }
}
