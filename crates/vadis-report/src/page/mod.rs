//! The pages: what is said, in which order.
//!
//! Every text passes through `maud`, which escapes it; only this crate's own style sheet and script, the data
//! addresses of [`crate::media`] and lists of numbers are written as they are.

mod comparison;
mod evaluation;
mod events;
mod gap;
mod header;
mod indicators;
mod layers;
mod learning;
mod mistakes;
mod protocol;
mod timelines;

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use vadis_eval::protocol::{EvalError, Evaluation};

pub(crate) use comparison::{Named, comparison};
pub(crate) use timelines::shared_range;

use crate::ReportOptions;
use crate::colour::Palette;
use crate::media::{Gallery, Shown};
use crate::run::Run;

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// The report of one run.
pub(crate) fn report(
    run: &Run,
    gallery: &Gallery,
    mistakes: &[Shown],
    evaluation: Option<&Result<Evaluation, EvalError>>,
    options: &ReportOptions,
) -> String {
    let signals = run.signals();
    let figures = evaluation::figures(run, evaluation);
    let sections = [
        ("timeline", "Timeline", timelines::section(run, &signals, options)),
        ("events", "Events", events::section(run, gallery, options)),
        ("trouble", "Camera", events::trouble(run, gallery)),
        ("layers", "Layers", layers::section(run, gallery)),
        ("indicators", "Indicators", indicators::section(run, &signals)),
        ("accuracy", "Accuracy", evaluation::section(run, evaluation, figures)),
        ("mistakes", "Mistakes", mistakes::section(run, mistakes)),
        ("learning", "Learning", learning::section(run, gallery)),
        ("protocol", "Protocol", protocol::section(run)),
    ];
    let sections: Vec<_> =
        sections.into_iter().filter_map(|(id, name, body)| Some((id, name, body?))).collect();
    let body = html! {
        (header::header(run, figures))
        nav aria-label="Sections" { @for (id, name, _) in &sections { a href={ "#" (id) } { (name) } } }
        main { @for (id, _, body) in &sections { section id=(id) { (body) } } }
        (footer(&run.info.version))
    };
    page(&header::title(run), &body, run.palette())
}

pub(crate) fn footer(version: &str) -> Markup {
    html! { footer { "Made by vadis " (version) ". This page holds everything it shows and loads nothing." } }
}

/// A whole document around a body. Nothing may be loaded from anywhere, and no script may run but ours, whose digest
/// the policy names: should a text ever slip through unescaped, it stays text.
pub(crate) fn page(title: &str, body: &Markup, palette: &Palette) -> String {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; \
         script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    );
    let style = format!(":root{{--heat:{}}}\n{STYLE}", palette.css_gradient());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) script { (PreEscaped(SCRIPT)) } }
        }
    }
    .into_string()
}
