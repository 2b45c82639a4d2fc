//! The dense factorisations of faer that this crate uses, behind its own threads and errors.

use faer::linalg::solvers::{Llt, SelfAdjointEigen};
use faer::{Mat, MatRef, Side};

use crate::Error;
use crate::threads::prepare_faer;

/// Products of this many multiplications and more go to several threads; below, waiting for each other costs more.
const WORTH_THREADS: usize = 1 << 24;

/// Readies faer for work of about so many multiplications.
fn prepare(m: usize, n: usize, k: usize) {
    prepare_faer(m.saturating_mul(n).saturating_mul(k) >= WORTH_THREADS);
}

/// True where the symmetric (d, d) matrix has a Cholesky factor. Only entries i >= j are asked for.
pub(crate) fn is_positive(d: usize, entry: impl Fn(usize, usize) -> f64) -> bool {
    let matrix = Mat::from_fn(d, d, |i, j| if i >= j { entry(i, j) } else { 0.0 });
    cholesky(matrix.as_ref()).is_some()
}

/// The lower Cholesky factor of a symmetric matrix, of which the lower triangle is read; None where a pivot is
/// not positive.
pub(crate) fn cholesky(matrix: MatRef<'_, f64>) -> Option<Mat<f64>> {
    prepare(matrix.nrows(), matrix.nrows(), matrix.nrows() / 3);
    Llt::new(matrix, Side::Lower).ok().map(|factor| factor.L().to_owned())
}

/// Eigenvalues, ascending, and eigenvectors (in columns) of a symmetric matrix, of which the lower triangle is read.
pub(crate) fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), Error> {
    prepare(matrix.nrows(), matrix.nrows(), matrix.nrows());
    let eigen = SelfAdjointEigen::new(matrix, Side::Lower)
        .map_err(|_| Error::NoConvergence { what: "eigendecomposition of a covariance" })?;
    Ok((eigen.S().column_vector().iter().copied().collect(), eigen.U().to_owned()))
}

/// A thin singular value decomposition: U (m, r), values (r,) descending, V (n, r), r = min(m, n).
pub(crate) struct Svd {
    pub u: Mat<f64>,
    pub values: Vec<f64>,
    pub v: Mat<f64>,
}

/// The thin singular value decomposition of a matrix.
pub(crate) fn svd(matrix: MatRef<'_, f64>) -> Result<Svd, Error> {
    prepare(matrix.nrows(), matrix.ncols(), matrix.nrows().min(matrix.ncols()));
    let svd = faer::linalg::solvers::Svd::new_thin(matrix)
        .map_err(|_| Error::NoConvergence { what: "singular value decomposition of the whitened cross-covariance" })?;
    let values = svd.S().column_vector().iter().copied().collect();
    Ok(Svd { u: svd.U().to_owned(), values, v: svd.V().to_owned() })
}

/// `L^-1 B` for a lower triangular L.
pub(crate) fn solve_lower(factor: MatRef<'_, f64>, mut right: Mat<f64>) -> Mat<f64> {
    prepare(factor.nrows(), factor.nrows(), right.ncols());
    factor.solve_lower_triangular_in_place(right.as_mut());
    right
}

/// `L^-T B` for a lower triangular L.
pub(crate) fn solve_lower_transposed(factor: MatRef<'_, f64>, mut right: Mat<f64>) -> Mat<f64> {
    prepare(factor.nrows(), factor.nrows(), right.ncols());
    factor.transpose().solve_upper_triangular_in_place(right.as_mut());
    right
}

/// `A B`.
pub(crate) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    prepare(a.nrows(), a.ncols(), b.ncols());
    a * b
}
