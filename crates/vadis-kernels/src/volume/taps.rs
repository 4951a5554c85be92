//! Which inputs meet which outputs of a convolution, axis by axis.

/// A convolution's geometry on `[time, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
}

impl Window {
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// At stride 1 a transposed convolution is a convolution with the kernel turned round, and this
    /// padding.
    pub(crate) fn turned(&self) -> Self {
        Self { padding: std::array::from_fn(|axis| self.kernel[axis] - 1 - self.padding[axis]), ..*self }
    }
}

/// A tap of the kernel and the distance from an output's base to the input that it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tap {
    pub(crate) k: usize,
    pub(crate) d: isize,
}

/// One axis of sums over taps: output `o` has the phase `o % phases`, and reads the inputs at
/// `o / phases · advance + d` for the taps of its phase.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// For each phase its taps, by rising `d` in steps of one.
    pub(crate) phases: Vec<Vec<Tap>>,
    pub(crate) advance: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl Axis {
    /// Of a convolution, where an output reads a stretch of inputs, or of its adjoint (`phased`), where
    /// outputs of one phase read the same taps.
    pub(crate) fn new(window: &Window, axis: usize, phased: bool, input: usize, output: usize) -> Self {
        let [k, s, p] = [window.kernel, window.stride, window.padding].map(|of| of[axis]);
        if !phased {
            let taps = (0..k).map(|k| Tap { k, d: k as isize - p as isize }).collect();
            return Self { phases: vec![taps], advance: s, input, output };
        }
        let phase = |r: usize| {
            let taps = (0..k).rev().filter(|k| (r + p) % s == k % s);
            taps.map(|k| Tap { k, d: (r as isize + p as isize - k as isize) / s as isize }).collect()
        };
        Self { phases: (0..s).map(phase).collect(), advance: 1, input, output }
    }

    /// How many outputs have the phase.
    pub(crate) fn count(&self, phase: usize) -> usize {
        self.output.saturating_sub(phase).div_ceil(self.phases.len())
    }

    /// The input that the `index`-th output of a phase reads by a tap, if it lies in the volume.
    pub(crate) fn reads(&self, index: usize, tap: Tap) -> Option<usize> {
        let place = (index * self.advance) as isize + tap.d;
        (0..self.input as isize).contains(&place).then_some(place as usize)
    }

    /// Zeros that outputs read before and after the input.
    pub(crate) fn margin(&self) -> [usize; 2] {
        let mut margin = [0, 0];
        for (phase, taps) in self.phases.iter().enumerate() {
            let (Some(first), Some(last), Some(index)) =
                (taps.first(), taps.last(), self.count(phase).checked_sub(1))
            else {
                continue;
            };
            let end = (index * self.advance) as isize + last.d + 1 - self.input as isize;
            margin[0] = margin[0].max((-first.d).max(0) as usize);
            margin[1] = margin[1].max(end.max(0) as usize);
        }
        margin
    }
}
