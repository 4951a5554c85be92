//! Between PyTorch's weights `[cout][cin][taps][3][3]` and transformed ones.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::tile::{Isa, LANES};

use super::transform::{Axis, Weight, WeightTransposed, both_axes};
use super::{Tile, Winograd};
use crate::vector::{Kernel, Vector, dispatch, read, write};

/// Output channels of a full panel of weights.
pub(super) const PANEL: usize = 2 * LANES;

/// A 3×3 kernel for each of sixteen channels: `[y · 3 + x][channel]`.
pub(super) type Kernels = [[f32; LANES]; 9];

impl Winograd {
    /// Elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        self.points() * self.taps() * self.input.channels * self.output.blocks() * LANES
    }

    /// Elements of the weights in PyTorch's layout.
    pub(crate) fn weight_len(&self) -> usize {
        self.taps() * 9 * self.input.channels * self.output.channels
    }

    /// Panels of output channels.
    pub(super) fn panels(&self) -> usize {
        self.output.blocks().div_ceil(2)
    }

    /// Lanes of a panel: the last one may be half as wide.
    pub(super) fn panel_width(&self, panel: usize) -> usize {
        (self.output.blocks() * LANES - panel * PANEL).min(PANEL)
    }

    /// Index of the packed weights of a panel and point: `[tap][input channel][panel's lanes]`.
    pub(super) fn packed_at(&self, panel: usize, point: usize) -> usize {
        let depth = self.taps() * self.input.channels;
        self.points() * depth * PANEL * panel + point * depth * self.panel_width(panel)
    }

    /// Transforms the weights `[cout][cin][taps][3][3]` of the convolution, in the order the products
    /// stream them. For an adjoint, these are the weights of the original one.
    ///
    /// # Panics
    /// If a length is not [`Winograd::weight_len`] or [`Winograd::packed_len`].
    pub(crate) fn pack(&self, isa: Isa, weight: &[f32], packed: &mut [f32]) {
        assert_eq!(weight.len(), self.weight_len(), "weights");
        assert_eq!(packed.len(), self.packed_len(), "packed weights");
        if packed.is_empty() {
            return;
        }
        let panel_len = self.points() * self.taps() * self.input.channels * PANEL;
        packed.par_chunks_mut(panel_len).with_max_len(1).enumerate().for_each(|(panel, packed)| {
            match self.tile {
                Tile::Two => dispatch(isa, Pack::<4> { plan: self, weight, panel, packed }),
                Tile::Four => dispatch(isa, Pack::<6> { plan: self, weight, panel, packed }),
                Tile::Half | Tile::Double => dispatch(isa, Pack::<5> { plan: self, weight, panel, packed }),
            }
        });
    }

    /// Index of the kernel from an input to an output channel at a tap of the kernel.
    fn weight_at(&self, output: usize, input: usize, tap: usize) -> usize {
        let pair = match self.phased {
            true => input * self.output.channels + output,
            false => output * self.input.channels + input,
        };
        (pair * self.taps() + tap) * 9
    }

    /// The kernels from an input channel to the output channels of a block.
    #[inline(always)]
    fn kernels(&self, weight: &[f32], [block, input, tap]: [usize; 3]) -> Kernels {
        let mut kernels = [[0.0; LANES]; 9];
        let first = block * LANES;
        for lane in 0..LANES.min(self.output.channels - first) {
            let kernel = &weight[self.weight_at(first + lane, input, tap)..][..9];
            for (i, &value) in kernel.iter().enumerate() {
                kernels[if self.phased { 8 - i } else { i }][lane] = value;
            }
        }
        kernels
    }
}

/// Packs one panel, with N × N points.
struct Pack<'a, const N: usize> {
    plan: &'a Winograd,
    weight: &'a [f32],
    panel: usize,
    packed: &'a mut [f32],
}

impl<const N: usize> Kernel for Pack<'_, N>
where
    Weight: Axis<3, N>,
{
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { plan, weight, panel, packed } = self;
        let width = plan.panel_width(panel);
        let inputs = plan.input.channels;
        let taps = plan.time.phases.iter().flatten().enumerate();
        for (i, tap) in taps {
            for input in 0..inputs {
                for lane in (0..width).step_by(LANES) {
                    let block = (panel * PANEL + lane) / LANES;
                    let kernels = plan.kernels(weight, [block, input, tap.k]);
                    let first = (i * inputs + input) * width + lane;
                    // SAFETY: the instruction set is enabled; slices check the bounds.
                    unsafe {
                        both_axes::<Weight, V, 3, N>(&load(&kernels), |p, value| {
                            write(value, &mut packed[p * plan.taps() * inputs * width + first..]);
                        });
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`Vector`]'s methods.
#[inline(always)]
unsafe fn load<V: Vector>(kernels: &Kernels) -> [[V; 3]; 3] {
    // SAFETY: the caller's; `read` checks its bounds.
    unsafe {
        let mut tile = [[V::splat(0.0); 3]; 3];
        for (value, lanes) in tile.as_flattened_mut().iter_mut().zip(kernels) {
            *value = read(lanes);
        }
        tile
    }
}

/// Takes the sums at N × N points back to gradients of 3×3 kernels.
pub(super) struct Unpack<'a, const N: usize> {
    pub(super) points: &'a [f32],
    pub(super) point_pitch: usize,
    /// Distance to what a later call will read.
    pub(super) next: usize,
    pub(super) kernels: &'a mut Kernels,
}

impl<const N: usize> Kernel for Unpack<'_, N>
where
    WeightTransposed: Axis<N, 3>,
{
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the instruction set is enabled; slices check the bounds.
        unsafe {
            let mut points = [[V::splat(0.0); N]; N];
            for (p, value) in points.as_flattened_mut().iter_mut().enumerate() {
                let from = &self.points[p * self.point_pitch..];
                *value = read(from);
                V::prefetch(from.as_ptr().wrapping_add(self.next));
            }
            both_axes::<WeightTransposed, V, N, 3>(&points, |i, value| write(value, &mut self.kernels[i]));
        }
    }
}
