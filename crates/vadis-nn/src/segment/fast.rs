//! A segment by our kernels, as one operation of burn's `flex` backend with a hand-written backward
//! pass. Its parents are the input and the one flat parameter.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};

/// Workspaces kept for later steps: one for a step in progress and one to spare.
const IDLE: usize = 2;

/// A compiled plan whose tensors have `D` axes, the first of them the batch. `None` where a slice does
/// not have the length that the plan and the batch call for.
pub(crate) trait Kernels<const D: usize>: Debug + Send + Sync + 'static {
    /// What the backward pass needs of the forward one.
    type Workspace: Default + Send + 'static;

    /// Whether it needs the output too.
    const NEEDS_OUTPUT: bool;

    /// Shape of the output of `batch` inputs.
    fn output_shape(&self, batch: usize) -> [usize; D];

    /// Runs the plan in training: its output, and the statistics of the batch.
    fn train(&self, parameter: &[f32], x: &[f32], batch: usize, w: &mut Self::Workspace) -> Option<Trained>;

    /// Gradients with respect to the input, if asked for, and to the parameter, after
    /// [`Kernels::train`] left the workspace and gave the output, which is empty unless it is needed.
    fn backward(
        &self,
        parameter: &[f32],
        workspace: &mut Self::Workspace,
        output: &[f32],
        dy: &[f32],
        want_input: bool,
    ) -> Option<(Option<Vec<f32>>, Vec<f32>)>;

    /// Runs the plan in evaluation, with the running statistics `buffers`.
    fn evaluate(&self, parameter: &[f32], buffers: &[f32], x: &[f32], batch: usize) -> Option<Vec<f32>>;
}

/// Output and batch statistics of a forward pass in training.
pub(crate) struct Trained {
    pub(crate) output: Vec<f32>,
    pub(crate) statistics: Vec<f32>,
}

/// A compiled plan with the memory of its training steps.
pub(crate) struct Engine<K, W> {
    pub(crate) kernels: K,
    idle: Mutex<Vec<W>>,
}

impl<K: Debug, W> Debug for Engine<K, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("kernels", &self.kernels).finish_non_exhaustive()
    }
}

impl<K, W: Default> Engine<K, W> {
    pub(crate) fn new(kernels: K) -> Self {
        Self { kernels, idle: Mutex::default() }
    }

    fn borrow(self: &Arc<Self>) -> Lease<K, W> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Lease { workspace: Mutex::new(idle.pop().unwrap_or_default()), engine: Arc::clone(self) }
    }
}

/// A workspace that goes back to its engine when the step is over.
struct Lease<K, W: Default> {
    workspace: Mutex<W>,
    engine: Arc<Engine<K, W>>,
}

impl<K, W: Default> Drop for Lease<K, W> {
    fn drop(&mut self) {
        let mut idle = self.engine.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(std::mem::take(self.workspace.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

/// Runs the segment in evaluation where both tensors live on `flex` as 32-bit floats without autodiff;
/// `None` elsewhere. `x` has the plan's shape.
pub(crate) fn evaluate<K: Kernels<D>, const D: usize>(
    engine: &Engine<K, K::Workspace>,
    weight: Tensor<1>,
    buffers: &[f32],
    x: Tensor<D>,
) -> Option<Tensor<D>> {
    let batch = x.dims()[0];
    let weight = weight.try_into_primitive::<Flex>().ok()?.to_contiguous();
    let x = x.try_into_primitive::<Flex>().ok()?.to_contiguous();
    let (weight, x) = (weight.as_slice()?, x.as_slice()?);
    let y = in_pool(|| engine.kernels.evaluate(weight, buffers, x, batch))?;
    Some(Tensor::from_primitive::<Flex>(primitive(y, engine.kernels.output_shape(batch))))
}

/// Runs the segment in training where both tensors live on `flex` as 32-bit floats, tracked or not;
/// `None` elsewhere. Output, and the statistics of the batch. `x` has the plan's shape.
pub(crate) fn train<K: Kernels<D>, const D: usize>(
    engine: &Arc<Engine<K, K::Workspace>>,
    weight: Tensor<1>,
    x: Tensor<D>,
) -> Option<(Tensor<D>, Vec<f32>)> {
    let shape = x.dims();
    let weight = weight.autodiff().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let x = x.autodiff().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let values = weight.primitive().to_contiguous();
    let mut lease = engine.borrow();
    let Trained { output, statistics } = {
        let x = x.primitive().to_contiguous();
        let (weight, x) = (values.as_slice()?, x.as_slice()?);
        let workspace = lease.workspace.get_mut().unwrap_or_else(PoisonError::into_inner);
        in_pool(|| engine.kernels.train(weight, x, shape[0], workspace))?
    };
    let y = primitive(output, engine.kernels.output_shape(shape[0]));
    let prepared = SegmentBackward::<K, D>::default().prepare::<NoCheckpointing>([x.node(), weight.node()]);
    let y = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let output = K::NEEDS_OUTPUT.then(|| y.clone());
            let saved = Saved { lease: Arc::new(lease), weight: values, output, shape };
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Some((Tensor::from_primitive::<Autodiff<Flex>>(y), statistics))
}

/// Runs `work` on a thread of the pool, so that what it does in parallel starts there: from any other thread,
/// each start is a hand-over that takes longer than a small kernel.
pub(crate) fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

fn primitive<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
}

struct SegmentBackward<K, const D: usize>(std::marker::PhantomData<K>);

impl<K, const D: usize> Default for SegmentBackward<K, D> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<K, const D: usize> Debug for SegmentBackward<K, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentBackward")
    }
}

/// What the backward pass needs: the activations, the weight, perhaps the output, and the input's shape.
struct Saved<K: Kernels<D>, const D: usize> {
    lease: Arc<Lease<K, K::Workspace>>,
    weight: FloatTensor<Flex>,
    output: Option<FloatTensor<Flex>>,
    shape: [usize; D],
}

impl<K: Kernels<D>, const D: usize> Clone for Saved<K, D> {
    fn clone(&self) -> Self {
        let (weight, output) = (self.weight.clone(), self.output.clone());
        Self { lease: Arc::clone(&self.lease), weight, output, shape: self.shape }
    }
}

impl<K: Kernels<D>, const D: usize> Debug for Saved<K, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<K: Kernels<D>, const D: usize> Backward<Flex, 2> for SegmentBackward<K, D> {
    type State = Saved<K, D>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_weight] = ops.parents;
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { lease, weight, output, shape } = ops.state;
        let output = output.map(|output| output.to_contiguous());
        let output = output.as_ref().map_or(Some(&[][..]), |output| output.as_slice::<f32>());
        let mut workspace = lease.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let slices = weight.as_slice::<f32>().zip(output).zip(dy.as_slice::<f32>());
        let (kernels, workspace, want_input) = (&lease.engine.kernels, &mut *workspace, node_x.is_some());
        let gradients = slices.and_then(|((weight, output), dy)| {
            in_pool(|| kernels.backward(weight, workspace, output, dy, want_input))
        });
        let (input, parameter) =
            gradients.expect("burn gives the output's gradient in the output's shape and type, once");
        if let Some((node, dx)) = node_x.zip(input) {
            grads.register::<Flex>(node.id, primitive(dx, shape));
        }
        if let Some(node) = node_weight {
            let len = parameter.len();
            grads.register::<Flex>(node.id, primitive(parameter, [len]));
        }
    }
}
