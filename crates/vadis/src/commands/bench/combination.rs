//! A combination of systems: its members' runs over the same footage, judged together.

use std::path::{Path, PathBuf};

use vadis::eval::run::{HeatColours, ResultRow, Results, RunInfo, ScoreTable};
use vadis::stages::{Replay, observe};
use vadis::systems::combination::{Combination, Standard, Weights};
use vadis::systems::{Model, ModelInfo, Statistics};
use vadis::{Failure, machine};

use super::super::learn::{self, Plan};
use super::super::scan::{FinishOptions, Header, MODEL, complete};
use super::super::score::{described, given_weights, presets};
use super::super::{Output, eval, open_model};
use super::weights::{Choice, Video, best};
use super::{Bench, Footage, decision, learn_args};
use crate::cli::BenchArgs;

/// Between members in a combination's name.
pub(super) const PLUS: char = '+';
/// Before weights that are not equal.
const AT: char = '@';
/// Weights that are chosen.
const VALIDATION: &str = "validation";
/// Where the statistics of a member lie whose model keeps none.
const STATISTICS: &str = "statistics.json";
/// Frames of normal footage that such a member is shown.
const MOST_FRAMES: usize = 1000;

/// A combination that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) keys: Vec<&'static str>,
    /// As on the command line.
    weights: String,
}

impl Members {
    /// # Errors
    /// Weights that do not fit these members.
    pub(super) fn new(keys: Vec<&'static str>, weights: &str) -> Result<Self, Failure> {
        if weights != VALIDATION {
            given_weights(weights, keys.len())?;
        }
        Ok(Self { keys, weights: weights.to_owned() })
    }

    /// `a+b`, with weights that are not equal `a+b@1,2`.
    pub(super) fn name(&self) -> String {
        let names = self.keys.join(&PLUS.to_string());
        if self.weights == "equal" { names } else { format!("{names}{AT}{}", self.weights) }
    }
}

/// One run of a combination.
pub(super) struct Joint<'a> {
    pub(super) bench: Bench<'a>,
    pub(super) members: &'a Members,
    /// Anomalies inserted into held-out training clips, where weights are chosen on them.
    pub(super) validation: Option<&'a Footage>,
}

/// A member's run.
struct Member {
    folder: PathBuf,
    model: Box<dyn Model>,
    info: ModelInfo,
    standard: Standard,
}

impl Joint<'_> {
    /// Measures it, its members first where their runs are not there.
    pub(super) fn measure(&self, results: &mut Results, output: &Output<'_>) -> Result<(), Failure> {
        let Bench { args, footage, surroundings, .. } = self.bench;
        let started = machine::now();
        let members = self.members(footage, args, results, output)?;
        let weights = self.weights(results, output)?;
        let folder = args.output.join(self.bench.folder_name());
        learn::prepare_folder(&folder, args.force, args.resume)?;
        let folders: Vec<PathBuf> = members.iter().map(|member| member.folder.clone()).collect();
        let infos: Vec<ModelInfo> = members.iter().map(|member| member.info.clone()).collect();
        let models = members.into_iter().map(|member| (member.model, member.standard)).collect();
        let combination = Combination::new(models, &weights)?;
        let replay = Replay::open(&combination, &folders, &surroundings.read)?;
        let header = Header {
            command: "bench",
            preset: presets(&infos),
            seed: self.bench.seed,
            started,
            notes: Vec::new(),
            seconds: Vec::new(),
            combination: Some(described(&combination, &folders)),
        };
        let options = FinishOptions {
            decision: decision()?,
            overlay: false,
            colours: HeatColours::default(),
            replay: Some(&replay),
        };
        let run = complete(&combination, &footage.test, &folder, header, &options, surroundings)?.run;
        run.notes.iter().for_each(|note| output.note(note));
        let (case, evaluation) = self.bench.judged(&folder, results)?;
        let train_s = infos.iter().map(|info| info.train_s).sum();
        let row = self.bench.row(run, evaluation, train_s, self.learnt_from(footage)?);
        let row = ResultRow { frames_per_s: frames_per_s(&folders)?, peak_mib: None, ..row };
        results.put(row.clone());
        self.bench.put_further(&case, &row, results)
    }

    /// The members' runs over `footage`, those that are not there measured.
    fn members(
        &self,
        footage: &Footage,
        args: &BenchArgs,
        results: &mut Results,
        output: &Output<'_>,
    ) -> Result<Vec<Member>, Failure> {
        let mut members = Vec::new();
        for &key in &self.members.keys {
            let bench = Bench { args, footage, system: key, name: key.to_owned(), ..self.bench };
            let folder = args.output.join(bench.folder_name());
            if is_run(&folder) {
                output.note(&format!("the run {} is taken", bench.folder_name()));
            } else {
                bench.measure(results, output)?;
                bench.keep(results)?;
            }
            members.push(bench.member(folder)?);
        }
        Ok(members)
    }

    fn weights(&self, results: &mut Results, output: &Output<'_>) -> Result<Weights, Failure> {
        let Some(footage) = self.validation else {
            return given_weights(&self.members.weights, self.members.keys.len());
        };
        let args = BenchArgs { validate: true, tuned_on_test: false, ..self.bench.args.clone() };
        let members = self.members(footage, &args, results, output)?;
        let bench = Bench { args: &args, footage, ..self.bench.clone() };
        let Choice { weights, auc, equal_auc } = best(&videos(&bench, &members)?, members.len())?;
        let from = format!(
            "chosen on {}: causal micro AUC {auc:.4}, with equal weights {equal_auc:.4}",
            footage.name
        );
        output.note(&format!("weights {weights:?} {from}"));
        Ok(Weights { values: weights, from })
    }

    /// What the members learnt from, each sentence once.
    fn learnt_from(&self, footage: &Footage) -> Result<String, Failure> {
        let mut told: Vec<String> = Vec::new();
        for &key in &self.members.keys {
            let (_, words) = Bench { footage, system: key, ..self.bench.clone() }.learnt_from()?;
            if !told.contains(&words) {
                told.push(words);
            }
        }
        Ok(told.join("; "))
    }
}

impl Bench<'_> {
    /// The member whose run lies in `folder`.
    fn member(&self, folder: PathBuf) -> Result<Member, Failure> {
        let (of_model, _) = self.model_folder(&folder)?;
        let (model, info) = open_model(&of_model.join(MODEL))?;
        let standard = match Standard::of(model.statistics()) {
            Some(standard) => standard,
            None => self.observed(model.as_ref(), &of_model)?,
        };
        Ok(Member { folder, model, info, standard })
    }

    /// What a model says of the last training footage, kept beside it.
    fn observed(&self, model: &dyn Model, folder: &Path) -> Result<Standard, Failure> {
        let path = folder.join(STATISTICS);
        let unusable =
            || super::usage(format!("{} scores no frame of its training footage", folder.display()));
        if let Ok(text) = std::fs::read(&path) {
            let kept: Option<Statistics> = serde_json::from_slice(&text).ok();
            return kept.as_ref().and_then(Standard::of).ok_or_else(unusable);
        }
        let (sources, _) = self.learnt_from()?;
        let statistics = observe(model, &sources, MOST_FRAMES, self.surroundings)?;
        let part = path.with_extension("json.part");
        let text = serde_json::to_vec(&statistics).unwrap_or_default();
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(Failure::io(&path))?;
        Standard::of(&statistics).ok_or_else(unusable)
    }
}

/// Whether a folder holds a run that can be combined with others.
fn is_run(folder: &Path) -> bool {
    ["run.json", "scores.csv", "heat.mkv", "metrics.json"].iter().all(|name| folder.join(name).is_file())
}

/// The members' labelled scores, standardised.
fn videos(bench: &Bench<'_>, members: &[Member]) -> Result<Vec<Video>, Failure> {
    let tables = members.iter().map(|member| Ok(ScoreTable::read(&member.folder.join("scores.csv"))?));
    let tables = tables.collect::<Result<Vec<_>, Failure>>()?;
    let case = eval::Case::of(&bench.eval_args(&members[0].folder))?;
    let labelled = case.table.videos.iter().filter_map(|video| Some((video, case.labels.get(&video.video)?)));
    let video = |(video, labels): (&vadis::eval::run::VideoScores, &Vec<u8>)| {
        let scores = members.iter().zip(&tables).map(|(member, table)| {
            let rows = table.video(&video.video).map(|video| &video.rows);
            let rows = rows.filter(|rows| rows.len() == labels.len()).ok_or_else(|| {
                super::usage(format!("{} has other frames of {}", member.folder.display(), video.video))
            })?;
            Ok(rows.iter().map(|row| member.standard.score(row.causal)).collect())
        });
        Ok(Video {
            name: video.video.clone(),
            members: scores.collect::<Result<_, Failure>>()?,
            edge: video.rows.iter().map(|row| row.edge).collect(),
            labels: labels.clone(),
            time_s: video.rows.iter().map(|row| row.time_s).collect(),
        })
    };
    labelled.map(video).collect()
}

/// Frames a second of scoring by one member after the other.
fn frames_per_s(folders: &[PathBuf]) -> Result<f64, Failure> {
    let (mut frames, mut seconds) = (0, 0.0);
    for folder in folders {
        let run = RunInfo::read(&folder.join("run.json"))?;
        frames = run.sources.iter().map(|source| source.frames).sum();
        seconds += run.seconds.iter().filter(|(stage, _)| stage == "score").map(|(_, s)| s).sum::<f64>();
    }
    Ok(frames as f64 / f64::max(seconds, 1e-9))
}

/// Checks the settings of the members of a combination, and whether they are members at all.
pub(super) fn check(members: &Members, args: &BenchArgs) -> Result<(), Failure> {
    members.keys.iter().try_for_each(|key| Plan::new(key, &learn_args(args, 0)).map(drop))
}

/// Whether any combination's weights are chosen on a validation set.
pub(super) fn is_chosen(args: &BenchArgs) -> bool {
    args.weights == VALIDATION
}
