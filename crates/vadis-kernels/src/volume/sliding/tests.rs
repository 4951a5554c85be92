//! The analysis, by hand. That the results are right is shown in `tests/volume/sliding.rs`.

use super::graph::Graph;
use super::needs::{Asked, Holdings, Needs};
use crate::volume::{Conv, Frozen, Network, Options, Plan, PlanError};

fn frozen(plan: Result<Plan, PlanError>) -> Frozen {
    let plan = plan.unwrap();
    let output = &plan.nodes()[plan.output_node()].name;
    let parameter = vec![0.5; plan.parameter_count()];
    Network::new(&plan, Options::default()).freeze(&parameter, &plan.initial_buffers(), &[output]).unwrap()
}

/// A convolution in time alone.
fn conv(kernel: usize, stride: usize) -> Conv {
    Conv::new(1, 1, [kernel, 1, 1], [stride, 1, 1])
}

fn clip(slices: usize) -> Result<Plan, PlanError> {
    Plan::new("x", [1, slices, 1, 1])
}

/// The slices that are marked, of each node.
fn marked(slices: &[Vec<bool>]) -> Vec<Vec<usize>> {
    slices.iter().map(|slices| (0..slices.len()).filter(|&t| slices[t]).collect()).collect()
}

#[test]
fn two_convolutions() {
    let network = frozen(clip(4).and_then(|p| p.conv("a", "x", conv(3, 1))?.conv("b", "a", conv(3, 1))));
    let graph = Graph::new(&[network]).unwrap();
    let a = &graph.nodes[1].labels;
    // Slices 1 and 2 see no padding: 1 is what 2 was a frame before.
    assert_eq!((a[1].pattern, a[1].origin, a[2].origin), (a[2].pattern, Some(0), Some(1)));
    assert!(a[0].pattern != a[1].pattern && a[3].pattern != a[1].pattern && a[0].pattern != a[3].pattern);
    // All slices of b see padding, two convolutions deep, but on different sides.
    assert_eq!(graph.nodes[2].labels[2].origin, Some(0));

    let alone = Asked::alone(&graph, &[2]);
    assert_eq!(marked(&alone.computed), [vec![0, 1, 2, 3], vec![1, 2, 3], vec![2]]);
    let sliding = Asked::sliding(&graph, &[2]);
    assert_eq!(marked(&sliding.asked), [vec![1, 2, 3], vec![1, 2, 3], vec![2]]);
    assert_eq!(marked(&sliding.computed), [vec![3], vec![2, 3], vec![2]]);

    // Products in time, two operations each: a 2 + 3 + 3 + 2 and b as many; of b's slice 2 three, and
    // of a's slices 1 to 3 eight; without a's slice 1 five.
    let needs = Needs::new(&graph, &[2]);
    assert_eq!([needs.work.window, needs.work.needed, needs.work.new], [40.0, 22.0, 16.0]);

    let mut holdings = Holdings::new(&graph);
    let of = |jobs: &[super::Job]| [jobs[1].times.clone(), jobs[2].times.clone()];
    assert_eq!(of(&holdings.plan(&graph, &needs, 0)), [vec![1, 2, 3], vec![2]]);
    assert_eq!(of(&holdings.plan(&graph, &needs, 1)), [vec![2, 3], vec![2]]);
    assert_eq!(of(&holdings.plan(&graph, &needs, 2)), [vec![2, 3], vec![2]]);
    // A window further on finds nothing.
    assert_eq!(of(&holdings.plan(&graph, &needs, 7)), [vec![1, 2, 3], vec![2]]);
    holdings.clear();
    assert_eq!(of(&holdings.plan(&graph, &needs, 8)), [vec![1, 2, 3], vec![2]]);
    assert_eq!(Holdings::most(&graph, &needs), [4, 3, 1]);
}

#[test]
fn strides_share_with_windows_further_away() {
    // a0 sees padding; a1, a2, a3 begin at frames 1, 3, 5: each is what the next was two frames before.
    let network = frozen(clip(8).and_then(|p| p.conv("a", "x", conv(3, 2))?.conv("b", "a", conv(3, 1))));
    let graph = Graph::new(&[network]).unwrap();
    let origins: Vec<_> = graph.nodes[1].labels.iter().map(|label| label.origin.unwrap()).collect();
    assert_eq!(origins, [0, 1, 3, 5]);
    let sliding = Asked::sliding(&graph, &[2]);
    assert_eq!(marked(&sliding.asked)[1], [1, 2, 3]);
    assert_eq!(marked(&sliding.computed)[1], [3]);
    let needs = Needs::new(&graph, &[2]);
    let mut holdings = Holdings::new(&graph);
    let times: Vec<_> = (0..5).map(|w| holdings.plan(&graph, &needs, w)[1].times.clone()).collect();
    // The first two windows have no other two frames before them.
    assert_eq!(times, [vec![1, 2, 3], vec![1, 2, 3], vec![3], vec![3], vec![3]]);
    // Of two phases, three slices in this window and two kept for the next.
    assert_eq!(Holdings::most(&graph, &needs)[1], 5);
}

#[test]
fn all_operations_read_what_they_should() {
    let plan = clip(8).and_then(|p| {
        p.max_pool("pool", "x", [2, 1, 1], [2, 1, 1])?
            .upsample("up", "pool", [2, 1, 1])?
            .sample("sample", "up", 3)?
            .conv("back", "sample", Conv::transposed(1, 1, [3, 1, 1], [2, 1, 1], [1, 0, 0]))?
            .sample("every", "x", 2)?
            .conv("few", "every", conv(1, 1).padding([0, 0, 0]))?
            .concat("join", &["pool", "few"])
    });
    let graph = Graph::new(&[frozen(plan)]).unwrap();
    let slices = |node: usize, t: usize| -> Vec<[usize; 3]> {
        graph.nodes[node].reads[t].iter().map(|read| [read.tap, read.node, read.t]).collect()
    };
    assert_eq!(slices(1, 3), [[0, 0, 6], [1, 0, 7]]);
    assert_eq!(slices(2, 5), [[0, 1, 2]]);
    assert_eq!(slices(3, 2), [[0, 2, 6]]);
    // out[2 i + k − 1] += w[k] · in[i]
    assert_eq!(slices(4, 0), [[1, 3, 0]]);
    assert_eq!(slices(4, 3), [[2, 3, 1], [0, 3, 2]]);
    assert_eq!(slices(4, 5), [[2, 3, 2]]);
    assert_eq!(slices(5, 3), [[0, 0, 6]]);
    assert_eq!(slices(7, 1), [[0, 1, 1], [1, 6, 1]]);
    // Upsampling repeats slices, which are computed once.
    let up = &graph.nodes[2].labels;
    assert_eq!(up[4], up[5]);
    assert_eq!(up[6], up[4].shifted(2));
}
