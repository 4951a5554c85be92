//! The frames that are scored.

use vadis_peers::Outcome;
use vadis_systems::InputFormat;
use vadis_video::synth::{Scene, SceneConfig};
use vadis_video::{Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, discover, probe, resize};

/// Size of the synthetic street: Ped2's.
const NATIVE: [usize; 2] = [360, 240];

/// Frames of a video or folder, or of a synthetic street.
pub(crate) enum Footage {
    Read(Source),
    Made,
}

impl Footage {
    pub(crate) fn of(path: Option<&str>) -> Outcome<Self> {
        let Some(path) = path else { return Ok(Self::Made) };
        let first = discover(path)?.into_iter().next().ok_or("no footage there")?;
        Ok(Self::Read(first))
    }

    /// Width and height.
    pub(crate) fn native(&self) -> Outcome<[usize; 2]> {
        Ok(match self {
            Self::Read(source) => {
                let info = probe(source, &ReadOptions::default())?;
                [info.width, info.height]
            }
            Self::Made => NATIVE,
        })
    }

    /// The first `count` frames, fitted to `format`.
    pub(crate) fn frames(&self, format: InputFormat, count: usize) -> Outcome<Vec<Frame>> {
        let InputFormat { width, height, colour } = format;
        let frames: Vec<Frame> = match self {
            Self::Read(source) => {
                let format = FrameFormat { size: Some((width, height)), colour };
                let reader = FrameReader::open(source, &format, &ReadOptions::default())?;
                reader.take(count).collect::<Result<_, _>>()?
            }
            Self::Made => {
                let [w, h] = NATIVE;
                let config = SceneConfig {
                    width: w,
                    height: h,
                    fps: 10.0,
                    frames: count as u64,
                    ..Default::default()
                };
                Scene::new(&config)?.map(|made| fitted(&made.frame, format)).collect::<Outcome<_>>()?
            }
        };
        match frames.len() == count {
            true => Ok(frames),
            false => Err(format!("{} frames of footage, not {count}", frames.len()).into()),
        }
    }
}

fn fitted(frame: &Frame, format: InputFormat) -> Outcome<Frame> {
    let grey = (format.colour == Colour::Grey).then(|| frame.to_grey());
    Ok(resize(grey.as_ref().unwrap_or(frame), format.width, format.height)?)
}
