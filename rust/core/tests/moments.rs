//! The state is that of a two-pass fit in f64, whatever the precision, the strides, the mean and the drift of the rows.

#![allow(missing_docs)]

mod common;

use canonsim_core::{Error, Moments, PairedMoments, Ridge, Rows, State, fold_of};
use common::{Noise, assert_close, distance, fit, moments, reference_correlations, related};
use half::{bf16, f16};
use ndarray::{Array2, concatenate, s};
use proptest::prelude::*;

fn stacked(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    concatenate![ndarray::Axis(1), *x, *y]
}

#[test]
fn every_precision_gives_the_moments_of_its_values() {
    let mut noise = Noise(1);
    let (x, y) = related(&mut noise, 700, 9, 5, 2);
    let x16 = x.mapv(f16::from_f64);
    let y_bits = y.mapv(|v| bf16::from_f64(v).to_bits());
    let x32 = x.mapv(|v| v as f32);
    let cases: [(Rows<'_>, Rows<'_>, Array2<f64>, f64); 4] = [
        (Rows::F64(x.view()), Rows::F64(y.view()), stacked(&x, &y), 1e-13),
        (Rows::F32(x32.view()), Rows::F64(y.view()), stacked(&x32.mapv(f64::from), &y), 1e-13),
        (
            Rows::F16(x16.view()),
            Rows::F32(x32.slice(s![.., ..5])),
            stacked(&x16.mapv(f16::to_f64), &x32.slice(s![.., ..5]).mapv(f64::from)),
            1e-6,
        ),
        (
            Rows::F16(x16.view()),
            Rows::Bf16(y_bits.view()),
            stacked(&x16.mapv(f16::to_f64), &y_bits.mapv(|v| bf16::from_bits(v).to_f64())),
            1e-6,
        ),
    ];
    for (x, y, values, tolerance) in cases {
        let mut moments = PairedMoments::new(9, 5, 3).unwrap();
        moments.update(x, y, None, None).unwrap();
        assert!(distance(&mut moments.total(), values.view()) < tolerance);
    }
}

#[test]
fn strides_do_not_matter() {
    let mut noise = Noise(2);
    let wide = noise.matrix(120, 40);
    let x = wide.slice(s![..;-2, 1..20;3]);
    let y = wide.t();
    let y = y.slice(s![.., ..4]);
    let mut strided = PairedMoments::new(x.ncols(), y.ncols(), 2).unwrap();
    let (short, tall) = (x.slice(s![..40, ..]), y.slice(s![..40, ..]));
    strided.update(Rows::F64(short), Rows::F64(tall), None, None).unwrap();
    assert!(distance(&mut strided.total(), stacked(&short.to_owned(), &tall.to_owned()).view()) < 1e-13);
}

/// Correlations of f32 and f64 rows, beside the reference on the very values.
fn stable(x: &Array2<f64>, y: &Array2<f64>) {
    let (x32, y32) = (x.mapv(|v| v as f32), y.mapv(|v| v as f32));
    let mut single = PairedMoments::new(x.ncols(), y.ncols(), 1).unwrap();
    single.update(Rows::F32(x32.view()), Rows::F32(y32.view()), None, None).unwrap();
    let found = fit(&mut single, Ridge::Fixed(0.0, 0.0), canonsim_core::Rank::Full).unwrap();
    let expected = reference_correlations(&x32.mapv(f64::from), &y32.mapv(f64::from));
    assert_close(&found.canonical.correlations, &expected, 1e-5);
    let found = fit(&mut moments(x, y, 1), Ridge::Fixed(0.0, 0.0), canonsim_core::Rank::Full).unwrap();
    assert_close(&found.canonical.correlations, &reference_correlations(x, y), 1e-9);
}

#[test]
fn a_mean_of_ten_thousand_spreads_costs_nothing() {
    for (seed, factor) in [(3, 1e3), (4, 1e4)] {
        let (x, y) = related(&mut Noise(seed), 3000, 20, 12, 5);
        stable(&(x + factor), &(y - 3.0 * factor));
    }
}

#[test]
fn a_mean_that_drifts_by_a_hundred_spreads_costs_nothing() {
    for n in [900, 5000] {
        let (mut x, mut y) = related(&mut Noise(5), n, 20, 12, 5);
        for i in 0..n {
            let drift = 100.0 * i as f64 / n as f64;
            x.row_mut(i).mapv_inplace(|v| v + drift);
            y.row_mut(i).mapv_inplace(|v| v - 2.0 * drift);
        }
        stable(&x, &y);
    }
}

/// Rows of f32 whose mean moves by so many spreads from first to last.
fn drifting(n: usize, p: usize, q: usize, spreads: f64) -> (Array2<f32>, Array2<f32>) {
    let (mut x, mut y) = related(&mut Noise(19), n, p, q, 5);
    for i in 0..n {
        let drift = spreads * i as f64 / n as f64;
        x.row_mut(i).mapv_inplace(|v| v + drift);
        y.row_mut(i).mapv_inplace(|v| v - 2.0 * drift);
    }
    (x.mapv(|v| v as f32), y.mapv(|v| v as f32))
}

#[test]
fn drifting_rows_keep_a_millionth() {
    let (x, y) = drifting(20_000, 24, 16, 100.0);
    let mut single = PairedMoments::new(24, 16, 1).unwrap();
    single.update(Rows::F32(x.view()), Rows::F32(y.view()), None, None).unwrap();
    let found = fit(&mut single, Ridge::Fixed(0.0, 0.0), canonsim_core::Rank::Full).unwrap();
    let expected = reference_correlations(&x.mapv(f64::from), &y.mapv(f64::from));
    assert_close(&found.canonical.correlations, &expected, 1e-6);
}

/// Rows that are multiplied at once and rows that wait for others are the same rows: steady, drifting, sparse, and
/// with jumps.
#[test]
fn batches_of_any_size_are_the_same_rows() {
    let n = 20_000;
    let mut noise = Noise(20);
    let steady = noise.matrix(n, 9);
    let mut jumps = steady.clone();
    jumps.axis_iter_mut(ndarray::Axis(0)).enumerate().for_each(|(i, mut row)| row += 50.0 * ((i / 700) % 3) as f64);
    let sparse = Array2::from_shape_fn((n, 9), |(i, j)| f64::from(u8::from((i * 7 + j * 3) % 613 == 0)));
    let drift = drifting(n, 5, 4, 100.0);
    let drift = concatenate![ndarray::Axis(1), drift.0, drift.1].mapv(f64::from);
    for rows in [steady, jumps, sparse, drift] {
        let single = rows.mapv(|v| v as f32);
        let half = rows.mapv(f16::from_f64);
        for batch in [n, 1000, 137] {
            let mut moments = [(); 3].map(|()| PairedMoments::new(5, 4, 1).unwrap());
            for start in (0..n).step_by(batch) {
                let part = s![start..n.min(start + batch), ..];
                let sides = |x: ndarray::ArrayView2<'_, f64>| {
                    (x.slice(s![.., ..5]).to_owned(), x.slice(s![.., 5..]).to_owned())
                };
                let (x, y) = sides(rows.slice(part));
                moments[0].update(Rows::F64(x.view()), Rows::F64(y.view()), None, None).unwrap();
                let wide = single.slice(part);
                let (x, y) = (wide.slice(s![.., ..5]), wide.slice(s![.., 5..]));
                moments[1].update(Rows::F32(x), Rows::F32(y), None, None).unwrap();
                let wide = half.slice(part);
                let (x, y) = (wide.slice(s![.., ..5]), wide.slice(s![.., 5..]));
                moments[2].update(Rows::F16(x), Rows::F16(y), None, None).unwrap();
            }
            let [double, float, short] = &mut moments;
            assert!(distance(&mut double.total(), rows.view()) < 1e-11);
            assert!(distance(&mut float.total(), single.mapv(f64::from).view()) < 1e-6);
            assert!(distance(&mut short.total(), half.mapv(f16::to_f64).view()) < 1e-6);
        }
    }
}

#[test]
fn a_common_component_of_a_hundred_spreads_costs_nothing_in_any_order() {
    // The rows of a drift in random order, and two far clusters: no step in time shows either.
    for n in [60, 700, 3000] {
        let mut noise = Noise(15);
        let (mut x, mut y) = related(&mut noise, n, 12, 8, 4);
        let order: Vec<usize> = {
            let mut keys: Vec<(u64, usize)> = (0..n).map(|i| ((noise.next() * 1e9) as i64 as u64, i)).collect();
            keys.sort_unstable();
            keys.into_iter().map(|(_, i)| i).collect()
        };
        for (i, place) in order.into_iter().enumerate() {
            x.row_mut(i).mapv_inplace(|v| v + 100.0 * place as f64 / n as f64);
            y.row_mut(i).mapv_inplace(|v| v + if place < n / 2 { 100.0 } else { -100.0 });
        }
        stable(&x, &y);
    }
}

#[test]
fn the_precision_does_not_depend_on_the_batches() {
    let x = Noise(16).matrix(300, 6).mapv(|v| v as f32);
    let units: Vec<f64> = [300, 1, 2, 40]
        .into_iter()
        .map(|batch| {
            let mut moments = PairedMoments::new(4, 2, 1).unwrap();
            for rows in x.axis_chunks_iter(ndarray::Axis(0), batch) {
                moments
                    .update(Rows::F32(rows.slice(s![.., ..4])), Rows::F32(rows.slice(s![.., 4..])), None, None)
                    .unwrap();
                moments.folds()[0].flush();
            }
            moments.total().unit()
        })
        .collect();
    assert_eq!(units, [f64::from(f32::EPSILON) / 2.0; 4]);
}

#[test]
fn removing_what_alone_varied_leaves_no_variance() {
    let mut x = Array2::from_elem((60, 1), 1.3);
    let y = Noise(17).matrix(60, 1);
    x.slice_mut(s![..7, ..]).assign(&(Noise(18).matrix(7, 1) * 1e3));
    let mut m = moments(&x, &y, 1);
    let ids: Vec<i64> = (0..7).collect();
    m.remove(Rows::F64(x.slice(s![..7, ..])), Rows::F64(y.slice(s![..7, ..])), &ids, None).unwrap();
    let mut total = m.total();
    assert_eq!(total.scatter(0, 0), 0.0);
    assert!(Moments::from_state(&[1, 1], &total.state()).is_ok());
}

#[test]
fn values_too_large_or_small_for_products_in_f32_are_multiplied_in_f64() {
    for scale in [1e-25_f64, 1e25] {
        let (x, y) = related(&mut Noise(6), 500, 4, 3, 2);
        let (x, y) = ((x * scale).mapv(|v| v as f32), y.mapv(|v| v as f32));
        let mut moments = PairedMoments::new(4, 3, 1).unwrap();
        moments.update(Rows::F32(x.view()), Rows::F32(y.view()), None, None).unwrap();
        let values = stacked(&x.mapv(f64::from), &y.mapv(f64::from));
        assert!(distance(&mut moments.total(), values.view()) < 1e-6);
    }
}

#[test]
fn unpaired_rows_stay_apart() {
    let (x, y) = related(&mut Noise(7), 80, 4, 3, 2);
    let mut m = moments(&x, &y, 3);
    let before = m.total().packed();
    m.update_x(Rows::F64((&x + 5.0).view()), None).unwrap();
    m.update_y(Rows::F64((&y * 2.0).view()), None).unwrap();
    assert_eq!(m.total().packed(), before);
    assert!(distance(m.unpaired_x(), (&x + 5.0).view()) < 1e-13);
    assert!(distance(m.unpaired_y(), (&y * 2.0).view()) < 1e-13);
}

#[test]
fn bad_rows_are_named_and_change_nothing() {
    let (x, y) = related(&mut Noise(8), 30, 4, 3, 2);
    let mut m = moments(&x, &y, 2);
    let before = m.total().packed();
    let mut bad = y.clone();
    bad[(17, 2)] = f64::NAN;
    let refused = m.update(Rows::F64(x.view()), Rows::F64(bad.view()), None, None).unwrap_err();
    assert!(matches!(refused, Error::Value { argument: "y", row: 17, column: 2, .. }), "{refused}");
    bad[(17, 2)] = 1e200;
    assert!(
        m.update(Rows::F64(x.view()), Rows::F64(bad.view()), None, None).unwrap_err().to_string().contains("row 17")
    );
    let narrow = x.slice(s![.., ..3]);
    assert!(matches!(m.update(Rows::F64(narrow), Rows::F64(y.view()), None, None), Err(Error::Width { .. })));
    let short = y.slice(s![..29, ..]);
    assert!(matches!(m.update(Rows::F64(x.view()), Rows::F64(short), None, None), Err(Error::RowCount { .. })));
    assert!(matches!(
        m.update(Rows::F64(x.view()), Rows::F64(y.view()), Some(&[1, 2]), None),
        Err(Error::RowCount { argument: "ids", .. })
    ));
    assert_eq!(m.total().packed(), before);
    assert!(matches!(PairedMoments::new(0, 3, 1), Err(Error::Empty { argument: "x_dim" })));
    assert!(matches!(PairedMoments::new(usize::MAX, 3, 1), Err(Error::TooWide { .. })));
    assert!(matches!(m.merge(&mut PairedMoments::new(4, 3, 7).unwrap()), Err(Error::Mismatch { .. })));
}

#[test]
fn what_was_never_added_cannot_be_removed() {
    let (x, y) = related(&mut Noise(9), 40, 4, 3, 2);
    let mut m = moments(&x, &y, 3);
    let before = m.total().packed();
    let ids: Vec<i64> = (0..40).collect();
    let foreign = &x * 50.0;
    let refused = m.remove(Rows::F64(foreign.view()), Rows::F64(y.view()), &ids, None);
    assert!(matches!(refused, Err(Error::NeverAdded { .. } | Error::NotPositive { .. })), "{refused:?}");
    let some = 5;
    let refused =
        m.remove(Rows::F64(foreign.slice(s![..some, ..])), Rows::F64(y.slice(s![..some, ..])), &ids[..some], None);
    assert!(matches!(refused, Err(Error::NotPositive { .. })), "{refused:?}");
    let twice: Vec<i64> = vec![3; 40];
    assert!(matches!(m.remove(Rows::F64(x.view()), Rows::F64(y.view()), &twice, None), Err(Error::NeverAdded { .. })));
    assert_eq!(m.total().packed(), before);
}

#[test]
fn a_state_survives_packing_and_impossible_ones_are_refused() {
    let (x, y) = related(&mut Noise(10), 40, 4, 3, 2);
    let state = moments(&x, &y, 1).total().state();
    let restore = |change: &dyn Fn(&mut State)| {
        let mut changed = state.clone();
        change(&mut changed);
        Moments::from_state(&[4, 3], &changed).map(|mut moments| moments.state())
    };
    assert_eq!(restore(&|_| ()).unwrap(), state);
    let impossible: [&dyn Fn(&mut State); 14] = [
        &|s| s.scatter.truncate(27),
        &|s| s.fourths.truncate(1),
        &|s| s.count = 1,
        &|s| s.count = 0,
        &|s| s.weight = 41.0,
        &|s| s.weight = 0.0,
        &|s| s.squares = -40.0,
        &|s| s.squares = 1601.0,
        &|s| s.scatter.iter_mut().for_each(|v| *v = -*v),
        &|s| s.scatter[0] = f64::NAN,
        &|s| s.mean[0] = f64::INFINITY,
        &|s| s.fourths[1] *= 0.01,
        &|s| s.cubes[0] = f64::NAN,
        &|s| s.unit = 0.0,
    ];
    for (i, change) in impossible.into_iter().enumerate() {
        assert!(matches!(restore(change), Err(Error::State { .. })), "{i}");
    }
    assert!(Moments::from_state(&[3, 3], &state).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any order, batching and merge tree of the same rows with the same ids gives the same folds.
    #[test]
    fn any_split_order_and_merge_tree_gives_the_same_state(
        seed in 1u64..1000,
        n in 2usize..400,
        p in 1usize..12,
        q in 1usize..12,
        folds in 1usize..5,
        parts in 1usize..6,
        step in prop::sample::select(vec![1usize, 7, 11, 101]),
    ) {
        let mut noise = Noise(seed);
        let (x, y) = related(&mut noise, n, p, q, 2);
        let mut whole = moments(&x, &y, folds);
        let mut shards: Vec<PairedMoments> = (0..parts).map(|_| PairedMoments::new(p, q, folds).unwrap()).collect();
        // Rows in another order, dealt out unevenly, one by one or in pairs.
        let order: Vec<usize> = {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by_key(|i| (i * step) % 409);
            order
        };
        for (turn, rows) in order.chunks(1 + seed as usize % 2).enumerate() {
            let ids: Vec<i64> = rows.iter().map(|&i| i as i64).collect();
            let (xs, ys) = (x.select(ndarray::Axis(0), rows), y.select(ndarray::Axis(0), rows));
            shards[(turn * turn) % parts].update(Rows::F64(xs.view()), Rows::F64(ys.view()), Some(&ids), None).unwrap();
        }
        while shards.len() > 1 {
            let mut last = shards.pop().unwrap();
            let i = seed as usize % shards.len();
            shards[i].merge(&mut last).unwrap();
        }
        prop_assert_eq!(shards[0].count(), n as u64);
        for k in 0..folds {
            let rows: Vec<usize> = (0..n).filter(|&i| fold_of(i as i64, folds) == k).collect();
            prop_assert_eq!(shards[0].folds()[k].count(), rows.len() as u64);
            prop_assert_eq!(whole.folds()[k].count(), rows.len() as u64);
            if rows.len() > 1 {
                let values = stacked(&x, &y).select(ndarray::Axis(0), &rows);
                prop_assert!(distance(&mut shards[0].folds()[k], values.view()) < 1e-11);
                prop_assert!(distance(&mut whole.folds()[k], values.view()) < 1e-11);
            }
        }
    }

    /// Rows of few values, so that columns stand still or repeat: what rounding leaves of them is still a state.
    #[test]
    fn every_state_can_be_restored(
        seed in 1u64..1000,
        n in 1usize..60,
        folds in 1usize..5,
        values in 1u64..4,
        batch in 1usize..20,
        single: bool,
    ) {
        let mut noise = Noise(seed);
        let base: Vec<f64> = (0..7).map(|_| noise.normal()).collect();
        let rows = Array2::from_shape_fn((n, 7), |(_, j)| base[j] + ((noise.next() + 1.0) * values as f64 / 2.0).floor());
        let short = rows.mapv(|v| v as f32);
        let mut m = PairedMoments::new(4, 3, folds).unwrap();
        for start in (0..n).step_by(batch) {
            let part = s![start..n.min(start + batch), ..];
            if single {
                let part = short.slice(part);
                m.update(Rows::F32(part.slice(s![.., ..4])), Rows::F32(part.slice(s![.., 4..])), None, None).unwrap();
            } else {
                let part = rows.slice(part);
                m.update(Rows::F64(part.slice(s![.., ..4])), Rows::F64(part.slice(s![.., 4..])), None, None).unwrap();
            }
            m.folds().iter_mut().for_each(canonsim_core::Moments::flush);
        }
        let mut total = m.total();
        for moments in m.folds().iter_mut().chain([&mut total]) {
            let restored = Moments::from_state(&[4, 3], &moments.state());
            prop_assert!(restored.is_ok(), "{}", restored.err().unwrap());
        }
    }

    /// Any shape, precision and layout: rows in order or reversed, every row or every other, C order or transposed.
    #[test]
    fn any_layout_is_read_as_it_is(
        seed in 1u64..1000,
        n in 1usize..300,
        p in 1usize..40,
        q in 1usize..20,
        precision in 0usize..4,
        transposed: bool,
        step in prop::sample::select(vec![1isize, 2, -1, -3]),
    ) {
        let wide = Noise(seed).matrix(3 * n, p + q) + 0.5;
        let wide = if transposed { wide.reversed_axes().as_standard_layout().to_owned().reversed_axes() } else { wide };
        let rows = wide.slice(s![..;step, ..]);
        let rows = rows.slice(s![..n, ..]);
        let (values, tolerance) = match precision {
            0 => (rows.mapv(|v| f64::from(f16::from_f64(v))), 1e-5),
            1 => (rows.mapv(|v| f64::from(bf16::from_f64(v))), 1e-5),
            2 => (rows.mapv(|v| f64::from(v as f32)), 1e-5),
            _ => (rows.to_owned(), 1e-12),
        };
        let mut m = PairedMoments::new(p, q, 1).unwrap();
        macro_rules! add {
            ($kind:path, $value:expr) => {{
                // Mapped as a whole, in its layout, and then taken in steps.
                let all = wide.mapv($value);
                let part = all.slice(s![..;step, ..]);
                let part = part.slice(s![..n, ..]);
                m.update($kind(part.slice(s![.., ..p])), $kind(part.slice(s![.., p..])), None, None).unwrap();
            }};
        }
        match precision {
            0 => add!(Rows::F16, f16::from_f64),
            1 => add!(Rows::Bf16, |v| bf16::from_f64(v).to_bits()),
            2 => add!(Rows::F32, |v| v as f32),
            _ => add!(Rows::F64, |v| v),
        }
        prop_assert_eq!(m.count(), n as u64);
        let mut total = m.total();
        if n > 2 {
            prop_assert!(distance(&mut total, values.view()) < tolerance);
        } else if n == 1 {
            prop_assert!(total.packed().iter().all(|&v| v == 0.0));
            prop_assert!(total.mean().iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn remove_undoes_update(seed in 1u64..1000, n in 8usize..200, gone in 1usize..150, folds in 1usize..4) {
        let mut noise = Noise(seed);
        let (x, y) = related(&mut noise, n + gone, 5, 4, 2);
        let mut m = moments(&x, &y, folds);
        let ids: Vec<i64> = (n as i64..(n + gone) as i64).collect();
        let (x_gone, y_gone) = (x.slice(s![n.., ..]), y.slice(s![n.., ..]));
        m.remove(Rows::F64(x_gone), Rows::F64(y_gone), &ids, None).unwrap();
        prop_assert_eq!(m.count(), n as u64);
        let kept = stacked(&x, &y).slice(s![..n, ..]).to_owned();
        prop_assert!(distance(&mut m.total(), kept.view()) < 1e-10);
    }
}
