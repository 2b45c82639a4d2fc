//! The loops beside the product: packing rows, and adding tiles to the f64 sums. Plain Rust, compiled once for each
//! instruction set.

use super::kernel::Float;

/// Rows packed at a time: they stay in the cache while their panels are filled one by one, and their deviations are
/// few enough to be added up in their own precision.
pub(super) const ROWS_PACKED: usize = 8;

/// Panels whose cache lines are asked for ahead of the one that is filled: each lies on a page of its own, out of sight
/// of the processor's own prefetching.
const AHEAD: usize = 6;

/// Columns whose fourth powers are summed side by side.
const CUBED: usize = 32;

/// What packing learns of the deviations of each column, in their own precision: enough to judge whether it serves.
pub(crate) struct Tally<T> {
    /// A deviation of largest magnitude, (d,).
    pub extremes: Vec<T>,
    /// Sums of squares, (d,).
    pub squares: Vec<T>,
    /// Of every [`ROWS_PACKED`]-th row the sums of squares, (d,).
    pub sampled: Vec<T>,
    /// Of the same rows the sums of products with the column before, (d,).
    pub products: Vec<T>,
}

impl<T: Float> Tally<T> {
    pub fn new(d: usize) -> Self {
        let zeros = || vec![T::default(); d];
        let watched = || if T::STEADY { zeros() } else { Vec::new() };
        Self { extremes: zeros(), squares: zeros(), sampled: watched(), products: watched() }
    }
}

/// [`super::kernel::Kernel::pack`] for any processor.
pub(super) fn pack_plain<T: Float, const LANES: usize>(
    rows: &[T],
    shift: &[T],
    stride: usize,
    data: &mut [T],
    tally: &mut Tally<T>,
    sums: &mut [f64],
) {
    pack_lanes::<T, LANES>(rows, shift, stride, data, tally, sums, |_| ());
}

/// [`super::kernel::Kernel::pack`], compiled once for each instruction set, which the loops over lanes then use. `claim`
/// brings what lies at an address near, to be written to.
#[inline(always)]
fn pack_lanes<T: Float, const LANES: usize>(
    rows: &[T],
    shift: &[T],
    stride: usize,
    data: &mut [T],
    tally: &mut Tally<T>,
    sums: &mut [f64],
    claim: impl Fn(*const T),
) {
    let d = shift.len();
    for (panel, data) in data.chunks_mut(stride).enumerate().take(d.div_ceil(LANES)) {
        (0..ROWS_PACKED).for_each(|row| claim(data.as_ptr().wrapping_add(AHEAD * stride + row * LANES)));
        let first = panel * LANES;
        let width = LANES.min(d - first);
        let (mut s, mut sum, mut square) = ([T::default(); LANES], [T::default(); LANES], [T::default(); LANES]);
        let mut extreme = [T::default(); LANES];
        s[..width].copy_from_slice(&shift[first..first + width]);
        extreme[..width].copy_from_slice(&tally.extremes[first..first + width]);
        square[..width].copy_from_slice(&tally.squares[first..first + width]);
        for (row, out) in rows.chunks_exact(d).zip(data.chunks_exact_mut(LANES)) {
            let mut values = [T::default(); LANES];
            match row.get(first..first + LANES) {
                Some(whole) => values.copy_from_slice(whole),
                None => values[..width].copy_from_slice(&row[first..]),
            }
            for lane in 0..LANES {
                let deviation = values[lane] - s[lane];
                out[lane] = deviation;
                sum[lane] = sum[lane] + deviation;
                square[lane] = square[lane] + deviation * deviation;
                extreme[lane] = deviation.farther(extreme[lane]);
            }
        }
        tally.extremes[first..first + width].copy_from_slice(&extreme[..width]);
        tally.squares[first..first + width].copy_from_slice(&square[..width]);
        for (s, v) in sums[first..first + width].iter_mut().zip(sum) {
            *s += v.into();
        }
    }
    if T::STEADY {
        let row = &rows[..d];
        let deviations = || row.iter().zip(shift).map(|(v, s)| *v - *s);
        for (sum, v) in tally.sampled.iter_mut().zip(deviations()) {
            *sum = *sum + v * v;
        }
        for ((sum, v), before) in tally.products[1..].iter_mut().zip(deviations().skip(1)).zip(deviations()) {
            *sum = *sum + v * before;
        }
    }
}

/// `out += sums`
#[inline(always)]
pub(super) fn add_widened<T: Float>(sums: &[T], out: &mut [f64]) {
    for (s, v) in out.iter_mut().zip(sums) {
        *s += (*v).into();
    }
}

/// [`super::kernel::Kernel::cube`] in plain Rust.
#[inline(always)]
pub(super) fn cube<T: Float>(rows: &[T], width: usize, centre: &[f64], weights: &[f64], cubes: &mut [f64]) -> f64 {
    let mut fourths = 0.0;
    for (row, weight) in rows.chunks(width).zip(weights) {
        let row = &row[..centre.len()];
        let (values, rest) = row.as_chunks::<CUBED>();
        let (centres, centre_rest) = centre.as_chunks::<CUBED>();
        // Sums side by side, so that they vectorise.
        let mut sums = [0.0; CUBED];
        for (values, centre) in values.iter().zip(centres) {
            for lane in 0..CUBED {
                let distance = values[lane].into() - centre[lane];
                sums[lane] += distance * distance;
            }
        }
        let square = |(value, c): (&T, &f64)| ((*value).into() - c) * ((*value).into() - c);
        let square = sums.iter().sum::<f64>() + rest.iter().zip(centre_rest).map(square).sum::<f64>();
        let scale = weight * square;
        fourths += scale * square;
        let (whole, cubes_rest) = cubes.as_chunks_mut::<CUBED>();
        for ((cubes, values), centre) in whole.iter_mut().zip(values).zip(centres) {
            for lane in 0..CUBED {
                cubes[lane] += scale * (values[lane].into() - centre[lane]);
            }
        }
        for ((cube, value), c) in cubes_rest.iter_mut().zip(rest).zip(centre_rest) {
            *cube += scale * ((*value).into() - c);
        }
    }
    fourths
}

/// [`super::kernel::Kernel::settle`] in plain Rust.
#[inline(always)]
pub(super) fn settle(sums: &[f64], up: f64, down: f64, ups: &[f64], downs: &[f64], scatter: &mut [f64]) {
    for (((s, v), u), w) in scatter.iter_mut().zip(sums).zip(ups).zip(downs) {
        *s += v + (up * u - down * w);
    }
}

/// [`pack_lanes`], [`settle`] and [`cube`] for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_loops {
    ($pack:ident, $settle:ident, $cube:ident, $feature:literal) => {
        #[target_feature(enable = $feature)]
        pub(super) fn $cube<T: Float>(
            rows: &[T],
            width: usize,
            centre: &[f64],
            weights: &[f64],
            cubes: &mut [f64],
        ) -> f64 {
            cube(rows, width, centre, weights, cubes)
        }

        #[target_feature(enable = $feature)]
        pub(super) fn $settle(sums: &[f64], up: f64, down: f64, ups: &[f64], downs: &[f64], scatter: &mut [f64]) {
            settle(sums, up, down, ups, downs, scatter);
        }

        #[target_feature(enable = $feature)]
        pub(super) fn $pack<T: Float, const LANES: usize>(
            rows: &[T],
            shift: &[T],
            stride: usize,
            data: &mut [T],
            tally: &mut Tally<T>,
            sums: &mut [f64],
        ) {
            pack_lanes::<T, LANES>(rows, shift, stride, data, tally, sums, super::x86::claim);
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector_loops!(pack_avx2, settle_avx2, cube_avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
vector_loops!(pack_avx512, settle_avx512, cube_avx512, "avx512f");
