//! The loops beside the product: packing rows, and adding tiles to the f64 sums. Plain Rust, compiled once for each
//! instruction set.

use super::kernel::Float;

/// Rows packed at a time: they stay in the cache while their panels are filled one by one, and their deviations are
/// few enough to be added up in their own precision.
const ROWS_PACKED: usize = 4;

/// [`Kernel::pack`] in plain Rust: compiled once for each instruction set, which the loops over lanes then use.
#[inline(always)]
pub(super) fn pack_lanes<T: Float, const LANES: usize>(
    rows: &[T],
    shift: &[T],
    stride: usize,
    data: &mut [T],
    sums: &mut [f64],
    extremes: &mut [T],
) {
    let d = shift.len();
    for (group, rows) in rows.chunks(ROWS_PACKED * d).enumerate() {
        for (panel, data) in data.chunks_mut(stride).enumerate().take(d.div_ceil(LANES)) {
            let first = panel * LANES;
            let width = LANES.min(d - first);
            let (mut s, mut sum, mut extreme) = ([T::default(); LANES], [T::default(); LANES], [T::default(); LANES]);
            s[..width].copy_from_slice(&shift[first..first + width]);
            extreme[..width].copy_from_slice(&extremes[first..first + width]);
            let out = data[group * ROWS_PACKED * LANES..].chunks_exact_mut(LANES);
            for (row, out) in rows.chunks_exact(d).zip(out) {
                let mut values = [T::default(); LANES];
                match row.get(first..first + LANES) {
                    Some(whole) => values.copy_from_slice(whole),
                    None => values[..width].copy_from_slice(&row[first..]),
                }
                for lane in 0..LANES {
                    let deviation = values[lane] - s[lane];
                    out[lane] = deviation;
                    sum[lane] = sum[lane] + deviation;
                    extreme[lane] = if deviation.exceeds(extreme[lane]) { deviation } else { extreme[lane] };
                }
            }
            add_widened(&sum[..width], &mut sums[first..first + width]);
            extremes[first..first + width].copy_from_slice(&extreme[..width]);
        }
    }
}

/// [`Kernel::add_widened`] in plain Rust.
#[inline(always)]
pub(super) fn add_widened<T: Float>(sums: &[T], row: &mut [f64]) {
    for (s, v) in row.iter_mut().zip(sums) {
        *s += (*v).into();
    }
}

/// [`pack_lanes`] and [`add_widened`] for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_loops {
    ($pack:ident, $widen:ident, $feature:literal) => {
        #[target_feature(enable = $feature)]
        pub(super) fn $widen<T: Float>(sums: &[T], row: &mut [f64]) {
            add_widened(sums, row);
        }

        #[target_feature(enable = $feature)]
        pub(super) fn $pack<T: Float, const LANES: usize>(
            rows: &[T],
            shift: &[T],
            stride: usize,
            data: &mut [T],
            sums: &mut [f64],
            extremes: &mut [T],
        ) {
            pack_lanes::<T, LANES>(rows, shift, stride, data, sums, extremes);
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector_loops!(pack_avx2, widen_avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
vector_loops!(pack_avx512, widen_avx512, "avx512f");
