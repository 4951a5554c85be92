//! The same frames as several runs see them: each run's heat over the frames that any of them finds strangest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use vadis_video::ReadOptions;

use crate::ReportError;
use crate::media::data_address;
use crate::overlay::source_of;
use crate::page::Named;
use crate::pictures::{each_heat, fitted, frame_at, jpeg, png};
use crate::run::{Run, is_trouble};

/// Moments shown.
const MOST: usize = 6;
/// Two moments of one video are at least so far apart, in seconds.
const APART_S: f64 = 3.0;
/// Width of a picture, at most.
const WIDTH: usize = 360;

/// A frame that all runs scored.
pub(crate) struct Moment {
    pub(crate) video: String,
    frame: u64,
    pub(crate) time_s: f64,
    /// The frame as a `data:` address.
    pub(crate) picture: String,
    /// Each run's heat over it, where it has one.
    pub(crate) heats: Vec<Option<String>>,
}

/// The peaks of the runs' strangest events, in turns, with their pictures; none where the footage is not there any more.
pub(crate) fn same_frames(run_dirs: &[PathBuf], runs: &[Named]) -> Result<Vec<Moment>, ReportError> {
    let read = ReadOptions::default();
    let mut moments = Vec::new();
    for (video, frame, time_s) in strangest(runs) {
        let source = runs.first().map(|named| source_of(&named.run, &video));
        let Some(Ok(picture)) = source.and_then(Result::ok).map(|source| frame_at(&source, time_s, &read))
        else {
            continue;
        };
        let Ok(picture) = jpeg(&fitted(&picture, WIDTH)?) else { continue };
        moments.push(Moment {
            video,
            frame,
            time_s,
            picture: data_address("image/jpeg", &picture),
            heats: Vec::new(),
        });
    }
    for (dir, named) in run_dirs.iter().zip(runs) {
        let row = |moment: &Moment| named.run.scores.row_of(&moment.video, moment.frame);
        let wanted: BTreeSet<u64> = moments.iter().filter_map(row).collect();
        let mut heats = BTreeMap::new();
        each_heat(dir, &wanted, &read, &mut Vec::new(), |heat| {
            heats.extend(
                png(heat, named.run.palette())
                    .ok()
                    .map(|bytes| (heat.index, data_address("image/png", &bytes))),
            );
            Ok(())
        })?;
        for moment in &mut moments {
            let row = named.run.scores.row_of(&moment.video, moment.frame);
            moment.heats.push(row.and_then(|row| heats.get(&row).cloned()));
        }
    }
    moments.retain(|moment| moment.heats.iter().any(Option::is_some));
    Ok(moments)
}

/// Video, frame and second of the moments, the first of each run before the second of any.
fn strangest(runs: &[Named]) -> Vec<(String, u64, f64)> {
    let mut found: Vec<(String, u64, f64)> = Vec::new();
    let peaks: Vec<Vec<(String, u64)>> = runs.iter().map(|named| peaks(&named.run)).collect();
    let longest = peaks.iter().map(Vec::len).max().unwrap_or(0);
    for (video, frame) in (0..longest).flat_map(|rank| peaks.iter().filter_map(move |p| p.get(rank))) {
        if !runs.iter().all(|named| named.run.scores.row_of(video, *frame).is_some()) {
            continue;
        }
        let Some(time_s) = time_of(&runs[0].run, video, *frame) else { continue };
        if !found.iter().any(|(v, _, at)| v == video && (at - time_s).abs() < APART_S) {
            found.push((video.clone(), *frame, time_s));
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

/// Of the events of a scene, the strangest first.
fn peaks(run: &Run) -> Vec<(String, u64)> {
    let events = run.events.iter().filter(|event| !is_trouble(event));
    events.map(|event| (event.video.clone(), event.peak_frame)).collect()
}

fn time_of(run: &Run, video: &str, frame: u64) -> Option<f64> {
    let rows = &run.scores.video(video)?.rows;
    let row = rows.binary_search_by_key(&frame, |row| row.frame).ok()?;
    Some(rows[row].time_s)
}
