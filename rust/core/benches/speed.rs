//! What the hot paths cost: `cargo bench -p canonsim-core`.
//!
//! Throughput is in multiplications and additions of one triangle, so that it can be held against the peak of the
//! processor, which the first group measures.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use canonsim_core::{PairedMoments, Rank, Ridge, Rows, Share, fit, set_num_threads, tile_rate};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use ndarray::{Array2, ArrayView2, Axis, s};

fn rows(n: usize, d: usize) -> Array2<f32> {
    let mut state = 1_u64;
    Array2::from_shape_simple_fn((n, d), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32
    })
}

/// Moments of rows whose first half is x, added in batches.
fn accumulate<T>(values: &Array2<T>, wrap: impl Fn(ArrayView2<'_, T>) -> Rows<'_>, folds: usize, batch: usize) {
    let p = values.ncols() / 2;
    let mut moments = PairedMoments::new(p, values.ncols() - p, folds).unwrap();
    for part in values.axis_chunks_iter(Axis(0), batch) {
        moments.update(wrap(part.slice(s![.., ..p])), wrap(part.slice(s![.., p..])), None, None).unwrap();
    }
    black_box(moments.total().count());
}

fn peak(c: &mut Criterion) {
    let mut group = c.benchmark_group("tile in cache");
    group.sample_size(10);
    group.bench_function("f32", |b| b.iter(|| tile_rate(false)));
    group.bench_function("f64", |b| b.iter(|| tile_rate(true)));
    group.finish();
    println!("peak of one thread: f32 {:.1}, f64 {:.1} GFLOP/s", tile_rate(false), tile_rate(true));
}

fn moments(c: &mut Criterion) {
    let mut group = c.benchmark_group("accumulate");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (n, d) in [(8192, 256), (4096, 1024), (4096, 1792)] {
        let single = rows(n, d);
        let (double, short) = (single.mapv(f64::from), single.mapv(f16::from_f32));
        group.throughput(Throughput::Elements((n * d * d) as u64));
        for threads in [1, 2] {
            set_num_threads(threads);
            let mut bench = |name: &str, work: &dyn Fn()| {
                group.bench_function(format!("{name}/{n}x{d}/{threads} threads"), |b| b.iter(work));
            };
            bench("f32", &|| accumulate(&single, |v| Rows::F32(v), 1, n));
            bench("f16", &|| accumulate(&short, |v| Rows::F16(v), 1, n));
            bench("f64", &|| accumulate(&double, |v| Rows::F64(v), 1, n));
            bench("f32 in 64s", &|| accumulate(&single, |v| Rows::F32(v), 1, 64));
            bench("f32, 5 folds", &|| accumulate(&single, |v| Rows::F32(v), 5, n));
        }
    }
    set_num_threads(0);
    group.finish();
}

fn decomposition(c: &mut Criterion) {
    let mut group = c.benchmark_group("fit");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for d in [256, 1024] {
        let values = rows(4 * d, d);
        let mut moments = PairedMoments::new(d / 2, d / 2, 5).unwrap();
        moments
            .update(Rows::F32(values.slice(s![.., ..d / 2])), Rows::F32(values.slice(s![.., d / 2..])), None, None)
            .unwrap();
        let mut whole = PairedMoments::from_folds(d / 2, d / 2, vec![moments.total()]);
        let ridge = Ridge::Fixed(1e-2, 1e-2);
        group.bench_function(format!("one ridge/{d}"), |b| {
            b.iter(|| fit(&mut whole, ridge, Share::Auto, Rank::Full).unwrap())
        });
        group.bench_function(format!("one ridge, held out/{d}"), |b| {
            b.iter(|| fit(&mut moments, ridge, Share::Auto, Rank::Full).unwrap());
        });
        group.bench_function(format!("auto/{d}"), |b| {
            b.iter(|| fit(&mut moments, Ridge::Auto, Share::Auto, Rank::Auto).unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, peak, moments, decomposition);
criterion_main!(benches);
