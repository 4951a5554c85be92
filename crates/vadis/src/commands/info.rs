//! `vadis info`: what a model file says of itself.

use vadis::Failure;
use vadis::systems::{Model, ModelInfo};

use super::{Output, open_model};
use crate::cli::InfoArgs;

pub(super) fn run(args: &InfoArgs, output: &Output<'_>) -> Result<(), Failure> {
    let (model, info) = open_model(&args.model)?;
    let input = model.input();
    let json = serde_json::json!({
        "system": model.system(),
        "config": model.config(),
        "input": {"width": input.width, "height": input.height, "colour": input.colour},
        "delay": model.delay(),
        "indicators": model.indicators(),
        "statistics": model.statistics(),
        "info": info,
    });
    output.result(&describe(model.as_ref(), &info), &json)
}

fn describe(model: &dyn Model, info: &ModelInfo) -> String {
    let input = model.input();
    let frames: u64 = info.sources.iter().map(|(_, frames)| frames).sum();
    let mut text = format!(
        "system      {}, preset {}, seed {}\nmade        {} by vadis {}\nreads       {}×{} {:?}, delay {} frames\n\
         learnt      {frames} frames of {} source(s) in {:.0} s\n",
        model.system(),
        info.preset,
        info.seed,
        info.made,
        info.version,
        input.width,
        input.height,
        input.colour,
        model.delay(),
        info.sources.len(),
        info.train_s
    );
    for (name, frames) in info.sources.iter().take(8) {
        text += &format!("            {name}: {frames}\n");
    }
    let losses: Vec<String> = info.losses.iter().map(|(name, value)| format!("{name} {value:.5}")).collect();
    text += &format!("losses      {}\n", losses.join(", "));
    let statistics = model.statistics();
    text += &format!("scores      on {} {} frames:\n", statistics.frames, statistics.footage);
    for column in &statistics.columns {
        text += &format!(
            "            {:<20} median {:.5}  99 % {:.5}\n",
            column.name,
            column.median(),
            column.quantile(0.99)
        );
    }
    if let Some(settings) = model.config().as_object() {
        text += "settings\n";
        for (key, value) in settings {
            text += &format!("            {key} = {value}\n");
        }
    }
    info.notes.iter().for_each(|note| text += &format!("note        {note}\n"));
    text
}
