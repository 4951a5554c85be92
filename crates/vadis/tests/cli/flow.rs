//! From a scene to a scan, its evaluation and its report; a model that is kept gives the same scores.

use std::collections::BTreeSet;
use std::fs;

use vadis::data::labels::read_labels;
use vadis::eval::run::{Metrics, RunInfo, ScoreTable, TrainingLog, read_events, read_latents, read_regions};
use vadis::video::{Colour, FrameFormat, FrameReader, ReadOptions, Source};

use super::common::{clip, folder, lavfi, quick, scanned, scores, text, vadis};

#[test]
fn a_scan_writes_every_file_of_a_run_and_each_can_be_read() {
    let run = scanned().run();
    let names: BTreeSet<String> = fs::read_dir(&run)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "events")
        .collect();
    let expected = [
        "events.csv",
        "events.vtt",
        "heat.mkv",
        "latents.csv",
        "model.safetensors",
        "regions.csv",
        "report.html",
        "run.json",
        "scores.csv",
        "training.csv",
    ];
    assert_eq!(names, expected.map(str::to_owned).into(), "nothing is missing, nothing temporary is left");

    let info = RunInfo::read(&run.join("run.json")).expect("run.json");
    assert_eq!((info.command.as_str(), info.system.as_str(), info.seed), ("scan", "mle", 0));
    assert_eq!((info.machine.threads, info.config["max_steps"].as_u64()), (2, Some(4)));
    let table = ScoreTable::read(&run.join("scores.csv")).expect("scores.csv");
    assert_eq!(table.videos.len(), 1);
    assert_eq!(table.videos[0].rows.len() as u64, info.sources[0].frames);
    assert!(table.indicators.iter().any(|i| i == "pcc"));
    let events = read_events(&run.join("events.csv")).expect("events.csv");
    assert!(events.iter().all(|e| e.video == "scene" && e.start_frame <= e.end_frame));
    read_regions(&run.join("regions.csv")).expect("regions.csv");
    assert!(!read_latents(&run.join("latents.csv")).expect("latents.csv").is_empty());
    let training = TrainingLog::read(&run.join("training.csv")).expect("training.csv");
    assert_eq!(training.rows.len(), 4);
    assert!(fs::read_to_string(run.join("events.vtt")).expect("events.vtt").starts_with("WEBVTT"));
    assert!(fs::read_to_string(run.join("report.html")).expect("report.html").contains("</html>"));

    let heat = info.heat.expect("how heat.mkv is to be read");
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let reader = FrameReader::open(&Source::file(run.join("heat.mkv")), &format, &ReadOptions::default());
    let reader = reader.expect("heat.mkv");
    assert_eq!(reader.size(), (heat.width as usize, heat.height as usize));
    let frames: Vec<_> = reader.collect::<Result<_, _>>().expect("every frame");
    assert_eq!(frames.len() as u64, info.sources[0].frames);
}

#[test]
fn a_synthetic_scene_has_a_label_for_every_frame() {
    let scanned = scanned();
    let rows = ScoreTable::read(&scanned.run().join("scores.csv")).expect("scores").videos[0].rows.len();
    let labels = read_labels(&scanned.labels()).expect("labels.csv");
    assert_eq!(labels.of("scene", rows).expect("as many").len(), rows);
    let folder = folder();
    let run = scanned.copy(folder.path());
    vadis(folder.path(), ["eval", text(&run), "--labels", text(&scanned.labels())]).done();
}

#[test]
fn eval_measures_a_run_and_report_shows_it() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    let labels = scanned.own_labels(here, 30);
    let eval = ["eval", text(&run), "--labels", text(&labels), "--ladder", "--json"];
    let json = vadis(here, eval).done().json();
    assert!(json["ladder"].as_array().is_some_and(|rungs| rungs.len() > 5));
    let metrics = Metrics::read(&run.join("metrics.json")).expect("metrics.json");
    assert_eq!(json["metrics"], serde_json::to_value(&metrics).expect("as JSON"));
    let micro = |name: &str| {
        let figure = metrics.figures.iter().find(|f| f.metric == "micro_auc" && f.protocol.name == name);
        figure.map(|f| f.value)
    };
    for protocol in ["paper", "causal"] {
        assert!(micro(protocol).is_some_and(|auc| (0.0..=1.0).contains(&auc)), "{protocol}");
    }
    let words = vadis(here, ["eval", text(&run), "--labels", text(&labels)]).done().out;
    assert!(words.contains("paper: column score") && words.contains("micro_auc"), "{words}");

    fs::remove_file(run.join("report.html")).expect("it was there");
    // The overlay needs the footage, which the run knows as the scan was given it.
    vadis(scanned.home(), ["report", text(&run), "--overlay"]).done();
    assert!(fs::read_to_string(run.join("report.html")).expect("made anew").contains("ROC"));
    assert!(run.join("overlay.mp4").is_file());
}

#[test]
fn eval_takes_scores_from_elsewhere() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let labels = scanned.own_labels(here, 30);
    fs::copy(scanned.run().join("scores.csv"), here.join("s.csv")).expect("copied");
    let eval = ["eval", "s.csv", "--labels", text(&labels), "--column", "squared_error", "--tuned-on-test"];
    let ran = vadis(here, eval).done();
    assert!(ran.out.contains("column squared_error") && ran.out.contains("tuned on test"), "{}", ran.out);
    assert!(!here.join("metrics.json").exists(), "only a run directory is written to");
}

#[test]
fn two_runs_are_compared_on_one_page() {
    let folder = folder();
    let here = folder.path();
    let run = scanned().copy(here);
    let ran = vadis(here, ["report", text(&scanned().copy(&run)), text(&run), "-o", "both.html"]).done();
    assert_eq!(ran.out.lines().last(), Some("report: both.html"));
    assert!(fs::read_to_string(here.join("both.html")).expect("written").contains("</html>"));
}

#[test]
fn info_tells_what_a_model_learnt_from() {
    let ran = vadis(folder().path(), ["info", text(&scanned().run().join("model.safetensors"))]).done();
    for word in ["mle, preset tiny, seed 0", "scene: ", "losses", "max_steps = 4"] {
        assert!(ran.out.contains(word), "no `{word}` in\n{}", ran.out);
    }
}

#[test]
fn the_same_scan_twice_gives_the_same_bytes() {
    let scanned = scanned();
    let folder = folder();
    quick(folder.path(), &["scan", text(&scanned.video()), "-o", "again", "--threads", "2"]).done();
    assert_eq!(scores(&folder.path().join("again")), scores(&scanned.run()));
}

#[test]
fn another_seed_gives_other_scores() {
    let scanned = scanned();
    let folder = folder();
    let video = scanned.video();
    let scan = ["scan", text(&video), "-o", "other", "--threads", "2", "--seed", "7"];
    quick(folder.path(), &scan).done();
    assert_ne!(scores(&folder.path().join("other")), scores(&scanned.run()));
    assert_eq!(RunInfo::read(&folder.path().join("other/run.json")).expect("run.json").seed, 7);
}

#[test]
fn train_then_score_gives_the_scores_of_a_scan() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let video = scanned.video();
    let train = ["train", "--system", "mle", text(&video), "-o", "cam.safetensors", "--threads", "2"];
    quick(here, &train).done();
    assert!(here.join("cam.training/training.csv").is_file());
    assert!(!here.join("cam.training/checkpoint.safetensors").exists());
    vadis(here, ["score", "-m", "cam.safetensors", text(&video), "-o", "scored", "--threads", "2"]).done();
    assert_eq!(scores(&here.join("scored")), scores(&scanned.run()));
}

/// The model decides, not the machine: threads share the work without changing it.
#[test]
fn one_thread_scores_as_two_do() {
    let scanned = scanned();
    let folder = folder();
    let (model, video) = (scanned.run().join("model.safetensors"), scanned.video());
    for threads in ["1", "2"] {
        let score = ["score", "-m", text(&model), text(&video), "-o", threads, "--threads", threads];
        vadis(folder.path(), score).done();
        assert_eq!(scores(&folder.path().join(threads)), scores(&scanned.run()), "{threads}");
    }
}

#[test]
fn the_plain_rival_goes_the_same_way() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let scan = ["scan", "a.mkv", "-o", "run", "--system", "robust-pca", "--preset", "tiny"];
    vadis(here, scan).done();
    vadis(here, ["score", "-m", "run/model.safetensors", "a.mkv", "-o", "scored"]).done();
    assert_eq!(scores(&here.join("scored")), scores(&here.join("run")));
}

#[test]
fn inserted_anomalies_come_with_labels_that_fit() {
    let folder = folder();
    let here = folder.path();
    lavfi("testsrc=size=160x120:rate=10:duration=6", &["-c:v", "ffv1"], &here.join("a.mkv"));
    let json = vadis(here, ["data", "insert", "a.mkv", "-o", "v", "--json"]).done().json();
    let frames = json["frames"].as_u64().expect("a count") as usize;
    assert_eq!(frames, 60);
    assert_eq!(read_labels(&here.join("v/labels.csv")).expect("labels").of("a", 60).expect("all").len(), 60);
    assert!(here.join("v/videos/a.mp4").is_file() && here.join("v/masks/a.mkv").is_file());
    vadis(here, ["data", "insert", "a.mkv", "-o", "v"]).failed(1, &["v/labels.csv: is there already"]);
}

/// A folder of videos with a labels file is a data set of its own.
#[test]
fn data_check_tells_whole_from_broken() {
    let folder = folder();
    let here = folder.path();
    let missing = ["data", "check", "--dataset", "ped2", "--root", "nowhere"];
    vadis(here, missing).failed(1, &["nowhere"]);
    fs::create_dir(here.join("empty")).expect("made");
    let ran = vadis(here, ["data", "check", "--dataset", "ped2", "--root", "empty"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    vadis(here, ["data", "check", "--dataset", "nope", "--root", "empty"]).failed(1, &["nope", "ped2"]);
}
