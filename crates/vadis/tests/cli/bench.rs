//! Benchmarks from the command line: rows, tables, seeds, taking up, validation, wrong usage.

use std::fs;
use std::path::Path;

use vadis::eval::run::{Results, RunInfo, ScoreTable};

use super::common::{Ran, folder, lavfi, scores, vadis};

/// A data set in the layout `folder`: four training clips, and a test clip whose second half is abnormal.
fn data_set(here: &Path) {
    let root = here.join("data");
    for place in ["train", "test"] {
        fs::create_dir_all(root.join(place)).expect("made");
    }
    for (i, name) in ["train/a", "train/b", "train/c", "train/d", "test/day"].iter().enumerate() {
        let input = format!("testsrc=size=64x48:rate=10:duration=4,hue=s={i}");
        lavfi(&input, &["-c:v", "ffv1"], &root.join(format!("{name}.mkv")));
    }
    let rows: String = (0..40).map(|frame| format!("day,{frame},{}\n", u8::from(frame >= 20))).collect();
    fs::write(root.join("labels.csv"), format!("video,frame,label\n{rows}")).expect("written");
}

fn bench(here: &Path, words: &[&str]) -> Ran {
    let fixed = ["bench", "--preset", "tiny", "--set", "size=32x24", "-o", "out"];
    vadis(here, fixed.iter().chain(words))
}

const DATA: [&str; 4] = ["--dataset", "folder", "--root", "data"];

fn results(here: &Path) -> Results {
    Results::read(&here.join("out/results.json")).expect("results.json")
}

#[test]
fn a_benchmark_has_a_row_for_each_run_and_can_be_taken_up() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    let with = |more: &[&str]| bench(here, &[DATA.as_slice(), more].concat());
    let systems = ["--system", "robust-pca,itae"];
    let printed = with(&systems).done().out;
    let first = results(here);
    let rows: Vec<_> = first.rows.iter().map(|r| (r.system.as_str(), r.seed, r.test_looks)).collect();
    assert_eq!(rows, [("robust-pca", 0, 1), ("itae", 0, 1)]);
    assert_eq!(first.rows[0].learnt_from, "training and test clips, unlabelled");
    assert_eq!(first.rows[1].learnt_from, "training clips");
    for row in &first.rows {
        assert!(row.train_s > 0.0 && row.frames_per_s > 0.0 && row.figure("micro_auc", "causal").is_some());
        let info = RunInfo::read(&here.join("out").join(&row.run).join("run.json")).expect("run.json");
        assert_eq!((info.command.as_str(), &info.system), ("bench", &row.system));
        assert_eq!(info.sources.len(), 1, "the test clip alone is scored");
    }
    let beside: Vec<&str> = first.sanity[0].rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(beside, ["random", "constant", "frame_diff"]);
    let table = fs::read_to_string(here.join("out/results.md")).expect("results.md");
    assert!(printed.starts_with(&table), "what is printed is what is written");
    assert!(table.contains("### folder\n") && table.contains("| itae | tiny, 0 | "), "{table}");
    assert!(table.contains("* Learnt from training clips: itae.\n"), "{table}");
    let picture = fs::read_to_string(here.join("out/auc-folder.svg")).expect("auc-folder.svg");
    assert!(picture.starts_with("<svg") && picture.contains("robust-pca"));
    let page = fs::read_to_string(here.join("out/results.html")).expect("results.html");
    assert!(page.contains("frame_diff") && page.contains("</html>"));

    with(&systems).failed(1, &["holds a run already", "--resume"]);
    let kept = scores(&here.join("out/folder/itae/0"));
    let more = with(&["--system", "itae", "--seed", "0", "1", "--resume", "--json"]).done();
    assert!(more.err.contains("folder/itae/0 is whole already"), "{}", more.err);
    assert_eq!(more.json()["rows"].as_array().map(Vec::len), Some(3));
    assert_eq!(scores(&here.join("out/folder/itae/0")), kept);
    assert_eq!(results(here).rows[..2], first.rows[..]);

    with(&["--system", "itae", "--set", "patch=4", "--force", "--quiet"]).done();
    assert_eq!(results(here).rows[1].test_looks, 2, "other settings are another look");
}

#[test]
fn a_system_of_parts_has_a_row_for_each_from_one_training() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    bench(here, &[DATA.as_slice(), &["--system", "itae-nf", "--quiet"]].concat()).done();
    let results = results(here);
    let rows: Vec<&str> = results.rows.iter().map(|row| row.system.as_str()).collect();
    let parts = ["reconstruction alone", "+ static flow", "+ dynamic flow", "flows alone"];
    assert_eq!(rows[0], "itae-nf");
    let of_parts = parts.map(|part| format!("itae-nf: {part}"));
    assert_eq!(rows[1..], of_parts, "the paper has no weight for this data set");
    assert!(
        results.rows.iter().all(|row| row.run == "folder/itae-nf/0" && row.figure("eer", "causal").is_some())
    );
    let sweep = &results.rows[0].lambda_sweep;
    assert_eq!(sweep.iter().map(|point| point.lambda).fold(0.0, f64::max), 1.0);
    let alone = results.rows[1].figure("micro_auc", "paper").map(|figure| figure.value);
    assert_eq!((sweep.len(), sweep[0].auc), (11, alone), "with a weight of 0 the error is left");
}

/// The members' runs are made once, then combined again and again.
#[test]
fn a_combination_has_a_row_of_its_own_made_of_its_members_runs() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    let with = |more: &[&str]| bench(here, &[DATA.as_slice(), more].concat());
    with(&["--system", "frame-diff+mog2,frame-diff", "--resume"]).done();
    let first = results(here);
    let names: Vec<_> = first.rows.iter().map(|row| (row.system.as_str(), row.run.as_str())).collect();
    let whole =
        |name: &str| names.iter().any(|(system, run)| *system == name && *run == format!("folder/{name}/0"));
    assert!(["frame-diff", "mog2", "frame-diff+mog2"].into_iter().all(whole), "{names:?}");
    let row = first.rows.iter().find(|row| row.system == "frame-diff+mog2").expect("its row");
    assert_eq!((row.learnt_from.as_str(), row.test_looks), ("training clips", 1));
    assert!(row.figure("micro_auc", "causal").is_some() && row.frames_per_s > 0.0);

    let run = here.join("out/folder/frame-diff+mog2/0");
    let info = RunInfo::read(&run.join("run.json")).expect("run.json");
    let combination = info.combination.expect("it says of what it is made");
    let members: Vec<_> = combination.members.iter().map(|m| (m.name.as_str(), m.weight)).collect();
    assert_eq!(members, [("frame-diff", 0.5), ("mog2", 0.5)]);
    assert_eq!((combination.weights.as_str(), info.system.as_str()), ("equal", "frame-diff+mog2"));
    let table = ScoreTable::read(&run.join("scores.csv")).expect("scores.csv");
    assert_eq!(table.indicators, ["frame-diff", "mog2", "frame_diff"]);
    for row in &table.videos[0].rows {
        let mean = 0.5 * row.indicators[0] + 0.5 * row.indicators[1];
        assert_eq!(row.score, mean, "the mean of the standardised members");
    }
    for file in ["heat.mkv", "events.csv", "metrics.json"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let page = fs::read_to_string(run.join("report.html")).expect("report.html");
    assert!(page.contains("What each member says") && page.contains("frame-diff × 0.50"));

    // The same by the models themselves, over the footage.
    let model = |system: &str| format!("out/folder/{system}/0/model.safetensors");
    let (difference, mog2) = (model("frame-diff"), model("mog2"));
    let both = ["score", "-m", &difference, "-m", &mog2, "data/test/day.mkv", "-o", "scored"];
    vadis(here, both).done();
    assert_eq!(scores(&here.join("scored")), scores(&run).replace("test/day", "day"));

    let kept = scores(&here.join("out/folder/mog2/0"));
    let again = with(&["--system", "frame-diff+mog2", "--weights", "1,3", "--smoothing", "median:5"]).done();
    assert!(again.err.contains("the run folder/mog2/0 is taken"), "{}", again.err);
    assert_eq!(scores(&here.join("out/folder/mog2/0")), kept);
    let second = results(here);
    let smoothed = second.rows.iter().find(|row| row.system == "frame-diff+mog2@1,3: median:5");
    let figure =
        |protocol: &str| smoothed.and_then(|row| row.figure("micro_auc", protocol)).expect("measured");
    assert_eq!(figure("paper").protocol.smoothing, "median:5");
    assert_eq!(figure("causal").protocol.smoothing, "causal_median:5");
    let plain = second.rows.iter().find(|row| row.system == "frame-diff+mog2@1,3").expect("its row");
    assert_eq!(plain.figure("micro_auc", "paper").map(|f| f.protocol.smoothing.as_str()), Some("none"));

    // A model that learnt from too little to say how its scores lie is shown the training footage once.
    forget_statistics(&here.join(&mog2));
    with(&["--system", "frame-diff+mog2", "--weights", "2,1", "--quiet"]).done();
    let kept =
        fs::read_to_string(here.join("out/folder/mog2/0/statistics.json")).expect("kept beside the model");
    assert!(kept.contains("\"frames\":156"), "four clips of 40 frames without their first: {kept}");
    vadis(here, both.map(|word| if word == "scored" { "none" } else { word }))
        .failed(2, &["mog2/0/model.safetensors does not say", "hint: train it again"]);
}

/// Makes the statistics in a model file those of no frame.
fn forget_statistics(model: &Path) {
    let mut bytes = fs::read(model).expect("a model");
    let name = br#"\\\"frames\\\":"#;
    let place = bytes.windows(name.len()).position(|part| part == name).expect("its statistics") + name.len();
    let digits = bytes[place..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes[place..place + digits].fill(b' ');
    bytes[place] = b'0';
    fs::write(model, bytes).expect("written");
}

#[test]
fn weights_are_chosen_on_the_validation_set() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    // The clip that is held out is long enough for frames of both kinds.
    lavfi("testsrc=size=64x48:rate=10:duration=8", &["-c:v", "ffv1"], &here.join("data/train/d.mkv"));
    let with = |more: &[&str]| bench(here, &[DATA.as_slice(), more].concat());
    with(&["--system", "frame-diff+mog2", "--weights", "validation"]).done();
    let info =
        RunInfo::read(&here.join("out/folder/frame-diff+mog2@validation/0/run.json")).expect("run.json");
    let combination = info.combination.expect("it says of what it is made");
    assert!(combination.weights.starts_with("chosen on folder-validation: causal micro AUC"));
    assert!((combination.members.iter().map(|m| m.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    let first = results(here);
    let looks: Vec<_> = first.rows.iter().map(|row| (row.run.as_str(), row.test_looks)).collect();
    assert!(looks.contains(&("folder-validation/mog2/0", 0)), "{looks:?}");
    assert!(looks.contains(&("folder/frame-diff+mog2@validation/0", 1)), "{looks:?}");

    // A run that is whole gets the further row without being scored again.
    let more = ["--system", "mog2", "--smoothing", "median:3", "--normalisation", "per_video", "--resume"];
    assert!(with(&more).done().err.contains("folder/mog2/0 is whole already"));
    let row = results(here).rows.into_iter().find(|row| row.system == "mog2: median:3, per_video");
    let protocol =
        row.and_then(|row| Some(row.figure("micro_auc", "paper")?.protocol.clone())).expect("measured");
    assert_eq!((protocol.normalisation.as_str(), protocol.smoothing.as_str()), ("per_video", "median:3"));
}

#[test]
fn a_validation_set_is_made_of_held_out_training_clips() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    bench(here, &[DATA.as_slice(), &["--system", "itae", "--validate"]].concat()).done();
    let results = results(here);
    let row = &results.rows[0];
    assert_eq!((row.dataset.as_str(), row.test_looks), ("folder-validation", 0));
    let info = RunInfo::read(&here.join("out").join(&row.run).join("run.json")).expect("run.json");
    // The short clip as it is, and six times with anomalies, which in four seconds may not all come to be seen.
    assert_eq!(info.sources.len(), 7);
    assert!(info.sources.iter().all(|source| source.video.contains("train_d")), "{:?}", info.sources);
    let abnormal: Vec<bool> =
        vadis::eval::run::read_labels(&here.join("out/folder-validation/footage/labels.csv"))
            .expect("labels.csv")
            .values()
            .map(|labels| labels.contains(&1))
            .collect();
    assert!(!abnormal[0] && abnormal.iter().filter(|&&any| any).count() >= 3, "{abnormal:?}");
    assert!(here.join("out/folder-validation/footage/kinds.csv").is_file());
}

#[test]
fn the_street_is_made_where_there_is_none() {
    let folder = folder();
    let here = folder.path();
    let street = ["--dataset", "synth", "--minutes", "0.2", "--system", "robust-pca"];
    bench(here, &street).done();
    let made = here.join("out/synth/footage");
    assert!(["labels.csv", "kinds.csv", "test/scene.mp4"].iter().all(|name| made.join(name).is_file()));
    assert!(!made.join("work").exists());
    assert_eq!(results(here).rows[0].learnt_from, "test footage itself, unlabelled");
}

#[test]
fn what_cannot_be_measured_is_told_before_any_work() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    let cases: [(&[&str], i32, &[&str]); 13] = [
        (
            &["--dataset", "folder", "--root", "data", "--system", "mog2+itea"],
            2,
            &["`itea`", "there are: mle"],
        ),
        (
            &["--dataset", "folder", "--root", "data", "--system", "mog2+mog2"],
            2,
            &["`mog2+mog2` has a member twice"],
        ),
        (
            &["--dataset", "folder", "--root", "data", "--system", "itae+mog2", "--weights", "1"],
            2,
            &["`1` does not weigh 2 members", "hint: "],
        ),
        (
            &["--dataset", "folder", "--root", "data", "--system", "itae", "--smoothing", "wide"],
            2,
            &["--smoothing"],
        ),
        (
            &["--dataset", "ped3", "--root", "data", "--system", "itae"],
            2,
            &["`ped3`", "hint: there are: ped1"],
        ),
        (&["--dataset", "folder", "--system", "itae"], 2, &["has no root", "hint: "]),
        (&["--dataset", "folder", "--root", "data", "--root", "b", "--system", "itae"], 2, &["more --root"]),
        (&["--dataset", "folder", "--root", "none", "--system", "itae"], 1, &["none"]),
        (&["--dataset", "ped2", "--root", "data", "--system", "itae"], 1, &["UCSD Ped2"]),
        (&["--dataset", "folder", "--root", "data", "--system", "itea"], 2, &["`itea`", "there are: mle"]),
        (&["--dataset", "folder", "--root", "data", "--system", "itae", "--set", "x=1"], 2, &["`x`"]),
        (&["--dataset", "folder", "--root", "data", "--system", "mle", "--set", "clip=8"], 2, &["`clip`"]),
        (&["--dataset", "synth", "--minutes", "0", "--system", "itae"], 2, &["--minutes"]),
    ];
    for (words, code, told) in cases {
        bench(here, words).failed(code, told);
        assert!(!here.join("out").exists(), "{words:?} wrote something");
    }
    fs::remove_dir_all(here.join("data/train")).expect("removed");
    bench(here, &["--dataset", "folder", "--root", "data", "--system", "itae"])
        .failed(2, &["no training clips", "hint: "]);
}

/// What one benchmark taught is measured on another, and learnt once.
#[test]
fn a_model_is_carried_to_another_benchmark() {
    let folder = folder();
    let here = folder.path();
    data_set(here);
    fs::create_dir_all(here.join("synth/train")).expect("made");
    fs::create_dir_all(here.join("synth/test")).expect("made");
    for name in ["train/street", "test/scene"] {
        let video = here.join(format!("synth/{name}.mkv"));
        lavfi("testsrc2=size=96x64:rate=10:duration=4", &["-c:v", "ffv1"], &video);
    }
    let rows: String = (0..40).map(|frame| format!("scene,{frame},{}\n", u8::from(frame < 20))).collect();
    fs::write(here.join("synth/labels.csv"), format!("video,frame,label\n{rows}")).expect("written");
    let carried = |more: &[&str]| {
        let words = ["--system", "one-path", "--train-dataset", "synth", "--train-root", "synth"];
        bench(here, &[DATA.as_slice(), &words, more].concat())
    };
    carried(&[]).done();
    let row = &results(here).rows[0];
    assert_eq!(
        (row.dataset.as_str(), row.learnt_from.as_str()),
        ("folder-from-synth", "training clips of synth")
    );
    let run = here.join("out").join(&row.run);
    assert!(scores(&run).lines().skip(1).all(|line| line.starts_with("test/day,")));
    assert!(!run.join("model.safetensors").exists());
    let model = here.join("out/synth/one-path/0/model.safetensors");
    let learnt = fs::read(&model).expect("the teacher's own model");
    // The teacher's own row takes the same model.
    bench(here, &["--dataset", "synth", "--root", "synth", "--system", "one-path", "--resume"]).done();
    assert_eq!(fs::read(&model).expect("still there"), learnt);
    assert_eq!(results(here).rows.len(), 2);
    carried(&["--force", "--seed", "1"]).done();
    assert_eq!(results(here).rows.len(), 3);
    bench(here, &[DATA.as_slice(), &["--system", "one-path", "--train-dataset", "ped2"]].concat())
        .failed(2, &["ped2 has no root", "--train-root"]);
}

/// Two scenes in the layout of ShanghaiTech, one of which is asked for.
#[test]
fn a_benchmark_is_cut_to_scenes_and_scaled_per_video() {
    let folder = folder();
    let here = folder.path();
    for place in
        ["training/videos", "testing/frames/01_0014", "testing/frames/02_0128", "testing/test_frame_mask"]
    {
        fs::create_dir_all(here.join("data").join(place)).expect("made");
    }
    for scene in ["01", "02"] {
        let video = here.join(format!("data/training/videos/{scene}_001.avi"));
        lavfi("testsrc=size=64x48:rate=10:duration=4", &["-c:v", "mjpeg"], &video);
    }
    for name in ["01_0014", "02_0128"] {
        let pictures = here.join("data/testing/frames").join(name).join("%03d.jpg");
        lavfi("testsrc=size=64x48:rate=10:duration=2", &[], &pictures);
        let labels: Vec<u8> = (0..20).map(|frame| u8::from(frame >= 10)).collect();
        fs::write(here.join(format!("data/testing/test_frame_mask/{name}.npy")), npy(&labels))
            .expect("written");
    }
    let of = |scene: &str| {
        bench(
            here,
            &["--dataset", "shanghaitech", "--root", "data", "--scene", scene, "--system", "one-path"],
        )
    };
    of("01").done();
    let row = &results(here).rows[0];
    assert_eq!(
        (row.dataset.as_str(), row.run.as_str()),
        ("shanghaitech-1-scene", "shanghaitech-1-scene/one-path/0")
    );
    let figure = row.figure("micro_auc", "paper").expect("measured");
    assert_eq!(figure.protocol.normalisation, "per_video");
    let run = here.join("out").join(&row.run);
    assert!(scores(&run).lines().skip(1).all(|line| line.starts_with("01_0014,")));
    of("77").failed(1, &["77", "01", "02"]);
}

/// A vector of bytes as NumPy keeps it.
fn npy(values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", values.len());
    let length = (10 + header.len() + 1).div_ceil(64) * 64 - 10;
    header = format!("{header:<width$}\n", width = length - 1);
    let size = u16::try_from(header.len()).expect("short");
    [b"\x93NUMPY\x01\x00".as_slice(), &size.to_le_bytes(), header.as_bytes(), values].concat()
}
