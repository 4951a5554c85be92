//! Running the binary, and small footage to run it on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Settings under which a scan of a few seconds of footage takes about a second.
pub(crate) const QUICK: [&str; 10] = [
    "--preset",
    "tiny",
    "--set",
    "epochs=1",
    "--set",
    "min_steps=4",
    "--set",
    "max_steps=4",
    "--set",
    "batch=16",
];

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Of a finished process; no panic may have reached the user.
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("vadis writes UTF-8");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(!err.contains("panicked"), "a panic reached the user:\n{err}");
        Self { code: output.status.code().expect("vadis ends by itself"), out, err }
    }

    /// It must have done its work.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "vadis failed:\n{}", self.err);
        self
    }

    /// It must have failed with this exit code, said `error:` with every one of `words`, and printed no result.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(self.err.lines().any(|line| line.starts_with("error: ")), "no `error:` in\n{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in\n{}", self.err);
        }
        assert_eq!(self.out, "", "a failure has no result");
        self
    }

    /// Its result, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON: {e}\n{}", self.out))
    }
}

/// The binary in `folder`, free of the surrounding settings.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vadis"));
    command.current_dir(folder);
    for name in ["VADIS_THREADS", "VADIS_LOG", "VADIS_DATA"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary in `folder`.
pub(crate) fn vadis<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(&command(folder).args(args).output().expect("the binary runs"))
}

/// `command` with its words, then [`QUICK`].
pub(crate) fn quick(folder: &Path, words: &[&str]) -> Ran {
    vadis(folder, words.iter().chain(&QUICK))
}

/// An empty folder of the test's own.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Makes a video with `ffmpeg -i input [args] path`, `input` a lavfi description.
pub(crate) fn lavfi(input: &str, args: &[&str], path: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", input])
        .args(args)
        .arg(path)
        .status()
        .expect("ffmpeg runs");
    assert!(status.success(), "ffmpeg cannot make {}", path.display());
}

/// Three seconds, 30 frames, that anything can read.
pub(crate) fn clip(path: &Path) {
    lavfi("testsrc=size=64x48:rate=10:duration=3", &["-c:v", "ffv1"], path);
}

/// A synthetic scene and a scan of it, made once and only read by the tests.
pub(crate) struct Scanned {
    folder: TempDir,
    /// How the scan went.
    pub(crate) scan: Ran,
}

impl Scanned {
    /// Where the scan was run.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn video(&self) -> PathBuf {
        self.folder.path().join("scene/scene.mp4")
    }

    pub(crate) fn labels(&self) -> PathBuf {
        self.folder.path().join("scene/labels.csv")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A copy of the run that the test may change.
    pub(crate) fn copy(&self, into: &Path) -> PathBuf {
        let to = into.join("run");
        let status = Command::new("cp").arg("-r").args([self.run(), to.clone()]).status();
        assert!(status.expect("cp runs").success());
        to
    }

    /// Labels of the scanned video: the frames from `first` on are abnormal.
    pub(crate) fn own_labels(&self, folder: &Path, first: u64) -> PathBuf {
        let path = folder.join("own.csv");
        let rows = scores(&self.run()).lines().count() as u64 - 1;
        let line = |frame: u64| format!("scene,{frame},{}\n", u8::from(frame >= first));
        let text: String = (0..rows).map(line).collect();
        std::fs::write(&path, format!("video,frame,label\n{text}")).expect("written");
        path
    }
}

/// The scene and its scan.
pub(crate) fn scanned() -> &'static Scanned {
    static SCANNED: OnceLock<Scanned> = OnceLock::new();
    SCANNED.get_or_init(|| {
        let folder = folder();
        vadis(folder.path(), ["data", "synth", "-o", "scene", "--minutes", "0.15", "--seed", "1"]).done();
        let scan = quick(folder.path(), &["scan", "scene/scene.mp4", "-o", "run", "--threads", "2"]).done();
        Scanned { folder, scan }
    })
}

/// The bytes of a run's `scores.csv`.
pub(crate) fn scores(run: &Path) -> String {
    std::fs::read_to_string(run.join("scores.csv")).expect("a run has scores")
}

/// `path` as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
