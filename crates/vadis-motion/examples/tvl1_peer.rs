//! Computes TV-L1 flow for another process, with its time: what `tests/scripts/tvl1_peer.py` compares with OpenCV.
//!
//! Reads pairs from standard input (width and height as little-endian u32, then two grey pictures) and answers each
//! with the seconds it took by the clock and by the processor (f64) and the planes u and v (f32).

use std::io::{self, Read, Write};
use std::time::Instant;

use vadis_motion::TvL1;
use vadis_video::{Colour, Frame};

/// Seconds that the process's threads have run (Linux).
fn processor_s() -> f64 {
    let ran = |task: std::fs::DirEntry| -> Option<f64> {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(ran).sum::<f64>() / 1e9
}

fn read_side(input: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

fn read_frame(input: &mut impl Read, width: usize, height: usize) -> io::Result<Frame> {
    let mut frame = Frame::filled(width, height, Colour::Grey, 0);
    input.read_exact(&mut frame.data)?;
    Ok(frame)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut flows = TvL1::default();
    while let Ok(width) = read_side(&mut input) {
        let height = read_side(&mut input)?;
        let before = read_frame(&mut input, width, height)?;
        let after = read_frame(&mut input, width, height)?;
        let (start, ran) = (Instant::now(), processor_s());
        let flow = flows.flow(&before, &after)?;
        let seconds = [start.elapsed().as_secs_f64(), processor_s() - ran];
        output.write_all(&seconds.map(f64::to_le_bytes).concat())?;
        for plane in [flow.u, flow.v] {
            output.write_all(&plane.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        }
        output.flush()?;
    }
    Ok(())
}
