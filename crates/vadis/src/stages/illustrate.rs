//! Illustration: the events' latents and reconstructions, their ranking, their pictures, and the latent map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vadis_eval::events::{EventCandidate, EventKind, RankConfig, rank};
use vadis_eval::group::typical_distance;
use vadis_eval::run::{Event, HeatColours, LatentPoint, SourceInfo, write_events, write_latents};
use vadis_report::{MediaOptions, Seen, make_event_media};
use vadis_systems::{Explanation, InputFormat, Model, Projection};
use vadis_video::{Colour, Frame, Source, grab_frames};

use super::{Opened, Surroundings};
use crate::Failure;
use crate::progress::Stage;

/// Frames read for the latent map, in windows spread evenly over all footage.
const MAP_FRAMES: u64 = 1200;
/// Events whose peaks are looked into layer by layer: a forward and a backward pass each.
const ATTENDED: usize = 6;

/// Ranks the events, writes `events.csv`, `latents.csv` and the pictures of the first events into `folder`, heat in `colours`.
/// Returns the ranked events and what went wrong on the way.
///
/// # Errors
/// A full disk; the user's interruption. A picture that cannot be made is told, not fatal.
pub fn illustrate(
    model: &dyn Model,
    sources: &[Opened],
    scored: &[SourceInfo],
    mut candidates: Vec<EventCandidate>,
    folder: &Path,
    colours: HeatColours,
    surroundings: &Surroundings<'_>,
) -> Result<(Vec<Event>, Vec<String>), Failure> {
    let mut stage = Stage::new("illustrating", None, surroundings.quiet);
    let mut notes = Vec::new();
    let explained = explain(model, sources, scored, &candidates, surroundings, &mut notes)?;
    for candidate in &mut candidates {
        let key = (candidate.event.video.clone(), candidate.event.peak_frame);
        candidate.feature = explained.get(&key).map(|e| e.latent.clone());
    }
    let latents: Vec<Option<&[f32]>> = explained.values().map(|e| Some(e.latent.as_slice())).collect();
    let config = RankConfig { typical_distance: typical_distance(&latents), ..RankConfig::default() };
    let ranking = rank(candidates, &config);
    let groups: Vec<u32> = ranking.events.iter().map(|e| e.group).collect();
    let events = ranking.into_rows();
    write_events(&folder.join("events.csv"), &events)?;
    write_latents(&folder.join("latents.csv"), &map(&explained, &events, &groups))?;
    stage.set(1, None, "pictures");
    let attended = attend(model, sources, scored, &events, surroundings, &mut notes)?;
    let sources: Vec<Source> = sources.iter().map(|s| s.source.clone()).collect();
    let options = MediaOptions { colours, read: surroundings.read.clone(), ..MediaOptions::default() };
    let input = model.input();
    let see = |event: &Event, _: &Frame| {
        let key = (event.video.clone(), event.peak_frame);
        let explanation = explained.get(&key);
        Seen {
            layers: attended.get(&key).cloned().unwrap_or_default(),
            reconstruction: explanation.and_then(|e| e.reconstruction.clone()),
            likelihood: explanation.and_then(|e| e.unlikely.as_ref()).map(|map| picture_of(map, input)),
        }
    };
    notes.extend(make_event_media(folder, &events, &sources, see, &options)?.problems);
    stage.finish(&format!("{} events", events.len()));
    Ok((events, notes))
}

/// Pictures of the layers' maps by video and peak frame.
type Attended = BTreeMap<(String, u64), Vec<(String, Frame)>>;

/// Where each layer raises the score of the strangest events' peaks, of a model that can tell.
fn attend(
    model: &dyn Model,
    sources: &[Opened],
    scored: &[SourceInfo],
    events: &[Event],
    surroundings: &Surroundings<'_>,
    notes: &mut Vec<String>,
) -> Result<Attended, Failure> {
    let mut attended = Attended::new();
    if model.layers().is_empty() {
        return Ok(attended);
    }
    let (format, reach) = (model.reads(), model.delay() as u64);
    for event in events.iter().filter(|event| !event.is_camera()).take(ATTENDED) {
        if surroundings.interrupted() {
            return Err(Failure::Interrupted { stage: "illustrating", resumable: true });
        }
        let peak = event.peak_frame;
        let at = sources.iter().zip(scored).find(|(opened, _)| opened.source.name == event.video);
        let Some((opened, known)) = at else { continue };
        let window: Vec<u64> =
            (peak.saturating_sub(reach)..=peak + reach).filter(|&frame| frame < known.frames).collect();
        match grab_frames(&opened.source, &format, &surroundings.read, &window) {
            Ok(frames) => {
                let Some((frames, at)) = window_of(&frames, peak, [reach; 2]) else { continue };
                let maps = model.layers().iter().zip(model.attend(frames, at)?);
                let pictures = maps.map(|(name, map)| ((*name).to_owned(), picture_of(&map, model.input())));
                attended.insert((event.video.clone(), peak), pictures.collect());
            }
            Err(error) => notes.push(format!("no layers of {}: {error}", event.video)),
        }
    }
    Ok(attended)
}

/// A map of values ≥ 0 as a grey picture, the largest of them white.
fn picture_of(map: &[f32], input: InputFormat) -> Frame {
    let largest = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let data = map.iter().map(|v| (v / largest * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    Frame { data, ..Frame::filled(input.width, input.height, Colour::Grey, 0) }
}

type Explained = BTreeMap<(String, u64), Explanation>;

/// What the model makes of each event's peak and of frames spread over the footage.
fn explain(
    model: &dyn Model,
    sources: &[Opened],
    scored: &[SourceInfo],
    candidates: &[EventCandidate],
    surroundings: &Surroundings<'_>,
    notes: &mut Vec<String>,
) -> Result<Explained, Failure> {
    let format = model.reads();
    let total: u64 = scored.iter().map(|s| s.frames).sum();
    let [before, after] = model.context().map(|frames| frames as u64);
    let window = before + 1 + after;
    let every = total.div_ceil((MAP_FRAMES / window).max(1)).max(1);
    let mut explained = BTreeMap::new();
    for (opened, scored) in sources.iter().zip(scored) {
        if surroundings.interrupted() {
            return Err(Failure::Interrupted { stage: "illustrating", resumable: true });
        }
        let name = &opened.source.name;
        let mut wanted: Vec<u64> = (0..scored.frames).step_by(every as usize).collect();
        let anomalies = candidates.iter().filter(|c| c.kind == EventKind::Anomaly);
        wanted.extend(anomalies.filter(|c| &c.event.video == name).map(|c| c.event.peak_frame));
        wanted.sort_unstable();
        wanted.dedup();
        let windows: BTreeSet<u64> =
            wanted.iter().flat_map(|&frame| frame.saturating_sub(before)..=frame + after).collect();
        let windows: Vec<u64> = windows.into_iter().filter(|&frame| frame < scored.frames).collect();
        match grab_frames(&opened.source, &format, &surroundings.read, &windows) {
            Ok(frames) => {
                for frame in wanted {
                    let Some((frames, at)) = window_of(&frames, frame, [before, after]) else { continue };
                    explained.insert((name.clone(), frame), model.explain_at(frames, at)?);
                }
            }
            Err(error) => notes.push(format!("no reconstructions of {name}: {error}")),
        }
    }
    Ok(explained)
}

/// The frames around `wanted`, as far as a window reaches, and its place among them; `frames` are in order.
fn window_of(frames: &[Frame], wanted: u64, [before, after]: [u64; 2]) -> Option<(&[Frame], usize)> {
    let at = frames.binary_search_by_key(&wanted, |frame| frame.index).ok()?;
    let start = frames.partition_point(|frame| frame.index + before < wanted);
    let end = frames.partition_point(|frame| frame.index <= wanted + after);
    Some((&frames[start..end], at - start))
}

/// Every explained frame on a two-dimensional map, with the group of the event it lies in.
fn map(explained: &Explained, events: &[Event], groups: &[u32]) -> Vec<LatentPoint> {
    let latents: Vec<Vec<f32>> = explained.values().map(|e| e.latent.clone()).collect();
    let projection = Projection::fit(&latents);
    let group_of = |video: &str, frame: u64| {
        let inside = |e: &Event| e.video == video && (e.start_frame..=e.end_frame).contains(&frame);
        events.iter().zip(groups).find(|(e, _)| inside(e)).map_or(0, |(_, &group)| group)
    };
    explained
        .iter()
        .map(|((video, frame), explanation)| {
            let [x, y] = projection.place(&explanation.latent);
            LatentPoint { video: video.clone(), frame: *frame, x, y, group: group_of(video, *frame) }
        })
        .collect()
}
