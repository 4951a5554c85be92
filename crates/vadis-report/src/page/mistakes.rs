//! The gallery of the worst mistakes against labels.

use maud::{Markup, html};

use super::events::Picture;
use crate::media::Shown;
use crate::mistakes::Error;
use crate::run::Run;
use crate::words::{clock, number};

/// The section, where pictures of mistakes were kept.
pub(crate) fn section(run: &Run, shown: &[Shown]) -> Option<Markup> {
    if shown.is_empty() {
        return None;
    }
    let of = |error: Error| shown.iter().filter(move |s| s.mistake.error == error);
    Some(html! {
        h2 { "Where it errs most" }
        p.lead { "By the score as events are made of it, frames of one video at least three seconds apart. Look here first: a label may be wrong, or the system blind." }
        h3 { "Labelled normal, and scored highest" }
        div.media { @for one in of(Error::FalsePositive) { (tile(run, one)) } }
        h3 { "Labelled abnormal, and scored lowest" }
        div.media { @for one in of(Error::FalseNegative) { (tile(run, one)) } }
    })
}

/// The frame under its heat, which says what the system looked at.
fn tile(run: &Run, Shown { mistake, frame, heat }: &Shown) -> Markup {
    let (width, height) = run.source(&mistake.video).map_or((16, 9), |s| (s.width.max(1), s.height.max(1)));
    let class = if mistake.error == Error::FalsePositive { "normal" } else { "abnormal" };
    let view = Picture { id: format!("{class}-{}", mistake.rank), width, height };
    let at = clock(mistake.time_s);
    let caption = format!("{}, {at}, score {}", mistake.video, number(mistake.score));
    let alt = format!("Labelled {class}: {caption}");
    view.under_heat(frame, heat.as_deref(), &caption, &alt)
}
