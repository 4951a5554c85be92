//! `vadis bench`: every system on every benchmark, trained, scored and evaluated; one table.

mod ablation;
mod combination;
mod footage;
mod published;
mod weights;

use std::path::{Path, PathBuf};

use clap::Args;
use vadis::eval::protocol::{EvalOptions, Evaluation, evaluate};
use vadis::eval::run::{DatasetSanity, HeatColours, ResultRow, Results, RunInfo};
use vadis::report::write_results;
use vadis::stages::{DecisionOptions, Opened, Surroundings};
use vadis::systems::{method, methods};
use vadis::{Failure, machine};

use super::eval::Further;
use super::learn::{self, Plan};
use super::scan::{FinishOptions, Header, complete, learn_or_load};
use super::{Output, decision_options, eval, usage};
use crate::cli::{BenchArgs, DecisionArgs, EvalArgs, SourceArgs, SystemArgs};
use ablation::Part;
use combination::{Joint, Members};
use footage::Footage;

pub(super) fn run(args: &BenchArgs, output: &Output<'_>) -> Result<(), Failure> {
    let rows = rows(args)?;
    let (asked, teacher) = (footage::asked(args)?, footage::teacher(args)?);
    let further = Further::parse(args.smoothing.as_deref(), args.normalisation.as_deref())?;
    // Wrong settings are told before any work.
    for row in &rows {
        row.check(args)?;
    }
    let path = args.output.join("results.json");
    let mut results = if path.exists() { Results::read(&path)? } else { Results::default() };
    let surroundings = output.surroundings(&source_args()?)?;
    let mut told = 0;
    for asked in &asked {
        let footage = footage::open(asked, teacher.as_ref(), args, &surroundings)?;
        footage.notes.iter().for_each(|note| output.note(note));
        let validation = validation(&rows, asked, args, &surroundings)?;
        for row in &rows {
            for &seed in &args.seeds {
                let (system, name) = row.system();
                let bench = Bench {
                    args,
                    footage: &footage,
                    system,
                    name,
                    seed,
                    further: &further,
                    surroundings: &surroundings,
                };
                if bench.is_whole(row, &results)? {
                    output.note(&format!("{} is whole already", bench.folder_name()));
                    bench.measure_further(&mut results)?;
                } else {
                    match row {
                        Row::One(_) => bench.measure(&mut results, output)?,
                        Row::Several(members) => {
                            let validation = validation.as_ref();
                            Joint { bench: bench.clone(), members, validation }
                                .measure(&mut results, output)?;
                        }
                    }
                    told += 1;
                }
                bench.keep(&results)?;
            }
        }
    }
    present(&results, told, &args.output, output)
}

/// A row that was asked for.
enum Row {
    One(&'static str),
    Several(Members),
}

impl Row {
    /// The key of its system, the first member's of several, and its name.
    fn system(&self) -> (&'static str, String) {
        match self {
            Self::One(key) => (key, (*key).to_owned()),
            Self::Several(members) => (members.keys[0], members.name()),
        }
    }

    fn check(&self, args: &BenchArgs) -> Result<(), Failure> {
        match self {
            Self::One(key) => Plan::new(key, &learn_args(args, 0)).map(drop),
            Self::Several(members) => combination::check(members, args),
        }
    }
}

/// The rows asked for, each once.
fn rows(args: &BenchArgs) -> Result<Vec<Row>, Failure> {
    let key = |name: &str| method(name).map(|m| m.key()).map_err(|e| usage(e.to_string()));
    let (mut keys, mut rows) = (Vec::new(), Vec::new());
    for name in &args.system {
        if name.contains(combination::PLUS) {
            let members = name.split(combination::PLUS).map(key).collect::<Result<Vec<_>, _>>()?;
            let repeated = members.iter().enumerate().any(|(i, key)| members[..i].contains(key));
            if repeated {
                return Err(usage(format!("`{name}` has a member twice")));
            }
            rows.push(Row::Several(Members::new(members, &args.weights)?));
            continue;
        }
        let more: Vec<&'static str> = match name.as_str() {
            "all" => methods().iter().map(|m| m.key()).collect(),
            name => vec![key(name)?],
        };
        for key in more.into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>() {
            keys.push(key);
            rows.push(Row::One(key));
        }
    }
    Ok(rows)
}

/// The footage on which weights are chosen, where any are.
fn validation(
    rows: &[Row],
    asked: &footage::Asked,
    args: &BenchArgs,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Footage>, Failure> {
    let any = rows.iter().any(|row| matches!(row, Row::Several(_)));
    if !any || !combination::is_chosen(args) {
        return Ok(None);
    }
    let args = BenchArgs { validate: true, ..args.clone() };
    footage::open(asked, None, &args, surroundings).map(Some)
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
#[derive(Clone)]
struct Bench<'a> {
    args: &'a BenchArgs,
    footage: &'a Footage,
    /// Of a combination the first member's.
    system: &'static str,
    /// Of the row and its folder: the system's key, or the combination's name.
    name: String,
    seed: u64,
    further: &'a Further,
    surroundings: &'a Surroundings<'a>,
}

impl Bench<'_> {
    /// Where the run lies, from the results.
    fn folder_name(&self) -> String {
        format!("{}/{}/{}", self.footage.name, self.name, self.seed)
    }

    /// Writes the results so far.
    fn keep(&self, results: &Results) -> Result<(), Failure> {
        results.write(&self.args.output.join("results.json"))?;
        Ok(write_results(results, &self.args.output)?)
    }

    /// Whether the results have this run, with these settings, and its files are there. A combination has no settings
    /// beside those in its name.
    fn is_whole(&self, row: &Row, results: &Results) -> Result<bool, Failure> {
        let config = match row {
            Row::One(key) => Some(Plan::new(key, &learn_args(self.args, self.seed))?.configured.config()),
            Row::Several(_) => None,
        };
        let folder = self.folder_name();
        let same = |row: &ResultRow| config.as_ref().is_none_or(|config| row.config == *config);
        let there = results.rows.iter().any(|row| row.run == folder && same(row));
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
            combination: None,
        };
        let options = FinishOptions {
            decision: decision()?,
            overlay: false,
            colours: HeatColours::default(),
            replay: None,
        };
        let test = &self.footage.test;
        let run = complete(learnt.model.as_ref(), test, &folder, header, &options, self.surroundings)?.run;
        run.notes.iter().for_each(|note| output.note(note));
        let (case, evaluation) = self.judged(&folder, results)?;
        let row = self.row(run, evaluation, learnt.info.train_s, learnt_from);
        let parts: Vec<_> = self.parts(&case)?.into_iter().map(|part| self.part_row(&row, part)).collect();
        results.put(ResultRow { lambda_sweep: ablation::sweep(self.system, &case)?, ..row.clone() });
        parts.into_iter().for_each(|part| results.put(part));
        self.put_further(&case, &row, results)
    }

    /// The run in `folder` against its labels; what needs no learning goes into the results.
    fn judged(&self, folder: &Path, results: &mut Results) -> Result<(eval::Case, Evaluation), Failure> {
        let judged_by = self.eval_args(folder);
        let case = eval::Case::of(&judged_by)?;
        let evaluation = case.measure(&judged_by)?;
        results.put_sanity(self.sanity(&evaluation));
        Ok((case, evaluation))
    }

    /// The further row of a run that is whole, where it is asked for and not there.
    fn measure_further(&self, results: &mut Results) -> Result<(), Failure> {
        let Some(name) = self.further.name() else { return Ok(()) };
        let (run, name) = (self.folder_name(), format!("{}: {name}", self.name));
        let of_run = |row: &&ResultRow| row.run == run;
        if results.rows.iter().filter(of_run).any(|row| row.system == name) {
            return Ok(());
        }
        let row = results.rows.iter().filter(of_run).find(|row| row.system == self.name).cloned();
        let Some(row) = row else { return Ok(()) };
        let case = eval::Case::of(&self.eval_args(&self.args.output.join(run)))?;
        self.put_further(&case, &row, results)
    }

    /// The run of `row` under the protocol that was asked for, as a row of its own.
    fn put_further(&self, case: &eval::Case, row: &ResultRow, results: &mut Results) -> Result<(), Failure> {
        let Some(name) = self.further.name() else { return Ok(()) };
        let mut options = EvalOptions { sanity_columns: Vec::new(), ..case.options.clone() };
        self.further.apply(&mut options);
        let metrics = evaluate(&case.table, &case.labels, None, &options)?.metrics;
        let system = format!("{}: {name}", row.system);
        let test_looks = u64::from(!self.args.validate);
        let lambda_sweep = Vec::new();
        results.put(ResultRow {
            system,
            figures: metrics.figures,
            kinds: metrics.kinds,
            published: Vec::new(),
            test_looks,
            lambda_sweep,
            ..row.clone()
        });
        Ok(())
    }

    /// What the system's parts reach.
    fn parts(&self, case: &eval::Case) -> Result<Vec<Part>, Failure> {
        let mut parts = ablation::parts(self.system, case)?;
        parts.extend(ablation::combination(self.system, &self.footage.name, case)?);
        Ok(parts)
    }

    fn part_row(&self, row: &ResultRow, part: Part) -> ResultRow {
        let published = published::published(&self.footage.name, part.name);
        let Part { name, figures, kinds } = part;
        ResultRow { system: name.to_owned(), figures, kinds, published, ..row.clone() }
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
            against: None,
            recall: 0.9,
            beside: Vec::new(),
            column: "score".to_owned(),
            smoothing: None,
            normalisation: None,
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
            system: self.name.clone(),
            preset: run.preset,
            seed: self.seed,
            config: run.config,
            learnt_from,
            figures: evaluation.metrics.figures,
            kinds: evaluation.metrics.kinds,
            published: published::published(&self.footage.name, &self.name),
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
