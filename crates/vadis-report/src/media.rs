//! Pictures and clips as data addresses, within a budget.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mistakes::{self, Mistake};

/// Names of an event's files within `events/NNN/`.
pub(crate) const FRAME: &str = "frame.jpg";
pub(crate) const HEAT: &str = "heat.png";
pub(crate) const RECONSTRUCTION: &str = "reconstruction.jpg";
pub(crate) const LIKELIHOOD: &str = "likelihood.png";
pub(crate) const CLIP: &str = "clip.mp4";
/// What the files of an event's layer maps begin with: `grad-cam-1-NAME.png`, numbered from 1 in the network's order.
const LAYER: &str = "grad-cam-";
/// Layers shown at most.
const MOST_LAYERS: usize = 24;
/// Those of an event that are heat in its colours.
pub(crate) const HEATS: [&str; 2] = [HEAT, LIKELIHOOD];
/// What a system that learns from pseudo-anomalies was shown, in the run's folder.
const SHEET: &str = "pseudo_anomalies.png";

/// The folder of the event of this rank (from 1).
pub(crate) fn folder(run_dir: &Path, rank: usize) -> std::path::PathBuf {
    run_dir.join("events").join(format!("{rank:03}"))
}

/// The file of an event's layer map; `index` from 0.
pub(crate) fn layer_file(folder: &Path, index: usize, name: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    folder.join(format!("{LAYER}{}-{name}.png", index + 1))
}

/// Names and files of an event's layer maps that there are, in the network's order.
pub(crate) fn layer_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(usize, String, PathBuf)> = entries
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let (number, name) = file.strip_prefix(LAYER)?.strip_suffix(".png")?.split_once('-')?;
            Some((number.parse().ok()?, name.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    found.truncate(MOST_LAYERS);
    found.into_iter().map(|(_, name, path)| (name, path)).collect()
}

/// An event's media as `data:` addresses; what is missing, broken or beyond the budget is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Media {
    pub(crate) frame: Option<String>,
    pub(crate) heat: Option<String>,
    pub(crate) reconstruction: Option<String>,
    pub(crate) likelihood: Option<String>,
    pub(crate) clip: Option<String>,
    /// Where each layer raises the score, by the layer's name.
    pub(crate) layers: Vec<(String, String)>,
}

/// A mistake with its frame and heat as `data:` addresses.
pub(crate) struct Shown {
    pub(crate) mistake: Mistake,
    pub(crate) frame: String,
    pub(crate) heat: Option<String>,
}

/// The pictures of mistakes that were kept, within a tenth of the budget.
pub(crate) fn collect_mistakes(run_dir: &Path, mistakes: Vec<Mistake>, budget: u64) -> Vec<Shown> {
    let mut budget = Budget { left: budget / 10, dropped: 0 };
    let shown = mistakes.into_iter().filter_map(|mistake| {
        let frame = budget.take(&mistake.file(run_dir, mistakes::FRAME))?;
        let heat = budget.take(&mistake.file(run_dir, mistakes::HEAT));
        Some(Shown { mistake, frame, heat })
    });
    shown.collect()
}

/// All events' media and how many files had to stay outside.
pub(crate) struct Gallery {
    /// One for each event, in rank order.
    pub(crate) media: Vec<Media>,
    /// The contact sheet of pseudo-anomalies, where there is one.
    pub(crate) sheet: Option<String>,
    /// Pictures beyond the budget.
    pub(crate) pictures_dropped: usize,
    /// Clips beyond the budget.
    pub(crate) clips_dropped: usize,
}

/// Collects the media of the first `events` events. Pictures come first, clips after, each in rank order, so that a
/// small budget keeps a picture for every event rather than a clip for a few.
pub(crate) fn collect(run_dir: &Path, events: usize, budget: u64) -> Gallery {
    let mut budget = Budget { left: budget, dropped: 0 };
    let mut media = vec![Media::default(); events];
    for (i, item) in media.iter_mut().enumerate() {
        let folder = folder(run_dir, i + 1);
        item.frame = budget.take(&folder.join(FRAME));
        item.heat = budget.take(&folder.join(HEAT));
        item.reconstruction = budget.take(&folder.join(RECONSTRUCTION));
        item.likelihood = budget.take(&folder.join(LIKELIHOOD));
        let layers = layer_files(&folder).into_iter();
        item.layers = layers.filter_map(|(name, file)| Some((name, budget.take(&file)?))).collect();
    }
    let sheet = budget.take(&run_dir.join(SHEET));
    let pictures_dropped = std::mem::take(&mut budget.dropped);
    for (i, item) in media.iter_mut().enumerate() {
        item.clip = budget.take(&folder(run_dir, i + 1).join(CLIP));
    }
    Gallery { media, sheet, pictures_dropped, clips_dropped: budget.dropped }
}

struct Budget {
    /// Bytes of page that may still be used.
    left: u64,
    dropped: usize,
}

impl Budget {
    fn take(&mut self, path: &Path) -> Option<String> {
        let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
        let cost = length.saturating_add(2) / 3 * 4 + 32;
        if cost > self.left {
            self.dropped += 1;
            return None;
        }
        let uri = data_uri(path, length);
        if uri.is_some() {
            self.left -= cost;
        }
        uri
    }
}

/// Reads at most `length` bytes; a file that is not what its kind begins with is left out.
fn data_uri(path: &Path, length: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::warn!("{}: {error}", path.display());
        return None;
    }
    let Some(kind) = kind(&bytes) else {
        tracing::warn!("{}: neither JPEG, PNG nor MP4; left out of the report", path.display());
        return None;
    };
    Some(data_address(kind, &bytes))
}

/// Bytes as a `data:` address.
pub(crate) fn data_address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("video/mp4"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, rank: usize, name: &str, head: &[u8], length: usize) {
        let folder = folder(dir, rank);
        std::fs::create_dir_all(&folder).unwrap();
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn a_contact_sheet_is_taken_along() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(collect(dir.path(), 0, 10_000).sheet, None);
        std::fs::write(dir.path().join(SHEET), [0x89, b'P', b'N', b'G', 1, 2]).unwrap();
        let sheet = collect(dir.path(), 0, 10_000).sheet.unwrap();
        assert!(sheet.starts_with("data:image/png;base64,iVBORw"), "{sheet}");
        assert_eq!(collect(dir.path(), 0, 20).pictures_dropped, 1);
    }

    #[test]
    fn pictures_come_before_clips_when_the_budget_is_small() {
        let dir = tempfile::tempdir().unwrap();
        for rank in 1..=3 {
            put(dir.path(), rank, FRAME, &[0xff, 0xd8, 0xff], 3000);
            put(dir.path(), rank, CLIP, b"\0\0\0\x20ftyp", 6000);
        }
        let gallery = collect(dir.path(), 3, 3 * 4100 + 8200);
        assert!(gallery.media.iter().all(|m| m.frame.is_some()));
        assert_eq!(gallery.media.iter().filter(|m| m.clip.is_some()).count(), 1);
        assert_eq!((gallery.pictures_dropped, gallery.clips_dropped), (0, 2));
    }

    #[test]
    fn what_is_not_a_picture_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), 1, FRAME, b"<script>", 64);
        put(dir.path(), 1, HEAT, b"", 0);
        let gallery = collect(dir.path(), 2, 1 << 20);
        assert_eq!(gallery.media, vec![Media::default(); 2]);
    }
}
