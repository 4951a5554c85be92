//! What every system promises, on a small moving scene: scores do not depend on how frames are split, a saved model
//! scores as the one in memory, an interrupted training goes on to the same bits, the same seed gives the same scores.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use vadis_systems::{
    FrameStore, FrameStoreWriter, Model, ModelInfo, Preset, Progress, Scored, Session, Setting, SystemError,
    cpu_device, load_model, method, methods, save_model,
};
use vadis_video::{Frame, Mask};

/// What learns in seconds, if at all, and has no checkpoint.
const WITHOUT_CHECKPOINT: [&str; 5] = ["robust-pca", "frame-diff", "mog2", "flow-magnitude", "patch-knn"];

/// A bright bar sweeps over a textured ground; from frame 200 to 211 a dark block darts about in it.
fn scene(frames: u64, format: vadis_systems::InputFormat) -> Vec<Frame> {
    (0..frames).map(|t| picture(t, format)).collect()
}

fn picture(t: u64, format: vadis_systems::InputFormat) -> Frame {
    let (w, h) = (format.width, format.height);
    let mut frame = Frame::filled(w, h, format.colour, 0);
    let channels = format.colour.channels();
    let bar = (t * 3 % w as u64) as usize;
    let left = 4 + (t * 7 % 13) as usize;
    for (i, pixel) in frame.data.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (i % w, i / w);
        let ground = 60 + (x * 5 + y * 3) % 40;
        let value = if x.abs_diff(bar) < 3 { 200 } else { ground };
        let block = (200..212).contains(&t) && (4..12).contains(&y) && (left..left + 10).contains(&x);
        pixel.fill(if block { 5 } else { value as u8 });
    }
    frame.index = t;
    frame.time_s = t as f64 / 10.0;
    frame
}

struct Bench {
    folder: TempDir,
    store: FrameStore,
    frames: Vec<Frame>,
}

fn bench(system: &str, settings: &[Setting]) -> Bench {
    let configured = method(system).unwrap().configure(Preset::Tiny, settings).unwrap();
    let input = configured.input(64, 40);
    let folder = TempDir::new().unwrap();
    let frames = scene(240, input);
    let mut writer = FrameStoreWriter::create(folder.path(), input, configured.max_frames()).unwrap();
    frames.iter().for_each(|f| writer.push(0, f).unwrap());
    Bench { store: writer.finish().unwrap(), folder, frames }
}

fn settings(system: &str) -> Vec<Setting> {
    let texts: &[&str] = match system {
        "mle" => &["size=32x24", "max_steps=12", "min_steps=12", "batch=32", "latent=16"],
        key if WITHOUT_CHECKPOINT.contains(&key) => &["size=32x24"],
        _ => &["size=32x24", "max_steps=16", "min_steps=16"],
    };
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

struct Call<'a> {
    bench: &'a Bench,
    seed: u64,
    resume: bool,
    stop_at: Option<u64>,
    ignore: Option<Mask>,
}

fn train(system: &str, call: Call<'_>) -> Result<Box<dyn Model>, SystemError> {
    train_with(system, &settings(system), call)
}

fn train_with(system: &str, settings: &[Setting], call: Call<'_>) -> Result<Box<dyn Model>, SystemError> {
    let configured = method(system)?.configure(Preset::Tiny, settings)?;
    let interrupt = AtomicBool::new(false);
    let mut steps = 0;
    let mut progress = |p: Progress| {
        steps += u64::from(p.stage == "training");
        if p.stage == "training" && Some(steps) == call.stop_at {
            interrupt.store(true, Ordering::Relaxed);
        }
    };
    let mut session = Session {
        ignore: call.ignore,
        checkpoint: Some(call.bench.folder.path().join("checkpoint.safetensors")),
        resume: call.resume,
        ..Session::new(call.seed, cpu_device(), &interrupt, &mut progress)
    };
    configured.train(&call.bench.store, &mut session)
}

fn plain(bench: &Bench) -> Call<'_> {
    Call { bench, seed: 0, resume: false, stop_at: None, ignore: None }
}

fn score(model: &dyn Model, frames: &[Frame], chunk: usize) -> Vec<Scored> {
    let mut scorer = model.scorer();
    let mut out = Vec::new();
    frames.chunks(chunk).for_each(|part| scorer.push(part, &mut out).unwrap());
    scorer.finish(&mut out).unwrap();
    out
}

fn keys() -> impl Iterator<Item = &'static str> {
    methods().iter().map(|m| m.key())
}

#[test]
fn every_frame_is_scored_once_whatever_the_split() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let model = train(system, plain(&bench)).unwrap();
        let whole = score(model.as_ref(), &bench.frames, 240);
        assert_eq!(whole, score(model.as_ref(), &bench.frames, 1), "{system}");
        assert_eq!(whole, score(model.as_ref(), &bench.frames, 7), "{system}");
        assert!(whole.iter().map(|s| s.frame).eq(0..240), "{system}");
        let pixels = model.input().width * model.input().height;
        for s in &whole {
            assert_eq!((s.indicators.len(), s.heat.len()), (model.indicators().len(), pixels));
            assert!(s.score.is_finite() && s.heat.iter().all(|h| h.is_finite() && *h >= 0.0));
        }
    }
}

/// Frames in colour, of a size that no preset has, in sources too short to hold any of out.
#[test]
fn clip_systems_take_colour_and_short_sources() {
    for system in ["one-path", "itae-nf", "ae3d", "memae", "lntra-patch", "pseudo"] {
        let texts = ["colour=rgb", "size=40x16", "max_steps=4", "min_steps=4"];
        let settings: Vec<Setting> = texts.iter().map(|t| t.parse().unwrap()).collect();
        let configured = method(system).unwrap().configure(Preset::Tiny, &settings).unwrap();
        let input = configured.input(64, 40);
        let folder = TempDir::new().unwrap();
        let frames = scene(60, input);
        let mut writer = FrameStoreWriter::create(folder.path(), input, 100).unwrap();
        frames.iter().enumerate().for_each(|(i, f)| writer.push(i / 20, f).unwrap());
        let bench = Bench { store: writer.finish().unwrap(), folder, frames };
        let model = train_with(system, &settings, plain(&bench)).unwrap();
        assert_eq!(model.statistics().footage, "training", "{system}");
        assert!(model.statistics().frames > 0, "{system}");
        let whole = score(model.as_ref(), &bench.frames, 60);
        assert_eq!(whole, score(model.as_ref(), &bench.frames, 9), "{system}");
        // Of windows that judge the frame in their middle, the first and last frames are none's middle.
        let edges = if model.delay() == 7 { 0 } else { 7 };
        assert!([7, 3, 4].contains(&model.delay()), "{system}");
        assert_eq!(whole.iter().filter(|s| s.edge).count(), edges, "{system}");
        assert!(whole.iter().all(|s| s.score.is_finite()), "{system}");
        let short = score(model.as_ref(), &bench.frames[..5], 2);
        assert!(short.len() == 5 && short.iter().all(|s| s.edge), "{system}");
        let explained = model.explain(&bench.frames[3..6]).unwrap();
        let unlikely = explained.unlikely.map(|map| map.iter().filter(|v| **v >= 0.0).count());
        assert_eq!(unlikely, (system == "itae-nf").then_some(40 * 16), "{system}");
        let rebuilt = explained.reconstruction.unwrap();
        assert_eq!((rebuilt.index, rebuilt.data.len()), (5, 40 * 16 * 3), "{system}");
    }
}

#[test]
fn the_same_seed_gives_the_same_scores() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let first = train(system, plain(&bench)).unwrap();
        let again = train(system, plain(&bench)).unwrap();
        assert_eq!(
            score(first.as_ref(), &bench.frames, 64),
            score(again.as_ref(), &bench.frames, 64),
            "{system}"
        );
    }
}

#[test]
fn a_saved_model_scores_as_the_one_in_memory() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let model = train(system, plain(&bench)).unwrap();
        let path = bench.folder.path().join("model.safetensors");
        save_model(model.as_ref(), &ModelInfo::default(), &path).unwrap();
        let (loaded, _) = load_model(&path).unwrap();
        assert_eq!((loaded.config(), loaded.statistics()), (model.config(), model.statistics()), "{system}");
        assert_eq!(
            score(model.as_ref(), &bench.frames, 64),
            score(loaded.as_ref(), &bench.frames, 64),
            "{system}"
        );
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(load_model(&path).is_err(), "{system}: cut at {cut}");
        }
    }
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    for system in keys().filter(|key| !WITHOUT_CHECKPOINT.contains(key)) {
        let bench = bench(system, &settings(system));
        let straight = train(system, plain(&bench)).unwrap();
        let stopped = train(system, Call { stop_at: Some(5), ..plain(&bench) });
        assert!(matches!(stopped, Err(SystemError::Interrupted { step: 5, .. })), "{system}");
        let other_seed = train(system, Call { resume: true, seed: 9, ..plain(&bench) });
        assert!(matches!(other_seed, Err(SystemError::Checkpoint { .. })), "{system}");
        let resumed = train(system, Call { resume: true, ..plain(&bench) }).unwrap();
        assert_eq!(
            score(straight.as_ref(), &bench.frames, 64),
            score(resumed.as_ref(), &bench.frames, 64),
            "{system}"
        );
    }
}

/// The flows learn after the autoencoder's 16 steps, and their checkpoint holds the autoencoder.
#[test]
fn interrupted_flows_go_on_to_the_same_bits() {
    let bench = bench("itae-nf", &settings("itae-nf"));
    let straight = train("itae-nf", plain(&bench)).unwrap();
    let stopped = train("itae-nf", Call { stop_at: Some(16 + 3), ..plain(&bench) });
    assert!(matches!(stopped, Err(SystemError::Interrupted { step: 3, .. })));
    let resumed = train("itae-nf", Call { resume: true, ..plain(&bench) }).unwrap();
    assert_eq!(score(straight.as_ref(), &bench.frames, 64), score(resumed.as_ref(), &bench.frames, 64));
    assert_eq!(resumed.statistics(), straight.statistics());
}

/// The autoencoder of motion learns after that of appearance, whose 16 steps its checkpoint holds.
#[test]
fn an_interrupted_motion_goes_on_to_the_same_bits() {
    let bench = bench("pseudo", &settings("pseudo"));
    let straight = train("pseudo", plain(&bench)).unwrap();
    let stopped = train("pseudo", Call { stop_at: Some(16 + 3), ..plain(&bench) });
    assert!(matches!(stopped, Err(SystemError::Interrupted { step: 3, .. })));
    let resumed = train("pseudo", Call { resume: true, ..plain(&bench) }).unwrap();
    assert_eq!(score(straight.as_ref(), &bench.frames, 64), score(resumed.as_ref(), &bench.frames, 64));
    assert_eq!(resumed.statistics(), straight.statistics());
    let sheet = bench.folder.path().join("pseudo_anomalies.png");
    assert!(std::fs::metadata(sheet).unwrap().len() > 500, "what it learns from is shown");
}

/// What Ristea et al. add to `motion-mae`, one by one and together.
#[test]
fn options_of_the_masked_autoencoder_keep_the_promises() {
    let options: [&[&str]; 4] = [
        &["offset=3"],
        &["student_steps=6"],
        &["pasted=0.5"],
        &["offset=2", "student_steps=6", "pasted=0.5", "motion_loss=false", "motion_score=false"],
    ];
    for (texts, delay) in options.into_iter().zip([3, 1, 1, 2]) {
        let mut settings = settings("motion-mae");
        settings.extend(texts.iter().map(|text| text.parse::<Setting>().unwrap()));
        let bench = bench("motion-mae", &settings);
        let model = train_with("motion-mae", &settings, plain(&bench)).unwrap();
        assert_eq!(model.delay(), delay, "{texts:?}");
        let whole = score(model.as_ref(), &bench.frames, 240);
        for split in [1, 7] {
            assert_eq!(whole, score(model.as_ref(), &bench.frames, split), "{texts:?}");
        }
        let edges = |s: &Scored| (s.frame as usize) < delay || s.frame as usize >= 240 - delay;
        assert!(whole.iter().map(|s| s.frame).eq(0..240) && whole.iter().all(|s| s.edge == edges(s)));
        let short = score(model.as_ref(), &bench.frames[..delay], 1);
        assert!(short.len() == delay && short.iter().all(|s| s.edge && s.score.is_finite()));
        let path = bench.folder.path().join("model.safetensors");
        save_model(model.as_ref(), &ModelInfo::default(), &path).unwrap();
        let (loaded, _) = load_model(&path).unwrap();
        assert_eq!(whole, score(loaded.as_ref(), &bench.frames, 64), "{texts:?}");
        let stops =
            if texts.iter().any(|text| text.starts_with("student")) { vec![5, 16 + 3] } else { vec![5] };
        for stop in stops {
            let stopped = train_with("motion-mae", &settings, Call { stop_at: Some(stop), ..plain(&bench) });
            assert!(matches!(stopped, Err(SystemError::Interrupted { .. })), "{texts:?}");
            let resumed =
                train_with("motion-mae", &settings, Call { resume: true, ..plain(&bench) }).unwrap();
            assert_eq!(whole, score(resumed.as_ref(), &bench.frames, 64), "{texts:?}");
        }
        let explained = model.explain_at(&bench.frames[..7], 3).unwrap();
        assert_eq!(explained.reconstruction.unwrap().index, 3);
    }
}

/// What is averaged over the frames around is the mean of what each of them has alone.
#[test]
fn motion_is_averaged_over_the_frames_around() {
    for system in ["frame-diff", "mog2", "flow-magnitude", "patch-knn"] {
        let alone = settings(system);
        let around: Vec<Setting> = alone.iter().cloned().chain(["around=2".parse().unwrap()]).collect();
        let bench = bench(system, &alone);
        let models = [&alone, &around].map(|settings| train_with(system, settings, plain(&bench)).unwrap());
        assert_eq!(models[1].delay(), models[0].delay() + 2, "{system}");
        let [alone, whole] = models.each_ref().map(|model| score(model.as_ref(), &bench.frames, 240));
        for split in [1, 7] {
            assert_eq!(whole, score(models[1].as_ref(), &bench.frames, split), "{system}");
        }
        assert!(
            whole.iter().map(|s| (s.frame, s.edge)).eq(alone.iter().map(|s| (s.frame, s.edge))),
            "{system}"
        );
        let short = score(models[1].as_ref(), &bench.frames[..4], 1);
        assert!(short.len() == 4 && short.iter().all(|s| s.score.is_finite()), "{system}");
        if system == "patch-knn" {
            continue;
        }
        let measured: Vec<f64> = alone.iter().filter(|s| !s.edge).map(|s| s.indicators[0]).collect();
        let means = (0..measured.len()).map(|i| {
            let near = &measured[i.saturating_sub(2)..(i + 3).min(measured.len())];
            near.iter().sum::<f64>() / near.len() as f64
        });
        for (got, wanted) in whole.iter().filter(|s| !s.edge).zip(means) {
            assert!((got.indicators[0] - wanted).abs() <= 1e-6 * wanted.abs().max(1e-3), "{system}");
        }
    }
}

#[test]
fn the_rare_block_stands_out() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let mut settings = settings(system);
        if system == "mle" {
            // A few steps learn the mean of the scene, not its structure: error shows the block, correlation not yet.
            settings.push("score=squared_error".parse().unwrap());
        }
        if ["frame-diff", "mog2", "flow-magnitude", "patch-knn"].contains(&system) {
            // The bar always moves most in its patch: the block shows in the frame as a whole.
            settings.push("score=mean".parse().unwrap());
        }
        let model = train_with(system, &settings, plain(&bench)).unwrap();
        let scored = score(model.as_ref(), &bench.frames, 64);
        let mean = |range: std::ops::Range<usize>| {
            scored[range.clone()].iter().map(|s| s.score).sum::<f64>() / range.len() as f64
        };
        assert!(mean(200..212) > mean(0..200), "{system}: {} against {}", mean(200..212), mean(0..200));
    }
}

#[test]
fn ignored_pixels_change_nothing() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let mut mask = Mask::empty(32, 24);
        mask.data[..32 * 12].fill(1);
        let model = train(system, Call { ignore: Some(mask), ..plain(&bench) }).unwrap();
        let mut spoilt = bench.frames.clone();
        for frame in &mut spoilt {
            frame.data[..32 * 12].iter_mut().for_each(|v| *v = v.wrapping_mul(7));
        }
        assert_eq!(score(model.as_ref(), &bench.frames, 64), score(model.as_ref(), &spoilt, 64), "{system}");
    }
}

#[test]
fn too_little_footage_is_said() {
    for system in keys() {
        let configured = method(system).unwrap().configure(Preset::Tiny, &settings(system)).unwrap();
        let input = configured.input(64, 40);
        let folder = TempDir::new().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), input, 10).unwrap();
        scene(3, input).iter().for_each(|f| writer.push(0, f).unwrap());
        let bench = Bench { store: writer.finish().unwrap(), folder, frames: Vec::new() };
        let refused = train(system, plain(&bench));
        assert!(matches!(refused, Err(SystemError::TooFewFrames { got: 3, .. })), "{system}");
    }
}

/// With the weights that `scripts/pretrained-weights` gets, where `VADIS_WEIGHTS` names their folder.
#[test]
fn meaning_is_scored_where_there_are_weights() {
    let with = |path: &str| -> Vec<Setting> {
        let texts = ["size=32x24", "max_steps=8", "min_steps=8"].map(str::to_owned);
        let feature = format!("features={path:?}");
        texts.into_iter().chain([feature]).map(|text| text.parse().unwrap()).collect()
    };
    let nowhere = with("nowhere/lite0.safetensors");
    let refused = train_with("pseudo", &nowhere, plain(&bench("pseudo", &nowhere)));
    assert!(refused.is_err_and(|error| error.to_string().contains("nowhere")));
    let Some(folder) = std::env::var_os("VADIS_WEIGHTS") else { return };
    let path = std::path::Path::new(&folder).join("efficientnet-lite0.safetensors");
    let settings = with(&path.to_string_lossy());
    let bench = bench("pseudo", &settings);
    let model = train_with("pseudo", &settings, plain(&bench)).unwrap();
    assert_eq!(model.indicators().last(), Some(&"semantic"));
    let whole = score(model.as_ref(), &bench.frames, 240);
    assert_eq!(whole, score(model.as_ref(), &bench.frames, 7));
    assert!(whole.iter().all(|s| (0.0..=1.0).contains(&s.indicators[6])));
    let file = bench.folder.path().join("model.safetensors");
    save_model(model.as_ref(), &ModelInfo::default(), &file).unwrap();
    let (loaded, _) = load_model(&file).unwrap();
    assert_eq!(whole, score(loaded.as_ref(), &bench.frames, 64));
}

/// Autoencoders that are taken from a trained model are those that were trained.
#[test]
fn trained_autoencoders_are_taken_as_they_are() {
    let settings = settings("pseudo");
    let bench = bench("pseudo", &settings);
    let model = train_with("pseudo", &settings, plain(&bench)).unwrap();
    let file = bench.folder.path().join("trained.safetensors");
    save_model(model.as_ref(), &ModelInfo::default(), &file).unwrap();
    let take = |path: &str| -> Setting { format!("trained={path:?}").parse().unwrap() };
    let with = |more: &[Setting]| train_with("pseudo", &[&settings[..], more].concat(), plain(&bench));
    let taken = with(&[take(&file.to_string_lossy())]).unwrap();
    assert_eq!(score(model.as_ref(), &bench.frames, 64), score(taken.as_ref(), &bench.frames, 64));
    let refused =
        |more: &[Setting]| matches!(with(more), Err(SystemError::Setting { key, .. }) if key == "trained");
    assert!(refused(&[take("nowhere.safetensors")]));
    assert!(refused(&[take(&file.to_string_lossy()), "width=0.5".parse().unwrap()]));
}

/// Bytes (int8) score nearly as floats, from the file too; a system without them says so.
#[test]
fn scores_in_bytes_are_near_those_in_floats() {
    for system in keys() {
        let bench = bench(system, &settings(system));
        let mut model = train(system, plain(&bench)).unwrap();
        let floats = score(model.as_ref(), &bench.frames, 64);
        if !["one-path", "itae", "itae-nf"].contains(&system) {
            assert!(matches!(model.score_in_bytes(), Err(SystemError::NotInBytes { .. })), "{system}");
            continue;
        }
        let path = bench.folder.path().join("model.safetensors");
        save_model(model.as_ref(), &ModelInfo::default(), &path).unwrap();
        model.score_in_bytes().unwrap();
        let bytes = score(model.as_ref(), &bench.frames, 64);
        let mut loaded = load_model(&path).unwrap().0;
        loaded.score_in_bytes().unwrap();
        assert_eq!(bytes, score(loaded.as_ref(), &bench.frames, 7), "{system}");
        let error = |s: &Scored| s.indicators[0];
        let mean = floats.iter().map(error).sum::<f64>() / floats.len() as f64;
        let off = floats.iter().zip(&bytes).map(|(a, b)| (error(a) - error(b)).abs()).fold(0.0, f64::max);
        assert!(off > 0.0 && off < 0.1 * mean, "{system}: {off} of {mean}");
    }
}
