//! Weighted rows, fourth powers and unpaired rows: sums over rows, whatever their order, batches and precision.

#![allow(missing_docs)]

mod common;

use canonsim_core::{Error, Moments, PairedMoments, Rank, Ridge, Rows, Share, State};
use common::{Noise, fit, moments, related};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use proptest::prelude::*;

/// The state of weighted rows, by its definition.
fn direct(x: &Array2<f64>, y: &Array2<f64>, weights: &[f64]) -> State {
    let rows = concatenate![Axis(1), *x, *y];
    let (weight, squares) = (weights.iter().sum::<f64>(), weights.iter().map(|w| w * w).sum());
    let w = Array1::from(weights.to_vec());
    let mean = w.dot(&rows) / weight;
    let centred = &rows - &mean;
    let scatter = (&centred * &w.clone().insert_axis(Axis(1))).t().dot(&centred);
    let (mut cubes, mut fourths) = (Vec::new(), Vec::new());
    for part in [centred.slice(s![.., ..x.ncols()]), centred.slice(s![.., x.ncols()..])] {
        let norms = part.map_axis(Axis(1), |row| row.dot(&row));
        cubes.extend((&norms * &w).dot(&part));
        fourths.push((&norms * &norms).dot(&w));
    }
    let packed = (0..rows.ncols()).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| scatter[(i, j)]).collect();
    let count = weights.iter().filter(|&&w| w > 0.0).count() as u64;
    State { count, weight, squares, mean: mean.to_vec(), scatter: packed, unit: f64::EPSILON / 2.0, cubes, fourths }
}

fn assert_same(found: &State, expected: &State, tolerance: f64) {
    assert_eq!(found.count, expected.count);
    let largest = |values: &[f64]| values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    // A row alone has no spread: what is left of it in the definition is the rounding of a mean of its size.
    let rounding = 4.0 * f64::EPSILON * largest(&expected.mean) / tolerance;
    let spread = (largest(&expected.scatter) / expected.weight).sqrt().max(rounding);
    let n = expected.weight;
    let d = expected.mean.len() as f64;
    let parts = [
        (&vec![found.weight, found.squares], &vec![expected.weight, expected.squares], n.max(expected.squares)),
        (&found.mean, &expected.mean, spread),
        (&found.scatter, &expected.scatter, n * spread.powi(2)),
        (&found.cubes, &expected.cubes, n * d * spread.powi(3)),
        (&found.fourths, &expected.fourths, n * d * d * spread.powi(4)),
    ];
    for (part, (a, b, scale)) in parts.into_iter().enumerate() {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * scale, "part {part}: {a} is not {b}, scale {scale}");
        }
    }
}

fn weights_of(noise: &mut Noise, n: usize) -> Vec<f64> {
    (0..n).map(|i| if i % 5 == 3 { 0.0 } else { noise.next().abs() * 3.0 + 0.01 }).collect()
}

fn with_weights(x: &Array2<f64>, y: &Array2<f64>, weights: &[f64], single: bool) -> PairedMoments {
    let mut m = PairedMoments::new(x.ncols(), y.ncols(), 1).unwrap();
    if single {
        let (x, y) = (x.mapv(|v| v as f32), y.mapv(|v| v as f32));
        m.update(Rows::F32(x.view()), Rows::F32(y.view()), None, Some(weights)).unwrap();
    } else {
        m.update(Rows::F64(x.view()), Rows::F64(y.view()), None, Some(weights)).unwrap();
    }
    m
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any order, batching and merge tree of weighted and plain rows gives the state of the definition.
    #[test]
    fn the_state_is_that_of_the_definition(
        seed in 1u64..1000, n in 1usize..700, p in 1usize..9, q in 1usize..9, batch in 1usize..300, far in 0.0f64..1e3,
    ) {
        let mut noise = Noise(seed);
        let (x, y) = related(&mut noise, n, p, q, 2);
        let x = x + far;
        let weights = weights_of(&mut noise, n);
        if weights.iter().all(|&w| w == 0.0) {
            return Ok(());
        }
        let mut parts = Vec::new();
        for start in (0..n).step_by(batch) {
            let rows = start..n.min(start + batch);
            let (x, y) = (x.slice(s![rows.clone(), ..]).to_owned(), y.slice(s![rows.clone(), ..]).to_owned());
            parts.push(with_weights(&x, &y, &weights[rows], false));
        }
        let mut total = parts.pop().unwrap();
        parts.iter_mut().for_each(|part| total.merge(part).unwrap());
        // What the definition itself rounds grows with the distance.
        assert_same(&total.total().state(), &direct(&x, &y, &weights), 1e-10 * (1.0 + far));
        let plain = vec![1.0; n];
        assert_same(&moments(&x, &y, 1).total().state(), &direct(&x, &y, &plain), 1e-10 * (1.0 + far));
    }
}

#[test]
fn single_precision_rows_are_weighted_in_their_precision() {
    let mut noise = Noise(3);
    let (x, y) = related(&mut noise, 3000, 20, 12, 3);
    let weights = weights_of(&mut noise, 3000);
    let state = with_weights(&(x.clone() + 100.0), &y, &weights, true).total().state();
    assert_same(&state, &direct(&(x + 100.0), &y, &weights), 1e-5);
    assert!(state.unit > 1e-8);
}

#[test]
fn fourth_powers_follow_rows_that_drift() {
    let mut noise = Noise(4);
    let (mut x, y) = related(&mut noise, 4000, 6, 3, 2);
    x.axis_iter_mut(Axis(0)).enumerate().for_each(|(i, mut row)| row += i as f64 * 0.05);
    let mut m = PairedMoments::new(6, 3, 1).unwrap();
    for start in (0..4000).step_by(500) {
        let rows = s![start..start + 500, ..];
        m.update(Rows::F64(x.slice(rows)), Rows::F64(y.slice(rows)), None, None).unwrap();
    }
    assert_same(&m.total().state(), &direct(&x, &y, &vec![1.0; 4000]), 1e-10);
}

#[test]
fn removal_takes_weights_and_fourth_powers_back() {
    let mut noise = Noise(5);
    let (x, y) = related(&mut noise, 300, 5, 4, 2);
    let weights = weights_of(&mut noise, 300);
    let mut m = with_weights(&x, &y, &weights, false);
    let (gone, left) = (s![..100, ..], s![100.., ..]);
    let ids: Vec<i64> = (0..100).collect();
    m.remove(Rows::F64(x.slice(gone)), Rows::F64(y.slice(gone)), &ids, Some(&weights[..100])).unwrap();
    let expected = direct(&x.slice(left).to_owned(), &y.slice(left).to_owned(), &weights[100..]);
    assert_same(&m.total().state(), &expected, 1e-10);
    // More weight than there is was never added.
    let heavy = vec![1e6; 100];
    let ids: Vec<i64> = (100..200).collect();
    let rows = s![100..200, ..];
    let refused = m.remove(Rows::F64(x.slice(rows)), Rows::F64(y.slice(rows)), &ids, Some(&heavy));
    assert!(matches!(refused, Err(Error::NotPositive { .. })));
}

#[test]
fn weights_of_one_factor_change_no_correlation_and_zeros_leave_rows_out() {
    let mut noise = Noise(6);
    let (x, y) = related(&mut noise, 200, 6, 5, 2);
    let correlations =
        |m: &mut PairedMoments| fit(m, Ridge::Fixed(0.5, 0.5), Rank::Full).unwrap().canonical.correlations;
    let plain = correlations(&mut moments(&x, &y, 1));
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&plain, &correlations(&mut with_weights(&x, &y, &vec![2.5; 200], false))));
    let half: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i < 120))).collect();
    let kept = moments(&x.slice(s![..120, ..]).to_owned(), &y.slice(s![..120, ..]).to_owned(), 1);
    assert!(close(&correlations(&mut kept.clone()), &correlations(&mut with_weights(&x, &y, &half, false))));
}

#[test]
fn bad_weights_are_refused_before_anything_changes() {
    let (x, y) = related(&mut Noise(7), 4, 3, 2, 1);
    let mut m = moments(&x, &y, 1);
    let before = m.total().state();
    for (weights, named) in
        [(vec![1.0; 3], "weights"), (vec![1.0, 1.0, -1.0, 1.0], "row 2"), (vec![f64::NAN; 4], "NaN")]
    {
        let error = m.update(Rows::F64(x.view()), Rows::F64(y.view()), None, Some(&weights)).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(m.update_x(Rows::F64(x.view()), Some(&weights)).is_err());
    }
    assert_eq!(m.total().state(), before);
    let alone = [0.0, 3.0, 0.0, 0.0];
    let refused = fit(&mut with_weights(&x, &y, &alone, false), Ridge::Fixed(1.0, 1.0), Rank::Full);
    assert!(matches!(refused, Err(Error::TooFewRows { .. })));
}

#[test]
fn ledoit_and_wolf_shrink_by_their_formula() {
    // n S = X^T X, m = tr S / p, d^2 = |S - m I|^2, b^2 = sum |x x^T - S|^2 / n^2: the shrinkage is b^2 / d^2.
    let (x, y) = related(&mut Noise(8), 60, 12, 7, 2);
    let found = fit(&mut moments(&x, &y, 1), Ridge::LedoitWolf, Rank::Full).unwrap();
    for (rows, ridge) in [(&x, found.ridge.0), (&y, found.ridge.1)] {
        let (n, p) = (rows.nrows() as f64, rows.ncols() as f64);
        let centred = rows - &rows.mean_axis(Axis(0)).unwrap();
        let s = centred.t().dot(&centred) / n;
        let target: Array2<f64> = Array2::eye(rows.ncols()) * (s.diag().sum() / p);
        let squares = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>();
        let error: f64 = centred
            .axis_iter(Axis(0))
            .map(|row| {
                let column = row.insert_axis(Axis(1));
                squares(&(column.dot(&column.t()) - &s))
            })
            .sum::<f64>()
            / (n * n);
        let shrinkage = error / squares(&(&s - &target));
        assert!((ridge - shrinkage / (1.0 - shrinkage)).abs() < 1e-12, "{ridge}, {shrinkage}");
    }
    // The scale of the features does not matter, nor where they overflow their fourth powers: that is said.
    let scaled = |scale: f64| fit(&mut moments(&(&x * scale), &y, 1), Ridge::LedoitWolf, Rank::Full);
    assert!((scaled(1e-60).unwrap().ridge.0 - found.ridge.0).abs() < 1e-9);
    assert!((scaled(1e60).unwrap().ridge.0 - found.ridge.0).abs() < 1e-9);
    assert!(matches!(scaled(1e90), Err(Error::Overflow { .. })));
}

/// Weakly related pairs, most of whose variance has nothing to do with the other side.
fn weakly_related(n: usize, unpaired: usize) -> PairedMoments {
    let mut noise = Noise(9);
    let (p, q, shared) = (40, 30, 4);
    let (up, down) = (noise.matrix(shared, p), noise.matrix(shared, q));
    let (mix_x, mix_y) = (noise.matrix(8, p) * 3.0, noise.matrix(8, q) * 3.0);
    let mut rows = |n: usize| {
        let latent = noise.matrix(n, shared);
        let x = latent.dot(&up) + noise.matrix(n, 8).dot(&mix_x) + noise.matrix(n, p) * 3.0;
        let y = latent.dot(&down) + noise.matrix(n, 8).dot(&mix_y) + noise.matrix(n, q) * 3.0;
        (x, y)
    };
    let (x, y) = rows(n);
    let mut m = moments(&x, &y, 5);
    if unpaired > 0 {
        let (x, y) = rows(unpaired);
        m.update_x(Rows::F64(x.view()), None).unwrap();
        m.update_y(Rows::F64(y.view()), None).unwrap();
    }
    m
}

fn information(m: &PairedMoments, ridge: Ridge, share: Share) -> (f64, (f64, f64)) {
    let found = canonsim_core::fit(&mut m.clone(), ridge, share, Rank::Full).unwrap();
    let held_out = found.held_out.unwrap().correlations;
    (-held_out.iter().map(|r| (1.0 - r * r).ln()).sum::<f64>() / 2.0, found.share)
}

#[test]
fn unpaired_rows_are_used_where_they_tell_more() {
    let none = Share::Fixed(0.0, 0.0);
    let m = weakly_related(120, 5000);
    let unridged = Ridge::Fixed(0.0, 0.0);
    let (with, share) = information(&m, unridged, Share::Auto);
    let without = information(&m, unridged, none).0;
    assert!(share.0 > 0.0 && share.1 > 0.0, "{share:?}");
    assert!(with > without * 1.2, "{with} beside {without}");
    // Never less than without them, and the same where there are none.
    for m in [m, weakly_related(60, 5000), weakly_related(2000, 20)] {
        assert!(information(&m, Ridge::Auto, Share::Auto).0 >= information(&m, Ridge::Auto, none).0);
    }
    let m = weakly_related(60, 0);
    assert_eq!(information(&m, Ridge::Auto, Share::Auto), information(&m, Ridge::Auto, none));
}

#[test]
fn a_share_pools_the_covariances_of_both_kinds_of_rows() {
    let m = weakly_related(50, 200);
    let (p, share) = (40, 0.25);
    let found =
        canonsim_core::fit(&mut m.clone(), Ridge::Fixed(0.0, 0.0), Share::Fixed(share, 0.0), Rank::Full).unwrap();
    let covariance = |moments: &mut Moments, i: usize, j: usize| moments.scatter(i, j) / (moments.count() - 1) as f64;
    let (mut pairs, mut own) = (m.clone().total(), m.clone());
    let pooled = Array2::from_shape_fn((p, p), |(i, j)| {
        (1.0 - share) * covariance(&mut pairs, i, j) + share * covariance(own.unpaired_x(), i, j)
    });
    let a = Array2::from_shape_fn((p, found.canonical.len()), |(i, j)| found.canonical.a[(i, j)]);
    let whitened = a.t().dot(&pooled).dot(&a);
    let eye: Array2<f64> = Array2::eye(found.canonical.len());
    assert!((&whitened - &eye).iter().all(|v| v.abs() < 1e-9));
}

#[test]
fn shares_of_what_is_not_there_are_refused() {
    let m = weakly_related(50, 0);
    for (x, y) in [(0.1, 0.0), (-0.1, 0.0), (0.0, 1.5), (f64::NAN, 0.0)] {
        let refused = canonsim_core::fit(&mut m.clone(), Ridge::Auto, Share::Fixed(x, y), Rank::Full);
        assert!(matches!(refused, Err(Error::Share { .. })));
    }
}
