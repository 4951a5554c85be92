//! Label files: every form, every conflict, and back.

#![allow(clippy::unwrap_used, reason = "test code")]

mod trees;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use trees::fixture;
use vadis_data::DataError;
use vadis_data::labels::{Labels, parse_labels, read_labels, write_labels, write_single};
use vadis_data::npy::{NpyError, NpyFile};

fn parse(text: &str) -> Result<Labels, DataError> {
    parse_labels(Path::new("gate.labels.csv"), text.as_bytes())
}

fn single(text: &str) -> Vec<u8> {
    let labels = parse(text).unwrap();
    assert!(!labels.named);
    labels.videos["gate"].clone()
}

#[test]
fn tables_are_read_in_any_order() {
    let labels = parse("video,frame,label\nb,1,1\na,0,1\nb,0,0\n").unwrap();
    assert_eq!((labels.videos["a"].as_slice(), labels.videos["b"].as_slice()), (&[1][..], &[0, 1][..]));
    let labels = parse("\u{feff}label, note ,frame,video\r\n1,x,0,a\r\n").unwrap();
    assert_eq!(labels.videos["a"], [1]);
    assert_eq!(parse("a,0,1\na,1,0\n").unwrap().videos["a"], [1, 0]);
    assert_eq!(single("frame,label\n0,0\n1,1\n"), [0, 1]);
    assert_eq!(single("0,0\n1,1\n"), [0, 1]);
}

#[test]
fn one_label_a_line_is_one_video() {
    assert_eq!(single("0\n1\n1\n"), [0, 1, 1]);
    assert_eq!(single("label\n0\n1"), [0, 1]);
    assert_eq!(single("0.000000000000000000e+00\r\n1.000000000000000000e+00\r\n"), [0, 1]);
}

#[test]
fn conflicts_name_their_line() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert!(message("0\n2\n").contains("line 2: a label is 0 or 1, not `2`"));
    assert!(message("0\nnan\n").contains("line 2"));
    assert!(
        message("video,frame,label\na,0,0\na,1,1\na,0,1\n")
            .contains("line 4: frame 0 of `a` was labelled on line 2")
    );
    assert!(
        message("video,frame,label\na,0,0\na,2,1\n")
            .contains("frame 1 of `a` has no label, though frame 2 (line 3)")
    );
    assert!(message("video,frame,label\na,4000000000000,0\n").contains("frame 0 of `a` has no label"));
    assert!(message("video,frame,label\na,-1,0\n").contains("a whole number from 0, not `-1`"));
    assert!(message("video,frame,label\na,0\n").contains("line 2: 2 columns where 3"));
    assert!(message("video,frame,label\n,0,1\n").contains("the video has no name"));
    assert!(message("video,label\na,1\n").contains("no column `frame`"));
    assert!(message("a,b,c,d\n").contains("the columns are not"));
    assert!(message("").contains("no labels") && message("label\n").contains("no labels"));
}

#[test]
fn labels_fit_their_video_or_fail() {
    let labels = parse("video,frame,label\ncam/gate.mp4,0,0\nroof,0,1\nroof,1,1\n").unwrap();
    assert_eq!(labels.of("cam/gate.mp4", 1).unwrap(), [0]);
    assert_eq!(labels.of("gate", 1).unwrap(), [0]);
    assert_eq!(labels.of("roof.avi", 2).unwrap(), [1, 1]);
    let error = labels.of("roof", 3).unwrap_err();
    assert_eq!(error.to_string(), "`roof` has 3 frames but 2 labels");
    let error = labels.of("door", 3).unwrap_err();
    assert_eq!(error.to_string(), "no labels for `door` (the labels know: cam/gate.mp4, roof)");
    assert!(labels.check_videos(["gate", "roof"]).is_ok());
    assert!(
        matches!(labels.check_videos(["gate"]), Err(DataError::UnknownVideo { video, .. }) if video == "roof")
    );
    let twins = parse("video,frame,label\na/gate,0,0\nb/gate,0,1\n").unwrap();
    assert_eq!(twins.of("b/gate", 1).unwrap(), [1]);
    assert!(twins.of("gate", 1).is_err());
    // A file for one video serves the video that is scored, whatever its name.
    assert_eq!(parse("0\n1\n").unwrap().of("anything", 2).unwrap(), [0, 1]);
}

#[test]
fn npy_labels_are_read() {
    assert_eq!(read_labels(&fixture("labels_u8.npy")).unwrap().videos["labels_u8"], [0, 1, 1, 0]);
    assert_eq!(read_labels(&fixture("labels_row.npy")).unwrap().videos["labels_row"], [0, 1, 1]);
    assert_eq!(read_labels(&fixture("labels_big.npy")).unwrap().videos["labels_big"], [1, 0]);
    let error = read_labels(&fixture("labels_odd.npy")).unwrap_err();
    assert!(matches!(error, DataError::NotBinary { line: 2, .. }), "{error}");
    let error = read_labels(&fixture("planes_bool.npy")).unwrap_err();
    assert!(error.to_string().contains("[3, 3, 4] where one dimension"), "{error}");
}

#[test]
fn npy_planes_stream() {
    let planes: Vec<_> =
        NpyFile::open(&fixture("planes_bool.npy")).unwrap().planes().unwrap().map(Result::unwrap).collect();
    assert_eq!(planes.len(), 3);
    assert_eq!(planes[2].iter().position(|&v| v == 1.0), Some(7));
    assert!(matches!(NpyFile::open(&fixture("fortran.npy")), Err(NpyError::Fortran(_))));
}

#[test]
fn npy_truncated_at_each_byte_is_an_error() {
    let whole = fs::read(fixture("planes_bool.npy")).unwrap();
    for length in 0..whole.len() {
        let read = NpyFile::new(&whole[..length])
            .and_then(NpyFile::planes)
            .and_then(|p| p.collect::<Result<Vec<_>, _>>());
        assert!(read.is_err(), "{length}");
    }
}

#[test]
fn npy_declared_sizes_are_not_believed() {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }\n";
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    assert!(matches!(NpyFile::new(&file[..]).unwrap().vector(), Err(NpyError::TooLarge { .. })));
}

#[test]
fn written_labels_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let labels = parse("video,frame,label\n\"yard, north\",0,1\na,0,0\na,1,1\n").unwrap();
    let path = dir.path().join("labels.csv");
    write_labels(&path, &labels).unwrap();
    assert_eq!(read_labels(&path).unwrap(), labels);
    let path = dir.path().join("gate.labels.csv");
    write_single(&path, &[0, 1, 1]).unwrap();
    assert_eq!(read_labels(&path).unwrap().videos["gate"], [0, 1, 1]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
    assert!(write_labels(&dir.path().join("no/such/folder.csv"), &labels).is_err());
}

#[test]
fn upcam_labels_are_those_of_its_readme() {
    let Some(root) = std::env::var_os("VADIS_DATA") else { return };
    let path = Path::new(&root).join("upcam/eval.labels.csv");
    if path.is_file() {
        let labels = read_labels(&path).unwrap();
        let own = labels.of("eval", 18_066).unwrap();
        assert_eq!(own.iter().filter(|&&l| l == 1).count(), 5517);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_labels_round_trip(
        videos in prop::collection::btree_map("[a-zA-Z0-9 ,\"'_/-]{0,12}[a-z]", prop::collection::vec(0_u8..2, 1..20), 1..5),
    ) {
        let videos = videos.into_iter().map(|(name, labels)| (name.trim().to_owned(), labels)).collect();
        let labels = Labels { videos, named: true };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        write_labels(&path, &labels).unwrap();
        prop_assert_eq!(read_labels(&path).unwrap(), labels);
    }

    #[test]
    fn mutated_csv_is_survived(edits in prop::collection::vec((0_usize..120, any::<u8>()), 1..8), cut in 0_usize..120) {
        let mut text = b"video,frame,label\na,0,0\na,1,1\nb,0,1\nb,1,0\nb,2,0\nc d,0,1\n".to_vec();
        for (at, byte) in edits {
            let at = at % text.len();
            text[at] = byte;
        }
        text.truncate(cut.max(1));
        if let Err(error) = parse_labels(Path::new("x.csv"), &text[..]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn mutated_mat_is_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        compressed in any::<bool>(),
    ) {
        use vadis_data::mat::{Limits, MatFile};
        let name = if compressed { "kinds_compressed.mat" } else { "kinds.mat" };
        let mut bytes = fs::read(fixture(name)).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = Limits { depth: 8, bytes: 1 << 20, inflated: 1 << 20 };
        if let Ok(file) = MatFile::from_bytes(&bytes, limits) {
            for variable in file.variables() {
                let _ = file.read(&variable.name);
                file.planes(&variable.name).map(|p| p.take(10_000).for_each(drop)).ok();
            }
        }
    }

    #[test]
    fn mutated_npy_is_survived(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = fs::read(fixture("planes_bool.npy")).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(planes) = NpyFile::new(&bytes[..]).and_then(NpyFile::planes) {
            planes.take(10_000).for_each(drop);
        }
        let _ = NpyFile::new(&bytes[..]).and_then(NpyFile::vector);
    }
}
