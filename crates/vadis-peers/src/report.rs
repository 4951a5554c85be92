//! The result as JSON, as a table and as a picture.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Measured, Outcome};

/// Before the variant in [`Row::peer`].
const PYTORCH: &str = "PyTorch, ";

/// One network or system under one measure. Times are medians in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The network or the system.
    pub network: String,
    /// What was done with it.
    pub measure: String,
    /// A run of ours.
    pub ours_s: f64,
    /// A run of the peer.
    pub peer_s: f64,
    /// The peer and its fastest variant.
    pub peer: String,
    /// The peer's time divided by ours.
    pub ratio: f64,
    /// Timed runs.
    pub runs: usize,
    /// Largest resident memory of our process.
    pub ours_peak_mib: f64,
    /// Largest resident memory of the peer's.
    pub peer_peak_mib: f64,
    /// Threads of each side.
    pub threads: usize,
    /// What all processors spent on a run of ours.
    pub ours_processor_s: f64,
    /// What all processors spent on a run of the peer.
    pub peer_processor_s: f64,
    /// A run of ours on one thread.
    pub ours_one_thread_s: Option<f64>,
    /// A run of the peer on one thread.
    pub peer_one_thread_s: Option<f64>,
    /// Clips, images or frames of a run.
    pub batch: usize,
    /// `[time, height, width]` or `[height, width]`.
    pub size: Vec<usize>,
    /// Channels of the input.
    pub channels: usize,
    /// Largest difference of the sides' results, where they were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
}

/// What a row is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// As [`Row::network`].
    pub network: String,
    /// As [`Row::measure`].
    pub measure: String,
    /// As [`Row::batch`].
    pub batch: usize,
    /// As [`Row::size`].
    pub size: Vec<usize>,
    /// As [`Row::channels`].
    pub channels: usize,
    /// As [`Row::threads`].
    pub threads: usize,
}

impl Row {
    /// What was `measured` of `subject` in `runs` runs beside PyTorch's `variant`.
    pub fn new(subject: Subject, measured: &Measured, runs: usize, variant: &str) -> Self {
        let Subject { network, measure, batch, size, channels, threads } = subject;
        let Measured { seconds: [ours_s, peer_s], processor_s, peak_mib, alone_s } = *measured;
        Self {
            network,
            measure,
            ours_s,
            peer_s,
            peer: format!("{PYTORCH}{variant}"),
            ratio: peer_s / ours_s,
            runs,
            ours_peak_mib: peak_mib[0],
            peer_peak_mib: peak_mib[1],
            threads,
            ours_processor_s: processor_s[0],
            peer_processor_s: processor_s[1],
            ours_one_thread_s: alone_s.map(|times| times[0]),
            peer_one_thread_s: alone_s.map(|times| times[1]),
            batch,
            size,
            channels,
            difference: None,
        }
    }

    /// The peer's fastest variant.
    pub fn variant(&self) -> &str {
        self.peer.trim_start_matches(PYTORCH)
    }

    /// The peer's processor time divided by ours.
    pub fn processor_ratio(&self) -> f64 {
        self.peer_processor_s / self.ours_processor_s
    }

    /// Whether both rows are about the same.
    pub fn is_of(&self, network: &str, measure: &str) -> bool {
        self.network == network && self.measure == measure
    }

    /// In a line.
    pub fn told(&self) -> String {
        format!(
            "  {:.4} s against {:.4} s: {:.2}; by the processors' time {:.2}",
            self.ours_s,
            self.peer_s,
            self.ratio,
            self.processor_ratio()
        )
    }
}

/// Rows that were written before.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Outcome<Vec<Row>> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Writes the rows, and a picture of them beside.
///
/// # Errors
/// If they cannot be written.
pub fn write(path: &Path, rows: &[Row]) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_string_pretty(rows)? + "\n")?;
    fs::write(path.with_extension("svg"), picture(rows)?)?;
    Ok(())
}

/// A table in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        "| network | measure | vadis | PyTorch's best | which | ratio | by processor time | peak MiB | two threads ÷ one |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let sizes: Vec<String> = row.size.iter().map(usize::to_string).collect();
        let speedup =
            |alone: Option<f64>, time: f64| alone.map_or("–".to_owned(), |a| format!("{:.2}", a / time));
        text += &format!(
            "| `{}` {}×{}×{} | {} | {:.4} s | {:.4} s | {} | **{:.2}** | {:.2} | {:.0}, PyTorch {:.0} | {}, PyTorch {} |\n",
            row.network,
            row.batch,
            row.channels,
            sizes.join("×"),
            row.measure,
            row.ours_s,
            row.peer_s,
            row.variant(),
            row.ratio,
            row.processor_ratio(),
            row.ours_peak_mib,
            row.peer_peak_mib,
            speedup(row.ours_one_thread_s, row.ours_s),
            speedup(row.peer_one_thread_s, row.peer_s),
        );
    }
    text
}

/// Two bars for each row: how many times faster than PyTorch, by the clock and by processor time. With one
/// thread they are the same on a quiet machine, and on another only the second means anything.
fn picture(rows: &[Row]) -> Result<String, std::fmt::Error> {
    const LEFT: f64 = 150.0;
    const ROW: f64 = 34.0;
    let ratios = |row: &Row| {
        let by_clock = (row.threads > 1).then_some((row.ratio, "#2a7f62"));
        by_clock.into_iter().chain([(row.processor_ratio(), "#7d93b5")])
    };
    let longest = rows.iter().flat_map(ratios).map(|(ratio, _)| ratio).fold(1.0, f64::max).ceil();
    let scale = 420.0 / longest;
    let (height, bottom) = (46.0 + ROW * rows.len() as f64, 30.0 + ROW * rows.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">times as fast as PyTorch's best: by the clock (green), by processor time \
         (blue)</text>\n"
    );
    for (i, row) in rows.iter().enumerate() {
        let top = 28.0 + ROW * i as f64;
        let label = format!("{} {}", row.network, row.measure);
        let (x, y) = (LEFT - 8.0, top + 18.0);
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{label}</text>")?;
        for (bar, (ratio, colour)) in ratios(row).enumerate() {
            let (y, width) = (top + 14.0 * bar as f64, ratio * scale);
            writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" fill=\"{colour}\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\">{ratio:.2}</text>",
                LEFT + width + 6.0,
                y + 10.0,
            )?;
        }
    }
    let one = LEFT + scale;
    writeln!(
        svg,
        "<line x1=\"{one:.1}\" y1=\"22\" x2=\"{one:.1}\" y2=\"{bottom}\" stroke=\"black\" \
         stroke-dasharray=\"3 3\"/>\n</svg>"
    )?;
    Ok(svg)
}
