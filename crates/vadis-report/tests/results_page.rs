//! The published page of all systems says what the measurements beside it say.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use vadis_eval::run::Results;
use vadis_report::results_markdown;

/// Every figure of the table is one of `results.json`: the table is made of that file, and no line is changed by hand.
#[test]
fn the_page_of_all_systems_is_made_of_its_results() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let results = Results::read(&folder.join("results.json")).unwrap();
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let (_, rest) = page.split_once("<!-- table -->").unwrap();
    let (table, _) = rest.split_once("<!-- end of table -->").unwrap();
    assert_eq!(table.trim(), results_markdown(&results).trim(), "run `make results`");
    assert!(results.rows.iter().all(|row| row.preset == "cpu"), "the page is of one preset");
}
