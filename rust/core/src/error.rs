//! What can go wrong, with the values that made it go wrong.

use std::fmt;

/// Every way a call into this crate can be refused. Nothing was changed when one is returned.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A moments object of no columns or no folds was asked for.
    Empty {
        /// The argument that was zero.
        argument: &'static str,
    },
    /// The state would not fit into memory.
    TooWide {
        /// Columns of both sides together.
        columns: usize,
        /// Number of folds.
        folds: usize,
    },
    /// Rows of another width than the moments have.
    Width {
        /// `x` or `y`.
        argument: &'static str,
        /// Width of the moments.
        expected: usize,
        /// Width of the rows.
        found: usize,
    },
    /// `x` and `y` (or `ids`) of different lengths.
    RowCount {
        /// The argument whose length is off.
        argument: &'static str,
        /// Rows of `x`.
        expected: usize,
        /// Its own length.
        found: usize,
    },
    /// A NaN, an infinity, or a magnitude whose square overflows.
    Value {
        /// `x` or `y`.
        argument: &'static str,
        /// Row of the offending value.
        row: usize,
        /// Column of the offending value.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A weight that is negative, not finite, or too large.
    Weight {
        /// Row of the weight.
        row: usize,
        /// The weight.
        value: f64,
        /// The largest there may be.
        most: f64,
    },
    /// Two moments that cannot be merged.
    Mismatch {
        /// Which property differs.
        property: &'static str,
        /// Its value on the left.
        left: usize,
        /// Its value on the right.
        right: usize,
    },
    /// More rows of a fold are to be removed than it holds.
    NeverAdded {
        /// The fold.
        fold: usize,
        /// Rows it holds.
        held: u64,
        /// Rows to be removed.
        removed: u64,
    },
    /// Removing these rows would leave a scatter with negative variances.
    NotPositive {
        /// The fold.
        fold: usize,
    },
    /// Too few rows for a covariance.
    TooFewRows {
        /// Rows there are.
        rows: u64,
    },
    /// Held-out numbers were asked for where fewer than two folds hold rows.
    NoFolds {
        /// Number of folds of the moments.
        folds: usize,
        /// Folds that hold rows.
        filled: usize,
    },
    /// A ridge that is negative or not finite.
    Ridge {
        /// The ridge.
        value: f64,
    },
    /// A share of unpaired rows outside [0, 1], or of rows that are not there.
    Share {
        /// The share.
        value: f64,
        /// Unpaired rows of that side.
        rows: u64,
    },
    /// Sums that a method needs are beyond f64.
    Overflow {
        /// Which sums.
        what: &'static str,
    },
    /// A state that no rows can have produced.
    State {
        /// What is wrong with it.
        reason: String,
    },
    /// An eigenvalue or singular value iteration did not converge.
    NoConvergence {
        /// Which decomposition.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { argument } => write!(f, "{argument} must be at least 1, got 0"),
            Self::TooWide { columns, folds } => {
                write!(f, "moments of {columns} columns in {folds} folds do not fit into memory")
            }
            Self::Width { argument, expected, found } => {
                write!(f, "{argument} has {found} columns, but these moments are of width {expected}")
            }
            Self::RowCount { argument, expected, found } => {
                write!(f, "{argument} has {found} rows, but x has {expected}")
            }
            Self::Value { argument, row, column, value } if value.is_finite() => write!(
                f,
                "{argument} holds {value:e} in row {row}, column {column}: its square overflows; rescale the features"
            ),
            Self::Value { argument, row, column, value } => {
                write!(f, "{argument} holds {value} in row {row}, column {column}; every value must be finite")
            }
            Self::Weight { row, value, most } => {
                write!(f, "weights must lie between 0 and {most:e}, got {value} in row {row}")
            }
            Self::Mismatch { property, left, right } => {
                write!(f, "cannot merge moments of different {property}: {left} and {right}")
            }
            Self::NeverAdded { fold, held, removed } => {
                write!(
                    f,
                    "cannot remove {removed} rows from fold {fold}, which holds {held}: they were never added under these ids"
                )
            }
            Self::NotPositive { fold } => write!(
                f,
                "cannot remove these rows from fold {fold}: its scatter would no longer be positive semidefinite, so they were never added under these ids"
            ),
            Self::TooFewRows { rows } => write!(f, "a fit needs at least 2 rows, the moments hold {rows}"),
            Self::NoFolds { folds, filled } => {
                write!(f, "held-out numbers need at least two folds that hold rows; {filled} of {folds} do")
            }
            Self::Ridge { value } => write!(f, "ridge must be finite and at least 0, got {value}"),
            Self::Share { value, rows } => {
                write!(
                    f,
                    "unpaired must lie between 0 and 1, and be 0 without unpaired rows, got {value} for {rows} rows"
                )
            }
            Self::Overflow { what } => write!(f, "{what} overflow; rescale the features"),
            Self::State { reason } => write!(f, "not the state of any moments: {reason}"),
            Self::NoConvergence { what } => write!(f, "the {what} did not converge"),
        }
    }
}

impl std::error::Error for Error {}
