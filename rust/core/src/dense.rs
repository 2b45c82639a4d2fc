//! The dense operations of faer that this crate uses, on its own number of threads, and a singular value decomposition
//! made of the fastest of them.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatRef, Par};

use crate::Error;
use crate::threads::faer_threads;

/// Products of this many multiplications and more go to several threads; below, waiting for each other costs more.
const WORTH_THREADS: usize = 1 << 24;

/// The threads for work of about so many multiplications.
fn threads(m: usize, n: usize, k: usize) -> Par {
    if m.saturating_mul(n).saturating_mul(k) < WORTH_THREADS { Par::Seq } else { faer_threads() }
}

/// Copies the upper triangle to the lower one.
pub(crate) fn mirror(matrix: &mut Mat<f64>) {
    // By blocks that fit the cache: a mirror always reads or writes across the grain.
    const BLOCK: usize = 32;
    let d = matrix.nrows();
    for start in (0..d).step_by(BLOCK) {
        let stop = d.min(start + BLOCK);
        for j in 0..stop {
            for i in start.max(j + 1)..stop {
                matrix[(i, j)] = matrix[(j, i)];
            }
        }
    }
}

/// True where the symmetric (d, d) matrix has a Cholesky factor. Only entries i >= j are asked for.
pub(crate) fn is_positive(d: usize, entry: impl Fn(usize, usize) -> f64) -> bool {
    cholesky(Mat::from_fn(d, d, |i, j| if i >= j { entry(i, j) } else { 0.0 })).is_some()
}

/// The lower Cholesky factor of a symmetric matrix, of which the lower triangle is read; None where a pivot is
/// not positive. What the factor's upper triangle holds means nothing.
pub(crate) fn cholesky(mut matrix: Mat<f64>) -> Option<Mat<f64>> {
    let d = matrix.nrows();
    let par = threads(d, d, d / 3);
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(d, par, Default::default()));
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(matrix.as_mut(), Default::default(), par, stack, Default::default()).ok()?;
    Some(matrix)
}

/// Eigenvalues, ascending, and eigenvectors (in columns) of a symmetric matrix, of which the lower triangle is read.
pub(crate) fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), Error> {
    let d = matrix.nrows();
    let par = threads(d, d, d);
    let (mut values, mut vectors) = (Diag::zeros(d), Mat::zeros(d, d));
    let needed = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::Yes, par, Default::default());
    let mut memory = MemBuffer::new(needed);
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(matrix, values.as_mut(), Some(vectors.as_mut()), par, stack, Default::default())
        .map_err(|_| Error::NoConvergence { what: "eigendecomposition of a symmetric matrix" })?;
    Ok((values.column_vector().iter().copied().collect(), vectors))
}

/// `L^-1 B` for a lower triangular L, of which the lower triangle is read.
pub(crate) fn solve_lower(factor: MatRef<'_, f64>, mut right: Mat<f64>) -> Mat<f64> {
    let par = threads(factor.nrows(), factor.nrows(), right.ncols());
    solve_lower_triangular_in_place(factor, right.as_mut(), par);
    right
}

/// `L^-T B` for a lower triangular L, of which the lower triangle is read.
pub(crate) fn solve_lower_transposed(factor: MatRef<'_, f64>, mut right: Mat<f64>) -> Mat<f64> {
    let par = threads(factor.nrows(), factor.nrows(), right.ncols());
    solve_upper_triangular_in_place(factor.transpose(), right.as_mut(), par);
    right
}

/// `A B`
pub(crate) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut product, Accum::Replace, a, b, 1.0, threads(a.nrows(), a.ncols(), b.ncols()));
    product
}

/// The lower triangle of `A^T A`, zeros above it.
fn gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(a.ncols(), a.ncols());
    triangular::matmul(
        &mut gram,
        BlockStructure::TriangularLower,
        Accum::Replace,
        a.transpose(),
        BlockStructure::Rectangular,
        a,
        BlockStructure::Rectangular,
        1.0,
        threads(a.nrows(), a.ncols(), a.ncols() / 2),
    );
    gram
}

/// Singular values (r,), nonincreasing, with their vectors U (m, r) and V (n, r), in columns.
pub(crate) struct Svd {
    pub u: Mat<f64>,
    pub values: Vec<f64>,
    pub v: Mat<f64>,
}

/// The singular value decomposition of a matrix, without the values below `floor` times the largest: by eigenvectors of
/// the Gram matrix, in half the time of a bidiagonalisation.
///
/// Squaring loses small values: with eps the roundoff, a value s comes out to eps / s relative to the largest, and its
/// vectors are orthogonal to eps / s^2. So each round keeps the values whose square is above `eps / loss` times the
/// largest square, and the next round decomposes what the matrix does to the other vectors. So values are exact to eps,
/// vectors orthogonal to `loss`, and together they are a matrix within `sqrt(eps loss)` of this one.
pub(crate) fn svd(matrix: Mat<f64>, floor: f64, loss: f64) -> Result<Svd, Error> {
    if matrix.nrows() < matrix.ncols() {
        let Svd { u, values, v } = svd(matrix.transpose().to_owned(), floor, loss)?;
        return Ok(Svd { u: v, values, v: u });
    }
    let (m, n) = (matrix.nrows(), matrix.ncols());
    let mut values: Vec<f64> = Vec::with_capacity(n);
    let mut parts: Vec<(Mat<f64>, Mat<f64>)> = Vec::new();
    // `left` is the matrix times `right`, whose columns are the vectors still to be turned.
    let (mut left, mut right) = (matrix, None::<Mat<f64>>);
    while left.ncols() > 0 {
        let (squares, turn) = eigen(gram(left.as_ref()).as_ref())?;
        let kept = squares.iter().rev().take_while(|&&s| s > f64::EPSILON / loss * squares[squares.len() - 1]).count();
        let turn = turn.reverse_cols();
        left = product(left.as_ref(), turn);
        let turned = right.map_or_else(|| turn.to_owned(), |right| product(right.as_ref(), turn));
        let found = values.len();
        for j in 0..kept {
            let value = left.col(j).norm_l2();
            if value <= floor * values.first().copied().unwrap_or(value) || value == 0.0 {
                break;
            }
            left.col_as_slice_mut(j).iter_mut().for_each(|entry| *entry /= value);
            values.push(value.min(values.last().copied().unwrap_or(value)));
        }
        let new = values.len() - found;
        if new == left.ncols() {
            parts.push((left, turned));
            break;
        }
        parts.push((left.get(.., ..new).to_owned(), turned.get(.., ..new).to_owned()));
        if new < kept || kept == 0 {
            break;
        }
        left = left.get(.., kept..).to_owned();
        right = Some(turned.get(.., kept..).to_owned());
        // What rounding left of the vectors already found would drown the small values.
        for (done, _) in &parts {
            let overlap = product(done.transpose(), left.as_ref());
            let par = threads(done.nrows(), done.ncols(), left.ncols());
            matmul(&mut left, Accum::Add, done, &overlap, -1.0, par);
        }
    }
    let (us, vs) = parts.into_iter().unzip();
    Ok(Svd { u: side_by_side(m, us), values, v: side_by_side(n, vs) })
}

/// Matrices of so many rows beside each other.
fn side_by_side(rows: usize, mut parts: Vec<Mat<f64>>) -> Mat<f64> {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let columns = parts.iter().map(Mat::ncols).sum();
    let mut whole = Mat::zeros(rows, columns);
    let mut start = 0;
    for part in &parts {
        whole.get_mut(.., start..start + part.ncols()).copy_from(part);
        start += part.ncols();
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(m: usize, n: usize) -> Mat<f64> {
        Mat::from_fn(m, n, |i, j| (((i * 7919 + j * 104_729 + 13) * 2_654_435_761) % 10_007) as f64 / 5003.5 - 1.0)
    }

    #[test]
    fn the_upper_triangle_is_mirrored() {
        for d in [1, 31, 32, 33, 100] {
            let mut matrix = noise(d, d);
            let expected = Mat::from_fn(d, d, |i, j| matrix[(i.min(j), i.max(j))]);
            mirror(&mut matrix);
            assert!(matrix == expected);
        }
    }

    fn furthest(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
        (a - b).norm_max()
    }

    fn identity(r: usize) -> Mat<f64> {
        Mat::identity(r, r)
    }

    #[test]
    fn products_are_those_of_the_definition_on_any_number_of_threads() {
        for (m, k, n) in [(1, 1, 1), (7, 3, 5), (129, 257, 65), (300, 401, 203)] {
            let (a, b) = (noise(m, k), noise(k, n));
            let naive = Mat::from_fn(m, n, |i, j| (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum::<f64>());
            let square =
                Mat::from_fn(
                    k,
                    k,
                    |i, j| {
                        if i >= j { (0..m).map(|l| a[(l, i)] * a[(l, j)]).sum::<f64>() } else { 0.0 }
                    },
                );
            for threads in [1, 2, 3] {
                crate::set_num_threads(threads);
                assert!(furthest(&product(a.as_ref(), b.as_ref()), &naive) < 1e-12 * k as f64);
                let transposed = product(b.transpose(), a.transpose());
                assert!(furthest(&transposed, &naive.transpose().to_owned()) < 1e-12 * k as f64);
                assert!(furthest(&gram(a.as_ref()), &square) < 1e-12 * m as f64);
                crate::set_num_threads(0);
            }
        }
    }

    /// A matrix with these singular values.
    fn with_values(m: usize, n: usize, values: &[f64]) -> Mat<f64> {
        let (u, v) = (noise(m, values.len()).qr().compute_thin_Q(), noise(n, values.len()).qr().compute_thin_Q());
        let scaled = Mat::from_fn(m, values.len(), |i, j| u[(i, j)] * values[j]);
        product(scaled.as_ref(), v.transpose())
    }

    #[test]
    fn small_singular_values_are_as_exact_as_large_ones() {
        for (m, n) in [(40, 25), (25, 40), (30, 30)] {
            let expected: Vec<f64> = (0..20).map(|i| 10f64.powf(-f64::from(i) * 0.6)).collect();
            let matrix = with_values(m, n, &expected);
            for loss in [1e-7, 1e-11] {
                let Svd { u, values, v } = svd(matrix.clone(), 1e-13, loss).unwrap();
                assert_eq!(values.len(), 20);
                for (found, value) in values.iter().zip(&expected) {
                    assert!((found - value).abs() < 1e-15 + loss * value, "{found} is not {value}");
                }
                // The vectors of the shorter side are never squared.
                let (long, short) = if m >= n { (&u, &v) } else { (&v, &u) };
                assert!(furthest(&product(long.transpose(), long.as_ref()), &identity(20)) < 100.0 * loss);
                assert!(furthest(&product(short.transpose(), short.as_ref()), &identity(20)) < 1e-13);
                let scaled = Mat::from_fn(m, 20, |i, j| u[(i, j)] * values[j]);
                let backward = 10.0 * (f64::EPSILON * loss).sqrt();
                assert!(furthest(&product(scaled.as_ref(), v.transpose()), &matrix) < backward);
            }
        }
    }

    #[test]
    fn what_is_below_the_floor_is_left_out() {
        let matrix = with_values(12, 9, &[1.0, 1.0, 0.5, 1e-3]);
        assert_eq!(svd(matrix.clone(), 1e-2, 1e-11).unwrap().values.len(), 3);
        assert_eq!(svd(matrix, 1e-12, 1e-11).unwrap().values.len(), 4);
        assert!(svd(Mat::zeros(5, 3), 1e-12, 1e-11).unwrap().values.is_empty());
    }
}
