//! The heat of a run that is whole, drawn in other colours.

use std::path::{Path, PathBuf};

use vadis_eval::run::{HeatColours, RunInfo};
use vadis_video::{Colour, Frame};

use crate::ReportError;
use crate::colour::Palette;
use crate::media::{HEATS, folder, layer_files};
use crate::mistakes;
use crate::pictures::write_png;

/// Draws every heat picture of the run in `colours` and keeps them in `run.json`, where overlay and report find them. Returns
/// what could not be drawn anew, and why. A run without heat is left as it is.
///
/// A picture's values are read from its colours, each of which stands for one value, so that nothing but the pictures is
/// needed: neither `heat.mkv` nor the footage.
///
/// # Errors
/// `run.json` cannot be read, or a file not be written.
pub fn recolour(run_dir: &Path, colours: HeatColours) -> Result<Vec<String>, ReportError> {
    let path = run_dir.join("run.json");
    let mut run = RunInfo::read(&path)?;
    let Some(heat) = run.heat.as_mut().filter(|heat| heat.colours != colours) else {
        return Ok(Vec::new());
    };
    let (from, to) = (Palette::of(heat.colours), Palette::of(colours));
    let mut problems = Vec::new();
    for file in pictures(run_dir) {
        match values(&file, from, to) {
            Ok(values) => write_png(&file, &values, to)?,
            Err(reason) => problems.push(format!("{} keeps its colours: {reason}", file.display())),
        }
    }
    // Last, so that what was interrupted is taken up again.
    heat.colours = colours;
    run.write(&path)?;
    Ok(problems)
}

/// Those there are.
fn pictures(run_dir: &Path) -> Vec<PathBuf> {
    let events = (1..).map(|rank| folder(run_dir, rank)).take_while(|folder| folder.is_dir());
    let of_events = events.flat_map(|folder| {
        let layers = layer_files(&folder).into_iter().map(|(_, file)| file);
        HEATS.map(|name| folder.join(name)).into_iter().chain(layers).collect::<Vec<_>>()
    });
    let all = of_events.chain(mistakes::heat_files(run_dir));
    all.filter(|file| file.is_file()).collect()
}

/// The values of a picture in the colours of `from`, or, where an earlier attempt was interrupted, already in those of `to`.
fn values(file: &Path, from: &Palette, to: &Palette) -> Result<Frame, String> {
    let picture = image::open(file).map_err(|error| error.to_string())?.into_rgba8();
    let drawn_in = |palette: &Palette| {
        let values = palette.values();
        let value = |&image::Rgba([r, g, b, _]): &image::Rgba<u8>| values.get(&[r, g, b]).copied();
        picture.pixels().map(value).collect::<Option<Vec<u8>>>()
    };
    let data = drawn_in(from).or_else(|| drawn_in(to)).ok_or("it is not in the colours of heat")?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(Frame { data, ..Frame::filled(width, height, Colour::Grey, 0) })
}
