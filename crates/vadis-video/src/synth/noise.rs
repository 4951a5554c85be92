//! Hash-based value noise for textures and slow processes: no state, the same on every machine.

/// A well-mixed 32-bit hash of two lattice coordinates and a seed.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32)
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add((y as u32).wrapping_mul(0x85EB_CA77))
        .wrapping_add(seed.wrapping_mul(0xC2B2_AE3D));
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// Uniform in `[0, 1)` at a lattice point.
pub(super) fn unit(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1 << 24) as f32
}

/// Smooth value noise in `[0, 1)` with features of size 1.
pub(super) fn value(x: f32, y: f32, seed: u32) -> f32 {
    let (xi, yi) = (x.floor(), y.floor());
    let (fx, fy) = (fade(x - xi), fade(y - yi));
    let (xi, yi) = (xi as i32, yi as i32);
    let top = lerp(unit(xi, yi, seed), unit(xi + 1, yi, seed), fx);
    let bottom = lerp(unit(xi, yi + 1, seed), unit(xi + 1, yi + 1, seed), fx);
    lerp(top, bottom, fy)
}

/// Three octaves of [`value`], in `[0, 1)`.
pub(super) fn fractal(x: f32, y: f32, seed: u32) -> f32 {
    let octave = |k: u32, gain: f32| {
        let scale = (1 << k) as f32;
        gain * value(x * scale, y * scale, seed.wrapping_add(k))
    };
    (octave(0, 4.0) + octave(1, 2.0) + octave(2, 1.0)) / 7.0
}

/// Smooth noise over time in `[0, 1)` with features of `period` seconds.
pub(super) fn drift(time_s: f64, period: f64, seed: u32) -> f32 {
    let t = time_s / period;
    // The lattice index is taken in f64, so that a day of video drifts as finely as a minute.
    let cell = t.floor();
    let f = fade((t - cell) as f32);
    let cell = cell.rem_euclid(f64::from(i32::MAX)) as i32;
    lerp(unit(cell, 0, seed), unit(cell.wrapping_add(1), 0, seed), f)
}

/// Hermite step from 0 below `low` to 1 above `high`.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    fade(((x - low) / (high - low)).clamp(0.0, 1.0))
}

pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}
