//! Element-wise non-linearities, applied in the epilogue of a kernel.

/// A non-linearity applied to each output element.
///
/// All of them have a derivative that is a function of the *output*, so that training keeps the
/// activated values only. NaN stays NaN.
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
    /// The value of the activation at `x`, to 3 units in the last place.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => relu(x),
            Self::LeakyRelu(slope) => leaky_relu(x, slope),
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
        }
    }

    /// The derivative of the activation where its *output* is `y`.
    #[inline(always)]
    pub fn derivative(self, y: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => select(y > 0.0, 1.0, 0.0),
            Self::LeakyRelu(slope) => select(y > 0.0, 1.0, slope),
            Self::Tanh => 1.0 - y * y,
            Self::Sigmoid => y * (1.0 - y),
        }
    }
}

#[inline(always)]
fn select(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}

// Written as a comparison that NaN fails: `f32::max` would turn NaN into 0 and hide a diverged net.
#[inline(always)]
fn relu(x: f32) -> f32 {
    select(x < 0.0, 0.0, x)
}

#[inline(always)]
fn leaky_relu(x: f32, slope: f32) -> f32 {
    select(x > 0.0, x, slope * x)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Cephes' `tanhf`: an odd polynomial near 0, the exponential elsewhere.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's own digits")]
fn tanh(x: f32) -> f32 {
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    for coefficient in [2.063_908_9e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1] {
        p = p * z + coefficient;
    }
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    select(x.abs() < 0.625, near, far.copysign(x))
}

/// eˣ to 3e-7 of itself, by Cephes' `expf` without branches, so that it vectorises; exactly 1 at 0.
/// Arguments below −87 and above 88 are clamped, NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to an integer, which then is in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = select(x < -87.0, -87.0, x);
    let x = select(x > 88.0, 88.0, x);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

/// ln x to 3e-7 of itself (near 1: of x − 1), by Cephes' `logf` without branches, so that it vectorises; exactly 0 at 1. For positive
/// normal numbers; what is below them counts as the least of them, NaN stays NaN.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's own digits")]
pub fn ln(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = select(x < f32::MIN_POSITIVE, f32::MIN_POSITIVE, x);
    // x = m · 2ⁿ with m in [√½, √2): the bits of √½ are where the exponent turns.
    let shifted = x.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let n = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
    let r = m - 1.0;
    let mut p = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_87e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333_1e-1,
    ] {
        p = p * r + coefficient;
    }
    let ln = p * r * r * r + n * LN2_LOW - 0.5 * r * r + r + n * LN2_HIGH;
    if x.is_nan() { x } else { ln }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let relative = |x: f32| {
            let expected = exact(f64::from(x));
            (f64::from(f(x)) - expected).abs() / expected.abs().max(1e-37)
        };
        (-80_000..80_000).map(|i| i as f32 * 1e-3 + 3e-4).map(relative).fold(0.0, f64::max)
    }

    #[test]
    fn exponentials_are_exact_to_a_few_units_in_the_last_place() {
        assert!(worst(exp, f64::exp) < 3e-7);
        assert!(worst(|x| Activation::Sigmoid.apply(x), |x| 1.0 / (1.0 + (-x).exp())) < 4e-7);
        assert!(worst(|x| Activation::Tanh.apply(x), f64::tanh) < 4e-7);
    }

    #[test]
    fn logarithms_are_exact_to_a_few_units_in_the_last_place() {
        let relative = |x: f32| {
            let exact = f64::from(x).ln();
            (f64::from(ln(x)) - exact).abs() / exact.abs().max(1e-37)
        };
        let wide = (-8_700..8_700).map(|i| (i as f32 * 1e-2 + 3e-3).exp());
        let near = (-5_000..5_000).map(|i| 1.0 + i as f32 * 1e-4 + 3e-5);
        assert!(wide.chain(near).map(relative).fold(0.0, f64::max) < 3e-7);
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(0.0) < -87.0 && ln(f32::NAN).is_nan());
    }

    #[test]
    fn nan_stays_nan_and_extremes_saturate() {
        use Activation::{LeakyRelu, Relu, Sigmoid, Tanh};
        for activation in [Activation::None, Relu, LeakyRelu(0.2), Sigmoid, Tanh] {
            assert!(activation.apply(f32::NAN).is_nan(), "{activation:?}");
        }
        assert_eq!(Sigmoid.apply(f32::INFINITY), 1.0);
        assert!(Sigmoid.apply(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(Tanh.apply(-f32::INFINITY), -1.0);
        assert_eq!(Relu.apply(-3.0), 0.0);
    }
}
