//! The folder of flows.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vadis_motion::{FlowCache, FlowCacheError, MotionError, TvL1, TvL1Config};
use vadis_video::{Colour, Frame};

/// Bytes of a flow of 24×20 pixels.
const SIZE: u64 = 24 * 20 * 4 + 28;

fn frame(shift: usize) -> Frame {
    let mut frame = Frame::filled(24, 20, Colour::Grey, 0);
    for (i, value) in frame.data.iter_mut().enumerate() {
        let (x, y) = ((i % 24 + 100 - shift) as f64, (i / 24) as f64);
        *value = (128.0 + 60.0 * (0.5 * x).sin() + 60.0 * (0.4 * y).cos()) as u8;
    }
    frame
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn set_age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(3600 * hours);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_flow_has_the_same_bits_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path().join("new"), 1 << 20).unwrap();
    let mut flows = TvL1::default();
    let first = cache.flow(&mut flows, &frame(0), &frame(1)).unwrap();
    let again = FlowCache::open(folder.path().join("new"), 1 << 20).unwrap();
    assert!(again.flow(&mut flows, &frame(0), &frame(1)).unwrap() == first);
    let computed = flows.flow(&frame(0), &frame(1)).unwrap();
    assert!(first.u.iter().zip(&computed.u).all(|(a, b)| (a - b).abs() < 1e-3));
    assert_eq!(files(&folder.path().join("new")).len(), 1);
}

#[test]
fn pictures_their_order_and_the_settings_make_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), 1 << 20).unwrap();
    let mut flows = TvL1::default();
    for (before, after) in [(0, 1), (1, 0), (0, 2)] {
        cache.flow(&mut flows, &frame(before), &frame(after)).unwrap();
    }
    let mut rough = TvL1::new(TvL1Config { warps: 2, ..TvL1Config::default() }).unwrap();
    cache.flow(&mut rough, &frame(0), &frame(1)).unwrap();
    assert_eq!(files(folder.path()).len(), 4);
}

#[test]
fn a_damaged_file_is_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), 1 << 20).unwrap();
    let mut flows = TvL1::default();
    let whole = cache.flow(&mut flows, &frame(0), &frame(1)).unwrap();
    let path = files(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, SIZE);
    for broken in [&bytes[..bytes.len() / 2], &[], &[7; SIZE as usize], &[&bytes[..], &[0]].concat()] {
        fs::write(&path, broken).unwrap();
        assert!(cache.flow(&mut flows, &frame(0), &frame(1)).unwrap() == whole);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn the_oldest_go_first_and_the_limit_holds() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), 4 * SIZE).unwrap();
    let mut flows = TvL1::default();
    let mut names = Vec::new();
    for shift in 1..=6_u64 {
        let before = files(folder.path());
        cache.flow(&mut flows, &frame(0), &frame(shift as usize)).unwrap();
        let new = files(folder.path()).into_iter().find(|path| !before.contains(path)).unwrap();
        set_age(&new, 24 - shift);
        names.push(new);
        assert!(files(folder.path()).len() <= 4);
    }
    // The fifth made room for itself and one more.
    let mut newest = names.split_off(2);
    newest.sort();
    assert_eq!(files(folder.path()), newest);
}

#[test]
fn opening_with_a_lower_limit_clears_and_leaves_other_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), 1 << 20).unwrap();
    for shift in 1..5 {
        cache.flow(&mut TvL1::default(), &frame(0), &frame(shift)).unwrap();
    }
    for (name, hours) in [("notes.txt", 90), ("killed.part", 90), ("written.part", 0)] {
        fs::write(folder.path().join(name), "x").unwrap();
        set_age(&folder.path().join(name), hours);
    }
    FlowCache::open(folder.path(), 2 * SIZE).unwrap();
    let left = files(folder.path());
    let flows = left.iter().filter(|path| path.extension().is_some_and(|e| e == "flow")).count();
    assert_eq!((left.len(), flows), (4, 2));
    assert!(folder.path().join("notes.txt").exists() && folder.path().join("written.part").exists());
}

#[test]
fn a_flow_larger_than_the_limit_is_given_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), SIZE - 1).unwrap();
    assert!(cache.flow(&mut TvL1::default(), &frame(0), &frame(1)).is_ok());
    assert!(files(folder.path()).is_empty());
}

#[test]
fn pairs_without_a_flow_and_folders_that_cannot_be_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FlowCache::open(folder.path(), 1 << 20).unwrap();
    let small = Frame::filled(3, 3, Colour::Grey, 0);
    let refused = cache.flow(&mut TvL1::default(), &frame(0), &small);
    assert!(matches!(refused, Err(FlowCacheError::Motion(MotionError::SizeChanged { .. }))));
    fs::write(folder.path().join("file"), "x").unwrap();
    assert!(matches!(FlowCache::open(folder.path().join("file"), 1), Err(FlowCacheError::Io { .. })));
}
