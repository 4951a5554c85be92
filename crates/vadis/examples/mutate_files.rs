//! Reads many mutated tables, `.mat` files and model files and counts what became of them.
//!
//! Usage: `cargo run --release -p vadis --example mutate_files -- [COUNT] [SEED]`, where COUNT files of each of the three
//! sorts are read. They begin as the seeds of the fuzz targets and the fixtures of the tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "only the mutation is taken from what the videos' tests share")]
#[path = "../../vadis-video/tests/common/mutate.rs"]
mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis::data::labels::parse_labels;
use vadis::data::mat::{Limits, MatFile};
use vadis::eval::run::{ScoreTable, TrainingLog, parse_events, parse_kinds, parse_latents, parse_regions};
use vadis::machine::peak_mib;
use vadis::systems::parse_model;
use vadis::video::Frame;

/// Reading takes milliseconds; whatever takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(10);

/// What became of the files of one sort.
#[derive(Default)]
struct Outcomes {
    read: usize,
    refused: usize,
    panicked: usize,
    slow: usize,
    longest: Duration,
}

/// Name, whole files to begin with, and what reads a broken one.
type Sort<'a> = (&'static str, &'a [Vec<u8>], fn(&[u8]) -> bool);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let (Ok(count), Ok(seed)) = (arguments.next().unwrap_or(Ok(500)), arguments.next().unwrap_or(Ok(0)))
    else {
        eprintln!("usage: mutate_files [COUNT] [SEED]");
        return ExitCode::from(2);
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tables = files(&root.join("fuzz/seeds/scores"), "");
    let mats = files(&root.join("crates/vadis-data/tests/fixtures"), "mat");
    let models = files(&root.join("fuzz/seeds/model"), "safetensors");
    let sorts: [Sort<'_>; 3] =
        [("table", &tables, read_table), ("mat", &mats, read_mat), ("model", &models, read_model)];
    eprintln!("{:<7}{:>8}{:>9}{:>10}{:>6}{:>10}", "sort", "read", "refused", "panicked", "slow", "longest");
    let mut well = true;
    for (name, seeds, read) in sorts {
        let o = run(seeds, read, count, seed);
        let longest = o.longest.as_secs_f64();
        eprintln!("{name:<7}{:>8}{:>9}{:>10}{:>6}{longest:>9.2}s", o.read, o.refused, o.panicked, o.slow);
        well &= o.panicked + o.slow == 0;
    }
    if let Some(mib) = peak_mib() {
        eprintln!("peak resident memory {mib:.0} MiB");
    }
    ExitCode::from(u8::from(!well))
}

/// Contents of the files in a folder with that ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|p| p.extension().unwrap_or_default() == ending).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", folder.display());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(seeds: &[Vec<u8>], read: fn(&[u8]) -> bool, count: u64, seed: u64) -> Outcomes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut outcomes = Outcomes::default();
    for i in 0..count as usize {
        let donor = &seeds[rng.random_range(0..seeds.len())];
        let bytes = mutate::mutate(&seeds[i % seeds.len()], donor, &mut rng);
        let begun = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| read(&bytes))) {
            Err(_) => outcomes.panicked += 1,
            Ok(true) => outcomes.read += 1,
            Ok(false) => outcomes.refused += 1,
        }
        outcomes.longest = outcomes.longest.max(begun.elapsed());
        outcomes.slow += usize::from(begun.elapsed() > LONGEST);
    }
    outcomes
}

/// Every reader of a table has a go at it; read if any takes it.
fn read_table(bytes: &[u8]) -> bool {
    // The seeds begin with the fuzz target's choice of parser.
    let Some((_, rest)) = bytes.split_first() else { return false };
    let name = Path::new("mutated");
    [
        ScoreTable::parse(rest, name).is_ok(),
        ScoreTable::parse_npy(rest, name).is_ok(),
        parse_events(rest, name).is_ok(),
        parse_regions(rest, name).is_ok(),
        parse_latents(rest, name).is_ok(),
        parse_kinds(rest, name).is_ok(),
        TrainingLog::parse(rest, name).is_ok(),
        parse_labels(name, rest).is_ok(),
    ]
    .contains(&true)
}

fn read_mat(bytes: &[u8]) -> bool {
    let Ok(file) = MatFile::from_bytes(bytes, Limits::default()) else { return false };
    let mut whole = true;
    for variable in file.variables() {
        whole &= file.read(&variable.name).is_ok();
        if let Ok(cells) = file.cells(&variable.name) {
            cells.for_each(drop);
        }
        if let Ok(planes) = file.planes(&variable.name) {
            planes.for_each(drop);
        }
    }
    whole
}

/// Loaded, and a frame scored with it.
fn read_model(bytes: &[u8]) -> bool {
    let Ok((model, _)) = parse_model(bytes) else { return false };
    let input = model.input();
    let (width, height, colour) = (input.width, input.height, input.colour);
    let data = vec![99; input.frame_bytes()];
    let frame = Frame { index: 0, time_s: 0.0, width, height, colour, data };
    let scored = model.scorer().push(std::slice::from_ref(&frame), &mut Vec::new());
    scored.is_ok() && model.explain(&[frame]).is_ok()
}
