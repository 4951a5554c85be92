//! Ctrl-C: the work stops soon, keeps what it has, and can be taken up.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::common::{Ran, command, folder, scanned, scores, text, vadis};

/// Long enough to be interrupted, short enough to be finished.
const SETTINGS: [&str; 12] = [
    "--preset",
    "tiny",
    "--set",
    "epochs=300",
    "--set",
    "min_steps=300",
    "--set",
    "max_steps=300",
    "--set",
    "batch=16",
    "--threads",
    "2",
];

/// Runs vadis until a line on stderr begins with `stage`, gives it a moment more, and presses Ctrl-C.
fn interrupted(folder: &Path, args: &[&str], stage: &str) -> Ran {
    let mut child =
        command(folder).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut told = BufReader::new(child.stderr.take().expect("piped"));
    let mut err = String::new();
    while !err.lines().any(|line| line.starts_with(stage)) {
        assert_ne!(told.read_line(&mut err).expect("UTF-8"), 0, "it ended before `{stage}`:\n{err}");
    }
    std::thread::sleep(Duration::from_millis(100));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    told.read_to_string(&mut err).expect("UTF-8");
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = err.into_bytes();
    Ran::of(&output)
}

#[test]
fn an_interrupted_scan_goes_on_to_the_scores_of_one_that_was_not() {
    let folder = folder();
    let here = folder.path();
    let video = scanned().video();
    let scan = |out| [["scan", text(&video), "-o", out].as_slice(), &SETTINGS].concat();
    vadis(here, scan("whole")).done();

    let ran = interrupted(here, &scan("halves"), "reading");
    let hint = ran.err.lines().find(|line| line.starts_with("hint: ")).map(str::to_owned);
    ran.failed(1, &["error: interrupted at step", "halves/checkpoint.safetensors"]);
    assert!(hint.is_some_and(|hint| hint.contains("--resume")));
    assert!(here.join("halves/checkpoint.safetensors").is_file());
    assert!(!here.join("halves/scores.csv").exists());

    vadis(here, scan("halves")).failed(1, &["holds a run already", "--resume"]);
    vadis(here, [&scan("halves"), ["--resume"].as_slice()].concat()).done();
    assert_eq!(scores(&here.join("halves")), scores(&here.join("whole")));
    assert!(!here.join("halves/checkpoint.safetensors").exists());
}

#[test]
fn an_interrupted_training_is_not_taken_up_with_other_settings() {
    let folder = folder();
    let here = folder.path();
    let video = scanned().video();
    let train = ["train", "--system", "mle", text(&video), "-o", "cam.safetensors"];
    let train = [train.as_slice(), &SETTINGS].concat();
    interrupted(here, &train, "reading").failed(1, &["interrupted", "hint: ", "--resume"]);
    assert!(here.join("cam.training/checkpoint.safetensors").is_file());
    assert!(!here.join("cam.safetensors").exists());
    let other = [&train, ["--resume", "--seed", "5"].as_slice()].concat();
    vadis(here, other).failed(1, &["checkpoint.safetensors", "hint: leave --resume out"]);
    assert!(here.join("cam.training/checkpoint.safetensors").is_file(), "it is still there");
    vadis(here, [&train, ["--resume"].as_slice()].concat()).done();
    assert!(here.join("cam.safetensors").is_file());
}

/// A run that is whole is scored anew from its own model, but not with a model of another seed or footage.
#[test]
fn a_finished_run_is_resumed_only_with_its_own_settings() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    let video = scanned.video();
    let quick = |more: &[&str]| {
        let scan = ["scan", text(&video), "-o", text(&run), "--resume"];
        super::common::quick(here, &[scan.as_slice(), more].concat())
    };
    quick(&["--seed", "9"]).failed(1, &["other settings", "hint: "]);
    quick(&["--set", "latent=32"]).failed(1, &["other settings"]);
    quick(&[]).done();
    assert_eq!(scores(&run), scores(&scanned.run()));
}

/// Every source is slow enough to be interrupted in the middle: thousands of frames.
#[test]
fn an_interrupted_scoring_does_not_promise_what_score_cannot_do() {
    let folder = folder();
    let here = folder.path();
    super::common::lavfi(
        "testsrc=size=64x48:rate=25:duration=400",
        &["-c:v", "mpeg4", "-q:v", "9"],
        &here.join("long.mkv"),
    );
    let model = scanned().run().join("model.safetensors");
    let mut child = command(here)
        .args(["score", "-m", text(&model), "long.mkv", "-o", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Scoring has begun once its files are there.
    while !here.join("run").is_dir() {
        assert!(child.try_wait().expect("a state").is_none(), "it ended at once");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let ran = Ran::of(&child.wait_with_output().expect("it ends"));
    assert!(!ran.err.contains("--resume"), "{}", ran.err);
    ran.failed(1, &["interrupted while scoring", "hint: "]);
    assert!(!here.join("run/run.json").exists());
    vadis(here, ["score", "-m", text(&model), "long.mkv", "-o", "run", "--max-frames", "20"]).done();
}
