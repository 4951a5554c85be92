//! Between pixels and transform points: the tiles of one block of sixteen channels at one time.
//!
//! Points are kept as `[point][tile][16]`, with a distance from point to point that the caller gives.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::Activation;
use crate::tile::LANES;
use crate::volume::blocked::Blocked;

use super::transform::{Axis, Output, both_axes};
use crate::vector::{Kernel, Vector, read, write};

/// Where a tile lies: its clip, and its first output pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) clip: usize,
    pub(super) y: usize,
    pub(super) x: usize,
}

/// One block and time of every clip of a batch, with its border.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    /// From the first pixel of the first clip's plane on.
    pixels: &'a [f32],
    /// Elements from a clip to the next.
    clip_pitch: usize,
    /// Height and width with the border.
    padded: [usize; 2],
    /// Rows above and columns left of the first pixel.
    border: [usize; 2],
}

impl<'a> Planes<'a> {
    /// The planes of a block and time in clips of the layout.
    pub(super) fn new(layout: &Blocked, clips: &'a [f32], [block, t]: [usize; 2]) -> Self {
        let start = block * layout.block_pitch() + (t + layout.border[0][0]) * layout.slice_pitch();
        Self {
            pixels: &clips[start..],
            clip_pitch: layout.len(),
            padded: [layout.padded(1), layout.padded(2)],
            border: [layout.border[1][0], layout.border[2][0]],
        }
    }

    /// The N × N pixels from `shift` rows and columns beside a place on; zeros beyond the border.
    ///
    /// # Safety
    /// As [`Vector`]'s methods.
    #[inline(always)]
    unsafe fn tile<V: Vector, const N: usize>(&self, place: &Place, shift: isize) -> [[V; N]; N] {
        let [height, width] = self.padded;
        let corner = [place.y + self.border[0], place.x + self.border[1]].map(|at| at as isize + shift);
        let plane = &self.pixels[place.clip * self.clip_pitch..][..height * width * LANES];
        let inside =
            corner.iter().zip(self.padded).all(|(&at, end)| at >= 0 && at + N as isize <= end as isize);
        // SAFETY: the caller's; `read` checks its bounds.
        unsafe {
            let mut tile = [[V::splat(0.0); N]; N];
            if inside {
                let [y, x] = corner.map(|at| at as usize);
                for (i, row) in tile.iter_mut().enumerate() {
                    let pixels = &plane[((y + i) * width + x) * LANES..][..N * LANES];
                    for (j, value) in row.iter_mut().enumerate() {
                        *value = read(&pixels[j * LANES..]);
                    }
                }
            } else {
                for (i, row) in tile.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        let [y, x] = [corner[0] + i as isize, corner[1] + j as isize];
                        if (0..height as isize).contains(&y) && (0..width as isize).contains(&x) {
                            *value = read(&plane[(y as usize * width + x as usize) * LANES..]);
                        }
                    }
                }
            }
            tile
        }
    }
}

/// Transforms the N × N pixels of tiles to M × M points with the map `A`.
pub(super) struct ToPoints<'a, A, const N: usize, const M: usize> {
    pub(super) planes: Planes<'a>,
    pub(super) places: &'a [Place],
    /// From a tile's first output pixel to the first of the N × N pixels, on both axes.
    pub(super) shift: isize,
    pub(super) points: &'a mut [f32],
    pub(super) point_pitch: usize,
    /// Elements from one tile to the next.
    pub(super) tile_pitch: usize,
    pub(super) map: PhantomData<A>,
}

impl<A: Axis<N, M>, const N: usize, const M: usize> Kernel for ToPoints<'_, A, N, M> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (place, tile) in self.places.iter().zip((0..).step_by(self.tile_pitch)) {
            // SAFETY: the instruction set is enabled; slices check the bounds.
            unsafe {
                let pixels = self.planes.tile::<V, N>(place, self.shift);
                both_axes::<A, V, N, M>(&pixels, |p, value| {
                    write(value, &mut self.points[p * self.point_pitch + tile..]);
                });
            }
        }
    }
}

/// What is done to each output: `activation(scale · x + shift)` in every lane.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    pub(super) scale: [f32; LANES],
    pub(super) shift: [f32; LANES],
    pub(super) activation: Activation,
    /// Lanes that mean something; the others are set to zero.
    pub(super) lanes: usize,
}

/// Transforms N × N points back to tiles of M × M pixels.
pub(super) struct ToPixels<'a, 'b, const N: usize, const M: usize> {
    pub(super) points: &'a [f32],
    pub(super) point_pitch: usize,
    pub(super) tile_pitch: usize,
    pub(super) places: &'a [Place],
    pub(super) finish: &'a Finish,
    /// A task's rows, from the first to the last that it writes: `[clip][block][time]`.
    pub(super) rows: &'a mut [&'b mut [f32]],
    pub(super) row_of: RowOf,
    /// Height and width of the output.
    pub(super) size: [usize; 2],
    /// Sums of the outputs before the activation, and of their squares.
    pub(super) sums: Option<[&'a mut [f64]; 2]>,
}

/// Which of a task's rows belong to the block and time.
#[derive(Clone, Copy)]
pub(super) struct RowOf {
    /// Index of the first place's clip.
    pub(super) start: usize,
    /// From one clip to the next.
    pub(super) clip_pitch: usize,
    /// Elements from one row of pixels to the next.
    pub(super) row_pitch: usize,
}

impl<const N: usize, const M: usize> ToPixels<'_, '_, N, M> {
    /// # Safety
    /// As [`Vector`]'s methods.
    #[inline(always)]
    unsafe fn pixels<V: Vector>(&self, tile: usize) -> [[V; M]; M]
    where
        Output: Axis<N, M>,
    {
        // SAFETY: the caller's; `read` checks its bounds.
        unsafe {
            let mut points = [[V::splat(0.0); N]; N];
            for (p, value) in points.as_flattened_mut().iter_mut().enumerate() {
                *value = read(&self.points[p * self.point_pitch + tile..]);
            }
            let mut pixels = [[V::splat(0.0); M]; M];
            both_axes::<Output, V, N, M>(&points, |i, value| pixels[i / M][i % M] = value);
            pixels
        }
    }
}

impl<const N: usize, const M: usize> Kernel for ToPixels<'_, '_, N, M>
where
    Output: Axis<N, M>,
{
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        // SAFETY: the instruction set is enabled; slices check the bounds.
        unsafe {
            let [scale, shift] = [read::<V>(&self.finish.scale), read::<V>(&self.finish.shift)];
            let mut sums = [V::splat(0.0); 2];
            for (index, place) in self.places.iter().enumerate() {
                let pixels = self.pixels::<V>(index * self.tile_pitch);
                let [height, width] = [self.size[0] - place.y, self.size[1] - place.x].map(|n| n.min(M));
                let RowOf { start, clip_pitch, row_pitch } = self.row_of;
                let first = self.places[0];
                let clip = place.clip - first.clip;
                // The task's rows of a later clip begin at its top.
                let y = place.y - if clip == 0 { first.y } else { 0 };
                let rows = &mut self.rows[start + clip * clip_pitch][y * row_pitch + place.x * LANES..];
                for (i, row) in pixels.iter().take(height).enumerate() {
                    let out = &mut rows[i * row_pitch..][..width * LANES];
                    for (value, out) in row.iter().zip(out.chunks_exact_mut(LANES)) {
                        let value = shift.fma(scale, *value);
                        sums = [sums[0].add(value), sums[1].fma(value, value)];
                        write(value, out);
                    }
                    finish(self.finish, out);
                }
            }
            if let Some(totals) = &mut self.sums {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    let mut lanes = [0.0; LANES];
                    write(sum, &mut lanes);
                    for (total, lane) in total.iter_mut().zip(lanes) {
                        *total += f64::from(lane);
                    }
                }
            }
        }
    }
}

/// Applies the activation to pixels of sixteen lanes.
#[inline(always)]
fn finish(finish: &Finish, pixels: &mut [f32]) {
    macro_rules! apply {
        ($activation:expr) => {
            for value in pixels.iter_mut() {
                *value = $activation.apply(*value);
            }
        };
    }
    // A match outside the loop: each loop is then straight code that vectorises.
    match finish.activation {
        Activation::None => {}
        Activation::Relu => apply!(Activation::Relu),
        Activation::LeakyRelu(slope) => apply!(Activation::LeakyRelu(slope)),
        Activation::Tanh => apply!(Activation::Tanh),
        Activation::Sigmoid => apply!(Activation::Sigmoid),
    }
    if finish.lanes < LANES {
        for pixel in pixels.chunks_exact_mut(LANES) {
            pixel[finish.lanes..].fill(0.0);
        }
    }
}
