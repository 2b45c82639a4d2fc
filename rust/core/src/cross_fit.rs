//! Held-out numbers from fold moments: fit on all folds but one, measure on that one. No row is read again.

use faer::MatRef;

use crate::decomposition::{Blocks, Canonical, Covariances, Known, Unpaired, decompose};
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
    /// What each left-out fold says, of every direction that all folds have: there may be more than are kept.
    pub folds: Vec<Sums>,
}

/// What a fit depends on beside its pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    /// Of each side, relative to its mean variance.
    pub ridge: (f64, f64),
    /// Of the unpaired rows in the covariance of each side.
    pub share: (f64, f64),
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

    /// Held-out numbers for each of these settings.
    ///
    /// With `num_i = a_i^T Sxy b_i`, `dx_i = a_i^T Sxx a_i`, `dy_i = b_i^T Syy b_i` of each left-out fold about the
    /// training mean, summed over the folds: `rho_i = num_i / sqrt(dx_i dy_i)`, made nonincreasing by isotonic
    /// regression and clipped to [0, 1).
    pub fn held_out(&self, settings: &[Setting]) -> Result<Vec<HeldOut>, Error> {
        let moments = self.moments;
        // A fold's eigenvectors, where they are needed, serve every ridge; a Cholesky factor serves one.
        let at_once = if self.shares_work() { settings.len() } else { 1 };
        let jobs =
            self.folds.iter().flat_map(|fold| settings.chunks(at_once).map(move |settings| (fold, settings))).collect();
        let work = moments.count().saturating_mul((moments.x_width() * moments.y_width()) as u64);
        let measured =
            in_parallel(jobs, work >= WORTH_THREADS, |((k, known), settings)| left_out(moments, *k, known, settings));
        let mut folds: Vec<Vec<Sums>> = vec![Vec::with_capacity(self.folds.len()); settings.len()];
        let measured = measured.into_iter().collect::<Result<Vec<_>, Error>>()?;
        for (i, sums) in measured.into_iter().flatten().enumerate() {
            folds[i % settings.len()].push(sums);
        }
        Ok(folds.into_iter().map(HeldOut::new).collect())
    }

    /// Unpaired rows of each side.
    pub fn unpaired_rows(&self) -> [u64; 2] {
        self.moments.unpaired().map(Moments::count)
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

/// What fold `k` says of the directions of all others, for each setting.
fn left_out(moments: &PairedMoments, k: usize, known: &Known, settings: &[Setting]) -> Result<Vec<Sums>, Error> {
    let mut rest = moments.total_without(Some(k));
    let test = about(moments.fold(k), rest.mean(), moments.x_width());
    let mut results = Vec::with_capacity(settings.len());
    for same in settings.chunk_by(|a, b| a.share == b.share) {
        let training = Covariances::new(&mut rest, moments.x_width(), pooled(moments, same[0].share), known)?;
        let weight = moments.fold(k).weight;
        results.extend(
            same.iter()
                .map(|setting| Ok(Sums::of(&decompose(&training, setting.ridge)?, &test, weight)))
                .collect::<Result<Vec<_>, Error>>()?,
        );
    }
    Ok(results)
}

/// The unpaired rows of both sides with these shares.
pub(crate) fn pooled(moments: &PairedMoments, share: (f64, f64)) -> [Option<Unpaired<'_>>; 2] {
    let [x, y] = moments.unpaired();
    [(x, share.0), (y, share.1)].map(|(moments, share)| (share > 0.0).then_some(Unpaired { moments, share }))
}

/// Second moments of a fold about a mean, not divided by its rows.
fn about(fold: &Moments, mean: &[f64], p: usize) -> Blocks {
    let distance: Vec<f64> = fold.flushed_mean().iter().zip(mean).map(|(m, c)| m - c).collect();
    Blocks::new(p, mean.len() - p, |i, out| {
        let scaled = fold.weight * distance[i];
        out.iter_mut().zip(fold.row(i)).zip(&distance).for_each(|((o, v), d)| *o = v + scaled * d);
    })
}

/// Second moments of the canonical variates of a left-out fold about the mean of the others, summed over its pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// Total weight of the pairs; their number where each weighs 1.
    pub weight: f64,
    /// Of both variates of each direction, (r,).
    pub cross: Vec<f64>,
    /// Of the variates of x, (r,).
    pub x: Vec<f64>,
    /// Of the variates of y, (r,).
    pub y: Vec<f64>,
}

impl Sums {
    fn of(fit: &Canonical, test: &Blocks, weight: f64) -> Self {
        let (a, b) = (fit.a.as_ref(), fit.b.as_ref());
        Self {
            weight,
            cross: quadratic(a, test.xy.as_ref(), b),
            x: quadratic(a, test.xx.as_ref(), a),
            y: quadratic(b, test.yy.as_ref(), b),
        }
    }

    fn truncate(&mut self, r: usize) {
        [&mut self.cross, &mut self.x, &mut self.y].into_iter().for_each(|sums| sums.truncate(r));
    }
}

impl HeldOut {
    fn new(mut folds: Vec<Sums>) -> Self {
        // A direction counts where every fold has it.
        let r = folds.iter().map(|sums| sums.cross.len()).min().unwrap_or(0);
        folds.iter_mut().for_each(|sums| sums.truncate(r));
        let total = |of: fn(&Sums) -> &Vec<f64>| -> Vec<f64> {
            (0..r).map(|i| folds.iter().map(|sums| of(sums)[i]).sum()).collect()
        };
        let (cross, x, y) = (total(|sums| &sums.cross), total(|sums| &sums.x), total(|sums| &sums.y));
        let weight: f64 = folds.iter().map(|sums| sums.weight).sum();
        let correlation = |((cross, x), y): ((&f64, &f64), &f64)| {
            let scale = (x * y).sqrt();
            if scale > 0.0 { cross / scale } else { 0.0 }
        };
        let raw: Vec<f64> = cross.iter().zip(&x).zip(&y).map(correlation).collect();
        let deviations = |sums: &[f64]| sums.iter().map(|s| (s.max(0.0) / weight).sqrt()).collect();
        Self {
            correlations: nonincreasing(&raw).iter().map(|r| r.clamp(0.0, 1.0 - BELOW_ONE)).collect(),
            x_std: deviations(&x),
            y_std: deviations(&y),
            folds,
        }
    }
}

/// `a_i^T S b_i` for every pair of columns.
fn quadratic(a: MatRef<'_, f64>, s: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Vec<f64> {
    let right = dense::product(s, b);
    (0..a.ncols()).map(|i| a.col(i).transpose() * right.col(i)).collect()
}

/// The nonincreasing sequence closest to `values` in least squares: pool adjacent violators (Barlow et al. 1972).
///
/// ```
/// assert_eq!(canonsim_core::nonincreasing(&[5.0, 1.0, 3.0, 2.0, 0.0]), [5.0, 2.0, 2.0, 2.0, 0.0]);
/// ```
pub fn nonincreasing(values: &[f64]) -> Vec<f64> {
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
