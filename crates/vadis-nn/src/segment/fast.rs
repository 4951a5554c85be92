//! A segment by our kernels, as one operation of burn's `flex` backend with a hand-written backward
//! pass. Its parents are the input and the one flat parameter.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use vadis_kernels::{Network, Plan, Workspace};

/// Workspaces kept for later steps: one for a step in progress and one to spare.
const IDLE: usize = 2;

/// A compiled plan with the memory of its training steps.
pub(super) struct Engine {
    pub(super) plan: Plan,
    pub(super) network: Network,
    idle: Mutex<Vec<Workspace>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), network: Network::new(plan), idle: Mutex::default() }
    }

    fn borrow(self: &Arc<Self>) -> Lease {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Lease { workspace: idle.pop().unwrap_or_default(), engine: Arc::clone(self) }
    }
}

/// A workspace that goes back to its engine when the step is over.
struct Lease {
    workspace: Workspace,
    engine: Arc<Engine>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.engine.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(std::mem::take(&mut self.workspace));
        }
    }
}

/// Runs the segment where both tensors live on `flex` as 32-bit floats, tracked or not; `None`
/// elsewhere. `x` has the plan's shape.
pub(super) fn forward(engine: &Arc<Engine>, weight: Tensor<1>, x: Tensor<4>) -> Option<Tensor<4>> {
    if weight.is_autodiff() || x.is_autodiff() {
        tracked(engine, weight.autodiff(), x.autodiff())
    } else {
        plain(engine, weight, x)
    }
}

fn plain(engine: &Engine, weight: Tensor<1>, x: Tensor<4>) -> Option<Tensor<4>> {
    let batch = x.dims()[0];
    let weight = weight.try_into_primitive::<Flex>().ok()?.to_contiguous();
    let x = x.try_into_primitive::<Flex>().ok()?.to_contiguous();
    let frozen = engine.network.freeze(weight.as_slice()?).ok()?;
    let y = frozen.run(x.as_slice()?, batch).ok()?;
    Some(Tensor::from_primitive::<Flex>(output(&engine.plan, y, batch)))
}

fn tracked(engine: &Arc<Engine>, weight: Tensor<1>, x: Tensor<4>) -> Option<Tensor<4>> {
    let shape = x.dims();
    let weight = weight.try_into_primitive::<Autodiff<Flex>>().ok()?;
    let x = x.try_into_primitive::<Autodiff<Flex>>().ok()?;
    let values = weight.primitive().to_contiguous();
    let mut lease = engine.borrow();
    let y = {
        let x = x.primitive().to_contiguous();
        let (weight, x) = (values.as_slice()?, x.as_slice()?);
        engine.network.forward(weight, x, shape[0], &mut lease.workspace).ok()?
    };
    let y = output(&engine.plan, y, shape[0]);
    let prepared = SegmentBackward.prepare::<NoCheckpointing>([x.node(), weight.node()]);
    let y = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let saved = Saved { lease: Arc::new(lease), weight: values, shape };
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

fn output(plan: &Plan, y: Vec<f32>, batch: usize) -> FloatTensor<Flex> {
    let [c, h, w] = plan.output();
    FloatTensor::<Flex>::from_data(TensorData::new(y, [batch, c, h, w]))
}

#[derive(Debug)]
struct SegmentBackward;

/// What the backward pass needs: the activations, the weight and the input's shape.
#[derive(Clone)]
struct Saved {
    lease: Arc<Lease>,
    weight: FloatTensor<Flex>,
    shape: [usize; 4],
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Backward<Flex, 2> for SegmentBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_weight] = ops.parents;
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { lease, weight, shape } = ops.state;
        let network = &lease.engine.network;
        let slices = weight.as_slice::<f32>().zip(dy.as_slice::<f32>());
        let gradients = slices
            .and_then(|(weight, dy)| network.backward(weight, &lease.workspace, dy, node_x.is_some()).ok())
            .expect("burn gives the output's gradient in the output's shape and type");
        if let Some((node, dx)) = node_x.zip(gradients.input) {
            grads.register::<Flex>(node.id, FloatTensor::<Flex>::from_data(TensorData::new(dx, shape)));
        }
        if let Some(node) = node_weight {
            let len = gradients.parameter.len();
            let gradient = TensorData::new(gradients.parameter, [len]);
            grads.register::<Flex>(node.id, FloatTensor::<Flex>::from_data(gradient));
        }
    }
}
