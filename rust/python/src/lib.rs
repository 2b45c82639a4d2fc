//! `canonsim._native`: the private extension module. Its faces, with their documentation, are in Python.

mod arrays;
mod fit;
mod moments;

use arrays::to_exception;
use canonsim_core::{Error, fold_of, num_threads, set_num_threads};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::fit::{Fit, fit};
    #[pymodule_export]
    use super::moments::{Moments, fourth_powers};
    #[pymodule_export]
    use super::{above_chance, folds_of, get_num_threads, kernel_name, nonincreasing, set_num_threads_, tile_rate};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("RIDGES", canonsim_core::GRID.to_vec())?;
        module.add("FIRST_RIDGE", canonsim_core::GRID[canonsim_core::START])?;
        // Asked here, so that workers forked from now on know that they are.
        super::num_threads();
        Ok(())
    }
}

/// The fold of each id.
#[pyfunction]
fn folds_of<'py>(
    py: Python<'py>,
    ids: PyReadonlyArray1<'py, i64>,
    folds: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    if folds == 0 {
        return Err(to_exception(Error::Empty { argument: "folds" }));
    }
    let folds =
        ids.as_array().iter().map(|&id| i64::try_from(fold_of(id, folds)).unwrap_or_default()).collect::<Vec<_>>();
    Ok(PyArray1::from_vec(py, folds))
}

/// The nonincreasing sequence closest to values (n,) in least squares.
#[pyfunction]
fn nonincreasing<'py>(py: Python<'py>, values: PyReadonlyArray1<'py, f64>) -> Bound<'py, PyArray1<f64>> {
    PyArray1::from_vec(py, canonsim_core::nonincreasing(&values.as_array().to_vec()))
}

/// How many of nonincreasing held-out correlations (r,) are above chance for so many pairs.
#[pyfunction]
fn above_chance(correlations: PyReadonlyArray1<'_, f64>, count: f64) -> usize {
    canonsim_core::above_chance(&correlations.as_array().to_vec(), count)
}

/// Threads that heavy calls use.
#[pyfunction]
fn get_num_threads() -> usize {
    num_threads()
}

/// Sets the threads of heavy calls; 0 is the default.
#[pyfunction(name = "set_num_threads")]
fn set_num_threads_(threads: usize) {
    set_num_threads(threads);
}

/// The instructions that products run on.
#[pyfunction]
fn kernel_name() -> &'static str {
    canonsim_core::kernel_name()
}

/// The speed of one thread's innermost loop in GFLOP/s: about the processor's peak, in f64 or else in f32.
#[pyfunction]
fn tile_rate(py: Python<'_>, double: bool) -> f64 {
    py.detach(|| canonsim_core::tile_rate(double))
}
