//! What each layer of the network makes of the strangest moments.

use maud::{Markup, html};

use super::events::target;
use crate::media::Gallery;
use crate::run::Run;
use crate::words::clock;

/// A row for each event whose layers were looked into; none where there is no such event.
pub(crate) fn section(run: &Run, gallery: &Gallery) -> Option<Markup> {
    let shown =
        |index: &usize| gallery.media.get(*index).is_some_and(|m| m.frame.is_some() && !m.layers.is_empty());
    let rows: Vec<usize> = (0..run.events.len()).filter(shown).collect();
    (!rows.is_empty()).then(|| {
        html! {
            h2 { "What the layers look at" }
            p.lead {
                "Grad-CAM: where each layer's activations raise the error that the score is made of. Each picture goes up to its own largest \
                value. A layer may be bright where there is no error: its channels are weighed by their gradients' means over the whole frame."
            }
            @for index in rows { (row(run, gallery, index)) }
        }
    })
}

fn row(run: &Run, gallery: &Gallery, index: usize) -> Markup {
    let (event, media, view) = (&run.events[index], &gallery.media[index], run.picture(index));
    let name = format!("{} at {}", event.video, clock(run.peak_s(event)));
    html! {
        h3 { a href={ "#" (target(index)) } { "Event " (run.rank(index)) } ", " (name) }
        div.media.layers {
            (view.again("frame", &format!("{name}: the frame")))
            @if let Some(heat) = &media.heat { (view.heat(heat, "error", &format!("{name}: its error"))) }
            @for (layer, map) in &media.layers {
                (view.heat(map, &layer.replace('.', " "), &format!("{name}: where {layer} raises the error")))
            }
        }
    }
}
