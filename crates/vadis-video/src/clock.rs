//! Finds a clock burnt into the picture: a small part that changes once a second whatever the scene does.
//!
//! A clock is no anomaly, but it is new in every frame of a day; a zone over it ([`crate::zone`]) keeps it out of the
//! scores. The detector is streaming and looks at 30 s at a time, in bounded memory: at most eight frames a second, each
//! reduced to how much every cell of a grid (at most 160 × 48 cells) changed.
//!
//! In a window, a cell ticks if it changes in at least 70 % of the seconds, in at most half of the frames, no more than twice
//! a second, and at the same moment of each second: with n changes at the phases φ, R = |Σ exp(2πiφ)| / n
//! is at least 0.4, and n R² at least 8 (Rayleigh's test: 3 · 10⁻⁴ for changes at random). A clock is where cells tick in at least two
//! windows and half of all. Slower digits are found by changing, mostly, when the others tick.
//!
//! Below three frames a second a clock cannot be told from the scene, and none is reported.

use crate::Frame;
use crate::zone::{Length, Zone};

/// Seconds looked at in one piece.
const WINDOW_S: f64 = 30.0;
/// Frames a second looked at, at most and at least.
const MOST_FPS: f64 = 8.0;
const LEAST_FPS: f64 = 3.0;
/// Frames of a window, at most.
const MOST_FRAMES: usize = 256;
/// Cells along the shorter and the longer side, at most.
const CELLS_SHORT: usize = 48;
const CELLS_LONG: usize = 160;
/// Mean change of a cell in levels, in steps of 1/8, below which it has not changed, whatever its noise.
const LEAST_CHANGE: u8 = 12;
/// A change is this many times the cell's median change.
const TIMES_MEDIAN: u8 = 3;
/// Share of the picture that a clock takes at most.
const LARGEST: f64 = 0.1;

/// Watches one video for a clock.
#[derive(Debug, Clone, Default)]
pub struct ClockDetector {
    state: Option<State>,
}

#[derive(Debug, Clone)]
struct State {
    grid: Grid,
    /// Grey values of the last frame looked at, and its time.
    last: Vec<u8>,
    last_s: f64,
    /// Times and cell changes of the window so far.
    time_s: Vec<f64>,
    changes: Vec<u8>,
    windows: u32,
    cells: Vec<Cell>,
}

/// What all windows said of a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Windows in which it ticked.
    ticked: u32,
    /// Changes, and those that came with a tick.
    changes: u32,
    with_tick: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    width: usize,
    height: usize,
    /// Pixels a side of a cell.
    cell: usize,
    columns: usize,
    rows: usize,
}

impl Grid {
    fn new(width: usize, height: usize) -> Self {
        let (short, long) = (width.min(height), width.max(height));
        let cell = short.div_ceil(CELLS_SHORT).max(long.div_ceil(CELLS_LONG)).max(1);
        Self { width, height, cell, columns: width.div_ceil(cell), rows: height.div_ceil(cell) }
    }

    fn cells(&self) -> usize {
        self.columns * self.rows
    }

    /// Mean absolute difference in each cell, in steps of 1/8 level, up to 255 steps.
    fn changes(&self, before: &[u8], now: &[u8], out: &mut Vec<u8>) {
        let mut sums = vec![0u32; self.columns];
        for band in 0..self.rows {
            sums.fill(0);
            let (first, end) = (band * self.cell, ((band + 1) * self.cell).min(self.height));
            for row in first..end {
                let range = row * self.width..(row + 1) * self.width;
                let pairs = before[range.clone()].chunks(self.cell).zip(now[range].chunks(self.cell));
                for (sum, (a, b)) in sums.iter_mut().zip(pairs) {
                    *sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                let columns = self.cell.min(self.width - column * self.cell);
                let area = (columns * (end - first)) as u32;
                out.push((sum * 8 / area).min(255) as u8);
            }
        }
    }
}

impl ClockDetector {
    /// At the start of a video.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next frame. A frame of another size starts over.
    pub fn push(&mut self, frame: &Frame) {
        if frame.width == 0 || frame.height == 0 {
            return;
        }
        let grid = Grid::new(frame.width, frame.height);
        match &mut self.state {
            Some(state) if state.grid == grid => state.push(frame),
            state => *state = Some(State::new(grid, frame)),
        }
    }

    /// The zone to ignore if a clock has been seen so far: in shares of the picture, with a margin of one cell.
    pub fn suggestion(&self) -> Option<Zone> {
        self.state.as_ref().and_then(State::suggestion)
    }
}

impl State {
    fn new(grid: Grid, frame: &Frame) -> Self {
        Self {
            grid,
            last: frame.to_grey().data,
            last_s: frame.time_s,
            time_s: Vec::new(),
            changes: Vec::new(),
            windows: 0,
            cells: vec![Cell::default(); grid.cells()],
        }
    }

    fn push(&mut self, frame: &Frame) {
        let step_s = frame.time_s - self.last_s;
        // forgives times rounded to milliseconds
        if (0.0..1.0 / MOST_FPS - 2e-3).contains(&step_s) {
            return;
        }
        let grey = frame.to_grey().data;
        let jumped = !(0.0..=WINDOW_S).contains(&step_s);
        if jumped {
            self.time_s.clear();
            self.changes.clear();
        } else {
            self.grid.changes(&self.last, &grey, &mut self.changes);
            self.time_s.push(frame.time_s);
        }
        (self.last, self.last_s) = (grey, frame.time_s);
        let full = self.time_s.first().is_some_and(|first| frame.time_s - first >= WINDOW_S);
        if full || self.time_s.len() >= MOST_FRAMES {
            self.close_window();
            self.time_s.clear();
            self.changes.clear();
        }
    }

    fn close_window(&mut self) {
        let (Some(first), Some(last)) = (self.time_s.first(), self.time_s.last()) else { return };
        let frames = self.time_s.len();
        let seconds = last - first;
        if seconds < WINDOW_S / 2.0 || ((frames - 1) as f64) < LEAST_FPS * seconds {
            return;
        }
        self.windows = self.windows.saturating_add(1);
        let changed: Vec<Vec<usize>> = (0..self.grid.cells()).map(|cell| self.changed_frames(cell)).collect();
        let mut tick = vec![false; frames];
        for (cell, frames) in self.cells.iter_mut().zip(&changed) {
            if ticks(frames, &self.time_s) {
                cell.ticked += 1;
                frames.iter().for_each(|&frame| tick[frame] = true);
            }
        }
        for (cell, frames) in self.cells.iter_mut().zip(&changed) {
            cell.changes = cell.changes.saturating_add(frames.len() as u32);
            let with_tick = frames.iter().filter(|&&frame| tick[frame]).count();
            cell.with_tick = cell.with_tick.saturating_add(with_tick as u32);
        }
    }

    /// The frames of the window in which a cell changed by more than its noise.
    fn changed_frames(&self, cell: usize) -> Vec<usize> {
        let values: Vec<u8> = self.changes.iter().skip(cell).step_by(self.grid.cells()).copied().collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let limit = median.saturating_mul(TIMES_MEDIAN).max(LEAST_CHANGE);
        (0..values.len()).filter(|&frame| values[frame] > limit).collect()
    }

    fn suggestion(&self) -> Option<Zone> {
        let enough = self.windows.div_ceil(2).max(2);
        let ticking: Vec<bool> = self.cells.iter().map(|cell| cell.ticked >= enough).collect();
        let (mut left, mut top, mut right, mut bottom) = self.largest_cluster(&ticking)?;
        // slower digits stand in the same rows, at most a digit's width and a separator away
        let rows = top.saturating_sub(1)..=(bottom + 1).min(self.grid.rows - 1);
        let reach = 2 * (bottom - top + 1) + 2;
        let slow = |column: usize| rows.clone().find(|row| self.follows(row * self.grid.columns + column));
        let mut column = left;
        while column > 0 && left - column < reach {
            column -= 1;
            if let Some(row) = slow(column) {
                (left, top, bottom) = (column, top.min(row), bottom.max(row));
            }
        }
        column = right;
        while column + 1 < self.grid.columns && column - right < reach {
            column += 1;
            if let Some(row) = slow(column) {
                (right, top, bottom) = (column, top.min(row), bottom.max(row));
            }
        }
        self.zone(left, top, right, bottom)
    }

    /// Whether a cell changes with the clock.
    fn follows(&self, cell: usize) -> bool {
        let Cell { changes, with_tick, .. } = self.cells[cell];
        changes >= 2 && f64::from(with_tick) >= 0.6 * f64::from(changes)
    }

    /// Edges (left, top, right, bottom), inclusive, of the largest set of ticking cells with no more than one cell between.
    fn largest_cluster(&self, ticking: &[bool]) -> Option<(usize, usize, usize, usize)> {
        let Grid { columns, rows, .. } = self.grid;
        let mut seen = vec![false; ticking.len()];
        let mut largest: Option<(usize, (usize, usize, usize, usize))> = None;
        for start in (0..ticking.len()).filter(|&cell| ticking[cell]) {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let (mut stack, mut size) = (vec![start], 0);
            let mut edges = (columns, rows, 0, 0);
            while let Some(cell) = stack.pop() {
                let (x, y) = (cell % columns, cell / columns);
                size += 1;
                edges = (edges.0.min(x), edges.1.min(y), edges.2.max(x), edges.3.max(y));
                for near_y in y.saturating_sub(2)..=(y + 2).min(rows - 1) {
                    for near_x in x.saturating_sub(2)..=(x + 2).min(columns - 1) {
                        let near = near_y * columns + near_x;
                        if ticking[near] && !std::mem::replace(&mut seen[near], true) {
                            stack.push(near);
                        }
                    }
                }
            }
            if largest.is_none_or(|(before, _)| size > before) {
                largest = Some((size, edges));
            }
        }
        largest.map(|(_, edges)| edges)
    }

    /// With a margin of one cell, in whole thousandths of the picture.
    fn zone(&self, left: usize, top: usize, right: usize, bottom: usize) -> Option<Zone> {
        let Grid { width, height, cell, .. } = self.grid;
        let down = |cells: usize, side: usize| ((cells * cell * 1000) / side) as f64 / 1000.0;
        let up = |cells: usize, side: usize| ((cells * cell * 1000).div_ceil(side)).min(1000) as f64 / 1000.0;
        let (x0, y0) = (down(left.saturating_sub(1), width), down(top.saturating_sub(1), height));
        let (x1, y1) = (up(right + 2, width), up(bottom + 2, height));
        let share = |from: f64, to: f64| Length::Share(((to - from) * 1000.0).round() / 1000.0);
        let small = (x1 - x0) * (y1 - y0) <= LARGEST;
        small.then(|| Zone::Rectangle {
            x: Length::Share(x0),
            y: Length::Share(y0),
            width: share(x0, x1),
            height: share(y0, y1),
        })
    }
}

/// Whether changes in `frames` of a window are those of a clock's seconds.
fn ticks(frames: &[usize], time_s: &[f64]) -> bool {
    let (Some(first), Some(last)) = (time_s.first(), time_s.last()) else { return false };
    let seconds = last - first;
    let count = frames.len() as f64;
    if count < 0.7 * seconds || count > 2.0 * seconds || frames.len() * 2 > time_s.len() {
        return false;
    }
    let (mut sum_cos, mut sum_sin) = (0.0, 0.0);
    for &frame in frames {
        let (sin, cos) = (std::f64::consts::TAU * (time_s[frame] - first)).sin_cos();
        (sum_cos, sum_sin) = (sum_cos + cos, sum_sin + sin);
    }
    let concentration = f64::hypot(sum_cos, sum_sin) / count;
    let mut with_change: Vec<u64> = frames.iter().map(|&frame| (time_s[frame] - first) as u64).collect();
    with_change.dedup();
    concentration >= 0.4
        && count * concentration.powi(2) >= 8.0
        && with_change.len() as f64 >= 0.7 * seconds.floor()
}
