//! What the tests compare with: two-pass moments and the QR form of canonical correlations, both in f64 and by
//! another road than the crate's.

#![allow(dead_code, missing_docs)]

use canonsim_core::{Error, Fit, Mat, Moments, PairedMoments, Rank, Ridge, Rows, Share};
use ndarray::{Array2, ArrayView2};

/// Deterministic noise in (-1, 1), roughly uniform.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Roughly normal, of unit variance.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() / 2.0
    }

    pub fn matrix(&mut self, n: usize, d: usize) -> Array2<f64> {
        Array2::from_shape_fn((n, d), |_| self.normal())
    }
}

/// Two sides that share `shared` latent variables.
pub fn related(noise: &mut Noise, n: usize, p: usize, q: usize, shared: usize) -> (Array2<f64>, Array2<f64>) {
    let latent = noise.matrix(n, shared);
    let x = latent.dot(&noise.matrix(shared, p)) + noise.matrix(n, p);
    let y = latent.dot(&noise.matrix(shared, q)) + noise.matrix(n, q);
    (x, y)
}

pub fn moments(x: &Array2<f64>, y: &Array2<f64>, folds: usize) -> PairedMoments {
    let mut moments = PairedMoments::new(x.ncols(), y.ncols(), folds).unwrap();
    moments.update(Rows::F64(x.view()), Rows::F64(y.view()), None, None).unwrap();
    moments
}

/// A fit that may use unpaired rows, of which there are none in most tests.
pub fn fit(moments: &mut PairedMoments, ridge: Ridge, rank: Rank) -> Result<Fit, Error> {
    canonsim_core::fit(moments, ridge, Share::Auto, rank)
}

/// Mean and centred scatter by two passes.
pub fn two_pass(rows: ArrayView2<'_, f64>) -> (Vec<f64>, Array2<f64>) {
    let mean = rows.mean_axis(ndarray::Axis(0)).unwrap();
    let centred = &rows - &mean;
    (mean.to_vec(), centred.t().dot(&centred))
}

/// Largest difference of the moments from the two-pass ones, relative to the spread of the columns.
pub fn distance(moments: &mut Moments, rows: ArrayView2<'_, f64>) -> f64 {
    let (mean, scatter) = two_pass(rows);
    let n = rows.nrows() as f64;
    let spread: Vec<f64> = (0..mean.len()).map(|i| (scatter[(i, i)] / n).sqrt().max(f64::MIN_POSITIVE)).collect();
    let mut worst = 0.0_f64;
    for i in 0..mean.len() {
        worst = worst.max((moments.mean()[i] - mean[i]).abs() / spread[i]);
        for j in 0..=i {
            worst = worst.max((moments.scatter(i, j) - scatter[(i, j)]).abs() / (n * spread[i] * spread[j]));
        }
    }
    worst
}

/// Canonical correlations as the singular values of `Qx^T Qy` (Bjoerck and Golub 1973), of sides of full column rank.
pub fn reference_correlations(x: &Array2<f64>, y: &Array2<f64>) -> Vec<f64> {
    let orthonormal = |rows: &Array2<f64>| {
        let mean = rows.mean_axis(ndarray::Axis(0)).unwrap();
        let centred = Mat::from_fn(rows.nrows(), rows.ncols(), |i, j| rows[(i, j)] - mean[j]);
        centred.qr().compute_thin_Q()
    };
    let mut values = (orthonormal(x).transpose() * orthonormal(y)).singular_values().unwrap();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

pub fn assert_close(left: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(left.len(), right.len(), "{left:?} and {right:?}");
    for (l, r) in left.iter().zip(right) {
        assert!((l - r).abs() <= tolerance, "{left:?} is not {right:?} to {tolerance}");
    }
}
