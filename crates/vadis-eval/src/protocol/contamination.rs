use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// Why a subset of the share asked for does not exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ContaminationError {
    /// Not a share of an unsupervised setting.
    #[error("a contamination of {share} is not in [0, 1)")]
    Share {
        /// What was asked for.
        share: f64,
    },
    /// There is nothing to contaminate.
    #[error("there is no normal frame among {frames}")]
    NoNormal {
        /// Frames given.
        frames: usize,
    },
    /// Something abnormal is asked for, and nothing is.
    #[error("there is no abnormal frame among {frames}, and a contamination of {share} was asked for")]
    NoAbnormal {
        /// Frames given.
        frames: usize,
        /// What was asked for.
        share: f64,
    },
}

/// The largest subset of `labels`' frames of which `share` is abnormal, as rising indices, for the curve of AUC against
/// contamination.
///
/// All frames of one class are kept and the other is thinned at random: the abnormal ones where there are more than the
/// share allows, else the normal ones. The share is met to half a frame. Same seed, same subset.
///
/// # Errors
/// [`ContaminationError`] where `share` is outside [0, 1) or a class that is needed is missing.
pub fn contaminated_subset(labels: &[u8], share: f64, seed: u64) -> Result<Vec<usize>, ContaminationError> {
    if !(0.0..1.0).contains(&share) {
        return Err(ContaminationError::Share { share });
    }
    let (abnormal, normal): (Vec<usize>, Vec<usize>) =
        (0..labels.len()).partition(|&frame| labels[frame] != 0);
    if normal.is_empty() {
        return Err(ContaminationError::NoNormal { frames: labels.len() });
    }
    if abnormal.is_empty() && share > 0.0 {
        return Err(ContaminationError::NoAbnormal { frames: labels.len(), share });
    }
    let odds = share / (1.0 - share);
    let wanted = (normal.len() as f64 * odds).round() as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut subset = if wanted <= abnormal.len() {
        thinned(&abnormal, wanted, &mut rng).into_iter().chain(normal).collect::<Vec<_>>()
    } else {
        let kept = ((abnormal.len() as f64 / odds).round() as usize).clamp(1, normal.len());
        thinned(&normal, kept, &mut rng).into_iter().chain(abnormal).collect()
    };
    subset.sort_unstable();
    Ok(subset)
}

fn thinned(frames: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    index::sample(rng, frames.len(), count).into_iter().map(|i| frames[i]).collect()
}
