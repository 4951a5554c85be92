//! Networks of others against the packages that they are published in (`scripts/pretrained.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::{Fixture, difference};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use vadis_nn::NnError;
use vadis_nn::pretrained::clip_vit::{ClipVit, ClipVitConfig, Gelu};
use vadis_nn::pretrained::efficientnet_lite0::{EfficientNetLite, EfficientNetLiteConfig, Stage};
use vadis_nn::pretrained::latent_diffusion::{
    AutoencoderConfig, Hole, LatentDiffusion, LatentDiffusionConfig, UnetConfig,
};
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

fn small_clip(gelu: Gelu) -> ClipVitConfig {
    ClipVitConfig { size: 20, patch: 5, width: 32, layers: 2, heads: 4, inner: 48, features: 12, gelu }
}

#[test]
fn clip_agrees_with_transformers_and_open_clip() {
    for (name, gelu) in [("clip_transformers", Gelu::Quick), ("clip_open", Gelu::Exact)] {
        let (_, file) = fixture(name);
        let weights = Checkpoint::open(&Fixture::path(&format!("{name}.weights.safetensors"))).unwrap();
        let encoder = ClipVit::load(&small_clip(gelu), &weights, &common::device()).unwrap();
        let (frame, size) = bytes(&file, "frame");
        let features = encoder.features(&Picture::new(&frame, size, 3).unwrap()).unwrap();
        assert_eq!(features.len(), encoder.feature_size());
        let worst = difference(&features, file.values("features").unwrap());
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

#[test]
fn clip_tells_what_is_no_encoder_of_its_sizes() {
    let open = |file: &str| Checkpoint::open(&Fixture::path(file)).unwrap();
    let load =
        |config: &ClipVitConfig, file| ClipVit::load(config, &open(file), &common::device()).unwrap_err();
    let sizes = small_clip(Gelu::Quick);
    let other = load(&sizes, "efficientnet_lite.pretrained.safetensors");
    assert!(other.to_string().contains("no CLIP image encoder"), "{other}");
    let larger = load(&ClipVitConfig::base_16(), "clip_transformers.weights.safetensors");
    assert!(matches!(larger, NnError::Weights { .. }), "{larger}");
    let odd = load(&ClipVitConfig { heads: 5, ..sizes }, "clip_open.weights.safetensors");
    assert!(matches!(odd, NnError::Setting { key: "heads", .. }), "{odd}");
}

fn small_diffusion() -> LatentDiffusionConfig {
    LatentDiffusionConfig {
        unet: UnetConfig {
            channels: vec![8, 16, 16],
            attention: vec![false, true, true],
            blocks: 1,
            heads: 2,
            groups: 4,
        },
        autoencoder: AutoencoderConfig {
            channels: vec![8, 8, 16],
            blocks: 1,
            latent: 3,
            codes: 32,
            groups: 4,
        },
        ..LatentDiffusionConfig::inpainting()
    }
}

/// What the fixture's picture with a hole becomes in ten steps.
fn filled(model: &LatentDiffusion, file: &WeightFile) -> Vec<f32> {
    let mask: Vec<bool> = file.values("mask").unwrap().iter().map(|v| *v > 0.5).collect();
    let (picture, noise) = (file.values("picture").unwrap(), file.values("noise").unwrap());
    let hole = Hole { picture, mask: &mask, size: [32, 48], noise, steps: 10 };
    let mut seen = 0;
    let filled = model.inpaint(&hole, |done| {
        seen = done;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, 10);
    filled.unwrap().unwrap()
}

#[test]
fn inpainting_agrees_with_diffusers_and_compvis_end_to_end() {
    for (name, weights) in [("diffusers", "diffusers"), ("compvis", "compvis.weights.safetensors")] {
        let (_, file) = fixture(name);
        let model = LatentDiffusion::load(&small_diffusion(), &Fixture::path(weights), &common::device());
        let found = filled(&model.unwrap(), &file);
        let expected = file.values("filled").unwrap();
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{name}: {worst}");
        // Outside the hole it is the picture to the bit; inside it is not.
        let (mask, picture) = (file.values("mask").unwrap(), file.values("picture").unwrap());
        let inside = |i: usize| mask[i % mask.len()] > 0.5;
        assert!((0..found.len()).all(|i| inside(i) || found[i] == picture[i]));
        assert!((0..found.len()).filter(|&i| inside(i)).any(|i| found[i] != picture[i]));
    }
}

/// CompVis's sampler takes the averaged weights of a checkpoint, whose names have lost their dots.
#[test]
fn averaged_weights_go_before_the_others() {
    let bytes = std::fs::read(Fixture::path("compvis.weights.safetensors")).unwrap();
    let archive = SafeTensors::deserialize(&bytes).unwrap();
    let zeros = vec![0; bytes.len()];
    let mut tensors = Vec::new();
    for (name, view) in archive.tensors() {
        let unet = name.strip_prefix("model.diffusion_model.");
        let Some(unet) = unet.map(|rest| format!("model_ema.diffusion_model{}", rest.replace('.', "")))
        else {
            tensors.push((name, view));
            continue;
        };
        let nothing =
            TensorView::new(view.dtype(), view.shape().to_vec(), &zeros[..view.data().len()]).unwrap();
        tensors.extend([(unet, view), (name, nothing)]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("averaged.safetensors");
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let plain = Fixture::path("compvis.weights.safetensors");
    let [averaged, plain] = [path, plain]
        .map(|path| LatentDiffusion::load(&small_diffusion(), &path, &common::device()).unwrap());
    let (_, file) = fixture("compvis");
    assert_eq!(filled(&averaged, &file), filled(&plain, &file));
}

#[test]
fn what_cannot_be_inpainted_is_told_and_a_break_stops() {
    let (_, file) = fixture("diffusers");
    let model =
        LatentDiffusion::load(&small_diffusion(), &Fixture::path("diffusers"), &common::device()).unwrap();
    assert_eq!((model.config().factor(), model.config().granularity()), (4, 16));
    let mask = vec![true; 32 * 48];
    let (picture, noise) = (file.values("picture").unwrap(), file.values("noise").unwrap());
    let hole = Hole { picture, mask: &mask, size: [32, 48], noise, steps: 10 };
    let run = |hole: Hole<'_>| model.inpaint(&hole, |_| ControlFlow::Break(()));
    assert!(run(hole).unwrap().is_none());
    assert!(matches!(run(Hole { size: [48, 24], ..hole }), Err(NnError::Setting { key: "size", .. })));
    assert!(matches!(run(Hole { steps: 0, ..hole }), Err(NnError::Setting { key: "steps", .. })));
    assert!(matches!(
        run(Hole { noise: &noise[1..], ..hole }),
        Err(NnError::Shape { what: "the noise", .. })
    ));
    let broken = vec![f32::NAN; noise.len()];
    assert!(matches!(run(Hole { noise: &broken, ..hole }), Err(NnError::NotFinite { .. })));
    let other = LatentDiffusion::inpainting(&Fixture::path("diffusers"), &common::device()).unwrap_err();
    assert!(matches!(other, NnError::Weights { .. }), "{other}");
    let missing = LatentDiffusion::inpainting(&Fixture::path("nowhere"), &common::device()).unwrap_err();
    assert!(matches!(missing, NnError::Io { .. }), "{missing}");
}
