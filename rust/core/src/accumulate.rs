//! How rows get into moments: they wait until they are enough, and are multiplied in blocks.

use crate::gram::{self, DEPTH, FEW, Float, Group, Packed};
use crate::{Moments, Rows};

/// Rows (n, d) that were added but not yet multiplied, and their weights (n,).
#[derive(Clone, Default)]
pub(crate) struct Waiting {
    single: Vec<f32>,
    double: Vec<f64>,
    weights: Vec<f64>,
}

impl Waiting {
    pub fn rows(&self) -> u64 {
        self.weights.len() as u64
    }

    /// True where a row waits that is not in double precision.
    pub fn is_single(&self) -> bool {
        !self.single.is_empty()
    }
}

impl Moments {
    /// Adds rows that lie in parts side by side, each of them a row of its `Rows` by this index, all of them checked; of
    /// weights by the same index, 1 where there are none.
    ///
    /// Rows wait until they are enough to be multiplied at full speed; those that are enough already do not.
    pub(crate) fn extend(&mut self, parts: &[Rows<'_>], index: &[usize], weights: Option<&[f64]>) {
        if parts.iter().any(Rows::is_double) {
            self.extend_in::<f64>(parts, index, weights);
        } else {
            self.extend_in::<f32>(parts, index, weights);
        }
    }

    fn extend_in<T: Precision>(&mut self, parts: &[Rows<'_>], mut index: &[usize], weights: Option<&[f64]>) {
        let width = self.width();
        if self.waiting.single.len() + self.waiting.double.len() > T::waiting(&mut self.waiting).len() {
            self.flush();
        }
        let weights_of = |rows: &[usize]| -> Vec<f64> {
            weights.map_or_else(|| vec![1.0; rows.len()], |weights| rows.iter().map(|&i| weights[i]).collect())
        };
        let ample = gram::ample_rows(width);
        while index.len() >= ample / 2 {
            let (rows, later) = index.split_at(ample.min(index.len() / DEPTH * DEPTH));
            self.absorb(&weights_of(rows), &|i, out: &mut [T]| copy(parts, rows[i], out));
            index = later;
        }
        self.waiting.weights.extend(weights_of(index));
        let waiting = T::waiting(&mut self.waiting);
        let start = waiting.len();
        waiting.resize(start + index.len() * width, T::default());
        let places = waiting[start..].chunks_exact_mut(width);
        places.zip(index).for_each(|(place, &i)| copy(parts, i, place));
        if waiting.len() >= ample * width {
            self.flush();
        }
    }

    /// Multiplies the rows that wait.
    pub fn flush(&mut self) {
        let d = self.width();
        let Waiting { mut single, mut double, mut weights } = std::mem::take(&mut self.waiting);
        if !single.is_empty() {
            self.absorb(&weights, &|i, out: &mut [f32]| out.copy_from_slice(&single[i * d..][..d]));
        }
        if !double.is_empty() {
            self.absorb(&weights, &|i, out: &mut [f64]| out.copy_from_slice(&double[i * d..][..d]));
        }
        // The buffers keep their room for the next rows.
        single.clear();
        double.clear();
        weights.clear();
        self.waiting = Waiting { single, double, weights };
    }

    /// Multiplies rows of these weights that `fill` writes out, in their precision where that serves, else in f64.
    fn absorb<T: Float>(&mut self, weights: &[f64], fill: &(impl Fn(usize, &mut [T]) + Sync)) {
        if self.scatter.is_empty() {
            // Written, not only reserved as zeros: to read a reserved page and then write to it is two faults, the second
            // of which halts all threads.
            self.scatter.resize(gram::triangle(self.width()), 0.0);
        }
        if weights.iter().all(|&w| w == 1.0) {
            self.absorb_plain(weights.len(), fill);
        } else {
            self.absorb_weighted(weights, fill);
        }
        // What rounding leaves of a column that does not vary may be negative.
        for i in 0..self.width() {
            if self.entry(i, i) <= 0.0 {
                self.clear(i);
            }
        }
    }

    fn absorb_plain<T: Float>(&mut self, n: usize, fill: &(impl Fn(usize, &mut [T]) + Sync)) {
        let d = self.width();
        let near = if self.count > 0 { self.mean.clone() } else { gram::first_mean(n, d, fill) };
        self.follow(&near);
        let before = self.count;
        let packed = Packed::new(n, &near, self.fourth.as_ref(), fill);
        let refused = packed.refused.clone();
        self.note_precision::<T>(&packed, before, n);
        self.add(packed, Self::place);
        if !refused.is_empty() {
            let rows: Vec<usize> = refused.into_iter().flatten().collect();
            let near = if self.count > 0 { self.mean.clone() } else { near };
            // `Rows::check` bounds the values: in f64 none is refused.
            let packed = Packed::new(rows.len(), &near, self.fourth.as_ref(), &widened(d, &rows, fill));
            self.add(packed, Self::place);
        }
    }

    /// As above, for weights that are not all 1: the rows' deviations from their weighted mean times the roots of the
    /// weights have the weighted scatter as their product.
    fn absorb_weighted<T: Float>(&mut self, weights: &[f64], fill: &(impl Fn(usize, &mut [T]) + Sync)) {
        let (n, d) = (weights.len(), self.width());
        let near = if self.count > 0 { self.mean.clone() } else { gram::first_mean(n, d, fill) };
        self.follow(&near);
        let weight: f64 = weights.iter().sum();
        let (kernel, mut row, mut off) = (T::kernel(), vec![T::default(); d], vec![0.0; d]);
        for (i, &w) in weights.iter().enumerate() {
            fill(i, &mut row);
            off.iter_mut().zip(&row).zip(&near).for_each(|((o, &v), m)| *o += w / weight * (v.into() - m));
            if let Some(fourth) = &mut self.fourth {
                fourth.add(&kernel, &row, &[w]);
            }
        }
        let mean: Vec<f64> = near.iter().zip(&off).map(|(m, o)| m + o).collect();
        let rooted = |i: usize, out: &mut [T]| {
            fill(i, out);
            let root = weights[i].sqrt();
            out.iter_mut().zip(&mean).for_each(|(v, m)| *v = T::round(root * ((*v).into() - m)));
        };
        let zero = vec![0.0; d];
        let packed = Packed::new(n, &zero, None, &rooted);
        let refused = packed.refused.clone();
        self.note_precision::<T>(&packed, self.count, n);
        self.add(packed, Self::uncentre);
        if !refused.is_empty() {
            let rows: Vec<usize> = refused.into_iter().flatten().collect();
            let rooted = |i: usize, out: &mut [f64]| {
                widened(d, &rows, fill)(i, out);
                let root = weights[rows[i]].sqrt();
                out.iter_mut().zip(&mean).for_each(|(v, m)| *v = root * (*v - m));
            };
            let packed = Packed::new(rows.len(), &zero, None, &rooted);
            self.add(packed, Self::uncentre);
        }
        self.move_mean(&mean, weight);
        self.count += n as u64;
        self.squares += weights.iter().map(|w| w * w).sum::<f64>();
    }

    /// A few rows say nothing of what the others need; alone they count as what they are, so that the precision does not
    /// depend on the batches.
    fn note_precision<T: Float>(&mut self, packed: &Packed<T>, before: u64, n: usize) {
        if !packed.groups.is_empty() || (before == 0 && n < FEW) {
            self.unit = self.unit.max(T::UNIT);
        }
    }

    /// Keeps the centre of the fourth powers near the rows.
    fn follow(&mut self, near: &[f64]) {
        let second = self.second();
        let moved = match &self.fourth {
            Some(fourth) if self.count == 0 => Some(fourth.empty(near)),
            Some(fourth) if fourth.is_far(second) => Some(fourth.about(&self.mean, second)),
            _ => None,
        };
        if moved.is_some() {
            self.fourth = moved;
        }
    }

    fn add<T: Float>(&mut self, mut packed: Packed<T>, mut place: impl FnMut(&mut Self, &mut Group)) {
        packed.groups.iter_mut().for_each(|group| place(self, group));
        gram::add(&packed, self.width(), &mut self.scatter);
        if let (Some(fourth), Some(found)) = (&mut self.fourth, &packed.fourth) {
            fourth.join(found);
        }
    }

    /// Moves the count and the mean on over a group, and tells it the way from its own mean to the running one.
    fn place(&mut self, group: &mut Group) {
        let (before, n) = (self.weight, group.rows as f64);
        let total = before + n;
        let weight = (before * n / total).sqrt();
        for ((mean, theirs), up) in self.mean.iter_mut().zip(&group.mean).zip(&mut group.up) {
            let distance = theirs - *mean;
            *up = distance * weight;
            *mean += distance * (n / total);
        }
        self.count += group.rows as u64;
        self.weight = total;
        self.squares += n;
    }

    /// Lets a group add its product about zero instead of its own mean.
    fn uncentre(&mut self, group: &mut Group) {
        let root = (group.rows as f64).sqrt();
        group.up.iter_mut().zip(&group.mean).for_each(|(up, mean)| *up = mean * root);
    }
}

/// The rows that `fill` writes, in f64.
fn widened<'a, T: Float>(
    d: usize,
    rows: &'a [usize],
    fill: &'a (impl Fn(usize, &mut [T]) + Sync),
) -> impl Fn(usize, &mut [f64]) + Sync + 'a {
    move |i, out| {
        let mut row = vec![T::default(); d];
        fill(rows[i], &mut row);
        out.iter_mut().zip(row).for_each(|(o, v)| *o = v.into());
    }
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
