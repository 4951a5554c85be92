//! Every file of a run directory: round trips, truncated files, mutated files, faults by name.
#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_eval::run::*;

fn row(frame: u64, score: f64) -> ScoreRow {
    let time_s = frame as f64 / 25.0;
    ScoreRow { frame, time_s, score, causal: -score, edge: frame < 2, indicators: vec![score / 3.0, 1e-300] }
}

fn table() -> ScoreTable {
    let rows = |n: u64| (0..n).map(|i| row(i, i as f64 / 7.0)).collect();
    ScoreTable {
        indicators: vec!["reconstruction".into(), "flow, mean".into()],
        videos: vec![
            VideoScores { video: "plain.mp4".into(), rows: rows(5) },
            VideoScores { video: "a \"quoted\",\nhard näme.mp4".into(), rows: rows(3) },
        ],
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    (folder, path)
}

fn parse(text: &[u8]) -> Result<ScoreTable, RunError> {
    ScoreTable::parse(text, Path::new("scores.csv"))
}

/// Bytes of a whole file of each kind, with its parser.
type Parser = fn(&[u8]) -> Result<(), RunError>;

fn samples() -> Vec<(&'static str, Vec<u8>, Parser)> {
    let (folder, path) = folder();
    let mut samples: Vec<(&str, Vec<u8>, Parser)> = Vec::new();
    let mut add = |name, parser: Parser| samples.push((name, fs::read(&path).unwrap(), parser));
    table().write(&path).unwrap();
    add("scores", |b| parse(b).map(drop));
    write_events(&path, &[event()]).unwrap();
    add("events", |b| parse_events(b, Path::new("events.csv")).map(drop));
    let mut regions = RegionWriter::create(&path).unwrap();
    regions.push(&region()).unwrap();
    regions.push(&region()).unwrap();
    regions.finish().unwrap();
    add("regions", |b| parse_regions(b, Path::new("regions.csv")).map(drop));
    write_latents(&path, &[latent(), latent()]).unwrap();
    add("latents", |b| parse_latents(b, Path::new("latents.csv")).map(drop));
    write_labels(&path, &labels()).unwrap();
    add("labels", |b| parse_labels(b, Path::new("labels.csv")).map(drop));
    let mut training = TrainingWriter::create(&path, &["mse".into()]).unwrap();
    training.push(&training_row(1)).unwrap();
    training.push(&training_row(2)).unwrap();
    training.finish().unwrap();
    add("training", |b| TrainingLog::parse(b, Path::new("training.csv")).map(drop));
    samples.push(("npy", npy("<f4", "(3,)", &[0u8; 12]), |b| {
        ScoreTable::parse_npy(b, Path::new("a.npy")).map(drop)
    }));
    drop(folder);
    samples
}

fn event() -> Event {
    Event {
        video: "a,b".into(),
        start_frame: 3,
        end_frame: 9,
        start_s: 0.12,
        end_s: 0.36,
        peak_frame: 5,
        peak_score: 0.1 + 0.2,
        reason: "reconstruction, upper left: 9.3 deviations above the median".into(),
    }
}

fn region() -> Region {
    Region { video: "v".into(), frame: 4, x: 1, y: 2, width: 30, height: 40, score: 0.7 }
}

fn latent() -> LatentPoint {
    LatentPoint { video: "v".into(), frame: 0, x: -1.5, y: 1e-9, group: 2 }
}

fn labels() -> Labels {
    Labels::from([("a".into(), vec![0, 1, 1]), ("b".into(), vec![1])])
}

fn training_row(step: u64) -> TrainingRow {
    TrainingRow { step, epoch: step as f64 / 3.0, seconds: 0.25, values: vec![0.125] }
}

fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn every_file_round_trips() {
    let (_folder, path) = folder();
    table().write(&path).unwrap();
    assert_eq!(ScoreTable::read(&path).unwrap(), table());
    write_events(&path, &[event()]).unwrap();
    assert_eq!(read_events(&path).unwrap(), [event()]);
    write_latents(&path, &[latent()]).unwrap();
    assert_eq!(read_latents(&path).unwrap(), [latent()]);
    write_labels(&path, &labels()).unwrap();
    assert_eq!(read_labels(&path).unwrap(), labels());
    let mut regions = RegionWriter::create(&path).unwrap();
    regions.push(&region()).unwrap();
    regions.finish().unwrap();
    assert_eq!(read_regions(&path).unwrap(), [region()]);
}

#[test]
fn the_layout_of_scores_is_the_documented_one() {
    let (_folder, path) = folder();
    let mut small = table();
    small.videos.truncate(1);
    small.videos[0].rows.truncate(3);
    small.write(&path).unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
    video,frame,time_s,score,causal,edge,reconstruction,"flow, mean"
    plain.mp4,0,0,0,-0,1,0,1e-300
    plain.mp4,1,0.04,0.14285714285714285,-0.14285714285714285,1,0.047619047619047616,1e-300
    plain.mp4,2,0.08,0.2857142857142857,-0.2857142857142857,0,0.09523809523809523,1e-300
    "#);
}

#[test]
fn json_files_round_trip_and_keep_every_bit() {
    let (_folder, path) = folder();
    let protocol = Protocol {
        name: "causal".into(),
        score: "causal".into(),
        normalisation: "none".into(),
        smoothing: "ema:8".into(),
        edges: "keep".into(),
        labels: "labels.csv".into(),
        tuned_on_test: false,
    };
    let mut figure = Figure {
        metric: "micro_auc".into(),
        value: 0.1 + 0.2,
        low: Some(1.0 / 3.0),
        high: None,
        protocol,
        note: String::new(),
    };
    let metrics = Metrics { figures: vec![figure.clone()], kinds: Vec::new() };
    metrics.write(&path).unwrap();
    assert_eq!(Metrics::read(&path).unwrap(), metrics);
    figure.value = f64::NAN;
    assert!(matches!(
        Metrics { figures: vec![figure], kinds: Vec::new() }.write(&path),
        Err(RunError::Figure { .. })
    ));
    assert_eq!(Metrics::read(&path).unwrap(), metrics, "a refused file replaced the good one");

    let member = |name: &str| MemberInfo {
        name: name.to_owned(),
        from: format!("{name}.safetensors"),
        weight: 0.5,
        mean: 0.25,
        std: 0.125,
    };
    let combination = CombinationInfo {
        members: vec![member("itae"), member("mog2")],
        weights: "equal".to_owned(),
        delay: 7,
    };
    assert_eq!(combination.name(), "itae+mog2");
    let info = RunInfo {
        command: "scan".into(),
        command_line: "vadis scan eval.mp4 --set 'epochs=1 2'".into(),
        directory: "/home/me".into(),
        version: "0.1.0".into(),
        system: "mle".into(),
        preset: "cpu".into(),
        seed: 7,
        config: serde_json::json!({ "lambda": 0.01 }),
        machine: Machine::default(),
        started: "2026-11-21T00:00:00Z".into(),
        seconds: vec![("train".into(), 1.5)],
        scoring: vec![("network".to_owned(), 30.5)],
        peak_mib: None,
        sources: vec![SourceInfo { error: Some("cut".into()), ..SourceInfo::default() }],
        decision: None,
        heat: None,
        combination: Some(combination),
        notes: vec!["a note".into()],
    };
    info.write(&path).unwrap();
    assert_eq!(RunInfo::read(&path).unwrap(), info);
    fs::write(&path, "{\"command\": 3}").unwrap();
    let error = RunInfo::read(&path).unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn shell_arguments_stay_one_argument() {
    assert_eq!(shell_quoted("a/b.mp4"), "a/b.mp4");
    assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
    assert_eq!(shell_quoted(""), "''");
}

#[test]
fn kinds_are_read_with_or_without_their_places() {
    let parse = |text: &str| parse_kinds(text.as_bytes(), Path::new("kinds.csv"));
    let plain = parse("video,start_frame,end_frame,kind\na,3,9,vehicle\na,5,5,runner\n").unwrap();
    assert_eq!(plain.len(), 2);
    assert_eq!((plain[0].start_frame, plain[0].end_frame, plain[0].kind.as_str()), (3, 9, "vehicle"));
    let placed = "video,start_frame,end_frame,kind,x,y,width,height\na,3,9,vehicle,1,2,3,4\n";
    assert_eq!(parse(placed).unwrap(), plain[..1]);
    let backwards = parse("video,start_frame,end_frame,kind\na,9,3,vehicle\n").unwrap_err().to_string();
    assert!(backwards.contains("line 2") && backwards.contains("end_frame"), "{backwards}");
    assert!(matches!(parse("video,start_frame,end_frame,kind\na,9"), Err(RunError::Fields { .. })));
    assert!(matches!(parse("video,kind\n"), Err(RunError::MissingColumns { .. })));
}

#[test]
fn a_streamed_table_has_the_same_bytes() {
    let (_folder, path) = folder();
    table().write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut writer = ScoreWriter::create(&path, &table().indicators).unwrap();
    for video in &table().videos {
        for row in &video.rows {
            writer.push(&video.video, row).unwrap();
        }
    }
    fs::remove_file(&path).unwrap();
    writer.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn an_interrupted_table_is_continued() {
    let (_folder, path) = folder();
    let part = path.with_file_name("table.csv.part");
    let (video, all) = ("v".to_owned(), (0..6).map(|i| row(i, 0.5)).collect::<Vec<_>>());
    let indicators = table().indicators;
    let mut writer = ScoreWriter::create(&path, &indicators).unwrap();
    for row in &all[..4] {
        writer.push(&video, row).unwrap();
    }
    drop(writer); // the process ends here
    let bytes = fs::read(&part).unwrap();
    fs::write(&part, &bytes[..bytes.len() - 5]).unwrap();

    let (mut writer, written) = ScoreWriter::resume(&path, &indicators).unwrap();
    assert_eq!(written, Written { rows: 3, last: Some((video.clone(), 2)) });
    assert!(writer.push(&video, &all[2]).is_err(), "a frame was written twice");
    for row in &all[3..] {
        writer.push(&video, row).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(ScoreTable::read(&path).unwrap().videos, [VideoScores { video, rows: all }]);

    let mut writer = ScoreWriter::create(&path, &[]).unwrap();
    writer.push("v", &ScoreRow::default()).unwrap();
    drop(writer);
    let error = ScoreWriter::resume(&path, &indicators).unwrap_err();
    assert!(matches!(error, RunError::OtherColumns { .. }), "{error}");
}

#[test]
fn a_training_log_continues_from_its_checkpoint() {
    let (_folder, path) = folder();
    let terms = ["mse".to_owned()];
    let mut writer = TrainingWriter::resume(&path, &terms, 0).unwrap();
    for step in 1..=5 {
        writer.push(&training_row(step)).unwrap();
    }
    drop(writer);
    let mut writer = TrainingWriter::resume(&path, &terms, 3).unwrap();
    writer.push(&training_row(4)).unwrap();
    writer.finish().unwrap();
    let steps = |path| TrainingLog::read(path).unwrap().rows.iter().map(|row| row.step).collect::<Vec<_>>();
    assert_eq!(steps(&path), [1, 2, 3, 4]);
    TrainingWriter::resume(&path, &terms, 2).unwrap().finish().unwrap();
    assert_eq!(steps(&path), [1, 2]);
    assert!(TrainingWriter::resume(&path, &[], 2).is_err());
}

#[test]
fn a_foreign_table_needs_three_columns() {
    let table = parse(b"score, frame,video\r\n0.5,0,a\r\n0.25,7,a\r\n").unwrap();
    let rows = &table.video("a").unwrap().rows;
    assert_eq!((rows[1].frame, rows[1].time_s, rows[1].score, rows[1].causal), (7, 7.0, 0.25, 0.25));
    assert!(table.video("b").is_none());
}

#[test]
fn faults_are_named_with_their_line() {
    let long = format!("video,frame,score\na,0,{}\n", "9x".repeat(400));
    let cases: [(&[u8], &str); 17] = [
        (b"", "is empty: expected a header line with video,frame,score"),
        (b"video,frame\na,0\n", "has no column score: its header is video,frame"),
        (b"video,frame,score,score\na,0,1,1\n", "column `score` stands twice"),
        (b"video,frame,score\na,0,1\na,1\n", "line 3: 2 fields instead of 3 (the file was cut off?)"),
        (b"video,frame,score\na,0,1,4\n", "line 2: 4 fields instead of 3"),
        (b"video,frame,score\na,0,0.12", "no line end"),
        (b"video,frame,score", "no line end"),
        (b"video,frame,score\na,0,high\n", "line 2: score is `high`, expected a finite number"),
        (b"video,frame,score\na,0,NaN\n", "line 2: score is `NaN`"),
        (b"video,frame,score\na,0,-inf\n", "line 2: score is `-inf`"),
        (b"video,frame,score\na,-1,0\n", "line 2: frame is `-1`, expected a whole number"),
        (b"video,frame,score\na,1,0\na,0,0\n", "line 3: frame 0 of `a` after frame 1"),
        (b"video,frame,score\na,1,0\na,1,0\n", "line 3: frame 1 of `a` after frame 1"),
        (b"video,frame,score\na,0,0\nb,0,0\na,1,0\n", "line 4: `a` again after another video"),
        (b"video,frame,score,edge\na,0,0,2\n", "line 2: edge is `2`, expected 0 or 1"),
        (b"video,frame,score\n\xff,0,0\n", "line 2: not UTF-8"),
        (long.as_bytes(), "9x…`, expected a finite number"),
    ];
    for (text, want) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("scores.csv") && error.contains(want), "{error:?} lacks {want:?}");
    }
    let error = parse_labels(&b"video,frame,label\na,0,1\na,2,1\n"[..], Path::new("l")).unwrap_err();
    assert!(
        error.to_string().contains("line 3: frame 2 of `a` after frame 0, expected the next one"),
        "{error}"
    );
    assert!(parse_labels(&b"video,frame,label\na,1,1\n"[..], Path::new("l")).is_err());
}

#[test]
fn a_table_with_a_bad_value_is_not_written() {
    let (_folder, path) = folder();
    let mut table = table();
    table.videos[1].rows[2].causal = f64::NAN;
    let error = table.write(&path).unwrap_err().to_string();
    assert!(error.contains("causal of frame 2"), "{error}");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    table.indicators[0] = "score".into();
    assert!(matches!(table.write(&path), Err(RunError::Column { .. })));
    table.indicators.pop();
    assert!(table.write(&path).is_err());
}

#[test]
fn numpy_scores_become_one_video() {
    let name = Path::new("dir/Test001.npy");
    let doubles: Vec<u8> = [0.5f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let singles: Vec<u8> = [0.1f32, 3.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let scores = |bytes: &[u8]| {
        let table = ScoreTable::parse_npy(bytes, name).map_err(|error| error.to_string())?;
        assert_eq!(table.videos[0].video, "Test001");
        Ok::<_, String>(table.videos[0].rows.iter().map(|row| row.score).collect::<Vec<_>>())
    };
    assert_eq!(scores(&npy("<f8", "(2,)", &doubles)).unwrap(), [0.5, -2.0]);
    assert_eq!(scores(&npy("<f8", "(2, 1)", &doubles)).unwrap(), [0.5, -2.0]);
    assert_eq!(scores(&npy(">f4", "(2,)", &singles)).unwrap(), [f64::from(0.1f32), 3.0]);
    let fault = |bytes: &[u8]| scores(bytes).unwrap_err();
    assert!(fault(&npy("<f8", "(1, 2)", &doubles)).contains("expected the shape"));
    assert!(fault(&npy("<i8", "(2,)", &doubles)).contains("expected float32 or float64"));
    assert!(fault(&npy("<f8", "(3,)", &doubles)).contains("promises 3 scores"));
    assert!(fault(&npy("<f8", "(18446744073709551615,)", &doubles)).contains("promises"));
    assert!(fault(&npy("<f8", "(2,)", &[0xff; 16])).contains("frame 0"));
    assert!(fault(b"video,frame").contains("not a .npy file"));
    let mut nested = npy("<f8", "(2,)", &doubles);
    nested[10..100].fill(b'(');
    assert!(fault(&nested).contains("not that of a plain array"));
}

#[test]
fn every_prefix_is_an_error_or_whole_rows() {
    for (name, bytes, parser) in samples() {
        assert!(parser(&bytes).is_ok(), "{name}");
        for cut in 0..bytes.len() {
            let result = parser(&bytes[..cut]);
            let whole_rows = name != "npy" && cut > 0 && bytes[cut - 1] == b'\n';
            assert!(whole_rows || result.is_err(), "{name}: {cut} bytes were taken for a whole file");
        }
    }
}

#[test]
fn mutations_never_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (_, bytes, parser) in samples() {
        for _ in 0..500 {
            let mut mutant = bytes.clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..mutant.len());
                match rng.random_range(0..4) {
                    0 => mutant[at] = rng.random(),
                    1 => mutant[at] = b",\n\"\r0-e.9\xff"[rng.random_range(0..10)],
                    2 => mutant.insert(at, rng.random()),
                    _ => {
                        let tail = mutant.split_off(at);
                        mutant.extend_from_slice(&tail[tail.len() / 2..]);
                        mutant.push(b'\n');
                    }
                }
            }
            // what is accepted must be fit to be written again
            if parser(&mutant).is_ok()
                && let Ok(table) = parse(&mutant)
            {
                let (_folder, path) = folder();
                table.write(&path).unwrap();
                assert_eq!(ScoreTable::read(&path).unwrap(), table);
            }
        }
    }
}

fn any_finite() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite())
}

proptest! {
    #[test]
    fn scores_keep_every_bit(values in prop::collection::vec(any_finite(), 1..40), name in ".{0,12}") {
        let (_folder, path) = folder();
        let rows = values.iter().enumerate().map(|(i, &x)| ScoreRow { frame: i as u64, score: x, causal: -x, ..row(0, 0.0) });
        let table = ScoreTable {
            indicators: vec!["a".into(), "b".into()],
            videos: vec![VideoScores { video: name, rows: rows.collect() }],
        };
        table.write(&path).unwrap();
        let read = ScoreTable::read(&path).unwrap();
        prop_assert_eq!(&read, &table);
        for (got, want) in read.videos[0].rows.iter().zip(&values) {
            prop_assert_eq!(got.score.to_bits(), want.to_bits());
        }
    }

    #[test]
    fn single_precision_survives(value in any::<f32>().prop_filter("finite", |x| x.is_finite())) {
        let (_folder, path) = folder();
        let rows = vec![ScoreRow { score: value.into(), ..ScoreRow::default() }];
        ScoreTable { indicators: vec![], videos: vec![VideoScores { video: "v".into(), rows }] }.write(&path).unwrap();
        prop_assert_eq!((ScoreTable::read(&path).unwrap().videos[0].rows[0].score as f32).to_bits(), value.to_bits());
    }
}
