//! The heat's colours.

use std::array::from_fn;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use vadis_eval::run::HeatColours;

/// Colour of each heat value, and how much of the picture it covers.
#[derive(Debug)]
pub struct Palette {
    colours: [[u8; 3]; 256],
    opacities: [f32; 256],
}

static EMBER: LazyLock<Palette> = LazyLock::new(|| Palette {
    colours: from_fn(|i| ember(i as f64 / 255.0)),
    opacities: from_fn(|i| above_everyday(i as u8)),
});

static RED_BLUE: LazyLock<Palette> = LazyLock::new(|| Palette {
    colours: from_fn(|i| red_blue(i as f64 / 255.0)),
    opacities: from_fn(|i| 0.4 + 0.4 * i as f32 / 255.0),
});

impl Palette {
    /// The palette of that name.
    pub fn of(colours: HeatColours) -> &'static Self {
        match colours {
            HeatColours::Ember => &EMBER,
            HeatColours::RedBlue => &RED_BLUE,
        }
    }

    /// The sRGB colour of a heat value.
    pub fn colour(&self, value: u8) -> [u8; 3] {
        self.colours[usize::from(value)]
    }

    /// How much of the picture a heat value covers, 0 to 1.
    pub fn opacity(&self, value: u8) -> f32 {
        self.opacities[usize::from(value)]
    }

    /// Colour and opacity as a pixel of a PNG.
    pub(crate) fn rgba(&self, value: u8) -> [u8; 4] {
        let [r, g, b] = self.colour(value);
        [r, g, b, (self.opacity(value) * 255.0).round() as u8]
    }

    /// The heat value of each colour; no two values have the same.
    pub(crate) fn values(&self) -> BTreeMap<[u8; 3], u8> {
        (0..=255).map(|value| (self.colour(value), value)).collect()
    }

    /// The colour map as a CSS gradient from left to right.
    pub(crate) fn css_gradient(&self) -> String {
        let stops: Vec<String> = (0..=16)
            .map(|i| self.colours[(i * 255 + 8) / 16])
            .map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}"))
            .collect();
        format!("linear-gradient(90deg,{})", stops.join(","))
    }
}

/// From near black over violet, red and orange to pale yellow. Built in Oklch (Ottosson 2020), where lightness is even to
/// the eye: it rises linearly from .16 to .95 while the hue turns from 295° to 465° (105°), so equal steps of heat look
/// equally large, and the map reads in grey print too.
fn ember(t: f64) -> [u8; 3] {
    let lightness = 0.16 + 0.79 * t;
    let hue = (295.0 + 170.0 * t).to_radians();
    let chroma = interpolate(&[0.05, 0.15, 0.20, 0.20, 0.185, 0.17, 0.13], t);
    oklch_to_srgb(lightness, chroma, hue)
}

/// From blue (262°) over white to red (27°), both ends equally light and strong, as paper 004 draws its anomaly maps: red
/// where it is anomalous, blue where it is normal.
fn red_blue(t: f64) -> [u8; 3] {
    let from_middle = (2.0 * t - 1.0).abs();
    let hue: f64 = if t < 0.5 { 262.0 } else { 27.0 };
    oklch_to_srgb(0.95 - 0.40 * from_middle, 0.21 * from_middle, hue.to_radians())
}

fn interpolate(knots: &[f64], t: f64) -> f64 {
    let position = t.clamp(0.0, 1.0) * (knots.len() - 1) as f64;
    let left = (position as usize).min(knots.len() - 2);
    let share = position - left as f64;
    knots[left] * (1.0 - share) + knots[left + 1] * share
}

/// Oklch to 8-bit sRGB; colours outside the gamut are clipped.
fn oklch_to_srgb(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
    .map(to_srgb_byte)
}

fn to_srgb_byte(linear: f64) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let encoded = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}

/// Heat up to this covers nothing. A quarter of the scale is what one in a thousand of the usual pixels has, so this is
/// everyday noise, which would only veil the picture.
const EVERYDAY: u8 = 20;

/// Nothing where there is no more heat than every day, most where it is full. The square root lifts faint heat, which
/// would else be lost on a bright picture.
fn above_everyday(value: u8) -> f32 {
    0.85 * (f32::from(value.saturating_sub(EVERYDAY)) / f32::from(255 - EVERYDAY)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_gets_lighter_without_a_step_back() {
        let luma = |[r, g, b]: [u8; 3]| 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
        for pair in EMBER.colours.windows(2) {
            assert!(luma(pair[1]) >= luma(pair[0]) - 1.5, "{:?} -> {:?}", pair[0], pair[1]);
        }
        assert!(luma(EMBER.colour(0)) < 20.0 && luma(EMBER.colour(255)) > 200.0);
    }

    #[test]
    fn no_heat_covers_nothing() {
        assert_eq!((EMBER.opacity(0), EMBER.opacity(EVERYDAY)), (0.0, 0.0));
        assert!(EMBER.opacity(64) > 0.3, "what begins a region is seen");
        assert!(EMBER.opacity(255) <= 0.9);
    }

    #[test]
    fn red_is_hot_and_blue_is_cold() {
        let ([r, _, b], [cold_r, _, cold_b]) = (RED_BLUE.colour(255), RED_BLUE.colour(0));
        assert!(r > 200 && b < 80, "{r} {b}");
        assert!(cold_b > 180 && cold_r < 80, "{cold_r} {cold_b}");
        assert!(RED_BLUE.opacity(0) > 0.3, "what is normal is blue too");
    }

    #[test]
    fn every_value_has_a_colour_of_its_own() {
        for colours in [HeatColours::Ember, HeatColours::RedBlue] {
            assert_eq!(Palette::of(colours).values().len(), 256, "{colours:?}");
        }
    }
}
