//! How the result came about, in words, so that another can get the same.

use maud::{Markup, html};
use vadis_eval::run::{CombinationInfo, Decision, shell_quoted as shell};

use crate::run::Run;
use crate::words::{count, duration, number, plural};

pub(crate) fn section(run: &Run) -> Option<Markup> {
    let info = &run.info;
    Some(html! {
        h2 { "How this was made" }
        dl.protocol {
            (entry("Command", &html! { code { (command(run)) } @if !info.directory.is_empty() { " in " code { (info.directory) } } }))
            (entry("System", &html! { (info.system) ", preset " (info.preset) ", seed " (info.seed) }))
            @if let Some(combination) = &info.combination { (entry("Members", &members(combination))) }
            @if let Some(decision) = &info.decision { (decision_words(decision)) }
            @if let Some(heat) = &info.heat {
                (entry("Heat", &html! { (heat.unit) ", " (heat.width) "×" (heat.height) "; full at " (number(heat.scale)) ", regions above " (number(heat.threshold)) }))
            }
            (entry("Made by", &html! { "vadis " (info.version) ", started " time { (info.started) } }))
            (entry("Machine", &machine(run)))
            @if !info.scoring.is_empty() { (entry("Scoring took", &html! { (spent(&info.scoring)) })) }
        }
        (sources(run))
        details {
            summary { "The whole configuration" }
            pre { code { (serde_json::to_string_pretty(&info.config).unwrap_or_default()) } }
        }
    })
}

fn entry(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// As it was typed; for older runs, which do not say, what is known of it.
fn command(run: &Run) -> String {
    let info = &run.info;
    if !info.command_line.is_empty() {
        return info.command_line.clone();
    }
    let mut words = vec!["vadis".to_owned(), info.command.clone()];
    words.extend(info.sources.iter().take(4).map(|s| shell(&s.path)));
    if info.sources.len() > 4 {
        words.push("…".to_owned());
    }
    words.extend([format!("--system {}", shell(&info.system)), format!("--preset {}", shell(&info.preset))]);
    words.push(format!("--seed {}", info.seed));
    words.join(" ")
}

/// `itae × 0.50 (itae.safetensors), … ; weights equal`.
fn members(combination: &CombinationInfo) -> Markup {
    html! {
        @for member in &combination.members {
            (member.name) " × " (format!("{:.2}", member.weight)) " (" code { (member.from) } "), "
        }
        "each in deviations from its mean on normal footage; weights: " (combination.weights) "; "
        (plural(combination.delay as u64, "frame", "frames")) " late"
    }
}

fn decision_words(decision: &Decision) -> Markup {
    html! {
        (entry("Normalisation", &html! { (normalisation(&decision.normalisation)) }))
        (entry("Smoothing", &html! { (smoothing(&decision.smoothing)) }))
        (entry("Threshold", &html! { (decision.rule) " = " (number(decision.threshold)) }))
        @if let Some(alarms) = &decision.alarms { (entry("Alarms", &html! { (alarms.words()) })) }
    }
}

fn normalisation(name: &str) -> String {
    match name {
        "none" => "none: raw scores".to_owned(),
        "training" => "training: by mean and deviation of normal footage".to_owned(),
        "per_video" => "per_video: to [0, 1] within each video, which uses its future".to_owned(),
        "causal" => "causal: by the video's past only".to_owned(),
        other => other.to_owned(),
    }
}

fn smoothing(name: &str) -> String {
    let (kind, width) = name.split_once(':').unwrap_or((name, ""));
    let wide = if width.ends_with('s') { width.to_owned() } else { format!("{width} frames") };
    match kind {
        "none" => "none".to_owned(),
        "median" => format!("{name}: median over {wide}, centred, which looks ahead"),
        "causal_median" => format!("{name}: median over the last {wide}"),
        "gaussian" => format!("{name}: Gaussian of {wide}, centred, which looks ahead"),
        "ema" => format!("{name}: exponential average over {wide}, past only"),
        _ => name.to_owned(),
    }
}

/// `train 2 min, score 10 s`.
fn spent(seconds: &[(String, f64)]) -> String {
    let parts: Vec<String> = seconds.iter().map(|(name, s)| format!("{name} {}", duration(*s))).collect();
    parts.join(", ")
}

fn machine(run: &Run) -> Markup {
    let info = &run.info;
    let stages = spent(&info.seconds);
    html! {
        (info.machine.cpu) ", " (info.machine.threads) " threads, device " (info.machine.device) ", " (info.machine.os)
        @if let Some(mib) = info.peak_mib { "; at most " (count(mib.max(0.0) as u64)) " MiB" }
        @if !stages.is_empty() { "; " (stages) }
    }
}

fn sources(run: &Run) -> Markup {
    const MOST: usize = 500;
    let sources = &run.info.sources;
    html! {
        details {
            summary { "What was read (" (count(sources.len() as u64)) ")" }
            div.wide { table {
                thead { tr { th scope="col" { "video" } th scope="col" { "path" } th.n scope="col" { "size" }
                    th.n scope="col" { "fps" } th.n scope="col" { "frames" } th.n scope="col" { "length" } } }
                tbody {
                    @for s in sources.iter().take(MOST) {
                        tr {
                            th scope="row" { (s.video) } td.path { (s.path) }
                            td.n { (s.width) "×" (s.height) } td.n { (number(s.fps)) }
                            td.n { (count(s.frames)) } td.n { (duration(s.duration_s)) }
                        }
                    }
                }
            } }
            @if sources.len() > MOST { p { "The others are in run.json." } }
        }
    }
}
