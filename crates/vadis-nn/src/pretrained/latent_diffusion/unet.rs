//! The network that finds the noise in a latent: Dhariwal and Nichol's UNet, as Rombach et al. use it.

use burn::tensor::{Tensor, TensorData, activation};

use super::blocks::{Attention, Layout, NormConv, Residual, ResidualNames, Resize};
use super::config::UnetConfig;
use crate::NnError;
use crate::pretrained::layers::{Conv, Linear, Source};

/// What the norms add to a variance.
const EPSILON: f64 = 1e-5;
/// Slowest frequency of the time's embedding.
const PERIOD: f64 = 10_000.0;

const COMPVIS: ResidualNames = ResidualNames {
    first: ["in_layers.0", "in_layers.2"],
    second: ["out_layers.0", "out_layers.3"],
    shortcut: "skip_connection",
    time: Some("emb_layers.1"),
};
const DIFFUSERS: ResidualNames = ResidualNames {
    first: ["norm1", "conv1"],
    second: ["norm2", "conv2"],
    shortcut: "conv_shortcut",
    time: Some("time_emb_proj"),
};

/// A residual block and what may follow it.
#[derive(Debug)]
struct Step {
    block: Residual,
    attention: Option<Attention>,
    /// On the way up, behind a level's last block: to twice the size.
    grow: Option<Residual>,
}

/// The network with its weights.
#[derive(Debug)]
pub(super) struct Unet {
    input: Conv,
    time: [Linear; 2],
    down: Vec<Step>,
    middle: (Residual, Attention, Residual),
    up: Vec<Step>,
    output: NormConv,
    channels: usize,
}

/// Reads blocks one after the other.
struct Builder<'a> {
    source: Source<'a>,
    layout: Layout,
    config: &'a UnetConfig,
}

impl Builder<'_> {
    fn residual(&self, path: &str, channels: [usize; 2], resize: Resize) -> Result<Residual, NnError> {
        let (names, norm) = (self.layout.pick(COMPVIS, DIFFUSERS), (self.config.groups, EPSILON));
        let embedding = 4 * self.config.channels[0];
        Residual::load(&self.source, path, names, channels, norm, embedding, resize)
    }

    fn attention(&self, path: &str, channels: usize) -> Result<Attention, NnError> {
        let norm = (self.config.groups, EPSILON);
        Attention::load(&self.source, self.layout, path, channels, self.config.heads, norm)
    }

    fn name(&self, compvis: String, diffusers: String) -> String {
        self.layout.pick(compvis, diffusers)
    }

    /// The blocks on the way down, and the channels of every output.
    fn down(&self) -> Result<(Vec<Step>, Vec<usize>), NnError> {
        let UnetConfig { channels, attention, blocks, .. } = self.config;
        let (mut steps, mut outputs) = (Vec::new(), vec![channels[0]]);
        for (level, (&width, &attends)) in channels.iter().zip(attention).enumerate() {
            for block in 0..*blocks {
                let (at, input) = (outputs.len(), outputs[outputs.len() - 1]);
                let path =
                    self.name(format!("input_blocks.{at}.0"), format!("down_blocks.{level}.resnets.{block}"));
                let block_ = self.residual(&path, [input, width], Resize::Keep)?;
                let path = self
                    .name(format!("input_blocks.{at}.1"), format!("down_blocks.{level}.attentions.{block}"));
                let attention = attends.then(|| self.attention(&path, width)).transpose()?;
                steps.push(Step { block: block_, attention, grow: None });
                outputs.push(width);
            }
            if level + 1 < channels.len() {
                let at = outputs.len();
                let path =
                    self.name(format!("input_blocks.{at}.0"), format!("down_blocks.{level}.downsamplers.0"));
                let block = self.residual(&path, [width, width], Resize::Down)?;
                steps.push(Step { block, attention: None, grow: None });
                outputs.push(width);
            }
        }
        Ok((steps, outputs))
    }

    /// The blocks on the way up, which read the `outputs` of the way down from the last to the first.
    fn up(&self, mut outputs: Vec<usize>) -> Result<Vec<Step>, NnError> {
        let UnetConfig { channels, attention, blocks, .. } = self.config;
        let mut steps = Vec::new();
        let mut input = channels[channels.len() - 1];
        for (level, (&width, &attends)) in channels.iter().zip(attention).enumerate().rev() {
            let theirs = channels.len() - 1 - level;
            for block in 0..=*blocks {
                let at = steps.len();
                let skip = outputs.pop().unwrap_or_default();
                let path =
                    self.name(format!("output_blocks.{at}.0"), format!("up_blocks.{theirs}.resnets.{block}"));
                let residual = self.residual(&path, [input + skip, width], Resize::Keep)?;
                let path = self
                    .name(format!("output_blocks.{at}.1"), format!("up_blocks.{theirs}.attentions.{block}"));
                let attention = attends.then(|| self.attention(&path, width)).transpose()?;
                let place = if attends { 2 } else { 1 };
                let path = self
                    .name(format!("output_blocks.{at}.{place}"), format!("up_blocks.{theirs}.upsamplers.0"));
                let grows = level > 0 && block == *blocks;
                let grow = grows.then(|| self.residual(&path, [width, width], Resize::Up)).transpose()?;
                steps.push(Step { block: residual, attention, grow });
                input = width;
            }
        }
        Ok(steps)
    }

    fn middle(&self, width: usize) -> Result<(Residual, Attention, Residual), NnError> {
        let [first, attention, second] = self.layout.pick(
            ["middle_block.0", "middle_block.1", "middle_block.2"],
            ["mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"],
        );
        let residual = |path| self.residual(path, [width, width], Resize::Keep);
        Ok((residual(first)?, self.attention(attention, width)?, residual(second)?))
    }
}

impl Unet {
    /// Reads the network, which reads `input` channels and gives `output`.
    pub(super) fn load(
        source: Source<'_>,
        layout: Layout,
        config: &UnetConfig,
        [input, output]: [usize; 2],
    ) -> Result<Self, NnError> {
        let builder = Builder { source, layout, config };
        let (first, last) = (config.channels[0], config.channels[config.channels.len() - 1]);
        let [conv, time1, time2] = layout.pick(
            ["input_blocks.0.0", "time_embed.0", "time_embed.2"],
            ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2"],
        );
        let (down, outputs) = builder.down()?;
        let end = layout.pick(["out.0", "out.2"], ["conv_norm_out", "conv_out"]);
        Ok(Self {
            input: source.conv(conv, input, first, 3)?,
            time: [source.linear(time1, first, 4 * first)?, source.linear(time2, 4 * first, 4 * first)?],
            down,
            middle: builder.middle(last)?,
            up: builder.up(outputs)?,
            output: NormConv::load(&source, end, [first, output], (config.groups, EPSILON))?,
            channels: first,
        })
    }

    /// The noise in `x` = `[batch, channels, height, width]` at step `time` of the training.
    pub(super) fn forward(&self, x: Tensor<4>, time: usize) -> Tensor<4> {
        let time = self.embed(time, &x);
        let mut x = self.input.forward(x);
        let mut seen = vec![x.clone()];
        for step in &self.down {
            x = step.forward(x, &time);
            seen.push(x.clone());
        }
        let (first, attention, second) = &self.middle;
        x = second.forward(attention.forward(first.forward(x, Some(&time))), Some(&time));
        for step in &self.up {
            let skip = seen.pop().unwrap_or_else(|| x.clone());
            x = step.forward(Tensor::cat(vec![x, skip], 1), &time);
        }
        self.output.forward(x, Resize::Keep)
    }

    /// The time as cosines and sines of falling frequency, through two linear maps and SiLU: `[1, embedding]`.
    fn embed(&self, time: usize, x: &Tensor<4>) -> Tensor<2> {
        let half = self.channels / 2;
        let angle = |i: usize| time as f64 * (-PERIOD.ln() * i as f64 / half as f64).exp();
        let waves = (0..half).map(|i| angle(i).cos()).chain((0..half).map(|i| angle(i).sin()));
        let waves: Vec<f32> = waves.map(|v| v as f32).collect();
        let waves = Tensor::<2>::from_data(TensorData::new(waves, [1, 2 * half]), &x.device());
        activation::silu(self.time[1].forward(activation::silu(self.time[0].forward(waves))))
    }
}

impl Step {
    fn forward(&self, x: Tensor<4>, time: &Tensor<2>) -> Tensor<4> {
        let mut x = self.block.forward(x, Some(time));
        if let Some(attention) = &self.attention {
            x = attention.forward(x);
        }
        match &self.grow {
            Some(grow) => grow.forward(x, Some(time)),
            None => x,
        }
    }
}
