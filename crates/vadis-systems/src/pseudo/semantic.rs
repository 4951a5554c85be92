//! Meaning (ω₃ of Eq. 6): how much a frame's features look like those of a pseudo-anomaly.
//!
//! The features are those of a network that others trained; a small discriminator learns to tell normal frames from
//! spatial pseudo-anomalies by them. Weights do not come with vadis, so that it is left out unless a file is named.

use std::path::Path;

use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_nn::pretrained::clip_vit::ClipVit;
use vadis_nn::pretrained::efficientnet_lite0::EfficientNetLite;
use vadis_nn::pretrained::{FrameEncoder, Picture};
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::PseudoConfig;
use super::config::Encoder;
use super::spatial::Spatial;
use super::temporal::Flows;
use crate::clips::{Run, clip_starts};
use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::frames::spread;
use crate::{Progress, Session, SystemError};

/// The discriminator's name in a weight file.
pub(super) const PART: &str = "discriminator";
/// Clips whose frames it learns, and frames of each.
const CLIPS: usize = 96;
const FRAMES: usize = 4;
/// The stream of random numbers that its pseudo-anomalies are drawn from.
const STREAM: u64 = 1 << 50;

/// A frame's meaning.
pub(super) struct Semantic {
    encoder: Box<dyn FrameEncoder>,
    discriminator: Discriminator,
}

impl std::fmt::Debug for Semantic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Semantic").field("features", &self.discriminator.features()).finish_non_exhaustive()
    }
}

impl Semantic {
    /// Learns to tell the frames of clips spread over `runs` from the pseudo-anomalies made of them; none where the
    /// settings name no features, which the session then notes. Pixels that do not count are as `flows` sees them.
    pub(super) fn learn(
        config: &PseudoConfig,
        spatial: &Spatial<'_>,
        flows: &Flows,
        runs: &[Run],
        session: &mut Session<'_>,
    ) -> Result<Option<Self>, SystemError> {
        let Some(encoder) = encoder(config)? else {
            session.notes.push(
                "no semantic discriminator: `features` names no weights (scripts/pretrained-weights gets some)"
                    .to_owned(),
            );
            return Ok(None);
        };
        let starts = spread(&clip_starts(runs, config.ae3d.clip, 1), CLIPS);
        let mut examples: [Vec<f32>; 2] = Default::default();
        for (done, &start) in starts.iter().enumerate() {
            if session.interrupted() {
                let checkpoint = session.checkpoint.clone().unwrap_or_default();
                return Err(SystemError::Interrupted { step: session.log.len() as u64, checkpoint });
            }
            let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
            rng.set_stream(STREAM + done as u64);
            let clips = spatial.anomaly(start, &mut rng)?;
            for (examples, frames) in examples.iter_mut().zip(&clips) {
                let every = frames.len().div_ceil(FRAMES);
                for frame in frames.iter().step_by(every) {
                    examples.extend(features(encoder.as_ref(), &flows.seen(frame))?);
                }
            }
            let (done, total) = (done as u64 + 1, starts.len() as u64);
            (session.progress)(Progress { stage: "seeing features", done, total, note: String::new() });
        }
        let [normal, pseudo] = &examples;
        let learnt = DiscriminatorConfig::default();
        let (discriminator, losses) =
            Discriminator::train(&learnt, encoder.feature_size(), normal, pseudo, session.seed)?;
        if let Some(loss) = losses.last() {
            session.notes.push(format!(
                "semantic discriminator: loss {loss:.3} on {} frames",
                2 * normal.len() / encoder.feature_size()
            ));
        }
        Ok(Some(Self { encoder, discriminator }))
    }

    /// Of a model file, if its settings name features.
    ///
    /// # Errors
    /// [`SystemError::Nn`] if the weights that the settings name are not there any more, or the discriminator is odd.
    pub(super) fn from_file(config: &PseudoConfig, file: &WeightFile) -> Result<Option<Self>, SystemError> {
        let Some(encoder) = encoder(config)? else { return Ok(None) };
        let discriminator = Discriminator::from_file(file, PART)?;
        if discriminator.features() != encoder.feature_size() {
            let reason = format!("its {PART} takes {} features", discriminator.features());
            return Err(SystemError::Model { reason });
        }
        Ok(Some(Self { encoder, discriminator }))
    }

    /// The probability in [0, 1] that the frame is a pseudo-anomaly.
    pub(super) fn score(&self, frame: &Frame) -> Result<f64, SystemError> {
        self.discriminator.score(&features(self.encoder.as_ref(), frame)?)
    }

    /// The discriminator's arrays; the encoder's weights stay in their own file.
    pub(super) fn state(&self) -> impl Iterator<Item = NamedTensor> {
        self.discriminator.to_tensors().into_iter().map(|tensor| tensor.under(PART))
    }
}

fn features(encoder: &dyn FrameEncoder, frame: &Frame) -> Result<Vec<f32>, SystemError> {
    let size = [frame.height, frame.width];
    Ok(encoder.features(&Picture::new(&frame.data, size, frame.colour.channels())?)?)
}

/// The network whose weights the settings name.
fn encoder(config: &PseudoConfig) -> Result<Option<Box<dyn FrameEncoder>>, SystemError> {
    if config.features.is_empty() {
        return Ok(None);
    }
    let path = Path::new(&config.features);
    Ok(Some(match config.encoder {
        Encoder::EfficientnetLite0 => Box::new(EfficientNetLite::lite0(path)?),
        Encoder::ClipVitB16 => Box::new(ClipVit::base_16(path, &Device::default())?),
    }))
}
