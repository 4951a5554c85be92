//! Results do not depend on the batch, the number of threads or what a workspace held before.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use vadis_kernels::{Activation, Gradients, Isa, Layer, Network, Plan, Workspace};

fn autoencoder(c: usize, h: usize, w: usize) -> Plan {
    let sizes = |n: usize| [n, n.div_ceil(2), n.div_ceil(4), n.div_ceil(8)];
    let (hs, ws) = (sizes(h), sizes(w));
    let features = 64 * hs[3] * ws[3];
    let extra = |i: usize| [1 - hs[i] % 2, 1 - ws[i] % 2];
    let relu = Activation::Relu;
    Plan::new([c, h, w])
        .and_then(|p| p.layer("c1", Layer::conv2d(c, 16, 3, 2, relu)))
        .and_then(|p| p.layer("c2", Layer::conv2d(16, 32, 3, 2, relu)))
        .and_then(|p| p.layer("c3", Layer::conv2d(32, 64, 3, 2, relu)))
        .and_then(|p| p.layer("e", Layer::linear(features, 40, Activation::None)))
        .and_then(|p| p.layer("d", Layer::linear(40, features, relu)))
        .and_then(|p| p.layer("s", Layer::Reshape { shape: [64, hs[3], ws[3]] }))
        .and_then(|p| p.layer("t1", Layer::conv_transpose2d(64, 32, 3, 2, extra(2), relu)))
        .and_then(|p| p.layer("t2", Layer::conv_transpose2d(32, 16, 3, 2, extra(1), relu)))
        .and_then(|p| p.layer("t3", Layer::conv_transpose2d(16, c, 3, 2, extra(0), Activation::Sigmoid)))
        .unwrap()
}

fn noise(len: usize) -> Vec<f32> {
    let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
    (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 25) as f32 - 0.25).collect()
}

fn step(network: &Network, plan: &Plan, batch: usize, workspace: &mut Workspace) -> (Vec<f32>, Gradients) {
    let parameter = noise(plan.parameter_count());
    let x = noise(batch * plan.input().iter().product::<usize>());
    let y = network.forward(&parameter, &x, batch, workspace).unwrap();
    let gradients = network.backward(&parameter, workspace, &y, &y, true).unwrap();
    (y, gradients)
}

#[test]
fn training_has_the_same_bits_for_any_number_of_threads_and_any_workspace() {
    let plan = autoencoder(3, 21, 30);
    let network = Network::new(&plan);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step(&network, &plan, 37, &mut Workspace::new()))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
    let mut used = Workspace::new();
    let other = autoencoder(1, 16, 40);
    step(&Network::new(&other), &other, 5, &mut used);
    step(&network, &plan, 70, &mut used);
    assert_eq!(one, step(&network, &plan, 37, &mut used));
}

#[test]
fn an_image_has_the_same_bits_in_any_batch_and_on_any_instruction_set_with_fused_arithmetic() {
    let plan = autoencoder(1, 24, 17);
    let parameter = noise(plan.parameter_count());
    let image: usize = plan.input().iter().product();
    let x = noise(150 * image);
    let sets = Isa::available();
    let fused = sets.iter().filter(|&&isa| isa != Isa::Portable || cfg!(target_arch = "aarch64"));
    let mut first: Option<Vec<f32>> = None;
    for &isa in fused {
        let frozen = Network::with_isa(&plan, isa).freeze(&parameter).unwrap();
        let all = frozen.run(&x, 150).unwrap();
        // Tiles round otherwise than vectors.
        if isa.vectors() == isa {
            assert!(*first.get_or_insert_with(|| all.clone()) == all, "{isa:?}");
        }
        let alone: Vec<f32> = x.chunks(image).flat_map(|x| frozen.run(x, 1).unwrap()).collect();
        assert_eq!(all, alone);
        let sevens: Vec<f32> =
            x.chunks(7 * image).flat_map(|x| frozen.run(x, x.len() / image).unwrap()).collect();
        assert_eq!(all, sevens);
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let plan = autoencoder(1, 16, 16);
    let network = Network::new(&plan);
    let error = network.forward(&[0.0], &[], 0, &mut Workspace::new()).unwrap_err();
    assert_eq!((error.expected, error.got), (plan.parameter_count(), 1));
    let parameter = noise(plan.parameter_count());
    assert!(network.forward(&parameter, &[0.0; 255], 1, &mut Workspace::new()).is_err());
    assert!(network.backward(&parameter, &Workspace::new(), &[0.0], &[0.0], true).is_err());
    assert!(network.freeze(&parameter[1..]).is_err());
    assert_eq!(network.freeze(&parameter).unwrap().run(&[], 0).unwrap(), Vec::<f32>::new());
}
