//! An inverted residual block.

use vadis_kernels::{Depthwise, Pointwise};

use super::config::Stage;
use crate::NnError;
use crate::pretrained::Checkpoint;

/// Expansion, depthwise convolution and projection, and what came in added where the shapes agree.
#[derive(Debug)]
pub(super) struct Block {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

/// Memory of a pass.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    expanded: Vec<f32>,
    convolved: Vec<f32>,
    projected: Vec<f32>,
}

impl Block {
    /// Block `index`, which reads `input` channels.
    pub(super) fn load(
        weights: &Checkpoint,
        index: usize,
        input: usize,
        stage: Stage,
        epsilon: f32,
    ) -> Result<Self, NnError> {
        let Stage { kernel, stride, expansion, channels, .. } = stage;
        let inner = input * expansion;
        let layer = |conv: &str, norm: &str, shape: [usize; 4]| {
            let names = [conv, norm].map(|name| format!("_blocks.{index}.{name}"));
            folded(weights, [&names[0], &names[1]], &shape, epsilon)
        };
        let expand = match expansion {
            1 => None,
            _ => {
                let [weight, bias] = layer("_expand_conv", "_bn0", [inner, input, 1, 1])?;
                Some(Pointwise::new(&weight, bias, true))
            }
        };
        let [weight, bias] = layer("_depthwise_conv", "_bn1", [inner, 1, kernel, kernel])?;
        let depthwise = Depthwise::new(&weight, &bias, kernel, stride);
        let [weight, bias] = layer("_project_conv", "_bn2", [channels, inner, 1, 1])?;
        let project = Pointwise::new(&weight, bias, false);
        Ok(Self { expand, depthwise, project, residual: stride == 1 && input == channels })
    }

    /// Replaces `x` = `[height][width][channels]` by the output, whose size it gives.
    pub(super) fn run(&self, x: &mut Vec<f32>, size: [usize; 2], scratch: &mut Scratch) -> [usize; 2] {
        let Scratch { expanded, convolved, projected } = scratch;
        let inner: &[f32] = match &self.expand {
            None => x,
            Some(expand) => {
                expanded.resize(size[0] * size[1] * expand.outputs(), 0.0);
                expand.run(x, expanded);
                expanded
            }
        };
        let output = self.depthwise.output(size);
        convolved.resize(output[0] * output[1] * self.project.inputs(), 0.0);
        self.depthwise.run(inner, size, convolved);
        projected.resize(output[0] * output[1] * self.project.outputs(), 0.0);
        self.project.run(convolved, projected);
        if self.residual {
            projected.iter_mut().zip(&*x).for_each(|(y, x)| *y += x);
        }
        std::mem::swap(x, projected);
        output
    }
}

/// A convolution's weight and bias with the batch norm after it folded in.
pub(super) fn folded(
    weights: &Checkpoint,
    [conv, norm]: [&str; 2],
    shape: &[usize; 4],
    epsilon: f32,
) -> Result<[Vec<f32>; 2], NnError> {
    let mut weight = weights.tensor(&format!("{conv}.weight"), shape)?;
    let of_norm = |kind: &str| weights.tensor(&format!("{norm}.{kind}"), &shape[..1]);
    let [gain, shift, mean, variance] =
        [of_norm("weight")?, of_norm("bias")?, of_norm("running_mean")?, of_norm("running_var")?];
    if variance.iter().any(|v| *v < 0.0) {
        let (name, reason) = (format!("{norm}.running_var"), "a variance below 0".to_owned());
        return Err(NnError::Weights { name, reason });
    }
    let gain: Vec<f32> = gain.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let taps = weight.len() / gain.len();
    weight.chunks_exact_mut(taps).zip(&gain).for_each(|(w, g)| w.iter_mut().for_each(|w| *w *= g));
    let bias = shift.iter().zip(&mean).zip(&gain).map(|((shift, mean), gain)| shift - mean * gain).collect();
    Ok([weight, bias])
}
