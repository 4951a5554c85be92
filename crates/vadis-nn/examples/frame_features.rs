//! Times EfficientNet-Lite0: frames a second, one by one as they arrive and some at a time.
//!
//! cargo run --release --workspace --example frame_features -- WEIGHTS
//!
//! WEIGHTS is what `scripts/pretrained-weights efficientnet-lite0 WEIGHTS` writes; `pretrained.py --speed` in
//! `crates/vadis-nn/tests/scripts` times PyTorch.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use vadis_nn::pretrained::efficientnet_lite0::EfficientNetLite;
use vadis_nn::pretrained::{FrameEncoder, Picture};

/// Runs, of which the best counts.
const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    vadis_kernels::keep_freed_memory();
    let path = std::env::args().nth(1).ok_or("usage: frame_features WEIGHTS")?;
    let network = EfficientNetLite::lite0(Path::new(&path))?;
    let size = [240, 360];
    let data: Vec<u8> = (0..size[0] * size[1] * 3).map(|i| (i * 7919 % 251) as u8).collect();
    let frame = Picture::new(&data, size, 3)?;
    let best = |work: &dyn Fn() -> Result<(), Box<dyn Error>>| -> Result<f64, Box<dyn Error>> {
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            let start = Instant::now();
            work()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    let one = best(&|| Ok(network.features(&frame).map(drop)?))?;
    let eight = best(&|| Ok(network.features_of(&[frame; 8]).map(drop)?))?;
    println!("one by one: {:.1} frames/s; eight at a time: {:.1} (best of {RUNS})", 1.0 / one, 8.0 / eight);
    Ok(())
}
