//! The inner product of two stretches of packed columns, one function per instruction set.
//!
//! This module and its neighbour `x86` hold all of the crate's `unsafe` code.

use std::ops::{Add, Mul, RangeInclusive, Sub};

use super::loops;

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
    pub(super) tile: Tile<T>,
    pub(super) pack: Pack<T>,
    pub(super) widen: Widen<T>,
}

/// (depth, a, b, panel stride, out)
pub(super) type Tile<T> = unsafe fn(usize, *const T, *const T, usize, *mut T);
/// (rows, shift, panel stride, panels, sums, extremes)
pub(super) type Pack<T> = unsafe fn(&[T], &[T], usize, &mut [T], &mut [f64], &mut [T]);

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
pub(super) type Widen<T> = unsafe fn(&[T], &mut [f64]);

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

/// What differs between the precisions.
macro_rules! float {
    ($float:ident, $lanes:literal, $safe:expr, steady: $steady:literal) => {
        impl Float for $float {
            const UNIT: f64 = $float::EPSILON as f64 / 2.0;
            const SAFE: RangeInclusive<f64> = $safe;

            #[allow(clippy::cast_possible_truncation)]
            fn round(value: f64) -> Self {
                value as $float
            }

            fn shift(rows: &[Self], d: usize) -> Option<Vec<Self>> {
                super::sampled_mean(rows, d, $steady)
            }

            fn exceeds(self, other: Self) -> bool {
                self.abs() > other.abs()
            }

            fn kernels() -> Vec<Kernel<Self>> {
                let plain = Kernel {
                    name: "plain",
                    lanes: $lanes,
                    rows: 4,
                    panels: 1,
                    tile: plain::<Self, $lanes, 4>,
                    pack: loops::pack_lanes::<Self, $lanes>,
                    widen: loops::add_widened::<Self>,
                };
                #[cfg(target_arch = "x86_64")]
                let vectorised = super::x86::$float();
                #[cfg(not(target_arch = "x86_64"))]
                let vectorised = Vec::new();
                vectorised.into_iter().chain([plain]).collect()
            }
        }
    };
}

// Products of these deviations neither overflow nor vanish in f32, also when a block of them is added up.
float!(f32, 8, 1e-15..=1e15, steady: true);
float!(f64, 4, 0.0..=f64::MAX, steady: false);
