//! Networks that slide over a stream of frames, a frame at a time.
//!
//! Of each window only the slices are computed that reach the wanted ones, and of these only those that
//! no earlier window has left behind: a slice that sees none of a window's zero padding is the same in
//! the window that begins later by the product of the temporal strides (`graph`), and is kept until
//! then (`needs`). Each slice is computed by the same kernels in the same order of sums as in
//! [`Frozen::run`](super::Frozen::run), so it has the same bits.

mod graph;
mod needs;
#[cfg(test)]
mod tests;

use super::compile::{Machine, Way};
use super::frozen::Frozen;
use super::layout::Layout;
use super::network::{RunError, check};
use super::select::{self, Batch, Target};
use super::slices::Slices;
use super::winograd;
use crate::aligned::Aligned;
use graph::Graph;
use needs::{Holdings, Job, Needs};

/// Floating-point operations of a window's convolutions: multiply-adds times two, products with
/// padding in time left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Of a whole window.
    pub window: f64,
    /// Of what reaches the wanted slices.
    pub needed: f64,
    /// Of what is new in each window of a long stream.
    pub new: f64,
}

/// Networks in a chain, such as an encoder and a decoder, that run on each window of a stream.
///
/// ```
/// use vadis_kernels::Activation;
/// use vadis_kernels::volume::{Conv, Network, Options, Plan, SlidingWindow};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = Plan::new("clip", [1, 4, 8, 8])?.conv("c", "clip", Conv::new(1, 2, [3; 3], [1; 3]))?;
/// let frozen = Network::new(&plan, Options::default()).freeze(&vec![0.1; plan.parameter_count()], &[], &["c"])?;
/// let mut window = SlidingWindow::new(&[frozen], &[2])?;
/// for _ in 0..3 {
///     assert_eq!(window.push(&[1.0; 64])?, None);
/// }
/// assert_eq!(window.push(&[1.0; 64])?.map(|slice| slice.len()), Some(2 * 64));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SlidingWindow {
    networks: Vec<Frozen>,
    graph: Graph,
    needs: Needs,
    wanted: Vec<usize>,
    holdings: Holdings,
    stores: Vec<Store>,
    winograd: winograd::Scratch,
    /// Frames since the start.
    frames: usize,
}

/// A node's slices, of the windows that share them.
#[derive(Debug)]
struct Store {
    layout: Layout,
    values: Aligned,
    way: Option<Way>,
}

impl SlidingWindow {
    /// `networks`, each frozen for one node, which the next one reads; the last one's output is wanted
    /// at the time slices `wanted` only, in that order.
    ///
    /// It holds slices of every node at a time: of the autoencoder of MemAE with 16 × 256 × 256 pixels
    /// and three channels 170 MiB ([`SlidingWindow::bytes`]), beside the weights, which it shares.
    ///
    /// # Errors
    /// [`RunError::NoSlice`] if a wanted slice is not in the output, [`RunError::Outputs`] if a network
    /// has not one output, [`RunError::Size`] if one does not fit the next.
    pub fn new(networks: &[Frozen], wanted: &[usize]) -> Result<Self, RunError> {
        let graph = Graph::new(networks)?;
        let slices = graph.nodes[graph.output].labels.len();
        if let Some(&got) = wanted.iter().find(|&&t| t >= slices) {
            return Err(RunError::NoSlice { slices, got });
        }
        let needs = Needs::new(&graph, wanted);
        let most = Holdings::most(&graph, &needs);
        let store = |index: usize| store(networks, &graph, &most, index);
        Ok(Self {
            networks: networks.to_vec(),
            stores: (0..most.len()).map(store).collect(),
            holdings: Holdings::new(&graph),
            wanted: wanted.to_vec(),
            winograd: winograd::Scratch::default(),
            frames: 0,
            graph,
            needs,
        })
    }

    /// Frames of a window.
    pub fn length(&self) -> usize {
        self.graph.nodes[0].labels.len()
    }

    /// What a window costs.
    pub fn work(&self) -> Work {
        self.needs.work
    }

    /// Bytes of the slices that it holds.
    pub fn bytes(&self) -> usize {
        self.stores.iter().map(|store| store.values.len() * size_of::<f32>()).sum()
    }

    /// Begins anew, as at a cut: the next frame is the first one.
    pub fn reset(&mut self) {
        self.frames = 0;
        self.holdings.clear();
    }

    /// Takes the next frame, `[C][H][W]`. Once there is a whole window, gives the wanted slices of the
    /// window that ends with this frame, `[wanted][C][H][W]`: bit for bit those of [`Frozen::run`], on
    /// any number of threads.
    ///
    /// # Errors
    /// The frame has another length; it is not taken then.
    pub fn push(&mut self, frame: &[f32]) -> Result<Option<Vec<f32>>, RunError> {
        self.push_through(frame, Ok)
    }

    /// As [`SlidingWindow::push`]. `between` turns what one network writes into what the next one reads,
    /// a time slice `[C][H][W]` at a time: each slice by itself, and always in the same way.
    ///
    /// # Errors
    /// The frame has another length, and is not taken; or a slice from `between` has, or `between`
    /// fails: then the window begins anew.
    pub fn push_through<E: From<RunError>>(
        &mut self,
        frame: &[f32],
        mut between: impl FnMut(Vec<f32>) -> Result<Vec<f32>, E>,
    ) -> Result<Option<Vec<f32>>, E> {
        let (length, store) = (self.length(), &mut self.stores[0]);
        check("frame", slice_len(&store.layout), frame.len())?;
        store.layout.read_slice(frame, self.frames % length, &mut store.values);
        self.frames += 1;
        let Some(first) = self.frames.checked_sub(length) else { return Ok(None) };
        let jobs = self.holdings.plan(&self.graph, &self.needs, first as isize);
        let computed = (1..jobs.len()).try_for_each(|node| self.compute(node, &jobs, &mut between));
        if let Err(error) = computed {
            self.reset();
            return Err(error);
        }
        Ok(Some(self.output(&jobs[self.graph.output])))
    }

    fn output(&self, job: &Job) -> Vec<f32> {
        let store = &self.stores[self.graph.output];
        let slice = slice_len(&store.layout);
        let mut output = vec![0.0; self.wanted.len() * slice];
        for (planes, &t) in output.chunks_exact_mut(slice).zip(&self.wanted) {
            store.layout.write_slice(&store.values, job.slots[t], planes);
        }
        output
    }

    /// Computes what is missing of a node.
    fn compute<E: From<RunError>>(
        &mut self,
        index: usize,
        jobs: &[Job],
        between: &mut impl FnMut(Vec<f32>) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let (node, job) = (&self.graph.nodes[index], &jobs[index]);
        if job.times.is_empty() {
            return Ok(());
        }
        let (before, after) = self.stores.split_at_mut(index);
        let Store { layout, values, way } = &mut after[0];
        let frozen = &self.networks[node.network];
        if node.index == 0 {
            let input = &before[node.inputs[0]];
            for &t in &job.times {
                let mut planes = vec![0.0; slice_len(&input.layout)];
                let slot = jobs[node.inputs[0]].slots[t];
                input.layout.write_slice(&input.values, slot, &mut planes);
                let planes = between(planes)?;
                check("slice between two networks", slice_len(layout), planes.len())?;
                layout.read_slice(&planes, job.slots[t], values);
            }
            return Ok(());
        }
        if let (Some(way), Some(conv)) = (way, &frozen.convs[node.index]) {
            let (input, from) = (&before[node.inputs[0]].values, &jobs[node.inputs[0]].slots);
            let slices = Slices { times: &job.times, from, to: &job.slots };
            let machine = Machine { isa: frozen.network.isa, winograd: &self.winograd };
            way.run_slices(machine, [input, &conv.packed], &conv.finish(), values, &slices);
            return Ok(());
        }
        let batch = |&input: &usize| {
            let Store { layout, values, .. } = &before[input];
            Batch { layout, values, slots: Some(&jobs[input].slots) }
        };
        let inputs: Vec<Batch<'_>> = node.inputs.iter().map(batch).collect();
        let mut times = vec![None; layout.slots];
        job.times.iter().for_each(|&t| times[job.slots[t]] = Some(t));
        let operation = &frozen.network.plan.nodes()[node.index].operation;
        let target = Target { layout, times: Some(&times) };
        select::forward(operation, frozen.network.isa, &inputs, &target, values);
        Ok(())
    }
}

/// Values of a time slice.
fn slice_len(layout: &Layout) -> usize {
    layout.channels * layout.shape[1] * layout.shape[2]
}

/// Empty memory for a node's slices, and its convolution over them.
fn store(networks: &[Frozen], graph: &Graph, most: &[usize], index: usize) -> Store {
    let node = &graph.nodes[index];
    let frozen = &networks[node.network];
    let layout = Layout { slots: most[index], ..frozen.network.nodes[node.index].value };
    let way = frozen.convs[node.index].as_ref();
    let way = way.map(|conv| conv.way.clone().with_slots([most[node.inputs[0]], most[index]]));
    Store { layout, values: Aligned::new(layout.len()), way }
}
