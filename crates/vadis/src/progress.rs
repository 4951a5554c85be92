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
    part: Part,
}

/// What a stage is at, with a rate of its own: training ends with a look at what is usual, which is quicker.
struct Part {
    name: &'static str,
    began: Instant,
    done: u64,
}

impl Part {
    fn new(name: &'static str) -> Self {
        Self { name, began: Instant::now(), done: 0 }
    }
}

impl Stage {
    /// A stage of `total` units (unknown: `None`).
    pub fn new(name: &str, total: Option<u64>, quiet: bool) -> Self {
        let watched = !quiet && std::io::stderr().is_terminal();
        let bar = watched.then(|| bar(name, total));
        let now = Instant::now();
        let part = Part::new("");
        Self { bar, name: name.to_owned(), began: now, line: now, quiet, part }
    }

    /// From here on progress is that of `name`, a part of this stage.
    pub fn enter(&mut self, name: &'static str) {
        if self.part.name != name {
            self.part = Part::new(name);
            if let Some(bar) = &self.bar {
                bar.set_prefix(name);
                bar.reset();
            }
        }
    }

    /// Counts anew where what is counted began anew: the next network of a system in training.
    fn count(&mut self, done: u64) {
        if done < self.part.done {
            self.part = Part::new(self.part.name);
            self.bar.iter().for_each(ProgressBar::reset);
        }
        self.part.done = done;
    }

    /// `done` of `total` units are done; `note` says how it goes.
    pub fn set(&mut self, done: u64, total: Option<u64>, note: &str) {
        self.count(done);
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if !self.quiet && self.line.elapsed() > LINE_EVERY {
            self.line = Instant::now();
            let of = total.map_or_else(String::new, |t| format!(" of {t}"));
            let rate = done as f64 / self.part.began.elapsed().as_secs_f64().max(1e-3);
            let left = total.filter(|_| rate > 0.0).map_or_else(String::new, |t| {
                format!(", {:.0} s left", t.saturating_sub(done) as f64 / rate)
            });
            let name = if self.part.name.is_empty() { self.name.as_str() } else { self.part.name };
            tell(&format!("{name}: {done}{of} ({rate:.1}/s{left}) {note}"));
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
