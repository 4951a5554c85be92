//! The convolutions against sums written out in 64-bit floats.

use std::io::BufRead;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::Activation;
use crate::aligned::Aligned;
use crate::tile::LANES;

/// Largest error relative to the largest result, for a sum of a few thousand products.
fn tolerance(size: TileSize) -> f64 {
    match size {
        TileSize::Two => 2e-6,
        TileSize::Four => 1.2e-5,
    }
}

/// Uniform in ±1, from a counter: no two elements alike.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A convolution of `[batch][channels][T][H][W]`.
#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 3],
    taps: usize,
    padding: usize,
    /// In time, and in space.
    stride: [usize; 2],
}

impl Shape {
    fn output(&self) -> [usize; 3] {
        let ([t, h, w], [steps, stride]) = (self.size, self.stride);
        [(t + 2 * self.padding - self.taps) / steps + 1, h.div_ceil(stride), w.div_ceil(stride)]
    }

    fn window(&self) -> Window {
        let [steps, stride] = self.stride;
        Window { kernel: [self.taps, 3, 3], stride: [steps, stride, stride], padding: [self.padding, 1, 1] }
    }

    fn sides(&self, border: [[usize; 2]; 3]) -> [Blocked; 2] {
        let [cin, cout] = self.channels;
        [Blocked::new(cin, self.size, border), Blocked::new(cout, self.output(), border)]
    }

    fn plan(&self, size: TileSize, border: [[usize; 2]; 3]) -> Winograd {
        Winograd::new(&self.window(), false, self.sides(border), size).unwrap()
    }

    /// The input gradient.
    fn adjoint(&self, size: TileSize, border: [[usize; 2]; 3]) -> Winograd {
        let [input, output] = self.sides(border);
        Winograd::new(&self.window(), true, [output, input], size).unwrap()
    }
}

/// Index of `[clip][channel][t][y][x]`.
fn dense(channels: usize, [t, h, w]: [usize; 3], [n, c, i, y, x]: [usize; 5]) -> usize {
    (((n * channels + c) * t + i) * h + y) * w + x
}

/// Calls `f` with the indices of every element of a clip.
fn each([t, h, w]: [usize; 3], mut f: impl FnMut([usize; 3])) {
    for i in 0..t {
        for y in 0..h {
            (0..w).for_each(|x| f([i, y, x]));
        }
    }
}

/// From `[batch][channels][T][H][W]` to blocked clips.
fn block(layout: &Blocked, batch: usize, values: &[f32]) -> Vec<f32> {
    let mut blocked = vec![0.0; batch * layout.len()];
    for n in 0..batch {
        for c in 0..layout.channels {
            each(layout.shape, |[t, y, x]| {
                let at = n * layout.len() + layout.at(c / LANES, [t, y, x].map(|i| i as isize)) + c % LANES;
                blocked[at] = values[dense(layout.channels, layout.shape, [n, c, t, y, x])];
            });
        }
    }
    blocked
}

/// The inverse of [`block`].
fn unblock(layout: &Blocked, batch: usize, blocked: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; batch * layout.channels * layout.shape.iter().product::<usize>()];
    for n in 0..batch {
        for c in 0..layout.channels {
            each(layout.shape, |[t, y, x]| {
                let at = n * layout.len() + layout.at(c / LANES, [t, y, x].map(|i| i as isize)) + c % LANES;
                values[dense(layout.channels, layout.shape, [n, c, t, y, x])] = blocked[at];
            });
        }
    }
    values
}

/// Every product: (input, weight, output).
fn products(shape: &Shape, mut f: impl FnMut(usize, usize, usize)) {
    let [cin, cout] = shape.channels;
    for n in 0..shape.batch {
        each(shape.output(), |[t, y, x]| {
            each([shape.taps, 3, 3], |[kt, ky, kx]| {
                let [steps, stride] = shape.stride;
                let [it, iy, ix] = [steps * t + kt, stride * y + ky, stride * x + kx];
                let inside = it >= shape.padding && it - shape.padding < shape.size[0];
                if !inside || iy < 1 || ix < 1 || iy > shape.size[1] || ix > shape.size[2] {
                    return;
                }
                for o in 0..cout {
                    for c in 0..cin {
                        f(
                            dense(cin, shape.size, [n, c, it - shape.padding, iy - 1, ix - 1]),
                            (((o * cin + c) * shape.taps + kt) * 3 + ky) * 3 + kx,
                            dense(cout, shape.output(), [n, o, t, y, x]),
                        );
                    }
                }
            });
        });
    }
}

/// Largest difference relative to the largest expected value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let difference = found.iter().zip(expected).fold(0.0, |a: f64, (&f, e)| a.max((f64::from(f) - e).abs()));
    if difference == 0.0 { 0.0 } else { difference / largest }
}

/// A convolution with values, and what it runs on.
struct Case {
    shape: Shape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(shape: Shape) -> Self {
        let [cin, cout] = shape.channels;
        let elements =
            |channels: usize, size: [usize; 3]| shape.batch * channels * size.iter().product::<usize>();
        Self {
            shape,
            x: noise(elements(cin, shape.size), 1),
            w: noise(cin * cout * shape.taps * 9, 2),
            dy: noise(elements(cout, shape.output()), 3),
        }
    }

    fn expected(&self) -> [Vec<f64>; 3] {
        let mut y = vec![0.0; self.dy.len()];
        let mut dx = vec![0.0; self.x.len()];
        let mut dw = vec![0.0; self.w.len()];
        products(&self.shape, |i, k, o| {
            let [x, w, dy] = [self.x[i], self.w[k], self.dy[o]].map(f64::from);
            y[o] += x * w;
            dx[i] += dy * w;
            dw[k] += x * dy;
        });
        [y, dx, dw]
    }
}

/// How the work is done: nothing of it may change the result beyond rounding.
#[derive(Clone, Copy, Debug)]
struct Way {
    isa: Isa,
    size: TileSize,
    border: [[usize; 2]; 3],
    memory: Memory,
}

impl Way {
    fn new(isa: Isa, size: TileSize) -> Self {
        Self { isa, size, border: [[1, 1]; 3], memory: Memory::new(0, 0) }
    }

    fn plan(&self, shape: &Shape) -> Winograd {
        Winograd { memory: self.memory, ..shape.plan(self.size, self.border) }
    }

    fn adjoint(&self, shape: &Shape) -> Winograd {
        Winograd { memory: self.memory, ..shape.adjoint(self.size, self.border) }
    }

    fn convolve(&self, plan: &Winograd, batch: usize, x: &[f32], w: &[f32]) -> Vec<f32> {
        let scratch = Scratch::default();
        let mut packed = Aligned::new(plan.packed_len());
        plan.pack(self.isa, w, &mut packed);
        let input = block(&plan.input, batch, x);
        let mut output = vec![0.0; batch * plan.output.len()];
        let pass = Pass { isa: self.isa, scratch: &scratch };
        plan.forward(pass, &input, &packed, &Epilogue::default(), &mut output, &mut []);
        let values = unblock(&plan.output, batch, &output);
        assert_eq!(block(&plan.output, batch, &values), output, "border and unused lanes are zero");
        values
    }

    fn weight_gradient(&self, plan: &Winograd, batch: usize, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let scratch = Scratch::default();
        let mut gradient = vec![f32::NAN; plan.weight_len()];
        let [input, dy] = [block(&plan.input, batch, x), block(&plan.output, batch, dy)];
        plan.weight_gradient(Pass { isa: self.isa, scratch: &scratch }, &input, &dy, &mut gradient);
        gradient
    }

    /// Output, input gradient and, of stride 1, weight gradient.
    fn all(&self, case: &Case) -> Vec<Vec<f32>> {
        let plan = self.plan(&case.shape);
        let batch = case.shape.batch;
        let mut all = vec![
            self.convolve(&plan, batch, &case.x, &case.w),
            self.convolve(&self.adjoint(&case.shape), batch, &case.dy, &case.w),
        ];
        if plan.has_weight_gradient() {
            all.push(self.weight_gradient(&plan, batch, &case.x, &case.dy));
        }
        all
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (1..=5_usize, 0..=4_usize, 1..=2_usize);
    let stride = [1..=3_usize, 1..=2];
    (sizes, [1..=36_usize, 1..=70], [1..=5_usize, 1..=19, 1..=21], stride).prop_map(
        |((taps, padding, batch), channels, [t, h, w], [steps, stride])| {
            // At least one output slice, and taps without a gap.
            let t = t.max((taps).saturating_sub(2 * padding));
            Shape { batch, channels, size: [t, h, w], taps, padding, stride: [steps.min(taps), stride] }
        },
    )
}

fn ways() -> impl Strategy<Value = Way> {
    let memory = [0..12_u32, 0..12, 0..14].prop_map(|bits| {
        let [inputs, products, gradient] = bits.map(|bits| 1 << (bits + 6));
        Memory { inputs, products, gradient }
    });
    let border = [[0..=2_usize, 0..=2], [0..=3, 0..=3], [0..=3, 0..=3]];
    let isa = prop::sample::select(Isa::available());
    let size = prop::sample::select(vec![TileSize::Two, TileSize::Four]);
    (isa, size, border, memory).prop_map(|(isa, size, border, memory)| Way { isa, size, border, memory })
}

fn dot(a: &[f32], b: &[f32]) -> [f64; 2] {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.fold([0.0; 2], |[sum, size], product| [sum + product, size + product.abs()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_passes_equal_sums_written_out(shape in shapes(), way in ways()) {
        let case = Case::new(shape);
        for (found, expected) in way.all(&case).iter().zip(&case.expected()) {
            let error = error(found, expected);
            prop_assert!(error < tolerance(way.size), "{}", error);
        }
    }

    /// <conv(x), dy> = <x, dconv(dy)> = <w, dw>.
    #[test]
    fn gradients_are_adjoint(shape in shapes(), way in ways()) {
        let case = Case::new(shape);
        let all = way.all(&case);
        let [expected, size] = dot(&all[0], &case.dy);
        for (a, b) in all[1..].iter().zip([&case.x, &case.w]) {
            let [found, other] = dot(a, b);
            let bound = tolerance(way.size) * size.max(other);
            prop_assert!((found - expected).abs() <= bound, "{} {}", found, expected);
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_cut_the_batch_or_the_threads(shape in shapes(), way in ways()) {
        let case = Case::new(shape);
        let all = way.all(&case);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        prop_assert_eq!(&one.install(|| way.all(&case)), &all);
        let other = Way { memory: Memory::new(0, 0), border: [[1, 1]; 3], ..way };
        let plan = other.plan(&shape);
        let clip = case.x.len() / shape.batch;
        for (x, y) in case.x.chunks(clip).zip(all[0].chunks(all[0].len() / shape.batch)) {
            prop_assert_eq!(&other.convolve(&plan, 1, x, &case.w), y);
        }
    }
}

/// The precision that the module's documentation states.
#[test]
fn precision_at_256_channels() {
    let cases = [
        ([1, 1], [256, 16], TileSize::Two, 8e-7),
        ([1, 1], [256, 16], TileSize::Four, 3e-6),
        ([1, 2], [256, 16], TileSize::Four, 9e-7),
        ([2, 2], [16, 256], TileSize::Four, 9e-7),
    ];
    for (stride, channels, size, most) in cases {
        let shape = Shape { batch: 1, channels, size: [3, 16, 16], taps: 3, padding: 1, stride };
        let case = Case::new(shape);
        let found = Way::new(Isa::detect(), size).all(&case);
        for (found, expected) in found.iter().zip(&case.expected()) {
            let error = error(found, expected);
            assert!(error < most, "{stride:?} {size:?} {error:.2e}");
        }
    }
}

#[test]
fn the_epilogue_scales_shifts_activates_and_sums() {
    let shape = Shape { batch: 3, channels: [5, 37], size: [2, 9, 6], taps: 3, padding: 1, stride: [1, 1] };
    let case = Case::new(shape);
    let [scale, shift] = [noise(37, 7), noise(37, 8)];
    let [expected, ..] = case.expected();
    let area = shape.output().iter().product::<usize>();
    let affine: Vec<f64> = expected
        .chunks(area)
        .enumerate()
        .flat_map(|(i, plane)| {
            let [scale, shift] = [scale[i % 37], shift[i % 37]].map(f64::from);
            plane.iter().map(move |y| scale * y + shift)
        })
        .collect();
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.2),
        Activation::Tanh,
        Activation::Sigmoid,
    ];
    for activation in activations {
        for isa in Isa::available() {
            let memory = Memory { inputs: 3000, products: 3000, gradient: 0 };
            let plan = Way { memory, ..Way::new(isa, TileSize::Four) }.plan(&shape);
            let mut packed = Aligned::new(plan.packed_len());
            plan.pack(isa, &case.w, &mut packed);
            let epilogue = Epilogue { scale: &scale, shift: &shift, activation };
            let mut output = vec![0.0; 3 * plan.output.len()];
            let mut sums = vec![f64::NAN; plan.sums_len(3)];
            let input = block(&plan.input, 3, &case.x);
            let pass = Pass { isa, scratch: &Scratch::default() };
            plan.forward(pass, &input, &packed, &epilogue, &mut output, &mut sums);

            let found = unblock(&plan.output, 3, &output);
            let activated: Vec<f64> = affine.iter().map(|&y| f64::from(activation.apply(y as f32))).collect();
            assert!(error(&found, &activated) < 1e-5, "{activation:?} {isa:?}");
            assert_eq!(block(&plan.output, 3, &found), output, "unused lanes are zero");
            for (c, sums) in plan.reduce_sums(&sums).into_iter().enumerate() {
                let channel = affine.chunks(area).skip(c).step_by(37).flatten();
                let [sum, squares] = channel.fold([0.0, 0.0], |[s, q], y| [s + y, q + y * y]);
                let count = (3 * area) as f64;
                assert!((sums[0] - sum).abs() < 1e-5 * (count * squares).sqrt());
                assert!((sums[1] - squares).abs() < 1e-5 * squares);
            }
        }
    }
}

#[test]
fn few_channels_are_left_to_direct_sums() {
    let plan = |channels, size| {
        let shape = Shape { batch: 1, channels, size, taps: 3, padding: 1, stride: [1, 1] };
        shape.plan(TileSize::Four, [[1, 1]; 3])
    };
    assert!(plan([256, 256], [4, 64, 64]).is_worth_it(1.0));
    assert!(plan([96, 96], [16, 128, 128]).is_worth_it(1.0));
    assert!(!plan([3, 96], [16, 128, 128]).is_worth_it(1.0));
    assert!(!plan([96, 3], [16, 256, 256]).is_worth_it(1.0));
    assert!(!plan([256, 256], [4, 1, 1]).is_worth_it(1.0));
    assert!(!plan([256, 256], [4, 0, 8]).is_worth_it(1.0));
}

#[test]
fn empty_batches_and_clips() {
    for size in [[1, 4, 4], [0, 4, 4], [2, 0, 4], [2, 4, 0]] {
        for batch in [0, 2] {
            let shape = Shape { batch, channels: [3, 4], size, taps: 1, padding: 0, stride: [1, 1] };
            let case = Case::new(shape);
            let all = Way::new(Isa::detect(), TileSize::Four).all(&case);
            assert_eq!([all[0].len(), all[1].len()], [case.dy.len(), case.x.len()]);
            let empty = batch * size[0] * size[1] * size[2] == 0;
            assert!(!empty || all[2].iter().all(|&w| w == 0.0));
        }
    }
}

#[test]
#[should_panic(expected = "height and width")]
fn sizes_that_differ_are_refused() {
    let layout = |shape| Blocked::new(3, shape, [[0, 0]; 3]);
    let window = Window { kernel: [1, 3, 3], stride: [1; 3], padding: [0, 1, 1] };
    Winograd::new(&window, false, [[1, 4, 4], [1, 4, 5]].map(layout), TileSize::Four);
}

/// A server for `tests/scripts/winograd_speed.py`: on each line of the standard input it runs what the
/// line names once, and prints the seconds.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let numbers: Vec<usize> =
        std::env::var("SHAPE").unwrap().split(',').map(|n| n.parse().unwrap()).collect();
    let [batch, cin, cout, t, h, w, taps, steps, stride] = numbers[..] else {
        panic!("SHAPE has nine numbers")
    };
    let (size, stride) = ([t, h, w], [steps, stride]);
    let shape = Shape { batch, channels: [cin, cout], size, taps, padding: taps / 2, stride };
    let size =
        if std::env::var("TILE").is_ok_and(|tile| tile == "2") { TileSize::Two } else { TileSize::Four };
    let isa = match std::env::var("ISA").as_deref() {
        Ok(name) => Isa::available().into_iter().find(|isa| format!("{isa:?}") == name).unwrap(),
        Err(_) => Isa::detect(),
    };
    let [mut plan, mut backward] = [shape.plan(size, [[1, 1]; 3]), shape.adjoint(size, [[1, 1]; 3])];
    if let Ok(memory) = std::env::var("MEMORY") {
        let memory: Vec<usize> = memory.split(',').map(|n| n.parse::<usize>().unwrap() << 10).collect();
        plan.memory = Memory { inputs: memory[0], products: memory[1], gradient: memory[2] };
        backward.memory = plan.memory;
    }
    let scratch = Scratch::default();
    let pass = Pass { isa, scratch: &scratch };
    let case = Case::new(shape);
    let mut packed = [&plan, &backward].map(|plan| Aligned::new(plan.packed_len()));
    let mut x = Aligned::new(batch * plan.input.len());
    x.copy_from_slice(&block(&plan.input, batch, &case.x));
    let mut y = Aligned::new(batch * plan.output.len());
    y.copy_from_slice(&block(&plan.output, batch, &case.dy));
    let mut out = [&x, &y].map(|x| Aligned::new(x.len()));
    let mut dw = vec![0.0; plan.weight_len()];
    eprintln!("ready {}", plan.direct_operations() * batch as f64);
    for line in std::io::stdin().lock().lines() {
        let [dx, out] = &mut out;
        let start = Instant::now();
        match line.unwrap().as_str() {
            "forward" => plan.forward(pass, &x, &packed[0], &Epilogue::default(), out, &mut []),
            "input" => backward.forward(pass, &y, &packed[1], &Epilogue::default(), dx, &mut []),
            "weight" => plan.weight_gradient(pass, &x, &y, &mut dw),
            "pack" => plan.pack(isa, &case.w, &mut packed[0]),
            other => panic!("unknown request {other}"),
        }
        eprintln!("seconds {}", start.elapsed().as_secs_f64());
    }
}
