//! Every table a run directory holds, from untrusted bytes: an error or whole rows, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vadis_eval::run::{
    ScoreTable, TrainingLog, parse_events, parse_kinds, parse_labels, parse_latents, parse_regions,
};

fuzz_target!(|data: &[u8]| {
    let name = Path::new("fuzz");
    // the first byte picks the parser, so that one corpus serves them all
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 8 {
        0 => drop(ScoreTable::parse(rest, name)),
        1 => drop(ScoreTable::parse_npy(rest, name)),
        2 => drop(parse_events(rest, name)),
        3 => drop(parse_regions(rest, name)),
        4 => drop(parse_latents(rest, name)),
        5 => drop(parse_labels(rest, name)),
        6 => drop(TrainingLog::parse(rest, name)),
        _ => drop(parse_kinds(rest, name)),
    }
});
