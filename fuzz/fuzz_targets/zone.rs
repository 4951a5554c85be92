//! The zones of `--ignore` from arbitrary text: what is accepted is drawn without a panic and reads back as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vadis_video::Zone;

fuzz_target!(|text: &str| {
    let Ok(zone) = text.parse::<Zone>() else { return };
    assert_eq!(zone.to_string().parse::<Zone>().as_ref(), Ok(&zone));
    if let Ok(mask) = zone.rasterise((640, 480), 40, 30) {
        assert_eq!((mask.width, mask.height, mask.data.len()), (40, 30, 1200));
        assert!(mask.area() > 0);
    }
});
