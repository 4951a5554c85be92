//! The systems' networks: shapes, parameter counts and names.

use vadis_kernels::Activation;
use vadis_kernels::volume::{Conv, Plan, PlanError, Reason};

const LEAKY: Activation = Activation::LeakyRelu(0.2);

fn same(cin: usize, cout: usize, kernel: [usize; 3], stride: [usize; 3], norm: &str) -> Conv {
    Conv::new(cin, cout, kernel, stride).norm(norm).activation(LEAKY)
}

fn double(cin: usize, cout: usize, norm: &str) -> Conv {
    Conv::transposed(cin, cout, [3; 3], [2; 3], [1; 3]).norm(norm).activation(LEAKY)
}

/// MemAE's 3-D autoencoder without its memory.
pub(crate) fn ae3d(side: usize) -> Result<Plan, PlanError> {
    Plan::new("clip", [3, 16, side, side])?
        .conv("encoder.0", "clip", same(3, 96, [3; 3], [1, 2, 2], "encoder.1"))?
        .conv("encoder.3", "encoder.0", same(96, 128, [3; 3], [2; 3], "encoder.4"))?
        .conv("encoder.6", "encoder.3", same(128, 256, [3; 3], [2; 3], "encoder.7"))?
        .conv("encoder.9", "encoder.6", same(256, 256, [3; 3], [2; 3], "encoder.10"))?
        .conv("decoder.0", "encoder.9", double(256, 256, "decoder.1"))?
        .conv("decoder.3", "decoder.0", double(256, 128, "decoder.4"))?
        .conv("decoder.6", "decoder.3", double(128, 96, "decoder.7"))?
        .conv(
            "decoder.9",
            "decoder.6",
            Conv::transposed(96, 3, [3; 3], [1, 2, 2], [0, 1, 1]).activation(Activation::Tanh),
        )
}

fn static_path(plan: Plan, after_conv1: usize) -> Result<Plan, PlanError> {
    let input = if after_conv1 == 96 { "static.conv1" } else { "joined" };
    plan.conv("static.conv2", input, same(after_conv1, 128, [1, 3, 3], [1, 2, 2], "static.bn2"))?
        .conv("static.conv3", "static.conv2", same(128, 256, [3; 3], [1; 3], "static.bn3"))?
        .conv("static.conv4", "static.conv3", same(256, 256, [3; 3], [1; 3], "static.bn4"))
}

fn decoder(plan: Plan, input: &str, features: usize, channels: usize) -> Result<Plan, PlanError> {
    let first = Conv::transposed(features, 256, [3; 3], [1; 3], [0; 3]).norm("bn1").activation(LEAKY);
    plan.conv("deconv1", input, first)?
        .conv("deconv2", "deconv1", double(256, 128, "bn2"))?
        .conv("deconv3", "deconv2", double(128, 96, "bn3"))?
        .conv(
            "deconv4",
            "deconv3",
            Conv::transposed(96, channels, [3; 3], [1; 3], [0; 3]).activation(Activation::Tanh),
        )
}

/// ITAE's static path alone.
pub(crate) fn one_path(channels: usize, side: usize) -> Result<Plan, PlanError> {
    let plan = Plan::new("clip", [channels, 16, side, side])?.sample("slow", "clip", 4)?;
    let plan = plan.conv("static.conv1", "slow", same(channels, 96, [1, 3, 3], [1, 2, 2], "static.bn1"))?;
    decoder(static_path(plan, 96)?, "static.conv4", 256, channels)
}

/// ITAE with both paths.
pub(crate) fn itae(channels: usize, side: usize) -> Result<Plan, PlanError> {
    let plan = Plan::new("clip", [channels, 16, side, side])?
        .conv("dynamic.conv1", "clip", same(channels, 12, [5, 3, 3], [1, 2, 2], "dynamic.bn1"))?
        .conv("lateral", "dynamic.conv1", Conv::new(12, 96, [5, 1, 1], [4, 1, 1]))?
        .conv("dynamic.conv2", "dynamic.conv1", same(12, 16, [3; 3], [1, 2, 2], "dynamic.bn2"))?
        .conv("dynamic.conv3", "dynamic.conv2", same(16, 32, [3; 3], [1; 3], "dynamic.bn3"))?
        .conv("dynamic.conv4", "dynamic.conv3", same(32, 32, [3; 3], [1; 3], "dynamic.bn4"))?
        .conv("fusion", "dynamic.conv4", Conv::new(32, 256, [5, 1, 1], [4, 1, 1]))?
        .sample("slow", "clip", 4)?
        .conv("static.conv1", "slow", same(channels, 96, [1, 3, 3], [1, 2, 2], "static.bn1"))?
        .concat("joined", &["static.conv1", "lateral"])?;
    let plan = static_path(plan, 192)?.concat("features", &["static.conv4", "fusion"])?;
    decoder(plan, "features", 512, channels)
}

/// Paper 004's autoencoder of single grey frames.
pub(crate) fn cae(side: usize) -> Result<Plan, PlanError> {
    let conv = |cin, cout| Conv::new(cin, cout, [1, 3, 3], [1; 3]).activation(Activation::Relu);
    let two = [1, 2, 2];
    Plan::new("frame", [1, 1, side, side])?
        .conv("c1", "frame", conv(1, 32))?
        .max_pool("p1", "c1", two, two)?
        .conv("c2", "p1", conv(32, 64))?
        .max_pool("p2", "c2", two, two)?
        .conv("c3", "p2", conv(64, 128))?
        .max_pool("p3", "c3", two, two)?
        .conv("c4", "p3", conv(128, 128))?
        .upsample("u1", "c4", two)?
        .conv("c5", "u1", conv(128, 64))?
        .upsample("u2", "c5", two)?
        .conv("c6", "u2", conv(64, 32))?
        .upsample("u3", "c6", two)?
        .conv("c7", "u3", Conv { activation: Activation::Sigmoid, ..conv(32, 1) })
}

/// The net of a coupling step of Glow as paper 003 has it, for `channels` channels of a squeezed map.
pub(crate) fn coupling(channels: usize, hidden: usize, size: [usize; 2]) -> Result<Plan, PlanError> {
    let [h, w] = size;
    let plane = |cin, cout, kernel: usize| Conv::new(cin, cout, [1, kernel, kernel], [1; 3]);
    let layer = |cin, kernel| plane(cin, hidden, kernel).without_bias().activation(Activation::Relu);
    Plan::new("half", [channels / 2, 1, h, w])?
        .conv("conv1", "half", layer(channels / 2, 3))?
        .conv("conv2", "conv1", layer(hidden, 1))?
        .conv("conv3", "conv2", plane(hidden, channels, 3))
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |plan: Result<Plan, PlanError>| plan.unwrap().parameter_count();
    assert_eq!(count(ae3d(256)), 5_991_171);
    assert_eq!(count(itae(3, 256)), 7_740_491);
    assert_eq!(count(one_path(3, 256)), 5_764_803);
    assert_eq!(count(itae(1, 256)), 7_732_497);
    assert_eq!(count(one_path(1, 256)), 5_757_889);
    assert_eq!(count(cae(200)), 332_801);
}

#[test]
fn shapes_and_work_are_those_of_the_papers() {
    let (ae3d, itae, cae) = (ae3d(256).unwrap(), itae(3, 256).unwrap(), cae(200).unwrap());
    assert_eq!(ae3d.output(), [3, 16, 256, 256]);
    assert_eq!(ae3d.nodes()[4].shape, [256, 2, 16, 16]);
    assert_eq!((ae3d.flops() / 1e9).round(), 70.0);
    assert_eq!(itae.output(), [3, 16, 256, 256]);
    assert_eq!(itae.nodes()[itae.find("features").unwrap()].shape, [512, 4, 64, 64]);
    assert_eq!((itae.flops() / 1e9).round(), 352.0);
    assert_eq!(cae.output(), [1, 1, 200, 200]);
    assert_eq!((cae.flops() / 1e8).round(), 17.0);
}

#[test]
fn names_and_shapes_are_pytorchs() {
    let plan = ae3d(32).unwrap();
    let views: Vec<(&str, &[usize])> =
        plan.parameters().iter().map(|view| (view.name.as_str(), &view.shape[..])).collect();
    assert_eq!(views[0], ("encoder.0.weight", &[96, 3, 3, 3, 3][..]));
    assert_eq!(views[1], ("encoder.0.bias", &[96][..]));
    assert_eq!(views[2], ("encoder.1.weight", &[96][..]));
    assert_eq!(views[3], ("encoder.1.bias", &[96][..]));
    assert_eq!(views.last().unwrap(), &("decoder.9.bias", &[3][..]));
    assert_eq!(views[views.len() - 2], ("decoder.9.weight", &[96, 3, 3, 3, 3][..]));
    assert_eq!(plan.buffers()[1].name, "encoder.1.running_var");
    let mut buffers = plan.initial_buffers();
    assert_eq!((buffers[0], buffers[96]), (0.0, 1.0));
    Plan::update_buffers(&mut buffers, &vec![3.0; plan.buffer_count()]);
    assert_eq!((buffers[0], buffers[96]), (0.3, 1.2));
}

#[test]
fn what_does_not_fit_names_node_axis_and_sizes() {
    let plan = || Plan::new("x", [3, 2, 4, 5]).unwrap();
    let error = plan().conv("c", "x", Conv::new(4, 8, [3; 3], [1; 3])).unwrap_err();
    assert_eq!(error.to_string(), "node `c`: channels: expected 3 input channels, got 4");
    let error = plan().conv("c", "x", Conv::new(3, 8, [5, 3, 3], [1; 3]).padding([1, 1, 1])).unwrap_err();
    assert_eq!(error.to_string(), "node `c`: time: a window of 5 does not fit an input of 4");
    let error = plan().conv("c", "x", Conv::new(3, 8, [3, 6, 3], [1; 3])).unwrap_err();
    assert_eq!(error.to_string(), "node `c`: height: expected a kernel of 1 to 5, got 6");
    let error = plan().max_pool("p", "x", [1, 2, 6], [1, 2, 2]).unwrap_err();
    assert_eq!(error.to_string(), "node `p`: width: a window of 6 does not fit an input of 5");
    let half = plan().max_pool("p", "x", [1, 2, 1], [1, 2, 1]).unwrap();
    let error = half.concat("j", &["x", "p"]).unwrap_err();
    assert_eq!(error.to_string(), "node `j`: height: expected 4 as in `x`, got 2 in `p`");
    let error = plan().conv("x", "x", Conv::new(3, 8, [3; 3], [1; 3])).unwrap_err();
    assert_eq!(error.reason, Reason::DuplicateName { name: "x".to_owned() });
    assert!(plan().upsample("u", "y", [1, 2, 2]).is_err());
    assert!(plan().conv("c", "x", Conv::transposed(3, 1, [1; 3], [2; 3], [2; 3])).is_err());
    assert!(plan().conv("c", "x", Conv::new(3, usize::MAX, [1; 3], [1; 3])).is_err());
    assert!(plan().conv("c", "x", Conv::new(3, 1, [1; 3], [0; 3])).is_err());
    assert!(plan().sample("s", "x", 0).is_err());
    assert!(plan().concat("j", &[]).is_err());
    assert!(Plan::new("x", [1, 0, 1, 1]).is_err());
    assert!(Plan::new("x", [usize::MAX; 4]).is_err());
}
