//! From a scene to a scan, its evaluation and its report; a model that is kept gives the same scores.

use std::collections::BTreeSet;
use std::fs;

use vadis::data::labels::read_labels;
use vadis::eval::run::{Metrics, RunInfo, ScoreTable, TrainingLog, read_events, read_latents, read_regions};
use vadis::video::{Colour, FrameFormat, FrameReader, ReadOptions, Source};

use super::common::{QUICK, clip, folder, lavfi, quick, scanned, scores, text, vadis};

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
fn a_system_of_clips_scans_and_its_model_scores_the_same() {
    let folder = folder();
    let here = folder.path();
    let video = scanned().video();
    let tiny = ["--preset", "tiny", "--set", "max_steps=4", "--set", "min_steps=4"];
    let scan = ["scan", text(&video), "--system", "itae", "-o", "run"];
    vadis(here, scan.iter().chain(&tiny)).done();
    vadis(here, ["score", "-m", "run/model.safetensors", text(&video), "-o", "again"]).done();
    assert_eq!(scores(&here.join("again")), scores(&here.join("run")));
    vadis(here, ["score", "-m", "run/model.safetensors", text(&video), "-o", "bytes", "--int8"]).done();
    assert_ne!(scores(&here.join("bytes")), scores(&here.join("run")));
    let told = RunInfo::read(&here.join("bytes/run.json")).expect("run.json").notes;
    assert!(told.iter().any(|note| note.contains("in bytes")), "{told:?}");
    let other = scanned().run().join("model.safetensors");
    vadis(here, ["score", "-m", text(&other), text(&video), "-o", "no", "--int8"])
        .failed(1, &["cannot score in bytes"]);
    let table = ScoreTable::read(&here.join("run/scores.csv")).expect("scores.csv");
    assert_eq!(table.indicators, ["reconstruction", "frame_diff"]);
    assert!(table.videos[0].rows.iter().all(|row| !row.edge && row.score == row.causal));
    let log = TrainingLog::read(&here.join("run/training.csv")).expect("training.csv");
    assert!(log.terms.iter().any(|term| term == "held_out"), "{:?}", log.terms);
}

/// Models of other sizes, colours and delays score together, and the first scores alone as it does without the others.
#[test]
fn several_models_score_together() {
    let folder = folder();
    let here = folder.path();
    let video = scanned().video();
    let train = |system: &str, settings: &[&str]| {
        let fixed = ["train", text(&video), "--preset", "tiny", "--system", system, "-o"];
        let model = format!("{system}.safetensors");
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        vadis(here, fixed.into_iter().chain([model.as_str()]).chain(settings)).done();
    };
    train("frame-diff", &["size=48x32"]);
    train("memae", &["size=32x16", "max_steps=2", "min_steps=2", "holdout=0.4"]);
    let both = ["score", "-m", "memae.safetensors", "-m", "frame-diff.safetensors", text(&video)];
    vadis(here, both.iter().chain(&["-o", "both", "--weights", "1,3"])).done();
    vadis(here, ["score", "-m", "memae.safetensors", text(&video), "-o", "alone"]).done();
    let read = |run: &str| ScoreTable::read(&here.join(run).join("scores.csv")).expect("scores.csv");
    let (together, alone) = (read("both"), read("alone"));
    assert_eq!(together.indicators, ["memae", "frame-diff", "frame_diff"]);
    let info = RunInfo::read(&here.join("both/run.json")).expect("run.json");
    let combination = info.combination.expect("it says of what it is made");
    assert_eq!((combination.weights.as_str(), combination.delay), ("given", 3));
    let memae = &combination.members[0];
    assert_eq!((memae.weight, memae.from.as_str()), (0.25, "memae.safetensors"));
    for (both, alone) in together.videos[0].rows.iter().zip(&alone.videos[0].rows) {
        assert_eq!(both.indicators[0], (alone.score - memae.mean) / memae.std);
        assert_eq!(both.score, 0.25 * both.indicators[0] + 0.75 * both.indicators[1]);
    }
    let edges = |table: &ScoreTable| table.videos[0].rows.iter().filter(|row| row.edge).count();
    assert!(edges(&together) <= 2 && edges(&alone) > 2, "only where no member has a score of its own");
    let events = read_events(&here.join("both/events.csv")).expect("events.csv");
    let named = |reason: &str| reason.ends_with("(memae)") || reason.ends_with("(frame-diff)");
    assert!(events.iter().all(|e| e.is_camera() || named(&e.reason)), "{events:?}");

    let wrong = ["score", "-m", "memae.safetensors", text(&video), "-o", "none", "--weights", "1,x"];
    vadis(here, wrong).failed(2, &["--weights", "`x` is no number", "hint: "]);
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
    // The overlay needs the footage, which the run knows wherever the report is asked for.
    vadis(here, ["report", text(&run), "--overlay"]).done();
    assert!(fs::read_to_string(run.join("report.html")).expect("made anew").contains("ROC"));
    assert!(run.join("overlay.mp4").is_file());
}

#[test]
fn eval_sets_false_positives_against_those_of_another_run() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    let labels = scanned.own_labels(here, 30);
    let other = here.join("other.csv");
    let table = fs::read_to_string(run.join("scores.csv")).expect("scores.csv");
    fs::write(&other, &table).expect("written");
    let eval = ["eval", text(&run), "--labels", text(&labels), "--against", text(&other), "--recall", "0.8"];
    let json = vadis(here, eval.iter().chain(&["--json"])).done().json();
    let against = json["against"].as_array().expect("one for each protocol");
    assert_eq!(against.len(), 2);
    assert_eq!((&against[0]["recall"], &against[0]["other_run"]), (&0.8.into(), &text(&other).into()));
    for side in ["this", "other"] {
        assert!(
            against[0][side]["frames"]["true_positive"].as_u64().is_some_and(|found| found > 0),
            "{side}"
        );
    }
    let metrics = Metrics::read(&run.join("metrics.json")).expect("metrics.json");
    let figure =
        |metric: &str| metrics.figures.iter().find(|f| f.metric == metric && f.protocol.name == "paper");
    assert!(figure("fewer_false_positives_at_80_recall").is_some_and(|f| f.note.contains("other.csv")));
    assert!(figure("false_positives_at_80_recall_other").is_some());
    let same = ["eval", text(&run), "--labels", text(&labels), "--against", text(&run)];
    let words = vadis(here, same).done().out;
    assert!(words.contains("fewer_false_positives_at_90_recall 0.0000"), "{words}");
    assert!(
        fs::read_to_string(run.join("report.html"))
            .expect("made anew")
            .contains("fewer false positives (share) at 90 % recall")
    );

    let shorter: String = table.lines().take(40).map(|line| format!("{line}\n")).collect();
    fs::write(&other, shorter).expect("written");
    vadis(here, eval).failed(1, &["other.csv", "scene", "39 there"]);
    fs::write(&other, table.replace("\nscene,", "\nelsewhere,")).expect("written");
    vadis(here, eval).failed(1, &["other.csv", "has not scored this video"]);
    vadis(here, eval[..6].iter().chain(&["--recall", "1.5"])).failed(2, &["--recall"]);
}

#[test]
fn heat_is_drawn_in_the_colours_asked_for() {
    let scanned = scanned();
    let folder = folder();
    let run = scanned.copy(folder.path());
    let labels = scanned.own_labels(folder.path(), 30);
    vadis(folder.path(), ["eval", text(&run), "--labels", text(&labels)]).done();
    let heat = run.join("mistakes/false-positive-1-heat.png");
    let before = fs::read(&heat).expect("the worst mistake has heat");
    vadis(folder.path(), ["report", text(&run), "--heat-colours", "red-blue"]).done();
    assert_ne!(fs::read(&heat).expect("still there"), before);
    assert!(
        fs::read_to_string(run.join("run.json")).expect("run.json").contains("\"colours\": \"red-blue\"")
    );
    vadis(folder.path(), ["report", text(&run), "--heat-colours", "ember"]).done();
    assert_eq!(fs::read(&heat).expect("still there"), before);
    vadis(folder.path(), ["report", text(&run), "--heat-colours", "rainbow"]).failed(2, &["red-blue"]);
}

#[test]
fn a_run_tells_what_was_typed_and_where() {
    let info = RunInfo::read(&scanned().run().join("run.json")).expect("run.json");
    let quick: String = QUICK.iter().map(|word| format!(" {word}")).collect();
    assert_eq!(info.command_line, format!("vadis scan scene/scene.mp4 -o run --threads 2{quick}"));
    assert_eq!(info.sources[0].path, "scene/scene.mp4");
    assert_eq!(info.locate(&info.sources[0].path), scanned().home().join("scene/scene.mp4"));

    let folder = folder();
    clip(&folder.path().join("it's.mkv"));
    let scan = ["scan", "it's.mkv", "-o", "run", "--system", "robust-pca", "--set", "rank=2"];
    quick_rival(folder.path(), &scan);
    let info = RunInfo::read(&folder.path().join("run/run.json")).expect("run.json");
    assert!(info.command_line.contains(r"vadis scan 'it'\''s.mkv' -o run"), "{}", info.command_line);
    assert!(info.command_line.contains("--set rank=2"), "{}", info.command_line);
}

fn quick_rival(folder: &std::path::Path, words: &[&str]) {
    vadis(folder, words.iter().chain(&["--preset", "tiny"])).done();
}

#[test]
fn eval_judges_each_kind_of_a_synthetic_scene() {
    let scanned = scanned();
    let folder = folder();
    let run = scanned.copy(folder.path());
    let kinds = scanned.home().join("scene/kinds.csv");
    let rows = ScoreTable::read(&run.join("scores.csv")).expect("scores").videos[0].rows.len();
    // The scene is too short for the street's own anomalies; the kinds are by hand.
    let own = folder.path().join("kinds.csv");
    fs::write(&own, "video,start_frame,end_frame,kind\nscene.mp4,30,39,vehicle\nscene.mp4,40,49,runner\n")
        .expect("written");
    assert!(rows > 50 && kinds.is_file());
    let labels = scanned.own_labels(folder.path(), 30);
    let eval =
        ["eval", text(&run), "--labels", text(&labels), "--kinds", text(&own), "--fpr", "0.1", "--json"];
    let json = vadis(folder.path(), eval).done().json();
    let found = json["metrics"]["kinds"].as_array().expect("rows");
    let names: Vec<&str> = found.iter().take(4).filter_map(|kind| kind["kind"].as_str()).collect();
    assert_eq!(names, ["runner", "vehicle", "one frame shows it", "only in motion"]);
    assert_eq!((found[0]["frames"].as_u64(), found[0]["fpr"].as_f64()), (Some(10), Some(0.1)));
    let page = fs::read_to_string(run.join("report.html")).expect("the report");
    assert!(page.contains("By kind of anomaly"));
    let words = vadis(folder.path(), &eval[..6]).done().out;
    assert!(words.contains("kind vehicle"), "{words}");
    let eval = ["eval", text(&run), "--labels", text(&labels), "--kinds", text(&own), "--fpr", "1"];
    vadis(folder.path(), eval).failed(2, &["--fpr"]);
}

/// What is learnt from is what is judged, and its share of abnormal frames is the one asked for.
#[test]
fn footage_is_thinned_to_a_contamination() {
    let folder = folder();
    let here = folder.path();
    let grey = ["-c:v", "ffv1", "-pix_fmt", "gray"];
    lavfi("testsrc=size=64x48:rate=10:duration=5", &grey, &here.join("a.mkv"));
    lavfi(
        "testsrc2=size=64x48:rate=10:duration=5",
        &["-c:v", "ffv1", "-pix_fmt", "bgr0"],
        &here.join("b.mkv"),
    );
    let row = |video: &str, from: u64| {
        (0..50).map(|frame| format!("{video},{frame},{}\n", u8::from(frame >= from))).collect::<String>()
    };
    let labels = format!("video,frame,label\n{}{}", row("a", 30), row("b", 20));
    fs::write(here.join("labels.csv"), labels).expect("written");
    let words = ["data", "subsample", "a.mkv", "b.mkv", "--labels", "labels.csv", "--contamination", "0.2"];
    let subsample = |out: &str| vadis(here, words.iter().chain(&["-o", out, "--json"])).done().json();
    let json = subsample("pool");
    // All 50 normal frames, and 12.5 of the 50 abnormal ones, rounded.
    assert_eq!((json["frames"].as_u64(), json["abnormal"].as_u64()), (Some(63), Some(13)));
    let labels = read_labels(&here.join("pool/labels.csv")).expect("labels");
    let kept = fs::read_to_string(here.join("pool/kept.csv")).expect("kept.csv");
    assert_eq!(kept.lines().count(), 64);
    let read = |path: std::path::PathBuf, colour| {
        let format = FrameFormat { size: None, colour };
        let reader =
            FrameReader::open(&Source::file(path), &format, &ReadOptions::default()).expect("a video");
        reader.collect::<Result<Vec<_>, _>>().expect("every frame")
    };
    for (name, colour) in [("a", Colour::Grey), ("b", Colour::Rgb)] {
        let whole = read(here.join(format!("{name}.mkv")), colour);
        let thinned = read(here.join(format!("pool/videos/{name}.mkv")), colour);
        assert_eq!(labels.of(name, thinned.len()).expect("as many").len(), thinned.len());
        let places = kept.lines().skip(1).filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[2] == name).then(|| cells[3].parse::<usize>().expect("a frame"))
        });
        let offset = thinned[0].time_s;
        let mut first = None;
        for (frame, place) in thinned.iter().zip(places) {
            let begin = *first.get_or_insert(whole[place].time_s);
            assert_eq!(frame.data, whole[place].data, "{name} {place}");
            assert!((frame.time_s - offset - (whole[place].time_s - begin)).abs() < 0.002);
        }
    }
    subsample("again");
    let bytes = |name: &str| fs::read(here.join(name).join("kept.csv")).expect("kept.csv");
    assert_eq!(bytes("pool"), bytes("again"), "same seed, same frames");
    vadis(here, words.iter().chain(&["-o", "pool"])).failed(1, &["labels.csv: is there already"]);
    let wrong = ["data", "subsample", "a.mkv", "--labels", "labels.csv", "--contamination", "1.5", "-o", "c"];
    vadis(here, wrong).failed(2, &["--contamination"]);
    let unlabelled =
        ["data", "subsample", "a.mkv", "--labels", "one.csv", "--contamination", "0.1", "-o", "d"];
    fs::write(here.join("one.csv"), "video,frame,label\nz,0,1\n").expect("written");
    vadis(here, unlabelled).failed(1, &["`a`"]);
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
    let kinds = ["data", "insert", "a.mkv", "-o", "k", "--every", "--kinds"];
    vadis(here, kinds.iter().chain(&["fallen_person,light_out"])).done();
    let table = std::fs::read_to_string(here.join("k/kinds.csv")).expect("kinds.csv");
    let inserted = |row: &str| row.ends_with("fallen_person") || row.ends_with("light_out");
    assert!(table.lines().skip(1).all(inserted) && table.lines().count() > 1, "{table}");
    vadis(here, kinds.iter().chain(&["ghost"])).failed(2, &["there are: vehicle, runner"]);
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

/// A container may say anything; what is counted is what can be decoded.
#[test]
fn data_check_counts_what_can_be_decoded() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("set")).expect("made");
    // An AVI cut short still declares all of its frames.
    lavfi("testsrc=size=64x48:rate=10:duration=3", &["-c:v", "mjpeg"], &here.join("whole.avi"));
    let bytes = fs::read(here.join("whole.avi")).expect("made");
    fs::write(here.join("set/a.avi"), &bytes[..bytes.len() / 2]).expect("written");
    let labels: String = (0..30).map(|frame| format!("a,{frame},{}\n", u8::from(frame > 20))).collect();
    fs::write(here.join("set/labels.csv"), format!("video,frame,label\n{labels}")).expect("written");
    let check = ["data", "check", "--dataset", "folder", "--root", "set"];
    let quick = vadis(here, check.iter().chain(&["--quick"])).done();
    assert!(quick.out.contains("30 frames") && quick.out.contains("not decoded"), "{}", quick.out);
    let exact = vadis(here, check);
    assert_eq!(exact.code, 1, "{}", exact.out);
    assert!(exact.out.contains("every frame decoded") && !exact.out.contains("30 frames,"), "{}", exact.out);
}

/// A model judges footage of another size, shape and colour than it learnt from, and says so.
#[test]
fn footage_from_elsewhere_is_scored_and_told() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let model = scanned.run().join("model.safetensors");
    lavfi("testsrc=size=96x96:rate=10:duration=2,hue=s=0", &["-c:v", "ffv1"], &here.join("square.mkv"));
    vadis(here, ["score", "-m", text(&model), "square.mkv", "-o", "square"]).done();
    let notes = RunInfo::read(&here.join("square/run.json")).expect("run.json").notes.join("\n");
    assert!(notes.contains("square is unlike what the model learnt from: 96×96 in place of"), "{notes}");
    assert!(notes.contains("resized and stretched"), "{notes}");
    assert_eq!(ScoreTable::read(&here.join("square/scores.csv")).expect("scores").videos[0].rows.len(), 20);

    vadis(here, ["score", "-m", text(&model), text(&scanned.video()), "-o", "same"]).done();
    let notes = RunInfo::read(&here.join("same/run.json")).expect("run.json").notes.join("\n");
    assert!(!notes.contains("unlike"), "{notes}");
}
