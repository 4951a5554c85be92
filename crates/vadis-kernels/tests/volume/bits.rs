//! Results do not depend on the batch, the number of threads or what memory held before.

use vadis_kernels::Isa;
use vadis_kernels::volume::{Forward, Gradients, Network, Options, Plan, Scratch, Workspace};

use crate::plans;
use crate::reference::{noise, size};

fn step(network: &Network, batch: usize, workspace: &mut Workspace) -> (Forward, Gradients) {
    let plan = network.plan();
    let parameter = noise(plan.parameter_count(), 1);
    let x = noise(batch * size(plan.input()), 2);
    let forward = network.forward_train(&parameter, &x, batch, workspace).unwrap();
    let gradients = network.backward(&parameter, workspace, &forward.output, true).unwrap();
    (forward, gradients)
}

fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[test]
fn training_has_the_same_bits_for_any_number_of_threads_and_any_workspace() {
    for plan in
        [plans::itae(3, 32).unwrap(), plans::cae(24).unwrap(), plans::coupling(8, 40, [7, 13]).unwrap()]
    {
        let network = Network::new(&plan, Options::default());
        let one = on(1, || step(&network, 2, &mut Workspace::new()));
        assert_eq!(one, on(3, || step(&network, 2, &mut Workspace::new())));
        let mut used = Workspace::new();
        let other = plans::ae3d(32).unwrap();
        step(&Network::new(&other, Options::default()), 1, &mut used);
        step(&network, 3, &mut used);
        assert_eq!(one, step(&network, 2, &mut used));
    }
}

fn frozen_outputs(plan: &Plan, isa: Option<Isa>, x: &[f32], batch: usize) -> Vec<f32> {
    let network = Network::new(plan, Options { isa, ..Options::default() });
    let parameter = noise(plan.parameter_count(), 1);
    let output = &plan.nodes()[plan.output_node()].name;
    let frozen = network.freeze(&parameter, &plan.initial_buffers(), &[output]).unwrap();
    let mut scratch = Scratch::new();
    let clips = x.chunks(batch * size(plan.input()));
    clips.flat_map(|x| frozen.run(x, x.len() / size(plan.input()), &mut scratch).unwrap().remove(0)).collect()
}

#[test]
fn a_clip_has_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    for plan in [plans::itae(1, 32).unwrap(), plans::ae3d(24).unwrap(), plans::cae(40).unwrap()] {
        let x = noise(5 * size(plan.input()), 3);
        for isa in Isa::available() {
            let together = on(1, || frozen_outputs(&plan, Some(isa), &x, 5));
            assert_eq!(together, on(2, || frozen_outputs(&plan, Some(isa), &x, 1)), "{isa:?}");
            assert_eq!(together, on(5, || frozen_outputs(&plan, Some(isa), &x, 2)), "{isa:?}");
        }
    }
}
