//! numpy arrays in and out, and the errors of the core as Python exceptions.

use canonsim_core::{Error, Mat, Rows};
use half::f16;
use numpy::ndarray::Array2;
use numpy::{Element, IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A two-dimensional array of one of the precisions, borrowed from Python.
pub enum Borrowed<'py> {
    F16(PyReadonlyArray2<'py, f16>),
    /// The bits of bfloat16, which numpy does not have: the Python face lets no other integers pass.
    Bf16(PyReadonlyArray2<'py, u16>),
    F32(PyReadonlyArray2<'py, f32>),
    F64(PyReadonlyArray2<'py, f64>),
}

impl<'py> Borrowed<'py> {
    pub fn extract(array: &Bound<'py, PyAny>, argument: &str) -> PyResult<Self> {
        fn view<'py, T: Element>(array: &Bound<'py, PyAny>) -> Option<PyReadonlyArray2<'py, T>> {
            array.cast::<PyArray2<T>>().ok().and_then(|array| array.try_readonly().ok())
        }
        view(array)
            .map(Self::F32)
            .or_else(|| view(array).map(Self::F64))
            .or_else(|| view(array).map(Self::F16))
            .or_else(|| view(array).map(Self::Bf16))
            .ok_or_else(|| PyTypeError::new_err(format!("{argument} must be a two-dimensional array of floats")))
    }

    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::F16(array) => Rows::F16(array.as_array()),
            Self::Bf16(array) => Rows::Bf16(array.as_array()),
            Self::F32(array) => Rows::F32(array.as_array()),
            Self::F64(array) => Rows::F64(array.as_array()),
        }
    }
}

/// A matrix of the core as a C-ordered array.
pub fn to_array<'py>(py: Python<'py>, matrix: &Mat<f64>) -> Bound<'py, PyArray2<f64>> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)]).into_pyarray(py)
}

/// Every refusal of the core is a ValueError, but that of memory.
pub fn to_exception(error: Error) -> PyErr {
    match error {
        Error::TooWide { .. } => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}
