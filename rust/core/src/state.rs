//! The state of moments as plain values, and what such values must satisfy to be the state of any rows.

use crate::Error;
use crate::gram::triangle;
use crate::rows::LARGEST;

/// Rows that a count may name: as many as f64 counts exactly.
const MOST_ROWS: u64 = 1 << 53;
/// What rounding may do to an inequality between sums over rows.
const ROUNDING: f64 = 1e-4;

/// Everything that [`crate::Moments`] know of their rows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Number of rows.
    pub count: u64,
    /// Sum of their weights.
    pub weight: f64,
    /// Sum of the squares of their weights.
    pub squares: f64,
    /// Weighted mean, (d,).
    pub mean: Vec<f64>,
    /// Lower triangle of the weighted scatter about the mean, packed row by row, (d (d + 1) / 2,).
    pub scatter: Vec<f64>,
    /// Unit roundoff of the least precise products in the scatter.
    pub unit: f64,
    /// Weighted sums of `|z|^2 z` about the mean, (d,), where `|z|` is the length of the row's part on one side.
    pub cubes: Vec<f64>,
    /// Weighted sums of `|z|^4` of each part; where they overflowed they and the cubes are infinite.
    pub fourths: Vec<f64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            count: 0,
            weight: 0.0,
            squares: 0.0,
            mean: Vec::new(),
            scatter: Vec::new(),
            unit: f64::EPSILON / 2.0,
            cubes: Vec::new(),
            fourths: Vec::new(),
        }
    }
}

impl State {
    /// Refuses what no rows, in parts of these widths, can have given.
    pub(crate) fn check(&self, widths: &[usize]) -> Result<(), Error> {
        self.fault(widths).map_or(Ok(()), |reason| Err(Error::State { reason }))
    }

    fn fault(&self, widths: &[usize]) -> Option<String> {
        let d: usize = widths.iter().sum();
        let lengths = [
            ("mean", self.mean.len(), d),
            ("packed scatter", self.scatter.len(), triangle(d)),
            ("cubes", self.cubes.len(), d),
            ("fourths", self.fourths.len(), widths.len()),
        ];
        if let Some((name, found, expected)) = lengths.into_iter().find(|(_, found, expected)| found != expected) {
            return Some(format!("the {name} of {d} columns has {expected} values, got {found}"));
        }
        let unbounded = |v: &&f64| v.is_nan() || v.abs() > LARGEST;
        if let Some(value) = self.mean.iter().find(unbounded).or(self.scatter.iter().find(|v| !v.is_finite())) {
            return Some(format!("it holds {value}"));
        }
        if self.count > MOST_ROWS {
            return Some(format!("{} rows", self.count));
        }
        if !(f64::EPSILON / 2.0..=1.0).contains(&self.unit) {
            return Some(format!("unit roundoff {}", self.unit));
        }
        let still = self.scatter.iter().all(|&v| v == 0.0);
        if self.count < 2 && !still || self.count == 0 && self.mean.iter().any(|&v| v != 0.0) {
            return Some(format!("{} rows with a mean or a scatter other than 0", self.count));
        }
        self.weight_fault().or_else(|| self.scatter_fault(d)).or_else(|| self.fourth_fault(widths))
    }

    fn weight_fault(&self) -> Option<String> {
        let (count, weight, squares) = (self.count as f64, self.weight, self.squares);
        let positive = |v: f64| if self.count == 0 { v == 0.0 } else { v > 0.0 && v.is_finite() };
        let slack = 1.0 + ROUNDING;
        // Cauchy and Schwarz; and no sum of squares of positive numbers exceeds the square of their sum.
        let possible = weight * weight <= count * squares * slack && squares <= weight * weight * slack;
        (!positive(weight) || !positive(squares) || !possible)
            .then(|| format!("{count} rows of total weight {weight}, squared {squares}"))
    }

    fn scatter_fault(&self, d: usize) -> Option<String> {
        let diagonal = |i: usize| self.scatter[triangle(i) + i];
        if let Some(i) = (0..d).find(|&i| diagonal(i) < 0.0) {
            return Some(format!("the scatter of column {i} is {}", diagonal(i)));
        }
        let root: Vec<f64> = (0..d).map(|i| diagonal(i).sqrt()).collect();
        let row = |i: usize| &self.scatter[triangle(i)..][..=i];
        let exceeds = |i: usize| (0..i).find(|&j| row(i)[j].abs() > root[i] * root[j] * (1.0 + ROUNDING));
        let (i, j) = (0..d).find_map(|i| exceeds(i).map(|j| (i, j)))?;
        Some(format!("the scatter of columns {i} and {j} exceeds what their own scatters allow"))
    }

    fn fourth_fault(&self, widths: &[usize]) -> Option<String> {
        let all = || self.cubes.iter().chain(&self.fourths);
        if all().any(|&v| v != f64::INFINITY) && all().any(|v| !v.is_finite()) {
            return Some("its cubes or fourths are not finite".into());
        }
        let mut start = 0;
        for (part, (&width, &fourth)) in widths.iter().zip(&self.fourths).enumerate() {
            let trace: f64 = (start..start + width).map(|i| self.scatter[triangle(i) + i]).sum();
            // A mean of squares is at least the square of the mean.
            if fourth < 0.0 || fourth * self.weight * (1.0 + ROUNDING) < trace * trace * (1.0 - ROUNDING) {
                return Some(format!("the fourth powers of part {part}, {fourth}, are less than its scatter allows"));
            }
            start += width;
        }
        None
    }
}
