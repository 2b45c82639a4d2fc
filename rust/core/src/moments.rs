//! Count, mean and centred scatter of rows of one width: a commutative monoid under [`Moments::merge`].

use crate::gram::{self, DEPTH, FEW, Float, Group, Packed, triangle};
use crate::rows::LARGEST;
use crate::{Error, Rows};

/// Rows that a count may name: as many as f64 counts exactly.
const MOST_ROWS: u64 = 1 << 53;
/// Multiples of the rounding of a mean, up to which a column's spread may be rounding alone.
const CONSTANT: f64 = 16.0;

/// The count, mean (d,) and centred scatter (d, d) of the rows seen so far, in f64.
///
/// Rows are multiplied in their own precision (f16 and bf16 as f32), in blocks about the block's own mean, and the
/// blocks are added in f64 by the pairwise update of Chan, Golub and LeVeque (1979). Neither a large mean nor one
/// that drifts costs accuracy.
#[derive(Clone, Default)]
pub struct Moments {
    width: usize,
    count: u64,
    mean: Vec<f64>,
    /// Lower triangle, packed row by row; empty until the first row, so that an unused side costs nothing.
    scatter: Vec<f64>,
    unit: f64,
    waiting: Waiting,
}

/// Rows (n, d) that were added but not yet multiplied.
#[derive(Clone, Default)]
struct Waiting {
    single: Vec<f32>,
    double: Vec<f64>,
}

impl Moments {
    /// Moments of no rows of this width.
    pub fn new(width: usize) -> Self {
        Self { width, mean: vec![0.0; width], unit: f64::EPSILON / 2.0, ..Self::default() }
    }

    /// Moments with this count, mean (d,) and lower triangle of the scatter, packed row by row (d (d + 1) / 2,).
    ///
    /// `unit` is the unit roundoff of the products the scatter was made from.
    pub fn from_packed(count: u64, mean: &[f64], packed: &[f64], unit: f64) -> Result<Self, Error> {
        let refuse = |reason: String| Err(Error::State { reason });
        let d = mean.len();
        if packed.len() != triangle(d) {
            let (expected, found) = (triangle(d), packed.len());
            return refuse(format!("a packed scatter of {d} columns has {expected} values, got {found}"));
        }
        if let Some(value) =
            mean.iter().find(|v| v.is_nan() || v.abs() > LARGEST).or(packed.iter().find(|v| !v.is_finite()))
        {
            return refuse(format!("it holds {value}"));
        }
        if count > MOST_ROWS {
            return refuse(format!("{count} rows"));
        }
        if !(f64::EPSILON / 2.0..=1.0).contains(&unit) {
            return refuse(format!("unit roundoff {unit}"));
        }
        let diagonal = |i: usize| packed[triangle(i) + i];
        if let Some(i) = (0..d).find(|&i| diagonal(i) < 0.0) {
            return refuse(format!("the scatter of column {i} is {}", diagonal(i)));
        }
        let root: Vec<f64> = (0..d).map(|i| diagonal(i).sqrt()).collect();
        let row = |i: usize| &packed[triangle(i)..][..=i];
        // Cauchy and Schwarz, up to rounding.
        let exceeds = |i: usize| (0..i).find(|&j| row(i)[j].abs() > root[i] * root[j] * (1.0 + 1e-4));
        if let Some((i, j)) = (0..d).find_map(|i| exceeds(i).map(|j| (i, j))) {
            return refuse(format!("the scatter of columns {i} and {j} exceeds what their own scatters allow"));
        }
        if count < 2 && (packed.iter().any(|&v| v != 0.0) || (count == 0 && mean.iter().any(|&v| v != 0.0))) {
            return refuse(format!("{count} rows with a mean or a scatter other than 0"));
        }
        let mut moments = Self::new(d);
        moments.unit = unit;
        if count > 0 {
            moments.count = count;
            moments.mean.copy_from_slice(mean);
            moments.scatter = packed.to_vec();
        }
        Ok(moments)
    }

    /// Number of columns, d.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn count(&self) -> u64 {
        self.count + (self.waiting.single.len() + self.waiting.double.len()) as u64 / self.width as u64
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
        if self.waiting.single.is_empty() { self.unit } else { self.unit.max(single_unit()) }
    }

    /// Relative error that the scatter may have gathered.
    fn slack(&self) -> f64 {
        64.0 * self.unit * self.width as f64
    }

    /// What the rounding of the mean of column `i` can add to its scatter.
    fn rounding(&self, i: usize) -> f64 {
        self.count as f64 * (CONSTANT * f64::EPSILON * self.mean[i]).powi(2)
    }

    /// True where column `i` varies by no more than the rounding of its mean.
    pub(crate) fn is_constant(&self, i: usize) -> bool {
        self.entry(i, i) <= self.rounding(i)
    }

    /// As [`Moments::scatter`], of rows that are all multiplied.
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        debug_assert!(self.is_flushed());
        if self.scatter.is_empty() { 0.0 } else { self.scatter[triangle(i.max(j)) + i.min(j)] }
    }

    /// The first i + 1 entries of row `i` of the scatter, of rows that are all multiplied.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        debug_assert!(self.is_flushed() && !self.scatter.is_empty());
        &self.scatter[triangle(i)..=triangle(i) + i]
    }

    fn is_flushed(&self) -> bool {
        self.waiting.single.is_empty() && self.waiting.double.is_empty()
    }

    /// Adds rows that lie in parts side by side, each of them a row of its `Rows` by this index, all of them checked.
    ///
    /// Rows wait until they are enough to be multiplied at full speed; those that are enough already do not.
    pub(crate) fn extend(&mut self, parts: &[Rows<'_>], index: &[usize]) {
        if parts.iter().any(Rows::is_double) {
            self.extend_in::<f64>(parts, index);
        } else {
            self.extend_in::<f32>(parts, index);
        }
    }

    fn extend_in<T: Precision>(&mut self, parts: &[Rows<'_>], mut index: &[usize]) {
        if self.waiting.single.len() + self.waiting.double.len() > T::waiting(&mut self.waiting).len() {
            self.flush();
        }
        let ample = gram::ample_rows(self.width);
        while index.len() >= ample / 2 {
            let (rows, later) = index.split_at(ample.min(index.len() / DEPTH * DEPTH));
            self.absorb(rows.len(), &|i, out: &mut [T]| copy(parts, rows[i], out));
            index = later;
        }
        let waiting = T::waiting(&mut self.waiting);
        let start = waiting.len();
        waiting.resize(start + index.len() * self.width, T::default());
        let places = waiting[start..].chunks_exact_mut(self.width);
        places.zip(index).for_each(|(place, &i)| copy(parts, i, place));
        if waiting.len() >= ample * self.width {
            self.flush();
        }
    }

    /// Multiplies the rows that wait.
    pub fn flush(&mut self) {
        let d = self.width;
        let Waiting { mut single, mut double } = std::mem::take(&mut self.waiting);
        if !single.is_empty() {
            self.absorb(single.len() / d, &|i, out: &mut [f32]| out.copy_from_slice(&single[i * d..][..d]));
        }
        if !double.is_empty() {
            self.absorb(double.len() / d, &|i, out: &mut [f64]| out.copy_from_slice(&double[i * d..][..d]));
        }
        // The buffers keep their room for the next rows.
        single.clear();
        double.clear();
        self.waiting = Waiting { single, double };
    }

    /// Multiplies `n` rows that `fill` writes out, in their precision where that serves, else in f64.
    fn absorb<T: Float>(&mut self, n: usize, fill: &(impl Fn(usize, &mut [T]) + Sync)) {
        let (d, before) = (self.width, self.count);
        let packed = Packed::new(n, d, self.known_mean(), fill);
        let refused = packed.refused.clone();
        // A few rows say nothing of what the others need; alone they count as what they are, so that the precision does
        // not depend on the batches.
        if !packed.groups.is_empty() || (before == 0 && n < FEW) {
            self.unit = self.unit.max(T::UNIT);
        }
        self.add(packed);
        if !refused.is_empty() {
            let rows: Vec<usize> = refused.into_iter().flatten().collect();
            let widened = |i: usize, out: &mut [f64]| {
                let mut row = vec![T::default(); d];
                fill(rows[i], &mut row);
                out.iter_mut().zip(row).for_each(|(o, v)| *o = v.into());
            };
            // `Rows::check` bounds the values: in f64 none is refused.
            self.add(Packed::new(rows.len(), d, self.known_mean(), &widened));
        }
    }

    fn known_mean(&self) -> Option<&[f64]> {
        (self.count > 0).then_some(&self.mean)
    }

    fn add<T: Float>(&mut self, mut packed: Packed<T>) {
        if self.scatter.is_empty() {
            // Written, not only reserved as zeros: to read a reserved page and then write to it is two faults, the second
            // of which halts all threads.
            self.scatter.resize(triangle(self.width), 0.0);
        }
        packed.groups.iter_mut().for_each(|group| self.place(group));
        gram::add(&packed, self.width, &mut self.scatter);
        // What rounding leaves of a column that does not vary may be negative.
        for i in 0..self.width {
            if self.scatter[triangle(i) + i] <= 0.0 {
                self.clear(i);
            }
        }
    }

    /// Sets the scatter of a column to 0.
    fn clear(&mut self, i: usize) {
        self.scatter[triangle(i)..=triangle(i) + i].fill(0.0);
        (i + 1..self.width).for_each(|row| self.scatter[triangle(row) + i] = 0.0);
    }

    /// Moves the count and the mean on over a group, and tells it the way from its own mean to the running one.
    fn place(&mut self, group: &mut Group) {
        let (before, n) = (self.count as f64, group.rows as f64);
        let total = before + n;
        let weight = (before * n / total).sqrt();
        for ((mean, theirs), up) in self.mean.iter_mut().zip(&group.mean).zip(&mut group.up) {
            let distance = theirs - *mean;
            *up = distance * weight;
            *mean += distance * (n / total);
        }
        self.count += group.rows as u64;
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

    /// As [`Moments::merge`], of moments of one width of which no row waits.
    pub(crate) fn join(&mut self, other: &Self) {
        debug_assert!(self.is_flushed() && other.is_flushed());
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let distance: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        self.add_scaled(other, 1.0, &distance, a * b / (a + b));
        self.mean.iter_mut().zip(&distance).for_each(|(m, d)| *m += d * b / (a + b));
        self.count += other.count;
        self.unit = self.unit.max(other.unit);
    }

    /// What is left without the rows of `other`: the inverse of [`Moments::merge`].
    ///
    /// None where the scatter would get a negative direction: then those rows were never among these.
    pub(crate) fn without(&mut self, other: &mut Self) -> Option<Self> {
        self.flush();
        other.flush();
        let mut left = self.clone();
        left.count = self.count - other.count;
        left.unit = self.unit.max(other.unit);
        let (a, b) = (left.count as f64, other.count as f64);
        if left.count > 0 {
            let shift: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(m, o)| (m - o) * b / a).collect();
            left.mean.iter_mut().zip(&shift).for_each(|(m, s)| *m += s);
        }
        let distance: Vec<f64> = left.mean.iter().zip(&other.mean).map(|(m, o)| o - m).collect();
        // Without any row left nothing may be left of the mean either.
        let weight = if left.count > 0 { a * b / (a + b) } else { b };
        left.add_scaled(other, -1.0, &distance, -weight);
        let nothing = |i: usize| left.entry(i, i).abs() <= self.slack() * (self.entry(i, i) + self.rounding(i));
        let empty: Vec<bool> = (0..self.width).map(nothing).collect();
        if left.count > 1 {
            if !left.is_positive(self) {
                return None;
            }
            // What rounding left of columns that no longer vary may be negative.
            (0..self.width).filter(|&i| empty[i]).for_each(|i| left.clear(i));
            return Some(left);
        }
        if empty.contains(&false) {
            return None;
        }
        left.scatter.fill(0.0);
        Some(if left.count == 0 { Self::new(self.width) } else { left })
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

fn single_unit() -> f64 {
    <f32 as Float>::UNIT
}

/// Writes row `i` of parts side by side.
fn copy<T: Precision>(parts: &[Rows<'_>], i: usize, mut out: &mut [T]) {
    for part in parts {
        let (mine, rest) = out.split_at_mut(part.width());
        T::copy(part, i, mine);
        out = rest;
    }
}

/// A precision in which rows wait.
trait Precision: Float {
    fn copy(rows: &Rows<'_>, i: usize, out: &mut [Self]);
    fn waiting(waiting: &mut Waiting) -> &mut Vec<Self>;
}

impl Precision for f32 {
    fn copy(rows: &Rows<'_>, i: usize, out: &mut [Self]) {
        rows.copy_f32(i, out);
    }

    fn waiting(waiting: &mut Waiting) -> &mut Vec<Self> {
        &mut waiting.single
    }
}

impl Precision for f64 {
    fn copy(rows: &Rows<'_>, i: usize, out: &mut [Self]) {
        rows.copy_f64(i, out);
    }

    fn waiting(waiting: &mut Waiting) -> &mut Vec<Self> {
        &mut waiting.double
    }
}
