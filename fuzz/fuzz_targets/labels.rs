//! Label files on arbitrary bytes, as text and as `.npy`: what is accepted is complete and binary.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use vadis_data::labels::parse_labels;
use vadis_data::npy::NpyFile;

fuzz_target!(|data: &[u8]| {
    if let Ok(labels) = parse_labels(Path::new("video.csv"), data) {
        assert!(!labels.videos.is_empty());
        assert!(labels.videos.values().flatten().all(|&label| label <= 1));
        for (video, own) in &labels.videos {
            assert_eq!(labels.of(video, own.len()).ok(), Some(own.as_slice()));
        }
    }
    let _ = NpyFile::new(data).and_then(NpyFile::vector);
    if let Ok(planes) = NpyFile::new(data).and_then(NpyFile::planes) {
        planes.take(10_000).for_each(drop);
    }
});
