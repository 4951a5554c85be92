//! Convolution of bytes to few channels, in the way of [`Few`]: the products are summed in integers,
//! and added where they belong in floats.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::super::direct::Finish;
use super::super::few::Few;
use super::super::kernel::{PANEL, Run};
use super::super::layout::Layout;
use super::super::slices::InOrder;
use super::super::taps::Window;
use super::dot::{Dots, GROUP, Unit, add};
use super::pass::scale_sums;
use super::scale::{Scale, Weight};
use crate::Activation;
use crate::aligned::Aligned;
use crate::shared::Shared;
use crate::tile::LANES;

/// A convolution to few channels ready to run; its output is floats in packed lanes.
#[derive(Clone, Debug)]
pub(super) struct FewInt8 {
    few: Few,
    /// `[panel][y tap][input channel / 4][product of the panel][4]`
    packed: Aligned<i8>,
    /// What the zero of the input adds to products, to be taken away: `[panel][y tap][32]`
    zeros: Vec<i32>,
    /// For each product, in whole panels.
    scale: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

/// Memory of a task.
struct Memory {
    sums: Vec<f32>,
    /// `[panel][x][product of the panel]`, first in integers.
    dots: Vec<i32>,
    products: Vec<f32>,
    runs: Vec<Run>,
}

impl FewInt8 {
    /// As [`super::direct::DirectInt8::new`].
    pub(super) fn new(
        (window, phased): (&Window, bool),
        [from, to]: [Layout; 2],
        input: &Scale,
        (weight, bias): (&Weight, &[f32]),
        activation: Activation,
    ) -> Self {
        let few = Few::new(window, phased, from, to, false);
        let mut packed = Aligned::new(few.packed_len());
        let panels = few.blocks().div_ceil(2);
        let taps = few.terms() / (from.blocks() * LANES);
        let mut zeros = vec![0; panels * taps * PANEL];
        few.each_weight(|index, [panel, term, lane]| {
            let byte = weight.bytes[index];
            let group = (term / GROUP * few.width(panel) + lane) * GROUP;
            packed[panel * few.terms() * PANEL + group + term % GROUP] = byte;
            let tap = term / (from.blocks() * LANES);
            zeros[(panel * taps + tap) * PANEL + lane] -=
                i32::from(input.zeros[term % (from.blocks() * LANES)]) * i32::from(byte);
        });
        let mut scale: Vec<f32> =
            (0..few.products()).map(|product| weight.steps[product % to.lanes]).collect();
        scale.resize(panels * PANEL, 0.0);
        Self { few, packed, zeros, scale, bias: bias.to_vec(), activation }
    }

    /// Convolves one clip.
    pub(super) fn run(&self, unit: Unit, input: &[u8], output: &mut [f32]) {
        let few = &self.few;
        assert_eq!(input.len(), few.from.len(), "input of a convolution");
        assert_eq!(output.len(), few.to.len(), "output of a convolution");
        let output = Shared::new(output);
        let all = InOrder::new(few.from.shape[0], few.to.shape[0]);
        let slices = all.slices();
        let products = few.blocks().next_multiple_of(2) * LANES * few.from.shape[2];
        let memory = || Memory {
            sums: vec![0.0; few.sums_len(&slices)],
            dots: vec![0; products],
            products: vec![0.0; products],
            runs: vec![],
        };
        (0..few.to.shape[1]).into_par_iter().with_max_len(4).for_each_init(memory, |memory, y| {
            memory.sums.fill(0.0);
            for t in 0..few.from.shape[0] {
                self.multiply(unit, input, [t, y], memory);
                few.add(unit.isa, &memory.products, t, &slices, &mut memory.sums);
            }
            let finish = Finish { bias: &self.bias, activation: self.activation, accumulate: false };
            few.write(unit.isa, &finish, [0, y], &memory.sums, &slices, &output);
        });
    }

    /// The products of input slice `t` that belong to output row `y`.
    fn multiply(&self, unit: Unit, input: &[u8], [t, y]: [usize; 2], memory: &mut Memory) {
        let few = &self.few;
        let steps = few.height.phases.len();
        let (phase, index, count) = (y % steps, y / steps, few.from.shape[2]);
        let taps = few.terms() / (few.from.blocks() * LANES);
        for panel in 0..few.blocks().div_ceil(2) {
            let width = few.width(panel);
            memory.runs.clear();
            let mut start = [0; PANEL];
            for &tap in &few.height.phases[phase] {
                let Some(from) = few.height.reads(index, tap) else { continue };
                memory.runs.extend((0..few.from.blocks()).map(|block| Run {
                    a: few.from.at(block, t, from, 0),
                    b: (tap.k * few.from.blocks() + block) * LANES * width,
                }));
                add(&mut start, &self.zeros[(panel * taps + tap.k) * PANEL..]);
            }
            let dots = Dots {
                a: input,
                a_step: LANES,
                b: &self.packed[panel * few.terms() * PANEL..],
                runs: &memory.runs,
                groups: LANES / GROUP,
                joined: 1,
                start: &start,
                count,
                out_step: width,
                blocks: width / LANES,
                out_block: LANES,
            };
            let place = panel * count * PANEL..panel * count * PANEL + count * width;
            dots.run(unit, &mut memory.dots[place.clone()]);
            let scale = &self.scale[panel * PANEL..][..width];
            scale_sums(unit.isa, scale, &memory.dots[place.clone()], &mut memory.products[place]);
        }
    }
}
