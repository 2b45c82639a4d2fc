//! Tiles by the vector instructions of x86-64.

use std::arch::x86_64::*;

use super::kernel::Kernel;
use super::loops;
use tiles::{avx2_f32, avx2_f64, avx512_f32, avx512_f64};

/// A tile by vector instructions: ROWS x PANELS accumulators that stay in registers over the whole depth.
macro_rules! vector_tile {
    ($name:ident, $feature:literal, $float:ty, $lanes:literal, $rows:literal, $panels:literal,
     $zero:ident, $load:ident, $spread:ident, $fma:ident, $store:ident) => {
        /// # Safety
        /// The processor has the instructions, and `a`, `b` and `out` are valid for the accesses that
        /// [`Kernel::multiply`] checks.
        #[target_feature(enable = $feature)]
        pub(super) unsafe fn $name(depth: usize, a: *const $float, b: *const $float, stride: usize, out: *mut $float) {
            let mut sums = [[$zero(); $panels]; $rows];
            let (mut a, mut b) = (a, b);
            for _ in 0..depth {
                // SAFETY: fewer than `depth` steps of one packed row were taken.
                unsafe {
                    let columns: [_; $panels] = std::array::from_fn(|v| $load(b.add(v * stride)));
                    for r in 0..$rows {
                        let value = $spread(*a.add(r));
                        for v in 0..$panels {
                            sums[r][v] = $fma(value, columns[v], sums[r][v]);
                        }
                    }
                    a = a.add($lanes);
                    b = b.add($lanes);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    // SAFETY: `out` holds ROWS rows of PANELS * LANES values.
                    unsafe { $store(out.add((r * $panels + v) * $lanes), *sum) };
                }
            }
        }
    };
}

/// The kernels of one precision that this processor can run, the fastest first.
macro_rules! kernels {
    ($float:ident, $avx512:ident, $avx512_lanes:literal, $avx2:ident, $avx2_lanes:literal) => {
        pub(super) fn $float() -> Vec<Kernel<$float>> {
            let mut kernels = Vec::new();
            if is_x86_feature_detected!("avx512f") {
                kernels.push(Kernel {
                    name: "AVX-512",
                    lanes: $avx512_lanes,
                    rows: 8,
                    panels: 3,
                    tile: $avx512,
                    pack: loops::pack_avx512::<$float, $avx512_lanes>,
                    widen: loops::widen_avx512::<$float>,
                });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.push(Kernel {
                    name: "AVX2",
                    lanes: $avx2_lanes,
                    rows: 4,
                    panels: 3,
                    tile: $avx2,
                    pack: loops::pack_avx2::<$float, $avx2_lanes>,
                    widen: loops::widen_avx2::<$float>,
                });
            }
            kernels
        }
    };
}

#[rustfmt::skip]
mod tiles {
    use super::*;

    vector_tile!(
        avx512_f32, "avx512f", f32, 16, 8, 3,
        _mm512_setzero_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps
    );
    vector_tile!(
        avx512_f64, "avx512f", f64, 8, 8, 3,
        _mm512_setzero_pd, _mm512_loadu_pd, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_storeu_pd
    );
    vector_tile!(
        avx2_f32, "avx2,fma", f32, 8, 4, 3,
        _mm256_setzero_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps
    );
    vector_tile!(
        avx2_f64, "avx2,fma", f64, 4, 4, 3,
        _mm256_setzero_pd, _mm256_loadu_pd, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_storeu_pd
    );
}

kernels!(f32, avx512_f32, 16, avx2_f32, 8);
kernels!(f64, avx512_f64, 8, avx2_f64, 4);
