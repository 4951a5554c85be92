//! Weight files of others: tensors are read one by one, as a network asks for them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};

use crate::NnError;

/// Largest list of tensors that is read; those of networks of a thousand layers take a tenth of it.
const MAX_HEADER: u64 = 8 << 20;

/// A `safetensors` file of another program. What is read of it, and held, is what a network asks for with a shape of
/// its own, so that a file can claim nothing that costs memory.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: Mutex<File>,
    /// Where the tensors' bytes begin.
    start: u64,
    tensors: Metadata,
}

impl Checkpoint {
    /// Reads the list of tensors.
    ///
    /// # Errors
    /// [`NnError::Io`] if the file cannot be read; [`NnError::WeightFile`] if it is none, damaged or truncated.
    pub fn open(path: &Path) -> Result<Self, NnError> {
        let io = |source| NnError::Io { path: path.to_owned(), source };
        let bad = |reason: String| NnError::WeightFile { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad(format!("{size} bytes are no `safetensors` file")));
        }
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER.min(size - 8) {
            let reason =
                format!("a list of tensors of {length} bytes in a file of {size}: no `safetensors` file");
            return Err(bad(reason));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let tensors: Metadata = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
        let end = tensors.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        let held = size - 8 - length;
        if end != held {
            return Err(bad(format!(
                "{held} bytes of tensors where there should be {end}: truncated or damaged"
            )));
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), start: 8 + length, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.info(name).is_some()
    }

    /// Whether a tensor's name begins so.
    pub fn contains_under(&self, prefix: &str) -> bool {
        self.tensors.tensors().keys().any(|name| name.starts_with(prefix))
    }

    /// The values of a tensor, which may be stored as 16- or 32-bit floats. Axes of length 1 at the end of a shape
    /// do not count: a linear map may be stored as a 1×1 convolution.
    ///
    /// # Errors
    /// [`NnError::Weights`] if it is missing, of another shape, no floats or not finite; [`NnError::Io`] if it cannot
    /// be read.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NnError> {
        let refuse = |reason| NnError::Weights { name: name.to_owned(), reason };
        let info =
            self.tensors.info(name).ok_or_else(|| refuse(format!("missing in {}", self.path.display())))?;
        if significant(&info.shape) != significant(shape) {
            return Err(refuse(format!(
                "expected {shape:?}, got {:?} in {}",
                info.shape,
                self.path.display()
            )));
        }
        let decode = decoder(info.dtype).ok_or_else(|| refuse(format!("{:?} are no floats", info.dtype)))?;
        let (first, end) = info.data_offsets;
        let mut bytes = vec![0; end - first];
        let io = |source| NnError::Io { path: self.path.clone(), source };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start + first as u64)).map_err(io)?;
        file.read_exact(&mut bytes).map_err(io)?;
        drop(file);
        let values = decode(&bytes);
        match values.iter().all(|v| v.is_finite()) {
            true => Ok(values),
            false => Err(refuse(format!("not finite in {}", self.path.display()))),
        }
    }
}

/// A shape without the axes of length 1 at its end.
fn significant(shape: &[usize]) -> &[usize] {
    let end = shape.iter().rposition(|&n| n != 1).map_or(0, |last| last + 1);
    &shape[..end]
}

/// From a file's bytes to values.
type Decode = fn(&[u8]) -> Vec<f32>;

fn decoder(dtype: Dtype) -> Option<Decode> {
    match dtype {
        Dtype::F32 => Some(|bytes| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => {
            Some(|bytes| bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect())
        }
        Dtype::BF16 => {
            Some(|bytes| bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    use super::*;

    /// Two tensors of one list of values, in 32 and 16 bits, and one of whole numbers.
    fn sample() -> Vec<u8> {
        let values = [0.5f32, -2.0, 3.25, 0.0, 1.0, -1.0];
        let single: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let half: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let brain: Vec<u8> = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let view = |dtype, bytes| TensorView::new(dtype, vec![2, 3, 1, 1], bytes).unwrap();
        let tensors = [
            ("single", view(Dtype::F32, &single)),
            ("half", view(Dtype::F16, &half)),
            ("brain", view(Dtype::BF16, &brain)),
            ("whole", view(Dtype::I32, &single)),
        ];
        safetensors::serialize(tensors, None).unwrap()
    }

    fn open(bytes: &[u8]) -> Result<Checkpoint, NnError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Checkpoint::open(file.path())
    }

    #[test]
    fn floats_of_every_width_are_read() {
        let checkpoint = open(&sample()).unwrap();
        for name in ["single", "half", "brain"] {
            assert_eq!(checkpoint.tensor(name, &[2, 3]).unwrap(), [0.5, -2.0, 3.25, 0.0, 1.0, -1.0]);
        }
        assert!(
            checkpoint.contains("half") && !checkpoint.contains("hal") && checkpoint.contains_under("hal")
        );
    }

    #[test]
    fn what_is_missing_or_otherwise_is_told() {
        let checkpoint = open(&sample()).unwrap();
        for (name, shape, reason) in [
            ("other", [2, 3], "missing in"),
            ("single", [3, 2], "expected [3, 2], got [2, 3, 1, 1]"),
            ("whole", [2, 3], "I32 are no floats"),
        ] {
            let error = checkpoint.tensor(name, &shape).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(matches!(open(&bytes[..cut]), Err(NnError::WeightFile { .. })), "cut at {cut}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn mutated_files_never_panic(at in 0usize..400, value: u8, more in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.splice(at..at, more);
            if let Ok(checkpoint) = open(&bytes) {
                for name in ["single", "half", "brain", "whole"] {
                    let _ = checkpoint.tensor(name, &[2, 3]);
                }
            }
        }
    }
}
