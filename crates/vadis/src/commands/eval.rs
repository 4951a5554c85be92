//! `vadis eval`: a run, or any scores, against labels.

use std::collections::BTreeMap;
use std::path::Path;

use vadis::Failure;
use vadis::data::labels::{read_labels, same_video};
use vadis::data::{Dataset, OpenOptions, Split};
use vadis::eval::localisation::{HeatMap, Localiser, TruthMask};
use vadis::eval::normalise::{Normalisation, NormalisationKind, TrainingStatistics};
use vadis::eval::protocol::{
    AgainstReport, EvalOptions, Evaluation, EventRun, Kinds, Rival, ScoreProtocol, against, evaluate,
};
use vadis::eval::run::{
    FRAME_DIFF, Figure, KindFigure, Protocol, RunInfo, ScoreTable, read_events, read_kinds, write_labels,
};
use vadis::eval::smooth::{Smoothing, SmoothingKind, SmoothingSpec};
use vadis::report::{ReportOptions, make_mistake_media, write_report};
use vadis::systems::load_model;
use vadis::video::synth::Kind;
use vadis::video::{Colour, FrameFormat, FrameReader, ReadOptions, Source};

use super::scan::MODEL;
use super::{Output, parse, report::check_run, usage};
use crate::cli::EvalArgs;

/// Benchmarks of several scenes, whose scores are scaled per video before they are pooled (paper 003, Section 4.1).
const SCALED_PER_VIDEO: [&str; 1] = ["shanghaitech"];

pub(super) type Labels = BTreeMap<String, Vec<u8>>;

pub(super) fn run(args: &EvalArgs, output: &Output<'_>) -> Result<(), Failure> {
    let evaluation = Case::of(args)?.measure(args)?;
    output.result(&describe(&evaluation), &serde_json::json!(evaluation))
}

/// Scores, what they are judged by, and how.
pub(super) struct Case {
    pub(super) table: ScoreTable,
    pub(super) labels: Labels,
    pub(super) options: EvalOptions,
    dataset: Option<Dataset>,
}

impl Case {
    pub(super) fn of(args: &EvalArgs) -> Result<Self, Failure> {
        let (table, folder) = open_scores(&args.scores)?;
        let dataset = open_dataset(args)?;
        let (labels, stated) = find_labels(args, dataset.as_ref(), &table)?;
        let options = EvalOptions { kinds: kinds(args, &labels)?, ..options(args, &table, folder, &stated)? };
        Ok(Self { table, labels, options, dataset })
    }

    /// All that the labels tell; a run directory gets its `metrics.json`, `labels.csv` and a new report.
    pub(super) fn measure(&self, args: &EvalArgs) -> Result<Evaluation, Failure> {
        let Self { table, labels, options, dataset } = self;
        let folder = run_folder(&args.scores);
        let mut evaluation = judge(table, labels, folder, options)?;
        if let Some(other) = &args.against {
            evaluation.set_against(self.against(other, args)?);
        }
        if let Some(folder) = folder {
            let protocol = &evaluation.protocols[0].protocol.clone();
            evaluation.metrics.figures.extend(localise(args, dataset.as_ref(), table, folder, protocol)?);
            evaluation.metrics.write(&folder.join("metrics.json"))?;
            write_labels(&folder.join("labels.csv"), labels)?;
            for problem in make_mistake_media(folder, &ReadOptions::default())? {
                tracing::warn!("{problem}");
            }
            write_report(folder, &ReportOptions::default())?;
        }
        Ok(evaluation)
    }

    /// The false positives beside those of another run of the same footage.
    fn against(&self, other: &Path, args: &EvalArgs) -> Result<Vec<AgainstReport>, Failure> {
        if !(args.recall > 0.0 && args.recall <= 1.0) {
            return Err(usage("--recall must be above 0 and at most 1"));
        }
        let (table, folder) = open_scores(other)?;
        let options = options(args, &table, folder, &self.options.labels)?;
        let name = other.display().to_string();
        let rival = Rival { name: &name, table: &table, options: &options };
        Ok(against(&self.table, &self.labels, &self.options, rival, args.recall)?)
    }
}

/// Scores, and the run directory where they are those of one.
fn open_scores(path: &Path) -> Result<(ScoreTable, Option<&Path>), Failure> {
    let folder = run_folder(path);
    if let Some(folder) = folder {
        check_run(folder)?;
    }
    Ok((read_scores(path)?, folder))
}

fn run_folder(path: &Path) -> Option<&Path> {
    path.is_dir().then_some(path)
}

fn read_scores(path: &Path) -> Result<ScoreTable, Failure> {
    let file = if path.is_dir() { path.join("scores.csv") } else { path.to_owned() };
    let is_npy = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
    Ok(if is_npy { ScoreTable::read_npy(&file)? } else { ScoreTable::read(&file)? })
}

fn open_dataset(args: &EvalArgs) -> Result<Option<Dataset>, Failure> {
    match (&args.dataset, &args.root) {
        (Some(key), Some(root)) => Ok(Some(Dataset::open(key, root, &OpenOptions::default())?)),
        _ => Ok(None),
    }
}

/// Labels of every scored video that has them, and where they came from.
fn find_labels(
    args: &EvalArgs,
    dataset: Option<&Dataset>,
    table: &ScoreTable,
) -> Result<(Labels, String), Failure> {
    let mut labels = Labels::new();
    if let Some(dataset) = dataset {
        for video in &table.videos {
            let clip = dataset.split(Split::Test).find(|clip| clip.name == video.video);
            let found = clip.map(|clip| dataset.labels(clip, video.rows.len())).transpose()?.flatten();
            labels.extend(found.map(|found| (video.video.clone(), found)));
        }
        if labels.is_empty() {
            return Err(usage(format!("no scored video is a test clip of {}", dataset.key)));
        }
        return Ok((labels, format!("{} {}", dataset.key, dataset.label_set)));
    }
    let path = args.labels.as_deref().ok_or_else(|| usage("--labels or --dataset is needed"))?;
    let file = read_labels(path)?;
    file.check_videos(table.videos.iter().map(|v| v.video.as_str()))?;
    for video in &table.videos {
        if !file.named || file.find(&video.video).is_some() {
            labels.insert(video.video.clone(), file.of(&video.video, video.rows.len())?.to_vec());
        }
    }
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    Ok((labels, name))
}

/// The kinds of `--kinds`, with the names that videos have in the scores. Those of the synthetic street are also
/// judged together by whether a single frame shows them.
fn kinds(args: &EvalArgs, labels: &Labels) -> Result<Option<Kinds>, Failure> {
    let Some(path) = &args.kinds else { return Ok(None) };
    if !(0.0..1.0).contains(&args.fpr) {
        return Err(usage("--fpr must be from 0 to below 1"));
    }
    let mut spans = read_kinds(path)?;
    for span in &mut spans {
        let exact = labels.contains_key(&span.video);
        if let Some(name) = labels.keys().find(|name| !exact && same_video(name, &span.video)) {
            span.video.clone_from(name);
        }
    }
    let of = |shown: bool| {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.shows_in_one_frame() == shown);
        kinds.map(|kind| kind.name().to_owned()).collect()
    };
    let groups = vec![("one frame shows it".to_owned(), of(true)), ("only in motion".to_owned(), of(false))];
    Ok(Some(Kinds { spans, groups, fpr: args.fpr }))
}

fn options(
    args: &EvalArgs,
    table: &ScoreTable,
    folder: Option<&Path>,
    labels: &str,
) -> Result<EvalOptions, Failure> {
    let system = folder.map(|f| RunInfo::read(&f.join("run.json"))).transpose()?.map(|run| run.system);
    let mut options = EvalOptions::of_system(system.as_deref().unwrap_or_default(), labels);
    if system.is_none() {
        // Of scores from elsewhere nothing is known: they are taken as they are.
        options.paper = ScoreProtocol { name: "paper".to_owned(), ..ScoreProtocol::raw() };
        options.causal = ScoreProtocol { name: "causal".to_owned(), ..ScoreProtocol::raw() };
    }
    if args.column != "score" {
        options.paper.column.clone_from(&args.column);
        options.causal.column.clone_from(&args.column);
    }
    if args.dataset.as_deref().is_some_and(|dataset| SCALED_PER_VIDEO.contains(&dataset)) {
        options.paper.normalisation = Normalisation::PerVideo;
    }
    Further::parse(args.smoothing.as_deref(), args.normalisation.as_deref())?.apply(&mut options);
    (options.paper.tuned_on_test, options.causal.tuned_on_test) = (args.tuned_on_test, args.tuned_on_test);
    options.ladder = args.ladder;
    options.sanity_columns.clone_from(&args.beside);
    if table.indicators.iter().any(|name| name == FRAME_DIFF) {
        options.sanity_columns.insert(0, FRAME_DIFF.to_owned());
    }
    options.training = folder.and_then(|f| training_statistics(&f.join(MODEL), &args.column));
    Ok(options)
}

/// What is done to scores beyond what the system's own protocols do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Further {
    pub(super) smoothing: Option<SmoothingSpec>,
    pub(super) normalisation: Option<Normalisation>,
}

impl Further {
    /// Of the arguments' texts.
    pub(super) fn parse(smoothing: Option<&str>, normalisation: Option<&str>) -> Result<Self, Failure> {
        let smoothing = smoothing.map(|text| parse("--smoothing", text)).transpose()?;
        let rule = |text| {
            let kind: NormalisationKind = parse("--normalisation", text)?;
            kind.with(None).map_err(|e| usage(format!("--normalisation: {e}")))
        };
        Ok(Self { smoothing, normalisation: normalisation.map(rule).transpose()? })
    }

    /// Puts it into the protocols: into the causal one what looks back only.
    pub(super) fn apply(&self, options: &mut EvalOptions) {
        if let Some(smoothing) = self.smoothing {
            options.paper.smoothing = smoothing;
            options.causal.smoothing = looking_back(smoothing);
        }
        if let Some(normalisation) = self.normalisation {
            options.paper.normalisation = normalisation;
            if normalisation.kind().is_causal() {
                options.causal.normalisation = normalisation;
            }
        }
    }

    /// In words, the end of a row's name; none where nothing is asked for.
    pub(super) fn name(&self) -> Option<String> {
        let smoothing = self.smoothing.map(|s| s.to_string());
        let normalisation = self.normalisation.map(|n| n.to_string());
        let parts: Vec<String> = smoothing.into_iter().chain(normalisation).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The same filter as a live camera can have it.
fn looking_back(spec: SmoothingSpec) -> SmoothingSpec {
    match spec {
        SmoothingSpec::Seconds { kind: SmoothingKind::Median, seconds } => {
            SmoothingSpec::Seconds { kind: SmoothingKind::CausalMedian, seconds }
        }
        SmoothingSpec::Seconds { kind: SmoothingKind::Gaussian, seconds } => {
            SmoothingSpec::Seconds { kind: SmoothingKind::Ema, seconds }
        }
        SmoothingSpec::Frames(Smoothing::Median(width)) => {
            SmoothingSpec::Frames(Smoothing::CausalMedian(width))
        }
        SmoothingSpec::Frames(Smoothing::Gaussian(sigma)) => SmoothingSpec::Frames(Smoothing::Ema(sigma)),
        causal => causal,
    }
}

/// How the column lies on the footage that the run's own model learnt.
fn training_statistics(model: &Path, column: &str) -> Option<TrainingStatistics> {
    let (model, _) = load_model(model).ok()?;
    model.statistics().column(column).map(|c| TrainingStatistics { mean: c.mean, std: c.std })
}

fn judge(
    table: &ScoreTable,
    labels: &Labels,
    folder: Option<&Path>,
    options: &EvalOptions,
) -> Result<Evaluation, Failure> {
    let Some(folder) = folder else { return Ok(evaluate(table, labels, None, options)?) };
    let run = RunInfo::read(&folder.join("run.json"))?;
    let events_file = folder.join("events.csv");
    let events = if events_file.exists() { read_events(&events_file)? } else { Vec::new() };
    let run = run.decision.as_ref().map(|decision| EventRun { events: &events, decision });
    Ok(evaluate(table, labels, run, options)?)
}

/// RBDC, TBDC and the pixel criterion, where there are a heat map and masks.
fn localise(
    args: &EvalArgs,
    dataset: Option<&Dataset>,
    table: &ScoreTable,
    folder: &Path,
    protocol: &Protocol,
) -> Result<Vec<Figure>, Failure> {
    let heat_file = folder.join("heat.mkv");
    let info = RunInfo::read(&folder.join("run.json"))?;
    let own =
        args.masks.as_ref().map(|root| Dataset::open("folder", root, &OpenOptions::default())).transpose()?;
    let (Some(heat), true, Some(truth)) = (info.heat, heat_file.exists(), dataset.or(own.as_ref())) else {
        return Ok(Vec::new());
    };
    let size = (heat.width as usize, heat.height as usize);
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let mut frames = FrameReader::open(&Source::file(&heat_file), &format, &ReadOptions::default())?;
    let unit = (heat.scale / 255.0) as f32;
    let min_area = (size.0 * size.1).div_ceil(512);
    let mut localiser = Localiser::new(heat.threshold as f32, min_area);
    let mut masked = false;
    for video in &table.videos {
        let clip = truth.split(Split::Test).find(|clip| clip.name == video.video);
        let mut masks = clip.map(|clip| truth.masks(clip)).transpose()?.flatten();
        for _ in &video.rows {
            let Some(frame) = frames.next().transpose()? else { break };
            let mask = masks.as_mut().and_then(Iterator::next).transpose()?;
            if masks.is_none() {
                continue;
            }
            masked = true;
            let data: Vec<f32> = frame.data.iter().map(|&v| f32::from(v) * unit).collect();
            let map = HeatMap::new(size.0, size.1, &data)?;
            let mask = mask.as_ref().map(|m| TruthMask::new(m.width, m.height, &m.data)).transpose()?;
            localiser.push(&video.video, &map, mask.as_ref());
        }
    }
    Ok(if masked { localiser.figures(protocol) } else { Vec::new() })
}

fn describe(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for report in &evaluation.protocols {
        let p = &report.protocol;
        let tuned = if p.tuned_on_test { ", tuned on test" } else { "" };
        text += &format!(
            "{}: column {}, normalisation {}, smoothing {}, edges {}, labels {}{tuned}\n",
            p.name, p.score, p.normalisation, p.smoothing, p.edges, p.labels
        );
        for figure in evaluation.metrics.figures.iter().filter(|f| f.protocol.name == p.name) {
            text += &row(figure);
        }
        let kinds = evaluation.metrics.kinds.iter().filter(|kind| kind.protocol == p.name);
        kinds.for_each(|kind| text += &kind_row(kind));
    }
    let named = |f: &&Figure| evaluation.protocols.iter().all(|r| r.protocol.name != f.protocol.name);
    evaluation.metrics.figures.iter().filter(named).for_each(|figure| text += &row(figure));
    for sanity in &evaluation.sanity {
        let auc = sanity.micro_auc.map_or_else(|| "undefined".to_owned(), |auc| format!("{auc:.4}"));
        text += &format!("beside: {:<24} micro AUC {auc}\n", sanity.name);
    }
    for rung in evaluation.ladder.iter().flatten() {
        let number = |v: Option<f64>| v.map_or_else(|| "     –".to_owned(), |v| format!("{v:.4}"));
        text += &format!(
            "ladder: {:<10} {:<14} {:<5} micro {} macro {}\n",
            rung.normalisation,
            rung.smoothing,
            rung.edges,
            number(rung.micro_auc),
            number(rung.macro_auc)
        );
    }
    evaluation.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

fn kind_row(kind: &KindFigure) -> String {
    let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"));
    let mut text = format!(
        "  kind {:<18} AUC {}  recall {} at {} % false positives",
        kind.kind,
        number(kind.auc),
        number(kind.recall_at_fpr),
        100.0 * kind.fpr
    );
    if let (Some(share), Some(found)) = (kind.recall_in_events, kind.spans_found) {
        text += &format!(", {share:.4} inside events, which touch {found} of {}", kind.spans);
    }
    text + &format!("  ({} frames)\n", kind.frames)
}

fn row(figure: &Figure) -> String {
    let interval = match (figure.low, figure.high) {
        (Some(low), Some(high)) => format!("  [{low:.4}, {high:.4}]"),
        _ => String::new(),
    };
    let note = if figure.note.is_empty() { String::new() } else { format!("  ({})", figure.note) };
    format!("  {:<22} {:.4}{interval}{note}\n", figure.metric, figure.value)
}
