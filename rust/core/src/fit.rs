//! A whole fit: choose the ridge and the rank, decompose, and measure on held-out pairs.

use std::collections::BTreeMap;

use crate::cross_fit::{CrossFit, HeldOut};
use crate::decomposition::{Canonical, Covariances, Known, decompose};
use crate::{Error, PairedMoments};

/// How the ridge of each side, relative to its mean variance, is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ridge {
    /// These two.
    Fixed(f64, f64),
    /// Of [`GRID`], for each side, those with the most held-out information, found by climbing: the Gaussian mutual
    /// information of the held-out correlations, `-sum log(1 - r^2) / 2`.
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
    let covariances = Covariances::new(&mut total, moments.x_width(), &Known::default())?;
    let mean = total.mean().to_vec();
    drop(total);
    let count = covariances.rows;
    let ridge = match ridge {
        Ridge::Fixed(x, y) => Some((x, y)),
        Ridge::Oas => Some((covariances.xx.oas(count), covariances.yy.oas(count))),
        Ridge::Auto => None,
    };
    let (ridge, held_out) = match (ridge, CrossFit::new(moments)) {
        (None, cross_fit) => select(&cross_fit?)?,
        (Some(ridge), Ok(cross_fit)) => (ridge, cross_fit.held_out(&[ridge])?.pop()),
        (Some(ridge), Err(Error::NoFolds { .. })) => (ridge, None),
        (_, Err(error)) => return Err(error),
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

/// Pairs for each column up to which the sides get ridges of their own. With more the ridge matters little.
const SCARCE: f64 = 10.0;

/// The ridges of [`GRID`] with the most held-out information, with their held-out numbers.
///
/// The information rises and falls once with the ridge, unless by chance. So ridges that are the same for both sides are
/// climbed from the middle (or all tried, where the folds' eigenvectors serve every ridge); and from the best of them,
/// where pairs are scarce, the ridge of one side and of the other. Of equal ones the smaller are taken.
fn select(cross_fit: &CrossFit<'_>) -> Result<((f64, f64), Option<HeldOut>), Error> {
    let last = GRID.len() - 1;
    let mut measured = BTreeMap::new();
    let start: Vec<usize> = if cross_fit.shares_work() { (0..=last).collect() } else { vec![last / 2] };
    let equal = |&(i, _): &Place| beside(i, last).map(|i| (i, i)).collect();
    let best = climb(cross_fit, &mut measured, start.into_iter().map(|i| (i, i)).collect(), equal)?;
    let best = if cross_fit.pairs_per_column() < SCARCE {
        let apart = |&(i, j): &Place| {
            let x = beside(i, last).map(|i| (i, j));
            x.chain(beside(j, last).map(|j| (i, j))).collect()
        };
        climb(cross_fit, &mut measured, vec![best], apart)?
    } else {
        best
    };
    Ok((ridges(&best), measured.remove(&best)))
}

/// Where the ridges of x and of y stand in [`GRID`].
type Place = (usize, usize);

fn ridges(&(i, j): &Place) -> (f64, f64) {
    (GRID[i], GRID[j])
}

/// The neighbours of place `i`.
fn beside(i: usize, last: usize) -> impl Iterator<Item = usize> {
    i.checked_sub(1).into_iter().chain((i < last).then_some(i + 1))
}

/// Measures the places wanted, then the neighbours of the best so far, until none of them is better.
fn climb(
    cross_fit: &CrossFit<'_>,
    measured: &mut BTreeMap<Place, HeldOut>,
    mut wanted: Vec<Place>,
    neighbours: impl Fn(&Place) -> Vec<Place>,
) -> Result<Place, Error> {
    loop {
        wanted.retain(|place| !measured.contains_key(place));
        if !wanted.is_empty() {
            let found = cross_fit.held_out(&wanted.iter().map(ridges).collect::<Vec<_>>())?;
            measured.extend(wanted.into_iter().zip(found));
        }
        let best = strongest(measured);
        wanted = neighbours(&best);
        if wanted.iter().all(|place| measured.contains_key(place)) {
            return Ok(best);
        }
    }
}

/// The place with the most held-out information; of equal ones the first.
fn strongest(measured: &BTreeMap<Place, HeldOut>) -> Place {
    let mut best = ((0, 0), f64::NEG_INFINITY);
    for (&place, held_out) in measured {
        let information = held_out.information();
        // Equal up to rounding is equal: the order of the rows must not choose.
        if information > best.1 * (1.0 + 1e-9) {
            best = (place, information);
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
