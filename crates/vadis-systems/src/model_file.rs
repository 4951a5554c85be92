//! Model files: weights with configuration and score statistics in their metadata.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use crate::{InputFormat, Model, SystemError, method};

/// The 1s and 0s of the pixels that count, in the file of a model that reads pictures.
pub(crate) const COUNTS: &str = "reference.counts";

/// What a model file says of itself beside its weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Version of vadis that made it.
    pub version: String,
    /// Preset it started from.
    pub preset: String,
    /// Random seed.
    pub seed: u64,
    /// When it was made, RFC 3339, UTC.
    pub made: String,
    /// The footage: name and frames of each source.
    pub sources: Vec<(String, u64)>,
    /// Pixels a row and rows of the footage itself, and whether its first frame had colour; older models do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Native>,
    /// Seconds of training.
    pub train_s: f64,
    /// Last value of each loss term.
    pub losses: Vec<(String, f64)>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What the footage was like before it was resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether any pixel of the first frame had colour. Always false for a system that reads grey.
    pub coloured: bool,
}

impl Native {
    /// Of footage of that size that begins with `first`, as the system reads it.
    pub fn of(width: usize, height: usize, first: Option<&Frame>) -> Self {
        let has_colour = |frame: &Frame| {
            let pixels = frame.data.chunks_exact(frame.colour.channels());
            pixels.into_iter().any(|pixel| pixel.iter().any(|&value| value != pixel[0]))
        };
        Self { width, height, coloured: first.is_some_and(has_colour) }
    }

    /// In words what may keep a model that learnt from `self` from judging `other` well: colour, size, proportions.
    pub fn unlike(&self, other: &Self) -> Option<String> {
        let shape = |n: &Self| n.width as f64 / n.height.max(1) as f64;
        let stretch = shape(self) / shape(other);
        let mut told = Vec::new();
        if (self.width, self.height) != (other.width, other.height) {
            let Self { width: w, height: h, .. } = other;
            let stretched = if (0.9..1.1).contains(&stretch) { "" } else { " and stretched" };
            told.push(format!("{w}×{h} in place of {}×{}, resized{stretched}", self.width, self.height));
        }
        match (self.coloured, other.coloured) {
            (true, false) => told.push("grey in place of colour".to_owned()),
            (false, true) => told.push("colour in place of grey".to_owned()),
            _ => {}
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// Writes `model` with `info` to `path`, under a temporary name first.
///
/// # Errors
/// If the file cannot be written.
pub fn save_model(model: &dyn Model, info: &ModelInfo, path: &Path) -> Result<(), SystemError> {
    let mut file = model.to_file();
    file.metadata.insert("system".to_owned(), model.system().to_owned());
    file.metadata.insert("config".to_owned(), text(&model.config()));
    file.metadata.insert("statistics".to_owned(), text(model.statistics()));
    file.metadata.insert("info".to_owned(), text(info));
    Ok(file.save(path)?)
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a model of any system.
///
/// # Errors
/// If the file is missing, damaged, or no model of a system known here.
pub fn load_model(path: &Path) -> Result<(Box<dyn Model>, ModelInfo), SystemError> {
    from_weights(&WeightFile::load(path)?)
}

/// Reads a model from the bytes of its file. Memory is bounded by a few times their number.
///
/// # Errors
/// As [`load_model`].
pub fn parse_model(bytes: &[u8]) -> Result<(Box<dyn Model>, ModelInfo), SystemError> {
    from_weights(&WeightFile::from_bytes(bytes).map_err(|reason| SystemError::Model { reason })?)
}

fn from_weights(file: &WeightFile) -> Result<(Box<dyn Model>, ModelInfo), SystemError> {
    let system = metadata(file, "system")?;
    let info = serde_json::from_str(metadata(file, "info")?)
        .map_err(|e| SystemError::Model { reason: format!("its info: {e}") })?;
    Ok((method(system)?.load(file)?, info))
}

/// The format that a model reads, `input` in its file's metadata; each side lies in `sides`.
pub(crate) fn input_format(
    file: &WeightFile,
    sides: RangeInclusive<usize>,
) -> Result<InputFormat, SystemError> {
    let [channels, height, width]: [usize; 3] = parse(file, "input")?;
    let colour = if channels == 1 { Colour::Grey } else { Colour::Rgb };
    if colour.channels() != channels || !sides.contains(&width) || !sides.contains(&height) {
        return Err(SystemError::Model { reason: format!("input {channels}×{height}×{width}") });
    }
    Ok(InputFormat { width, height, colour })
}

/// The arrays of a file that are a network's, which must have `needed` values in all. A file of a few bytes may name
/// a network of gigabytes: its own size decides, before anything is built.
pub(crate) fn network_weights(
    file: &WeightFile,
    needed: usize,
    is_its: impl Fn(&str) -> bool,
) -> Result<Vec<NamedTensor>, SystemError> {
    let weights = || file.tensors.iter().filter(|(name, _)| is_its(name));
    let there: usize = weights().map(|(_, (_, values))| values.len()).sum();
    if there != needed {
        let reason = format!("it has {there} weights, its settings ask for {needed}");
        return Err(SystemError::Model { reason });
    }
    let named = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| NamedTensor {
        name: name.clone(),
        shape: shape.clone(),
        values: values.clone(),
    };
    Ok(weights().map(named).collect())
}

/// The 1s and 0s of the pixels that count, as a model file has them.
///
/// # Errors
/// [`SystemError::Model`] if they are not as many as the pixels.
pub(crate) fn counts_in(file: &WeightFile, format: InputFormat) -> Result<Vec<f32>, SystemError> {
    let counts = file.values(COUNTS)?.to_vec();
    let needed = format.width * format.height;
    match counts.len() == needed {
        true => Ok(counts),
        false => Err(SystemError::Model {
            reason: format!("`{COUNTS}` has {} values, not {needed}", counts.len()),
        }),
    }
}

/// Puts into a model file what belongs to no network.
pub(crate) fn put_format(file: &mut WeightFile, format: InputFormat, counts: &[f32]) {
    let InputFormat { width, height, colour } = format;
    let (name, shape, values) = (COUNTS.to_owned(), vec![height, width], counts.to_vec());
    file.insert(NamedTensor { name, shape, values });
    file.metadata.insert("input".to_owned(), format!("[{},{height},{width}]", colour.channels()));
}

/// Takes the tensors of a part out of those of all, without its name.
pub(crate) fn take_part(weights: &mut Vec<NamedTensor>, part: &str) -> Vec<NamedTensor> {
    let is_its = |tensor: &mut NamedTensor| {
        let rest = tensor.name.strip_prefix(part).and_then(|rest| rest.strip_prefix('.'));
        let Some(rest) = rest.map(str::to_owned) else { return false };
        tensor.name = rest;
        true
    };
    weights.extract_if(.., is_its).collect()
}

/// A text of the file's metadata.
pub(crate) fn metadata<'a>(file: &'a WeightFile, key: &str) -> Result<&'a str, SystemError> {
    file.metadata
        .get(key)
        .map(String::as_str)
        .ok_or_else(|| SystemError::Model { reason: format!("its metadata has no `{key}`") })
}

/// A value of the file's metadata.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(file: &WeightFile, key: &str) -> Result<T, SystemError> {
    serde_json::from_str(metadata(file, key)?)
        .map_err(|e| SystemError::Model { reason: format!("its `{key}`: {e}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_footage_is_told_in_words() {
        let grey = Frame::filled(4, 2, Colour::Rgb, 7);
        let mut colour = grey.clone();
        colour.data[22] = 9;
        let learnt = Native::of(360, 240, Some(&colour));
        assert!(learnt.coloured && !Native::of(360, 240, Some(&grey)).coloured);
        assert_eq!(learnt.unlike(&learnt), None);
        let told = |width, height, frame| learnt.unlike(&Native::of(width, height, Some(frame))).unwrap();
        assert_eq!(told(180, 120, &colour), "180×120 in place of 360×240, resized");
        assert_eq!(told(360, 360, &colour), "360×360 in place of 360×240, resized and stretched");
        assert_eq!(told(360, 240, &grey), "grey in place of colour");
        let one = Native::of(360, 240, Some(&Frame::filled(4, 2, Colour::Grey, 7)));
        assert!(!one.coloured, "what reads grey knows of no colour");
    }

    #[test]
    fn a_part_is_taken_by_its_whole_name() {
        let tensor = |name: &str| NamedTensor { name: name.to_owned(), shape: vec![0], values: Vec::new() };
        let mut all = vec![
            tensor("motion.a"),
            tensor("motions.b"),
            tensor("appearance.motion.c"),
            tensor("motion.d.e"),
        ];
        let names = |tensors: &[NamedTensor]| tensors.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&take_part(&mut all, "motion")), ["a", "d.e"]);
        assert_eq!(names(&all), ["motions.b", "appearance.motion.c"]);
    }
}
