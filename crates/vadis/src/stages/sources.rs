//! From arguments to sources that can be read.

use std::collections::BTreeMap;

use vadis_eval::run::SourceInfo;
use vadis_video::{Source, VideoInfo, discover, probe};

use super::Surroundings;
use crate::Failure;

/// A source and what is known of it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The source, its name unique in the run.
    pub source: Source,
    /// What probing told.
    pub info: VideoInfo,
}

impl Opened {
    /// Its entry in `run.json`, before any frame was read.
    pub fn entry(&self) -> SourceInfo {
        SourceInfo {
            video: self.source.name.clone(),
            path: self.source.location(),
            width: self.info.width as u32,
            height: self.info.height as u32,
            fps: self.info.fps,
            frames: 0,
            duration_s: 0.0,
            error: None,
        }
    }
}

/// Every source that the arguments stand for, probed. Sources that cannot be read are left out and told in the
/// notes, unless none is left.
///
/// # Errors
/// An argument that stands for nothing; the first source's error if no source can be read.
pub fn open_sources(
    arguments: &[String],
    surroundings: &Surroundings<'_>,
) -> Result<(Vec<Opened>, Vec<String>), Failure> {
    let mut sources = Vec::new();
    for argument in arguments {
        sources.extend(discover(argument)?);
    }
    make_names_unique(&mut sources);
    probe_sources(sources, surroundings)
}

/// These sources, probed. Those that cannot be read are left out and told in the notes, unless none is left.
///
/// # Errors
/// The first source's error if no source can be read.
pub fn probe_sources(
    sources: Vec<Source>,
    surroundings: &Surroundings<'_>,
) -> Result<(Vec<Opened>, Vec<String>), Failure> {
    let (mut opened, mut notes, mut first_error) = (Vec::new(), Vec::new(), None);
    for source in sources {
        match probe(&source, &surroundings.read) {
            Ok(info) => opened.push(Opened { source, info }),
            Err(error) => {
                notes.push(format!("left out: {error}"));
                first_error.get_or_insert(error);
            }
        }
    }
    match (opened.is_empty(), first_error) {
        (true, Some(error)) => Err(error.into()),
        _ => Ok((opened, notes)),
    }
}

/// Names are unique within one argument; of several arguments with one name the later ones are numbered.
fn make_names_unique(sources: &mut [Source]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources {
        let count = seen.entry(source.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            source.name = format!("{} ({count})", source.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_numbered() {
        let mut sources = [Source::file("a/x.mp4"), Source::file("b/x.mp4"), Source::file("y.mp4")];
        make_names_unique(&mut sources);
        assert_eq!(sources.map(|s| s.name), ["x", "x (2)", "y"]);
    }
}
