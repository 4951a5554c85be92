//! What was learnt: the losses, and where frames lie among the latents.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use maud::{Markup, html};
use vadis_eval::run::{LatentPoint, TrainingLog};

use crate::media::Gallery;
use crate::plot::{Chart, Layer, Range};
use crate::run::Run;
use crate::thin::{evenly, min_max};
use crate::words::{duration, number, plural};

/// Slices of a loss curve, and dots of a map.
const LOSS_BUCKETS: usize = 300;
const MOST_DOTS: usize = 5000;
/// Groups with a colour of their own.
const COLOURS: u32 = 7;

pub(crate) fn section(run: &Run, gallery: &Gallery) -> Option<Markup> {
    let losses = run.training.as_ref().filter(|t| !t.rows.is_empty());
    if losses.is_none() && run.latents.is_empty() && gallery.sheet.is_none() {
        return None;
    }
    Some(html! {
        h2 { "What it learnt" }
        @if let Some(log) = losses { (losses_of(log)) }
        @if let Some(sheet) = &gallery.sheet { (pseudo_anomalies(sheet)) }
        @if !run.latents.is_empty() { (maps(run)) }
    })
}

/// What the networks are shown beside normal clips.
fn pseudo_anomalies(sheet: &str) -> Markup {
    html! {
        p.lead {
            "Pseudo-anomalies that it learnt to undo. In each row: a normal frame, the same with something else put in, \
             its optical flow, and that with a patch mixed with another. The hue of a flow is its direction."
        }
        p { img src=(sheet) alt="Rows of a frame, its pseudo-anomaly, its flow and that one's pseudo-anomaly" style="max-width:100%"; }
    }
}

fn losses_of(log: &TrainingLog) -> Markup {
    let last = log.rows.last();
    let told = last.map(|row| {
        let steps = plural(row.step, "step", "steps");
        format!("{steps}, {} passes over the footage, {}.", number(row.epoch), duration(row.seconds))
    });
    html! {
        p.lead { (told.unwrap_or_default()) }
        div.charts { @for (i, term) in log.terms.iter().enumerate() { (loss(log, i, term).render()) } }
    }
}

fn loss(log: &TrainingLog, term: usize, name: &str) -> Chart {
    let epochs: Vec<f64> = log.rows.iter().map(|r| r.epoch).collect();
    let values: Vec<f64> = log.rows.iter().map(|r| r.values.get(term).copied().unwrap_or(f64::NAN)).collect();
    let x = Range::of(epochs.iter().copied());
    let thin = min_max(&epochs, &values, x.low, x.high, LOSS_BUCKETS);
    let points = thin.iter().flat_map(|b| [(b.time, b.low), (b.time, b.high)]).collect();
    let (first, last) = (values.first(), values.last());
    let described = format!("from {} to {}", number(*first.unwrap_or(&0.0)), number(*last.unwrap_or(&0.0)));
    Chart {
        title: name.replace('_', " "),
        description: described,
        x_label: "passes over the footage".to_owned(),
        y_label: String::new(),
        x,
        y: Range::of(values).padded(0.04),
        ticks: true,
        layers: vec![Layer::Line { class: "s-main", points }],
        legend: Vec::new(),
    }
}

fn maps(run: &Run) -> Markup {
    let points = thinned(&run.latents);
    let labelled = !run.labels.is_empty();
    html! {
        p.lead { "Each dot is a frame, placed so that frames the system sees as alike lie close together. Lone frames far out are drawn on the edge." }
        div.charts {
            (by_group(&points, "Map of the frames, by group of event".to_owned()).render())
            @if labelled { (by_label(run, &points, "The same, by label".to_owned()).render()) }
        }
    }
}

/// One run's map for a page of several: by label where labels are known, else by group of event.
pub(super) fn latent_map(run: &Run, title: String) -> Chart {
    let points = thinned(&run.latents);
    if run.labels.is_empty() { by_group(&points, title) } else { by_label(run, &points, title) }
}

/// Every frame of an event as far as there is room, the others evenly thinned.
fn thinned(latents: &[LatentPoint]) -> Vec<&LatentPoint> {
    let finite = latents.iter().filter(|p| p.x.is_finite() && p.y.is_finite());
    let (grouped, plain): (Vec<_>, Vec<_>) = finite.partition(|p| p.group > 0);
    let grouped = evenly(&grouped, MOST_DOTS / 2);
    let mut points = evenly(&plain, MOST_DOTS - grouped.len());
    points.extend(grouped);
    points
}

fn map(
    title: String,
    description: String,
    points: &[&LatentPoint],
    layers: Vec<Layer>,
    legend: Vec<(String, String)>,
) -> Chart {
    Chart {
        title,
        description,
        x_label: "first direction".to_owned(),
        y_label: "second direction".to_owned(),
        x: central(points.iter().map(|p| p.x)).padded(0.04),
        y: central(points.iter().map(|p| p.y)).padded(0.04),
        ticks: false,
        layers,
        legend,
    }
}

/// The range of all but the farthest few, which are drawn on the edge: one lone frame would press all others into a spot.
fn central(values: impl Iterator<Item = f64>) -> Range {
    const FARTHEST: f64 = 0.01;
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let at =
        |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
    Range::of([at(FARTHEST), at(1.0 - FARTHEST)].into_iter().flatten())
}

fn by_group(points: &[&LatentPoint], title: String) -> Chart {
    let mut groups: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for point in points {
        groups.entry(point.group.min(COLOURS + 1)).or_default().push((point.x, point.y));
    }
    let legend = groups.keys().map(|&g| (format!("k-g{g}"), group_name(g))).collect();
    let described =
        format!("{} frames, {} groups of events", points.len(), groups.keys().filter(|g| **g > 0).count());
    let layers =
        groups.into_iter().map(|(g, points)| Layer::Dots { class: format!("g{g}"), points }).collect();
    map(title, described, points, layers, legend)
}

fn group_name(group: u32) -> String {
    match group {
        0 => "no event".to_owned(),
        g if g > COLOURS => "further groups".to_owned(),
        g => format!("group {g}"),
    }
}

fn by_label(run: &Run, points: &[&LatentPoint], title: String) -> Chart {
    let known: BTreeSet<&str> = run.labels.keys().map(String::as_str).collect();
    let abnormal = abnormal_frames(run);
    let (strange, rest): (Vec<_>, Vec<_>) = points
        .iter()
        .filter(|p| known.contains(p.video.as_str()))
        .partition(|p| abnormal.contains(&(p.video.as_str(), p.frame)));
    let place = |points: Vec<&&LatentPoint>| points.iter().map(|p| (p.x, p.y)).collect();
    let described = format!("{} labelled abnormal, {} normal", strange.len(), rest.len());
    let layers = vec![
        Layer::Dots { class: "g0".to_owned(), points: place(rest) },
        Layer::Dots { class: "truth".to_owned(), points: place(strange) },
    ];
    let legend = [("k-g0", "labelled normal"), ("k-truth-dot", "labelled abnormal")];
    let legend = legend.map(|(class, name)| (class.to_owned(), name.to_owned())).to_vec();
    map(title, described, points, layers, legend)
}

/// Frames labelled abnormal, by the frame numbers of `scores.csv`.
fn abnormal_frames(run: &Run) -> HashSet<(&str, u64)> {
    let videos = run.scores.videos.iter().filter_map(|v| Some((v, run.labels.get(&v.video)?)));
    videos
        .flat_map(|(video, labels)| {
            let rows = video.rows.iter().zip(labels).filter(|(_, label)| **label != 0);
            rows.map(|(row, _)| (video.video.as_str(), row.frame))
        })
        .collect()
}
