//! A whole fit: choose the ridge and the rank, decompose, and measure on held-out pairs.

use crate::cross_fit::{HeldOut, held_out};
use crate::decomposition::{Canonical, Covariances, decompose};
use crate::{Error, PairedMoments};

/// How the ridge of each side, relative to its mean variance, is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ridge {
    /// These two.
    Fixed(f64, f64),
    /// Of [`GRID`], the same for both sides, the one with the largest sum of squared held-out correlations.
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
    let count = covariances.rows;
    let candidates = match ridge {
        Ridge::Fixed(x, y) => vec![(x, y)],
        Ridge::Oas => vec![(covariances.xx.oas(count), covariances.yy.oas(count))],
        Ridge::Auto => GRID.map(|ridge| (ridge, ridge)).to_vec(),
    };
    let (ridge, held_out) = match held_out(moments, &candidates) {
        Ok(measured) => {
            let chosen = strongest(&measured);
            (candidates[chosen], Some(measured[chosen].clone()))
        }
        Err(Error::NoFolds { .. }) if ridge != Ridge::Auto => (candidates[0], None),
        Err(error) => return Err(error),
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
    Ok(Fit { count, ridge, mean: total.mean().to_vec(), canonical, x_std, y_std, held_out })
}

/// The index of the largest sum of squared held-out correlations; of equal ones the first, so the smallest ridge.
fn strongest(measured: &[HeldOut]) -> usize {
    let mut best = 0;
    for (i, held_out) in measured.iter().enumerate() {
        // Equal up to rounding is equal: the order of the rows must not choose.
        if held_out.strength() > measured[best].strength() * (1.0 + 1e-9) {
            best = i;
        }
    }
    best
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
