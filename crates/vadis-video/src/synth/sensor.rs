//! From linear light to bytes: shake, lens, exposure, tone curve and noise.

use glam::{Vec2, Vec3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::canvas::Canvas;
use super::street::LUMA;
use crate::Colour;

/// Side of the repeating noise field in pixels; each frame starts at a random place of it.
const FIELD: usize = 512;
/// Entries of the tone table, over linear light 0 to [`WHITE`].
const TONES: usize = 4096;
/// Linear light at which the tone curve ends.
const WHITE: f32 = 4.0;
/// Mean linear light that the automatic exposure aims at.
const TARGET: f32 = 0.21;
/// Seconds the exposure takes to follow.
const FOLLOW_S: f32 = 2.5;

/// Sensor settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Optics {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pad: usize,
    pub(super) colour: Colour,
    /// Grey levels.
    pub(super) noise: f32,
    /// Pixels.
    pub(super) jitter: f32,
    /// Share of light lost in the corners.
    pub(super) vignette: f32,
    /// How much of a change in light the exposure makes up for, in `[0, 1]`.
    pub(super) exposure: f32,
    pub(super) fps: f64,
}

/// The state of the camera.
#[derive(Debug, Clone)]
pub(super) struct Sensor {
    optics: Optics,
    rng: ChaCha8Rng,
    /// Spatially correlated normal noise of unit variance, rows lengthened so that a frame's row never wraps.
    field: Vec<f32>,
    field_stride: usize,
    /// Column and row of the field where the current frame's noise starts.
    field_from: (usize, usize),
    vignette: Vec<f32>,
    tones: Vec<f32>,
    shake: Vec2,
    log_gain: Option<f32>,
    blurred: Vec<Vec3>,
}

/// Where the frame lay on the canvas, in whole pixels: the shift that masks follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    pub(super) x: usize,
    pub(super) y: usize,
}

impl Sensor {
    pub(super) fn new(optics: Optics, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let field_stride = FIELD + optics.width;
        let field = noise_field(field_stride, &mut rng);
        Self {
            field,
            field_stride,
            field_from: (0, 0),
            vignette: vignette(&optics),
            tones: (0..=TONES).map(|i| tone(i as f32 / TONES as f32 * WHITE)).collect(),
            shake: Vec2::ZERO,
            log_gain: None,
            blurred: Vec::new(),
            rng,
            optics,
        }
    }

    /// Takes a picture of the canvas.
    pub(super) fn expose(&mut self, canvas: &Canvas) -> (Vec<u8>, Shift) {
        let gain = self.meter(canvas);
        let shift = self.sample(canvas);
        self.field_from = (self.rng.random_range(0..FIELD), self.rng.random_range(0..FIELD));
        let o = self.optics;
        let mut data = vec![0; o.width * o.height * o.colour.channels()];
        // Gain amplifies noise with the signal; photon noise grows with its root only.
        let sigma = o.noise * gain.sqrt().clamp(0.5, 2.0);
        let stride = o.width * o.colour.channels();
        for (y, out) in data.chunks_exact_mut(stride).enumerate() {
            let row = y * o.width..(y + 1) * o.width;
            let light =
                self.blurred[row.clone()].iter().zip(&self.vignette[row]).map(|(p, v)| *p * (gain * v));
            let common = self.noise_row(y, 0);
            match o.colour {
                Colour::Grey => {
                    for ((out, light), n) in out.iter_mut().zip(light).zip(common) {
                        *out = self.quantise(light.dot(LUMA), sigma * n);
                    }
                }
                Colour::Rgb => {
                    let own = [1, 2, 3].map(|channel| self.noise_row(y, channel));
                    for (x, (out, light)) in out.chunks_exact_mut(3).zip(light).enumerate() {
                        let shared = 0.85 * common[x];
                        out[0] = self.quantise(light.x, sigma * (shared + 0.5 * own[0][x]));
                        out[1] = self.quantise(light.y, sigma * (shared + 0.5 * own[1][x]));
                        out[2] = self.quantise(light.z, sigma * (shared + 0.5 * own[2][x]));
                    }
                }
            }
        }
        self.blurred.clear();
        (data, shift)
    }

    /// The tone curve and noise, to a byte. Poisson-Gaussian sensor noise (Foi et al., IEEE TIP 2008) is nearly
    /// independent of the signal after a display gamma, and somewhat stronger in the shadows.
    fn quantise(&self, light: f32, noise: f32) -> u8 {
        let at = (light * (TONES as f32 / WHITE)).clamp(0.0, TONES as f32) as usize;
        let value = self.tones[at];
        (value + noise * (1.25 - 0.0022 * value) + 0.5) as u8
    }

    /// Gain of the automatic exposure, which follows the mean light with a delay.
    fn meter(&mut self, canvas: &Canvas) -> f32 {
        let metered = canvas.pixels.iter().step_by(11);
        let count = metered.len() as f32;
        let mean = metered.map(|p| p.dot(LUMA)).sum::<f32>() / count;
        let neutral = TARGET / NOMINAL_MEAN;
        let wanted = self.optics.exposure * (NOMINAL_MEAN / mean.max(1e-3)).ln() + neutral.ln();
        let follow = 1.0 - (-1.0 / (FOLLOW_S * self.optics.fps as f32)).exp();
        let gain = self.log_gain.map_or(wanted, |g| g + (wanted - g) * follow);
        self.log_gain = Some(gain);
        gain.exp()
    }

    /// Resamples the canvas under this frame's shake with a quadratic B-spline, whose blur (σ = ½ pixel) is the
    /// lens's and does not change with the shift.
    fn sample(&mut self, canvas: &Canvas) -> Shift {
        let o = self.optics;
        let mut normal = || -> f32 { StandardNormal.sample(&mut self.rng) };
        let kick = Vec2::new(normal(), normal()) * (o.jitter * 0.8);
        let limit = Vec2::splat(o.pad as f32 - 1.6);
        self.shake = (self.shake * 0.6 + kick).clamp(-limit, limit);
        let at = self.shake + Vec2::splat(o.pad as f32);
        let whole = at.round();
        let weights = |f: f32| [0.5 * (0.5 - f).powi(2), 0.75 - f * f, 0.5 * (0.5 + f).powi(2)];
        let (wx, wy) = (weights(at.x - whole.x), weights(at.y - whole.y));
        let shift = Shift { x: whole.x as usize, y: whole.y as usize };
        let mut rows = vec![Vec3::ZERO; o.width * (o.height + 2)];
        for (y, out) in rows.chunks_exact_mut(o.width).enumerate() {
            let start = (y + shift.y - 1) * canvas.width + shift.x - 1;
            let source = &canvas.pixels[start..start + o.width + 2];
            for (p, w) in out.iter_mut().zip(source.windows(3)) {
                *p = w[0] * wx[0] + w[1] * wx[1] + w[2] * wx[2];
            }
        }
        let (w, n) = (o.width, o.width * o.height);
        let lines = rows[..n].iter().zip(&rows[w..n + w]).zip(&rows[2 * w..]);
        self.blurred = lines.map(|((&a, &b), &c)| a * wy[0] + b * wy[1] + c * wy[2]).collect();
        shift
    }

    /// A row of this frame's noise: the one all channels share, or a channel's own.
    fn noise_row(&self, y: usize, which: usize) -> &[f32] {
        let row = (y + self.field_from.1 + 131 * which) % FIELD;
        &self.field[row * self.field_stride + self.field_from.0..][..self.optics.width]
    }
}

/// Mean light of the street on an ordinary afternoon.
const NOMINAL_MEAN: f32 = 0.26;

/// Display gamma with a shoulder and a little contrast, in grey levels.
fn tone(light: f32) -> f32 {
    255.0 * (1.0 - (-2.4 * light.powf(1.15)).exp()).powf(1.0 / 2.2)
}

fn vignette(o: &Optics) -> Vec<f32> {
    let centre = Vec2::new(o.width as f32, o.height as f32) / 2.0;
    let corner = centre.length_squared();
    let loss = |x: usize, y: usize| {
        let d = Vec2::new(x as f32 + 0.5, y as f32 + 0.5) - centre;
        1.0 - o.vignette * d.length_squared() / corner
    };
    (0..o.height).flat_map(|y| (0..o.width).map(move |x| (x, y))).map(|(x, y)| loss(x, y)).collect()
}

/// White noise mixed with its own 3 × 3 blur, as demosaicing and a codec leave it.
fn noise_field(stride: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let white: Vec<f32> = (0..FIELD * stride).map(|_| StandardNormal.sample(rng)).collect();
    let at = |y: usize, x: usize| white[(y % FIELD) * stride + x % stride];
    let mix = |y: usize, x: usize| {
        let (up, left) = (y + FIELD - 1, x + stride - 1);
        let edges = at(up, x) + at(y + 1, x) + at(y, left) + at(y, x + 1);
        let corners = at(up, left) + at(up, x + 1) + at(y + 1, left) + at(y + 1, x + 1);
        white[y * stride + x] + 0.45 * edges + 0.2 * corners
    };
    let unit = 1.0 / (1.0f32 + 4.0 * 0.45 * 0.45 + 4.0 * 0.2 * 0.2).sqrt();
    (0..FIELD).flat_map(|y| (0..stride).map(move |x| (y, x))).map(|(y, x)| unit * mix(y, x)).collect()
}
