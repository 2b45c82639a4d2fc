//! Held-out numbers from fold moments: fit on all folds but one, measure on that one. No row is read again.

use faer::{Mat, MatRef};

use crate::decomposition::{Canonical, Covariances, decompose};
use crate::{Error, Moments, PairedMoments, dense};

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
    /// Sum of the squared held-out correlations.
    pub(crate) fn strength(&self) -> f64 {
        self.correlations.iter().map(|r| r * r).sum()
    }
}

/// Held-out numbers for each of these ridges. Needs at least two folds that hold rows.
///
/// With `num_i = a_i^T Sxy b_i`, `dx_i = a_i^T Sxx a_i`, `dy_i = b_i^T Syy b_i` of each left-out fold about the
/// training mean, summed over the folds: `rho_i = num_i / sqrt(dx_i dy_i)`, made nonincreasing by isotonic
/// regression and clipped to [0, 1).
pub(crate) fn held_out(moments: &mut PairedMoments, ridges: &[(f64, f64)]) -> Result<Vec<HeldOut>, Error> {
    let p = moments.x_width();
    let all = moments.count();
    let filled: Vec<usize> = (0..moments.folds().len()).filter(|&k| moments.folds()[k].count() > 0).collect();
    let least = filled.iter().map(|&k| all - moments.folds()[k].count()).min().unwrap_or(0);
    if filled.len() < 2 || least < 2 {
        return Err(Error::NoFolds { folds: moments.folds().len(), filled: filled.len() });
    }
    let mut sums = vec![Sums::default(); ridges.len()];
    for k in filled {
        let mut rest = moments.total_without(Some(k));
        let training = Covariances::new(&mut rest, p)?;
        let test = Test::new(&mut moments.folds()[k], rest.mean(), p);
        for (sums, &ridge) in sums.iter_mut().zip(ridges) {
            sums.add(&decompose(&training, ridge)?, &test);
        }
    }
    Ok(sums.iter().map(|sums| sums.held_out(all)).collect())
}

/// Second moments of a left-out fold about the training mean, not divided by its rows.
struct Test {
    xx: Mat<f64>,
    yy: Mat<f64>,
    xy: Mat<f64>,
}

impl Test {
    fn new(fold: &mut Moments, center: &[f64], p: usize) -> Self {
        let q = fold.width() - p;
        let rows = fold.count() as f64;
        let distance: Vec<f64> = fold.mean().iter().zip(center).map(|(m, c)| m - c).collect();
        let part = |m: usize, n: usize, i0: usize, j0: usize| {
            Mat::from_fn(m, n, |i, j| fold.entry(i0 + i, j0 + j) + rows * distance[i0 + i] * distance[j0 + j])
        };
        Self { xx: part(p, p, 0, 0), yy: part(q, q, p, p), xy: part(p, q, 0, p) }
    }
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
    fn add(&mut self, fit: &Canonical, test: &Test) {
        let (a, b) = (fit.a.as_ref(), fit.b.as_ref());
        let add = |sums: &mut Vec<f64>, values: Vec<f64>| {
            if self.folds == 0 {
                *sums = values;
            } else {
                // A direction counts where every fold has it.
                sums.truncate(values.len());
                sums.iter_mut().zip(values).for_each(|(s, v)| *s += v);
            }
        };
        add(&mut self.cross, quadratic(a, test.xy.as_ref(), b));
        add(&mut self.x, quadratic(a, test.xx.as_ref(), a));
        add(&mut self.y, quadratic(b, test.yy.as_ref(), b));
        self.folds += 1;
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
