//! `vadis bench`: every system on every benchmark, trained, scored and evaluated; one table.

mod ablation;
mod footage;
mod published;

use std::path::{Path, PathBuf};

use clap::Args;
use vadis::eval::protocol::Evaluation;
use vadis::eval::run::{DatasetSanity, ResultRow, Results, RunInfo};
use vadis::report::write_results;
use vadis::stages::{DecisionOptions, Opened, Surroundings};
use vadis::systems::{method, methods};
use vadis::{Failure, machine};

use super::learn::{self, Plan};
use super::scan::{FinishOptions, Header, complete, learn_or_load};
use super::{Output, decision_options, eval, usage};
use crate::cli::{BenchArgs, DecisionArgs, EvalArgs, SourceArgs, SystemArgs};
use footage::Footage;

pub(super) fn run(args: &BenchArgs, output: &Output<'_>) -> Result<(), Failure> {
    let systems = systems(&args.system)?;
    let (asked, teacher) = (footage::asked(args)?, footage::teacher(args)?);
    // Wrong settings are told before any work.
    for system in &systems {
        Plan::new(system, &learn_args(args, 0))?;
    }
    let path = args.output.join("results.json");
    let mut results = if path.exists() { Results::read(&path)? } else { Results::default() };
    let surroundings = output.surroundings(&source_args()?)?;
    let mut told = 0;
    for asked in &asked {
        let footage = footage::open(asked, teacher.as_ref(), args, &surroundings)?;
        footage.notes.iter().for_each(|note| output.note(note));
        for system in &systems {
            for &seed in &args.seeds {
                let bench = Bench { args, footage: &footage, system, seed, surroundings: &surroundings };
                if bench.is_whole(&results)? {
                    output.note(&format!("{} is whole already", bench.folder_name()));
                    continue;
                }
                bench.measure(&mut results, output)?;
                results.write(&path)?;
                write_results(&results, &args.output)?;
                told += 1;
            }
        }
    }
    present(&results, told, &args.output, output)
}

/// The systems asked for, each once.
fn systems(asked: &[String]) -> Result<Vec<&'static str>, Failure> {
    let mut keys = Vec::new();
    for name in asked {
        let more: Vec<&'static str> = match name.as_str() {
            "all" => methods().iter().map(|m| m.key()).collect(),
            name => vec![method(name).map_err(|e| usage(e.to_string()))?.key()],
        };
        keys.extend(more.into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>());
    }
    Ok(keys)
}

fn learn_args(args: &BenchArgs, seed: u64) -> SystemArgs {
    SystemArgs {
        preset: args.preset,
        settings: args.settings.clone(),
        seed,
        resume: args.resume,
        force: args.force,
        ignore: Vec::new(),
        device: "cpu".to_owned(),
    }
}

/// What a user has who says nothing but `words`.
fn unsaid<A: Args>(words: &[&str]) -> Result<A, Failure> {
    let command = A::augment_args(clap::Command::new("bench").no_binary_name(true));
    let matches = command.try_get_matches_from(words).and_then(|matches| A::from_arg_matches(&matches));
    matches.map_err(|e| usage(e.to_string()))
}

/// How benchmarks are read. The sources are not asked for: a benchmark names its own.
fn source_args() -> Result<SourceArgs, Failure> {
    unsaid(&["of the benchmark"])
}

/// How events are made.
fn decision() -> Result<DecisionOptions, Failure> {
    decision_options(&unsaid::<DecisionArgs>(&[])?)
}

/// One run.
struct Bench<'a> {
    args: &'a BenchArgs,
    footage: &'a Footage,
    system: &'static str,
    seed: u64,
    surroundings: &'a Surroundings<'a>,
}

impl Bench<'_> {
    /// Where the run lies, from the results.
    fn folder_name(&self) -> String {
        format!("{}/{}/{}", self.footage.name, self.system, self.seed)
    }

    /// Whether the results have this run, with these settings, and its files are there.
    fn is_whole(&self, results: &Results) -> Result<bool, Failure> {
        let config = Plan::new(self.system, &learn_args(self.args, self.seed))?.configured.config();
        let folder = self.folder_name();
        let there = results.rows.iter().any(|row| row.run == folder && row.config == config);
        Ok(self.args.resume && there && self.args.output.join(folder).join("metrics.json").exists())
    }

    fn measure(&self, results: &mut Results, output: &Output<'_>) -> Result<(), Failure> {
        let started = machine::now();
        machine::reset_peak();
        let args = learn_args(self.args, self.seed);
        let plan = Plan::new(self.system, &args)?;
        let folder = self.args.output.join(self.folder_name());
        learn::prepare_folder(&folder, args.force, args.resume)?;
        let (sources, learnt_from) = self.learnt_from()?;
        let (of_model, kept) = self.model_folder(&folder)?;
        let learnt = learn_or_load(&plan, &sources, &of_model, &source_args()?, args.resume || kept, output)?;
        let header = Header {
            command: "bench",
            preset: plan.preset().to_string(),
            seed: self.seed,
            started,
            notes: learnt.info.notes.clone(),
            seconds: learnt.seconds.clone(),
        };
        let options = FinishOptions { decision: decision()?, overlay: false };
        let test = &self.footage.test;
        let run = complete(learnt.model.as_ref(), test, &folder, header, &options, self.surroundings)?.run;
        run.notes.iter().for_each(|note| output.note(note));
        let judged_by = self.eval_args(&folder);
        let case = eval::Case::of(&judged_by)?;
        let evaluation = case.measure(&judged_by)?;
        results.put_sanity(self.sanity(&evaluation));
        let row = self.row(run, evaluation, learnt.info.train_s, learnt_from);
        let parts: Vec<_> = self.parts(&case)?.into_iter().map(|part| self.part_row(&row, part)).collect();
        results.put(ResultRow { lambda_sweep: ablation::sweep(self.system, &case)?, ..row });
        parts.into_iter().for_each(|part| results.put(part));
        Ok(())
    }

    /// What the system's parts reach.
    fn parts(&self, case: &eval::Case) -> Result<Vec<ablation::Part>, Failure> {
        let mut parts = ablation::parts(self.system, case)?;
        parts.extend(ablation::combination(self.system, &self.footage.name, case)?);
        Ok(parts)
    }

    fn part_row(&self, row: &ResultRow, part: ablation::Part) -> ResultRow {
        let published = published::published(&self.footage.name, part.name);
        ResultRow { system: part.name.to_owned(), figures: part.figures, published, ..row.clone() }
    }

    /// The footage that the system learns from, and that in words.
    fn learnt_from(&self) -> Result<(Vec<Opened>, String), Failure> {
        let Footage { train, test, pooled, taught_by, .. } = self.footage;
        if self.footage.is_foreign() {
            return Ok((train.clone(), format!("training clips of {taught_by}")));
        }
        if !method(self.system)?.is_unsupervised() {
            return Ok((train.clone(), "training clips".to_owned()));
        }
        Ok(match pooled {
            true => ([train.as_slice(), test].concat(), "training and test clips, unlabelled".to_owned()),
            false => (test.clone(), "test footage itself, unlabelled".to_owned()),
        })
    }

    /// Where the model of the run in `folder` lies, and whether it is taken from there if it exists: what another
    /// benchmark taught is the model of that benchmark's own run.
    fn model_folder(&self, folder: &Path) -> Result<(PathBuf, bool), Failure> {
        if !self.footage.is_foreign() {
            return Ok((folder.to_owned(), false));
        }
        let folder =
            self.args.output.join(format!("{}/{}/{}", self.footage.taught_by, self.system, self.seed));
        std::fs::create_dir_all(&folder).map_err(Failure::io(&folder))?;
        Ok((folder, true))
    }

    fn eval_args(&self, folder: &Path) -> EvalArgs {
        let truth = &self.footage.truth;
        EvalArgs {
            scores: folder.to_owned(),
            labels: truth.labels.clone(),
            dataset: truth.layout.as_ref().map(|(key, _)| key.clone()),
            root: truth.layout.as_ref().map(|(_, root)| root.clone()),
            masks: None,
            kinds: truth.kinds.clone(),
            fpr: 0.05,
            ladder: false,
            beside: Vec::new(),
            column: "score".to_owned(),
            smoothing: None,
            tuned_on_test: self.args.tuned_on_test,
        }
    }

    fn sanity(&self, evaluation: &Evaluation) -> DatasetSanity {
        let smoothing = evaluation.protocols.first().map(|report| report.protocol.smoothing.clone());
        DatasetSanity {
            dataset: self.footage.name.clone(),
            smoothing: smoothing.unwrap_or_default(),
            rows: evaluation.sanity.clone(),
        }
    }

    fn row(&self, run: RunInfo, evaluation: Evaluation, train_s: f64, learnt_from: String) -> ResultRow {
        let frames: u64 = run.sources.iter().map(|s| s.frames).sum();
        let score_s = run.seconds.iter().find(|(stage, _)| stage == "score").map_or(0.0, |(_, s)| *s);
        ResultRow {
            dataset: self.footage.name.clone(),
            system: self.system.to_owned(),
            preset: run.preset,
            seed: self.seed,
            config: run.config,
            learnt_from,
            figures: evaluation.metrics.figures,
            published: published::published(&self.footage.name, self.system),
            train_s,
            frames_per_s: frames as f64 / score_s.max(1e-9),
            peak_mib: run.peak_mib,
            test_looks: u64::from(!self.args.validate),
            lambda_sweep: Vec::new(),
            run: self.folder_name(),
        }
    }
}

fn present(results: &Results, told: usize, folder: &Path, output: &Output<'_>) -> Result<(), Failure> {
    let mut text = vadis::report::results_markdown(results);
    let runs = if told == 1 { "run" } else { "runs" };
    text += &format!("\n{told} new {runs}; results: {}\n", folder.join("results.html").display());
    output.result(&text, &serde_json::json!(results))
}
