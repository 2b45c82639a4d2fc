//! The fit of the core.

use canonsim_core as core;
use canonsim_core::{Rank, Ridge, Share, Sums};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;

use crate::arrays::{to_array, to_exception};
use crate::moments::Moments;

/// What a fit found: see canonsim.CanonicalSpace.
#[pyclass(frozen, get_all, module = "canonsim._native")]
pub struct Fit {
    count: u64,
    effective_count: f64,
    ridge: (f64, f64),
    unpaired: (f64, f64),
    x_mean: Py<PyArray1<f64>>,
    y_mean: Py<PyArray1<f64>>,
    x_projection: Py<PyArray2<f64>>,
    y_projection: Py<PyArray2<f64>>,
    correlations: Py<PyArray1<f64>>,
    x_std: Py<PyArray1<f64>>,
    y_std: Py<PyArray1<f64>>,
    held_out_correlations: Option<Py<PyArray1<f64>>>,
    /// Weight of the pairs of each left-out fold, (K,).
    fold_weights: Option<Py<PyArray1<f64>>>,
    /// Sums over its pairs: of the products of both variates of each direction, (K, R), where R directions may be more than
    /// are kept.
    fold_cross: Option<Py<PyArray2<f64>>>,
    /// Of the squares of the variates of x, (K, R).
    fold_x: Option<Py<PyArray2<f64>>>,
    /// Of those of y, (K, R).
    fold_y: Option<Py<PyArray2<f64>>>,
}

/// Fits the moments.
///
/// `ridge`: a pair, or "auto", "oas" or "ledoit-wolf". `unpaired`: a pair, or "auto". `rank`: a number, or "auto", or None
/// for all directions.
#[pyfunction]
pub fn fit(
    py: Python<'_>,
    moments: &Moments,
    ridge: RidgeArgument,
    unpaired: ShareArgument,
    rank: RankArgument,
) -> PyResult<Fit> {
    let p = moments.with(py, |moments| moments.x_width());
    let fit = moments.with(py, |moments| core::fit(moments, ridge.0, unpaired.0, rank.0)).map_err(to_exception)?;
    let folds = fit.held_out.as_ref().map(|held_out| held_out.folds.clone());
    let table = |of: fn(&Sums) -> &Vec<f64>| {
        folds.as_ref().map(|folds| {
            let shape = (folds.len(), folds.first().map_or(0, |sums| of(sums).len()));
            Array2::from_shape_fn(shape, |(k, i)| of(&folds[k])[i]).into_pyarray(py).unbind()
        })
    };
    let (fold_cross, fold_x, fold_y) = (table(|sums| &sums.cross), table(|sums| &sums.x), table(|sums| &sums.y));
    let vector = |values: Vec<f64>| values.into_pyarray(py).unbind();
    // The standard deviations are those the correlations were measured with.
    let (x_std, y_std, held_out) = match fit.held_out {
        Some(held_out) => (held_out.x_std, held_out.y_std, Some(held_out.correlations)),
        None => (fit.x_std, fit.y_std, None),
    };
    Ok(Fit {
        count: fit.count,
        effective_count: fit.effective,
        ridge: fit.ridge,
        unpaired: fit.share,
        x_mean: vector(fit.mean[..p].to_vec()),
        y_mean: vector(fit.mean[p..].to_vec()),
        x_projection: to_array(py, &fit.canonical.a).unbind(),
        y_projection: to_array(py, &fit.canonical.b).unbind(),
        correlations: vector(fit.canonical.correlations),
        x_std: vector(x_std),
        y_std: vector(y_std),
        held_out_correlations: held_out.map(vector),
        fold_weights: folds.map(|folds| vector(folds.iter().map(|sums| sums.weight).collect())),
        fold_cross,
        fold_x,
        fold_y,
    })
}

pub struct RidgeArgument(Ridge);

impl<'py> FromPyObject<'_, 'py> for RidgeArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<String>().as_deref() {
            Ok("auto") => Ok(Self(Ridge::Auto)),
            Ok("oas") => Ok(Self(Ridge::Oas)),
            Ok("ledoit-wolf") => Ok(Self(Ridge::LedoitWolf)),
            _ => value.extract().map(|(x, y)| Self(Ridge::Fixed(x, y))),
        }
    }
}

pub struct ShareArgument(Share);

impl<'py> FromPyObject<'_, 'py> for ShareArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<String>().as_deref() {
            Ok("auto") => Ok(Self(Share::Auto)),
            _ => value.extract().map(|(x, y)| Self(Share::Fixed(x, y))),
        }
    }
}

pub struct RankArgument(Rank);

impl<'py> FromPyObject<'_, 'py> for RankArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<String>().as_deref() {
            Ok("auto") => Ok(Self(Rank::Auto)),
            _ => Ok(Self(value.extract::<Option<usize>>()?.map_or(Rank::Full, Rank::AtMost))),
        }
    }
}
