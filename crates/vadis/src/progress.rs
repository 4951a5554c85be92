//! Progress on stderr: a bar with rate and remaining time where a person watches, a line now and then where not.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a log that nobody watches gets a line.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// One stage's progress.
pub struct Stage {
    bar: Option<ProgressBar>,
    name: String,
    began: Instant,
    line: Instant,
    quiet: bool,
}

impl Stage {
    /// A stage of `total` units (unknown: `None`).
    pub fn new(name: &str, total: Option<u64>, quiet: bool) -> Self {
        let watched = !quiet && std::io::stderr().is_terminal();
        let bar = watched.then(|| bar(name, total));
        Self { bar, name: name.to_owned(), began: Instant::now(), line: Instant::now(), quiet }
    }

    /// `done` of `total` units are done; `note` says how it goes.
    pub fn set(&mut self, done: u64, total: Option<u64>, note: &str) {
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if !self.quiet && self.line.elapsed() > LINE_EVERY {
            self.line = Instant::now();
            let of = total.map_or_else(String::new, |t| format!(" of {t}"));
            let rate = done as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
            let left = total.filter(|_| rate > 0.0).map_or_else(String::new, |t| {
                format!(", {:.0} s left", t.saturating_sub(done) as f64 / rate)
            });
            tell(&format!("{}: {done}{of} ({rate:.1}/s{left}) {note}", self.name));
        }
    }

    /// The stage is over; returns its wall seconds.
    pub fn finish(self, summary: &str) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            tell(&format!("{:<12} {summary} ({seconds:.1} s)", self.name));
        }
        seconds
    }
}

/// A line on stderr; where nobody takes it, the work goes on.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix:<12} {bar:30} {pos}/{len} {per_sec} {eta} left  {msg}",
        None => "{prefix:<12} {spinner} {pos} {per_sec}  {msg}",
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}
