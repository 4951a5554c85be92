//! Networks of others against the packages that they are published in (`scripts/pretrained.py`).

mod common;

use std::path::{Path, PathBuf};

use common::{Fixture, difference};
use vadis_nn::NnError;
use vadis_nn::pretrained::efficientnet_lite0::{EfficientNetLite, EfficientNetLiteConfig, Stage};
use vadis_nn::pretrained::{Checkpoint, FrameEncoder, Picture};
use vadis_nn::weights::WeightFile;

fn fixture(name: &str) -> (PathBuf, WeightFile) {
    let path = Fixture::path(&format!("{name}.pretrained.safetensors"));
    let file = WeightFile::load(&path).unwrap();
    (path, file)
}

/// Bytes of a frame kept as floats, and its height and width.
fn bytes(file: &WeightFile, name: &str) -> (Vec<u8>, [usize; 2]) {
    let (shape, values) = &file.tensors[name];
    (values.iter().map(|&v| v as u8).collect(), [shape[0], shape[1]])
}

fn small_efficientnet() -> EfficientNetLiteConfig {
    let stage =
        |blocks, kernel, stride, expansion, channels| Stage { blocks, kernel, stride, expansion, channels };
    EfficientNetLiteConfig {
        size: 37,
        stem: 8,
        stages: vec![stage(1, 3, 1, 1, 16), stage(2, 5, 2, 6, 8), stage(2, 3, 2, 2, 16)],
        head: 320,
        ..EfficientNetLiteConfig::lite0()
    }
}

#[test]
fn efficientnet_agrees_with_its_package() {
    let (path, file) = fixture("efficientnet_lite");
    let network = EfficientNetLite::load(&small_efficientnet(), &Checkpoint::open(&path).unwrap()).unwrap();
    let (frame, size) = bytes(&file, "frame");
    let features = network.features(&Picture::new(&frame, size, 3).unwrap()).unwrap();
    assert_eq!(features.len(), network.feature_size());
    let worst = difference(&features, file.values("features").unwrap());
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn a_frame_has_the_same_features_in_any_company() {
    let (path, file) = fixture("efficientnet_lite");
    let network = EfficientNetLite::load(&small_efficientnet(), &Checkpoint::open(&path).unwrap()).unwrap();
    let (frame, size) = bytes(&file, "frame");
    let other: Vec<u8> = frame.iter().map(|v| 255 - v).collect();
    let [frame, other] = [&frame, &other].map(|data| Picture::new(data, size, 3).unwrap());
    let alone = network.features(&frame).unwrap();
    let together = network.features_of(&[other, frame, other]).unwrap();
    assert_eq!(together[1], alone);
    assert_ne!(together[0], alone);
}

/// The published weights on real footage, where `VADIS_WEIGHTS` names a folder with what `scripts/pretrained-weights
/// efficientnet-lite0` and `pretrained.py --real` wrote.
#[test]
fn efficientnet_agrees_with_its_package_on_real_footage() {
    let Some(folder) = std::env::var_os("VADIS_WEIGHTS").map(PathBuf::from) else { return };
    let network = EfficientNetLite::lite0(&folder.join("efficientnet-lite0.safetensors")).unwrap();
    let file = WeightFile::load(&folder.join("efficientnet-lite0.real.safetensors")).unwrap();
    let frames: Vec<_> = file.tensors.keys().filter_map(|name| name.strip_prefix("frame.")).collect();
    assert!(!frames.is_empty());
    for name in frames {
        let (frame, size) = bytes(&file, &format!("frame.{name}"));
        let features = network.features(&Picture::new(&frame, size, 3).unwrap()).unwrap();
        let worst = difference(&features, file.values(&format!("features.{name}")).unwrap());
        assert!(worst < 1e-3, "{name}: {worst}");
    }
}

/// The file without a tensor, with one of another shape, and cut short.
fn broken(file: &WeightFile, folder: &Path, tensor: &str) -> [(PathBuf, &'static str); 3] {
    let [missing, wrong, short] = ["missing", "wrong", "short"].map(|name| folder.join(name));
    let mut less = file.clone();
    less.tensors.remove(tensor);
    less.save(&missing).unwrap();
    let mut other = file.clone();
    let count = other.tensors[tensor].1.len();
    other.tensors.get_mut(tensor).unwrap().0 = vec![1, count];
    other.save(&wrong).unwrap();
    let bytes = file.to_bytes().unwrap();
    std::fs::write(&short, &bytes[..bytes.len() - 5]).unwrap();
    [(missing, "missing in"), (wrong, "expected ["), (short, "truncated")]
}

#[test]
fn weights_that_are_not_the_networks_are_told() {
    let (_, file) = fixture("efficientnet_lite");
    let folder = tempfile::tempdir().unwrap();
    for (path, reason) in broken(&file, folder.path(), "_blocks.2._project_conv.weight") {
        let network = Checkpoint::open(&path).and_then(|c| EfficientNetLite::load(&small_efficientnet(), &c));
        let error = network.unwrap_err();
        assert!(matches!(error, NnError::Weights { .. } | NnError::WeightFile { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
