//! The inner product of two stretches of packed columns, one function per instruction set.
//!
//! This module and its neighbour `x86` hold all of the crate's `unsafe` code.

use std::cell::Cell;
use std::ops::{Add, Mul, RangeInclusive, Sub};
use std::thread::LocalKey;

use super::loops::{self, Tally};

/// A precision in which rows are multiplied.
pub(crate) trait Float:
    Copy + Default + Send + Sync + Into<f64> + Sub<Output = Self> + Mul<Output = Self> + Add<Output = Self> + 'static
{
    /// Unit roundoff.
    const UNIT: f64;
    /// Deviations whose products neither overflow when a block of them is summed nor vanish.
    const SAFE: RangeInclusive<f64>;
    /// Whether this precision serves only rows that are steady about their shift.
    const STEADY: bool;
    /// Room for packed rows that a thread keeps for its next call.
    const ROOM: &'static LocalKey<Cell<Vec<Self>>>;
    /// The nearest value of this precision.
    fn round(value: f64) -> Self;
    /// The value with the greater magnitude.
    fn farther(self, other: Self) -> Self;
    /// Every kernel that this processor can run, the fastest first.
    fn kernels() -> Vec<Kernel<Self>>;
    /// The fastest kernel that this processor can run.
    fn kernel() -> Kernel<Self> {
        Self::kernels()[0]
    }
}

/// Tiles of `rows` by up to `panels * lanes` sums of products.
#[derive(Clone, Copy)]
pub(crate) struct Kernel<T: 'static> {
    /// What it runs on.
    pub name: &'static str,
    /// Columns of a panel.
    pub lanes: usize,
    /// Rows of the tile; divides `lanes`.
    pub rows: usize,
    /// Tiles of one panel across, of two, and so on.
    pub(super) tiles: &'static [Tile<T>],
    pub(super) pack: Pack<T>,
    pub(super) settle: Settle,
    pub(super) cube: Cube<T>,
    /// Brings values near that are soon written to.
    pub fetch: fn(&[f64]),
}

/// (depth, a, b, panel stride, ahead, out)
pub(super) type Tile<T> = unsafe fn(usize, &[T], &[T], usize, &[T], &mut [f64]);
/// (rows, shift, panel stride, panels, tally, sums)
pub(super) type Pack<T> = unsafe fn(&[T], &[T], usize, &mut [T], &mut Tally<T>, &mut [f64]);
/// (rows, width, centre, weights, cubes), gives the sum of weighted fourth powers
pub(super) type Cube<T> = unsafe fn(&[T], usize, &[f64], &[f64], &mut [f64]) -> f64;
/// (sums, up, down, ups, downs, scatter)
pub(super) type Settle = unsafe fn(&[f64], f64, f64, &[f64], &[f64], &mut [f64]);

impl<T: Float> Kernel<T> {
    /// Panels across the widest tile.
    pub fn panels(&self) -> usize {
        self.tiles.len()
    }

    /// `out[r, c] += sum over k < depth of a[k, r] * b[k, c]`, with `out` row-major, as wide as it
    /// is long: one panel, two, and so on.
    ///
    /// `a` begins at a column of a panel, `b` at a panel; the panels of `b` lie `stride` values apart. What lies `ahead`
    /// is brought near on the way: `depth * lanes / 4` values of it.
    pub fn multiply(&self, depth: usize, a: &[T], b: &[T], stride: usize, ahead: &[T], out: &mut [f64]) {
        let panels = out.len() / (self.rows * self.lanes);
        assert!(panels > 0 && out.len() == self.rows * panels * self.lanes);
        assert!(depth > 0 && a.len() >= (depth - 1) * self.lanes + self.rows);
        assert!(b.len() >= (panels - 1) * stride + depth * self.lanes);
        // SAFETY: the asserts above are the bounds of every access of a tile, what lies ahead is never read, and
        // `kernels` lists a tile only where the processor has its instructions.
        unsafe { (self.tiles[panels - 1])(depth, a, b, stride, ahead, out) }
    }

    /// Packs a few rows (n, d) less `shift` (d,) into panels that lie `stride` values apart, `lanes` columns each, and
    /// counts the deviations in: their sums in `sums` (d,), the rest in the tally.
    pub fn pack(&self, rows: &[T], shift: &[T], stride: usize, data: &mut [T], tally: &mut Tally<T>, sums: &mut [f64]) {
        // SAFETY: `kernels` lists a function only where the processor has its instructions; it is otherwise safe code.
        unsafe { (self.pack)(rows, shift, stride, data, tally, sums) }
    }

    /// The sum of `weight * |z|^4` over the first columns z of a few rows of some width, less a centre as long as they are;
    /// `cubes += weight * |z|^2 z`.
    pub fn cube(&self, rows: &[T], width: usize, centre: &[f64], weights: &[f64], cubes: &mut [f64]) -> f64 {
        // SAFETY: as for `pack`.
        unsafe { (self.cube)(rows, width, centre, weights, cubes) }
    }

    /// `scatter += sums + up * ups - down * downs`, as far as `scatter` goes.
    pub fn settle(&self, sums: &[f64], (up, down): (f64, f64), ups: &[f64], downs: &[f64], scatter: &mut [f64]) {
        // SAFETY: as for `pack`.
        unsafe { (self.settle)(sums, up, down, ups, downs, scatter) }
    }
}

/// The tile in plain Rust, one panel across: for every processor, with every bound checked, and the oracle of the others.
fn plain<T: Float, const LANES: usize, const ROWS: usize>(
    depth: usize,
    a: &[T],
    b: &[T],
    _stride: usize,
    _ahead: &[T],
    out: &mut [f64],
) {
    let mut sums = [[T::default(); LANES]; ROWS];
    // The last row of `a` may end with the tile.
    for (a, b) in a.chunks(LANES).zip(b.chunks_exact(LANES)).take(depth) {
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = *sum + *a * *b;
            }
        }
    }
    loops::add_widened(sums.as_flattened(), out);
}

/// What differs between the precisions.
macro_rules! float {
    ($float:ident, $lanes:literal, $safe:expr, steady: $steady:literal) => {
        impl Float for $float {
            const UNIT: f64 = $float::EPSILON as f64 / 2.0;
            const SAFE: RangeInclusive<f64> = $safe;
            const STEADY: bool = $steady;
            const ROOM: &'static LocalKey<Cell<Vec<Self>>> = {
                thread_local! {
                    static ROOM: Cell<Vec<$float>> = const { Cell::new(Vec::new()) };
                }
                &ROOM
            };

            #[allow(clippy::cast_possible_truncation)]
            #[inline(always)]
            fn round(value: f64) -> Self {
                value as $float
            }

            #[inline(always)]
            fn farther(self, other: Self) -> Self {
                if self.abs() > other.abs() { self } else { other }
            }

            fn kernels() -> Vec<Kernel<Self>> {
                let plain = Kernel {
                    name: "plain",
                    lanes: $lanes,
                    rows: 4,
                    tiles: &[plain::<Self, $lanes, 4>],
                    pack: loops::pack_plain::<Self, $lanes>,
                    settle: loops::settle,
                    cube: loops::cube::<Self>,
                    fetch: |_| (),
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
