//! What goes to stdout, what to stderr, and what happens when neither takes it.

use std::fs::OpenOptions;
use std::process::Stdio;

use super::common::{QUICK, Ran, clip, command, folder, quick, scanned, text, vadis};

#[test]
fn the_result_is_on_stdout_and_progress_on_stderr() {
    let Ran { out, err, .. } = &scanned().scan;
    assert!(out.lines().next().is_some_and(|l| l.contains("of footage")), "{out}");
    assert_eq!(out.lines().last(), Some("report: run/report.html"));
    for stage in ["reading", "training", "scoring", "illustrating"] {
        assert!(err.lines().any(|l| l.starts_with(stage)), "no {stage} in\n{err}");
        assert!(!out.contains(stage));
    }
}

#[test]
fn quiet_silences_stderr_and_keeps_the_result() {
    let folder = folder();
    clip(&folder.path().join("a.mkv"));
    let scan = quick(folder.path(), &["--quiet", "scan", "a.mkv", "-o", "run"]).done();
    assert_eq!(scan.err, "");
    assert!(scan.out.ends_with("report: run/report.html\n"), "{}", scan.out);
    let train =
        quick(folder.path(), &["train", "-q", "--system", "mle", "a.mkv", "-o", "m.safetensors"]).done();
    assert_eq!(train.err, "");
    let score = vadis(folder.path(), ["score", "-q", "-m", "m.safetensors", "a.mkv", "-o", "scored"]).done();
    assert_eq!(score.err, "");
}

#[test]
fn json_is_all_that_stdout_holds_for_every_command() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let synth = ["data", "synth", "-o", "s", "--minutes", "0.02", "--json"];
    assert!(vadis(here, synth).done().json()["frames"].as_u64() > Some(0));
    let scan = quick(here, &["scan", "a.mkv", "-o", "run", "--json"]).done().json();
    assert_eq!(scan["frames"], 30);
    assert!(scan["events"].is_array() && scan["notes"].is_array());
    let train = ["train", "--json", "--system", "mle", "a.mkv", "-o", "m.safetensors"];
    assert_eq!(quick(here, &train).done().json()["frames"], 30);
    let score = vadis(here, ["score", "-m", "m.safetensors", "a.mkv", "-o", "scored", "--json"]).done();
    assert_eq!(score.json()["report"], "scored/report.html");
    let info = vadis(here, ["info", "m.safetensors", "--json"]).done().json();
    assert_eq!(info["system"], "mle");
    assert_eq!(info["config"]["batch"], 16);
    let report = vadis(here, ["report", "scored", "--json"]).done().json();
    assert_eq!(report["reports"][0], "scored/report.html");
    std::fs::write(here.join("l.txt"), "0\n".repeat(15) + &"1\n".repeat(15)).expect("written");
    let eval = vadis(here, ["eval", "scored", "--labels", "l.txt", "--json"]).done().json();
    assert!(eval["metrics"]["figures"].as_array().is_some_and(|f| !f.is_empty()));
}

#[test]
fn a_failure_under_json_is_told_on_stderr_alone() {
    let ran = vadis(folder().path(), ["scan", "missing.mp4", "--json"]);
    ran.failed(1, &["missing.mp4"]);
}

/// `vadis … | head` closes the pipe early.
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = folder();
    let mut child = command(folder.path())
        .args(["data", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let ran = Ran::of(&child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let folder = folder();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = command(folder.path()).args(["data", "list"]).stdout(full).output();
    Ran::of(&output.expect("it runs")).failed(1, &["stdout", "hint: make room"]);
}

/// Progress is told where it can be; a closed or full stderr stops no work.
#[cfg(target_os = "linux")]
#[test]
fn a_stderr_that_takes_nothing_stops_no_work() {
    let folder = folder();
    clip(&folder.path().join("a.mkv"));
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output =
        command(folder.path()).args(["scan", "a.mkv", "-o", "run"]).args(QUICK).stderr(full).output();
    Ran::of(&output.expect("it runs")).done();
}

#[test]
fn paths_in_the_result_are_as_they_were_given() {
    let scanned = scanned();
    let folder = folder();
    let run = scanned.copy(folder.path());
    let ran = vadis(folder.path(), ["report", text(&run)]).done();
    assert_eq!(ran.out, format!("report: {}\n", run.join("report.html").display()));
}
