//! Scoring (Eq. 6): how badly a frame and its flow are rebuilt, each against held-out normal footage.

use std::collections::VecDeque;

use vadis_kernels::volume::Scratch;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::PseudoConfig;
use super::config::FLOW_CHANNELS;
use super::semantic::{self, Semantic};
use super::temporal::{Flows, flow_planes};
use crate::ae3d::config::Measure;
use crate::ae3d::network::{Autoencoder, Frozen, Shape};
use crate::ae3d::score::{SIDES, clip_around, counted_mean, negative_psnr, squared_error, to_bytes};
use crate::centre::{CentreScorer, Verdict, Watch, Window};
use crate::clips::put_frame;
use crate::frames::to_planes;
use crate::model_file::{COUNTS, counts_in, input_format, network_weights, parse, put_format, take_part};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// ω₁ and ω₂, which the score is made of; of each both measures, of the whole frame and of the worst patch; and ω₃, of a
/// model with a discriminator.
const INDICATORS: [&str; 7] = [
    "appearance",
    "motion",
    "appearance_frame",
    "motion_frame",
    "appearance_patch",
    "motion_patch",
    "semantic",
];
/// Place of ω₃ in them.
const SEMANTIC: usize = 6;
/// The networks' names in a weight file.
pub(super) const PARTS: [&str; 2] = ["appearance", "motion"];

/// A trained model.
#[derive(Debug)]
pub struct PseudoModel {
    config: PseudoConfig,
    format: InputFormat,
    weights: Vec<NamedTensor>,
    /// Of appearance and of motion.
    networks: [Frozen; 2],
    flows: Flows,
    semantic: Option<Semantic>,
    counts: Vec<f32>,
    statistics: Statistics,
}

impl PseudoModel {
    pub(super) fn new(
        config: PseudoConfig,
        format: InputFormat,
        networks: [&Autoencoder; 2],
        counts: Vec<f32>,
        semantic: Option<Semantic>,
    ) -> Result<Self, SystemError> {
        let named = PARTS.iter().zip(networks);
        let weights = named.flat_map(|(part, network)| {
            network.state().into_iter().map(|tensor| tensor.under(part)).collect::<Vec<_>>()
        });
        Ok(Self {
            weights: weights.collect(),
            networks: [networks[0].frozen()?, networks[1].frozen()?],
            flows: Flows::open("", &counts)?,
            config,
            format,
            semantic,
            counts,
            statistics: Statistics::default(),
        })
    }

    /// The same with flows from the folder of the settings. A model that was loaded has none: a file must not say where
    /// vadis writes.
    pub(super) fn with_flow_cache(mut self) -> Result<Self, SystemError> {
        self.flows = Flows::open(&self.config.flow_cache, &self.counts)?;
        Ok(self)
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let config: PseudoConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, SIDES)?;
        let counts = counts_in(file, format)?;
        let shapes = config.networks(format).map(Shape::Plain);
        let networks = autoencoders(file, &shapes)?;
        let semantic = Semantic::from_file(&config, file)?;
        let mut model = Self::new(config, format, [&networks[0], &networks[1]], counts, semantic)?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// The score and the indicators of a frame whose errors are known (Eq. 6). Each indicator is standardised by held-out
    /// normal footage (ours: the paper scales each to [0, 1] over the video and tunes the weights on it).
    pub(super) fn told(&self, indicators: &[f64]) -> (f64, Vec<f64>) {
        let standardised =
            |column: usize| self.statistics.standardised(INDICATORS[column], indicators[column]);
        let PseudoConfig { appearance_weight, motion_weight, semantic_weight, .. } = self.config;
        let errors = appearance_weight * standardised(0) + motion_weight * standardised(1);
        let meaning = indicators.get(SEMANTIC).map_or(0.0, |_| semantic_weight * standardised(SEMANTIC));
        (errors + meaning, indicators.to_vec())
    }

    fn planes(&self, frame: &Frame) -> Vec<f32> {
        to_planes(&frame.data, self.format, &self.counts)
    }

    /// The patches that a frame's worst one is looked for among.
    fn patches(&self) -> Patches {
        Patches::new(self.format.height, self.format.width, self.config.ae3d.patch, &self.counts)
    }
}

/// The autoencoders of appearance and of motion in a model file.
///
/// # Errors
/// [`SystemError::Model`] or [`SystemError::Nn`] unless they have these shapes.
pub(super) fn autoencoders(file: &WeightFile, shapes: &[Shape; 2]) -> Result<[Autoencoder; 2], SystemError> {
    let needed = shapes[0].value_count()?.saturating_add(shapes[1].value_count()?);
    let is_autoencoders = |name: &str| name != COUNTS && !name.starts_with(semantic::PART);
    let mut weights = network_weights(file, needed, is_autoencoders)?;
    let device = burn::tensor::Device::default();
    let mut network = |part: usize| -> Result<Autoencoder, SystemError> {
        Ok(shapes[part].init(&device, 0)?.with_state(take_part(&mut weights, PARTS[part]))?)
    };
    Ok([network(0)?, network(1)?])
}

/// The windows of one video.
struct Watcher<'a> {
    model: &'a PseudoModel,
    patches: Patches,
    /// Of appearance and of motion; made for the first frame.
    windows: Option<[Window; 2]>,
    /// Squared errors of frames whose flow is not judged yet.
    waiting: VecDeque<Vec<f32>>,
    /// Frames taken, and the meanings of those that a window will have in its middle and that are not told yet.
    taken: usize,
    meanings: VecDeque<f64>,
    last: Option<Frame>,
    /// The flow from the frame before the last one to it.
    flow: Vec<f32>,
}

impl Watcher<'_> {
    fn windows(&mut self) -> Result<&mut [Window; 2], SystemError> {
        let (model, scored) = (self.model, self.model.config.ae3d.scored());
        let window = |network: &Frozen| Ok::<_, SystemError>(Window::new(network.sliding(scored)?, scored));
        match &mut self.windows {
            Some(windows) => Ok(windows),
            none => Ok(none.insert([window(&model.networks[0])?, window(&model.networks[1])?])),
        }
    }

    /// Takes the flow that follows; judges the frame in the middle, if the window is whole.
    fn push_flow(&mut self, flow: Vec<f32>) -> Result<Option<Verdict>, SystemError> {
        let Some([picture, rebuilt]) = self.windows()?[1].push(flow)? else { return Ok(None) };
        let Some(appearance) = self.waiting.pop_front() else { return Ok(None) };
        let model = self.model;
        let motion = squared_error(&picture, &rebuilt, &model.counts);
        let errors = [&appearance, &motion];
        let [frames, patches] = [
            errors.map(|error| negative_psnr(counted_mean(error, &model.counts))),
            errors.map(|error| negative_psnr(self.patches.worst_mean(error))),
        ];
        let chosen = match model.config.ae3d.score {
            Measure::Frame => frames,
            Measure::Patch => patches,
        };
        let meaning = self.meanings.pop_front();
        let columns = [chosen, frames, patches].concat().into_iter().chain(meaning);
        let (score, indicators) = model.told(&columns.collect::<Vec<_>>());
        let both: Vec<f32> = appearance.iter().zip(&motion).map(|(a, b)| a + b).collect();
        let InputFormat { width, height, .. } = model.format;
        let heat = box_blur(&both, height, width, model.config.ae3d.patch / 2);
        Ok(Some(Verdict { score, indicators, heat }))
    }
}

impl Watch for Watcher<'_> {
    fn format(&self) -> InputFormat {
        self.model.format
    }

    fn push(&mut self, frame: &Frame) -> Result<Option<Verdict>, SystemError> {
        let model = self.model;
        if let Some(semantic) = model.semantic.as_ref().filter(|_| self.taken >= model.config.ae3d.scored()) {
            self.meanings.push_back(semantic.score(&model.flows.seen(frame))?);
        }
        self.taken += 1;
        let planes = model.planes(frame);
        if let Some([picture, rebuilt]) = self.windows()?[0].push(planes)? {
            self.waiting.push_back(squared_error(&picture, &rebuilt, &model.counts));
        }
        let Some(before) = self.last.replace(frame.clone()) else { return Ok(None) };
        let flow = model.flows.flow(&before, frame)?;
        self.flow = flow_planes(&flow, model.config.flow_limit, &model.counts);
        self.push_flow(self.flow.clone())
    }

    /// The last frame repeats the last flow.
    fn end(&mut self) -> Result<Option<Verdict>, SystemError> {
        if self.flow.is_empty() { Ok(None) } else { self.push_flow(self.flow.clone()) }
    }
}

impl Model for PseudoModel {
    fn system(&self) -> &'static str {
        super::KEY
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    fn delay(&self) -> usize {
        self.config.delay()
    }

    fn indicators(&self) -> &[&'static str] {
        if self.semantic.is_some() { &INDICATORS } else { &INDICATORS[..SEMANTIC] }
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "mean squared error of frame and flow around a pixel, each for values in [0, 1]"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        let watcher = Watcher {
            model: self,
            patches: self.patches(),
            windows: None,
            waiting: VecDeque::new(),
            taken: 0,
            meanings: VecDeque::new(),
            last: None,
            flow: Vec::new(),
        };
        // The window's last flow takes one frame more.
        Box::new(CentreScorer::new(watcher, self.config.ae3d.clip + 1, self.config.ae3d.scored()))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let semantic = self.semantic.iter().flat_map(Semantic::state);
        self.weights.iter().cloned().chain(semantic).for_each(|tensor| file.insert(tensor));
        put_format(&mut file, self.format, &self.counts);
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        self.explain_at(frames, frames.len().saturating_sub(1))
    }

    fn context(&self) -> [usize; 2] {
        [self.config.ae3d.scored(), self.config.delay()]
    }

    /// The latent is the errors of the frame and of its flow, each on a grid of 8×8 cells.
    fn explain_at(&self, frames: &[Frame], at: usize) -> Result<Explanation, SystemError> {
        let Some(asked) = frames.get(at) else {
            return Err(SystemError::TooFewFrames { got: frames.len(), needed: at + 1, system: super::KEY });
        };
        frames.iter().try_for_each(|frame| check_format(frame, self.format))?;
        let (length, scored) = (self.config.ae3d.clip, self.config.ae3d.scored());
        let around = clip_around(frames, at, scored, length + 1);
        let planes = around[..length].iter().map(|frame| self.planes(frame)).collect::<Vec<_>>();
        let flow = |pair: &[&Frame]| {
            let flow = self.flows.flow(pair[0], pair[1])?;
            Ok(flow_planes(&flow, self.config.flow_limit, &self.counts))
        };
        let flows = around.windows(2).map(flow).collect::<Result<Vec<_>, SystemError>>()?;
        let mut latent = Vec::new();
        let mut pictures = Vec::new();
        for (part, (pictures_in, channels)) in
            [(&planes, self.format.colour.channels()), (&flows, FLOW_CHANNELS)].into_iter().enumerate()
        {
            let plane = self.counts.len();
            let mut clip = vec![0.0; channels * length * plane];
            for (t, picture) in pictures_in.iter().enumerate() {
                put_frame(&mut clip, t, picture, [channels, length]);
            }
            let mut scratch: [Scratch; 2] = Default::default();
            let rebuilt = self.networks[part].run(&clip, 1, &mut scratch)?;
            let middle: Vec<f32> =
                rebuilt.chunks_exact(plane).skip(scored).step_by(length).flatten().copied().collect();
            latent.extend(cells(
                &squared_error(&pictures_in[scored], &middle, &self.counts),
                self.format.width,
                self.format.height,
            ));
            pictures.push(middle);
        }
        let data = to_bytes(&pictures[0], self.format);
        Ok(Explanation { reconstruction: Some(Frame { data, ..asked.clone() }), latent, unlikely: None })
    }
}
