//! Chapter marks: WebVTT beside a video, which players show as chapters or captions.

use std::fmt::Write as _;
use std::path::Path;

use vadis_eval::run::Event;

use crate::ReportError;
use crate::files::write_whole;
use crate::run::is_trouble;

/// Shortest chapter: a cue must end after it begins, and be seen.
const SHORTEST_S: f64 = 1.0;

/// Writes the events of one video as WebVTT cues in the order of time: rank and reason. `events` are those of
/// `events.csv`, in its order. Cues do not overlap, as chapters may not (WebVTT, section 1.4): one ends where the next
/// begins. A video without events gets a file without cues.
///
/// # Errors
/// The file cannot be written.
pub fn write_chapters(events: &[Event], video: &str, out: &Path) -> Result<(), ReportError> {
    write_whole(out, webvtt(&chapters(events, video)).as_bytes())
}

/// A stretch of a video with its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chapter {
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    pub(crate) title: String,
}

/// The events of a video in the order of time, none overlapping the next.
pub(crate) fn chapters(events: &[Event], video: &str) -> Vec<Chapter> {
    let mut rank = 0;
    let mut chapters = Vec::new();
    for event in events {
        rank += usize::from(!is_trouble(event));
        if event.video == video && event.start_s.is_finite() && event.end_s.is_finite() {
            let title =
                if is_trouble(event) { event.reason.clone() } else { format!("#{rank} {}", event.reason) };
            let start_s = event.start_s.max(0.0);
            chapters.push(Chapter { start_s, end_s: event.end_s.max(start_s + SHORTEST_S), title });
        }
    }
    chapters.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    for i in 1..chapters.len() {
        let next = chapters[i].start_s;
        chapters[i - 1].end_s = chapters[i - 1].end_s.min(next.max(chapters[i - 1].start_s + 0.001));
    }
    chapters
}

fn webvtt(chapters: &[Chapter]) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for (i, chapter) in chapters.iter().enumerate() {
        let (start, end) = (timestamp(chapter.start_s), timestamp(chapter.end_s));
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}\n{start} --> {end}\n{}\n", i + 1, cue_text(&chapter.title));
    }
    text
}

/// `hh:mm:ss.mmm`.
fn timestamp(seconds: f64) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (s, ms) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// One line without markup: a line break would end the cue, `&`, `<` and `>` begin markup or look like an arrow.
fn cue_text(title: &str) -> String {
    let line: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(video: &str, start_s: f64, end_s: f64, reason: &str) -> Event {
        Event {
            video: video.to_owned(),
            start_frame: 0,
            end_frame: 0,
            start_s,
            end_s,
            peak_frame: 0,
            peak_score: 0.0,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn cues_are_in_order_and_apart() {
        let events = [
            event("a", 3725.5, 3730.0, "second --> <b>\n\nWEBVTT"),
            event("b", 0.0, 1.0, "other"),
            event("a", 10.0, 4000.0, "first & long"),
            event("a", 12.0, 12.0, "camera: dark"),
        ];
        let text = webvtt(&chapters(&events, "a"));
        assert_eq!(
            text,
            "WEBVTT\n\n1\n00:00:10.000 --> 00:00:12.000\n#3 first &amp; long\n\
             \n2\n00:00:12.000 --> 00:00:13.000\ncamera: dark\n\
             \n3\n01:02:05.500 --> 01:02:10.000\n#1 second --&gt; &lt;b&gt;  WEBVTT\n"
        );
    }
}
