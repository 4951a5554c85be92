//! Which time slices of a node are computed, and where slices lie in its buffer.
//!
//! A buffer has a slot for each slice, in their order; but where a network slides over a stream,
//! slices of several windows share a buffer and lie in any order.

/// The slices of one convolution's output and input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices<'a> {
    /// The output slices to compute, rising.
    pub(crate) times: &'a [usize],
    /// The slot of each input slice; any where it is not read.
    pub(crate) from: &'a [usize],
    /// The slot of each output slice; any where it is not computed.
    pub(crate) to: &'a [usize],
}

/// All slices, in their order.
#[derive(Clone, Debug)]
pub(crate) struct InOrder {
    slots: Vec<usize>,
    output: usize,
}

impl InOrder {
    /// For so many slices of the input and of the output.
    pub(crate) fn new(input: usize, output: usize) -> Self {
        Self { slots: (0..input.max(output)).collect(), output }
    }

    /// All of the output.
    pub(crate) fn slices(&self) -> Slices<'_> {
        Slices { times: &self.slots[..self.output], from: &self.slots, to: &self.slots }
    }
}
