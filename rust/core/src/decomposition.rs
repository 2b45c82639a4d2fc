//! From moments to canonical directions: regularise, whiten each side, singular value decomposition.

use std::cell::OnceCell;

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

/// Covariance matrices of the stacked moments `[x | y]`, and what is known of their rounding.
pub(crate) struct Covariances {
    pub rows: u64,
    pub xx: Side,
    pub yy: Side,
    pub xy: Mat<f64>,
}

/// The covariance of one side.
pub(crate) struct Side {
    /// (d, d), both triangles.
    pub matrix: Mat<f64>,
    /// Columns that do not vary.
    constant: Vec<bool>,
    /// Rounding of an entry, relative to the variances of its columns.
    rounding: f64,
    /// See [`Side::is_singular`]; it does not depend on the ridge.
    singular: OnceCell<bool>,
    /// Eigenvalues and eigenvectors of the matrix: every ridge whitens by them.
    spectrum: OnceCell<(Vec<f64>, Mat<f64>)>,
}

impl Covariances {
    /// Covariances of the first p columns, of the others, and of both: scatters over n - 1.
    pub fn new(moments: &mut Moments, p: usize) -> Result<Self, Error> {
        moments.flush();
        let rows = moments.count();
        if rows < 2 {
            return Err(Error::TooFewRows { rows });
        }
        let q = moments.width() - p;
        let scale = 1.0 / (rows - 1) as f64;
        let part =
            |m: usize, n: usize, i0: usize, j0: usize| Mat::from_fn(m, n, |i, j| moments.entry(i0 + i, j0 + j) * scale);
        let side = |d: usize, start: usize| Side {
            matrix: part(d, d, start, start),
            constant: (start..start + d).map(|i| moments.is_constant(i)).collect(),
            rounding: rounding(moments.unit(), rows),
            singular: OnceCell::new(),
            spectrum: OnceCell::new(),
        };
        Ok(Self { rows, xx: side(p, 0), yy: side(q, p), xy: part(p, q, 0, p) })
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
    pub fn oas(&self, rows: u64) -> f64 {
        let p = self.width() as f64;
        let mean = self.ridge(1.0);
        if self.width() == 1 || mean <= 0.0 {
            return 0.0;
        }
        // Relative to the mean variance, so that squares neither overflow nor vanish. The formula is for the covariance
        // over n, but a factor to both sides of the fraction changes nothing.
        let squares = (0..self.width())
            .flat_map(|j| (0..self.width()).map(move |i| (self.matrix[(i, j)] / mean).powi(2)))
            .sum::<f64>();
        let distance = (rows as f64 + 1.0 - 2.0 / p) * (squares - p);
        let shrinkage = ((1.0 - 2.0 / p) * squares + p * p) / distance;
        // A covariance that is a multiple of the identity may be shrunk without end.
        let shrinkage = if (0.0..MOST_SHRINKAGE).contains(&shrinkage) { shrinkage } else { MOST_SHRINKAGE };
        shrinkage / (1.0 - shrinkage)
    }

    /// `W` with `W^T (C + ridge I) W = I` on the directions that vary, of full rank where that is safe, else of the
    /// numerical rank of `C`.
    ///
    /// The Cholesky factor serves where the smallest eigenvalue of `C` stands clear of rounding; else directions whose
    /// eigenvalue does not are dropped, not inverted: a ridge alone would make directions of them, out of rounding.
    pub fn whiten(&self, ridge: f64, rows: u64) -> Result<Whitening, Error> {
        let ridge = self.ridge(ridge);
        if !self.is_singular(rows) {
            let scale = self.scales(ridge);
            if let Some(factor) = dense::cholesky(self.scaled(ridge, &scale).as_ref()) {
                return Ok(Whitening { scale, root: Root::Cholesky(factor) });
            }
        }
        // Without a ridge columns are scaled to unit variance first, so that "small" means small beside the column's own
        // variance. With one that is relative to the mean variance, smaller columns do not matter.
        let (scale, unridged);
        let (values, vectors) = if ridge > 0.0 {
            scale = vec![1.0; self.width()];
            self.spectrum()?
        } else {
            scale = self.scales(0.0);
            unridged = dense::eigen(self.scaled(0.0, &scale).as_ref())?;
            &unridged
        };
        let cut = self.cut(values.last().copied().unwrap_or(0.0));
        let d = self.width();
        let most = usize::try_from(rows - 1).unwrap_or(d).min(d);
        let kept: Vec<usize> = (d - most..d).filter(|&i| values[i] > cut).collect();
        let root = Mat::from_fn(d, kept.len(), |i, j| vectors[(i, kept[j])] / (values[kept[j]] + ridge).sqrt());
        Ok(Whitening { scale, root: Root::Truncated(root) })
    }

    fn spectrum(&self) -> Result<&(Vec<f64>, Mat<f64>), Error> {
        if let Some(spectrum) = self.spectrum.get() {
            return Ok(spectrum);
        }
        let ones = vec![1.0; self.width()];
        let spectrum = dense::eigen(self.scaled(0.0, &ones).as_ref())?;
        Ok(self.spectrum.get_or_init(|| spectrum))
    }

    /// True where some direction of `C` varies by no more than rounding.
    fn is_singular(&self, rows: u64) -> bool {
        *self.singular.get_or_init(|| {
            if rows <= self.width() as u64 || self.constant.contains(&true) {
                return true;
            }
            let scaled = self.scaled(0.0, &self.scales(0.0));
            let bound = largest_eigenvalue_bound(scaled.as_ref());
            dense::cholesky(scaled.as_ref())
                .is_none_or(|factor| smallest_eigenvalue(factor.as_ref()) <= 10.0 * self.cut(bound))
        })
    }

    /// What scales the columns to unit variance; 0 for those that do not vary.
    fn scales(&self, ridge: f64) -> Vec<f64> {
        let variance = |i: usize| if self.constant[i] { ridge } else { self.matrix[(i, i)] + ridge };
        let inverse_root = |v: f64| if v > 0.0 { v.sqrt().recip() } else { 0.0 };
        (0..self.width()).map(|i| inverse_root(variance(i))).collect()
    }

    /// `S (C + ridge I) S`
    fn scaled(&self, ridge: f64, scale: &[f64]) -> Mat<f64> {
        Mat::from_fn(self.width(), self.width(), |i, j| {
            let value = if self.constant[i] || self.constant[j] { 0.0 } else { self.matrix[(i, j)] };
            (value + if i == j { ridge } else { 0.0 }) * scale[i] * scale[j]
        })
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

/// The Frobenius norm: at least the largest eigenvalue.
fn largest_eigenvalue_bound(matrix: MatRef<'_, f64>) -> f64 {
    matrix.norm_l2()
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
    let x = covariances.xx.whiten(ridge.0, rows)?;
    let y = covariances.yy.whiten(ridge.1, rows)?;
    let r = x.rank().min(y.rank()).min(usize::try_from(rows - 1).unwrap_or(usize::MAX));
    let half = x.transposed_times(covariances.xy.as_ref());
    let cross = y.transposed_times(half.transpose()).transpose().to_owned();
    if r == 0 {
        let (p, q) = (covariances.xx.width(), covariances.yy.width());
        return Ok(Canonical { correlations: Vec::new(), a: Mat::zeros(p, 0), b: Mat::zeros(q, 0) });
    }
    let Svd { u, values: rho, v } = dense::svd(cross.as_ref())?;
    // Below this a singular value is rounding, and its vectors are whatever the solver left there.
    let floor = rho[0] * f64::EPSILON * 16.0 * cross.nrows().max(cross.ncols()) as f64;
    let r = rho[..r].iter().take_while(|&&value| value > floor).count();
    let mut a = x.times(u.get(.., ..r));
    let mut b = y.times(v.get(.., ..r));
    for j in 0..r {
        if leading_entry_is_negative(&a, j) {
            for i in 0..a.nrows() {
                a[(i, j)] = -a[(i, j)];
            }
            for i in 0..b.nrows() {
                b[(i, j)] = -b[(i, j)];
            }
        }
    }
    Ok(Canonical { correlations: rho[..r].iter().map(|v| v.clamp(0.0, 1.0)).collect(), a, b })
}

fn leading_entry_is_negative(matrix: &Mat<f64>, j: usize) -> bool {
    let column = (0..matrix.nrows()).map(|i| matrix[(i, j)]);
    column.fold(0.0_f64, |leading, value| if value.abs() > leading.abs() { value } else { leading }) < 0.0
}
