//! `vadis doctor`: is everything there that vadis needs?

use vadis::video::ffmpeg_version;
use vadis::{Failure, Hint, machine};

use super::Output;

pub(super) fn run(output: &Output<'_>) -> Result<(), Failure> {
    let ffmpeg = ffmpeg_version();
    let features = machine::cpu_features();
    let cpu = machine::cpu_name().unwrap_or_else(|| "unknown".to_owned());
    let devices = vadis::systems::devices();
    let threads = rayon::current_num_threads();
    let shown = match &ffmpeg {
        Ok(version) => format!("ok       {version}"),
        Err(error) => format!("MISSING  {error}"),
    };
    let text = format!(
        "vadis     ok       {}\nffmpeg    {shown}\nprocessor ok       {cpu}, {threads} threads, {}\ndevices   ok       {}",
        env!("CARGO_PKG_VERSION"),
        if features.is_empty() { "portable kernels".to_owned() } else { features.join(" ") },
        devices.join(" "),
    );
    let json = serde_json::json!({
        "vadis": env!("CARGO_PKG_VERSION"),
        "ffmpeg": ffmpeg.as_ref().ok().map(ToString::to_string),
        "cpu": cpu,
        "threads": threads,
        "features": features,
        "devices": devices,
    });
    output.result(&text, &json)?;
    ffmpeg.map(|_| ()).map_err(|error| {
        let failure = Failure::from(error);
        let hint = failure.hint();
        hint.map_or(failure, |_| Failure::NotReady { what: "the ffmpeg command" })
    })
}
