//! The result as JSON, as a table and as a picture.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::task::Task;

/// One network under one measure. Times are medians in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) network: String,
    pub(crate) measure: String,
    pub(crate) ours_s: f64,
    pub(crate) peer_s: f64,
    pub(crate) peer: String,
    /// The peer's time divided by ours.
    pub(crate) ratio: f64,
    pub(crate) runs: usize,
    pub(crate) ours_peak_mib: f64,
    pub(crate) peer_peak_mib: f64,
    pub(crate) threads: usize,
    /// What all processors spent on a run.
    pub(crate) ours_processor_s: f64,
    pub(crate) peer_processor_s: f64,
    pub(crate) ours_one_thread_s: Option<f64>,
    pub(crate) peer_one_thread_s: Option<f64>,
    pub(crate) batch: usize,
    pub(crate) size: Vec<usize>,
    pub(crate) channels: usize,
}

impl Row {
    /// The peer's processor time divided by ours.
    pub(crate) fn processor_ratio(&self) -> f64 {
        self.peer_processor_s / self.ours_processor_s
    }

    pub(crate) fn is_of(&self, task: &Task) -> bool {
        self.network == task.network.to_string() && self.measure == task.measure.to_string()
    }
}

pub(crate) fn read(path: &Path) -> Outcome<Vec<Row>> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Writes the rows, and a picture of them beside.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_string_pretty(rows)? + "\n")?;
    fs::write(path.with_extension("svg"), picture(rows)?)?;
    Ok(())
}

/// A table in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
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
            row.peer.trim_start_matches("PyTorch, "),
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
