//! The autoencoder between pictures and latents whose vectors come from a codebook (VQ-GAN: Esser et al., CVPR 2021),
//! without attention, as the inpainting model's is.

use burn::tensor::{Int, Tensor};

use super::blocks::{Layout, NormConv, Residual, ResidualNames, Resize, doubled, halving};
use super::config::AutoencoderConfig;
use crate::NnError;
use crate::pretrained::layers::{Conv, Source};

/// What the norms add to a variance.
const EPSILON: f64 = 1e-6;
/// Vectors that are looked up in the codebook together, which bounds the table of distances.
const LOOKUP: usize = 1024;
/// Channels of a picture.
const COLOURS: usize = 3;

const COMPVIS: ResidualNames = ResidualNames {
    first: ["norm1", "conv1"],
    second: ["norm2", "conv2"],
    shortcut: "nin_shortcut",
    time: None,
};
const DIFFUSERS: ResidualNames = ResidualNames { shortcut: "conv_shortcut", ..COMPVIS };

/// The autoencoder with its weights.
#[derive(Debug)]
pub(super) struct Autoencoder {
    encoder: Half,
    to_latent: Conv,
    /// `[codes, channels]`.
    codebook: Tensor<2>,
    from_latent: Conv,
    decoder: Half,
}

/// The encoder or the decoder.
#[derive(Debug)]
struct Half {
    input: Conv,
    before: Vec<Level>,
    middle: [Residual; 2],
    after: Vec<Level>,
    output: NormConv,
}

/// The blocks of one size, and the way to the next.
#[derive(Debug)]
struct Level {
    blocks: Vec<Residual>,
    next: Option<Next>,
}

#[derive(Debug)]
enum Next {
    Halve(Conv),
    Double(Conv),
}

struct Builder<'a> {
    source: Source<'a>,
    layout: Layout,
    config: &'a AutoencoderConfig,
}

impl Builder<'_> {
    fn residual(&self, path: &str, channels: [usize; 2]) -> Result<Residual, NnError> {
        let (names, norm) = (self.layout.pick(COMPVIS, DIFFUSERS), (self.config.groups, EPSILON));
        Residual::load(&self.source, path, names, channels, norm, 0, Resize::Keep)
    }

    fn middle(&self, half: &str, width: usize) -> Result<[Residual; 2], NnError> {
        let foreign = self.layout.pick("mid.attn_1.", "mid_block.attentions.");
        if self.source.weights.contains_under(&format!("{}{half}.{foreign}", self.source.prefix)) {
            let reason = "an autoencoder with attention is not the inpainting model's".to_owned();
            return Err(NnError::Weights { name: format!("{half}.{foreign}"), reason });
        }
        let names =
            self.layout.pick(["mid.block_1", "mid.block_2"], ["mid_block.resnets.0", "mid_block.resnets.1"]);
        let [first, second] = names.map(|name| self.residual(&format!("{half}.{name}"), [width, width]));
        Ok([first?, second?])
    }

    /// `count` blocks from `input` to `width` channels.
    fn blocks(&self, path: &str, count: usize, input: usize, width: usize) -> Result<Vec<Residual>, NnError> {
        let name = self.layout.pick("block", "resnets");
        let block = |i: usize| {
            self.residual(&format!("{path}.{name}.{i}"), [if i == 0 { input } else { width }, width])
        };
        (0..count).map(block).collect()
    }

    fn output(&self, half: &str, channels: [usize; 2]) -> Result<NormConv, NnError> {
        let names = self.layout.pick(["norm_out", "conv_out"], ["conv_norm_out", "conv_out"]);
        let [norm, conv] = names.map(|name| format!("{half}.{name}"));
        NormConv::load(&self.source, [&norm, &conv], channels, (self.config.groups, EPSILON))
    }

    fn encoder(&self) -> Result<Half, NnError> {
        let AutoencoderConfig { channels, blocks, latent, .. } = self.config;
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let (mut before, mut input) = (Vec::new(), first);
        for (level, &width) in channels.iter().enumerate() {
            let path =
                self.layout.pick(format!("encoder.down.{level}"), format!("encoder.down_blocks.{level}"));
            let blocks = self.blocks(&path, *blocks, input, width)?;
            let halve = || {
                let name = self.layout.pick("downsample.conv", "downsamplers.0.conv");
                halving(&self.source, &format!("{path}.{name}"), width).map(Next::Halve)
            };
            before.push(Level { blocks, next: (level + 1 < channels.len()).then(halve).transpose()? });
            input = width;
        }
        let middle = self.middle("encoder", last)?;
        let (input, output) = (
            self.source.conv("encoder.conv_in", COLOURS, first, 3)?,
            self.output("encoder", [last, *latent])?,
        );
        Ok(Half { input, before, middle, after: Vec::new(), output })
    }

    fn decoder(&self) -> Result<Half, NnError> {
        let AutoencoderConfig { channels, blocks, latent, .. } = self.config;
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let (mut after, mut input) = (Vec::new(), last);
        for (level, &width) in channels.iter().enumerate().rev() {
            let theirs = channels.len() - 1 - level;
            let path = self.layout.pick(format!("decoder.up.{level}"), format!("decoder.up_blocks.{theirs}"));
            let blocks = self.blocks(&path, *blocks + 1, input, width)?;
            let double = || {
                let name = self.layout.pick("upsample.conv", "upsamplers.0.conv");
                self.source.conv(&format!("{path}.{name}"), width, width, 3).map(Next::Double)
            };
            after.push(Level { blocks, next: (level > 0).then(double).transpose()? });
            input = width;
        }
        let middle = self.middle("decoder", last)?;
        let (input, output) = (
            self.source.conv("decoder.conv_in", *latent, last, 3)?,
            self.output("decoder", [first, COLOURS])?,
        );
        Ok(Half { input, before: Vec::new(), middle, after, output })
    }
}

impl Autoencoder {
    pub(super) fn load(
        source: Source<'_>,
        layout: Layout,
        config: &AutoencoderConfig,
    ) -> Result<Self, NnError> {
        let builder = Builder { source, layout, config };
        let latent = config.latent;
        Ok(Self {
            encoder: builder.encoder()?,
            to_latent: source.conv("quant_conv", latent, latent, 1)?,
            codebook: source.tensor("quantize.embedding.weight", [config.codes, latent])?,
            from_latent: source.conv("post_quant_conv", latent, latent, 1)?,
            decoder: builder.decoder()?,
        })
    }

    /// Latents of pictures `[batch, 3, height, width]` in [−1, 1], before their vectors are exchanged for the codebook's.
    pub(super) fn encode(&self, x: Tensor<4>) -> Tensor<4> {
        self.to_latent.forward(self.encoder.forward(x))
    }

    /// Pictures of latents, whose vectors are first exchanged for the nearest of the codebook.
    pub(super) fn decode(&self, z: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(self.from_latent.forward(self.quantised(z)))
    }

    fn quantised(&self, z: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = z.dims();
        let count = batch * height * width;
        let vectors = z.permute([0, 2, 3, 1]).reshape([count, channels]);
        // ‖z − e‖² but for ‖z‖², which is the same for every code.
        let lengths = self.codebook.clone().square().sum_dim(1).transpose();
        let codes = self.codebook.clone().transpose();
        let nearest = |start: usize| {
            let part = vectors.clone().slice([start..count.min(start + LOOKUP), 0..channels]);
            let distances = lengths.clone() - part.matmul(codes.clone()).mul_scalar(2.0);
            let indices: Tensor<1, Int> = distances.argmin(1).flatten(0, 1);
            self.codebook.clone().select(0, indices)
        };
        let found = Tensor::cat((0..count).step_by(LOOKUP).map(nearest).collect(), 0);
        found.reshape([batch, height, width, channels]).permute([0, 3, 1, 2])
    }
}

impl Half {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.before.iter().fold(self.input.forward(x), |x, level| level.forward(x));
        let x = self.middle.iter().fold(x, |x, block| block.forward(x, None));
        let x = self.after.iter().fold(x, |x, level| level.forward(x));
        self.output.forward(x, Resize::Keep)
    }
}

impl Level {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, None));
        match &self.next {
            Some(Next::Halve(conv)) => conv.forward(x),
            Some(Next::Double(conv)) => conv.forward(doubled(x)),
            None => x,
        }
    }
}
