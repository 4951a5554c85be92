//! Element-wise non-linearities, applied in the epilogue of a kernel.

/// A non-linearity applied to each output element.
///
/// All of them have a derivative that is a function of the *output*, so that training keeps the
/// activated values only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x for x > 0, slope · x elsewhere. The slope is finite and positive.
    LeakyRelu(f32),
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function 1 / (1 + exp(−x)).
    Sigmoid,
}

impl Activation {
    /// The value of the activation at `x`.
    #[inline]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// The derivative of the activation where its *output* is `y`.
    #[inline]
    pub fn derivative(self, y: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => f32::from(y > 0.0),
            Self::LeakyRelu(slope) => {
                if y > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Tanh => 1.0 - y * y,
            Self::Sigmoid => y * (1.0 - y),
        }
    }
}
