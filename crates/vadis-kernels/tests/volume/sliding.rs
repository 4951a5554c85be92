//! Windows that slide over a stream, against each window by itself: the same bits.

use proptest::prelude::*;
use vadis_kernels::volume::{
    Conv, Frozen, Network, Operation, Options, Plan, PlanError, RunError, Scratch, SlidingWindow,
};
use vadis_kernels::{Activation, Isa};

use crate::plans;
use crate::reference::{noise, size};

/// A network with weights of the size of a trained one's.
fn frozen(plan: &Plan, options: Options) -> Frozen {
    let mut parameter = noise(plan.parameter_count(), 1);
    for node in plan.nodes() {
        if let Operation::Conv(conv) = &node.operation {
            let gain = (conv.fan_in() as f32).sqrt().recip();
            parameter[node.places.weight.clone()].iter_mut().for_each(|w| *w *= gain);
        }
    }
    let output = &plan.nodes()[plan.output_node()].name;
    Network::new(plan, options).freeze(&parameter, &plan.initial_buffers(), &[output]).unwrap()
}

/// A video's frames, `[C][H][W]` each.
fn video(plan: &Plan, frames: usize, seed: u64) -> Vec<Vec<f32>> {
    let [channels, _, height, width] = plan.input();
    (0..frames as u64).map(|i| noise(channels * height * width, 1000 * seed + i)).collect()
}

/// `[C][T][H][W]` of frames.
fn clip(frames: &[Vec<f32>], channels: usize) -> Vec<f32> {
    let plane = frames[0].len() / channels;
    let planes = |c: usize| frames.iter().flat_map(move |frame| &frame[c * plane..][..plane]);
    (0..channels).flat_map(planes).copied().collect()
}

/// The wanted slices of the window of these frames, by the network as a whole.
fn plain(plan: &Plan, frozen: &Frozen, frames: &[Vec<f32>], wanted: &[usize]) -> Vec<f32> {
    let x = clip(frames, plan.input()[0]);
    let y = frozen.run(&x, 1, &mut Scratch::new()).unwrap().remove(0);
    let [channels, time, height, width] = plan.output();
    let plane = height * width;
    let slice = |t: usize| {
        let y = &y;
        (0..channels).flat_map(move |c| &y[(c * time + t) * plane..][..plane])
    };
    wanted.iter().flat_map(|&t| slice(t)).copied().collect()
}

/// Pushes a video and compares each window.
fn check_video(
    plan: &Plan,
    frozen: &Frozen,
    window: &mut SlidingWindow,
    video: &[Vec<f32>],
    wanted: &[usize],
) {
    let length = plan.input()[1];
    for (i, frame) in video.iter().enumerate() {
        let got = window.push(frame).unwrap();
        let expected =
            (i + 1).checked_sub(length).map(|first| plain(plan, frozen, &video[first..=i], wanted));
        assert!(same_bits(&got, &expected), "frame {i} of {plan:?}");
    }
}

fn same_bits(a: &Option<Vec<f32>>, b: &Option<Vec<f32>>) -> bool {
    let bits = |values: &Option<Vec<f32>>| {
        values.as_ref().map(|values| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    };
    bits(a) == bits(b)
}

fn options() -> Vec<Options> {
    let sets = Isa::available().into_iter().map(Some);
    sets.flat_map(|isa| {
        let exact = Options { isa, exact: true, small_tiles: false };
        [exact, Options { exact: false, ..exact }, Options { exact: false, small_tiles: true, ..exact }]
    })
    .collect()
}

fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

/// Many channels at stride 1: convolutions for which fast ones pay.
fn slow_motion() -> Result<Plan, PlanError> {
    let leaky = Activation::LeakyRelu(0.2);
    let conv = |cin, cout| Conv::new(cin, cout, [3; 3], [1; 3]).activation(leaky);
    Plan::new("x", [3, 6, 12, 16])?
        .conv("a", "x", Conv::new(3, 96, [1, 3, 3], [1; 3]).activation(leaky))?
        .conv("b", "a", conv(96, 96))?
        .conv("c", "b", conv(96, 80))?
        .conv("d", "c", Conv::transposed(80, 96, [3; 3], [1; 3], [0; 3]).activation(leaky))?
        .conv("e", "d", Conv::new(96, 3, [3; 3], [1; 3]).activation(Activation::Tanh))
}

#[test]
fn networks_of_the_systems_over_a_video_with_a_cut() {
    for (plan, wanted) in
        [(plans::ae3d(32), vec![8]), (plans::itae(1, 32), vec![8]), (plans::one_path(3, 32), vec![15, 0])]
    {
        let plan = plan.unwrap();
        let frozen = frozen(&plan, Options::default());
        let mut window = SlidingWindow::new(std::slice::from_ref(&frozen), &wanted).unwrap();
        let bytes = window.bytes();
        check_video(&plan, &frozen, &mut window, &video(&plan, 37, 1), &wanted);
        // What follows a cut knows nothing of what was before it.
        window.reset();
        check_video(&plan, &frozen, &mut window, &video(&plan, 19, 2), &wanted);
        // A video shorter than a window has no window.
        window.reset();
        check_video(&plan, &frozen, &mut window, &video(&plan, 15, 3), &wanted);
        window.reset();
        check_video(&plan, &frozen, &mut window, &video(&plan, 17, 4), &wanted);
        assert_eq!(window.bytes(), bytes, "memory is bounded");
    }
}

#[test]
fn fast_and_exact_convolutions_on_any_instruction_set_and_number_of_threads() {
    for plan in [slow_motion().unwrap(), plans::ae3d(16).unwrap()] {
        let (video, wanted) = (video(&plan, plan.input()[1] + 9, 1), [plan.input()[1] / 2]);
        for options in options() {
            let frozen = frozen(&plan, options);
            for threads in [1, 3] {
                let mut window = SlidingWindow::new(std::slice::from_ref(&frozen), &wanted).unwrap();
                on(threads, || check_video(&plan, &frozen, &mut window, &video, &wanted));
            }
        }
    }
}

#[test]
fn the_network_with_many_channels_has_fast_convolutions() {
    let plan = slow_motion().unwrap();
    let video = video(&plan, 6, 1);
    let of =
        |exact: bool| plain(&plan, &frozen(&plan, Options { exact, ..Options::default() }), &video, &[3]);
    assert_ne!(of(true), of(false));
}

#[test]
fn a_chain_with_something_between() {
    let leaky = Activation::LeakyRelu(0.2);
    let encoder = Plan::new("clip", [2, 8, 12, 10])
        .and_then(|p| p.conv("a", "clip", Conv::new(2, 18, [3; 3], [1, 2, 2]).activation(leaky)))
        .and_then(|p| p.conv("b", "a", Conv::new(18, 20, [3; 3], [2; 3]).activation(leaky)))
        .unwrap();
    let decoder = Plan::new("latent", encoder.output())
        .and_then(|p| p.conv("c", "latent", Conv::transposed(20, 18, [3; 3], [2; 3], [1; 3])))
        .and_then(|p| p.conv("d", "c", Conv::transposed(18, 2, [3; 3], [1, 2, 2], [0, 1, 1])))
        .unwrap();
    let (first, second) = (frozen(&encoder, Options::default()), frozen(&decoder, Options::default()));
    let twist = |z: &[f32]| -> Vec<f32> { z.iter().map(|z| (3.0 * z).sin()).collect() };
    let wanted = [3, 4];
    let mut window = SlidingWindow::new(&[first.clone(), second.clone()], &wanted).unwrap();
    let mut slices = 0;
    let video = video(&encoder, 25, 1);
    for (i, frame) in video.iter().enumerate() {
        let between = |z: Vec<f32>| {
            slices += 1;
            Ok::<_, RunError>(twist(&z))
        };
        let got = window.push_through(frame, between).unwrap();
        let Some(start) = (i + 1).checked_sub(8) else { continue };
        let x = clip(&video[start..=i], 2);
        let z = first.run(&x, 1, &mut Scratch::new()).unwrap().remove(0);
        let y = plain_decoder(&decoder, &second, &twist(&z), &wanted);
        assert!(same_bits(&got, &Some(y)), "frame {i}");
    }
    assert!(slices < 18 * encoder.output()[1], "latents are shared: {slices}");
    // A failure between the two leaves nothing half done.
    let fail = |_: Vec<f32>| Err(RunError::NoForward);
    assert_eq!(window.push_through(&video[0], fail), Err(RunError::NoForward));
    let got: Vec<_> =
        video[..8].iter().map(|frame| window.push_through(frame, |z| Ok::<_, RunError>(twist(&z)))).collect();
    let z = first.run(&clip(&video[..8], 2), 1, &mut Scratch::new()).unwrap().remove(0);
    assert!(got[..7].iter().all(|slice| *slice == Ok(None)));
    assert_eq!(got[7], Ok(Some(plain_decoder(&decoder, &second, &twist(&z), &wanted))));
    let short = window.push_through(&video[0], |z| Ok::<_, RunError>(z[1..].to_vec())).unwrap_err();
    assert!(matches!(short, RunError::Size { .. }));
}

fn plain_decoder(plan: &Plan, frozen: &Frozen, z: &[f32], wanted: &[usize]) -> Vec<f32> {
    let y = frozen.run(z, 1, &mut Scratch::new()).unwrap().remove(0);
    let [channels, time, height, width] = plan.output();
    let plane = height * width;
    let mut slices = Vec::new();
    for t in wanted {
        (0..channels).for_each(|c| slices.extend_from_slice(&y[(c * time + t) * plane..][..plane]));
    }
    slices
}

/// Counted by hand for `kernels.md`: 65.8 GFLOP a window, 41.9 for frame 8, 23.2 with what is shared.
#[test]
fn the_work_of_memaes_network() {
    let plan = plans::ae3d(256).unwrap();
    let frozen = frozen(&plan, Options::default());
    let window = SlidingWindow::new(&[frozen], &[8]).unwrap();
    let work = window.work();
    let giga = |flops: f64| (flops / 1e8).round() / 10.0;
    assert_eq!([giga(work.window), giga(work.needed), giga(work.new)], [65.8, 41.9, 23.2]);
    assert_eq!(window.bytes() >> 20, 170);
    assert_eq!(window.length(), 16);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let plan = plans::ae3d(16).unwrap();
    let network = frozen(&plan, Options::default());
    let new = |networks: &[Frozen], wanted| SlidingWindow::new(networks, wanted).map(drop).unwrap_err();
    assert_eq!(new(std::slice::from_ref(&network), &[8, 16]), RunError::NoSlice { slices: 16, got: 16 });
    assert_eq!(new(&[], &[0]), RunError::Outputs { got: 0 });
    let parameter = vec![0.1; plan.parameter_count()];
    let two = Network::new(&plan, Options::default())
        .freeze(&parameter, &plan.initial_buffers(), &["encoder.9", "decoder.9"])
        .unwrap();
    assert_eq!(new(&[two], &[0]), RunError::Outputs { got: 2 });
    let other = frozen(&plans::ae3d(32).unwrap(), Options::default());
    let error = new(&[network.clone(), other], &[0]);
    assert_eq!(error, RunError::Size { what: "height", expected: 32, got: 16 });
    let mut window = SlidingWindow::new(&[network], &[8]).unwrap();
    let error = window.push(&[0.0; 3]).unwrap_err();
    assert_eq!(error, RunError::Size { what: "frame", expected: 3 * 16 * 16, got: 3 });
}

/// A random network over up to nine frames: each node reads one of the last few.
fn any_plan() -> impl Strategy<Value = Plan> {
    let channels = || prop::sample::select(vec![1usize, 3, 16, 20, 48]);
    let window = ([1..6usize, 1..4, 1..4], [1..4usize, 1..3, 1..3], [0..3usize, 0..2, 0..2]);
    let node = (0..8usize, 0..3usize, channels(), window, any::<[bool; 2]>());
    let input = ([1..4usize, 1..10, 1..9, 1..9]).prop_map(|shape| Plan::new("x", shape).unwrap());
    (input, prop::collection::vec(node, 1..7)).prop_map(|(plan, nodes)| nodes.into_iter().fold(plan, grown))
}

type Drawn = (usize, usize, usize, ([usize; 3], [usize; 3], [usize; 3]), [bool; 2]);

/// The plan with one more node, if it fits.
fn grown(plan: Plan, (kind, back, cout, (kernel, stride, padding), flags): Drawn) -> Plan {
    let count = plan.nodes().len();
    let read = plan.nodes()[count - 1 - back.min(count - 1)].clone();
    let (name, input) = (format!("n{count}"), read.name.as_str());
    let conv = match kind {
        // What fast convolution takes.
        4 => Conv::new(read.shape[0], cout, [kernel[0], 3, 3], [1; 3]),
        _ => Conv::new(read.shape[0], cout, kernel, stride)
            .padding(std::array::from_fn(|axis| padding[axis].min(kernel[axis] - 1))),
    };
    let extra = std::array::from_fn(|axis| usize::from(flags[1]).min(conv.stride[axis] - 1));
    let conv = Conv { transposed: flags[0].then_some(extra), activation: Activation::LeakyRelu(0.2), ..conv };
    let before = plan.clone();
    let grown = match kind {
        0 => plan.max_pool(&name, input, kernel.map(|k| k.min(3)), stride),
        1 => plan.upsample(&name, input, stride),
        2 => {
            let alike = |other: &&vadis_kernels::volume::Node| other.shape[1..] == read.shape[1..];
            let alike: Vec<&str> = before.nodes().iter().filter(alike).map(|n| n.name.as_str()).collect();
            plan.concat(&name, &alike)
        }
        3 => plan.sample(&name, input, stride[0]),
        _ => plan.conv(&name, input, conv),
    };
    grown.ok().filter(|plan| size(plan.output()) <= 40_000 && plan.output()[1] <= 24).unwrap_or(before)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_networks(plan in any_plan(), places in prop::collection::vec(0..24usize, 1..3), exact in any::<bool>()) {
        let frozen = frozen(&plan, Options { exact, ..Options::default() });
        let wanted: Vec<usize> = places.iter().map(|t| t % plan.output()[1]).collect();
        let mut window = SlidingWindow::new(std::slice::from_ref(&frozen), &wanted).unwrap();
        let work = window.work();
        prop_assert!(work.new <= work.needed && work.needed <= work.window);
        let frames = plan.input()[1] + 11;
        check_video(&plan, &frozen, &mut window, &video(&plan, frames, 1), &wanted);
        window.reset();
        check_video(&plan, &frozen, &mut window, &video(&plan, plan.input()[1] + 2, 2), &wanted);
    }
}
