//! A whole fit: choose the ridge and the rank, decompose, and measure on held-out pairs.

use crate::cross_fit::{HeldOut, held_out, shares_work};
use crate::decomposition::{Canonical, Covariances, decompose};
use crate::{Error, PairedMoments};

/// How the ridge of each side, relative to its mean variance, is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ridge {
    /// These two.
    Fixed(f64, f64),
    /// Of [`GRID`], the same for both sides, the one with the largest sum of squared held-out correlations: the best of
    /// all where the folds' eigenvectors serve every ridge, else the one found by climbing from the middle.
    Auto,
    /// Oracle approximating shrinkage of each side (Chen, Wiesel, Eldar, Hero 2010, equation 23).
    Oas,
}

/// How many directions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// All there are.
    Full,
    /// At most so many.
    AtMost(usize),
    /// Those whose held-out correlation is above the level of chance, 1 / sqrt(n); all where nothing is held out.
    Auto,
}

/// The ridges that [`Ridge::Auto`] tries.
pub const GRID: [f64; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The canonical directions of all pairs, and what is known about them.
pub struct Fit {
    /// Number of pairs.
    pub count: u64,
    /// The ridge of each side that was used.
    pub ridge: (f64, f64),
    /// Mean of `[x | y]`, (p + q,).
    pub mean: Vec<f64>,
    /// Directions and training correlations.
    pub canonical: Canonical,
    /// Standard deviations of the canonical variates of x in training, (r,).
    pub x_std: Vec<f64>,
    /// Standard deviations of the canonical variates of y in training, (r,).
    pub y_std: Vec<f64>,
    /// The numbers of left-out pairs; None where fewer than two folds hold rows.
    pub held_out: Option<HeldOut>,
}

/// Fits all pairs of the moments. With fewer than two folds that hold rows [`Ridge::Auto`] is refused.
pub fn fit(moments: &mut PairedMoments, ridge: Ridge, rank: Rank) -> Result<Fit, Error> {
    let mut total = moments.total();
    let covariances = Covariances::new(&mut total, moments.x_width())?;
    let mean = total.mean().to_vec();
    drop(total);
    let count = covariances.rows;
    let ridge = match ridge {
        Ridge::Fixed(x, y) => Some((x, y)),
        Ridge::Oas => Some((covariances.xx.oas(count), covariances.yy.oas(count))),
        Ridge::Auto => None,
    };
    let (ridge, held_out) = match ridge {
        None => select(moments)?,
        Some(ridge) => match held_out(moments, &[ridge]) {
            Ok(mut measured) => (ridge, measured.pop()),
            Err(Error::NoFolds { .. }) => (ridge, None),
            Err(error) => return Err(error),
        },
    };
    let mut canonical = decompose(&covariances, ridge)?;
    canonical.truncate(match rank {
        Rank::Full => canonical.len(),
        Rank::AtMost(most) => most,
        Rank::Auto => held_out.as_ref().map_or(canonical.len(), |held_out| above_chance(held_out, count)),
    });
    let x_std = covariances.xx.deviations(canonical.a.as_ref(), ridge.0);
    let y_std = covariances.yy.deviations(canonical.b.as_ref(), ridge.1);
    let held_out = held_out.map(|held_out| HeldOut {
        correlations: resized(held_out.correlations, &vec![0.0; canonical.len()]),
        x_std: resized(held_out.x_std, &x_std),
        y_std: resized(held_out.y_std, &y_std),
    });
    Ok(Fit { count, ridge, mean, canonical, x_std, y_std, held_out })
}

/// The ridge of [`GRID`] with the largest sum of squared held-out correlations, with its held-out numbers.
///
/// Of equal sums the smallest ridge. Where each ridge costs a decomposition of its own only the neighbours of the best so
/// far are tried: the sum rises and falls once with the ridge, unless by chance.
fn select(moments: &mut PairedMoments) -> Result<((f64, f64), Option<HeldOut>), Error> {
    let mut measured: [Option<HeldOut>; GRID.len()] = [const { None }; GRID.len()];
    let middle = GRID.len() / 2;
    let mut wanted = if shares_work(moments) { 0..GRID.len() } else { middle - 1..middle + 2 };
    loop {
        let missing: Vec<usize> = wanted.filter(|&i| measured[i].is_none()).collect();
        let ridges: Vec<(f64, f64)> = missing.iter().map(|&i| (GRID[i], GRID[i])).collect();
        for (i, found) in missing.into_iter().zip(held_out(moments, &ridges)?) {
            measured[i] = Some(found);
        }
        let best = strongest(&measured);
        wanted = best.saturating_sub(1)..GRID.len().min(best + 2);
        if wanted.clone().all(|i| measured[i].is_some()) {
            return Ok(((GRID[best], GRID[best]), measured[best].take()));
        }
    }
}

/// The index of the largest sum of squared held-out correlations of those measured; of equal ones the first.
fn strongest(measured: &[Option<HeldOut>]) -> usize {
    let strengths = measured.iter().map(|found| found.as_ref().map_or(f64::NEG_INFINITY, HeldOut::strength));
    let mut best = (0, f64::NEG_INFINITY);
    for (i, strength) in strengths.enumerate() {
        // Equal up to rounding is equal: the order of the rows must not choose.
        if strength > best.1 * (1.0 + 1e-9) {
            best = (i, strength);
        }
    }
    best.0
}

/// How many directions have a held-out correlation above the standard error of one that is 0; at least 1.
fn above_chance(held_out: &HeldOut, rows: u64) -> usize {
    let chance = 1.0 / (rows as f64).sqrt();
    held_out.correlations.iter().take_while(|&&r| r > chance).count().max(1)
}

/// `values` cut to the length of `fallback`, or continued by it: left-out folds may find fewer directions than all
/// pairs do.
fn resized(mut values: Vec<f64>, fallback: &[f64]) -> Vec<f64> {
    values.truncate(fallback.len());
    values.extend_from_slice(&fallback[values.len()..]);
    values
}
