//! Flow as colours: the wheel of Baker et al., *A Database and Evaluation Methodology for Optical Flow* (IJCV 2011).

use std::sync::LazyLock;

use super::FlowField;

/// Steps from each pure colour to the next, more of them where the eye tells more apart, from red by yellow, green,
/// cyan, blue and magenta back to red.
const STEPS: [usize; 6] = [15, 6, 4, 11, 13, 6];
/// Colours of the wheel.
const COLOURS: usize = 55;
/// How bright a motion beyond the limit is.
const BEYOND: f64 = 0.75;

static WHEEL: LazyLock<[[f64; 3]; COLOURS]> = LazyLock::new(wheel);

/// The colours around the wheel, in [0, 1].
fn wheel() -> [[f64; 3]; COLOURS] {
    let mut colours = [[0.0; 3]; COLOURS];
    let steps = STEPS.iter().enumerate().flat_map(|(arc, &steps)| (0..steps).map(move |i| (arc, i, steps)));
    for (colour, (arc, i, steps)) in colours.iter_mut().zip(steps) {
        let part = (255 * i / steps) as f64 / 255.0;
        // An even arc adds the next primary to the last one, an odd one takes the last one away.
        let (last, next) = (arc / 2, (arc / 2 + 1) % 3);
        (colour[last], colour[next]) = if arc % 2 == 0 { (1.0, part) } else { (1.0 - part, 1.0) };
    }
    colours
}

impl FlowField {
    /// The flow as `[height, width, 3]` RGB bytes: the hue is its direction (red to the right, yellow down, blue
    /// up, cyan left), white is no motion, full colour a motion of `limit` pixels a frame, and darker
    /// what is faster yet.
    ///
    /// With a limit that is not above 0 all that moves is beyond it; where the flow is not finite, the colour is black.
    pub fn to_rgb(&self, limit: f32) -> Vec<u8> {
        self.u.iter().zip(&self.v).flat_map(|(&u, &v)| colour(u, v, limit)).collect()
    }

    /// The longest motion, in pixels a frame: a limit that shows all of it.
    pub fn largest(&self) -> f32 {
        self.u.iter().zip(&self.v).map(|(u, v)| u.hypot(*v)).fold(0.0, f32::max)
    }
}

fn colour(u: f32, v: f32, limit: f32) -> [u8; 3] {
    let (u, v) = (f64::from(u), f64::from(v));
    let length = u.hypot(v);
    if !length.is_finite() {
        return [0; 3];
    }
    let radius = if length == 0.0 { 0.0 } else { length / f64::from(limit.max(0.0)) };
    let around = ((-v).atan2(-u) / std::f64::consts::PI + 1.0) / 2.0 * (COLOURS - 1) as f64;
    let (first, part) = (around.floor() as usize % COLOURS, around.fract());
    let (first, second) = (WHEEL[first], WHEEL[(first + 1) % COLOURS]);
    std::array::from_fn(|channel| {
        let full = (1.0 - part) * first[channel] + part * second[channel];
        let shade = if radius <= 1.0 { 1.0 - radius * (1.0 - full) } else { full * BEYOND };
        (255.0 * shade).floor() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(u: f32, v: f32, limit: f32) -> [u8; 3] {
        let field = FlowField { width: 1, height: 1, u: vec![u], v: vec![v] };
        field.to_rgb(limit).try_into().unwrap()
    }

    /// Made by `tests/scripts/wheel.py`.
    const FLOW_VIS: [([f32; 2], [u8; 3]); 10] = [
        ([1.00, 0.00], [255, 0, 0]),
        ([0.00, 1.00], [255, 229, 0]),
        ([-1.00, 0.00], [0, 209, 255]),
        ([0.00, -1.00], [88, 0, 255]),
        ([0.50, 0.50], [255, 155, 74]),
        ([-0.30, 0.60], [184, 255, 83]),
        ([-0.70, -0.20], [69, 181, 255]),
        ([0.10, -0.05], [255, 226, 250]),
        ([1.50, 0.50], [191, 35, 0]),
        ([-2.00, 1.20], [0, 191, 64]),
    ];

    #[test]
    fn colours_are_those_of_flow_vis() {
        for ([u, v], expected) in FLOW_VIS {
            let ours = rgb(u, v, 1.0);
            assert!(ours.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "({u}, {v}): {ours:?}");
        }
    }

    #[test]
    fn only_the_length_by_the_limit_counts() {
        assert_eq!(rgb(3.0, -1.5, 6.0), rgb(0.5, -0.25, 1.0));
        assert_eq!(rgb(0.0, 0.0, 0.0), [255; 3]);
        assert_eq!(rgb(f32::NAN, 0.0, 1.0), [0; 3]);
        assert_eq!(rgb(1e-3, 0.0, 0.0), rgb(2.0, 0.0, 1.0));
    }

    #[test]
    fn the_largest_motion_is_the_longest_vector() {
        let field = FlowField { width: 2, height: 1, u: vec![3.0, -1.0], v: vec![-4.0, 1.0] };
        assert_eq!(field.largest(), 5.0);
    }
}
