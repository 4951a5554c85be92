//! Bad input gets a clear error, a fitting exit code, and loses nothing.

use std::fs;
use std::path::Path;

use super::common::{QUICK, Ran, clip, command, folder, lavfi, quick, scanned, scores, text, vadis};

/// Wrong usage is told before anything is read or written.
#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let cases: &[(&[&str], &str)] = &[
        (&["--system", "nope"], "there are: mle, robust-pca"),
        (&["--set", "nope=1"], "there is none of that name; there are: "),
        (&["--set", "epochs"], "key=value"),
        (&["--set", "epochs=-1"], "`epochs`"),
        (&["--set", "batch=1"], "must be from 2"),
        (&["--set", "rate=NaN"], "`rate`"),
        (&["--ignore", "nonsense"], "expected a rectangle"),
        (&["--ignore", "0,0,-5,10"], "--ignore"),
        (&["--threshold", "wow:1"], "expected mad:3"),
        (&["--threshold", "mad:NaN"], "--threshold"),
        (&["--smoothing", "median:-5s"], "--smoothing"),
        (&["--smoothing", "wow"], "expected none, median:25"),
        (&["--normalisation", "wow"], "--normalisation"),
        (&["--min-event=-1"], "--min-event must be"),
        (&["--merge", "inf"], "--merge must be"),
        (&["--timeout", "0"], "--timeout must be"),
        (&["--image-fps", "NaN"], "--image-fps must be"),
        (&["--threads", "0"], "--threads must be"),
        (&["--threads", "many"], "--threads"),
        (&["--preset", "huge"], "possible values: paper, cpu, tiny"),
        (&["--device", "cuda:0"], "no device `cuda:0`"),
        (&["--resume", "--force"], "cannot be used with"),
        (&["--no-such-option"], "--no-such-option"),
    ];
    for (options, words) in cases {
        let ran = vadis(here, ["scan", "a.mkv", "-o", "run"].iter().chain(*options));
        assert!(!here.join("run").exists(), "{options:?} wrote something");
        ran.failed(2, &[words]);
    }
    for words in [["scan"].as_slice(), &["train", "a.mkv"], &["eval", "run"], &["fly"], &["data"], &[]] {
        let ran = vadis(here, words);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{words:?}");
        assert!(ran.err.contains("Usage: vadis"), "{}", ran.err);
    }
    vadis(here, ["data", "synth", "-o", "s", "--minutes", "NaN"]).failed(2, &["--minutes must be"]);
}

#[test]
fn what_is_no_footage_is_named() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("empty.mp4"), "").expect("written");
    fs::write(here.join("text.mp4"), "this is no video\n").expect("written");
    fs::write(here.join("noise.mkv"), scanned_noise()).expect("written");
    fs::create_dir(here.join("nothing")).expect("made");
    fs::create_dir(here.join("papers")).expect("made");
    fs::write(here.join("papers/readme.txt"), "hello\n").expect("written");
    let cases: [(&str, &[&str]); 6] = [
        ("missing.mp4", &["no such file or folder"]),
        ("empty.mp4", &["the file is empty"]),
        ("text.mp4", &["not a video that can be read", "hint: "]),
        ("noise.mkv", &["not a video that can be read"]),
        ("nothing", &["no video and no numbered images", "hint: videos are known by"]),
        ("papers", &["no video and no numbered images"]),
    ];
    for (source, words) in cases {
        let ran = quick(here, &["scan", source, "-o", "run"]).failed(1, words);
        assert!(ran.err.contains(source), "{source} is not named in\n{}", ran.err);
        assert!(!here.join("run").exists(), "nothing is written for {source}");
    }
}

/// Bytes of no format, the same each time.
fn scanned_noise() -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(50_000).collect()
}

/// A list of files dressed as a video must not make ffmpeg open them.
#[test]
fn a_playlist_in_disguise_opens_nothing() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let other = here.join("a.mkv");
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", other.display());
    let hls = format!("#EXTM3U\n#EXTINF:3,\nfile://{}\n#EXT-X-ENDLIST\n", other.display());
    for (name, content) in [("a.mp4", &concat), ("b.mp4", &hls), ("c.avi", &concat), ("d.mkv", &hls)] {
        fs::write(here.join(name), content).expect("written");
        quick(here, &["scan", name, "-o", "run"]).failed(1, &[name]);
    }
}

#[test]
fn one_unreadable_source_of_several_is_left_out_and_told() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    fs::write(here.join("text.mp4"), "this is no video\n").expect("written");
    let ran = quick(here, &["scan", "text.mp4", "a.mkv", "-o", "run"]).done();
    assert_eq!(ran.err.matches("note: left out: text.mp4").count(), 1, "{}", ran.err);
    assert!(run_json(&here.join("run"))["notes"].to_string().contains("left out: text.mp4"));
}

fn run_json(run: &Path) -> serde_json::Value {
    let text = fs::read_to_string(run.join("run.json")).expect("run.json");
    serde_json::from_str(&text).expect("JSON")
}

/// A camera's file that was cut off: what can be read is scored, and the break is told once.
#[test]
fn a_truncated_video_keeps_its_scores_up_to_there() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("whole.mkv"));
    let bytes = fs::read(here.join("whole.mkv")).expect("read");
    fs::write(here.join("cut.mkv"), &bytes[..bytes.len() * 4 / 5]).expect("written");
    let ran = quick(here, &["scan", "cut.mkv", "-o", "run"]).done();
    assert_eq!(ran.err.matches("note: cut.mkv: broken, ").count(), 1, "{}", ran.err);
    let json = run_json(&here.join("run"));
    let frames = json["sources"][0]["frames"].as_u64().expect("a count");
    assert!((16..30).contains(&frames), "{frames}");
    let error = format!("broken, {frames} frames read");
    assert!(json["sources"][0]["error"].as_str().is_some_and(|e| e.contains(&error)), "{json}");
    assert_eq!(json["notes"].to_string().matches(&error).count(), 1, "{json}");
    assert_eq!(scores(&here.join("run")).lines().count() as u64, frames + 1);

    fs::write(here.join("stub.mkv"), &bytes[..bytes.len() / 4]).expect("written");
    let ran = quick(here, &["scan", "stub.mkv", "-o", "short"]).failed(1, &["too few", "stub.mkv: broken"]);
    assert!(ran.err.contains("hint: give more footage"), "{}", ran.err);
}

#[test]
fn too_few_frames_are_told_with_how_many_are_needed() {
    let folder = folder();
    let here = folder.path();
    lavfi("testsrc=size=64x48:rate=10:duration=0.3", &["-c:v", "ffv1"], &here.join("short.mkv"));
    let ran = quick(here, &["scan", "short.mkv", "-o", "run"]);
    ran.failed(1, &["3 frames are too few", "at least 16", "hint: give more footage"]);
    let train = ["train", "--system", "robust-pca", "short.mkv", "-o", "m.safetensors", "--preset", "tiny"];
    let ran = vadis(here, train);
    assert!(ran.code == 1 || here.join("m.safetensors").exists(), "{}", ran.err);
}

#[test]
fn what_is_no_model_is_named() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let model = fs::read(scanned.run().join("model.safetensors")).expect("read");
    fs::write(here.join("text.safetensors"), "this is no model\n").expect("written");
    fs::write(here.join("empty.safetensors"), "").expect("written");
    fs::write(here.join("cut.safetensors"), &model[..model.len() / 2]).expect("written");
    fs::write(here.join("head.safetensors"), &model[..100]).expect("written");
    // A valid file of the format that holds no model of ours.
    fs::write(here.join("other.safetensors"), *b"\x02\0\0\0\0\0\0\0{}").expect("written");
    fs::copy(scanned.video(), here.join("video.safetensors")).expect("copied");
    fs::create_dir(here.join("folder.safetensors")).expect("made");
    for name in ["missing", "text", "empty", "cut", "head", "other", "video", "folder"] {
        let name = format!("{name}.safetensors");
        vadis(here, ["score", "-m", &name, text(&scanned.video()), "-o", "run"]).failed(1, &[&name]);
        assert!(!here.join("run").exists(), "nothing is written for {name}");
        vadis(here, ["info", &name]).failed(1, &[&name]);
    }
}

#[test]
fn a_run_is_replaced_only_by_force() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let run = scanned.copy(here);
    fs::write(run.join("my notes.txt"), "keep\n").expect("written");
    let before = scores(&run);
    quick(here, &["scan", "a.mkv", "-o", "run"]).failed(1, &["run holds a run already", "hint: use --force"]);
    let model = scanned.run().join("model.safetensors");
    vadis(here, ["score", "-m", text(&model), "a.mkv", "-o", "run"]).failed(1, &["holds a run already"]);
    assert_eq!(scores(&run), before);
    quick(here, &["scan", "a.mkv", "-o", "run", "--force"]).done();
    assert_ne!(scores(&run), before);
    assert!(run.join("my notes.txt").exists(), "only the run's own files are replaced");

    let train = ["train", "--system", "mle", "a.mkv", "-o", "run/model.safetensors"];
    quick(here, &train).failed(2, &["is there already", "--force"]);
}

/// `--force` clears the run's folder, and the model to score with lies in it.
#[test]
fn a_model_is_not_cleared_away_by_the_run_that_scores_with_it() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let run = scanned.copy(here);
    let score = ["score", "-m", "run/model.safetensors", "a.mkv", "-o", "run", "--force"];
    vadis(here, score).failed(2, &["run/model.safetensors", "hint: "]);
    assert_eq!(scores(&run), scores(&scanned.run()));
    assert!(run.join("model.safetensors").is_file());
}

/// The tracks of several sources are named for them, and go with the run.
#[test]
fn force_leaves_no_file_of_the_run_before() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    clip(&here.join("b.mkv"));
    quick(here, &["scan", "a.mkv", "b.mkv", "-o", "run"]).done();
    assert!(here.join("run/events-a.vtt").is_file() && here.join("run/events-b.vtt").is_file());
    quick(here, &["scan", "a.mkv", "-o", "run", "--force"]).done();
    assert!(!here.join("run/events-a.vtt").exists() && !here.join("run/events-b.vtt").exists());
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    let good = fs::read_to_string(scanned.own_labels(here, 30)).expect("read");
    let half: String = good.lines().take(20).map(|l| format!("{l}\n")).collect();
    let gap: String = good.lines().filter(|l| !l.starts_with("scene,7,")).map(|l| format!("{l}\n")).collect();
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        ("half.csv", half.into(), &["`scene`", "19 labels"]),
        ("gap.csv", gap.into(), &["gap.csv", "scene"]),
        ("other.csv", good.replace("scene", "other").into(), &["other"]),
        ("two.csv", good.replace(",1\n", ",2\n").into(), &["two.csv"]),
        ("word.csv", good.replace(",1\n", ",yes\n").into(), &["word.csv"]),
        ("empty.csv", Vec::new(), &["empty.csv", "no labels"]),
        ("head.csv", b"video,frame,label\n".to_vec(), &["head.csv", "no labels"]),
        ("noise.csv", scanned_noise(), &["noise.csv"]),
        ("noise.npy", scanned_noise(), &["noise.npy"]),
    ];
    for (name, content, words) in cases {
        fs::write(here.join(name), content).expect("written");
        let ran = vadis(here, ["eval", text(&run), "--labels", name]).failed(1, words);
        assert!(!ran.err.contains("tolerance"), "no option sets it:\n{}", ran.err);
        assert!(!run.join("metrics.json").exists(), "{name} was believed");
    }
    vadis(here, ["eval", text(&run), "--labels", "missing.csv"]).failed(1, &["missing.csv"]);
}

/// A ROC needs both classes; without one the rest is still told.
#[test]
fn labels_of_one_class_have_no_auc() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    for first in [0, 10_000] {
        let labels = scanned.own_labels(here, first);
        let json = vadis(here, ["eval", text(&run), "--labels", text(&labels), "--ladder", "--json"]).done();
        let figures = json.json()["metrics"]["figures"].clone();
        let figures = figures.as_array().expect("a list");
        let auc = figures.iter().find(|f| f["metric"] == "micro_auc");
        assert!(auc.is_none_or(|f| f["value"].is_null()), "{auc:?}");
        assert!(figures.iter().any(|f| f["metric"] == "prevalence"));
    }
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("papers")).expect("made");
    let labels = scanned.own_labels(here, 30);
    vadis(here, ["eval", "papers", "--labels", text(&labels)])
        .failed(1, &["papers is no run directory", "hint"]);
    vadis(here, ["report", "papers"]).failed(1, &["papers is no run directory"]);
    vadis(here, ["report", "missing"]).failed(1, &["missing"]);
    vadis(here, ["eval", "missing.csv", "--labels", text(&labels)]).failed(1, &["missing.csv"]);
    vadis(here, ["eval", text(&labels), "--labels", text(&labels)]).failed(1, &["own.csv"]);
}

/// Each file of a run, cut off or replaced by noise: an error that names it, or a report without it.
#[test]
fn a_damaged_run_is_told_by_the_file_that_is_damaged() {
    let scanned = scanned();
    let folder = folder();
    let here = folder.path();
    let run = scanned.copy(here);
    let labels = scanned.own_labels(here, 30);
    for name in ["run.json", "scores.csv", "events.csv"] {
        let good = fs::read(run.join(name)).expect("read");
        for bad in [scanned_noise(), good[..good.len() / 2].to_vec(), Vec::new()] {
            fs::write(run.join(name), bad).expect("written");
            let ran = vadis(here, ["eval", text(&run), "--labels", text(&labels)]);
            assert!(ran.code == 0 || ran.code == 1 && ran.err.contains(name), "{name}: {}", ran.err);
            let ran = vadis(here, ["report", text(&run)]);
            assert!(ran.code == 0 || ran.code == 1 && ran.err.contains(name), "{name}: {}", ran.err);
        }
        fs::write(run.join(name), good).expect("written");
    }
    vadis(here, ["eval", text(&run), "--labels", text(&labels)]).done();
}

#[test]
fn missing_ffmpeg_is_told_with_how_to_get_it() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    let cases: [&[(&str, &str)]; 2] = [
        &[("PATH", "")],
        &[("VADIS_FFMPEG", "/nonexistent/ffmpeg"), ("VADIS_FFPROBE", "/nonexistent/ffprobe")],
    ];
    for variables in cases {
        let mut scan = command(here);
        scan.args(["scan", "a.mkv", "-o", "run"]).args(QUICK).envs(variables.iter().copied());
        let ran = Ran::of(&scan.output().expect("it runs"));
        ran.failed(1, &["was not found", "hint: install it", "apt-get install ffmpeg"]);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_the_work() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    fs::write(here.join("file"), "in the way\n").expect("written");
    for output in ["file", "file/run"] {
        let ran = quick(here, &["scan", "a.mkv", "-o", output]).failed(1, &["file"]);
        assert!(!ran.err.contains("reading"), "the work had begun:\n{}", ran.err);
    }
    let model = scanned().run().join("model.safetensors");
    vadis(here, ["score", "-m", text(&model), "a.mkv", "-o", "file/run"]).failed(1, &["file/run"]);
    let train = ["train", "--system", "mle", "a.mkv", "-o", "file/m.safetensors"];
    quick(here, &train).failed(1, &["file"]);
    fs::create_dir(here.join("folder")).expect("made");
    let train = ["train", "--system", "mle", "a.mkv", "--force", "-o", "folder"];
    let ran = quick(here, &train).failed(2, &["folder is a folder"]);
    assert!(!ran.err.contains("reading"), "the work had begun:\n{}", ran.err);
    vadis(here, ["data", "synth", "-o", "file/scene", "--minutes", "0.02"]).failed(1, &["file"]);
    assert_eq!(fs::read_to_string(here.join("file")).expect("still there"), "in the way\n");
}
