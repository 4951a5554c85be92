//! The ranges of a network's values over sample clips.

use super::scale::Scale;
use crate::volume::network::{Frozen, RunError, Scratch, check, volume};
use crate::volume::plan::{Operation, Plan};

/// The scale of each node that `frozen` runs, from its values over `clips` = `[n][C][T][H][W]`.
pub(super) fn scales(frozen: &Frozen, plan: &Plan, clips: &[f32]) -> Result<Vec<Scale>, RunError> {
    let size = volume(plan.input());
    let count = clips.len() / size;
    check("calibration clips", count.max(1) * size, clips.len())?;
    let mut ranges = vec![[0.0f32; 2]; plan.nodes().len()];
    let (mut scratch, mut planes) = (Scratch::new(), Vec::new());
    for x in clips.chunks_exact(size) {
        frozen.watch(x, &mut scratch, &mut |index, layout, values| {
            planes.resize(volume(plan.nodes()[index].shape), 0.0);
            layout.write_planes(values, &mut planes);
            let [low, high] = &mut ranges[index];
            for value in &planes {
                *low = low.min(*value);
                *high = high.max(*value);
            }
        });
    }
    let finite = |range: &[f32; 2]| range.iter().all(|value| value.is_finite());
    if let Some(index) = ranges.iter().position(|range| !finite(range)) {
        return Err(RunError::NotFinite { node: plan.nodes()[index].name.clone() });
    }
    let groups = groups(plan);
    for node in 0..ranges.len() {
        let [low, high] = ranges[node];
        let group = &mut ranges[groups[node]];
        *group = [group[0].min(low), group[1].max(high)];
    }
    Ok(groups.iter().map(|&group| Scale::new(ranges[group])).collect())
}

/// For each node the first of those that it shares its scale with: a node that copies values has that of
/// the nodes that it reads.
fn groups(plan: &Plan) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..plan.nodes().len()).collect();
    for (index, node) in plan.nodes().iter().enumerate() {
        if matches!(node.operation, Operation::Input | Operation::Conv(_)) {
            continue;
        }
        for &input in &node.inputs {
            let (a, b) = (groups[index], groups[input]);
            groups.iter_mut().filter(|group| **group == a.max(b)).for_each(|group| *group = a.min(b));
        }
    }
    groups
}
