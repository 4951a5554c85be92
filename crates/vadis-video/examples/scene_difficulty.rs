//! Measures what scores without any learning reach on the synthetic scene, and how fast it is rendered.
//!
//! ```text
//! cargo run --release -p vadis-video --example scene_difficulty -- [SEED..]
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use vadis_video::synth::{Scene, SceneConfig, TrivialAuc, difficulty};

fn main() -> Result<(), Box<dyn Error>> {
    let mut seeds = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<Vec<u64>, _>>()?;
    if seeds.is_empty() {
        seeds = vec![0, 1, 2];
    }
    let mut out = std::io::stdout().lock();
    let began = Instant::now();
    let rendered = Scene::new(&SceneConfig { frames: 500, ..SceneConfig::default() })?.count();
    writeln!(out, "{:.0} frames/s", rendered as f64 / began.elapsed().as_secs_f64())?;
    writeln!(out, "seed  what             frames  frame difference  median background")?;
    for seed in seeds {
        let found = difficulty(&SceneConfig { seed, ..SceneConfig::default() })?;
        let mut row = |what: &str, frames: u64, auc: TrivialAuc| {
            let TrivialAuc { frame_difference, median_background } = auc;
            writeln!(
                out,
                "{seed:<5} {what:<16} {frames:>6}  {frame_difference:>16.3}  {median_background:>17.3}"
            )
        };
        row("all", found.abnormal, found.overall)?;
        for (kind, frames, auc) in found.kinds {
            row(kind.name(), frames, auc)?;
        }
    }
    Ok(())
}
