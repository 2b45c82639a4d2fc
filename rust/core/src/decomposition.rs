//! From moments to canonical directions: regularise, whiten each side, singular value decomposition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use faer::{Mat, MatRef};

use crate::dense::{self, Svd};
use crate::gram::DEPTH;
use crate::{Error, Moments};

/// The canonical directions of two sides.
pub struct Canonical {
    /// Canonical correlations (r,), in [0, 1], nonincreasing.
    pub correlations: Vec<f64>,
    /// Directions of x (p, r), in columns; the entry of largest magnitude of each is positive.
    pub a: Mat<f64>,
    /// Directions of y (q, r), in columns.
    pub b: Mat<f64>,
}

/// Directions are orthogonal to this, or to the rounding of the products where that is coarser: see [`dense::svd`].
const LEAST_LOSS: f64 = 1e-12;
/// Effective rows above 1 that make a covariance.
const LEAST_FREEDOM: f64 = 1e-9;
/// Shrinkage short of 1, where nothing of the covariance would be left.
const MOST_SHRINKAGE: f64 = 0.999_999;

impl Canonical {
    /// Number of directions, r.
    pub fn len(&self) -> usize {
        self.correlations.len()
    }

    /// True where neither side varies together with the other.
    pub fn is_empty(&self) -> bool {
        self.correlations.is_empty()
    }

    /// The first `r` directions.
    pub(crate) fn truncate(&mut self, r: usize) {
        if r < self.len() {
            self.correlations.truncate(r);
            self.a = self.a.get(.., ..r).to_owned();
            self.b = self.b.get(.., ..r).to_owned();
        }
    }
}

/// Second moments of stacked `[x | y]`: of each side, and of both.
pub(crate) struct Blocks {
    pub xx: Mat<f64>,
    pub yy: Mat<f64>,
    pub xy: Mat<f64>,
}

impl Blocks {
    /// The blocks of a symmetric matrix, p columns of x first, of which `row` writes the first i + 1 entries of row i to
    /// its second argument.
    pub fn new(p: usize, q: usize, mut row: impl FnMut(usize, &mut [f64])) -> Self {
        let (mut xx, mut yy, mut xy) = (Mat::zeros(p, p), Mat::zeros(q, q), Mat::zeros(p, q));
        let mut entries = vec![0.0; p + q];
        for i in 0..p {
            row(i, &mut xx.col_as_slice_mut(i)[..=i]);
        }
        for j in 0..q {
            row(p + j, &mut entries[..=p + j]);
            xy.col_as_slice_mut(j).copy_from_slice(&entries[..p]);
            yy.col_as_slice_mut(j)[..=j].copy_from_slice(&entries[p..=p + j]);
        }
        dense::mirror(&mut xx);
        dense::mirror(&mut yy);
        Self { xx, yy, xy }
    }
}

/// Covariance matrices of the stacked moments `[x | y]`, and what is known of their rounding.
pub(crate) struct Covariances {
    pub rows: u64,
    /// See [`Moments::effective`].
    pub effective: f64,
    pub xx: Side,
    pub yy: Side,
    pub xy: Mat<f64>,
}

/// The rows of one side that have no partner, and the share that their covariance has in that of the side.
#[derive(Clone, Copy)]
pub(crate) struct Unpaired<'a> {
    /// No row may wait.
    pub moments: &'a Moments,
    pub share: f64,
}

/// The covariance of one side.
pub(crate) struct Side {
    /// Rows that it is made of, with or without a partner.
    rows: u64,
    /// (d, d), both triangles; zero where a column does not vary.
    matrix: Mat<f64>,
    /// Columns that do not vary.
    constant: Vec<bool>,
    /// Rounding of an entry, relative to the variances of its columns.
    rounding: f64,
    known: Arc<SideKnown>,
}

/// What has been found of a covariance that serves every ridge.
#[derive(Default)]
struct SideKnown {
    /// See [`Side::is_singular`].
    singular: OnceLock<bool>,
    /// Eigenvalues and eigenvectors, by which a singular covariance is whitened.
    spectrum: OnceLock<(Vec<f64>, Mat<f64>)>,
}

/// What has been found of both sides of some moments: it may be kept for the next covariances of the same.
#[derive(Default)]
pub(crate) struct Known {
    x: KnownShares,
    y: KnownShares,
}

/// What has been found of one side with each share of unpaired rows, by its bits.
#[derive(Default)]
struct KnownShares(Mutex<BTreeMap<u64, Arc<SideKnown>>>);

impl KnownShares {
    fn of(&self, share: f64) -> Arc<SideKnown> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(share.to_bits()).or_default())
    }
}

impl Covariances {
    /// Covariances of the first p columns, of the others, and of both: scatters over n - 1, and where there are
    /// `unpaired` rows of a side, about their own mean, their covariance for its share.
    pub fn new(
        moments: &mut Moments,
        p: usize,
        unpaired: [Option<Unpaired<'_>>; 2],
        known: &Known,
    ) -> Result<Self, Error> {
        moments.flush();
        let rows = moments.count();
        if rows < 2 || moments.effective() <= 1.0 + LEAST_FREEDOM {
            return Err(Error::TooFewRows { rows: rows.min(1) });
        }
        let scale = 1.0 / moments.freedom();
        let constant: Vec<bool> = (0..moments.width()).map(|i| moments.is_constant(i)).collect();
        let blocks = Blocks::new(p, moments.width() - p, |i, out| {
            for ((o, v), still) in out.iter_mut().zip(moments.row(i)).zip(&constant) {
                *o = if *still || constant[i] { 0.0 } else { v * scale };
            }
        });
        let side = |matrix: Mat<f64>, constant: &[bool], known: &KnownShares, unpaired: Option<Unpaired<'_>>| {
            let side = Side {
                rows,
                matrix,
                constant: constant.to_vec(),
                rounding: rounding(moments.unit(), rows),
                known: known.of(unpaired.map_or(0.0, |unpaired| unpaired.share)),
            };
            match unpaired {
                Some(unpaired) if unpaired.share > 0.0 => side.pooled(unpaired),
                _ => side,
            }
        };
        let xx = side(blocks.xx, &constant[..p], &known.x, unpaired[0]);
        let yy = side(blocks.yy, &constant[p..], &known.y, unpaired[1]);
        Ok(Self { rows, effective: moments.effective(), xx, yy, xy: blocks.xy })
    }
}

/// Rounding of a scatter entry relative to its scale. Products are summed in their precision over at most `DEPTH`
/// rows, in f64 over the rest; the errors of the blocks are independent.
fn rounding(unit: f64, rows: u64) -> f64 {
    let depth = (DEPTH as f64).min(rows as f64);
    let blocks = (rows as f64 / depth).max(1.0);
    (unit * (depth / blocks).sqrt()).max(f64::EPSILON)
}

impl Side {
    fn width(&self) -> usize {
        self.matrix.nrows()
    }

    /// The covariance of the pairs and of unpaired rows together, these for their share.
    fn pooled(mut self, Unpaired { moments, share }: Unpaired<'_>) -> Self {
        let (mine, theirs) = (1.0 - share, share / moments.freedom());
        let still: Vec<bool> = (0..self.width()).map(|i| moments.is_constant(i)).collect();
        for j in 0..self.width() {
            for (i, entry) in self.matrix.col_as_slice_mut(j).iter_mut().enumerate() {
                let other = if still[i] || still[j] { 0.0 } else { moments.entry(i, j) };
                *entry = mine * *entry + theirs * other;
            }
        }
        self.constant.iter_mut().zip(still).for_each(|(mine, theirs)| *mine &= theirs);
        self.rounding = self.rounding.max(rounding(moments.unit(), moments.count()));
        self.rows += moments.count();
        self
    }

    /// What a relative `ridge` adds to every variance: ridge times the mean variance.
    pub fn ridge(&self, relative: f64) -> f64 {
        let trace: f64 = (0..self.width()).map(|i| self.matrix[(i, i)]).sum();
        relative * trace / self.width() as f64
    }

    /// Standard deviations of the variates of directions with `a_i^T (C + ridge I) a_i = 1`.
    pub fn deviations(&self, directions: MatRef<'_, f64>, ridge: f64) -> Vec<f64> {
        let ridge = self.ridge(ridge);
        directions.col_iter().map(|a| (1.0 - ridge * a.squared_norm_l2()).max(0.0).sqrt()).collect()
    }

    /// The relative ridge of oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010, equation 23), which
    /// shrinks to `(1 - s) C + s mu I`: the ridge is `s / (1 - s)`.
    pub fn oas(&self, effective: f64) -> f64 {
        let p = self.width() as f64;
        let mean = self.ridge(1.0);
        if self.width() == 1 || mean <= 0.0 {
            return 0.0;
        }
        // The formula is for the covariance over n, but a factor to both sides of the fraction changes nothing.
        let squares = self.squares(mean);
        let distance = (effective + 1.0 - 2.0 / p) * (squares - p);
        let shrinkage = ((1.0 - 2.0 / p) * squares + p * p) / distance;
        // A covariance that is a multiple of the identity may be shrunk without end.
        let shrinkage = if (0.0..MOST_SHRINKAGE).contains(&shrinkage) { shrinkage } else { MOST_SHRINKAGE };
        shrinkage / (1.0 - shrinkage)
    }

    /// The relative ridge of Ledoit and Wolf (2004, theorem 3.2 and lemmas 3.2 to 3.4), as for
    /// [`Side::oas`]; `fourth` is the mean of `|z|^4` over the rows z about their mean.
    pub fn ledoit_wolf(&self, effective: f64, fourth: f64) -> Result<f64, Error> {
        let p = self.width() as f64;
        // Of the covariance over n, which the formula is for.
        let over_n = 1.0 - 1.0 / effective;
        let mean = self.ridge(1.0) * over_n;
        if mean <= 0.0 {
            return Ok(0.0);
        }
        let fourth = fourth / mean / mean;
        if !fourth.is_finite() {
            return Err(Error::Overflow { what: "fourth powers, which ridge 'ledoit-wolf' needs," });
        }
        let squares = self.squares(mean / over_n);
        let (error, distance) = ((fourth - squares).max(0.0) / effective, squares - p);
        if distance <= p * f64::EPSILON {
            return Ok(0.0);
        }
        let shrinkage = (error / distance).min(MOST_SHRINKAGE);
        Ok(shrinkage / (1.0 - shrinkage))
    }

    /// Sum of the squares of all covariances, relative to a variance, so that squares neither overflow nor vanish.
    fn squares(&self, variance: f64) -> f64 {
        let column = |j: usize| (0..self.width()).map(move |i| (self.matrix[(i, j)] / variance).powi(2));
        (0..self.width()).flat_map(column).sum()
    }

    /// `W` with `W^T (C + ridge I) W = I` on the directions that vary, of full rank where that is safe, else of the
    /// numerical rank of `C`.
    ///
    /// The Cholesky factor serves where the smallest eigenvalue of `C` stands clear of rounding; else directions whose
    /// eigenvalue does not are dropped, not inverted: a ridge alone would make directions of them, out of rounding.
    pub fn whiten(&self, ridge: f64) -> Result<Whitening, Error> {
        let ridge = self.ridge(ridge);
        let scale = self.scales(ridge);
        let factor = match ridge {
            0.0 => self.regular_factor(),
            _ if self.is_singular() => None,
            _ => dense::cholesky(self.scaled(ridge, &scale)),
        };
        if let Some(factor) = factor {
            return Ok(Whitening { scale, root: Root::Cholesky(factor) });
        }
        // Without a ridge columns are scaled to unit variance first, so that "small" means small beside the column's own
        // variance. With one that is relative to the mean variance, smaller columns do not matter.
        let unridged;
        let (scale, (values, vectors)) = if ridge > 0.0 {
            (vec![1.0; self.width()], self.spectrum()?)
        } else {
            unridged = dense::eigen(self.scaled(0.0, &scale).as_ref())?;
            (scale, &unridged)
        };
        let cut = self.cut(values.last().copied().unwrap_or(0.0));
        let d = self.width();
        let most = usize::try_from(self.rows - 1).unwrap_or(d).min(d);
        let kept: Vec<usize> = (d - most..d).filter(|&i| values[i] > cut).collect();
        let root = Mat::from_fn(d, kept.len(), |i, j| vectors[(i, kept[j])] / (values[kept[j]] + ridge).sqrt());
        Ok(Whitening { scale, root: Root::Truncated(root) })
    }

    fn spectrum(&self) -> Result<&(Vec<f64>, Mat<f64>), Error> {
        if let Some(spectrum) = self.known.spectrum.get() {
            return Ok(spectrum);
        }
        let spectrum = dense::eigen(self.matrix.as_ref())?;
        Ok(self.known.spectrum.get_or_init(|| spectrum))
    }

    /// True where some direction of `C` varies by no more than rounding.
    fn is_singular(&self) -> bool {
        *self.known.singular.get_or_init(|| self.regular_factor().is_none())
    }

    /// The Cholesky factor of `S C S`, with the columns scaled to unit variance, where every direction of it varies by
    /// more than rounding.
    fn regular_factor(&self) -> Option<Mat<f64>> {
        if self.rows <= self.width() as u64 || self.constant.contains(&true) || self.known.singular.get() == Some(&true)
        {
            return None;
        }
        let scaled = self.scaled(0.0, &self.scales(0.0));
        // The Frobenius norm is at least the largest eigenvalue.
        let bound = scaled.norm_l2();
        dense::cholesky(scaled).filter(|factor| smallest_eigenvalue(factor.as_ref()) > 10.0 * self.cut(bound))
    }

    /// What scales the columns to unit variance; 0 for those that do not vary.
    fn scales(&self, ridge: f64) -> Vec<f64> {
        let variance = |i: usize| if self.constant[i] { ridge } else { self.matrix[(i, i)] + ridge };
        let inverse_root = |v: f64| if v > 0.0 { v.sqrt().recip() } else { 0.0 };
        (0..self.width()).map(|i| inverse_root(variance(i))).collect()
    }

    /// `S (C + ridge I) S`
    fn scaled(&self, ridge: f64, scale: &[f64]) -> Mat<f64> {
        let mut scaled = self.matrix.clone();
        for (j, s) in scale.iter().enumerate() {
            let column = scaled.col_as_slice_mut(j);
            column[j] += ridge;
            column.iter_mut().zip(scale).for_each(|(v, r)| *v *= r * s);
        }
        scaled
    }

    /// Eigenvalues up to this may be rounding alone: that of a sum of `d` random errors, and of the solver itself.
    fn cut(&self, largest: f64) -> f64 {
        self.rounding.max(self.width() as f64 * f64::EPSILON) * largest
    }
}

/// `W = S R`: column scales, and the inverse root of what they leave.
pub(crate) struct Whitening {
    scale: Vec<f64>,
    root: Root,
}

enum Root {
    /// `R = L^-T`
    Cholesky(Mat<f64>),
    /// `R` itself, (d, rank)
    Truncated(Mat<f64>),
}

impl Whitening {
    pub fn rank(&self) -> usize {
        match &self.root {
            Root::Cholesky(factor) => factor.ncols(),
            Root::Truncated(root) => root.ncols(),
        }
    }

    /// `W^T B`
    pub fn transposed_times(&self, b: MatRef<'_, f64>) -> Mat<f64> {
        let scaled = Mat::from_fn(b.nrows(), b.ncols(), |i, j| self.scale[i] * b[(i, j)]);
        match &self.root {
            Root::Cholesky(factor) => dense::solve_lower(factor.as_ref(), scaled),
            Root::Truncated(root) => dense::product(root.transpose(), scaled.as_ref()),
        }
    }

    /// `W B`
    pub fn times(&self, b: MatRef<'_, f64>) -> Mat<f64> {
        let unscaled = match &self.root {
            Root::Cholesky(factor) => dense::solve_lower_transposed(factor.as_ref(), b.to_owned()),
            Root::Truncated(root) => dense::product(root.as_ref(), b),
        };
        Mat::from_fn(unscaled.nrows(), unscaled.ncols(), |i, j| self.scale[i] * unscaled[(i, j)])
    }
}

/// An estimate of the smallest eigenvalue of `L L^T` by inverse iteration. It is never below the true one, and
/// within a small factor of it after a few steps.
fn smallest_eigenvalue(factor: MatRef<'_, f64>) -> f64 {
    const STEPS: usize = 6;
    let d = factor.nrows();
    // Any start with a part in every direction will do; a fixed one keeps the route reproducible.
    let mut vector = Mat::from_fn(d, 1, |i, _| if i % 2 == 0 { 1.0 } else { -1.0 } * (1.0 + i as f64 / d as f64));
    let mut growth = 1.0;
    for _ in 0..STEPS {
        let norm = vector.norm_l2();
        vector *= faer::Scale(1.0 / norm);
        vector = dense::solve_lower_transposed(factor, dense::solve_lower(factor, vector));
        growth = vector.norm_l2();
    }
    1.0 / growth
}

/// The canonical decomposition `Wx^T Cxy Wy = U diag(rho) V^T`, `A = Wx U`, `B = Wy V`, with ridges relative to the
/// mean variance of each side (Hotelling 1936; Bjoerck and Golub 1973 for the whitened form).
pub(crate) fn decompose(covariances: &Covariances, ridge: (f64, f64)) -> Result<Canonical, Error> {
    for value in [ridge.0, ridge.1] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::Ridge { value });
        }
    }
    let rows = covariances.rows;
    let x = covariances.xx.whiten(ridge.0)?;
    let y = covariances.yy.whiten(ridge.1)?;
    let r = x.rank().min(y.rank()).min(usize::try_from(rows - 1).unwrap_or(usize::MAX));
    let cross = y.transposed_times(x.transposed_times(covariances.xy.as_ref()).transpose());
    // Below the floor a singular value is rounding, and its vectors are whatever the solver left there.
    let floor = f64::EPSILON * 16.0 * cross.nrows().max(cross.ncols()) as f64;
    let loss = covariances.xx.rounding.max(LEAST_LOSS);
    let Svd { u: v, values: rho, v: u } = dense::svd(cross, floor, loss)?;
    let r = r.min(rho.len());
    let mut a = x.times(u.get(.., ..r));
    let mut b = y.times(v.get(.., ..r));
    for j in 0..r {
        if leading_entry_is_negative(a.col_as_slice(j)) {
            a.col_as_slice_mut(j).iter_mut().for_each(|value| *value = -*value);
            b.col_as_slice_mut(j).iter_mut().for_each(|value| *value = -*value);
        }
    }
    Ok(Canonical { correlations: rho[..r].iter().map(|v| v.clamp(0.0, 1.0)).collect(), a, b })
}

fn leading_entry_is_negative(column: &[f64]) -> bool {
    column.iter().fold(0.0_f64, |leading, &value| if value.abs() > leading.abs() { value } else { leading }) < 0.0
}
