//! A contact sheet of pseudo-anomalies: a person must see what the networks train on.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_motion::FlowField;
use vadis_video::{Colour, Frame, write_png};

use super::spatial::Spatial;
use super::temporal::Temporal;
use crate::clips::{Run, clip_starts};
use crate::frames::spread;
use crate::{Session, SystemError};

/// Rows of the sheet, one a clip.
const ROWS: usize = 6;
/// Pixels between pictures, and their grey.
const GAP: usize = 2;
const GROUND: u8 = 255;
/// The sheet's file, in the run's folder.
const FILE: &str = "pseudo_anomalies.png";

/// Writes the sheet beside the checkpoint: in each row a clip's frame, its pseudo-anomaly, its flow, and that one's.
/// Without a checkpoint there is no folder and no sheet.
pub(super) fn show(
    spatial: &Spatial<'_>,
    temporal: &Temporal<'_>,
    runs: &[Run],
    length: usize,
    session: &mut Session<'_>,
) -> Result<(), SystemError> {
    let Some(folder) = session.checkpoint.as_ref().and_then(|path| path.parent()) else { return Ok(()) };
    let path = folder.join(FILE);
    let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
    let mut rows = Vec::new();
    for start in spread(&clip_starts(runs, length, 1), ROWS) {
        let frames = spatial.anomaly(start, &mut rng)?;
        let flows = temporal.anomaly(start, &mut rng)?;
        let middle = length / 2;
        let limit = flows[0][middle].largest().max(1.0);
        let mut row: Vec<Frame> = frames.iter().map(|frames| frames[middle].to_rgb()).collect();
        row.extend(flows.iter().map(|flows| picture(&flows[middle], limit)));
        rows.push(row);
    }
    if let Err(error) = write_png(&sheet(&rows), &path) {
        session.notes.push(format!("no contact sheet of pseudo-anomalies: {error}"));
    }
    Ok(())
}

fn picture(flow: &FlowField, limit: f32) -> Frame {
    let data = flow.to_rgb(limit);
    Frame { index: 0, time_s: 0.0, width: flow.width, height: flow.height, colour: Colour::Rgb, data }
}

/// Rows of colour pictures of one size, with gaps between.
fn sheet(rows: &[Vec<Frame>]) -> Frame {
    let (w, h) = rows.first().and_then(|row| row.first()).map_or((1, 1), |f| (f.width, f.height));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let [width, height] = [(w, columns), (h, rows.len().max(1))].map(|(side, n)| n * (side + GAP) - GAP);
    let mut out = Frame::filled(width, height, Colour::Rgb, GROUND);
    for (r, row) in rows.iter().enumerate() {
        for (c, frame) in row.iter().enumerate() {
            for (y, line) in frame.data.chunks_exact(3 * w).enumerate() {
                let at = ((r * (h + GAP) + y) * width + c * (w + GAP)) * 3;
                out.data[at..at + 3 * w].copy_from_slice(line);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows_with_gaps() {
        let row = |value: u8| {
            vec![Frame::filled(3, 2, Colour::Rgb, value), Frame::filled(3, 2, Colour::Rgb, value + 1)]
        };
        let sheet = sheet(&[row(10), row(20)]);
        assert_eq!((sheet.width, sheet.height), (8, 6));
        let line = |y: usize| sheet.data[y * 24..][..24].iter().step_by(3).copied().collect::<Vec<_>>();
        assert_eq!(line(1), [10, 10, 10, 255, 255, 11, 11, 11]);
        assert_eq!(line(2), [255; 8]);
        assert_eq!(line(5), [20, 20, 20, 255, 255, 21, 21, 21]);
    }
}
