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
pub(crate) struct InOrder(Vec<usize>);

impl InOrder {
    /// For up to `most` slices on either side.
    pub(crate) fn new(most: usize) -> Self {
        Self((0..most).collect())
    }

    /// All of an output of `output` slices.
    pub(crate) fn all(&self, output: usize) -> Slices<'_> {
        Slices { times: &self.0[..output], from: &self.0, to: &self.0 }
    }
}
