//! Held-out numbers from fold moments: fit on all folds but one, measure on that one. No row is read again.

use faer::MatRef;

use crate::decomposition::{Blocks, Canonical, Covariances, Known, decompose};
use crate::threads::in_parallel;
use crate::{Error, Moments, PairedMoments, dense};

/// Products of rows and both widths below which the threads cost more than they save.
const WORTH_THREADS: u64 = 1 << 20;

/// Held-out correlations stay this far below 1: log odds divide by 1 - rho^2, and no finite sample can tell a
/// correlation of 1 from one that is this close to it.
const BELOW_ONE: f64 = 1e-6;

/// What the pairs of the left-out folds say about each canonical direction.
#[derive(Clone)]
pub struct HeldOut {
    /// Held-out correlations (r,): isotonic, so nonincreasing, in [0, 1).
    pub correlations: Vec<f64>,
    /// Held-out standard deviation of each canonical variate of x, (r,).
    pub x_std: Vec<f64>,
    /// Held-out standard deviation of each canonical variate of y, (r,).
    pub y_std: Vec<f64>,
}

impl HeldOut {
    /// What the sides tell of each other by these correlations, in nats, were they Gaussian.
    pub(crate) fn information(&self) -> f64 {
        -self.correlations.iter().map(|r| (-r * r).ln_1p()).sum::<f64>() / 2.0
    }
}

/// The folds of some moments, each to be left out once, and what is known of the others together.
pub(crate) struct CrossFit<'a> {
    moments: &'a PairedMoments,
    folds: Vec<(usize, Known)>,
}

impl<'a> CrossFit<'a> {
    /// Needs at least two folds that hold rows.
    pub fn new(moments: &'a mut PairedMoments) -> Result<Self, Error> {
        moments.flush();
        let moments = &*moments;
        let counts: Vec<u64> = moments.fold_counts().collect();
        let folds: Vec<_> = (0..counts.len()).filter(|&k| counts[k] > 0).map(|k| (k, Known::default())).collect();
        if folds.len() < 2 || least_training_rows(moments) < 2 {
            return Err(Error::NoFolds { folds: counts.len(), filled: folds.len() });
        }
        Ok(Self { moments, folds })
    }

    /// Held-out numbers for each of these ridges.
    ///
    /// With `num_i = a_i^T Sxy b_i`, `dx_i = a_i^T Sxx a_i`, `dy_i = b_i^T Syy b_i` of each left-out fold about the
    /// training mean, summed over the folds: `rho_i = num_i / sqrt(dx_i dy_i)`, made nonincreasing by isotonic
    /// regression and clipped to [0, 1).
    pub fn held_out(&self, ridges: &[(f64, f64)]) -> Result<Vec<HeldOut>, Error> {
        let moments = self.moments;
        // A fold's eigenvectors, where they are needed, serve every ridge; a Cholesky factor serves one.
        let at_once = if self.shares_work() { ridges.len() } else { 1 };
        let jobs =
            self.folds.iter().flat_map(|fold| ridges.chunks(at_once).map(move |ridges| (fold, ridges))).collect();
        let work = moments.count().saturating_mul((moments.x_width() * moments.y_width()) as u64);
        let measured =
            in_parallel(jobs, work >= WORTH_THREADS, |((k, known), ridges)| left_out(moments, *k, known, ridges));
        let mut sums = vec![Sums::default(); ridges.len()];
        let measured = measured.into_iter().collect::<Result<Vec<_>, Error>>()?;
        for (i, fold) in measured.into_iter().flatten().enumerate() {
            sums[i % ridges.len()].add(fold);
        }
        Ok(sums.iter().map(|sums| sums.held_out(moments.count())).collect())
    }

    /// True where the folds are fitted by eigenvectors, which serve every ridge.
    pub fn shares_work(&self) -> bool {
        least_training_rows(self.moments) <= self.moments.x_width().max(self.moments.y_width()) as u64
    }

    /// Pairs for each column of both sides.
    pub fn pairs_per_column(&self) -> f64 {
        self.moments.count() as f64 / (self.moments.x_width() + self.moments.y_width()) as f64
    }
}

/// The training rows of the fold that leaves the fewest.
fn least_training_rows(moments: &PairedMoments) -> u64 {
    moments.fold_counts().map(|count| moments.count() - count).min().unwrap_or(0)
}

/// What fold `k` says of the directions of all others, for each ridge.
fn left_out(moments: &PairedMoments, k: usize, known: &Known, ridges: &[(f64, f64)]) -> Result<Vec<Sums>, Error> {
    let mut rest = moments.total_without(Some(k));
    let training = Covariances::new(&mut rest, moments.x_width(), known)?;
    let test = about(moments.fold(k), rest.mean(), moments.x_width());
    drop(rest);
    ridges.iter().map(|&ridge| Ok(Sums::of(&decompose(&training, ridge)?, &test))).collect()
}

/// Second moments of a fold about a mean, not divided by its rows.
fn about(fold: &Moments, mean: &[f64], p: usize) -> Blocks {
    let rows = fold.count() as f64;
    let distance: Vec<f64> = fold.flushed_mean().iter().zip(mean).map(|(m, c)| m - c).collect();
    Blocks::new(p, mean.len() - p, |i, out| {
        let scaled = rows * distance[i];
        out.iter_mut().zip(fold.row(i)).zip(&distance).for_each(|((o, v), d)| *o = v + scaled * d);
    })
}

/// Second moments of the canonical variates of left-out pairs, summed over the folds.
#[derive(Clone, Default)]
struct Sums {
    folds: usize,
    cross: Vec<f64>,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Sums {
    fn of(fit: &Canonical, test: &Blocks) -> Self {
        let (a, b) = (fit.a.as_ref(), fit.b.as_ref());
        Self {
            folds: 1,
            cross: quadratic(a, test.xy.as_ref(), b),
            x: quadratic(a, test.xx.as_ref(), a),
            y: quadratic(b, test.yy.as_ref(), b),
        }
    }

    fn add(&mut self, fold: Self) {
        if self.folds == 0 {
            *self = fold;
            return;
        }
        let parts = [(&mut self.cross, fold.cross), (&mut self.x, fold.x), (&mut self.y, fold.y)];
        for (sums, values) in parts {
            // A direction counts where every fold has it.
            sums.truncate(values.len());
            sums.iter_mut().zip(values).for_each(|(s, v)| *s += v);
        }
        self.folds += fold.folds;
    }

    fn held_out(&self, rows: u64) -> HeldOut {
        let correlation = |((cross, x), y): ((&f64, &f64), &f64)| {
            let scale = (x * y).sqrt();
            if scale > 0.0 { cross / scale } else { 0.0 }
        };
        let raw: Vec<f64> = self.cross.iter().zip(&self.x).zip(&self.y).map(correlation).collect();
        let deviations = |sums: &[f64]| sums.iter().map(|s| (s.max(0.0) / rows as f64).sqrt()).collect();
        HeldOut {
            correlations: nonincreasing(&raw).iter().map(|r| r.clamp(0.0, 1.0 - BELOW_ONE)).collect(),
            x_std: deviations(&self.x),
            y_std: deviations(&self.y),
        }
    }
}

/// `a_i^T S b_i` for every pair of columns.
fn quadratic(a: MatRef<'_, f64>, s: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Vec<f64> {
    let right = dense::product(s, b);
    (0..a.ncols()).map(|i| a.col(i).transpose() * right.col(i)).collect()
}

/// The nonincreasing sequence closest to `values` in least squares: pool adjacent violators (Barlow et al. 1972).
fn nonincreasing(values: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        let (mut sum, mut size) = (value, 1);
        while let Some(&(before, length)) = pools.last()
            && before / (length as f64) < sum / size as f64
        {
            pools.pop();
            sum += before;
            size += length;
        }
        pools.push((sum, size));
    }
    pools.iter().flat_map(|&(sum, size)| std::iter::repeat_n(sum / size as f64, size)).collect()
}

#[cfg(test)]
mod tests {
    use super::nonincreasing;

    #[test]
    fn pools_adjacent_violators() {
        assert_eq!(nonincreasing(&[]), Vec::<f64>::new());
        assert_eq!(nonincreasing(&[3.0, 2.0, 1.0]), [3.0, 2.0, 1.0]);
        assert_eq!(nonincreasing(&[1.0, 2.0, 3.0]), [2.0, 2.0, 2.0]);
        assert_eq!(nonincreasing(&[5.0, 1.0, 3.0, 2.0, 0.0]), [5.0, 2.0, 2.0, 2.0, 0.0]);
    }
}
