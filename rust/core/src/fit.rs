//! A whole fit: choose the ridge and the rank, decompose, and measure on held-out pairs.

use std::collections::BTreeMap;

use crate::cross_fit::{CrossFit, HeldOut, Setting, pooled};
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
    /// The shrinkage of Ledoit and Wolf (2004) of each side.
    LedoitWolf,
}

/// How much of each side's covariance comes from its unpaired rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// These shares, in [0, 1]; 0 for a side without unpaired rows.
    Fixed(f64, f64),
    /// Of [`SHARES`], for each side, those with the most held-out information; 0 where nothing is held out.
    Auto,
}

/// How many directions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// All there are.
    Full,
    /// At most so many.
    AtMost(usize),
    /// Those whose held-out correlation is above the level of chance, 1 / sqrt(n m) for m pooled directions; all where
    /// nothing is held out.
    Auto,
}

/// The ridges that [`Ridge::Auto`] tries.
pub const GRID: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
/// Where in [`GRID`] the climb begins: many pairs need little.
pub const START: usize = 3;
/// The shares that [`Share::Auto`] tries.
pub const SHARES: [f64; 5] = [0.0, 0.1, 0.3, 0.6, 0.9];

/// The canonical directions of all pairs, and what is known about them.
pub struct Fit {
    /// Number of pairs.
    pub count: u64,
    /// How many pairs of one weight tell as much (Kish 1965).
    pub effective: f64,
    /// The ridge of each side that was used.
    pub ridge: (f64, f64),
    /// The share of the unpaired rows in each side's covariance.
    pub share: (f64, f64),
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
pub fn fit(moments: &mut PairedMoments, ridge: Ridge, share: Share, rank: Rank) -> Result<Fit, Error> {
    moments.flush();
    if let Share::Fixed(x, y) = share {
        for (value, rows) in [x, y].into_iter().zip(moments.unpaired().map(crate::Moments::count)) {
            if !(0.0..=1.0).contains(&value) || (value > 0.0 && rows < 2) {
                return Err(Error::Share { value, rows });
            }
        }
    }
    let (setting, held_out) = match (ridges_of(moments, ridge)?, CrossFit::new(moments)) {
        (fixed, Ok(cross_fit)) => select(&cross_fit, fixed, share)?,
        (Some(ridge), Err(Error::NoFolds { .. })) => {
            let share = if let Share::Fixed(x, y) = share { (x, y) } else { (0.0, 0.0) };
            (Setting { ridge, share }, None)
        }
        (_, Err(error)) => return Err(error),
    };
    let Setting { ridge, share } = setting;
    let mut total = moments.second_moments();
    let covariances = Covariances::new(&mut total, moments.x_width(), pooled(moments, share), &Known::default())?;
    let mean = total.mean().to_vec();
    drop(total);
    let (count, effective) = (covariances.rows, covariances.effective);
    let mut canonical = decompose(&covariances, ridge)?;
    canonical.truncate(match rank {
        Rank::Full => canonical.len(),
        Rank::AtMost(most) => most,
        Rank::Auto => {
            held_out.as_ref().map_or(canonical.len(), |held_out| above_chance(&held_out.correlations, effective).max(1))
        }
    });
    let x_std = covariances.xx.deviations(canonical.a.as_ref(), ridge.0);
    let y_std = covariances.yy.deviations(canonical.b.as_ref(), ridge.1);
    let held_out = held_out.map(|held_out| HeldOut {
        correlations: resized(held_out.correlations, &vec![0.0; canonical.len()]),
        x_std: resized(held_out.x_std, &x_std),
        y_std: resized(held_out.y_std, &y_std),
        folds: held_out.folds,
    });
    Ok(Fit { count, effective, ridge, share, mean, canonical, x_std, y_std, held_out })
}

/// The ridges, where they do not depend on what is held out.
fn ridges_of(moments: &mut PairedMoments, ridge: Ridge) -> Result<Option<(f64, f64)>, Error> {
    match ridge {
        Ridge::Fixed(x, y) => return Ok(Some((x, y))),
        Ridge::Auto => return Ok(None),
        Ridge::Oas | Ridge::LedoitWolf => {}
    }
    let mut total = moments.total();
    let Covariances { effective, xx, yy, .. } =
        Covariances::new(&mut total, moments.x_width(), [None, None], &Known::default())?;
    Ok(Some(if ridge == Ridge::Oas {
        (xx.oas(effective), yy.oas(effective))
    } else {
        let fourths = total.mean_fourths();
        (xx.ledoit_wolf(effective, fourths[0])?, yy.ledoit_wolf(effective, fourths[1])?)
    }))
}

/// Pairs for each column up to which the sides get ridges of their own. With more the ridge matters little.
const SCARCE: f64 = 10.0;

/// Where a setting stands: the ridges of x and of y, the shares of x and of y, each on its own axis.
type Place = [usize; 4];
/// Steps along the axes that are tried together.
type Step = [isize; 4];

/// What may be chosen on each axis of a [`Place`].
struct Axes([Vec<f64>; 4]);

impl Axes {
    fn setting(&self, place: &Place) -> Setting {
        let value = |axis: usize| self.0[axis][place[axis]];
        Setting { ridge: (value(0), value(1)), share: (value(2), value(3)) }
    }

    /// The places one step to either side.
    fn beside(&self, place: &Place, steps: &[Step]) -> Vec<Place> {
        let to = |step: &Step, sign: isize| {
            let mut next = *place;
            for ((i, step), axis) in next.iter_mut().zip(step).zip(&self.0) {
                *i = i.checked_add_signed(sign * step).filter(|&i| i < axis.len())?;
            }
            Some(next)
        };
        steps.iter().flat_map(|step| [to(step, -1), to(step, 1)]).flatten().collect()
    }
}

/// The setting with the most held-out information, with its held-out numbers.
///
/// The information rises and falls once with the ridge, unless by chance. So ridges that are the same for both sides are
/// climbed from [`START`] (or all tried, where the folds' eigenvectors serve every ridge); and from the best of them,
/// where pairs are scarce, the ridge of one side and of the other, and the share of unpaired rows of each side that has
/// some. Of equal ones the smaller are taken.
fn select(
    cross_fit: &CrossFit<'_>,
    ridge: Option<(f64, f64)>,
    share: Share,
) -> Result<(Setting, Option<HeldOut>), Error> {
    let [x, y] = cross_fit.unpaired_rows();
    let [share_x, share_y] = match share {
        Share::Fixed(x, y) => [vec![x], vec![y]],
        Share::Auto => [x, y].map(|rows| SHARES[..if rows < 2 { 1 } else { SHARES.len() }].to_vec()),
    };
    let pools = share_x.len().max(share_y.len()) > 1;
    let (ridge_x, ridge_y) = ridge.map_or((GRID.to_vec(), GRID.to_vec()), |(x, y)| (vec![x], vec![y]));
    let first = if cross_fit.shares_work() || ridge.is_some() { 0..ridge_x.len() } else { START..START + 1 };
    let axes = Axes([ridge_x, ridge_y, share_x, share_y]);
    let mut measured = BTreeMap::new();
    let together: &[Step] = &[[1, 1, 0, 0]];
    let mut best = climb(cross_fit, &axes, &mut measured, first.map(|i| [i, i, 0, 0]).collect(), together)?;
    let scarce = cross_fit.pairs_per_column() < SCARCE;
    let apart: &[Step] = if scarce { &[[1, 0, 0, 0], [0, 1, 0, 0]] } else { together };
    if scarce {
        best = climb(cross_fit, &axes, &mut measured, vec![best], apart)?;
    }
    if pools {
        let steps = [apart, &[[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 1]]].concat();
        best = climb(cross_fit, &axes, &mut measured, vec![best], &steps)?;
    }
    Ok((axes.setting(&best), measured.remove(&best)))
}

/// Measures the places wanted, then the neighbours of the best so far, until none of them is better.
fn climb(
    cross_fit: &CrossFit<'_>,
    axes: &Axes,
    measured: &mut BTreeMap<Place, HeldOut>,
    mut wanted: Vec<Place>,
    steps: &[Step],
) -> Result<Place, Error> {
    loop {
        wanted.retain(|place| !measured.contains_key(place));
        if !wanted.is_empty() {
            let found = cross_fit.held_out(&wanted.iter().map(|place| axes.setting(place)).collect::<Vec<_>>())?;
            measured.extend(wanted.into_iter().zip(found));
        }
        let best = strongest(measured);
        wanted = axes.beside(&best, steps);
        if wanted.iter().all(|place| measured.contains_key(place)) {
            return Ok(best);
        }
    }
}

/// The place with the most held-out information; of equal ones the first.
fn strongest(measured: &BTreeMap<Place, HeldOut>) -> Place {
    let mut best = (Place::default(), f64::NEG_INFINITY);
    for (&place, held_out) in measured {
        let information = held_out.information();
        // Equal up to rounding is equal: the order of the rows must not choose.
        if information > best.1 * (1.0 + 1e-9) {
            best = (place, information);
        }
    }
    best.0
}

/// How many of the first directions have a held-out correlation above the standard error of one that is 0, given `effective`
/// pairs. Directions that isotonic regression pooled, equal ones, are one measurement: their mean has a standard error
/// smaller by the root of their number.
///
/// ```
/// assert_eq!(canonsim_core::above_chance(&[0.9, 0.08, 0.08, 0.08, 0.08, 0.0], 100.0), 5);
/// assert_eq!(canonsim_core::above_chance(&[0.9, 0.09, 0.08, 0.08, 0.08, 0.08], 100.0), 1);
/// ```
pub fn above_chance(correlations: &[f64], effective: f64) -> usize {
    let pools = correlations.chunk_by(|a, b| a == b);
    let above = pools.take_while(|pool| pool[0] > 1.0 / (effective * pool.len() as f64).sqrt());
    above.map(<[f64]>::len).sum()
}

/// `values` cut to the length of `fallback`, or continued by it: left-out folds may find fewer directions than all
/// pairs do.
fn resized(mut values: Vec<f64>, fallback: &[f64]) -> Vec<f64> {
    values.truncate(fallback.len());
    values.extend_from_slice(&fallback[values.len()..]);
    values
}
