//! What the UNet and the autoencoder are made of, and whose names the tensors go by.

use burn::tensor::ops::{AvgPoolOptions, ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, activation, module};

use crate::NnError;
use crate::pretrained::layers::{Conv, GroupNorm, Linear, Source, attend};

/// Whose names the tensors go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    CompVis,
    Diffusers,
}

impl Layout {
    /// The one of two names that the layout has.
    pub(super) fn pick<T>(self, compvis: T, diffusers: T) -> T {
        match self {
            Self::CompVis => compvis,
            Self::Diffusers => diffusers,
        }
    }
}

/// What a residual block does to the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    Keep,
    /// Means of 2×2 pixels.
    Down,
    /// Each pixel four times.
    Up,
}

impl Resize {
    fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Keep => x,
            Self::Down => module::avg_pool2d(x, AvgPoolOptions::new([2, 2])),
            Self::Up => doubled(x),
        }
    }
}

/// Each pixel four times.
pub(super) fn doubled(x: Tensor<4>) -> Tensor<4> {
    module::interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_scale_factor([2.0, 2.0]))
}

/// A norm, SiLU and a convolution.
#[derive(Debug)]
pub(super) struct NormConv {
    norm: GroupNorm,
    conv: Conv,
}

impl NormConv {
    pub(super) fn load(
        source: &Source<'_>,
        [norm, conv]: [&str; 2],
        [input, output]: [usize; 2],
        (groups, epsilon): (usize, f64),
    ) -> Result<Self, NnError> {
        let norm = source.group_norm(norm, input, groups, epsilon)?;
        Ok(Self { norm, conv: source.conv(conv, input, output, 3)? })
    }

    pub(super) fn forward(&self, x: Tensor<4>, resize: Resize) -> Tensor<4> {
        self.conv.forward(resize.apply(activation::silu(self.norm.forward(x))))
    }
}

/// Names of a residual block's parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResidualNames {
    pub(super) first: [&'static str; 2],
    pub(super) second: [&'static str; 2],
    pub(super) shortcut: &'static str,
    /// The map of the time's embedding; the autoencoder has none.
    pub(super) time: Option<&'static str>,
}

/// Two times norm, SiLU and convolution beside a shortcut.
#[derive(Debug)]
pub(super) struct Residual {
    first: NormConv,
    second: NormConv,
    shortcut: Option<Conv>,
    time: Option<Linear>,
    resize: Resize,
}

impl Residual {
    /// The block at `path`; `embedding` is the length of the time's.
    pub(super) fn load(
        source: &Source<'_>,
        path: &str,
        names: ResidualNames,
        [input, output]: [usize; 2],
        norm: (usize, f64),
        embedding: usize,
        resize: Resize,
    ) -> Result<Self, NnError> {
        let name = |part: &str| format!("{path}.{part}");
        let part = |[norm_name, conv]: [&str; 2], channels| {
            NormConv::load(source, [&name(norm_name), &name(conv)], channels, norm)
        };
        let shortcut = match input == output {
            true => None,
            false => Some(source.conv(&name(names.shortcut), input, output, 1)?),
        };
        let time = names.time.map(|time| source.linear(&name(time), embedding, output)).transpose()?;
        let (first, second) = (part(names.first, [input, output])?, part(names.second, [output, output])?);
        Ok(Self { first, second, shortcut, time, resize })
    }

    /// `time` is the embedding after SiLU, `[batch, embedding]`.
    pub(super) fn forward(&self, x: Tensor<4>, time: Option<&Tensor<2>>) -> Tensor<4> {
        let mut y = self.first.forward(x.clone(), self.resize);
        if let (Some(map), Some(time)) = (&self.time, time) {
            let shift = map.forward(time.clone());
            let [batch, channels] = shift.dims();
            y = y + shift.reshape([batch, channels, 1, 1]);
        }
        let y = self.second.forward(y, Resize::Keep);
        let x = self.resize.apply(x);
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + y,
            None => x + y,
        }
    }
}

/// Self-attention of an image's positions, added to what came in.
#[derive(Debug)]
pub(super) struct Attention {
    norm: GroupNorm,
    query_key_value: [Linear; 3],
    output: Linear,
    heads: usize,
}

impl Attention {
    pub(super) fn load(
        source: &Source<'_>,
        layout: Layout,
        path: &str,
        channels: usize,
        heads: usize,
        (groups, epsilon): (usize, f64),
    ) -> Result<Self, NnError> {
        let name = |part: &str| format!("{path}.{part}");
        let map = |part: &str| source.linear(&name(part), channels, channels);
        let norm = source.group_norm(&name(layout.pick("norm", "group_norm")), channels, groups, epsilon)?;
        // Files of `diffusers` from before 0.14 have the older names.
        let old = source.contains(&name("query.weight"));
        let (query_key_value, output) = match (layout, old) {
            (Layout::CompVis, _) => (interleaved(source, &name("qkv"), channels, heads)?, map("proj_out")?),
            (Layout::Diffusers, false) => ([map("to_q")?, map("to_k")?, map("to_v")?], map("to_out.0")?),
            (Layout::Diffusers, true) => ([map("query")?, map("key")?, map("value")?], map("proj_attn")?),
        };
        Ok(Self { norm, query_key_value, output, heads })
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let tokens = self.norm.forward(x.clone()).reshape([batch, channels, height * width]).swap_dims(1, 2);
        let parts = self.query_key_value.each_ref().map(|map| map.forward(tokens.clone()));
        let y = self.output.forward(attend(parts, self.heads)).swap_dims(1, 2);
        x + y.reshape([batch, channels, height, width])
    }
}

/// CompVis has query, key and value in one tensor, head by head.
fn interleaved(
    source: &Source<'_>,
    name: &str,
    channels: usize,
    heads: usize,
) -> Result<[Linear; 3], NnError> {
    let own = channels / heads;
    let weight = source.tensor::<2>(&format!("{name}.weight"), [3 * channels, channels])?;
    let weight = weight.reshape([heads, 3, own, channels]);
    let bias = source.tensor::<1>(&format!("{name}.bias"), [3 * channels])?.reshape([heads, 3, own]);
    Ok([0, 1, 2].map(|part| {
        let weight = weight.clone().slice([0..heads, part..part + 1, 0..own, 0..channels]);
        let bias = bias.clone().slice([0..heads, part..part + 1, 0..own]);
        let weight = weight.reshape([channels, channels]).transpose();
        Linear { weight, bias: Some(bias.reshape([channels])) }
    }))
}

/// A convolution that halves the size, with a row and a column of zeros at the end.
pub(super) fn halving(source: &Source<'_>, name: &str, channels: usize) -> Result<Conv, NnError> {
    let conv = source.conv(name, channels, channels, 3)?;
    let options = ConvOptions::new_with_padding([2, 2], [(0, 1), (0, 1)], [1, 1], 1);
    Ok(Conv { options, ..conv })
}
