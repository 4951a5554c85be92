//! The page as a reader gets it: what is on it, what is not, and how large it grows.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::FakeRun;
use vadis_eval::run::{KindFigure, Metrics, RunInfo, ScoreTable};
use vadis_report::{ReportOptions, write_comparison, write_report};

fn made(run: &FakeRun) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    run.write(dir.path());
    let page = reported(dir.path(), &ReportOptions::default());
    (dir, page)
}

fn reported(dir: &Path, options: &ReportOptions) -> String {
    std::fs::read_to_string(write_report(dir, options).unwrap()).unwrap()
}

fn changed(dir: &Path, change: impl Fn(&mut RunInfo)) {
    let path = dir.join("run.json");
    let mut info = RunInfo::read(&path).unwrap();
    change(&mut info);
    info.write(&path).unwrap();
}

/// The page's elements and words, without style, script, drawings and numbers that depend on the machine.
fn skeleton(page: &str) -> String {
    let mut text = page.to_owned();
    for (open, close) in
        [("<style", "</style>"), ("<script", "</script>"), ("<svg", "</svg>"), ("<meta", ">")]
    {
        while let Some(start) = text.find(open) {
            let end = start + text[start..].find(close).unwrap() + close.len();
            text.replace_range(start..end, "");
        }
    }
    text.replace("><", ">\n<")
}

#[test]
fn skeleton_of_a_tiny_run() {
    let (_dir, page) = made(&FakeRun::tiny());
    insta::assert_snapshot!(skeleton(&page));
}

#[test]
fn indicators_are_drawn_where_there_are_several() {
    let (dir, page) = made(&FakeRun::hour());
    assert!(!page.contains("What each indicator says"), "one indicator is the score itself");
    let path = dir.path().join("scores.csv");
    let mut scores = ScoreTable::read(&path).unwrap();
    scores.indicators.push("likelihood_static".to_owned());
    scores.videos.iter_mut().flat_map(|v| &mut v.rows).for_each(|row| row.indicators.push(row.score * 0.1));
    scores.write(&path).unwrap();
    let page = reported(dir.path(), &ReportOptions::default());
    let section = &page
        [page.find("<section id=\"indicators\"").unwrap()..page.find("<section id=\"accuracy\"").unwrap()];
    assert_eq!(section.matches("<figure").count(), 3, "the video, and a histogram of each");
    assert!(section.contains("bits per dimension") && section.contains("bars s-truth\" d=\"M"));
}

#[test]
fn the_answer_comes_first() {
    let (_dir, page) = made(&FakeRun::hour());
    let heading = page.find("12 strange moments").unwrap();
    assert!(page.contains("in 1 h 0 min of footage"));
    assert!(heading < page.find("When it was strange").unwrap());
    for section in ["timeline", "events", "trouble", "accuracy", "learning", "protocol"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let (_dir, page) = made(&FakeRun::hour());
    assert!(page.contains("default-src 'none'"));
    for reference in ["http://", "https://", "src=\"/", "href=\"/", "url(", "@import"] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn names_from_files_stay_text() {
    const NAME: &str = "<script>alert(1)</script>.mp4";
    let mut run = FakeRun::hour();
    run.videos = vec![(NAME.to_owned(), 600), ("\"><img src=x onerror=alert(2)>".to_owned(), 600)];
    let dir = tempfile::tempdir().unwrap();
    run.write(dir.path());
    changed(dir.path(), |info| {
        info.notes.push(NAME.to_owned());
        info.sources[0].error = Some(NAME.to_owned());
        info.system = NAME.to_owned();
        info.config = serde_json::json!({ NAME: NAME });
    });
    let page = reported(dir.path(), &ReportOptions::default());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;.mp4"));
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains("<img"));
    let other = tempfile::tempdir().unwrap();
    let out = other.path().join("comparison.html");
    let runs = [dir.path().to_owned(), dir.path().to_owned()];
    write_comparison(&runs, &out, &ReportOptions::default()).unwrap();
    let page = std::fs::read_to_string(out).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
}

#[test]
fn missing_media_is_said() {
    let run = FakeRun { pictures: false, ..FakeRun::hour() };
    let (_dir, page) = made(&run);
    assert!(page.contains("No picture of this event was kept."));
}

#[test]
fn no_event_is_an_answer_too() {
    let run = FakeRun { events: 0, trouble: 0, labels: false, learning: false, ..FakeRun::hour() };
    let (_dir, page) = made(&run);
    assert!(page.contains("No strange moment"));
    assert!(page.contains("No score stayed above the threshold"));
}

#[test]
fn without_labels_nothing_is_measured() {
    let (_dir, page) = made(&FakeRun { labels: false, ..FakeRun::hour() });
    assert!(!page.contains("id=\"accuracy\""));
    assert!(!page.contains("labelled abnormal"));
}

#[test]
fn labels_without_metrics_are_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::hour().write(dir.path());
    std::fs::remove_file(dir.path().join("metrics.json")).unwrap();
    let page = reported(dir.path(), &ReportOptions::default());
    assert!(page.contains("Micro AUC"));
    assert!(page.contains("95 % intervals"));
}

#[test]
fn labels_that_do_not_fit_are_a_note_not_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::hour().write(dir.path());
    std::fs::write(dir.path().join("labels.csv"), "video,frame,label\neval,0,1\neval,1,0\n").unwrap();
    let page = reported(dir.path(), &ReportOptions::default());
    assert!(page.contains("The labels do not fit the scores"));
}

#[test]
fn one_frame_is_enough() {
    let run = FakeRun { videos: vec![("still".to_owned(), 1)], ..FakeRun::tiny() };
    let (_dir, page) = made(&run);
    assert!(page.contains("1 frame"));
    assert!(!page.contains("NaN"));
}

#[test]
fn an_empty_score_table_still_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::tiny().write(dir.path());
    ScoreTable::default().write(&dir.path().join("scores.csv")).unwrap();
    std::fs::remove_file(dir.path().join("events.csv")).unwrap();
    let page = reported(dir.path(), &ReportOptions::default());
    assert!(page.contains("No strange moment"));
}

#[test]
fn many_videos_stay_small() {
    let videos = |n: u64| (0..n).map(|i| (format!("camera {i}"), 400)).collect();
    let few = FakeRun { videos: videos(50), events: 40, ..FakeRun::hour() };
    let (_dir, page) = made(&few);
    assert_eq!(page.matches("<figure class=\"timeline\"").count(), 50);
    assert!(page.len() < 4_000_000, "{}", page.len());
    let many = FakeRun { videos: videos(90), events: 10, pictures: false, labels: false, ..FakeRun::hour() };
    let (_dir, page) = made(&many);
    assert_eq!(page.matches("<figure class=\"timeline\"").count(), 60);
    assert!(page.contains("30 more videos"));
}

#[test]
fn size_follows_the_page_not_the_footage() {
    let run = |frames| FakeRun {
        videos: vec![("day".to_owned(), frames)],
        pictures: false,
        labels: false,
        learning: false,
        ..FakeRun::hour()
    };
    let (_short, short) = made(&run(20_000));
    let (_long, long) = made(&run(200_000));
    assert!(long.len() < short.len() * 5 / 4, "{} after {}", long.len(), short.len());
}

#[test]
fn a_small_budget_keeps_pictures_first_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::hour().write(dir.path());
    let clip = [b"\0\0\0\x20ftypisom".as_slice(), &[0; 50_000]].concat();
    for rank in 1..=3 {
        std::fs::write(dir.path().join(format!("events/{rank:03}/clip.mp4")), &clip).unwrap();
    }
    let page = reported(dir.path(), &ReportOptions { media_budget: 170_000, ..ReportOptions::default() });
    assert!(page.contains("left out"));
    assert!(page.len() < 600_000, "{}", page.len());
}

#[test]
fn runs_are_compared_by_their_figures() {
    let dir = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["mle", "robust-pca"].iter().map(|name| dir.path().join(name)).collect();
    for (seed, dir) in dirs.iter().enumerate() {
        FakeRun { seed: seed as u64 + 1, pictures: false, ..FakeRun::hour() }.write(dir);
    }
    let out = dir.path().join("comparison.html");
    write_comparison(&dirs, &out, &ReportOptions::default()).unwrap();
    let page = std::fs::read_to_string(out).unwrap();
    assert!(page.contains("micro AUC") && page.contains("robust-pca"));
    assert_eq!(page.matches("<figure class=\"timeline\"").count(), 2);
    // A map of the latents and a histogram of the errors for each.
    assert_eq!(page.matches("<figure class=\"chart\"").count(), 4);
    assert!(page.contains("The gap between normal and abnormal frames"));
    assert!(write_comparison(&[], Path::new("x.html"), &ReportOptions::default()).is_err());
}

#[test]
fn the_weight_of_the_entropy_term_tells_runs_apart() {
    let dir = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["with", "without"].iter().map(|name| dir.path().join(name)).collect();
    for (weight, dir) in [0.01, 0.0].into_iter().zip(&dirs) {
        FakeRun { pictures: false, labels: weight > 0.0, ..FakeRun::hour() }.write(dir);
        changed(dir, |info| info.config["entropy_weight"] = serde_json::json!(weight));
    }
    let out = dir.path().join("comparison.html");
    write_comparison(&dirs, &out, &ReportOptions::default()).unwrap();
    let page = std::fs::read_to_string(out).unwrap();
    assert!(page.contains("run with, entropy weight 0.01") && page.contains("run without, entropy weight 0"));
    assert_eq!(page.matches("<figure class=\"chart\"").count(), 3, "no gap without labels");
}

#[test]
fn each_kind_has_its_row() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun { pictures: false, ..FakeRun::hour() }.write(dir.path());
    let path = dir.path().join("metrics.json");
    let mut metrics = Metrics::read(&path).unwrap();
    metrics.kinds.push(KindFigure {
        kind: "left_object".to_owned(),
        protocol: "paper".to_owned(),
        spans: 3,
        frames: 1234,
        auc: Some(0.912),
        fpr: 0.05,
        recall_at_fpr: Some(0.777),
        recall_in_events: None,
        spans_found: Some(2),
    });
    metrics.write(&path).unwrap();
    let page = reported(dir.path(), &ReportOptions::default());
    for word in ["By kind of anomaly", "left object", "0.912", "0.777", "at 5 % false positives", "2 of 3"] {
        assert!(page.contains(word), "no `{word}`");
    }
}

#[test]
fn a_file_that_is_cut_off_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::tiny().write(dir.path());
    let path = dir.path().join("scores.csv");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 3]).unwrap();
    let error = write_report(dir.path(), &ReportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("scores.csv"), "{error}");
}
