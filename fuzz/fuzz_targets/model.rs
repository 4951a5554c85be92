//! Model files from untrusted bytes: an error or a model that scores, never a panic, and no more memory than the file
//! warrants.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vadis_systems::parse_model;
use vadis_video::Frame;

/// Larger inputs are loaded but not scored with.
const MOST_PIXELS: usize = 32 * 32;

fuzz_target!(|data: &[u8]| {
    let Ok((model, _)) = parse_model(data) else { return };
    let input = model.input();
    let (width, height, colour) = (input.width, input.height, input.colour);
    if width * height > MOST_PIXELS {
        return;
    }
    let data = vec![99; input.frame_bytes()];
    let frame = Frame { index: 0, time_s: 0.0, width, height, colour, data };
    let mut scored = Vec::new();
    let _ = model.scorer().push(&[frame.clone()], &mut scored);
    let _ = model.explain(&[frame]);
    let _ = model.statistics().heat.quantile(0.999);
});
