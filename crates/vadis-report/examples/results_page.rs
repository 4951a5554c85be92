//! Takes the rows of benchmarks into the published results, and writes their page and pictures anew.
//!
//! ```console
//! $ cargo run --release -p vadis-report --example results_page -- docs/results runs/results/results.json
//! ```
//!
//! `docs/results` has `results.json`, and `README.md` with the marks between which the tables lie. Rows of the same data set,
//! system, seed and run replace those that are there.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use vadis_eval::run::Results;
use vadis_report::write_results;

const BEGIN: &str = "<!-- table -->";
const END: &str = "<!-- end of table -->";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("results_page FOLDER [RESULTS.json ...]")?;
    let path = folder.join("results.json");
    let mut results = Results::read(&path)?;
    for more in arguments {
        let more = Results::read(&more)?;
        more.rows.into_iter().for_each(|row| results.put(row));
        more.sanity.into_iter().for_each(|sanity| results.put_sanity(sanity));
    }
    results.write(&path)?;
    write_results(&results, &folder)?;
    let table = fs::read_to_string(folder.join("results.md"))?;
    put_table(&folder.join("README.md"), &table)?;
    // The page has the tables; the other two are the same once more.
    fs::remove_file(folder.join("results.md"))?;
    fs::remove_file(folder.join("results.html"))?;
    println!("{} rows in {}", results.rows.len(), folder.display());
    Ok(())
}

/// Replaces what lies between the marks.
fn put_table(page: &Path, table: &str) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(page)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the page has no mark where the tables begin")?;
    let (_, after) = rest.split_once(END).ok_or("the page has no mark where the tables end")?;
    fs::write(page, format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.trim()))?;
    Ok(())
}
