//! Rows of features as they come in: any of four precisions, any strides.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayView2, Axis};

use crate::Error;
use crate::threads::in_parallel;

/// Values that a thread looks through before the next takes over.
const VALUES_AT_A_TIME: usize = 1 << 21;

/// Largest magnitude accepted: its square, times any number of rows that fits into memory, is finite in f64.
pub(crate) const LARGEST: f64 = 1e145;

/// A borrowed (n, width) block of features.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// IEEE half precision.
    F16(ArrayView2<'a, f16>),
    /// bfloat16, as its bits: numpy has no such type.
    Bf16(ArrayView2<'a, u16>),
    /// Single precision.
    F32(ArrayView2<'a, f32>),
    /// Double precision.
    F64(ArrayView2<'a, f64>),
}

/// The same expression over the view, whatever its precision; `wide` takes a value of it to f64.
macro_rules! each {
    ($rows:expr, $view:ident, $wide:ident => $body:expr) => {
        match $rows {
            Rows::F16($view) => {
                let $wide = |v: f16| v.to_f64();
                $body
            }
            Rows::Bf16($view) => {
                let $wide = |v: u16| bf16::from_bits(v).to_f64();
                $body
            }
            Rows::F32($view) => {
                let $wide = |v: f32| f64::from(v);
                $body
            }
            Rows::F64($view) => {
                let $wide = |v: f64| v;
                $body
            }
        }
    };
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::F16(view) => view.nrows(),
            Self::Bf16(view) => view.nrows(),
            Self::F32(view) => view.nrows(),
            Self::F64(view) => view.nrows(),
        }
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        match self {
            Self::F16(view) => view.ncols(),
            Self::Bf16(view) => view.ncols(),
            Self::F32(view) => view.ncols(),
            Self::F64(view) => view.ncols(),
        }
    }

    /// True where products must run in double precision.
    pub(crate) fn is_double(&self) -> bool {
        matches!(self, Rows::F64(_))
    }

    /// Refuses another width than `expected`, and any value that is not finite or whose square overflows.
    pub(crate) fn check(&self, argument: &'static str, expected: usize) -> Result<(), Error> {
        if self.width() != expected {
            return Err(Error::Width { argument, expected, found: self.width() });
        }
        let found = match self {
            Self::F16(view) => first_misfit(view, |v| v.is_finite()),
            Self::Bf16(view) => first_misfit(view, |v| bf16::from_bits(v).is_finite()),
            Self::F32(view) => first_misfit(view, f32::is_finite),
            Self::F64(view) => first_misfit(view, |v| v.abs() <= LARGEST),
        };
        if let Some((row, column)) = found {
            let value = each!(self, view, wide => wide(view[(row, column)]));
            return Err(Error::Value { argument, row, column, value });
        }
        Ok(())
    }

    /// Writes row `i` to `out` in single precision. Double precision rows are rounded: see [`Rows::is_double`].
    pub(crate) fn copy_f32(&self, i: usize, out: &mut [f32]) {
        match self {
            Rows::F16(view) => widen(view, i, out, f16::to_f32, |s, o| {
                s.convert_to_f32_slice(o);
            }),
            Rows::Bf16(view) => widen(
                view,
                i,
                out,
                |v| bf16::from_bits(v).to_f32(),
                |s, o| {
                    s.reinterpret_cast::<bf16>().convert_to_f32_slice(o);
                },
            ),
            Rows::F32(view) => widen(view, i, out, |v| v, |s, o| o.copy_from_slice(s)),
            #[allow(clippy::cast_possible_truncation)]
            Rows::F64(view) => out.iter_mut().zip(view.row(i)).for_each(|(o, v)| *o = *v as f32),
        }
    }

    /// Writes row `i` to `out` in double precision, exactly.
    pub(crate) fn copy_f64(&self, i: usize, out: &mut [f64]) {
        each!(self, view, wide => out.iter_mut().zip(view.row(i)).for_each(|(o, &v)| *o = wide(v)));
    }
}

/// Where the first value stands that does not fit.
fn first_misfit<T: Copy + Sync>(view: &ArrayView2<'_, T>, fits: impl Fn(T) -> bool + Sync) -> Option<(usize, usize)> {
    // Without a short cut the loop vectorises; a bad value is looked for only where there is one.
    let all_fit = |values: &[T]| values.iter().fold(true, |ok, &v| ok & fits(v));
    let position = |(row, values): (usize, ArrayView1<'_, T>)| {
        if values.as_slice().is_some_and(all_fit) {
            return None;
        }
        values.iter().position(|&v| !fits(v)).map(|column| (row, column))
    };
    let rows = (VALUES_AT_A_TIME / view.ncols().max(1)).max(1);
    let parts: Vec<_> = view.axis_chunks_iter(Axis(0), rows).enumerate().collect();
    let worth_it = parts.len() > 1;
    let found = in_parallel(parts, worth_it, |(part, view)| {
        if view.as_slice().is_some_and(all_fit) {
            return None;
        }
        let (row, column) = view.rows().into_iter().enumerate().find_map(position)?;
        Some((part * rows + row, column))
    });
    found.into_iter().flatten().next()
}

/// One row through `slice` where it lies contiguous, else value by value.
fn widen<T: Copy>(
    view: &ArrayView2<'_, T>,
    i: usize,
    out: &mut [f32],
    value: impl Fn(T) -> f32,
    slice: impl Fn(&[T], &mut [f32]),
) {
    let row = view.row(i);
    match row.as_slice() {
        Some(contiguous) => slice(contiguous, out),
        None => out.iter_mut().zip(row).for_each(|(o, v)| *o = value(*v)),
    }
}
