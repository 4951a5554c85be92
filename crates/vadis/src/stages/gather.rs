//! Footage into the frame store: decoded once, resized, thinned where it is longer than the store.

use std::path::Path;

use vadis_systems::{FrameStore, FrameStoreWriter, InputFormat};
use vadis_video::{Frame, FrameFormat, FrameReader, VideoError};

use super::{Opened, Surroundings};
use crate::Failure;
use crate::progress::Stage;

/// The training footage, and what gathering it told.
pub struct Gathered {
    /// The frames.
    pub store: FrameStore,
    /// Frames read from each source.
    pub frames: Vec<u64>,
    /// Files that broke, thinning.
    pub notes: Vec<String>,
    /// Wall seconds.
    pub seconds: f64,
}

/// Which frames are kept where there are more than the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinning {
    /// Frames that the store holds.
    pub capacity: usize,
    /// Frames that stay together: 1 for a system that looks at single frames.
    pub together: usize,
}

/// Reads every source at `input`'s format into a store in `folder`, thinned to the capacity. Each frame is also shown
/// to `watch`, with its source's place.
///
/// # Errors
/// No frame at all; a full disk; the user's interruption. A source that breaks is kept up to there.
pub fn gather(
    sources: &[Opened],
    input: InputFormat,
    thinning: Thinning,
    folder: &Path,
    surroundings: &Surroundings<'_>,
    watch: &mut dyn FnMut(usize, &Frame),
) -> Result<Gathered, Failure> {
    let expected: Option<u64> = sources.iter().map(|s| s.info.frames).sum();
    let Thinning { capacity, together } = thinning;
    // One stretch in `every` is kept: known beforehand, so that the store is spread evenly over all footage.
    let every = expected.map_or(1, |n| n.div_ceil(capacity as u64).max(1));
    let mut writer = FrameStoreWriter::create(folder, input, capacity)?;
    let mut stage = Stage::new("reading", expected, surroundings.quiet);
    let (mut notes, mut frames, mut done) = (Vec::new(), Vec::new(), 0);
    let mut first_error = None;
    for (place, opened) in sources.iter().enumerate() {
        let before = done;
        let result = read_source(opened, input, surroundings, &mut |frame| {
            watch(place, frame);
            if (frame.index / together as u64).is_multiple_of(every) {
                writer.push(place, frame)?;
            }
            done += 1;
            stage.set(done, expected, &opened.source.name);
            Ok(())
        });
        frames.push(done - before);
        match result {
            Ok(()) => {}
            Err(Failure::Video(error)) => {
                notes.push(error.to_string());
                first_error.get_or_insert(error);
            }
            Err(other) => return Err(other),
        }
    }
    if writer.is_empty() {
        return Err(first_error.map_or_else(|| no_frames(sources), Failure::Video));
    }
    if every > 1 {
        let what = if together > 1 { format!("stretch of {together} frames") } else { "frame".to_owned() };
        notes.push(format!("trained on every {every}th {what}: the store holds {capacity}"));
    }
    let seconds = stage.finish(&format!("{done} frames at {}×{}", input.width, input.height));
    Ok(Gathered { store: writer.finish()?, frames, notes, seconds })
}

fn no_frames(sources: &[Opened]) -> Failure {
    let names = sources.iter().map(|s| s.source.location()).collect::<Vec<_>>().join(", ");
    Failure::NoFrames { sources: names }
}

/// Shows each frame of one source to `take`.
fn read_source(
    opened: &Opened,
    input: InputFormat,
    surroundings: &Surroundings<'_>,
    take: &mut dyn FnMut(&Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let format = FrameFormat { size: Some((input.width, input.height)), colour: input.colour };
    let reader = FrameReader::open(&opened.source, &format, &surroundings.read)?;
    for frame in reader {
        if surroundings.interrupted() {
            return Err(Failure::Interrupted { stage: "reading", resumable: true });
        }
        let frame: Result<Frame, VideoError> = frame;
        take(&frame?)?;
    }
    Ok(())
}
