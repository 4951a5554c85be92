//! What is cut out of a clip: random shapes, objects, or the user's masks.

use std::collections::BTreeMap;
use std::path::Path;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use vadis_motion::objects_against;
use vadis_video::inpaint::{MaskGenerator, clip_of_masks, read_masks};
use vadis_video::{Frame, Mask};

use super::PseudoConfig;
use crate::clips::Run;
use crate::frames::{median_frame, spread};
use crate::preset::setting;
use crate::{FrameStore, SystemError};

/// Frames of a source that its background is the median of.
const BACKGROUND_FRAMES: usize = 31;

/// Where masks come from.
pub(super) enum Masks {
    /// LaMa's generators.
    Random(MaskGenerator),
    /// What stands out from the source's background; random where nothing does.
    Objects {
        /// By the source's number in the footage.
        backgrounds: BTreeMap<usize, Frame>,
        contrast: u8,
        otherwise: MaskGenerator,
    },
    /// The user's.
    Given(Vec<Mask>),
}

impl Masks {
    /// As the settings say, for the clips of `runs`.
    pub(super) fn new(
        config: &PseudoConfig,
        footage: &FrameStore,
        runs: &[Run],
    ) -> Result<Self, SystemError> {
        let format = footage.format();
        let random = MaskGenerator::new(format.width, format.height);
        match config.masks.as_str() {
            "random" => Ok(Self::Random(random)),
            "objects" => {
                let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
                for place in runs.iter().flat_map(Run::clone) {
                    places.entry(footage.frames()[place].clip).or_default().push(place);
                }
                let background = |(clip, places): (usize, Vec<usize>)| {
                    Ok((clip, median_frame(footage, &spread(&places, BACKGROUND_FRAMES))?))
                };
                let backgrounds = places.into_iter().map(background).collect::<Result<_, SystemError>>()?;
                Ok(Self::Objects { backgrounds, contrast: config.contrast, otherwise: random })
            }
            folder => {
                let masks = read_masks(Path::new(folder), format.width, format.height);
                let masks = masks.map_err(|e| setting("masks", e))?;
                if masks.is_empty() {
                    return Err(setting("masks", format!("{folder} has no mask with a hole")));
                }
                Ok(Self::Given(masks))
            }
        }
    }

    /// A mask for each of consecutive `frames` of source `clip`: one shape in its place, or one object as it moves.
    pub(super) fn draw(
        &self,
        clip: usize,
        frames: &[Frame],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Mask>, SystemError> {
        let still = |mask: &Mask| clip_of_masks(mask, [0.0, 0.0], frames.len());
        match self {
            Self::Random(generator) => Ok(still(&generator.draw(rng))),
            Self::Given(masks) => Ok(masks.choose(rng).map_or_else(Vec::new, still)),
            Self::Objects { backgrounds, contrast, otherwise } => {
                let followed = match backgrounds.get(&clip) {
                    Some(background) => follow(background, *contrast, frames, rng)?,
                    None => Vec::new(),
                };
                Ok(if followed.is_empty() { still(&otherwise.draw(rng)) } else { followed })
            }
        }
    }
}

/// One of the first frame's objects, in each frame that which covers most of where it was; empty if there is none.
fn follow(
    background: &Frame,
    contrast: u8,
    frames: &[Frame],
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Mask>, SystemError> {
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let objects = objects_against(background, first, contrast)?;
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let mut masks = vec![objects[rng.random_range(0..objects.len())].clone()];
    for frame in &frames[1..] {
        let last = &masks[masks.len() - 1];
        let shared = |mask: &Mask| mask.data.iter().zip(&last.data).filter(|(a, b)| **a & **b != 0).count();
        let next = objects_against(background, frame, contrast)?.into_iter().max_by_key(shared);
        let next = next.filter(|mask| shared(mask) > 0).unwrap_or_else(|| last.clone());
        masks.push(next);
    }
    Ok(masks)
}
