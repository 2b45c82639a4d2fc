//! Sums of fourth powers: how much the rows scatter about their own covariance (Ledoit and Wolf 2004).

use crate::gram::{Float, Kernel, triangle};

/// Weighted sums over rows z, less a centre, of `|z|^2 z` and `|z|^4`, where `|z|` is the length of the row's part on
/// one side: each side is measured for itself.
///
/// The centre may be any that is not far from the rows beside their spread; sums about one follow from those about
/// another and from the second moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fourth {
    /// Where each part ends.
    ends: Vec<usize>,
    /// (d,)
    centre: Vec<f64>,
    /// Sums of `w |z|^2 z`, (d,).
    cubes: Vec<f64>,
    /// Sums of `w |z|^4` of each part; infinite where they overflowed, as then all of these sums are.
    fourths: Vec<f64>,
}

/// Second moments of the rows of a [`Fourth`]: their weight, mean (d,) and packed scatter, which may be empty for 0.
#[derive(Clone, Copy)]
pub(crate) struct Second<'a> {
    pub weight: f64,
    pub mean: &'a [f64],
    pub scatter: &'a [f64],
}

impl Fourth {
    /// Of no rows, about zero; `widths` are those of the parts.
    pub fn new(widths: &[usize]) -> Self {
        let ends: Vec<usize> = widths.iter().scan(0, |end, width| Some(*end + width).inspect(|&e| *end = e)).collect();
        let d = ends.last().copied().unwrap_or(0);
        Self { centre: vec![0.0; d], cubes: vec![0.0; d], fourths: vec![0.0; ends.len()], ends }
    }

    /// These sums about this centre.
    pub fn restored(widths: &[usize], centre: &[f64], cubes: &[f64], fourths: &[f64]) -> Self {
        let centre = centre.to_vec();
        let mut sums = Self { centre, cubes: cubes.to_vec(), fourths: fourths.to_vec(), ..Self::new(widths) };
        sums.settle();
        sums
    }

    pub fn widths(&self) -> Vec<usize> {
        self.ranges().map(|range| range.len()).collect()
    }

    pub fn centre(&self) -> &[f64] {
        &self.centre
    }

    pub fn cubes(&self) -> &[f64] {
        &self.cubes
    }

    pub fn fourths(&self) -> &[f64] {
        &self.fourths
    }

    /// The same of no rows, about `centre`.
    pub fn empty(&self, centre: &[f64]) -> Self {
        let mut empty = self.clone();
        empty.centre.copy_from_slice(centre);
        empty.cubes.fill(0.0);
        empty.fourths.fill(0.0);
        empty
    }

    /// Adds a few rows (n, d) of these weights (n,).
    pub fn add<T: Float>(&mut self, kernel: &Kernel<T>, rows: &[T], weights: &[f64]) {
        let (mut start, width) = (0, self.centre.len());
        for (&end, fourth) in self.ends.iter().zip(&mut self.fourths) {
            let (centre, cubes) = (&self.centre[start..end], &mut self.cubes[start..end]);
            *fourth += kernel.cube(&rows[start..], width, centre, weights, cubes);
            start = end;
        }
    }

    /// Adds sums about the same centre.
    pub fn join(&mut self, other: &Self) {
        debug_assert!(self.centre == other.centre);
        self.cubes.iter_mut().zip(&other.cubes).for_each(|(a, b)| *a += b);
        self.fourths.iter_mut().zip(&other.fourths).for_each(|(a, b)| *a += b);
        self.settle();
    }

    /// Takes sums about the same centre away.
    pub fn leave(&mut self, other: &Self) {
        debug_assert!(self.centre == other.centre);
        self.cubes.iter_mut().zip(&other.cubes).for_each(|(a, b)| *a -= b);
        self.fourths.iter_mut().zip(&other.fourths).for_each(|(a, b)| *a = (*a - b).max(0.0));
        self.settle();
    }

    /// Sums that overflowed stay so.
    fn settle(&mut self) {
        if !self.cubes.iter().chain(&self.fourths).all(|v| v.is_finite()) {
            self.cubes.fill(f64::INFINITY);
            self.fourths.fill(f64::INFINITY);
        }
    }

    /// True where the mean of the rows has left the centre by more than their spread.
    pub fn is_far(&self, second: Second<'_>) -> bool {
        self.ranges().any(|part| {
            let trace: f64 = part.clone().map(|i| second.variance(i)).sum();
            squared_distance(&second.mean[part.clone()], &self.centre[part]) * second.weight > trace
        })
    }

    /// The same sums about another centre.
    pub fn about(&self, centre: &[f64], second: Second<'_>) -> Self {
        let mut moved = Self { centre: centre.to_vec(), ..self.clone() };
        for (part, range) in self.ranges().enumerate() {
            let e: Vec<f64> = range.clone().map(|i| self.centre[i] - centre[i]).collect();
            // Of the rows less the old centre: their sum, their sum of squares, their second moment times e.
            let off: Vec<f64> = range.clone().map(|i| second.mean[i] - self.centre[i]).collect();
            let sum: Vec<f64> = off.iter().map(|v| second.weight * v).collect();
            let scatter: f64 = range.clone().map(|i| second.variance(i)).sum();
            let trace = scatter + dot(&sum, &off);
            let mut turned = second.scatter_times(range.clone(), &e);
            let along = dot(&off, &e);
            turned.iter_mut().zip(&sum).for_each(|(t, s)| *t += s * along);
            let (square, shift) = (dot(&e, &e), dot(&e, &sum));
            let cubes = &self.cubes[range.clone()];
            // |z + e|^4 and |z + e|^2 (z + e), multiplied out and summed.
            moved.fourths[part] += 4.0 * dot(cubes, &e)
                + 2.0 * square * trace
                + 4.0 * dot(&turned, &e)
                + 4.0 * square * shift
                + second.weight * square * square;
            // No less than the square of the sum of squares allows, which rounding does not know where rows are alike.
            let squares =
                scatter + second.weight * squared_distance(&second.mean[range.clone()], &centre[range.clone()]);
            let least = if second.weight > 0.0 { squares * squares / second.weight } else { 0.0 };
            moved.fourths[part] = moved.fourths[part].max(least);
            for (i, cube) in moved.cubes[range].iter_mut().enumerate() {
                *cube += (trace + 2.0 * shift + second.weight * square) * e[i] + 2.0 * turned[i] + square * sum[i];
            }
        }
        moved.settle();
        moved
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.ends.iter().scan(0, |start, &end| Some(std::mem::replace(start, end)..end))
    }
}

impl Second<'_> {
    fn variance(&self, i: usize) -> f64 {
        if self.scatter.is_empty() { 0.0 } else { self.scatter[triangle(i) + i] }
    }

    /// `S e` for the part of the scatter within `range`.
    fn scatter_times(&self, range: std::ops::Range<usize>, e: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; e.len()];
        if self.scatter.is_empty() {
            return product;
        }
        for (i, row) in range.clone().enumerate() {
            let entries = &self.scatter[triangle(row) + range.start..=triangle(row) + row];
            let (before, at) = (&entries[..i], entries[i]);
            product[i] += dot(before, &e[..i]) + at * e[i];
            product[..i].iter_mut().zip(before).for_each(|(p, s)| *p += s * e[i]);
        }
        product
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0
    }

    #[test]
    fn sums_about_another_centre_are_those_of_the_rows() {
        let (n, d) = (50, 7);
        let rows: Vec<Vec<f64>> = (0..n).map(|i| (0..d).map(|j| noise(i * d + j) + j as f64).collect()).collect();
        let weights: Vec<f64> = (0..n).map(|i| 1.0 + noise(3 * i).abs()).collect();
        let direct = |centre: &[f64]| {
            let mut sums = Fourth::new(&[3, 4]).empty(centre);
            rows.iter().zip(&weights).for_each(|(row, &w)| sums.add(&f64::kernel(), row, &[w]));
            sums
        };
        let weight: f64 = weights.iter().sum();
        let mean: Vec<f64> =
            (0..d).map(|j| rows.iter().zip(&weights).map(|(r, w)| w * r[j]).sum::<f64>() / weight).collect();
        let mut scatter = Vec::new();
        for (i, j) in (0..d).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            scatter.push(rows.iter().zip(&weights).map(|(r, w)| w * (r[i] - mean[i]) * (r[j] - mean[j])).sum::<f64>());
        }
        let second = Second { weight, mean: &mean, scatter: &scatter };
        let (old, new): (Vec<f64>, Vec<f64>) = (0..d).map(|j| (noise(j), noise(j + 100) + j as f64)).unzip();
        let (moved, expected) = (direct(&old).about(&new, second), direct(&new));
        for (a, b) in moved.cubes.iter().chain(&moved.fourths).zip(expected.cubes.iter().chain(&expected.fourths)) {
            assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "{a} is not {b}");
        }
        let back = moved.about(&old, second);
        for (a, b) in back.fourths.iter().zip(&direct(&old).fourths) {
            assert!((a - b).abs() < 1e-9 * b, "{a} is not {b}");
        }
    }

    #[test]
    fn what_overflows_stays_infinite() {
        let mut sums = Fourth::new(&[2]);
        sums.add(&f64::kernel(), &[1e120, -1e120], &[1.0]);
        sums.join(&Fourth::new(&[2]));
        let second = Second { weight: 1.0, mean: &[1e120, -1e120], scatter: &[] };
        assert!(sums.about(&[1.0, 2.0], second).fourths().iter().all(|v| v.is_infinite()));
    }
}
