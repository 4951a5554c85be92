//! Weight files: `safetensors` with string metadata, read by Python's `safetensors` package as they are.
//!
//! All arrays are 32-bit floats but PyTorch's `num_batches_tracked`, a 64-bit integer in the file and a
//! float here.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::NnError;
use crate::segment::NamedTensor;

/// Largest weight file that is read: far above any network here, far below a machine's memory.
const MAX_BYTES: u64 = 4 << 30;

/// Names that end so are 64-bit integers in a file.
const COUNT: &str = "num_batches_tracked";

/// What a weight file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightFile {
    /// Free text by key: configuration, statistics.
    pub metadata: BTreeMap<String, String>,
    /// The arrays by name.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl WeightFile {
    /// Adds an array.
    pub fn insert(&mut self, tensor: NamedTensor) {
        self.tensors.insert(tensor.name, (tensor.shape, tensor.values));
    }

    /// The values of `name`.
    ///
    /// # Errors
    /// [`NnError::Weights`] if it is not there.
    pub fn values(&self, name: &str) -> Result<&[f32], NnError> {
        match self.tensors.get(name) {
            Some((_, values)) => Ok(values),
            None => Err(NnError::Weights { name: name.to_owned(), reason: "missing".to_owned() }),
        }
    }

    /// Writes the file under a temporary name in the same folder, then renames it. The same content gives
    /// the same bytes.
    ///
    /// # Errors
    /// [`NnError::Io`] if the file cannot be written, [`NnError::Weights`] if a shape does not fit its values.
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        let io = |source| NnError::Io { path: path.to_owned(), source };
        let bytes = self.to_bytes()?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Temporary files are private; a model has the permissions of any file (less the umask).
        #[cfg(unix)]
        let builder = {
            use std::os::unix::fs::PermissionsExt;
            let mut builder = tempfile::Builder::new();
            builder.permissions(fs::Permissions::from_mode(0o666));
            builder
        };
        #[cfg(not(unix))]
        let builder = tempfile::Builder::new();
        let mut file = builder.tempfile_in(folder).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    }

    /// The content of the file.
    ///
    /// # Errors
    /// [`NnError::Weights`] if a shape does not fit its values.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NnError> {
        let raw: BTreeMap<&str, (Dtype, Vec<u8>)> =
            self.tensors.iter().map(|(name, (_, values))| (name.as_str(), encode(name, values))).collect();
        let mut views = Vec::with_capacity(raw.len());
        for (name, (dtype, bytes)) in &raw {
            let shape = self.tensors[*name].0.clone();
            let view = TensorView::new(*dtype, shape, bytes)
                .map_err(|e| NnError::Weights { name: (*name).to_owned(), reason: e.to_string() })?;
            views.push((*name, view));
        }
        // One metadata key: the library keeps its map unordered, and one key has one order.
        let text = serde_json::to_string(&self.metadata).unwrap_or_default();
        let metadata = HashMap::from([("vadis".to_owned(), text)]);
        safetensors::serialize(views, Some(metadata))
            .map_err(|e| NnError::Weights { name: "file".to_owned(), reason: e.to_string() })
    }

    /// Reads a file written by [`Self::save`], or any `safetensors` file of 32-bit floats.
    ///
    /// # Errors
    /// [`NnError::Io`] if it cannot be read; [`NnError::WeightFile`] if it is truncated, damaged, too large or
    /// holds another number type.
    pub fn load(path: &Path) -> Result<Self, NnError> {
        let io = |source| NnError::Io { path: path.to_owned(), source };
        let bad = |reason: String| NnError::WeightFile { path: path.to_owned(), reason };
        let size = fs::metadata(path).map_err(io)?.len();
        if size > MAX_BYTES {
            return Err(bad(format!("{size} bytes, more than the {MAX_BYTES} that are read")));
        }
        Self::from_bytes(&fs::read(path).map_err(io)?).map_err(bad)
    }

    /// Reads the content of a file from memory.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let archive = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let mut metadata: BTreeMap<String, String> =
            header.metadata().clone().unwrap_or_default().into_iter().collect();
        if let Some(text) = metadata.remove("vadis") {
            let own: BTreeMap<String, String> =
                serde_json::from_str(&text).map_err(|e| format!("metadata: {e}"))?;
            metadata.extend(own);
        }
        let mut tensors = BTreeMap::new();
        for (name, view) in archive.tensors() {
            let values = decode(&name, &view)
                .ok_or_else(|| format!("tensor `{name}` is {:?}, not 32-bit floats", view.dtype()))?;
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(Self { metadata, tensors })
    }
}

fn encode(name: &str, values: &[f32]) -> (Dtype, Vec<u8>) {
    match name.ends_with(COUNT) {
        true => (Dtype::I64, values.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect()),
        false => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

fn decode(name: &str, view: &TensorView<'_>) -> Option<Vec<f32>> {
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::I64 if name.ends_with(COUNT) => {
            Some(view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> WeightFile {
        let mut file = WeightFile::default();
        file.metadata.insert("config".into(), "{\"a\": 1}".into());
        file.metadata.insert("system".into(), "mle".into());
        file.insert(NamedTensor {
            name: "w".into(),
            shape: vec![2, 3],
            values: (0..6).map(|v| v as f32).collect(),
        });
        file.insert(NamedTensor { name: "b".into(), shape: vec![1], values: vec![-0.5] });
        file.insert(NamedTensor { name: "n.num_batches_tracked".into(), shape: vec![], values: vec![3.0] });
        file
    }

    #[test]
    fn a_file_comes_back_as_it_was_and_has_one_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        sample().save(&path).unwrap();
        assert_eq!(WeightFile::load(&path).unwrap(), sample());
        assert_eq!(sample().to_bytes().unwrap(), sample().to_bytes().unwrap());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = sample().to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert!(WeightFile::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_is_an_error() {
        let mut file = sample();
        file.insert(NamedTensor { name: "odd".into(), shape: vec![5], values: vec![0.0; 4] });
        assert!(matches!(file.to_bytes(), Err(NnError::Weights { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn mutated_files_never_panic(at in 0usize..400, value: u8, more in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = sample().to_bytes().unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.splice(at..at, more);
            let _ = WeightFile::from_bytes(&bytes);
        }
    }
}
