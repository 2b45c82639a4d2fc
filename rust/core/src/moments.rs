//! Count, mean and centred scatter of rows of one width: a commutative monoid under [`Moments::merge`].

use crate::accumulate::Waiting;
use crate::fourth::{Fourth, Second};
use crate::gram::{Float, triangle};
use crate::{Error, State};

/// Multiples of the rounding of a mean, up to which a column's spread may be rounding alone.
const CONSTANT: f64 = 16.0;
/// Share of a sum of weights that may be rounding alone.
const WEIGHT_ROUNDING: f64 = 1e-12;

/// The count, mean (d,) and centred scatter (d, d) of the rows seen so far, in f64, each row times its weight.
///
/// Rows are multiplied in their own precision (f16 and bf16 as f32), in blocks about the block's own mean, and the
/// blocks are added in f64 by the pairwise update of Chan, Golub and LeVeque (1979). Neither a large mean nor one
/// that drifts costs accuracy.
#[derive(Clone)]
pub struct Moments {
    width: usize,
    pub(crate) count: u64,
    /// Sum of the weights: the number of rows where each weighs 1.
    pub(crate) weight: f64,
    /// Sum of the squares of the weights.
    pub(crate) squares: f64,
    pub(crate) mean: Vec<f64>,
    /// Lower triangle, packed row by row; empty until the first row, so that an unused side costs nothing.
    pub(crate) scatter: Vec<f64>,
    pub(crate) unit: f64,
    /// None where nobody will ask.
    pub(crate) fourth: Option<Fourth>,
    pub(crate) waiting: Waiting,
}

impl Moments {
    /// Moments of no rows, of parts of these widths side by side.
    pub fn new(widths: &[usize]) -> Self {
        let width = widths.iter().sum();
        Self {
            width,
            count: 0,
            weight: 0.0,
            squares: 0.0,
            mean: vec![0.0; width],
            scatter: Vec::new(),
            unit: f64::EPSILON / 2.0,
            fourth: Some(Fourth::new(widths)),
            waiting: Waiting::default(),
        }
    }

    /// The same without fourth powers, which cost a pass over the scatter whenever moments are joined.
    pub(crate) fn without_fourth(width: usize) -> Self {
        Self { fourth: None, ..Self::new(&[width]) }
    }

    /// The moments of a state.
    pub fn from_state(widths: &[usize], state: &State) -> Result<Self, Error> {
        state.check(widths)?;
        let mut moments = Self::new(widths);
        moments.unit = state.unit;
        if state.count > 0 {
            let State { count, weight, squares, .. } = *state;
            moments = Self { count, weight, squares, ..moments };
            moments.mean.copy_from_slice(&state.mean);
            moments.scatter.clone_from(&state.scatter);
            moments.fourth = Some(Fourth::restored(widths, &state.mean, &state.cubes, &state.fourths));
        }
        Ok(moments)
    }

    /// The whole state.
    pub fn state(&mut self) -> State {
        self.flush();
        let fourth = self.fourth.as_ref().map(|fourth| fourth.about(&self.mean, self.second()));
        let (cubes, fourths) = fourth.map_or_else(Default::default, |f| (f.cubes().to_vec(), f.fourths().to_vec()));
        State {
            count: self.count,
            weight: self.weight,
            squares: self.squares,
            mean: self.mean.clone(),
            scatter: self.packed(),
            unit: self.unit,
            cubes,
            fourths,
        }
    }

    /// Number of columns, d.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn count(&self) -> u64 {
        self.count + self.waiting.rows()
    }

    /// Mean of the rows, (d,); zeros without rows.
    pub fn mean(&mut self) -> &[f64] {
        self.flush();
        &self.mean
    }

    /// As [`Moments::mean`], of rows that are all multiplied.
    pub(crate) fn flushed_mean(&self) -> &[f64] {
        debug_assert!(self.is_flushed());
        &self.mean
    }

    /// What scatters are divided by, to be covariances that are right on average: for rows of one weight, n - 1.
    pub(crate) fn freedom(&self) -> f64 {
        debug_assert!(self.is_flushed());
        self.weight - self.squares / self.weight
    }

    /// How many rows of one weight tell as much (Kish 1965); the number of rows where each weighs the same.
    pub(crate) fn effective(&self) -> f64 {
        debug_assert!(self.is_flushed());
        if self.squares > 0.0 { self.weight * (self.weight / self.squares) } else { 0.0 }
    }

    /// Mean of the fourth power of the length of a row's part about the mean, for each part; infinite where it overflows.
    pub(crate) fn mean_fourths(&self) -> Vec<f64> {
        debug_assert!(self.is_flushed());
        let about = |fourth: &Fourth| fourth.about(&self.mean, self.second());
        self.fourth.as_ref().map(about).map_or_else(Vec::new, |f| f.fourths().iter().map(|v| v / self.weight).collect())
    }

    pub(crate) fn second(&self) -> Second<'_> {
        Second { weight: self.weight, mean: &self.mean, scatter: &self.scatter }
    }

    /// Entry (i, j) of the centred scatter.
    pub fn scatter(&mut self, i: usize, j: usize) -> f64 {
        self.flush();
        self.entry(i, j)
    }

    /// Lower triangle of the centred scatter, packed row by row, (d (d + 1) / 2,).
    pub fn packed(&mut self) -> Vec<f64> {
        self.flush();
        if self.scatter.is_empty() {
            return vec![0.0; triangle(self.width)];
        }
        self.scatter.clone()
    }

    /// Unit roundoff of the least precise products in the scatter: 2^-53 for double precision rows, else 2^-24.
    pub fn unit(&self) -> f64 {
        if self.waiting.is_single() { self.unit.max(<f32 as Float>::UNIT) } else { self.unit }
    }

    /// Relative error that the scatter may have gathered.
    fn slack(&self) -> f64 {
        64.0 * self.unit * self.width as f64
    }

    /// What the rounding of the mean of column `i` can add to its scatter.
    fn rounding(&self, i: usize) -> f64 {
        self.weight * (CONSTANT * f64::EPSILON * self.mean[i]).powi(2)
    }

    /// True where column `i` varies by no more than the rounding of its mean.
    pub(crate) fn is_constant(&self, i: usize) -> bool {
        self.entry(i, i) <= self.rounding(i)
    }

    /// As [`Moments::scatter`], of rows that are all multiplied.
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        if self.scatter.is_empty() { 0.0 } else { self.scatter[triangle(i.max(j)) + i.min(j)] }
    }

    /// The first i + 1 entries of row `i` of the scatter, of rows that are all multiplied.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        debug_assert!(self.is_flushed() && !self.scatter.is_empty());
        &self.scatter[triangle(i)..=triangle(i) + i]
    }

    fn is_flushed(&self) -> bool {
        self.waiting.rows() == 0
    }

    /// Sets the scatter of a column to 0.
    pub(crate) fn clear(&mut self, i: usize) {
        self.scatter[triangle(i)..=triangle(i) + i].fill(0.0);
        (i + 1..self.width).for_each(|row| self.scatter[triangle(row) + i] = 0.0);
    }

    /// Adds the rows of `other` (Chan, Golub, LeVeque 1979).
    pub fn merge(&mut self, other: &mut Self) -> Result<(), Error> {
        if self.width != other.width {
            return Err(Error::Mismatch { property: "width", left: self.width, right: other.width });
        }
        self.flush();
        other.flush();
        self.join(other);
        Ok(())
    }

    /// As [`Moments::merge`], of moments of one width of which no row waits. Fourth powers are kept where both have them.
    pub(crate) fn join(&mut self, other: &Self) {
        debug_assert!(self.is_flushed() && other.is_flushed());
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            let keeps = self.fourth.is_some();
            *self = other.clone();
            self.fourth = self.fourth.take().filter(|_| keeps);
            return;
        }
        self.fourth = match (self.fourth.take(), &other.fourth) {
            (Some(mut mine), Some(theirs)) => {
                mine.join(&theirs.about(mine.centre(), other.second()));
                Some(mine)
            }
            _ => None,
        };
        let (a, b) = (self.weight, other.weight);
        let distance: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        self.add_scaled(other, 1.0, &distance, a * (b / (a + b)));
        self.mean.iter_mut().zip(&distance).for_each(|(m, d)| *m += d * (b / (a + b)));
        self.weight += other.weight;
        self.squares += other.squares;
        self.count += other.count;
        self.unit = self.unit.max(other.unit);
    }

    /// Moves weight, mean and scatter on over rows with this mean and weight, whose scatter about that mean is in.
    pub(crate) fn move_mean(&mut self, mean: &[f64], weight: f64) {
        let total = self.weight + weight;
        let distance: Vec<f64> = mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        let scale = self.weight * (weight / total);
        for i in 0..self.width {
            let scaled = scale * distance[i];
            let row = &mut self.scatter[triangle(i)..=triangle(i) + i];
            row.iter_mut().zip(&distance).for_each(|(s, d)| *s += scaled * d);
        }
        self.mean.iter_mut().zip(&distance).for_each(|(m, d)| *m += d * (weight / total));
        self.weight = total;
    }

    /// What is left without the rows of `other`: the inverse of [`Moments::merge`].
    ///
    /// None where the weight would vanish or the scatter get a negative direction: then those rows were never among these.
    pub(crate) fn without(&mut self, other: &mut Self) -> Option<Self> {
        self.flush();
        other.flush();
        let mut left = self.clone();
        left.count = self.count - other.count;
        left.unit = self.unit.max(other.unit);
        left.weight = self.weight - other.weight;
        left.squares = self.squares - other.squares;
        let (a, b) = (left.weight, other.weight);
        if left.count > 0 {
            // Rows that each weigh something leave some weight: more than rounding does.
            if !(a > self.weight * WEIGHT_ROUNDING && left.squares > self.squares * WEIGHT_ROUNDING) {
                return None;
            }
            let shift: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(m, o)| (m - o) * (b / a)).collect();
            left.mean.iter_mut().zip(&shift).for_each(|(m, s)| *m += s);
        }
        let distance: Vec<f64> = left.mean.iter().zip(&other.mean).map(|(m, o)| o - m).collect();
        // Without any row left nothing may be left of the mean either.
        let weight = if left.count > 0 { a * (b / (a + b)) } else { b };
        left.add_scaled(other, -1.0, &distance, -weight);
        let nothing = |i: usize| left.entry(i, i).abs() <= self.slack() * (self.entry(i, i) + self.rounding(i));
        let empty: Vec<bool> = (0..self.width).map(nothing).collect();
        if left.count > 1 {
            if !left.is_positive(self) {
                return None;
            }
            // What rounding left of columns that no longer vary may be negative.
            (0..self.width).filter(|&i| empty[i]).for_each(|i| left.clear(i));
            if let (Some(mine), Some(theirs)) = (&mut left.fourth, &other.fourth) {
                mine.leave(&theirs.about(mine.centre(), other.second()));
            }
            return Some(left);
        }
        if empty.contains(&false) {
            return None;
        }
        left.scatter.fill(0.0);
        if left.count == 0 {
            return Some(Self { fourth: left.fourth.map(|f| Fourth::new(&f.widths())), ..Self::new(&[self.width]) });
        }
        // One row is its own mean.
        left.fourth = left.fourth.map(|fourth| fourth.empty(&left.mean));
        Some(left)
    }

    /// `scatter += sign * other.scatter + weight * distance distance^T`
    fn add_scaled(&mut self, other: &Self, sign: f64, distance: &[f64], weight: f64) {
        for i in 0..self.width {
            let scaled = weight * distance[i];
            let row = triangle(i)..=triangle(i) + i;
            let (mine, theirs) = (&mut self.scatter[row.clone()], &other.scatter[row]);
            for ((s, o), v) in mine.iter_mut().zip(theirs).zip(distance) {
                *s += sign * o + scaled * v;
            }
        }
    }

    /// True where no direction has a negative scatter, up to the rounding of `whole`, which these are a part of.
    fn is_positive(&self, whole: &Self) -> bool {
        // Variances of the whole that are 0 leave a unit row and column behind: they decide nothing.
        let scale = |i: usize| whole.entry(i, i).max(0.0).sqrt().recip();
        let scales: Vec<f64> = (0..self.width).map(scale).map(|s| if s.is_finite() { s } else { 0.0 }).collect();
        let slack = self.slack();
        crate::dense::is_positive(self.width, |i, j| {
            self.entry(i, j) * scales[i] * scales[j] + if i == j { slack } else { 0.0 }
        })
    }
}
