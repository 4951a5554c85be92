//! The answer first: how many strange moments, in how much footage.

use maud::{Markup, html};
use vadis_eval::run::Figure;

use crate::run::{Run, is_trouble};
use crate::words::{count, duration, figure, plural};

/// The document's title.
pub(crate) fn title(run: &Run) -> String {
    let names: Vec<&str> = run.info.sources.iter().take(2).map(|s| s.video.as_str()).collect();
    let more = if run.info.sources.len() > 2 { ", …" } else { "" };
    format!("{} · {}{more} · vadis", moments(run), names.join(", "))
}

pub(crate) fn header(run: &Run, figures: &[Figure]) -> Markup {
    html! {
        header {
            p.brand { "vadis " (run.info.command) }
            h1 { (moments(run)) span { " in " (duration(run.footage_s())) " of footage" } }
            p.facts { (sources(run)) }
            (tiles(run, figures))
            (notes(run))
        }
    }
}

fn moments(run: &Run) -> String {
    match run.events.iter().filter(|e| !is_trouble(e)).count() as u64 {
        0 => "No strange moment".to_owned(),
        n => plural(n, "strange moment", "strange moments"),
    }
}

fn sources(run: &Run) -> String {
    let frames = plural(run.frames(), "frame", "frames");
    match run.info.sources.as_slice() {
        [one] => format!("{} · {}×{} · {frames}", one.video, one.width, one.height),
        many => format!("{} · {frames}", plural(many.len() as u64, "video", "videos")),
    }
}

fn tiles(run: &Run, figures: &[Figure]) -> Markup {
    let total: f64 = run.info.seconds.iter().map(|(_, s)| s).filter(|s| s.is_finite()).sum();
    let stages: Vec<String> =
        run.info.seconds.iter().map(|(name, s)| format!("{name} {}", duration(*s))).collect();
    let machine = &run.info.machine;
    html! {
        dl.tiles {
            (tile("System", &run.info.system, &format!("preset {} · seed {}", run.info.preset, run.info.seed)))
            @if total > 0.0 { (tile("Time", &duration(total), &stages.join(" · "))) }
            (tile("Machine", &plural(machine.threads as u64, "thread", "threads"), &machine_words(run)))
            (auc_tile(figures))
        }
    }
}

fn machine_words(run: &Run) -> String {
    let machine = &run.info.machine;
    let memory = run.info.peak_mib.map(|m| format!("{} MiB at most", count(m.max(0.0) as u64)));
    let parts = [Some(machine.cpu.clone()), Some(machine.os.clone()), memory];
    parts.into_iter().flatten().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn tile(name: &str, value: &str, detail: &str) -> Markup {
    html! { div { dt { (name) } dd { b { (value) } small { (detail) } } } }
}

/// The one figure most read, under both protocols, where labels were known.
fn auc_tile(figures: &[Figure]) -> Markup {
    let wanted: Vec<_> = figures.iter().filter(|f| f.metric == "micro_auc").collect();
    let of = |name: &str| wanted.iter().find(|f| f.protocol.name == name);
    let Some(main) = of("paper").or(wanted.first()) else { return html! {} };
    let mut detail = format!("against labels · protocol {}", main.protocol.name);
    if let Some(causal) = of("causal").filter(|f| f.protocol.name != main.protocol.name) {
        detail.push_str(&format!(" · causal {}", figure(causal.value)));
    }
    tile("Micro AUC", &figure(main.value), &detail)
}

fn notes(run: &Run) -> Markup {
    let broken = run.info.sources.iter().filter_map(|s| Some((s, s.error.as_deref()?)));
    let broken: Vec<_> = broken.collect();
    html! {
        @if !broken.is_empty() || !run.info.notes.is_empty() {
            ul.notes {
                @for (source, error) in broken {
                    li.bad { strong { (source.video) } " was not read to its end: " (error)
                        " What was scored before is kept (" (plural(source.frames, "frame", "frames")) ")." }
                }
                @for note in &run.info.notes { li { (note) } }
            }
        }
    }
}
