//! The `.mat` reader on arbitrary bytes, in small limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vadis_data::mat::{Limits, MatFile};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { depth: 8, bytes: 4 << 20, inflated: 4 << 20 };
    let Ok(file) = MatFile::from_bytes(data, limits) else { return };
    for variable in file.variables() {
        let _ = file.read(&variable.name);
        if let Ok(cells) = file.cells(&variable.name) {
            cells.take(10_000).for_each(drop);
        }
        if let Ok(planes) = file.planes(&variable.name) {
            planes.take(10_000).for_each(drop);
        }
    }
});
