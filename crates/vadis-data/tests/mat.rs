//! The `.mat` reader against files that scipy wrote (`scripts/mat_fixtures.py`), and against broken ones.

#![allow(clippy::unwrap_used, reason = "test code")]

mod trees;

use std::fs;

use trees::fixture;
use vadis_data::mat::{Class, Limits, MatError, MatFile, Value};

const TINY: Limits = Limits { depth: 4, bytes: 1 << 20, inflated: 1 << 20 };

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

fn numbers(file: &MatFile, name: &str) -> Vec<f64> {
    file.read(name).unwrap().as_numeric().unwrap().data.clone()
}

/// Reads everything there is in every way; only errors may come of it, and they must speak.
fn read_all(bytes: &[u8]) -> Result<(), MatError> {
    let file = MatFile::from_bytes(bytes, TINY)?;
    for variable in file.variables() {
        let name = &variable.name;
        if let Err(error) = file.read(name) {
            assert!(!error.to_string().is_empty());
        }
        file.cells(name).map(|cells| cells.take(10_000).for_each(drop)).ok();
        file.planes(name).map(|planes| planes.take(10_000).for_each(drop)).ok();
    }
    Ok(())
}

#[test]
fn every_class_that_scipy_writes_is_read() {
    for name in ["kinds.mat", "kinds_compressed.mat"] {
        let file = MatFile::open(&fixture(name)).unwrap();
        assert_eq!(file.variables().len(), 17);
        assert_eq!(numbers(&file, "f64"), [1.5, 4.0, -2.0, 5.0, 3.25, -6.5]);
        assert_eq!(numbers(&file, "f32"), [0.5, 0.25]);
        assert_eq!(numbers(&file, "i8"), [-128.0, 127.0]);
        assert_eq!(numbers(&file, "u8"), [0.0, 255.0, 7.0]);
        assert_eq!(numbers(&file, "i16"), [-32768.0, 32767.0]);
        assert_eq!(numbers(&file, "u16"), [65535.0]);
        assert_eq!(numbers(&file, "i32"), [-2147483648.0, 5.0]);
        assert_eq!(numbers(&file, "u32"), [4294967295.0]);
        assert_eq!(numbers(&file, "i64"), [-5.0, (1_u64 << 40) as f64]);
        assert_eq!(numbers(&file, "u64"), [(1_u64 << 40) as f64]);
        let flag = file.read("flag").unwrap();
        assert!(flag.as_numeric().unwrap().logical);
        assert_eq!(flag.as_numeric().unwrap().data, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(file.read("text").unwrap(), Value::Char("Straße 7".into()));
        assert_eq!(file.read("empty").unwrap().as_numeric().unwrap().dims, [0, 0]);
        assert_eq!(file.read("complex").unwrap(), Value::Unsupported(Class::Double));
    }
}

#[test]
fn cells_and_structures_nest() {
    let file = MatFile::open(&fixture("kinds_compressed.mat")).unwrap();
    let cell = file.read("cell").unwrap();
    let cells = cell.as_cells().unwrap();
    assert_eq!(cells[0].as_numeric().unwrap().data, [1.0]);
    assert_eq!(cells[1], Value::Char("ab".into()));
    assert_eq!(cells[2].as_cells().unwrap()[0].as_numeric().unwrap().data, [2.0]);
    assert_eq!(file.cells("cell").unwrap().map(Result::unwrap).collect::<Vec<_>>(), cells);
    let record = file.read("record").unwrap();
    assert_eq!(record.field("name"), Some(&Value::Char("walk".into())));
    assert_eq!(record.field("range").unwrap().as_numeric().unwrap().data, [3.0, 9.0]);
    assert_eq!(record.field("other"), None);
}

#[test]
fn planes_come_one_by_one() {
    // np.arange(24).reshape(2, 3, 4): element (i, j, k) is 12 i + 4 j + k; a plane is column-major.
    let file = MatFile::open(&fixture("kinds.mat")).unwrap();
    let planes: Vec<_> = file.planes("cube").unwrap().map(Result::unwrap).collect();
    assert_eq!(planes.len(), 4);
    assert_eq!(planes[1].dims, [2, 3]);
    assert_eq!(planes[1].data, [1.0, 13.0, 5.0, 17.0, 9.0, 21.0]);
}

#[test]
fn wrong_names_and_kinds_are_told() {
    let file = MatFile::open(&fixture("volume.mat")).unwrap();
    let error = file.read("volLabel").unwrap_err();
    assert_eq!(error.to_string(), "has no variable `volLabel` (it has: vol)");
    assert!(matches!(file.cells("vol"), Err(MatError::Kind { .. })));
    let file = MatFile::open(&fixture("kinds.mat")).unwrap();
    assert!(matches!(file.planes("complex"), Err(MatError::Kind { .. })));
}

#[test]
fn other_formats_are_recognised() {
    let mut hdf5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec();
    hdf5.resize(600, b' ');
    let error = MatFile::from_bytes(&hdf5, TINY).err().unwrap();
    assert!(matches!(error, MatError::Hdf5) && error.hint().unwrap().contains("-v7"), "{error}");
    let error = MatFile::from_bytes(b"\x89HDF\r\n\x1a\n and so on", TINY).err().unwrap();
    assert!(matches!(error, MatError::Hdf5));
    // Level 4: type, rows, columns, imaginary flag, length of the name.
    let level4 = [0_u32, 1, 1, 0, 2].iter().flat_map(|v| v.to_be_bytes()).chain(*b"a\0________");
    let level4: Vec<u8> = [1_u8, 0, 0, 0].into_iter().chain(level4.skip(4)).collect();
    assert!(matches!(MatFile::from_bytes(&level4, TINY).err().unwrap(), MatError::Level4));
    for other in [&b""[..], b"video,frame,label\n", &[0; 200], &[b'x'; 200]] {
        assert!(matches!(MatFile::from_bytes(other, TINY).err().unwrap(), MatError::NotMat));
    }
}

#[test]
fn big_endian_files_are_read() {
    // A 1×2 int16 array `a` = [1, -2], by hand after MathWorks' description.
    let mut file = vec![b' '; 124];
    file.extend([0x01, 0x00, b'M', b'I']);
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let mut body = words(&[6, 8, 10, 0, 5, 8, 1, 2]);
    body.extend(words(&[0x0001_0001]));
    body.extend(*b"a\0\0\0");
    body.extend(words(&[0x0004_0003]));
    body.extend([0, 1, 0xff, 0xfe]);
    file.extend(words(&[14, body.len() as u32]));
    file.extend(body);
    let file = MatFile::from_bytes(&file, TINY).unwrap();
    assert_eq!(numbers(&file, "a"), [1.0, -2.0]);
}

#[test]
fn every_truncation_is_an_error_not_a_panic() {
    for name in ["kinds.mat", "kinds_compressed.mat", "avenue_masks.mat", "events.mat", "volume_double.mat"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            // A cut between two variables leaves a shorter but valid file.
            let _ = read_all(&whole[..length]);
        }
        read_all(&whole).unwrap();
    }
}

#[test]
fn a_truncation_names_its_byte() {
    let whole = bytes("avenue_masks_logical.mat");
    let error = MatFile::from_bytes(&whole[..whole.len() - 9], TINY).err().unwrap();
    assert_eq!(error.to_string(), "cut short at byte 391: 9 more bytes were expected");
}

#[test]
fn every_changed_byte_is_survived() {
    for name in ["kinds.mat", "avenue_masks.mat"] {
        let whole = bytes(name);
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = read_all(&changed);
            }
        }
    }
}

#[test]
fn nesting_has_a_floor() {
    // A cell in a cell in a cell …, by hand: flags, dimensions 1×1, no name, one cell.
    let mut inner: Vec<u8> = Vec::new();
    for _ in 0..40 {
        let words = [6_u32, 8, 1, 0, 5, 8, 1, 1, 1, 0];
        let mut body: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        body.extend([14_u32, inner.len() as u32].iter().flat_map(|w| w.to_le_bytes()));
        body.extend(&inner);
        inner = body;
    }
    let mut file = vec![b' '; 124];
    file.extend([0x00, 0x01, b'I', b'M']);
    file.extend([14_u32, inner.len() as u32].iter().flat_map(|w| w.to_le_bytes()));
    file.extend(inner);
    let file = MatFile::from_bytes(&file, TINY).unwrap();
    let error = file.read("").unwrap_err();
    assert!(matches!(error, MatError::Limit { what: "the nesting", limit: 4, .. }), "{error}");
}

#[test]
fn a_declared_size_is_not_believed() {
    // 2³⁰ doubles declared, none there.
    let mut file = vec![b' '; 124];
    file.extend([0x00, 0x01, b'I', b'M']);
    let words = [14_u32, 56, 6, 8, 6, 0, 5, 8, 1 << 15, 1 << 15, 1, 0, 9, 8, 0, 0];
    file.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    let error = MatFile::from_bytes(&file, TINY).unwrap().read("").unwrap_err();
    assert!(matches!(error, MatError::Malformed { .. }), "{error}");
}

#[test]
fn decompression_is_bounded() {
    use std::io::Write;
    // 64 MiB of zeros in 64 KiB: an array of bytes.
    let count = 64_u32 << 20;
    let words = [14_u32, count + 48, 6, 8, 9, 0, 5, 8, count, 1, 1, 0, 2, count];
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let mut file = vec![b' '; 124];
    file.extend([0x00, 0x01, b'I', b'M']);
    file.extend([15_u32, packed.len() as u32].iter().flat_map(|w| w.to_le_bytes()));
    file.extend(packed);
    let opened = MatFile::from_bytes(&file, TINY).unwrap();
    let error = opened.read("").unwrap_err();
    assert!(matches!(error, MatError::Limit { what: "the memory needed", .. }), "{error}");
    let narrow = Limits { inflated: 1 << 10, bytes: 4 << 30, ..TINY };
    let error = MatFile::from_bytes(&file, narrow).unwrap().read("").unwrap_err();
    assert!(matches!(error, MatError::Limit { what: "the decompressed size", .. }), "{error}");
}
