//! Square patches of a picture, by summed-area tables: local maxima beat means wherever anomalies are small.

/// Sums of several values over every rectangle.
pub(crate) type Tables<const N: usize> = [Vec<f64>; N];

/// Every position of a square patch at which at least half of the patch counts.
#[derive(Debug)]
pub(crate) struct Patches {
    height: usize,
    width: usize,
    /// Upper left corners that qualify, with the area that counts.
    places: Vec<(Corners, f64)>,
}

impl Patches {
    /// Patches of side `patch` (smaller where the picture is) over a `height`×`width` picture; `counts` is 1 where
    /// a pixel counts.
    pub(crate) fn new(height: usize, width: usize, patch: usize, counts: &[f32]) -> Self {
        let (ph, pw) = (patch.min(height), patch.min(width));
        let area = integral(height, width, |i| f64::from(counts[i]));
        let half = (ph * pw) as f64 / 2.0;
        let corners = (0..=height - ph).flat_map(|top| {
            (0..=width - pw).map(move |left| Corners::new(width, top, left, top + ph, left + pw))
        });
        let places = corners.map(|c| (c, c.sum(&area))).filter(|(_, area)| *area >= half).collect();
        Self { height, width, places }
    }

    /// Of these, the patches whose corners lie on a grid of `stride` pixels, and those at the right and lower border.
    pub(crate) fn on_grid(mut self, stride: usize) -> Self {
        let (right, bottom) = (self.width, self.height);
        self.places.retain(|(corners, _)| {
            let [top, left, under, after] = corners.sides(right);
            (top.is_multiple_of(stride) || under == bottom) && (left.is_multiple_of(stride) || after == right)
        });
        self
    }

    /// For each pixel the mean of the patches that hold it, of one value a patch; 0 where there is none.
    pub(crate) fn spread(&self, values: &[f32]) -> Vec<f32> {
        // Each patch is added at its corners, and the whole summed up: exact enough in 64 bits.
        let stride = self.width + 1;
        let mut added = vec![(0.0f64, 0.0f64); stride * (self.height + 1)];
        for ((Corners(corners), _), &value) in self.places.iter().zip(values) {
            for (corner, sign) in corners.iter().zip([1.0, -1.0, -1.0, 1.0]) {
                added[*corner].0 += sign * f64::from(value);
                added[*corner].1 += sign;
            }
        }
        let mut above = vec![(0.0f64, 0.0f64); self.width];
        let mut out = Vec::with_capacity(self.width * self.height);
        for row in added.chunks_exact(stride).take(self.height) {
            let mut along = (0.0, 0.0);
            for (above, added) in above.iter_mut().zip(row) {
                along = (along.0 + added.0, along.1 + added.1);
                *above = (above.0 + along.0, above.1 + along.1);
                out.push(if above.1 > 0.5 { (above.0 / above.1).max(0.0) as f32 } else { 0.0 });
            }
        }
        out
    }

    /// A table of the values that `value` gives for each pixel.
    pub(crate) fn table(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        integral(self.height, self.width, value)
    }

    /// For every patch, the area that counts and the sums of the tables.
    pub(crate) fn sums<'a, const N: usize>(
        &'a self,
        tables: &'a Tables<N>,
    ) -> impl Iterator<Item = (f64, [f64; N])> + 'a {
        self.places.iter().map(|(corners, area)| (*area, std::array::from_fn(|t| corners.sum(&tables[t]))))
    }

    /// The largest mean over a patch, of values that are 0 wherever a pixel does not count.
    pub(crate) fn worst_mean(&self, values: &[f32]) -> f64 {
        let table = [self.table(|i| f64::from(values[i]))];
        self.sums(&table).map(|(area, [sum])| sum / area).fold(0.0, f64::max)
    }

    /// For each pixel how much its value counts in [`Self::worst_mean`]: one over the area in the patch of the largest mean,
    /// the first of equals, else 0.
    pub(crate) fn worst_weights(&self, values: &[f32]) -> Vec<f32> {
        let table = [self.table(|i| f64::from(values[i]))];
        let means: Vec<f64> = self.sums(&table).map(|(area, [sum])| sum / area).collect();
        let worst = self.places.iter().zip(means).rev().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut weights = vec![0.0; self.width * self.height];
        if let Some(((corners, area), _)) = worst {
            let [top, left, bottom, right] = corners.sides(self.width);
            for row in weights.chunks_exact_mut(self.width).take(bottom).skip(top) {
                row[left..right].fill((1.0 / area) as f32);
            }
        }
        weights
    }
}

/// Places of a rectangle's corners in a summed-area table.
#[derive(Debug, Clone, Copy)]
struct Corners([usize; 4]);

impl Corners {
    fn new(width: usize, top: usize, left: usize, bottom: usize, right: usize) -> Self {
        let at = |row: usize, column: usize| row * (width + 1) + column;
        Self([at(top, left), at(top, right), at(bottom, left), at(bottom, right)])
    }

    /// Top, left, bottom and right in a picture of that width.
    fn sides(self, width: usize) -> [usize; 4] {
        let [first, .., last] = self.0;
        let side = width + 1;
        [first / side, first % side, last / side, last % side]
    }

    fn sum(self, table: &[f64]) -> f64 {
        let [a, b, c, d] = self.0;
        table[d] - table[b] - table[c] + table[a]
    }
}

/// Summed-area table, one row and column larger than the picture.
fn integral(height: usize, width: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let stride = width + 1;
    let mut table = vec![0.0; (height + 1) * stride];
    for row in 0..height {
        let mut along = 0.0;
        for column in 0..width {
            along += value(row * width + column);
            table[(row + 1) * stride + column + 1] = table[row * stride + column + 1] + along;
        }
    }
    table
}

/// Mean over a (2·`radius` + 1)² neighbourhood, clipped at the border.
pub(crate) fn box_blur(values: &[f32], height: usize, width: usize, radius: usize) -> Vec<f32> {
    let table = integral(height, width, |i| f64::from(values[i]));
    let mut out = Vec::with_capacity(values.len());
    for row in 0..height {
        let (top, bottom) = (row.saturating_sub(radius), (row + radius + 1).min(height));
        for column in 0..width {
            let (left, right) = (column.saturating_sub(radius), (column + radius + 1).min(width));
            let sum = Corners::new(width, top, left, bottom, right).sum(&table);
            out.push((sum / ((bottom - top) * (right - left)) as f64).max(0.0) as f32);
        }
    }
    out
}

/// Means over a grid of 8×8 cells.
pub(crate) fn cells(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    const SIDE: usize = 8;
    let mut sums = [(0.0f32, 0u32); SIDE * SIDE];
    for (i, value) in values.iter().enumerate() {
        let (x, y) = (i % width * SIDE / width, i / width * SIDE / height);
        let (sum, count) = &mut sums[y * SIDE + x];
        *sum += value;
        *count += 1;
    }
    sums.iter().map(|(sum, count)| sum / (*count).max(1) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_has_the_mean_of_its_patches() {
        let patches = Patches::new(7, 9, 3, &[1.0; 63]).on_grid(2);
        let corners: Vec<[usize; 2]> =
            [0, 2, 4].iter().flat_map(|&top| [0, 2, 4, 6].map(|left| [top, left])).collect();
        let values: Vec<f32> = (0..corners.len()).map(|i| (i * i % 11) as f32).collect();
        let got = patches.spread(&values);
        for (pixel, got) in got.iter().enumerate() {
            let holds = |[top, left]: &[usize; 2]| {
                (*top..top + 3).contains(&(pixel / 9)) && (*left..left + 3).contains(&(pixel % 9))
            };
            let held: Vec<f32> =
                corners.iter().zip(&values).filter(|(c, _)| holds(c)).map(|(_, v)| *v).collect();
            let wanted = held.iter().sum::<f32>() / held.len() as f32;
            assert!((got - wanted).abs() < 1e-6, "{pixel}: {got} against {wanted}");
        }
    }

    #[test]
    fn cells_are_means() {
        let values: Vec<f32> = (0..16 * 24).map(|i| (i / 16 / 3) as f32).collect();
        let got = cells(&values, 16, 24);
        assert!((0..64).all(|i| (got[i] - (i / 8) as f32).abs() < 1e-6), "{got:?}");
    }
}
