//! The command line as clap sees it. Lowered to validated types by the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use vadis::eval::run::HeatColours;
use vadis::video::synth::Kind;

/// vadis finds what does not belong in video.
#[derive(Debug, Parser)]
#[command(name = "vadis", version, about, long_about = None, propagate_version = true, after_help = "\
Examples:
  vadis scan footage.mp4                     unlabelled footage → ranked strange moments and a report
  vadis train --system mle day.mp4 -o m.safetensors
  vadis score -m m.safetensors tonight.mp4 -o runs/tonight
  vadis eval runs/tonight --labels labels.csv
  vadis doctor                               is everything there?")]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Machine-readable result on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Threads to use; all cores by default
    #[arg(long, global = true, value_name = "N", env = "VADIS_THREADS")]
    pub(crate) threads: Option<usize>,
}

/// What vadis does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find the strange moments in unlabelled footage
    #[command(after_help = "\
Examples:
  vadis scan footage.mp4
  vadis scan day1.mp4 day2.mp4 -o runs/days --ignore 0,0,100%,8%
  vadis scan frames/ --image-fps 10 --system robust-pca
  vadis scan footage.mp4 --set epochs=12 --set entropy_weight=0.02")]
    Scan(ScanArgs),
    /// Learn what is normal and keep the model
    #[command(after_help = "\
Examples:
  vadis train --system mle normal/ -o camera.safetensors
  vadis train --system mle normal/ -o camera.safetensors --set holdout=0.2 --seed 1")]
    Train(TrainArgs),
    /// Score footage with a model
    #[command(after_help = "\
Examples:
  vadis score -m camera.safetensors tonight.mp4 -o runs/tonight
  vadis score -m camera.safetensors tonight.mp4 -o runs/tonight --threshold alarms:1/h --calibrated-on runs/normal
  vadis score -m itae.safetensors -m flow.safetensors --weights 1,2 tonight.mp4 -o runs/tonight")]
    Score(ScoreArgs),
    /// Measure a run, or any scores, against labels
    #[command(after_help = "\
Labels: `video,frame,label` as CSV, or one 0/1 a line for a single video, or .npy; 1 is abnormal.

Examples:
  vadis eval runs/tonight --labels labels.csv
  vadis eval scores.npy --labels labels.txt --ladder
  vadis eval runs/scene --labels scene/labels.csv --kinds scene/kinds.csv
  vadis eval runs/mae --labels labels.csv --against runs/cae --recall 0.95
  vadis eval runs/ped2 --dataset ped2 --root /data/ped2")]
    Eval(EvalArgs),
    /// Train, score and evaluate systems on benchmarks; one table
    #[command(after_help = "\
Data sets are those of `vadis data list`, and `synth`: a synthetic street that is made where there is none yet. Systems
that learn normal footage learn the training clips; unsupervised ones learn the footage that they judge. A run that is
whole is left out with --resume. Figures lie in -o as results.json, results.md and results.html.

Examples:
  vadis bench --dataset ped2 --root UCSDped2 --system itae,one-path -o bench
  vadis bench --dataset ped2 --root UCSDped2 --dataset upcam --root upcam --system all -o bench --resume
  vadis bench --dataset synth --system itae --seed 0 --seed 1 --seed 2 -o bench
  vadis bench --dataset ped2 --root UCSDped2 --system ae3d --train-dataset synth -o bench
  vadis bench --dataset ped2 --root UCSDped2 --system itae --set patch=8 --validate -o tuning
  vadis bench --dataset ped2 --root UCSDped2 --system itae+flow-magnitude --weights validation -o bench
  vadis bench --dataset ped2 --root UCSDped2 --system itae+mog2 --smoothing median:25 --normalisation per_video -o bench")]
    Bench(BenchArgs),
    /// Rebuild the report of a run; several runs: side by side
    Report(ReportArgs),
    /// Benchmark data, and synthetic scenes
    Data(DataArgs),
    /// What a model was trained on, with what, how it did
    Info(InfoArgs),
    /// Check ffmpeg, the processor, devices and versions
    Doctor,
    /// Print a completion script for your shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// Where footage comes from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Video files, folders of videos or of numbered images, stream addresses
    #[arg(required = true, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub(crate) sources: Vec<String>,
    /// Frames a second of image folders
    #[arg(long, value_name = "FPS", default_value_t = 10.0)]
    pub(crate) image_fps: f64,
    /// Give up when a source sends nothing for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) timeout: f64,
    /// Read at most so many frames of each source (a stream has no end of its own)
    #[arg(long, value_name = "N")]
    pub(crate) max_frames: Option<u64>,
}

/// Which system, and how it learns.
#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// Start from the paper's settings, those for a CPU, or those for a test
    #[arg(long, value_name = "PRESET", value_enum, default_value_t = PresetArg::Cpu)]
    pub(crate) preset: PresetArg,
    /// Override a setting; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Everything random follows from it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Go on where an interrupted run stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Replace what is there
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
    /// Leave a part of the picture out: `x,y,width,height` in pixels or %, or a polygon `x,y;x,y;x,y`
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub(crate) ignore: Vec<String>,
    /// Where networks run
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
}

/// `--preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// The paper's settings
    Paper,
    /// As good as minutes on two cores allow
    Cpu,
    /// Seconds, for tests
    Tiny,
}

/// `--heat-colours`. Its values explain themselves: clap would stretch the whole help for a line on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeatColoursArg {
    Ember,
    RedBlue,
}

impl From<HeatColoursArg> for HeatColours {
    fn from(argument: HeatColoursArg) -> Self {
        match argument {
            HeatColoursArg::Ember => Self::Ember,
            HeatColoursArg::RedBlue => Self::RedBlue,
        }
    }
}

/// How scores become events.
#[derive(Debug, Args)]
pub(crate) struct DecisionArgs {
    /// mad:3, offset:0.05, quantile:0.99, alarms:1/h (on normal footage) or fixed:0.2
    #[arg(long, value_name = "RULE", default_value = "mad:3")]
    pub(crate) threshold: String,
    /// none, median:5s, gaussian:3, ema:8, causal_median:5s (frames, or seconds with s)
    #[arg(long, value_name = "FILTER", default_value = "median:5s")]
    pub(crate) smoothing: String,
    /// none, training, per_video or causal
    #[arg(long, value_name = "RULE", default_value = "none")]
    pub(crate) normalisation: String,
    /// Shortest event
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub(crate) min_event: f64,
    /// Events nearer than this are one
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) merge: f64,
}

/// `vadis scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Folder to write [default: runs/<name of the first source>]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Which system
    #[arg(long, value_name = "S", default_value = "mle")]
    pub(crate) system: String,
    #[command(flatten)]
    pub(crate) learn: SystemArgs,
    #[command(flatten)]
    pub(crate) decision: DecisionArgs,
    /// Also write overlay.mp4: the footage with heat map and score
    #[arg(long)]
    pub(crate) overlay: bool,
    /// What heat maps are drawn in: violet over red to yellow, or red for anomalies and blue for normal
    #[arg(long, value_name = "COLOURS", value_enum, default_value_t = HeatColoursArg::Ember)]
    pub(crate) heat_colours: HeatColoursArg,
}

/// `vadis train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Which system
    #[arg(long, value_name = "S")]
    pub(crate) system: String,
    /// Model file to write
    #[arg(short, long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) learn: SystemArgs,
}

/// `vadis score`.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Model to score with; of several, the mean of their scores, each in deviations from its mean on normal footage
    #[arg(
        short,
        long = "model",
        required = true,
        num_args = 1,
        value_name = "MODEL",
        value_hint = ValueHint::FilePath
    )]
    pub(crate) models: Vec<PathBuf>,
    /// How much each of several models counts: equal, or a number a model by comma
    #[arg(long, value_name = "W[,W..]", default_value = "equal")]
    pub(crate) weights: String,
    /// Score in bytes: faster on processors with AVX-512 VNNI or AMX, a little less exact; one-path, itae and itae-nf
    #[arg(long)]
    pub(crate) int8: bool,
    /// Folder to write
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) decision: DecisionArgs,
    /// Set the threshold on the scores of this earlier run of the same model, not on the footage itself
    #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub(crate) calibrated_on: Option<PathBuf>,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Also write overlay.mp4: the footage with heat map and score
    #[arg(long)]
    pub(crate) overlay: bool,
    /// What heat maps are drawn in: violet over red to yellow, or red for anomalies and blue for normal
    #[arg(long, value_name = "COLOURS", value_enum, default_value_t = HeatColoursArg::Ember)]
    pub(crate) heat_colours: HeatColoursArg,
}

/// `vadis eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// A run directory, a scores.csv, or a .npy of one video's scores
    #[arg(value_name = "DIR|SCORES", value_hint = ValueHint::AnyPath)]
    pub(crate) scores: PathBuf,
    /// Frame labels, 1 is abnormal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "dataset")]
    pub(crate) labels: Option<PathBuf>,
    /// Take labels (and masks) from a benchmark's own files
    #[arg(long, value_name = "NAME", conflicts_with = "labels", requires = "root")]
    pub(crate) dataset: Option<String>,
    /// Where that benchmark lies
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) root: Option<PathBuf>,
    /// Pixel masks, a folder of pictures for each video: adds RBDC, TBDC and the pixel criterion
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) masks: Option<PathBuf>,
    /// Where each kind of anomaly is seen, `video,start_frame,end_frame,kind`: adds AUC and recall by kind
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kinds: Option<PathBuf>,
    /// Share of normal frames that may be flagged, for the recall by kind
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, requires = "kinds")]
    pub(crate) fpr: f64,
    /// The same score under every normalisation, smoothing and edge rule
    #[arg(long)]
    pub(crate) ladder: bool,
    /// False positives beside those of this other run of the same footage, each where it finds --recall of the abnormal frames
    #[arg(long, value_name = "DIR|SCORES", value_hint = ValueHint::AnyPath)]
    pub(crate) against: Option<PathBuf>,
    /// Share of abnormal frames that both runs find
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, requires = "against")]
    pub(crate) recall: f64,
    /// Further columns to set beside the score
    #[arg(long, value_name = "COLUMN")]
    pub(crate) beside: Vec<String>,
    /// The column that is the score
    #[arg(long, value_name = "COLUMN", default_value = "score")]
    pub(crate) column: String,
    /// Smoothing of the paper's protocol; the causal one takes the same width, looking back only
    #[arg(long, value_name = "FILTER")]
    pub(crate) smoothing: Option<String>,
    /// Normalisation of the paper's protocol: none, per_video or causal
    #[arg(long, value_name = "RULE")]
    pub(crate) normalisation: Option<String>,
    /// Settings were chosen by these labels: every figure says so
    #[arg(long)]
    pub(crate) tuned_on_test: bool,
}

/// `vadis bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Benchmarks by name; may be given several times
    #[arg(long = "dataset", required = true, value_name = "NAME")]
    pub(crate) datasets: Vec<String>,
    /// Only these scenes of benchmarks that have several; may be given several times
    #[arg(long = "scene", value_name = "NAME")]
    pub(crate) scenes: Vec<String>,
    /// Where each benchmark lies, in the same order; `synth` takes none
    #[arg(long = "root", value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) roots: Vec<PathBuf>,
    /// Which systems, by comma, or `all`; `a+b` combines the runs of systems, made where there are none
    #[arg(long, required = true, value_name = "S[,S..]", value_delimiter = ',')]
    pub(crate) system: Vec<String>,
    /// How much each member of a combination counts: equal, a number a member by comma, or validation, which chooses on
    /// anomalies inserted into held-out training clips
    #[arg(long, value_name = "W", default_value = "equal")]
    pub(crate) weights: String,
    /// A further row of each run, its scores smoothed: median:25, gaussian:3, median:5s; causal with the same width,
    /// looking back only
    #[arg(long, value_name = "FILTER")]
    pub(crate) smoothing: Option<String>,
    /// A further row of each run, normalised in the paper's protocol: none, per_video or causal
    #[arg(long, value_name = "RULE")]
    pub(crate) normalisation: Option<String>,
    /// Folder to write
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Start from the paper's settings, those for a CPU, or those for a test
    #[arg(long, value_name = "PRESET", value_enum, default_value_t = PresetArg::Cpu)]
    pub(crate) preset: PresetArg,
    /// Override a setting of every system; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Everything random follows from it; several are several runs
    #[arg(long = "seed", value_name = "N", num_args = 1.., default_values_t = [0])]
    pub(crate) seeds: Vec<u64>,
    /// Go on where an interrupted benchmark stopped, and keep what is whole
    #[arg(long)]
    pub(crate) resume: bool,
    /// Replace what is there
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
    /// Learn from the training clips of another benchmark: how far does a model carry to another scene?
    #[arg(long, value_name = "NAME", conflicts_with = "validate")]
    pub(crate) train_dataset: Option<String>,
    /// Where that benchmark lies; `synth` takes none
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, requires = "train_dataset")]
    pub(crate) train_root: Option<PathBuf>,
    /// Measure on anomalies inserted into a quarter of the training clips, held out; test clips are not looked at
    #[arg(long)]
    pub(crate) validate: bool,
    /// What is inserted there, by comma; all but wrong_direction by default, as many places are walked both ways
    #[arg(long, value_name = "KIND[,KIND..]", value_delimiter = ',', value_parser = parse_kind)]
    pub(crate) kinds: Vec<Kind>,
    /// Settings were chosen by the test labels: every figure says so
    #[arg(long, conflicts_with = "validate")]
    pub(crate) tuned_on_test: bool,
    /// Length of a `synth` that is made: of its test scene, and of its training scenes together
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    pub(crate) minutes: f64,
}

/// `vadis report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) runs: Vec<PathBuf>,
    /// Page to write for several runs [default: comparison.html]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Also write overlay.mp4 into each run
    #[arg(long)]
    pub(crate) overlay: bool,
    /// Draw the heat maps of the runs anew in these colours, and keep to them
    #[arg(long, value_name = "COLOURS", value_enum)]
    pub(crate) heat_colours: Option<HeatColoursArg>,
}

/// `vadis data`.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

/// What `vadis data` does.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// The benchmark layouts that are known
    List,
    /// Is a benchmark complete? Counts clips, frames, masks and labels
    Check {
        /// Its name, see `vadis data list`
        #[arg(long, value_name = "NAME")]
        dataset: String,
        /// Where it lies
        #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
        root: PathBuf,
        /// One of its label sets
        #[arg(long, value_name = "SET")]
        labels: Option<String>,
        /// One of its subsets
        #[arg(long, value_name = "SUBSET")]
        subset: Option<String>,
        /// Believe the containers of videos, and do not look into masks; without it, all is decoded
        #[arg(long)]
        quick: bool,
    },
    /// Make a synthetic street scene with labelled anomalies
    #[command(after_help = "\
Examples:
  vadis data synth -o scene --minutes 10 --seed 3
  vadis data synth -o normal --minutes 10 --normal")]
    Synth {
        /// Folder to write: video, labels.csv, kinds.csv, masks
        #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        output: PathBuf,
        /// Length
        #[arg(long, value_name = "MINUTES")]
        minutes: Option<f64>,
        /// Everything random follows from it
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// Only the normal street
        #[arg(long)]
        normal: bool,
    },
    /// Insert labelled anomalies into normal footage: a validation set for a camera without labels
    #[command(after_help = "\
Examples:
  vadis data insert normal/ -o validation
  vadis data insert day.mp4 -o validation --fraction 0.15 --seed 3
  vadis scan validation/videos -o runs/v && vadis eval runs/v --labels validation/labels.csv")]
    Insert {
        #[command(flatten)]
        source: SourceArgs,
        /// Folder to write: videos/, masks/, labels.csv, kinds.csv
        #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        output: PathBuf,
        /// Share of the time with an anomaly, in the clips that get any
        #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
        fraction: f64,
        /// Frames that an anomaly lasts at least
        #[arg(long, value_name = "FRAMES", default_value_t = 20)]
        shortest: usize,
        /// Frames that an anomaly lasts at most; long ones show whether training learns them as normal
        #[arg(long, value_name = "FRAMES", default_value_t = 70)]
        longest: usize,
        /// What is inserted, by comma: vehicle, runner, wrong_direction, loitering, fallen_person, left_object,
        /// light_out; all by default
        #[arg(long, value_name = "KIND[,KIND..]", value_delimiter = ',', value_parser = parse_kind)]
        kinds: Vec<Kind>,
        /// Insert into every clip; by default every second one stays normal where there are several
        #[arg(long)]
        every: bool,
        /// Everything random follows from it
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
    /// Thin labelled footage until a given share of its frames is abnormal
    #[command(after_help = "\
For the curve of AUC against contamination: an unsupervised system learns from the footage that it judges, so the
footage is thinned before it learns. Frames are drawn at random; all those of the other class are kept. They are
written without loss and with their own times, and labels.csv fits them.

Examples:
  vadis data subsample day.mp4 --labels day.labels.csv --contamination 0.1 -o day-10
  vadis scan day-10/videos -o runs/day-10 && vadis eval runs/day-10 --labels day-10/labels.csv

UCSD Ped2, training and test clips pooled; trained on the subsample, measured on every frame of the test clips:
  vadis data subsample Train Test/Test0?? --dataset ped2 --root . --contamination 0.1 -o pool-10
  vadis scan pool-10/videos -o runs/pool-10
  vadis score -m runs/pool-10/model.safetensors Test/Test0?? -o runs/test-10
  vadis eval runs/test-10 --dataset ped2 --root .")]
    Subsample {
        #[command(flatten)]
        source: SourceArgs,
        /// Frame labels of every source, 1 is abnormal
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "dataset")]
        labels: Option<PathBuf>,
        /// Take labels from a benchmark's own files; its training clips are normal
        #[arg(long, value_name = "NAME", conflicts_with = "labels", requires = "root")]
        dataset: Option<String>,
        /// Where that benchmark lies
        #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
        root: Option<PathBuf>,
        /// Folder to write: videos/, labels.csv, kept.csv (which frame came from where)
        #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        output: PathBuf,
        /// Share of abnormal frames, from 0 to below 1
        #[arg(long, value_name = "SHARE")]
        contamination: f64,
        /// Which frames are drawn follows from it
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
}

/// `vadis info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Model file
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,
}

fn parse_kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("there are: {}", known()))
}
