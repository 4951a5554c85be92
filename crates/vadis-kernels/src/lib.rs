//! CPU convolution kernels of vadis, forward and backward, on plain slices.

mod activation;

pub use activation::Activation;
