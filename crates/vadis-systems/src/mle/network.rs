//! The autoencoder: Conv 16-32-64, 3×3, stride 2, ReLU → FC → latent, and the mirrored decoder with a sigmoid
//! (the authors' IROS 2025 network; strides, and sizes other than 64×64, are ours).

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use rand::Rng;
use vadis_kernels::Activation;
use vadis_nn::NnError;
use vadis_nn::segment::{FrozenSegment, Layer, NamedTensor, Plan, PlanError, Segment, SegmentScratch};

use super::MleConfig;
use crate::InputFormat;

/// Encoder and decoder.
#[derive(Debug, Clone)]
pub struct Autoencoder {
    pub(super) encoder: Segment,
    pub(super) decoder: Segment,
}

impl Autoencoder {
    /// An untrained network for frames of `format`, on `device`.
    ///
    /// # Errors
    /// [`NnError::Setting`] if the sizes cannot be built.
    pub fn new(
        config: &MleConfig,
        format: InputFormat,
        device: &Device,
        rng: &mut impl Rng,
    ) -> Result<Self, NnError> {
        let (encoder, decoder) = checked_plans(config, format)?;
        Ok(Self {
            encoder: Segment::new(&encoder, device, rng),
            decoder: Segment::new(&decoder, device, rng),
        })
    }

    /// How many values the network of these settings has.
    ///
    /// # Errors
    /// As [`Autoencoder::new`].
    pub fn parameter_count(config: &MleConfig, format: InputFormat) -> Result<usize, NnError> {
        let (encoder, decoder) = checked_plans(config, format)?;
        Ok(encoder.parameter_count().saturating_add(decoder.parameter_count()))
    }

    /// Latents and reconstructions.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]` in [0, 1]
    /// - latents: `[batch, latent]`; reconstructions: as `x`
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<2>, Tensor<4>) {
        let z = self.encoder.forward(x);
        let [batch, latent, ..] = z.dims();
        (z.clone().reshape([batch, latent]), self.decoder.forward(z))
    }

    /// The network packed for inference on the CPU.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the weights cannot be read.
    pub fn freeze(&self) -> Result<Frozen, NnError> {
        let wrong = |e: vadis_kernels::SizeError| NnError::Tensor(e.to_string());
        let encoder = self.encoder.freeze().map_err(wrong)?;
        Ok(Frozen { encoder, decoder: self.decoder.freeze().map_err(wrong)?, idle: Mutex::default() })
    }

    /// All weights under PyTorch's names.
    pub fn named_parameters(&self) -> Vec<NamedTensor> {
        let named = |prefix: &str, segment: &Segment| {
            let rename = move |t: NamedTensor| NamedTensor { name: format!("{prefix}.{}", t.name), ..t };
            segment.named_parameters().into_iter().map(rename).collect::<Vec<_>>()
        };
        [named("encoder", &self.encoder), named("decoder", &self.decoder)].concat()
    }

    /// The network with the given weights.
    ///
    /// # Errors
    /// [`NnError::Weights`] unless exactly its own are there.
    pub fn load_named(self, parameters: Vec<NamedTensor>) -> Result<Self, NnError> {
        let (mut encoder, mut decoder) = (Vec::new(), Vec::new());
        for NamedTensor { name, shape, values } in parameters {
            if let Some(rest) = name.strip_prefix("encoder.") {
                encoder.push(NamedTensor { name: rest.to_owned(), shape, values });
            } else if let Some(rest) = name.strip_prefix("decoder.") {
                decoder.push(NamedTensor { name: rest.to_owned(), shape, values });
            }
        }
        let wrong = |e: vadis_nn::segment::LoadError| NnError::Weights {
            name: "autoencoder".to_owned(),
            reason: e.to_string(),
        };
        let encoder = self.encoder.load_named(encoder).map_err(wrong)?;
        Ok(Self { encoder, decoder: self.decoder.load_named(decoder).map_err(wrong)? })
    }
}

/// The trained network as it scores: a frame's result has the same bits whatever the batch and the threads.
#[derive(Debug)]
pub struct Frozen {
    encoder: FrozenSegment,
    decoder: FrozenSegment,
    /// Memory of both, for runs to come; as many as there were runs at a time.
    idle: Mutex<Vec<[SegmentScratch; 2]>>,
}

impl Frozen {
    /// Latents and reconstructions of `batch` frames `[batch, channels, height, width]`, as flat values.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if `x` has another length.
    pub fn run(&self, x: &[f32], batch: usize) -> Result<(Vec<f32>, Vec<f32>), NnError> {
        let wrong = |e: vadis_kernels::SizeError| NnError::Tensor(e.to_string());
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle().pop().unwrap_or_default();
        let (mut z, mut y) = (Vec::new(), Vec::new());
        self.encoder.run_into(x, batch, &mut scratch[0], &mut z).map_err(wrong)?;
        self.decoder.run_into(&z, batch, &mut scratch[1], &mut y).map_err(wrong)?;
        idle().push(scratch);
        Ok((z, y))
    }
}

fn checked_plans(config: &MleConfig, format: InputFormat) -> Result<(Plan, Plan), NnError> {
    plans(config, format).map_err(|e| NnError::Setting {
        key: "size",
        value: e.to_string(),
        expected: "a network that fits the input",
    })
}

fn plans(config: &MleConfig, format: InputFormat) -> Result<(Plan, Plan), PlanError> {
    let InputFormat { width, height, colour } = format;
    let c0 = colour.channels();
    let [c1, c2, c3] = config.channels;
    let halves = |n: usize| [n, n.div_ceil(2), n.div_ceil(4), n.div_ceil(8)];
    let (h, w) = (halves(height), halves(width));
    let features = c3 * h[3] * w[3];
    let relu = Activation::Relu;
    let encoder = Plan::new([c0, height, width])?
        .layer("conv1", Layer::conv2d(c0, c1, 3, 2, relu))?
        .layer("conv2", Layer::conv2d(c1, c2, 3, 2, relu))?
        .layer("conv3", Layer::conv2d(c2, c3, 3, 2, relu))?
        .layer("fc", Layer::linear(features, config.latent, Activation::None))?;
    // Output padding brings each side back to what it was before it was halved: 2n − 1 or 2n.
    let up = |cin, cout, level: usize, activation| {
        let extra = [1 - h[level] % 2, 1 - w[level] % 2];
        Layer::conv_transpose2d(cin, cout, 3, 2, extra, activation)
    };
    let decoder = Plan::new([config.latent, 1, 1])?
        .layer("fc", Layer::linear(config.latent, features, relu))?
        .layer("shape", Layer::Reshape { shape: [c3, h[3], w[3]] })?
        .layer("deconv1", up(c3, c2, 2, relu))?
        .layer("deconv2", up(c2, c1, 1, relu))?
        .layer("deconv3", up(c1, c0, 0, Activation::Sigmoid))?;
    Ok((encoder, decoder))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use vadis_nn::weights::WeightFile;
    use vadis_video::Colour;

    use super::*;
    use crate::Preset;

    fn network(width: usize, height: usize, colour: Colour) -> Autoencoder {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let format = InputFormat { width, height, colour };
        Autoencoder::new(&MleConfig::preset(Preset::Cpu), format, &Device::default(), &mut rng).unwrap()
    }

    #[test]
    fn any_frame_size_comes_back_at_its_size() {
        for (width, height, colour) in
            [(64, 64, Colour::Grey), (37, 22, Colour::Rgb), (16, 17, Colour::Grey), (50, 33, Colour::Rgb)]
        {
            let values = colour.channels() * width * height;
            let (z, y) = network(width, height, colour).freeze().unwrap().run(&vec![0.5; values], 1).unwrap();
            assert_eq!((z.len(), y.len()), (256, values));
            assert!(y.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    /// Conv 160 + 4640 + 18496, FC 4096·256 + 256, FC 256·4096 + 4096, deconv 18464 + 4624 + 145.
    #[test]
    fn grey_64_by_64_has_the_parameters_of_the_predecessor() {
        let count: usize =
            network(64, 64, Colour::Grey).named_parameters().iter().map(|t| t.values.len()).sum();
        assert_eq!(count, 160 + 4640 + 18_496 + 1_048_832 + 1_052_672 + 18_464 + 4624 + 145);
    }

    #[test]
    fn weights_survive_naming() {
        let first = network(24, 16, Colour::Grey);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let format = InputFormat { width: 24, height: 16, colour: Colour::Grey };
        let config = MleConfig::preset(Preset::Cpu);
        let other = Autoencoder::new(&config, format, &Device::default(), &mut rng).unwrap();
        let frame: Vec<f32> = (0..384).map(|i| (i % 17) as f32 / 17.0).collect();
        let loaded = other.load_named(first.named_parameters()).unwrap();
        let run = |network: &Autoencoder| network.freeze().unwrap().run(&frame, 1).unwrap();
        assert_eq!(run(&loaded), run(&first));
        let missing = first.named_parameters().split_off(1);
        assert!(matches!(loaded.load_named(missing), Err(NnError::Weights { .. })));
    }

    /// `vadis-nn/tests/scripts/networks.py` made the fixture: the twin's `state_dict`, its input and
    /// its outputs in double precision. The gradients are compared in `vadis-nn/tests/networks.rs`.
    #[test]
    fn agrees_with_its_pytorch_twin() {
        let fixture = |file: &str| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vadis-nn/tests/fixtures/").to_owned() + file;
            WeightFile::load(path.as_ref()).unwrap()
        };
        let state = fixture("mle.state.safetensors").tensors.into_iter();
        let state = state.map(|(name, (shape, values))| NamedTensor { name, shape, values }).collect();
        let expected = fixture("mle.safetensors");
        let config = MleConfig { channels: [8, 16, 32], latent: 12, ..MleConfig::preset(Preset::Cpu) };
        let format = InputFormat { width: 14, height: 9, colour: Colour::Rgb };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let network = Autoencoder::new(&config, format, &Device::default(), &mut rng).unwrap();
        let network = network.load_named(state).unwrap();
        let (z, y) = network.freeze().unwrap().run(expected.values("x").unwrap(), 4).unwrap();
        for (name, ours) in [("z", z), ("y", y)] {
            let expected = expected.values(name).unwrap();
            let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert_eq!(ours.len(), expected.len());
            assert!(ours.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-4 * largest), "{name}");
        }
    }
}
