//! Canonical correlations and projections: right where the textbook applies, and answered where it does not.

#![allow(missing_docs)]

mod common;

use canonsim_core::{Error, Fit, Mat, PairedMoments, Rank, Ridge, Rows};
use common::{Noise, assert_close, fit, moments, reference_correlations, related};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use proptest::prelude::*;

const UNRIDGED: Ridge = Ridge::Fixed(0.0, 0.0);

fn fitted(x: &Array2<f64>, y: &Array2<f64>) -> Fit {
    let found = fit(&mut moments(x, y, 1), UNRIDGED, Rank::Full).unwrap();
    check_contract(&found);
    found
}

/// The same rows in f32, whose products are rounded.
fn fitted_f32(x: &Array2<f64>, y: &Array2<f64>) -> Fit {
    let (x, y) = (x.mapv(|v| v as f32), y.mapv(|v| v as f32));
    let mut moments = PairedMoments::new(x.ncols(), y.ncols(), 1).unwrap();
    moments.update(Rows::F32(x.view()), Rows::F32(y.view()), None, None).unwrap();
    let found = fit(&mut moments, UNRIDGED, Rank::Full).unwrap();
    check_contract(&found);
    found
}

/// What holds for every fit.
fn check_contract(found: &Fit) {
    let rho = &found.canonical.correlations;
    assert!(rho.iter().all(|r| (0.0..=1.0).contains(r)), "{rho:?}");
    assert!(rho.windows(2).all(|w| w[0] >= w[1]), "{rho:?}");
    for matrix in [&found.canonical.a, &found.canonical.b] {
        assert_eq!(matrix.ncols(), rho.len());
        assert!(matrix.col_iter().all(|c| c.iter().all(|v| v.is_finite())));
    }
    for column in found.canonical.a.col_iter() {
        let leading = column.iter().copied().fold(0.0_f64, |a, b| if b.abs() > a.abs() { b } else { a });
        assert!(leading > 0.0);
    }
    if let Some(held_out) = &found.held_out {
        assert_eq!(held_out.correlations.len(), rho.len());
        assert!(held_out.correlations.iter().all(|r| (0.0..1.0).contains(r)));
        assert!(held_out.correlations.windows(2).all(|w| w[0] >= w[1]));
    }
}

fn variates(rows: &Array2<f64>, directions: &Mat<f64>) -> Array2<f64> {
    let mean = rows.mean_axis(Axis(0)).unwrap();
    (rows - &mean).dot(&Array2::from_shape_fn((directions.nrows(), directions.ncols()), |(i, j)| directions[(i, j)]))
}

/// Largest entry of `U^T V / (n - 1) - diag(d)`.
fn off(u: &Array2<f64>, v: &Array2<f64>, diagonal: &[f64]) -> f64 {
    let gram = u.t().dot(v) / (u.nrows() - 1) as f64 - Array2::from_diag(&Array1::from_vec(diagonal.to_vec()));
    gram.iter().fold(0.0, |a, b| a.max(b.abs()))
}

#[test]
fn projections_whiten_each_side_and_diagonalise_both() {
    let (x, y) = related(&mut Noise(1), 400, 12, 7, 4);
    let found = fitted(&x, &y);
    let (u, v) = (variates(&x, &found.canonical.a), variates(&y, &found.canonical.b));
    let ones = vec![1.0; 7];
    assert!(off(&u, &u, &ones) < 1e-11);
    assert!(off(&v, &v, &ones) < 1e-11);
    assert!(off(&u, &v, &found.canonical.correlations) < 1e-11);
    assert_close(&found.canonical.correlations, &reference_correlations(&x, &y), 1e-12);
}

#[test]
fn a_ridge_is_relative_to_the_mean_variance() {
    let (x, y) = related(&mut Noise(2), 300, 6, 5, 3);
    let ridged = |x: &Array2<f64>| fit(&mut moments(x, &y, 1), Ridge::Fixed(0.5, 2.0), Rank::Full).unwrap();
    let found = ridged(&x);
    // By the definition: (Cx + rx tr(Cx)/p I) a = ... gives a^T (Cx + ...) a = 1.
    let u = variates(&x, &found.canonical.a);
    let centred = &x - &x.mean_axis(Axis(0)).unwrap();
    let mean_variance = centred.mapv(|v| v * v).sum() / (299.0 * 6.0);
    for j in 0..5 {
        let variance = u.column(j).mapv(|v| v * v).sum() / 299.0;
        let norm: f64 = (0..6).map(|i| found.canonical.a[(i, j)].powi(2)).sum();
        assert!((variance + 0.5 * mean_variance * norm - 1.0).abs() < 1e-11);
        assert!((variance.sqrt() - found.x_std[j]).abs() < 1e-11);
    }
    assert_close(&found.canonical.correlations, &ridged(&(&x * 1e4)).canonical.correlations, 1e-11);
}

#[test]
fn fewer_rows_than_columns() {
    let (x, y) = related(&mut Noise(3), 20, 50, 30, 3);
    for found in [fitted(&x, &y), fitted_f32(&x, &y)] {
        // 19 dimensions on both sides, every direction of which fits perfectly.
        assert_eq!(found.canonical.len(), 19);
        assert_close(&found.canonical.correlations, &[1.0; 19], 1e-5);
    }
}

#[test]
fn duplicated_and_constant_columns_change_nothing() {
    let (x, y) = related(&mut Noise(4), 500, 6, 4, 3);
    let expected = reference_correlations(&x, &y);
    let constant = Array2::from_elem((500, 2), 0.1);
    let doubled = concatenate![Axis(1), x, x.slice(s![.., ..3]), constant];
    assert_close(&fitted(&doubled, &y).canonical.correlations, &expected, 1e-9);
    assert_close(&fitted_f32(&doubled, &y).canonical.correlations, &expected, 1e-5);
    assert_close(&fitted(&(&doubled + 1e4), &y).canonical.correlations, &expected, 1e-9);
}

#[test]
fn a_sum_of_columns_is_no_new_direction() {
    let (x, y) = related(&mut Noise(5), 800, 6, 4, 3);
    let expected = reference_correlations(&x, &y);
    let mix = x.dot(&Noise(6).matrix(6, 40));
    assert_close(&fitted(&mix, &y).canonical.correlations, &expected, 1e-9);
    assert_close(&fitted_f32(&mix, &y).canonical.correlations, &expected, 1e-4);
}

#[test]
fn class_prompts_of_low_rank() {
    // Ten texts for 2,000 rows: rank 9, in 64 columns.
    let mut noise = Noise(7);
    let texts = noise.matrix(10, 64);
    let (labels, rows): (Vec<usize>, Vec<usize>) = ((0..2000).map(|i| i * 7 % 10).collect(), (0..2000).collect());
    let y = texts.select(Axis(0), &labels);
    let x = texts.slice(s![.., ..20]).select(Axis(0), &labels) * 0.5 + noise.matrix(rows.len(), 20);
    let one_hot = Array2::from_shape_fn((2000, 9), |(i, j)| f64::from(u8::from(labels[i] == j)));
    let expected = reference_correlations(&x, &one_hot);
    for (found, tolerance) in [(fitted(&x, &y), 1e-9), (fitted_f32(&x, &y), 1e-5)] {
        assert_eq!(found.canonical.len(), 9);
        assert_close(&found.canonical.correlations, &expected, tolerance);
    }
    let single = fitted_f32(&x, &texts.select(Axis(0), &labels.iter().map(|l| l / 5).collect::<Vec<_>>()));
    assert_eq!(single.canonical.len(), 1);
}

#[test]
fn identical_sides_correlate_fully() {
    let x = Noise(8).matrix(200, 6);
    for found in [fitted(&x, &x), fitted_f32(&x, &x)] {
        assert_close(&found.canonical.correlations, &[1.0; 6], 1e-6);
    }
    let held_out = fit(&mut moments(&x, &x, 5), UNRIDGED, Rank::Full).unwrap().held_out.unwrap();
    assert!(held_out.correlations.iter().all(|&r| r > 0.999_99 && r < 1.0));
}

#[test]
fn nothing_that_varies_means_no_directions() {
    let y = Noise(9).matrix(50, 3);
    for ridge in [UNRIDGED, Ridge::Fixed(1.0, 1.0), Ridge::Auto, Ridge::Oas] {
        let mut constant = moments(&Array2::from_elem((50, 4), 3.7), &y, 5);
        let found = fit(&mut constant, ridge, Rank::Auto).unwrap();
        check_contract(&found);
        assert!(found.canonical.correlations.iter().all(|&r| r < 1e-12));
    }
}

/// Fits of the same rows with the same ids in several orders.
fn in_several_orders(x: &Array2<f64>, y: &Array2<f64>, ridge: Ridge) -> Vec<Fit> {
    let n = x.nrows();
    let orders = [1, 7, 11, 13].map(|step| (0..n).map(|i| i * step % n).collect::<Vec<_>>());
    let fits = orders.iter().map(|order| {
        let mut m = PairedMoments::new(x.ncols(), y.ncols(), 5).unwrap();
        let (xs, ys) = (x.select(Axis(0), order), y.select(Axis(0), order));
        let ids: Vec<i64> = order.iter().map(|&i| i as i64).collect();
        m.update(Rows::F64(xs.view()), Rows::F64(ys.view()), Some(&ids), None).unwrap();
        let found = fit(&mut m, ridge, Rank::Auto).unwrap();
        check_contract(&found);
        found
    });
    fits.collect()
}

#[test]
fn the_order_of_the_rows_chooses_nothing() {
    let mut noise = Noise(13);
    // Sides whose rank is lower than their width, and a single column, whose held-out correlation knows no ridge.
    let one_hot = Array2::from_shape_fn((401, 8), |(i, j)| f64::from(u8::from(i % 8 == j)));
    let x = noise.matrix(401, 4);
    let y = x.slice(s![.., ..2]).to_owned() + noise.matrix(401, 2);
    let doubled = (concatenate![Axis(1), x, x], concatenate![Axis(1), y, y, y]);
    let single = (x.slice(s![.., ..1]).to_owned(), y.slice(s![.., ..1]).to_owned());
    let twice: Vec<usize> = (0..60).map(|i| i / 2).collect();
    let repeated = noise.matrix(30, 80).select(Axis(0), &twice);
    let captions = repeated.slice(s![.., ..70]).to_owned() + noise.matrix(60, 70) * 3.0;
    for (x, y) in [(one_hot.clone(), one_hot), doubled, single, (repeated, captions)] {
        for ridge in [Ridge::Auto, Ridge::Fixed(1.0, 1.0)] {
            let fits = in_several_orders(&x, &y, ridge);
            for other in &fits[1..] {
                assert_eq!(other.ridge, fits[0].ridge);
                assert_close(&other.canonical.correlations, &fits[0].canonical.correlations, 1e-9);
                let held_out = |fit: &Fit| fit.held_out.clone().unwrap().correlations;
                assert_close(&held_out(other), &held_out(&fits[0]), 1e-9);
            }
        }
    }
}

#[test]
fn shrinkage_knows_no_scale_and_leaves_one_column_alone() {
    let (x, y) = related(&mut Noise(14), 200, 5, 1, 1);
    let ridge = |scale: f64| fit(&mut moments(&(&x * scale), &y, 1), Ridge::Oas, Rank::Full).unwrap().ridge;
    assert_eq!(ridge(1.0).1, 0.0);
    assert!((ridge(1e100).0 - ridge(1.0).0).abs() < 1e-9 && (ridge(1e-100).0 - ridge(1.0).0).abs() < 1e-9);
}

#[test]
fn too_little_is_refused() {
    let (x, y) = related(&mut Noise(10), 40, 3, 3, 2);
    let one = |folds| moments(&x.slice(s![..1, ..]).to_owned(), &y.slice(s![..1, ..]).to_owned(), folds);
    assert!(matches!(fit(&mut one(1), UNRIDGED, Rank::Full), Err(Error::TooFewRows { rows: 1 })));
    assert!(matches!(fit(&mut moments(&x, &y, 1), Ridge::Auto, Rank::Full), Err(Error::NoFolds { .. })));
    let negative = Ridge::Fixed(-1.0, 0.0);
    assert!(matches!(fit(&mut moments(&x, &y, 1), negative, Rank::Full), Err(Error::Ridge { .. })));
    let two = moments(&x.slice(s![..2, ..]).to_owned(), &y.slice(s![..2, ..]).to_owned(), 5);
    check_contract(&fit(&mut two.clone(), UNRIDGED, Rank::Full).unwrap());
}

#[test]
fn held_out_correlations_are_those_of_left_out_folds() {
    // Fold by fold on the rows themselves.
    let (x, y) = related(&mut Noise(11), 300, 8, 6, 3);
    let folds = 4;
    let ridge = 0.3;
    let found = fit(&mut moments(&x, &y, folds), Ridge::Fixed(ridge, ridge), Rank::Full).unwrap();
    let (mut num, mut dx, mut dy) = (vec![0.0; 6], vec![0.0; 6], vec![0.0; 6]);
    for k in 0..folds {
        let (test, training): (Vec<usize>, Vec<usize>) =
            (0..300).partition(|&i| canonsim_core::fold_of(i as i64, folds) == k);
        let (xt, yt) = (x.select(Axis(0), &training), y.select(Axis(0), &training));
        let fold = fit(&mut moments(&xt, &yt, 1), Ridge::Fixed(ridge, ridge), Rank::Full).unwrap();
        let project = |rows: &Array2<f64>, training: &Array2<f64>, directions: &Mat<f64>| {
            let centred = rows.select(Axis(0), &test) - &training.mean_axis(Axis(0)).unwrap();
            centred.dot(&Array2::from_shape_fn((directions.nrows(), 6), |(i, j)| directions[(i, j)]))
        };
        let u = project(&x, &xt, &fold.canonical.a);
        let v = project(&y, &yt, &fold.canonical.b);
        for j in 0..6 {
            num[j] += u.column(j).dot(&v.column(j));
            dx[j] += u.column(j).dot(&u.column(j));
            dy[j] += v.column(j).dot(&v.column(j));
        }
    }
    let raw: Vec<f64> = (0..6).map(|j| num[j] / (dx[j] * dy[j]).sqrt()).collect();
    let held_out = found.held_out.unwrap();
    // Isotonic regression keeps the sum, and what is in order already.
    assert!((held_out.correlations[0] - raw[0]).abs() < 1e-9, "{raw:?} {:?}", held_out.correlations);
    assert!((held_out.correlations[1] - raw[1]).abs() < 1e-9);
    let deviations: Vec<f64> = dx.iter().map(|d| (d / 300.0).sqrt()).collect();
    assert_close(&held_out.x_std, &deviations, 1e-9);
}

/// The automatic ridges beside what every pair of ridges of the grid would have given.
fn climbed(n: usize, p: usize, q: usize) -> (Fit, impl Fn(f64, f64) -> f64) {
    let (x, y) = related(&mut Noise(12), n, p, q, 2);
    let m = moments(&x, &y, 5);
    let chosen = fit(&mut m.clone(), Ridge::Auto, Rank::Full).unwrap();
    let information = move |x, y| {
        let held_out = fit(&mut m.clone(), Ridge::Fixed(x, y), Rank::Full).unwrap().held_out.unwrap();
        -held_out.correlations.iter().map(|r| (1.0 - r * r).ln()).sum::<f64>() / 2.0
    };
    (chosen, information)
}

#[test]
fn the_automatic_ridges_are_the_best_of_the_grid() {
    // Few pairs, fewer pairs than columns, and many.
    for (n, p, q) in [(60, 30, 20), (30, 50, 10), (2000, 12, 8)] {
        let (chosen, information) = climbed(n, p, q);
        let grid = canonsim_core::GRID;
        assert!(grid.contains(&chosen.ridge.0) && grid.contains(&chosen.ridge.1));
        let own = information(chosen.ridge.0, chosen.ridge.1);
        let equal = grid.into_iter().map(|r| information(r, r)).fold(0.0, f64::max);
        assert!(own >= equal * (1.0 - 1e-9));
        if n < 10 * (p + q) {
            let all =
                grid.into_iter().flat_map(|x| grid.map(|y| (x, y))).map(|(x, y)| information(x, y)).fold(0.0, f64::max);
            assert!(own >= all * (1.0 - 1e-9), "{own} of {all}");
        } else {
            assert_eq!(chosen.ridge.0, chosen.ridge.1);
        }
    }
}

#[test]
fn directions_at_chance_are_left_out() {
    let (x, y) = related(&mut Noise(12), 60, 30, 20, 2);
    let chosen = fit(&mut moments(&x, &y, 5), Ridge::Auto, Rank::Auto).unwrap();
    let held_out = chosen.held_out.unwrap().correlations;
    let above = |pool: &[f64]| pool[0] > 1.0 / (60.0 * pool.len() as f64).sqrt();
    assert!(held_out.len() == 1 || held_out.chunk_by(|a, b| a == b).all(above));
    assert!(held_out.len() < 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_invertible_affine_map_leaves_unridged_correlations(seed in 1u64..1000, p in 1usize..9, q in 1usize..9) {
        let mut noise = Noise(seed);
        let (x, y) = related(&mut noise, 150, p, q, 2);
        // Diagonally dominant, so well-conditioned.
        let map = noise.matrix(p, p) / (p as f64) + Array2::<f64>::eye(p) * 3.0;
        let moved = x.dot(&map) * 100.0 + 17.0;
        assert_close(&fitted(&moved, &y).canonical.correlations, &fitted(&x, &y).canonical.correlations, 1e-9);
    }

    #[test]
    fn swapping_the_sides_swaps_the_projections(seed in 1u64..1000, p in 2usize..9, q in 2usize..9) {
        let (x, y) = related(&mut Noise(seed), 150, p, q, 2);
        let (forward, backward) = (fitted(&x, &y), fitted(&y, &x));
        assert_close(&forward.canonical.correlations, &backward.canonical.correlations, 1e-11);
        for j in 0..p.min(q) {
            // The sign is fixed by the first side; directions of equal correlation may mix.
            let rho = &forward.canonical.correlations;
            let apart = |i: usize| i >= rho.len() || (rho[i] - rho[j]).abs() > 1e-4;
            if apart(j + 1) && (j == 0 || apart(j - 1)) {
                let (a, b) = (forward.canonical.a.col(j), backward.canonical.b.col(j));
                let sign = if (a.transpose() * b) < 0.0 { -1.0 } else { 1.0 };
                for i in 0..p {
                    prop_assert!((a[i] - sign * b[i]).abs() < 1e-6 * a.norm_l2());
                }
            }
        }
    }

    /// Any shape, any rank, any folds: in range, finite, ordered.
    #[test]
    fn every_fit_keeps_the_contract(
        seed in 1u64..1000,
        n in 2usize..60,
        p in 1usize..12,
        q in 1usize..12,
        rank in 1usize..4,
        folds in 1usize..6,
        scale in prop::sample::select(vec![1e-140, 1e-12, 1.0, 1e12, 1e140]),
        offset in prop::sample::select(vec![0.0, 1.0, 1e4]),
    ) {
        let mut noise = Noise(seed);
        let x = (noise.matrix(n, rank).dot(&noise.matrix(rank, p)) + offset) * scale;
        let y = noise.matrix(n, rank).dot(&noise.matrix(rank, q)) + offset;
        for ridge in [UNRIDGED, Ridge::Fixed(1.0, 0.1), Ridge::Oas, Ridge::Auto] {
            match fit(&mut moments(&x, &y, folds), ridge, Rank::Full) {
                Ok(found) => check_contract(&found),
                Err(error) => {
                    let named = matches!(error, Error::NoFolds { .. });
                    prop_assert!(named && ridge == Ridge::Auto, "{}", error);
                }
            }
        }
    }
}
