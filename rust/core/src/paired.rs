//! Moments of paired rows, fold by fold, and of unpaired rows of one side.

use crate::{Error, Moments, Rows, fold_of};

/// The moments of rows `[x | y]`, kept apart per fold, and those of rows of one side only.
///
/// A row's fold is a fixed hash of its id ([`fold_of`]): every order, batching and sharding of the same rows with
/// the same ids gives the same folds, and up to rounding the same state.
#[derive(Clone)]
pub struct PairedMoments {
    x_width: usize,
    y_width: usize,
    folds: Vec<Moments>,
    unpaired_x: Moments,
    unpaired_y: Moments,
}

impl PairedMoments {
    /// Moments of no rows. `folds` of 1 keeps no folds: less memory, and nothing can be held out.
    pub fn new(x_width: usize, y_width: usize, folds: usize) -> Result<Self, Error> {
        for (argument, value) in [("x_dim", x_width), ("y_dim", y_width), ("folds", folds)] {
            if value == 0 {
                return Err(Error::Empty { argument });
            }
        }
        // Each scatter is allocated at its first row; what can never fit is refused before that.
        let columns = x_width.saturating_add(y_width);
        let triangle = columns.checked_add(1).and_then(|next| columns.checked_mul(next)).map(|twice| twice / 2);
        let each = triangle.and_then(|triangle| triangle.checked_add(columns)).and_then(|all| {
            // A fold costs something without rows, too.
            all.checked_add(size_of::<Moments>())
        });
        let values = each.and_then(|each| each.checked_mul(folds));
        let fits = values.is_some_and(|values| Vec::<f64>::new().try_reserve_exact(values).is_ok());
        if !fits {
            return Err(Error::TooWide { columns, folds });
        }
        Ok(Self::from_folds(x_width, y_width, vec![Moments::new(&[x_width, y_width]); folds]))
    }

    /// Moments made of those of each fold, of width `x_width + y_width`, without unpaired rows.
    pub fn from_folds(x_width: usize, y_width: usize, folds: Vec<Moments>) -> Self {
        debug_assert!(folds.iter().all(|fold| fold.width() == x_width + y_width));
        Self { x_width, y_width, folds, unpaired_x: Moments::new(&[x_width]), unpaired_y: Moments::new(&[y_width]) }
    }

    /// Columns of x, p.
    pub fn x_width(&self) -> usize {
        self.x_width
    }

    /// Columns of y, q.
    pub fn y_width(&self) -> usize {
        self.y_width
    }

    /// Number of pairs.
    pub fn count(&self) -> u64 {
        self.folds.iter().map(Moments::count).sum()
    }

    /// The moments of each fold, of width p + q.
    pub fn folds(&mut self) -> &mut [Moments] {
        &mut self.folds
    }

    /// The moments of the unpaired rows of x, of width p.
    pub fn unpaired_x(&mut self) -> &mut Moments {
        &mut self.unpaired_x
    }

    /// The moments of the unpaired rows of y, of width q.
    pub fn unpaired_y(&mut self) -> &mut Moments {
        &mut self.unpaired_y
    }

    /// All folds together, of width p + q.
    pub fn total(&mut self) -> Moments {
        self.flush();
        let mut total = Moments::new(&[self.x_width, self.y_width]);
        self.folds.iter().for_each(|fold| total.join(fold));
        total
    }

    /// As [`PairedMoments::total`], without fourth powers, which cost a pass over every scatter.
    pub fn second_moments(&mut self) -> Moments {
        self.flush();
        self.total_without(None)
    }

    /// All folds but one together, or all, without fourth powers. No row may wait.
    pub(crate) fn total_without(&self, left_out: Option<usize>) -> Moments {
        let mut total = Moments::without_fourth(self.x_width + self.y_width);
        self.folds.iter().enumerate().filter(|(k, _)| left_out != Some(*k)).for_each(|(_, fold)| total.join(fold));
        total
    }

    /// Multiplies the rows that wait.
    pub(crate) fn flush(&mut self) {
        self.folds.iter_mut().chain([&mut self.unpaired_x, &mut self.unpaired_y]).for_each(Moments::flush);
    }

    /// Rows of each fold.
    pub(crate) fn fold_counts(&self) -> impl Iterator<Item = u64> {
        self.folds.iter().map(Moments::count)
    }

    /// The unpaired rows of x and of y.
    pub(crate) fn unpaired(&self) -> [&Moments; 2] {
        [&self.unpaired_x, &self.unpaired_y]
    }

    pub(crate) fn fold(&self, k: usize) -> &Moments {
        &self.folds[k]
    }

    /// Adds pairs: row i of `x` belongs to row i of `y`, has the id `ids[i]`, by default the running number of the row,
    /// and weighs `weights[i]`, by default 1. A row of weight 0 is as if it were not there.
    pub fn update<'a>(
        &mut self,
        x: Rows<'a>,
        y: Rows<'a>,
        ids: Option<&[i64]>,
        weights: Option<&[f64]>,
    ) -> Result<(), Error> {
        self.check(&x, &y, ids, weights)?;
        let first = i64::try_from(self.count()).unwrap_or(i64::MAX);
        self.push(x, y, |i| ids.map_or_else(|| first.wrapping_add(i as i64), |ids| ids[i]), weights);
        Ok(())
    }

    fn check(&self, x: &Rows<'_>, y: &Rows<'_>, ids: Option<&[i64]>, weights: Option<&[f64]>) -> Result<(), Error> {
        let lengths = [("y", y.len()), ("ids", ids.map_or(x.len(), <[i64]>::len))];
        for (argument, found) in lengths {
            if found != x.len() {
                return Err(Error::RowCount { argument, expected: x.len(), found });
            }
        }
        check_weights(weights, x.len())?;
        x.check("x", self.x_width)?;
        y.check("y", self.y_width)
    }

    fn push<'a>(&mut self, x: Rows<'a>, y: Rows<'a>, id: impl Fn(usize) -> i64, weights: Option<&[f64]>) {
        let mut members = vec![Vec::new(); self.folds.len()];
        for i in weighing(x.len(), weights) {
            members[fold_of(id(i), self.folds.len())].push(i);
        }
        for (fold, rows) in self.folds.iter_mut().zip(members) {
            fold.extend(&[x, y], &rows, weights);
        }
    }

    /// Adds rows of x that have no partner.
    pub fn update_x(&mut self, x: Rows<'_>, weights: Option<&[f64]>) -> Result<(), Error> {
        check_weights(weights, x.len())?;
        x.check("x", self.x_width)?;
        self.unpaired_x.extend(&[x], &weighing(x.len(), weights), weights);
        Ok(())
    }

    /// Adds rows of y that have no partner.
    pub fn update_y(&mut self, y: Rows<'_>, weights: Option<&[f64]>) -> Result<(), Error> {
        check_weights(weights, y.len())?;
        y.check("y", self.y_width)?;
        self.unpaired_y.extend(&[y], &weighing(y.len(), weights), weights);
        Ok(())
    }

    /// Takes pairs back that were added under these ids with these weights: the exact inverse of
    /// [`PairedMoments::update`], up to rounding. Refused, with the state as it was, where a fold holds fewer rows or
    /// less weight, or would lose positive semidefiniteness.
    pub fn remove<'a>(&mut self, x: Rows<'a>, y: Rows<'a>, ids: &[i64], weights: Option<&[f64]>) -> Result<(), Error> {
        self.check(&x, &y, Some(ids), weights)?;
        let mut removed = Self::from_folds(
            self.x_width,
            self.y_width,
            vec![Moments::new(&[self.x_width, self.y_width]); self.folds.len()],
        );
        removed.push(x, y, |i| ids[i], weights);
        let mut left = Vec::with_capacity(self.folds.len());
        for (fold, (mine, theirs)) in self.folds.iter_mut().zip(&mut removed.folds).enumerate() {
            if theirs.count() > mine.count() {
                return Err(Error::NeverAdded { fold, held: mine.count(), removed: theirs.count() });
            }
            left.push(match theirs.count() {
                0 => None,
                _ => Some(mine.without(theirs).ok_or(Error::NotPositive { fold })?),
            });
        }
        for (mine, left) in self.folds.iter_mut().zip(left) {
            if let Some(left) = left {
                *mine = left;
            }
        }
        Ok(())
    }

    /// Adds the rows of `other`, fold by fold.
    pub fn merge(&mut self, other: &mut Self) -> Result<(), Error> {
        let properties = [
            ("x_dim", self.x_width, other.x_width),
            ("y_dim", self.y_width, other.y_width),
            ("number of folds", self.folds.len(), other.folds.len()),
        ];
        for (property, left, right) in properties {
            if left != right {
                return Err(Error::Mismatch { property, left, right });
            }
        }
        for (mine, theirs) in self.folds.iter_mut().zip(&mut other.folds) {
            mine.merge(theirs)?;
        }
        self.unpaired_x.merge(&mut other.unpaired_x)?;
        self.unpaired_y.merge(&mut other.unpaired_y)
    }
}

/// Weights, times the squares of the largest values, times any number of rows, are finite.
const HEAVIEST: f64 = 1e9;

fn check_weights(weights: Option<&[f64]>, rows: usize) -> Result<(), Error> {
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != rows {
        return Err(Error::RowCount { argument: "weights", expected: rows, found: weights.len() });
    }
    match weights.iter().position(|w| !(0.0..=HEAVIEST).contains(w)) {
        Some(row) => Err(Error::Weight { row, value: weights[row], most: HEAVIEST }),
        None => Ok(()),
    }
}

/// The rows that weigh something.
fn weighing(rows: usize, weights: Option<&[f64]>) -> Vec<usize> {
    (0..rows).filter(|&i| weights.is_none_or(|weights| weights[i] > 0.0)).collect()
}
