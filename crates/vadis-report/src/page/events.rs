//! The ranked events as cards, like ones together; camera trouble apart.

use maud::{Markup, html};
use vadis_eval::run::{Event, HeatInfo};

use crate::ReportOptions;
use crate::media::{Gallery, Media};
use crate::run::{Run, is_trouble};
use crate::words::{clock, count, duration, number, plural};

/// Anchor of the event in this row of `events.csv` (from 0).
pub(crate) fn target(index: usize) -> String {
    format!("event-{}", index + 1)
}

impl Run {
    /// How the pictures of the event in this row of `events.csv` are framed.
    pub(super) fn picture(&self, index: usize) -> Picture {
        let source = self.source(&self.events[index].video);
        let (width, height) = source.map_or((16, 9), |s| (s.width.max(1), s.height.max(1)));
        Picture { id: format!("frame-{}", index + 1), width, height }
    }

    /// Time of an event's peak: from the scores, else the event's middle.
    pub(super) fn peak_s(&self, event: &Event) -> f64 {
        let rows = self.scores.video(&event.video).map(|v| v.rows.as_slice());
        let row = rows.and_then(|rows| {
            rows.binary_search_by_key(&event.peak_frame, |r| r.frame).ok().map(|i| &rows[i])
        });
        row.map_or((event.start_s + event.end_s) / 2.0, |r| r.time_s)
    }

    /// Place of a row of `events.csv` among the strange moments, from 1; camera trouble does not count.
    pub(crate) fn rank(&self, index: usize) -> usize {
        self.events[..=index].iter().filter(|e| !is_trouble(e)).count()
    }
}

/// One card with the cards of like events behind it.
struct Cluster {
    first: usize,
    like: Vec<usize>,
}

pub(crate) fn section(run: &Run, gallery: &Gallery, options: &ReportOptions) -> Option<Markup> {
    let all: Vec<usize> = (0..run.events.len()).filter(|&i| !is_trouble(&run.events[i])).collect();
    let shown = &all[..all.len().min(options.max_events)];
    let cards = Cards { run, gallery, several: run.info.sources.len() > 1 };
    Some(html! {
        h2 { "The strange moments, strangest first" }
        @if shown.is_empty() { p.lead { (nothing_found(run)) } }
        @else {
            div.bar {
                p.lead { "Each with the scene at its peak, where the score comes from, what a normal scene would look like there, and a clip." }
                @if let Some(heat) = &run.info.heat { (heat_legend(heat)) }
            }
        }
        @for cluster in clusters(shown, &run.event_groups()) { (cards.cluster(&cluster)) }
        @if all.len() > shown.len() {
            p { (plural((all.len() - shown.len()) as u64, "further event is", "further events are")) " in events.csv." }
        }
        (left_out(gallery))
    })
}

/// Camera trouble, if there was any.
pub(crate) fn trouble(run: &Run, gallery: &Gallery) -> Option<Markup> {
    const MOST: usize = 100;
    let found: Vec<usize> = (0..run.events.len()).filter(|&i| is_trouble(&run.events[i])).collect();
    let cards = Cards { run, gallery, several: run.info.sources.len() > 1 };
    (!found.is_empty()).then(|| {
        html! {
            h2 { "Camera trouble" }
            p.lead { "The picture itself failed here, so these are not counted among the strange moments." }
            @for &i in found.iter().take(MOST) { (cards.card(i)) }
            @if found.len() > MOST { p { (count((found.len() - MOST) as u64)) " more in events.csv." } }
        }
    })
}

fn nothing_found(run: &Run) -> String {
    match &run.info.decision {
        Some(decision) => format!(
            "No score stayed above the threshold ({}). Lower it to see the next strangest moments.",
            decision.rule
        ),
        None => "No decision was taken on these scores, so there are no events.".to_owned(),
    }
}

fn left_out(gallery: &Gallery) -> Markup {
    let Gallery { clips_dropped: clips, pictures_dropped: pictures, .. } = gallery;
    html! {
        @if clips + pictures > 0 {
            p.small { "To keep this page small, " (plural((clips + pictures) as u64, "picture or clip was", "pictures and clips were"))
                " left out; they are in the folder events beside it." }
        }
    }
}

/// Groups by like event; the order of first appearance is kept. Group 0 is no group.
fn clusters(events: &[usize], groups: &[u32]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for &event in events {
        let group = groups[event];
        match clusters.iter_mut().find(|c| group > 0 && groups[c.first] == group) {
            Some(cluster) => cluster.like.push(event),
            None => clusters.push(Cluster { first: event, like: Vec::new() }),
        }
    }
    clusters
}

struct Cards<'a> {
    run: &'a Run,
    gallery: &'a Gallery,
    /// More than one video: cards say which.
    several: bool,
}

impl Cards<'_> {
    fn cluster(&self, cluster: &Cluster) -> Markup {
        html! {
            (self.card(cluster.first))
            @if !cluster.like.is_empty() {
                details.like {
                    summary { (count(cluster.like.len() as u64)) " more like this: " (self.places(&cluster.like)) }
                    @for &event in &cluster.like { (self.card(event)) }
                }
            }
        }
    }

    /// Ranks and times of the first few.
    fn places(&self, events: &[usize]) -> String {
        const MOST: usize = 6;
        let place = |&i: &usize| format!("#{} at {}", self.run.rank(i), clock(self.run.events[i].start_s));
        let mut places: Vec<String> = events.iter().take(MOST).map(place).collect();
        if events.len() > MOST {
            places.push("…".to_owned());
        }
        places.join(", ")
    }

    fn card(&self, index: usize) -> Markup {
        let event = &self.run.events[index];
        let media = self.gallery.media.get(index);
        let trouble = is_trouble(event);
        html! {
            article.card id=(target(index)) .trouble[trouble] {
                div.words {
                    @if !trouble { p.rank { (self.run.rank(index)) } }
                    h3 { time { (clock(event.start_s)) } " – " time { (clock(event.end_s)) } }
                    @if self.several { p.video { (event.video) } }
                    p.reason { (event.reason) }
                    (facts(event, self.run))
                }
                @match media {
                    Some(media) if *media != Media::default() => { (self.gallery_of(index, event, media)) }
                    _ => div.media { p.none { "No picture of this event was kept." } }
                }
            }
        }
    }

    fn gallery_of(&self, index: usize, event: &Event, media: &Media) -> Markup {
        let at = clock(self.run.peak_s(event));
        let view = self.run.picture(index);
        html! {
            div.media {
                @if let Some(frame) = &media.frame {
                    (view.frame(frame, &format!("at {at}"), &format!("Frame {} of {} at its peak, {at}", event.peak_frame, event.video)))
                    @if let Some(heat) = &media.heat {
                        (view.heat(heat, "where", &format!("Heat map over that frame: {}", event.reason)))
                    }
                }
                @if let (Some(likelihood), true) = (&media.likelihood, media.frame.is_some()) {
                    (view.heat(likelihood, "unlikely", "Where over that frame the features are least likely, from the picture's median to its most unlikely place"))
                }
                @if let Some(reconstruction) = &media.reconstruction {
                    (view.plain(reconstruction, "as normal", "The same frame as the system would have it"))
                }
                @if let Some(clip) = &media.clip { (video(clip, view.width, view.height, event)) }
            }
        }
    }
}

fn facts(event: &Event, run: &Run) -> Markup {
    let over = run.threshold().filter(|t| *t > 0.0).map(|t| event.peak_score / t);
    html! {
        p.facts {
            (duration(event.end_s - event.start_s)) " · peak score " (number(event.peak_score))
            @if let Some(over) = over.filter(|o| o.is_finite() && *o > 0.0) { " · " (format!("{over:.1}")) "× the threshold" }
        }
    }
}

/// How pictures of one event are framed. They are SVG images so that the frame, shown twice, is stored once.
pub(super) struct Picture {
    pub(super) id: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Picture {
    pub(super) fn frame(&self, uri: &str, caption: &str, alt: &str) -> Markup {
        self.tile(caption, alt, &html! {
            image id=(self.id) href=(uri) width=(self.width) height=(self.height) preserveAspectRatio="none" {}
        })
    }

    pub(super) fn heat(&self, uri: &str, caption: &str, alt: &str) -> Markup {
        self.tile(
            caption,
            alt,
            &html! {
                use href={ "#" (self.id) } {}
                image.heat href=(uri) width=(self.width) height=(self.height) preserveAspectRatio="none" {}
            },
        )
    }

    /// The frame again, which stands elsewhere on the page.
    pub(super) fn again(&self, caption: &str, alt: &str) -> Markup {
        self.tile(caption, alt, &html! { use href={ "#" (self.id) } {} })
    }

    /// The frame and the heat over it.
    pub(super) fn under_heat(&self, frame: &str, heat: Option<&str>, caption: &str, alt: &str) -> Markup {
        self.tile(
            caption,
            alt,
            &html! {
                image href=(frame) width=(self.width) height=(self.height) preserveAspectRatio="none" {}
                @if let Some(heat) = heat {
                    image.heat href=(heat) width=(self.width) height=(self.height) preserveAspectRatio="none" {}
                }
            },
        )
    }

    fn plain(&self, uri: &str, caption: &str, alt: &str) -> Markup {
        self.tile(
            caption,
            alt,
            &html! {
                image href=(uri) width=(self.width) height=(self.height) preserveAspectRatio="none" {}
            },
        )
    }

    fn tile(&self, caption: &str, alt: &str, picture: &Markup) -> Markup {
        html! {
            figure {
                svg viewBox={ "0 0 " (self.width) " " (self.height) } role="img" aria-label=(alt) { (picture) }
                figcaption { (caption) }
            }
        }
    }
}

fn video(uri: &str, width: u32, height: u32, event: &Event) -> Markup {
    let label = format!("Clip of {} to {}", clock(event.start_s), clock(event.end_s));
    html! {
        figure {
            video src=(uri) muted autoplay loop playsinline preload="metadata" tabindex="0" aria-label=(label)
                style={ "aspect-ratio:" (width) "/" (height) } {}
            figcaption { "clip" }
        }
    }
}

fn heat_legend(heat: &HeatInfo) -> Markup {
    html! {
        div.heatkey {
            label { "heat "
                input #heat-opacity type="range" min="0" max="100" value="100" aria-label="Opacity of the heat maps";
            }
            div.ramp role="img" aria-label={ "Heat from 0 to " (number(heat.scale)) ": " (heat.unit) } {
                span { "0" } i {} span { (number(heat.scale)) }
            }
            small { (heat.unit) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_events_gather_behind_the_first() {
        let found = clusters(&[0, 1, 2, 3, 4], &[7, 0, 7, 0, 7]);
        let shape: Vec<_> = found.iter().map(|c| (c.first, c.like.clone())).collect();
        assert_eq!(shape, [(0, vec![2, 4]), (1, vec![]), (3, vec![])]);
    }
}
