//! One-pass moments of paired rows and their canonical decomposition: the core of canonsim, without Python.
//!
//! Rows `[x | y]` go into [`PairedMoments`], which keeps a count, a mean and a centred scatter per fold; [`fit`]
//! turns them into canonical directions, correlations and their held-out counterparts.
//!
//! ```
//! use canonsim_core::{PairedMoments, Rank, Ridge, Rows, Share, fit};
//! use ndarray::Array2;
//!
//! let x = Array2::from_shape_fn((200, 3), |(i, j)| ((i * 37 + j * 11) % 101) as f64);
//! let y = Array2::from_shape_fn((200, 2), |(i, j)| x[(i, j)] + ((i * 53) % 7) as f64);
//! let mut moments = PairedMoments::new(3, 2, 5)?;
//! moments.update(Rows::F64(x.view()), Rows::F64(y.view()), None, None)?;
//! let fit = fit(&mut moments, Ridge::Auto, Share::Auto, Rank::Full)?;
//! assert_eq!(fit.canonical.correlations.len(), 2);
//! assert!(fit.held_out.is_some_and(|held_out| held_out.correlations[0] > 0.9));
//! # Ok::<(), canonsim_core::Error>(())
//! ```

mod accumulate;
mod cross_fit;
mod decomposition;
mod dense;
mod error;
mod fit;
mod folds;
mod fourth;
mod gram;
mod moments;
mod paired;
mod rows;
mod state;
mod threads;

pub use cross_fit::{HeldOut, Sums, nonincreasing};
pub use decomposition::Canonical;
pub use error::Error;
pub use faer::Mat;
pub use fit::{Fit, GRID, Rank, Ridge, SHARES, START, Share, above_chance, fit};
pub use folds::fold_of;
pub use moments::Moments;
pub use paired::PairedMoments;
pub use rows::Rows;
pub use state::State;
pub use threads::{VARIABLE, num_threads, set_num_threads};

/// Sums of `|z|^2 z` (d,) and of `|z|^4` of each part, of rows z about one centre, moved to another.
///
/// The rows are in parts of these widths. They have the weight, the mean and the packed scatter about it that `state` says,
/// and the sums that it says about `from`.
pub fn fourth_powers(widths: &[usize], state: &State, from: &[f64], to: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let sums = fourth::Fourth::restored(widths, from, &state.cubes, &state.fourths);
    let second = fourth::Second { weight: state.weight, mean: &state.mean, scatter: &state.scatter };
    let moved = sums.about(to, second);
    (moved.cubes().to_vec(), moved.fourths().to_vec())
}

/// The instructions that products run on, the fastest that this processor has: "AVX-512", "AVX2" or "plain".
pub fn kernel_name() -> &'static str {
    gram::kernel_name()
}

/// The speed of one thread's innermost loop on data in the L1 cache, in GFLOP/s: about the processor's peak, which
/// nothing can exceed. In double precision, or else in single.
pub fn tile_rate(double: bool) -> f64 {
    if double { gram::tile_rate::<f64>() } else { gram::tile_rate::<f32>() }
}
