//! The convolutions against sums written out in 64-bit floats.

use std::io::BufRead;
use std::time::Instant;

use super::*;
use crate::tile::LANES;

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
}

impl Shape {
    fn output(&self) -> [usize; 3] {
        let [t, h, w] = self.size;
        [t + 2 * self.padding + 1 - self.taps, h, w]
    }

    fn plan(&self, size: TileSize, border: [[usize; 2]; 3]) -> Winograd {
        let [cin, cout] = self.channels;
        let input = Blocked::new(cin, self.size, border);
        Winograd::new(input, Blocked::new(cout, self.output(), border), self.taps, self.padding, size)
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
                let [it, iy, ix] = [t + kt, y + ky, x + kx];
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

fn convolve(plan: &Winograd, isa: Isa, batch: usize, x: &[f32], w: &[f32]) -> Vec<f32> {
    let scratch = Scratch::default();
    let mut packed = Aligned::new(plan.packed_len());
    plan.pack(isa, w, &mut packed);
    let input = block(&plan.input, batch, x);
    let mut output = vec![0.0; batch * plan.output.len()];
    plan.forward(
        Pass { isa, scratch: &scratch },
        &input,
        &packed,
        &Epilogue::default(),
        &mut output,
        &mut [],
    );
    unblock(&plan.output, batch, &output)
}

fn weight_gradient(plan: &Winograd, isa: Isa, batch: usize, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let scratch = Scratch::default();
    let mut gradient = vec![f32::NAN; plan.weight_len()];
    let [input, dy] = [block(&plan.input, batch, x), block(&plan.output, batch, dy)];
    plan.weight_gradient(Pass { isa, scratch: &scratch }, &input, &dy, &mut gradient);
    gradient
}

#[test]
fn convolves() {
    for size in [TileSize::Two, TileSize::Four] {
        for isa in Isa::available() {
            for (channels, dims, taps, padding) in [
                ([1, 1], [1, 1, 1], 1, 0),
                ([3, 5], [1, 5, 7], 1, 0),
                ([20, 40], [4, 9, 11], 3, 1),
                ([48, 17], [3, 16, 12], 3, 0),
                ([16, 64], [5, 8, 31], 5, 2),
            ] {
                let shape = Shape { batch: 2, channels, size: dims, taps, padding };
                let case = Case::new(shape);
                let [y, dx, dw] = case.expected();
                let plan = shape.plan(size, [[1, 1]; 3]);
                let got = error(&convolve(&plan, isa, 2, &case.x, &case.w), &y);
                let got_dx = error(&convolve(&plan.input_gradient(), isa, 2, &case.dy, &case.w), &dx);
                let got_dw = error(&weight_gradient(&plan, isa, 2, &case.x, &case.dy), &dw);
                eprintln!("{size:?} {isa:?} {shape:?} {got:.2e} {got_dx:.2e} {got_dw:.2e}");
                assert!(got < 1e-5 && got_dx < 1e-5 && got_dw < 1e-5);
            }
        }
    }
}

/// A server for `tests/scripts/winograd_speed.py`: on each line of the standard input it runs what the
/// line names once, and prints the seconds.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let numbers: Vec<usize> =
        std::env::var("SHAPE").unwrap().split(',').map(|n| n.parse().unwrap()).collect();
    let [batch, cin, cout, t, h, w, taps] = numbers[..] else { panic!("SHAPE has seven numbers") };
    let shape = Shape { batch, channels: [cin, cout], size: [t, h, w], taps, padding: taps / 2 };
    let size =
        if std::env::var("TILE").is_ok_and(|tile| tile == "2") { TileSize::Two } else { TileSize::Four };
    let isa = match std::env::var("ISA").as_deref() {
        Ok(name) => Isa::available().into_iter().find(|isa| format!("{isa:?}") == name).unwrap(),
        Err(_) => Isa::detect(),
    };
    let mut plan = shape.plan(size, [[1, 1]; 3]);
    if let Ok(memory) = std::env::var("MEMORY") {
        let memory: Vec<usize> = memory.split(',').map(|n| n.parse::<usize>().unwrap() << 10).collect();
        plan.memory = Memory { inputs: memory[0], products: memory[1], gradient: memory[2] };
    }
    let backward = plan.input_gradient();
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

#[test]
#[ignore = "micro"]
fn micro() {
    use crate::tile::Run;
    use product::Product;
    let isa = Isa::detect();
    let a = {
        let mut a = Aligned::new(1 << 16);
        a.copy_from_slice(&noise(1 << 16, 1));
        a
    };
    let b = {
        let mut a = Aligned::new(1 << 16);
        a.copy_from_slice(&noise(1 << 16, 2));
        a
    };
    let mut out = Aligned::new(1 << 14);
    for (len, out_row, ao, ahalf) in
        [(64, 48, 0, 0), (96, 48, 0, 0), (96, 256, 0, 0), (192, 256, 0, 0), (768, 256, 0, 0)]
    {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            for _ in 0..2000 {
                vector::dispatch(
                    isa,
                    Product::<1, LANES, { usize::MAX }> {
                        a: &a,
                        b: &b,
                        runs: &[Run { a: ao, b: ahalf, len }],
                        block: usize::MAX,
                        rows: 16,
                        width: 48,
                        out: &mut out,
                        out_row,
                        resume: true,
                        next: &[],
                    },
                );
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        eprintln!(
            "grad len {len} out_row {out_row}: {:.1} GF/s",
            2000.0 * 2.0 * 16.0 * 48.0 * len as f64 / best * 1e-9
        );
    }
    for (len, rows) in [(256, 14), (768, 14), (768, 13), (768, 8)] {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            for _ in 0..2000 {
                vector::dispatch(
                    isa,
                    Product::<LANES, 1, LANES> {
                        a: &a,
                        b: &b,
                        runs: &[Run { a: 0, b: 0, len }],
                        block: rows * 16,
                        rows,
                        width: 32,
                        out: &mut out,
                        out_row: 64,
                        resume: false,
                        next: &[],
                    },
                );
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        eprintln!(
            "forward len {len} rows {rows}: {:.1} GF/s",
            2000.0 * 2.0 * 32.0 * (rows * len) as f64 / best * 1e-9
        );
    }
}
