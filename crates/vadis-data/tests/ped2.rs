//! UCSD Ped2 as it is, restored by `$VADIS_DATA/ped2/unpack`; without it, a small tree of its layout.

#![allow(clippy::unwrap_used, reason = "test code")]

mod trees;

use std::path::{Path, PathBuf};
use std::process::Command;

use trees::faults;
use vadis_data::{CheckOptions, Dataset, OpenOptions, Split};

/// Unpacks once; later runs reuse the folder, as `unpack` does itself.
fn real() -> Option<PathBuf> {
    let script = Path::new(&std::env::var_os("VADIS_DATA")?).join("ped2/unpack");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ped2");
    std::fs::create_dir_all(&target).unwrap();
    script.is_file().then(|| assert!(Command::new(&script).arg(&target).status().unwrap().success()))?;
    Some(target)
}

#[test]
fn ped2_is_complete_and_its_masks_agree_with_its_ranges() {
    let Some(root) = real() else {
        let report = trees::ped2().check("ped2");
        assert_eq!((report.train.frames, report.test.frames, report.test.abnormal), (6, 7, 3));
        assert_eq!(faults(&report), Vec::<String>::new());
        return;
    };
    let dataset = Dataset::open("ped2", &root, &OpenOptions::default()).unwrap();
    let report = dataset.check(CheckOptions { probe: None, decode_masks: true });
    assert_eq!((report.train.clips, report.train.frames), (16, 2550));
    assert_eq!((report.test.clips, report.test.frames, report.test.masks), (12, 2010, 2010));
    assert_eq!(report.test.abnormal, 1648);
    assert_eq!(report.problems, [], "masks and ranges agree on every frame");
    assert!(report.passed());
    let all_abnormal = |clip: &&vadis_data::Clip| {
        let frames = clip.frames().unwrap().unwrap() as usize;
        dataset.labels(clip, frames).unwrap().unwrap().iter().all(|&l| l == 1)
    };
    let names: Vec<&str> = dataset.split(Split::Test).filter(all_abnormal).map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["Test008", "Test009", "Test010", "Test011"]);
}
