//! Which time slices a window needs, which of them earlier windows have left, and where they lie.

use std::collections::HashMap;

use super::Work;
use super::graph::{Graph, Label};

/// The slices that a window asks for, and those that it computes: `[node][slice]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) asked: Vec<Vec<bool>>,
    pub(super) computed: Vec<Vec<bool>>,
}

impl Asked {
    /// Goes from the wanted slices of the output back to the frames. `held` says of a node and a slice
    /// whether it need not be computed, given the node's slices that are asked for.
    fn new(graph: &Graph, wanted: &[usize], held: impl Fn(usize, usize, &[bool]) -> bool) -> Self {
        let none: Vec<Vec<bool>> = graph.nodes.iter().map(|node| vec![false; node.labels.len()]).collect();
        let mut asked = none.clone();
        let mut computed = none;
        wanted.iter().for_each(|&t| asked[graph.output][t] = true);
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            for (t, reads) in node.reads.iter().enumerate() {
                computed[index][t] = asked[index][t] && !held(index, t, &asked[index]);
                if computed[index][t] {
                    reads.iter().for_each(|read| asked[read.node][read.t] = true);
                }
            }
        }
        Self { asked, computed }
    }

    /// Without anything from earlier windows.
    pub(super) fn alone(graph: &Graph, wanted: &[usize]) -> Self {
        Self::new(graph, wanted, |_, _, _| false)
    }

    /// Where windows slide by one frame, after as many as it takes. A slice is there if an earlier
    /// window asked for it, when it lay later in the window, or if another of this window is the same.
    pub(super) fn sliding(graph: &Graph, wanted: &[usize]) -> Self {
        Self::new(graph, wanted, |node, t, asked| {
            let labels = &graph.nodes[node].labels;
            (0..labels.len()).filter(|&other| asked[other]).any(|other| {
                let same = labels[other].pattern == labels[t].pattern;
                let (own, others) = (labels[t].origin, labels[other].origin);
                same && (own.is_none() || others > own || (others == own && other < t))
            })
        })
    }

    fn flops(&self, graph: &Graph) -> f64 {
        let of_node = |(node, computed): (&super::graph::Node, &Vec<bool>)| {
            let reads = node.reads.iter().zip(computed).filter(|(_, computed)| **computed);
            reads.map(|(reads, _)| reads.len() as f64 * node.flops).sum::<f64>()
        };
        graph.nodes.iter().zip(&self.computed).map(of_node).sum()
    }
}

/// What windows of a graph need.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    wanted: Vec<usize>,
    /// Of each node, for each pattern that a sliding window asks for, the first frame of the slice that
    /// lies earliest in the window. Later windows may use a slice until it lies before that.
    earliest: Vec<HashMap<usize, Option<isize>>>,
    pub(super) work: Work,
}

impl Needs {
    pub(super) fn new(graph: &Graph, wanted: &[usize]) -> Self {
        let all: Vec<usize> = (0..graph.nodes[graph.output].labels.len()).collect();
        let sliding = Asked::sliding(graph, wanted);
        let work = Work {
            window: Asked::alone(graph, &all).flops(graph),
            needed: Asked::alone(graph, wanted).flops(graph),
            new: sliding.flops(graph),
        };
        let earliest = graph.nodes.iter().zip(&sliding.asked).map(|(node, asked)| {
            let mut earliest: HashMap<usize, Option<isize>> = HashMap::new();
            for (label, _) in node.labels.iter().zip(asked).filter(|(_, asked)| **asked) {
                let first = earliest.entry(label.pattern).or_insert(label.origin);
                *first = (*first).min(label.origin);
            }
            earliest
        });
        Self { wanted: wanted.to_vec(), earliest: earliest.collect(), work }
    }

    /// Whether a window that begins at a frame, or a later one, may use the slice.
    fn keeps(&self, node: usize, label: Label, window: isize) -> bool {
        let earliest = self.earliest[node].get(&label.pattern);
        earliest.is_some_and(|earliest| label.shifted(-window).origin >= *earliest)
    }
}

/// What a window computes of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// The slices to compute, rising.
    pub(super) times: Vec<usize>,
    /// The slot of each slice that is asked for.
    pub(super) slots: Vec<usize>,
}

/// The slices that are there: `[node][slot]`. Their origins are counted from the stream's start.
#[derive(Clone, Debug)]
pub(super) struct Holdings {
    slots: Vec<Vec<Option<Label>>>,
}

impl Holdings {
    pub(super) fn new(graph: &Graph) -> Self {
        Self { slots: vec![Vec::new(); graph.nodes.len()] }
    }

    /// How many slots each node needs, however many windows follow.
    pub(super) fn most(graph: &Graph, needs: &Needs) -> Vec<usize> {
        let mut holdings = Self::new(graph);
        let mut before = None;
        // What a window finds decides what it leaves: once that is the same, it stays so.
        for window in 0.. {
            holdings.plan(graph, needs, window);
            let now = Some(holdings.relative(window));
            if now == before {
                break;
            }
            before = now;
        }
        let mut most: Vec<usize> = holdings.slots.iter().map(Vec::len).collect();
        most[0] = graph.nodes[0].labels.len();
        most
    }

    fn relative(&self, window: isize) -> Vec<Vec<(usize, Option<isize>)>> {
        let of_node = |slots: &Vec<Option<Label>>| {
            let held = slots.iter().flatten().map(|label| (label.pattern, label.shifted(-window).origin));
            let mut held: Vec<_> = held.collect();
            held.sort_unstable();
            held
        };
        self.slots.iter().map(of_node).collect()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().flatten().for_each(|slot| *slot = None);
    }

    /// What the window that begins at frame `window` computes, of each node; counted as done. The
    /// frames themselves lie in a ring.
    pub(super) fn plan(&mut self, graph: &Graph, needs: &Needs, window: isize) -> Vec<Job> {
        let mut jobs: Vec<Job> = graph
            .nodes
            .iter()
            .map(|node| Job { times: Vec::new(), slots: vec![0; node.labels.len()] })
            .collect();
        let mut asked: Vec<Vec<bool>> = jobs.iter().map(|job| vec![false; job.slots.len()]).collect();
        needs.wanted.iter().for_each(|&t| asked[graph.output][t] = true);
        for (index, node) in graph.nodes.iter().enumerate().skip(1).rev() {
            self.drop_unused(index, needs, window);
            for t in (0..node.labels.len()).filter(|&t| asked[index][t]).collect::<Vec<_>>() {
                let label = node.labels[t].shifted(window);
                let (slot, found) = self.place(index, label);
                jobs[index].slots[t] = slot;
                if !found {
                    jobs[index].times.push(t);
                    node.reads[t].iter().for_each(|read| asked[read.node][read.t] = true);
                }
            }
        }
        let frames = jobs[0].slots.len();
        jobs[0].slots.iter_mut().enumerate().for_each(|(t, slot)| *slot = (window as usize + t) % frames);
        jobs
    }

    fn drop_unused(&mut self, node: usize, needs: &Needs, window: isize) {
        for slot in &mut self.slots[node] {
            *slot = slot.filter(|label| needs.keeps(node, *label, window));
        }
    }

    /// Where a slice lies, and whether it was there before.
    fn place(&mut self, node: usize, label: Label) -> (usize, bool) {
        let slots = &mut self.slots[node];
        if let Some(slot) = slots.iter().position(|held| *held == Some(label)) {
            return (slot, true);
        }
        let slot = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        slots.resize(slots.len().max(slot + 1), None);
        slots[slot] = Some(label);
        (slot, false)
    }
}
