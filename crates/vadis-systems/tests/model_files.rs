//! Model files from elsewhere: whatever they claim, they cost no more than their own size.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use vadis_nn::weights::WeightFile;
use vadis_systems::{
    FrameStoreWriter, InputFormat, ModelInfo, Preset, Session, Setting, SystemError, method, parse_model,
    save_model,
};
use vadis_video::{Colour, Frame};

/// A model of 16×16 grey frames, learnt in a few steps.
fn small(system: &str, settings: &[&str], folder: &Path) -> Vec<u8> {
    let settings: Vec<Setting> = settings.iter().map(|s| s.parse().unwrap()).collect();
    let configured = method(system).unwrap().configure(Preset::Tiny, &settings).unwrap();
    let format = InputFormat { width: 16, height: 16, colour: Colour::Grey };
    let mut writer = FrameStoreWriter::create(folder, format, 100).unwrap();
    for index in 0..80u64 {
        let data = (0..256).map(|i| ((i * 37 + index * 11) % 256) as u8).collect();
        let time_s = index as f64 / 10.0;
        writer.push(0, &Frame { index, time_s, width: 16, height: 16, colour: Colour::Grey, data }).unwrap();
    }
    let interrupt = AtomicBool::new(false);
    let mut progress = |_| {};
    let mut session = Session::new(0, vadis_systems::cpu_device(), &interrupt, &mut progress);
    let model = configured.train(&writer.finish().unwrap(), &mut session).unwrap();
    let path = folder.join("model.safetensors");
    save_model(model.as_ref(), &ModelInfo::default(), &path).unwrap();
    std::fs::read(path).unwrap()
}

const SMALL_FLOW: [&str; 5] = ["size=16x16", "steps=1", "levels=1", "hidden=4", "max_steps=2"];

fn small_mle(folder: &Path) -> Vec<u8> {
    small("mle", &["size=16x16", "channels=[2,2,2]", "latent=4", "max_steps=4", "min_steps=4"], folder)
}

fn small_itae(system: &str, folder: &Path) -> Vec<u8> {
    small(system, &["size=16x16", "width=0.02", "max_steps=2", "min_steps=2"], folder)
}

/// The file with one text of its metadata changed.
fn with_config(bytes: &[u8], change: impl Fn(&mut BTreeMap<String, String>), folder: &Path) -> Vec<u8> {
    let mut file = WeightFile::from_bytes(bytes).unwrap();
    change(&mut file.metadata);
    let path = folder.join("changed.safetensors");
    file.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_small_file_cannot_ask_for_a_large_network() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = small_mle(folder.path());
    assert!(parse_model(&bytes).is_ok());
    // Some 9·10⁸ weights: 3.5 GB, if they were allocated before they are looked for.
    let greedy = with_config(
        &bytes,
        |metadata| {
            let mut config: serde_json::Value = serde_json::from_str(&metadata["config"]).unwrap();
            config["channels"] = serde_json::json!([4096, 4096, 4096]);
            config["latent"] = serde_json::json!(8192);
            metadata.insert("config".to_owned(), config.to_string());
        },
        folder.path(),
    );
    let error = parse_model(&greedy).err().unwrap();
    assert!(matches!(error, SystemError::Model { .. }), "{error}");
    assert!(error.to_string().contains("weights"), "{error}");
}

/// Networks of gigabytes, clips and pictures of another size, another variant's weights.
#[test]
fn a_small_file_cannot_ask_for_a_large_clip_network() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = small_itae("itae", folder.path());
    assert!(parse_model(&bytes).is_ok());
    let set = |key: &'static str, value: serde_json::Value| {
        let change = move |metadata: &mut BTreeMap<String, String>| {
            let mut config: serde_json::Value = serde_json::from_str(&metadata["config"]).unwrap();
            config[key] = value.clone();
            metadata.insert("config".to_owned(), config.to_string());
        };
        with_config(&bytes, change, folder.path())
    };
    for greedy in [set("width", 4.0.into()), set("clip", 63.into()), set("score_stride", 0.into())] {
        assert!(parse_model(&greedy).is_err());
    }
    for (key, value) in [("input", "[1,4096,4096]"), ("input", "[1,18,16]"), ("system", "one-path")] {
        let change = |metadata: &mut BTreeMap<String, String>| {
            metadata.insert(key.to_owned(), value.to_owned());
        };
        let changed = with_config(&bytes, change, folder.path());
        assert!(matches!(parse_model(&changed).err(), Some(SystemError::Model { .. })), "{key} {value}");
    }
}

#[test]
fn a_small_file_cannot_ask_for_large_flows() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = small_itae("itae-nf", folder.path());
    assert!(parse_model(&bytes).is_ok());
    for (key, value) in [("flow_hidden", 2048), ("flow_steps", 256), ("flow_levels", 3), ("flow_levels", 0)] {
        let change = |metadata: &mut BTreeMap<String, String>| {
            let mut config: serde_json::Value = serde_json::from_str(&metadata["config"]).unwrap();
            config[key] = value.into();
            metadata.insert("config".to_owned(), config.to_string());
        };
        let greedy = with_config(&bytes, change, folder.path());
        assert!(parse_model(&greedy).is_err(), "{key} {value}");
    }
}

#[test]
fn a_small_file_cannot_ask_for_a_large_flow_over_frames() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = small("nf-frames", &SMALL_FLOW, folder.path());
    assert!(parse_model(&bytes).is_ok());
    for (key, value) in [("hidden", 2048), ("steps", 256), ("levels", 3), ("levels", 0)] {
        let change = |metadata: &mut BTreeMap<String, String>| {
            let mut config: serde_json::Value = serde_json::from_str(&metadata["config"]).unwrap();
            config[key] = value.into();
            metadata.insert("config".to_owned(), config.to_string());
        };
        assert!(parse_model(&with_config(&bytes, change, folder.path())).is_err(), "{key} {value}");
    }
}

#[test]
fn a_small_file_cannot_ask_for_a_large_memory() {
    let folder = tempfile::tempdir().unwrap();
    let [memae, pseudo] = ["memae", "pseudo"].map(|system| small_itae(system, folder.path()));
    let wrong = [
        (&memae, "slots", 1 << 16),
        (&memae, "slots", 0),
        (&memae, "clip", 65),
        (&pseudo, "width", 4),
        (&pseudo, "patch", 0),
    ];
    for (bytes, key, value) in wrong {
        assert!(parse_model(bytes).is_ok());
        let change = |metadata: &mut BTreeMap<String, String>| {
            let mut config: serde_json::Value = serde_json::from_str(&metadata["config"]).unwrap();
            config[key] = value.into();
            metadata.insert("config".to_owned(), config.to_string());
        };
        let greedy = with_config(bytes, change, folder.path());
        assert!(
            matches!(
                parse_model(&greedy).err(),
                Some(SystemError::Model { .. } | SystemError::Setting { .. })
            ),
            "{key} {value}"
        );
    }
}

#[test]
fn every_truncation_of_a_model_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let rival = ["size=16x16", "rank=2", "frames=40", "iterations=4"];
    let files = [
        small_mle(folder.path()),
        small("robust-pca", &rival, folder.path()),
        small_itae("one-path", folder.path()),
        small_itae("itae-nf", folder.path()),
        small("nf-frames", &SMALL_FLOW, folder.path()),
        small_itae("memae", folder.path()),
        small_itae("pseudo", folder.path()),
    ];
    for bytes in files {
        assert!(parse_model(&bytes).is_ok());
        for cut in (0..bytes.len()).step_by(61) {
            assert!(parse_model(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
