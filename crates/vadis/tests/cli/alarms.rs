//! A budget of alarms: set on one run, counted on another.

use super::common::{folder, lavfi, vadis};

/// Two minutes of noise, and a model that compares frames.
fn noise(here: &std::path::Path) {
    for name in ["early", "late"] {
        let seed = name.len();
        let filter =
            format!("color=gray:size=64x48:rate=2:duration=120,noise=alls=20:allf=t:all_seed={seed}");
        lavfi(&filter, &["-c:v", "ffv1"], &here.join(format!("{name}.mkv")));
    }
    vadis(here, ["train", "--system", "frame-diff", "--preset", "tiny", "early.mkv", "-o", "m.safetensors"])
        .done();
    let early = ["score", "-m", "m.safetensors", "early.mkv", "-o", "early", "--threshold", "alarms:30/h"];
    let own = vadis(here, early).done();
    assert!(own.out.contains("set on this same footage"), "{}", own.out);
}

fn score<'a>(budget: &'a str, on: &'a str) -> Vec<&'a str> {
    ["score", "-m", "m.safetensors", "late.mkv", "-o", "late", "--threshold", budget]
        .into_iter()
        .chain(["--calibrated-on", on, "--json"])
        .collect()
}

#[test]
fn a_budget_is_set_on_one_run_and_counted_on_another() {
    let folder = folder();
    let here = folder.path();
    noise(here);
    let alarms = &vadis(here, score("alarms:30/h", "early")).done().json()["alarms"];
    assert_eq!(alarms["calibrated_on"], "early");
    assert_eq!((alarms["calibration_blocks"].as_u64(), alarms["blocks"].as_u64()), (Some(2), Some(2)));
    assert!(alarms["low"].as_f64() <= alarms["per_hour"].as_f64());
    let run = std::fs::read_to_string(here.join("late/run.json")).expect("a run");
    assert!(run.contains("\"budget_per_hour\""));
    let page = std::fs::read_to_string(here.join("late/report.html")).expect("a report");
    assert!(page.contains("promised: at most 30 alarms an hour, set on early"));
}

#[test]
fn a_calibration_that_cannot_be_had_is_told() {
    let folder = folder();
    let here = folder.path();
    noise(here);
    vadis(here, score("alarms:1/h", "early")).failed(1, &["3540 s are needed"]);
    vadis(here, score("alarms:30/h", "nowhere")).failed(1, &["nowhere"]);
    let other =
        ["train", "--system", "mog2", "--preset", "tiny", "early.mkv", "-o", "m.safetensors", "--force"];
    vadis(here, other).done();
    let late = ["score", "-m", "m.safetensors", "late.mkv", "-o", "other", "--threshold", "alarms:30/h"];
    vadis(here, late.into_iter().chain(["--calibrated-on", "early"])).failed(2, &["another model", "hint: "]);
}
