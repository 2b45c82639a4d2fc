//! The moments of the core behind a lock: methods run without the GIL and may be called from any thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use canonsim_core as core;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{Borrowed, to_exception};

/// The state behind canonsim.PairedMoments.
#[pyclass(frozen, module = "canonsim._native")]
pub struct Moments(Mutex<core::PairedMoments>);

/// Moments of one fold or one side: count, sums of weights and of their squares (2,), mean (d,), lower triangle of the
/// scatter packed row by row (d (d + 1) / 2,), cubes (d,), fourths of each part, unit roundoff of the products.
type Part<'py> = (u64, Vector<'py>, Vector<'py>, Vector<'py>, Vector<'py>, Vector<'py>, f64);
type Vector<'py> = Bound<'py, PyArray1<f64>>;

fn to_part<'py>(py: Python<'py>, moments: &mut core::Moments) -> Part<'py> {
    let core::State { count, weight, squares, mean, scatter, unit, cubes, fourths } = moments.state();
    let [weights, mean, scatter, cubes, fourths] =
        [vec![weight, squares], mean, scatter, cubes, fourths].map(|values| values.into_pyarray(py));
    (count, weights, mean, scatter, cubes, fourths, unit)
}

fn from_part(part: &Part<'_>, widths: &[usize]) -> PyResult<core::Moments> {
    core::Moments::from_state(widths, &to_state(part)?).map_err(to_exception)
}

fn to_state(part: &Part<'_>) -> PyResult<core::State> {
    let (count, weights, mean, scatter, cubes, fourths, unit) = part;
    let [weight, squares] = weights.to_vec()?[..] else {
        return Err(PyValueError::new_err("not the state of any moments: weights are two sums"));
    };
    let (mean, scatter, cubes, fourths) = (mean.to_vec()?, scatter.to_vec()?, cubes.to_vec()?, fourths.to_vec()?);
    Ok(core::State { count: *count, weight, squares, mean, scatter, unit: *unit, cubes, fourths })
}

impl Moments {
    fn wrap(moments: core::PairedMoments) -> Self {
        Self(Mutex::new(moments))
    }

    /// The core changes its state only after every check, so a panic leaves nothing half-done.
    fn lock(&self) -> MutexGuard<'_, core::PairedMoments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the state without the GIL.
    pub fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut core::PairedMoments) -> R + Send) -> R {
        py.detach(|| work(&mut self.lock()))
    }

    /// Rows i0.. and columns j0.. of the scatter of all folds.
    fn scatter<'py>(&self, py: Python<'py>, rows: Columns, columns: Columns) -> Bound<'py, PyArray2<f64>> {
        let scatter = self.with(py, |moments| {
            let (p, q) = (moments.x_width(), moments.y_width());
            let ((i0, m), (j0, n)) = (rows(p, q), columns(p, q));
            let mut total = moments.second_moments();
            Array2::from_shape_fn((m, n), |(i, j)| total.scatter(i0 + i, j0 + j))
        });
        scatter.into_pyarray(py)
    }

    fn mean<'py>(&self, py: Python<'py>, side: Columns) -> Bound<'py, PyArray1<f64>> {
        let mean = self.with(py, |moments| {
            let (start, width) = side(moments.x_width(), moments.y_width());
            moments.second_moments().mean()[start..start + width].to_vec()
        });
        mean.into_pyarray(py)
    }
}

/// First column and width of a side in `[x | y]`, given the widths of both.
type Columns = fn(usize, usize) -> (usize, usize);

fn x_side(p: usize, _q: usize) -> (usize, usize) {
    (0, p)
}

fn y_side(p: usize, q: usize) -> (usize, usize) {
    (p, q)
}

#[pymethods]
impl Moments {
    #[new]
    fn new(x_dim: usize, y_dim: usize, folds: usize) -> PyResult<Self> {
        core::PairedMoments::new(x_dim, y_dim, folds).map(Self::wrap).map_err(to_exception)
    }

    /// The parts of every fold, of the unpaired rows of x, and of those of y.
    fn parts<'py>(&self, py: Python<'py>) -> (Vec<Part<'py>>, Part<'py>, Part<'py>) {
        let mut moments = self.with(py, |moments| moments.clone());
        let folds = moments.folds().iter_mut().map(|fold| to_part(py, fold)).collect();
        (folds, to_part(py, moments.unpaired_x()), to_part(py, moments.unpaired_y()))
    }

    #[staticmethod]
    fn from_parts(
        x_dim: usize,
        y_dim: usize,
        folds: Vec<Part<'_>>,
        unpaired_x: Part<'_>,
        unpaired_y: Part<'_>,
    ) -> PyResult<Self> {
        // Refuses widths of 0 and no folds.
        core::PairedMoments::new(x_dim, y_dim, folds.len()).map_err(to_exception)?;
        let folds = folds.iter().map(|part| from_part(part, &[x_dim, y_dim])).collect::<PyResult<_>>()?;
        let mut moments = core::PairedMoments::from_folds(x_dim, y_dim, folds);
        *moments.unpaired_x() = from_part(&unpaired_x, &[x_dim])?;
        *moments.unpaired_y() = from_part(&unpaired_y, &[y_dim])?;
        Ok(Self::wrap(moments))
    }

    fn copy(&self, py: Python<'_>) -> Self {
        Self::wrap(self.with(py, |moments| moments.clone()))
    }

    /// The moments of one fold, as moments without folds.
    fn fold(&self, py: Python<'_>, k: usize) -> PyResult<Self> {
        let fold = self.with(py, |moments| {
            let fold = moments.folds().get(k).cloned().ok_or(moments.folds().len())?;
            Ok(core::PairedMoments::from_folds(moments.x_width(), moments.y_width(), vec![fold]))
        });
        fold.map(Self::wrap)
            .map_err(|folds: usize| PyIndexError::new_err(format!("fold {k} of moments with {folds} folds")))
    }

    #[getter]
    fn x_dim(&self, py: Python<'_>) -> usize {
        self.with(py, |moments| moments.x_width())
    }

    #[getter]
    fn y_dim(&self, py: Python<'_>) -> usize {
        self.with(py, |moments| moments.y_width())
    }

    #[getter]
    fn folds(&self, py: Python<'_>) -> usize {
        self.with(py, |moments| moments.folds().len())
    }

    #[getter]
    fn count(&self, py: Python<'_>) -> u64 {
        self.with(py, |moments| moments.count())
    }

    #[getter]
    fn fold_counts(&self, py: Python<'_>) -> Vec<u64> {
        self.with(py, |moments| moments.folds().iter().map(core::Moments::count).collect())
    }

    #[getter]
    fn x_mean<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.mean(py, x_side)
    }

    #[getter]
    fn y_mean<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.mean(py, y_side)
    }

    #[getter]
    fn scatter_xx<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.scatter(py, x_side, x_side)
    }

    #[getter]
    fn scatter_yy<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.scatter(py, y_side, y_side)
    }

    #[getter]
    fn scatter_xy<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.scatter(py, x_side, y_side)
    }

    #[pyo3(signature = (x, y, ids=None, weights=None))]
    fn update(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        ids: Option<PyReadonlyArray1<'_, i64>>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<()> {
        let (x, y) = (Borrowed::extract(x, "x")?, Borrowed::extract(y, "y")?);
        let (ids, weights) = (ids.map(|ids| ids.as_array().to_vec()), to_weights(weights));
        let (x, y) = (x.rows(), y.rows());
        self.with(py, |moments| moments.update(x, y, ids.as_deref(), weights.as_deref())).map_err(to_exception)
    }

    #[pyo3(signature = (x, weights=None))]
    fn update_x(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<()> {
        let (x, weights) = (Borrowed::extract(x, "x")?, to_weights(weights));
        let x = x.rows();
        self.with(py, |moments| moments.update_x(x, weights.as_deref())).map_err(to_exception)
    }

    #[pyo3(signature = (y, weights=None))]
    fn update_y(
        &self,
        py: Python<'_>,
        y: &Bound<'_, PyAny>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<()> {
        let (y, weights) = (Borrowed::extract(y, "y")?, to_weights(weights));
        let y = y.rows();
        self.with(py, |moments| moments.update_y(y, weights.as_deref())).map_err(to_exception)
    }

    #[pyo3(signature = (x, y, ids, weights=None))]
    fn remove(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        ids: PyReadonlyArray1<'_, i64>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<()> {
        let (x, y) = (Borrowed::extract(x, "x")?, Borrowed::extract(y, "y")?);
        let (ids, weights) = (ids.as_array().to_vec(), to_weights(weights));
        let (x, y) = (x.rows(), y.rows());
        self.with(py, |moments| moments.remove(x, y, &ids, weights.as_deref())).map_err(to_exception)
    }

    /// Only one lock is held at a time, so that two objects may be merged into each other by two threads.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let mut other = other.with(py, |moments| moments.clone());
        self.with(py, |moments| moments.merge(&mut other)).map_err(to_exception)
    }
}

/// The cubes and fourths of a part whose sums are about one centre, about another.
#[pyfunction]
pub fn fourth_powers<'py>(
    py: Python<'py>,
    widths: Vec<usize>,
    part: Part<'py>,
    from_centre: Vec<f64>,
    to_centre: Vec<f64>,
) -> PyResult<(Vector<'py>, Vector<'py>)> {
    let state = to_state(&part)?;
    let d: usize = widths.iter().sum();
    let lengths = [state.mean.len(), state.cubes.len(), from_centre.len(), to_centre.len()];
    if lengths != [d; 4] || state.scatter.len() != d * (d + 1) / 2 || state.fourths.len() != widths.len() {
        return Err(PyValueError::new_err(format!("sums of other widths than {widths:?}")));
    }
    let (cubes, fourths) = core::fourth_powers(&widths, &state, &from_centre, &to_centre);
    Ok((cubes.into_pyarray(py), fourths.into_pyarray(py)))
}

fn to_weights(weights: Option<PyReadonlyArray1<'_, f64>>) -> Option<Vec<f64>> {
    weights.map(|weights| weights.as_array().to_vec())
}
