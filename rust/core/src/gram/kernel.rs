//! The inner product of two stretches of packed columns, one function per instruction set.
//!
//! This module holds all of the crate's `unsafe` code.

use std::ops::{Add, Mul, RangeInclusive, Sub};

/// A precision in which rows are multiplied.
pub(crate) trait Float:
    Copy + Default + Send + Sync + Into<f64> + Sub<Output = Self> + Mul<Output = Self> + Add<Output = Self> + 'static
{
    /// Unit roundoff.
    const UNIT: f64;
    /// Deviations whose products neither overflow when a block of them is summed nor vanish.
    const SAFE: RangeInclusive<f64>;
    /// The nearest value of this precision.
    fn round(value: f64) -> Self;
    /// A shift near the mean of rows (n, d); None where this precision does not serve them about any one shift.
    fn shift(rows: &[Self], d: usize) -> Option<Vec<Self>>;
    /// Whether the magnitude is greater than that of `other`.
    fn exceeds(self, other: Self) -> bool;
    /// Every kernel that this processor can run, the fastest first.
    fn kernels() -> Vec<Kernel<Self>>;
    /// The fastest kernel that this processor can run.
    fn kernel() -> Kernel<Self> {
        Self::kernels()[0]
    }
}

/// A tile of `rows` by `panels * lanes` sums of products.
#[derive(Clone, Copy)]
pub(crate) struct Kernel<T> {
    /// What it runs on.
    #[cfg_attr(not(test), allow(dead_code))]
    pub name: &'static str,
    /// Columns of a panel.
    pub lanes: usize,
    /// Rows of the tile; divides `lanes`, or is a multiple of it.
    pub rows: usize,
    /// Panels across the tile.
    pub panels: usize,
    tile: Tile<T>,
    pack: Pack<T>,
    widen: Widen<T>,
}

/// (depth, a, b, panel stride, out)
type Tile<T> = unsafe fn(usize, *const T, *const T, usize, *mut T);
/// (rows, shift, panel stride, panels, sums, extremes)
type Pack<T> = unsafe fn(&[T], &[T], usize, &mut [T], &mut [f64], &mut [T]);

impl<T: Float> Kernel<T> {
    /// `out[r, c] = sum over k < depth of a[k, r] * b[k, c]`, with `out` row-major.
    ///
    /// `a` begins at a column of a panel, `b` at a panel; the panels of `b` lie `stride` values apart.
    pub fn multiply(&self, depth: usize, a: &[T], b: &[T], stride: usize, out: &mut [T]) {
        assert!(depth > 0 && a.len() >= (depth - 1) * self.lanes + self.rows);
        assert!(b.len() >= (self.panels - 1) * stride + depth * self.lanes);
        assert!(out.len() >= self.rows * self.panels * self.lanes);
        // SAFETY: the asserts above are the bounds of every access of a tile, and `kernels` lists a tile only
        // where the processor has its instructions.
        unsafe { (self.tile)(depth, a.as_ptr(), b.as_ptr(), stride, out.as_mut_ptr()) }
    }
}

/// (sums, row)
type Widen<T> = unsafe fn(&[T], &mut [f64]);

impl<T: Float> Kernel<T> {
    /// `row += sums`, as far as both go.
    pub fn add_widened(&self, sums: &[T], row: &mut [f64]) {
        // SAFETY: `kernels` lists a function only where the processor has its instructions; it is otherwise safe code.
        unsafe { (self.widen)(sums, row) }
    }

    /// Packs rows (n, d) less `shift` (d,) into zeroed panels that lie `stride` values apart: row after row, `lanes`
    /// columns each. Adds up the deviations in `sums` (d,), and leaves one of largest magnitude in `extremes` (d,).
    pub fn pack(&self, rows: &[T], shift: &[T], stride: usize, data: &mut [T], sums: &mut [f64], extremes: &mut [T]) {
        // SAFETY: `kernels` lists a function only where the processor has its instructions; it is otherwise safe code.
        unsafe { (self.pack)(rows, shift, stride, data, sums, extremes) }
    }
}

/// Rows packed at a time: they stay in the cache while their panels are filled one by one, and their deviations are
/// few enough to be added up in their own precision.
const ROWS_PACKED: usize = 4;

/// [`Kernel::pack`] in plain Rust: compiled once for each instruction set, which the loops over lanes then use.
#[inline(always)]
fn pack_lanes<T: Float, const LANES: usize>(
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
fn add_widened<T: Float>(sums: &[T], row: &mut [f64]) {
    for (s, v) in row.iter_mut().zip(sums) {
        *s += (*v).into();
    }
}

/// [`pack_lanes`] and [`add_widened`] for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_loops {
    ($pack:ident, $widen:ident, $feature:literal) => {
        #[target_feature(enable = $feature)]
        fn $widen<T: Float>(sums: &[T], row: &mut [f64]) {
            add_widened(sums, row);
        }

        #[target_feature(enable = $feature)]
        fn $pack<T: Float, const LANES: usize>(
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

/// The tile in plain Rust, for every processor, and the oracle of the others.
///
/// # Safety
/// `a`, `b` and `out` are valid for the accesses that [`Kernel::multiply`] checks.
unsafe fn plain<T: Float, const LANES: usize, const ROWS: usize>(
    depth: usize,
    a: *const T,
    b: *const T,
    _stride: usize,
    out: *mut T,
) {
    let mut sums = [[T::default(); LANES]; ROWS];
    for k in 0..depth {
        // SAFETY: k < depth, so both stretches lie within what the caller vouches for.
        let (a, b) = unsafe { (&*a.add(k * LANES).cast::<[T; ROWS]>(), &*b.add(k * LANES).cast::<[T; LANES]>()) };
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = *sum + *a * *b;
            }
        }
    }
    // SAFETY: `out` holds ROWS * LANES values.
    unsafe { out.cast::<[[T; LANES]; ROWS]>().write_unaligned(sums) };
}

/// A tile by vector instructions: ROWS x PANELS accumulators that stay in registers over the whole depth.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_tile {
    ($name:ident, $feature:literal, $float:ty, $lanes:literal, $rows:literal, $panels:literal,
     $zero:ident, $load:ident, $spread:ident, $fma:ident, $store:ident) => {
        /// # Safety
        /// The processor has the instructions, and `a`, `b` and `out` are valid for the accesses that
        /// [`Kernel::multiply`] checks.
        #[target_feature(enable = $feature)]
        unsafe fn $name(depth: usize, a: *const $float, b: *const $float, stride: usize, out: *mut $float) {
            use std::arch::x86_64::{$fma, $load, $spread, $store, $zero};
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

#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx512_f32,
    "avx512f",
    f32,
    16,
    8,
    3,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps
);
#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx512_f64,
    "avx512f",
    f64,
    8,
    8,
    3,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_set1_pd,
    _mm512_fmadd_pd,
    _mm512_storeu_pd
);
#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx2_f32,
    "avx2,fma",
    f32,
    8,
    4,
    3,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps
);
#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx2_f64,
    "avx2,fma",
    f64,
    4,
    4,
    3,
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    _mm256_set1_pd,
    _mm256_fmadd_pd,
    _mm256_storeu_pd
);

impl Float for f32 {
    const UNIT: f64 = f32::EPSILON as f64 / 2.0;
    const SAFE: RangeInclusive<f64> = 1e-15..=1e15;

    #[allow(clippy::cast_possible_truncation)]
    fn round(value: f64) -> Self {
        value as f32
    }

    fn shift(rows: &[Self], d: usize) -> Option<Vec<Self>> {
        super::sampled_mean(rows, d, true)
    }

    fn exceeds(self, other: Self) -> bool {
        self.abs() > other.abs()
    }

    fn kernels() -> Vec<Kernel<Self>> {
        let mut kernels = vec![Kernel {
            name: "plain f32",
            lanes: 8,
            rows: 4,
            panels: 1,
            tile: plain::<f32, 8, 4>,
            pack: pack_lanes::<f32, 8>,
            widen: add_widened::<f32>,
        }];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.insert(
                    0,
                    Kernel {
                        name: "AVX2 f32",
                        lanes: 8,
                        rows: 4,
                        panels: 3,
                        tile: avx2_f32,
                        pack: pack_avx2::<f32, 8>,
                        widen: widen_avx2::<f32>,
                    },
                );
            }
            if is_x86_feature_detected!("avx512f") {
                kernels.insert(
                    0,
                    Kernel {
                        name: "AVX-512 f32",
                        lanes: 16,
                        rows: 8,
                        panels: 3,
                        tile: avx512_f32,
                        pack: pack_avx512::<f32, 16>,
                        widen: widen_avx512::<f32>,
                    },
                );
            }
        }
        kernels
    }
}

impl Float for f64 {
    const UNIT: f64 = f64::EPSILON / 2.0;
    const SAFE: RangeInclusive<f64> = 0.0..=f64::MAX;

    fn round(value: f64) -> Self {
        value
    }

    fn shift(rows: &[Self], d: usize) -> Option<Vec<Self>> {
        super::sampled_mean(rows, d, false)
    }

    fn exceeds(self, other: Self) -> bool {
        self.abs() > other.abs()
    }

    fn kernels() -> Vec<Kernel<Self>> {
        let mut kernels = vec![Kernel {
            name: "plain f64",
            lanes: 4,
            rows: 4,
            panels: 1,
            tile: plain::<f64, 4, 4>,
            pack: pack_lanes::<f64, 4>,
            widen: add_widened::<f64>,
        }];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.insert(
                    0,
                    Kernel {
                        name: "AVX2 f64",
                        lanes: 4,
                        rows: 4,
                        panels: 3,
                        tile: avx2_f64,
                        pack: pack_avx2::<f64, 4>,
                        widen: widen_avx2::<f64>,
                    },
                );
            }
            if is_x86_feature_detected!("avx512f") {
                kernels.insert(
                    0,
                    Kernel {
                        name: "AVX-512 f64",
                        lanes: 8,
                        rows: 8,
                        panels: 3,
                        tile: avx512_f64,
                        pack: pack_avx512::<f64, 8>,
                        widen: widen_avx512::<f64>,
                    },
                );
            }
        }
        kernels
    }
}
