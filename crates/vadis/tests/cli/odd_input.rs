//! Footage as it comes: odd sizes, grey, uneven in time, pictures, and names that nobody should give a file.

use std::fs;

use vadis::eval::run::{RunInfo, ScoreTable};

use super::common::{QUICK, clip, folder, lavfi, quick, scores, vadis};

/// Scans `a.mkv` made that way, and gives the run's description and scores.
fn scan(input: &str, args: &[&str]) -> (RunInfo, ScoreTable) {
    let folder = folder();
    let here = folder.path();
    lavfi(input, args, &here.join("a.mkv"));
    quick(here, &["scan", "a.mkv", "-o", "run"]).done();
    let info = RunInfo::read(&here.join("run/run.json")).expect("run.json");
    (info, ScoreTable::read(&here.join("run/scores.csv")).expect("scores.csv"))
}

#[test]
fn odd_sizes_are_scored() {
    for size in ["37x23", "17x200", "1x1"] {
        let input = format!("testsrc=size={size}:rate=10:duration=2");
        let (info, table) = scan(&input, &["-c:v", "ffv1", "-pix_fmt", "yuv444p"]);
        assert_eq!(format!("{}x{}", info.sources[0].width, info.sources[0].height), size);
        assert_eq!(table.videos[0].rows.len(), 20);
    }
}

#[test]
fn grey_video_is_scored() {
    let (_, table) = scan("testsrc=size=64x48:rate=10:duration=2", &["-pix_fmt", "gray", "-c:v", "ffv1"]);
    assert_eq!(table.videos[0].rows.len(), 20);
}

/// A still picture has nothing to learn from and nothing to correlate with.
#[test]
fn footage_that_never_changes_has_finite_scores() {
    for input in ["color=black:size=64x48:rate=10:duration=3", "color=white:size=64x48:rate=10:duration=3"] {
        let (_, table) = scan(input, &["-c:v", "ffv1"]);
        assert!(table.videos[0].rows.iter().all(|r| r.score.is_finite() && r.causal.is_finite()));
    }
}

/// Times are the container's, not the count over a mean rate.
#[test]
fn variable_frame_rate_keeps_the_times_of_the_file() {
    let uneven = "select='lt(n,15)+not(mod(n,5))'";
    let args = ["-vf", uneven, "-vsync", "vfr", "-c:v", "ffv1"];
    let (_, table) = scan("testsrc=size=64x48:rate=10:duration=6", &args);
    let times: Vec<f64> = table.videos[0].rows.iter().map(|r| r.time_s).collect();
    let expected = (0..60).filter(|n| *n < 15 || n % 5 == 0).map(|n| f64::from(n) / 10.0);
    let expected: Vec<f64> = expected.collect();
    assert_eq!(times.len(), expected.len());
    assert!(times.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{times:?}");
}

#[test]
fn numbered_images_are_one_video_in_natural_order() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("frames")).expect("made");
    lavfi("testsrc=size=64x48:rate=10:duration=2", &[], &here.join("frames/%d.png"));
    quick(here, &["scan", "frames", "-o", "run", "--image-fps", "4"]).done();
    let table = ScoreTable::read(&here.join("run/scores.csv")).expect("scores.csv");
    let rows = &table.videos[0].rows;
    assert_eq!((table.videos[0].video.as_str(), rows.len()), ("frames", 20));
    assert!((rows[19].time_s - 19.0 / 4.0).abs() < 1e-9, "{}", rows[19].time_s);
}

#[test]
fn no_more_frames_are_read_than_asked_for() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("a.mkv"));
    quick(here, &["scan", "a.mkv", "-o", "run", "--max-frames", "18"]).done();
    assert_eq!(scores(&here.join("run")).lines().count(), 19);
}

#[test]
fn sources_of_one_name_are_told_apart() {
    let folder = folder();
    let here = folder.path();
    for day in ["mon", "tue"] {
        fs::create_dir(here.join(day)).expect("made");
        clip(&here.join(day).join("cam.mkv"));
    }
    quick(here, &["scan", "mon/cam.mkv", "tue/cam.mkv", "-o", "run"]).done();
    let table = ScoreTable::read(&here.join("run/scores.csv")).expect("scores.csv");
    let names: Vec<&str> = table.videos.iter().map(|v| v.video.as_str()).collect();
    assert_eq!(names, ["cam", "cam (2)"]);
    let info = RunInfo::read(&here.join("run/run.json")).expect("run.json");
    assert_eq!(info.sources[1].path, "tue/cam.mkv");
    assert_eq!(info.sources.iter().map(|s| s.frames).sum::<u64>(), 60);
}

/// Names that would be options, markup, paths or lines if someone took them for that.
#[cfg(unix)]
#[test]
fn strange_file_names_are_only_names() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("in")).expect("made");
    let long = "long".repeat(60);
    let names: [&str; 11] = [
        "-i",
        "-dash",
        "<script>alert(1)<",
        "a 'b' \"c\"",
        "comma,in it",
        "new\nline",
        "%d",
        "é ü 東",
        "a?b",
        "a*b",
        &long,
    ];
    clip(&here.join("whole.mkv"));
    for name in names {
        fs::copy(here.join("whole.mkv"), here.join("in").join(format!("{name}.mkv"))).expect("copied");
    }
    quick(here, &["scan", "in", "-o", "run"]).done();
    let run = here.join("run");
    let table = ScoreTable::read(&run.join("scores.csv")).expect("scores.csv");
    let mut found: Vec<&str> = table.videos.iter().map(|v| v.video.as_str()).collect();
    // A name that is two lines is told on one.
    let mut expected = names.map(|name| if name == "new\nline" { "new_line" } else { name });
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(table.videos.iter().all(|v| v.rows.len() == 30));
    let page = fs::read_to_string(run.join("report.html")).expect("report.html");
    assert!(!page.contains("<script>alert(1)"), "a name became markup");
    let files = fs::read_dir(&run).expect("a folder").map(|e| e.expect("an entry").file_name());
    let tracks = files.filter(|f| f.to_string_lossy().ends_with(".vtt")).count();
    assert_eq!(tracks, names.len(), "every source has a file of its own");

    vadis(here, ["report", "run"]).done();
    // After `--`, or with its folder, such a name is a source like any other.
    let dash = ["--quiet", "scan", "-o", "../dash"].iter().chain(&QUICK).chain(&["--", "-dash.mkv"]);
    vadis(&here.join("in"), dash).done();
    assert_eq!(scores(&here.join("dash")).lines().count(), 31);
}

/// A name of nothing but signs still has a run of its own, inside `runs/`.
#[cfg(unix)]
#[test]
fn a_run_has_a_folder_whatever_its_source_is_called() {
    let folder = folder();
    let here = folder.path();
    clip(&here.join("day.mkv"));
    let ran = quick(here, &["scan", "day.mkv"]).done();
    assert_eq!(ran.out.lines().last(), Some("report: runs/day/report.html"));
    fs::copy(here.join("day.mkv"), here.join("--.mkv")).expect("copied");
    let ran = quick(here, &["scan", "./--.mkv"]).done();
    assert!(!here.join("runs/report.html").exists(), "{}", ran.out);
}

/// Names that are not Unicode cannot be arguments, but may lie in a folder.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_scanned() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("in")).expect("made");
    clip(&here.join("a.mkv"));
    let name = OsStr::from_bytes(b"cam\xff.mkv");
    fs::rename(here.join("a.mkv"), here.join("in").join(name)).expect("renamed");
    quick(here, &["scan", "in", "-o", "run"]).done();
    assert_eq!(scores(&here.join("run")).lines().count(), 31);
    vadis(here, [OsStr::new("scan"), name]).failed(2, &["UTF-8"]);
}
