//! The one hot loop: `scatter += Z^T Z`, lower triangle only, for rows about a shift near their mean.
//!
//! Blocks of at most [`DEPTH`] rows are packed into panels of `lanes` columns, converted and less their shift on the
//! way. A tile of the result is the product of two stretches of panels, summed over the block in the precision of the
//! rows, and added up in f64: rounding does not grow with the number of rows.

use std::time::Instant;

mod kernel;
mod loops;
mod packed;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use kernel::{Float, Kernel};
use packed::Block;
pub(crate) use packed::{FEW, Group, Packed, first_mean};

use crate::threads::in_parallel;

/// Rows multiplied in their own precision before the sum goes to f64.
pub(crate) const DEPTH: usize = 256;
/// Rows of the result that one job computes: a multiple of every kernel's tile.
const BAND: usize = 96;
/// The same where the result is small: there must be jobs enough for the threads to end together.
const NARROW_BAND: usize = 48;
/// Narrower results than this are small.
const NARROW: usize = 8 * BAND;
/// Bytes of the packed rows of a band that stay in the L2 cache while the other columns stream past.
const BAND_BYTES: usize = 1 << 19;
/// Below this many multiplications the threads cost more than they save.
const WORTH_THREADS: usize = 1 << 22;
/// Multiplications that make the threads' start and end small beside them.
const AMPLE: usize = 1 << 31;
/// At least so many rows are multiplied at once where there are more.
const LEAST_ROWS: usize = 4 * DEPTH;
/// And at most so many: packed rows are a copy.
const MOST_ROWS: usize = 32 * DEPTH;

/// How many rows of `d` columns are best multiplied at once.
pub(crate) fn ample_rows(d: usize) -> usize {
    (AMPLE / (d * d).max(1)).clamp(LEAST_ROWS, MOST_ROWS) / DEPTH * DEPTH
}

fn worth_threads(rows: usize, d: usize) -> bool {
    rows.saturating_mul(d * d) >= WORTH_THREADS
}

/// Number of entries of the lower triangle of `d` rows: where row `d` begins when they are packed row by row.
pub(crate) const fn triangle(d: usize) -> usize {
    d * (d + 1) / 2
}

/// Adds the groups to `scatter`, the lower triangle packed row by row (d (d + 1) / 2,).
pub(crate) fn add<T: Float>(packed: &Packed<T>, d: usize, scatter: &mut [f64]) {
    if packed.groups.is_empty() {
        return;
    }
    let kernel = T::kernel();
    let height = if d < NARROW { NARROW_BAND } else { BAND };
    let mut bands = Vec::new();
    let mut rest = scatter;
    for first in (0..d).step_by(height) {
        let last = d.min(first + height);
        let (scatter, tail) = rest.split_at_mut(triangle(last) - triangle(first));
        bands.push(Band { first, last, scatter });
        rest = tail;
    }
    let at_once = (BAND_BYTES / (height * DEPTH * size_of::<T>())).max(1);
    let rows = packed.groups.iter().map(|group| group.rows).sum();
    // The last bands are the longest: they go first, so that the threads end together.
    bands.reverse();
    in_parallel(bands, worth_threads(rows, d), |mut band| {
        for group in &packed.groups {
            let parts = group.blocks.chunks(at_once);
            let last = parts.len() - 1;
            for (part, blocks) in parts.enumerate() {
                let blocks: Vec<Block<'_, T>> = blocks.iter().map(|&i| packed.block(i)).collect();
                band.add(&kernel, &blocks, (part == last).then_some(group));
            }
        }
    });
}

pub(crate) fn kernel_name() -> &'static str {
    f32::kernel().name
}

/// The speed of the bare tile on one thread, in GFLOP/s, on panels that stay in the L1 cache: about the peak of the
/// processor's fused multiply-add in that precision.
pub(crate) fn tile_rate<T: Float>() -> f64 {
    const CALLS: usize = 1024;
    let kernel = T::kernel();
    let panels = vec![T::default(); (kernel.panels() + 1) * DEPTH * kernel.lanes];
    let mut sums = vec![0.0; kernel.rows * kernel.panels() * kernel.lanes];
    let mut run = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            kernel.multiply(DEPTH, &panels, &panels, DEPTH * kernel.lanes, &panels, &mut sums);
        }
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..16).map(|_| run()).fold(f64::INFINITY, f64::min);
    (2 * CALLS * DEPTH * sums.len()) as f64 / seconds / 1e9
}

/// Some rows of the lower triangle.
struct Band<'a> {
    first: usize,
    last: usize,
    scatter: &'a mut [f64],
}

impl Band<'_> {
    /// Adds the products of the blocks, and the rank-two part of the group that they end.
    fn add<T: Float>(&mut self, kernel: &Kernel<T>, blocks: &[Block<'_, T>], group: Option<&Group>) {
        let widest = kernel.panels() * kernel.lanes;
        let mut room = vec![0.0; kernel.rows * widest];
        for j in (0..self.last).step_by(widest) {
            for i in (self.first..self.last).step_by(kernel.rows).filter(|i| i + kernel.rows > j) {
                let rows = i.max(j)..self.last.min(i + kernel.rows);
                let panels = (rows.end - j).div_ceil(kernel.lanes).min(kernel.panels());
                let width = panels * kernel.lanes;
                rows.clone().for_each(|row| (kernel.fetch)(self.stretch(row, j, width)));
                let sums = &mut room[..kernel.rows * width];
                sums.fill(0.0);
                for block in blocks {
                    block.multiply(kernel, (i, j), (i - self.first, self.last - self.first), sums);
                }
                for row in rows {
                    let (sums, scatter) = (&sums[(row - i) * width..], self.stretch(row, j, width));
                    match group {
                        Some(Group { up, down, .. }) => {
                            kernel.settle(sums, (up[row], down[row]), &up[j..], &down[j..], scatter);
                        }
                        None => kernel.settle(sums, (0.0, 0.0), sums, sums, scatter),
                    }
                }
            }
        }
    }

    /// The entries of a row from column `j` on, up to the diagonal and at most `width`.
    fn stretch(&mut self, row: usize, j: usize, width: usize) -> &mut [f64] {
        let start = triangle(row) - triangle(self.first) + j;
        &mut self.scatter[start..start + width.min(row + 1 - j)]
    }
}

impl<T: Float> Block<'_, T> {
    /// Adds the tile that begins at row `i`, the `r`-th of `height` rows in its band, and at column `j` to `sums`; brings
    /// its share of the columns of the tiles to come near.
    fn multiply(&self, kernel: &Kernel<T>, (i, j): (usize, usize), (r, height): (usize, usize), sums: &mut [f64]) {
        let panel = |column: usize| &self.panels[column / kernel.lanes * self.stride..];
        let b = panel(j);
        let ahead = &b[(kernel.panels() * self.stride * (height + r) / height).min(b.len())..];
        kernel.multiply(self.depth, &panel(i)[i % kernel.lanes..], b, self.stride, ahead, sums);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::loops::Tally;
    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0
    }

    /// `Z^T Z` about the shift, by the definition.
    fn naive<T: Float>(rows: &[T], shift: &[T]) -> Vec<f64> {
        let mut sum = Vec::new();
        let d = shift.len();
        let deviation = |row: &[T], i: usize| -> f64 { (row[i] - shift[i]).into() };
        for (i, j) in (0..d).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            sum.push(rows.chunks_exact(d).map(|row| deviation(row, i) * deviation(row, j)).sum());
        }
        sum
    }

    fn check<T: Float>(n: usize, d: usize, tolerance: f64) {
        let rows: Vec<T> = (0..n * d).map(|i| T::round(noise(i))).collect();
        let shift: Vec<T> = (0..d).map(|i| T::round(noise(i + 5) / 8.0)).collect();
        let expected = naive(&rows, &shift);
        for kernel in T::kernels() {
            let stride = n * kernel.lanes + 3;
            let mut panels = vec![T::default(); (d.div_ceil(kernel.lanes) + kernel.panels()) * stride];
            let (mut tally, mut sums) = (Tally::new(d), vec![0.0; d]);
            for (i, few) in rows.chunks(loops::ROWS_PACKED * d).enumerate() {
                let panels = &mut panels[i * loops::ROWS_PACKED * kernel.lanes..];
                kernel.pack(few, &shift, stride, panels, &mut tally, &mut sums);
            }
            let centre: Vec<f64> = shift.iter().map(|&v| v.into()).collect();
            let weights: Vec<f64> = (0..n).map(|i| 1.0 + noise(i).abs()).collect();
            let part = d.div_ceil(2);
            let mut cubes = vec![0.0; part];
            let fourths = kernel.cube(&rows, d, &centre[..part], &weights, &mut cubes);
            let (mut expected_fourths, mut expected_cubes) = (0.0, vec![0.0; part]);
            for (row, weight) in rows.chunks(d).zip(&weights) {
                let z: Vec<f64> = row[..part].iter().zip(&centre).map(|(&v, c)| v.into() - c).collect();
                let square: f64 = z.iter().map(|v| v * v).sum();
                expected_fourths += weight * square * square;
                expected_cubes.iter_mut().zip(&z).for_each(|(cube, v)| *cube += weight * square * v);
            }
            assert!((fourths - expected_fourths).abs() <= 1e-12 * expected_fourths, "{}: fourths", kernel.name);
            for (cube, expected) in cubes.iter().zip(&expected_cubes) {
                assert!((cube - expected).abs() <= 1e-12 * (1.0 + expected_fourths), "{}: cubes", kernel.name);
            }
            let block = Block { panels: &panels, depth: n, stride };
            let mut scatter = vec![0.0; triangle(d)];
            for first in (0..d).step_by(NARROW_BAND) {
                let last = d.min(first + NARROW_BAND);
                let scatter = &mut scatter[triangle(first)..triangle(last)];
                Band { first, last, scatter }.add(&kernel, &[block], None);
            }
            for (s, e) in scatter.iter().zip(&expected) {
                assert!((s - e).abs() <= tolerance * n as f64, "{}: {s} is not {e}, n = {n}, d = {d}", kernel.name);
            }
            for i in 0..d {
                let deviations = || rows.iter().skip(i).step_by(d).map(|v| (*v - shift[i]).into());
                // Higham's bound of recursive summation: a few rows in their own precision, the rest in f64.
                let magnitude: f64 = deviations().map(f64::abs).sum();
                let bound = (loops::ROWS_PACKED as f64 * T::UNIT + n as f64 * f64::EPSILON) * magnitude;
                assert!((deviations().sum::<f64>() - sums[i]).abs() <= bound, "{}: sums", kernel.name);
                assert_eq!(deviations().map(f64::abs).fold(0.0, f64::max), tally.extremes[i].into().abs());
                let square: f64 = deviations().map(|v| v * v).sum();
                assert!((square - tally.squares[i].into()).abs() <= n as f64 * T::UNIT * square, "{}", kernel.name);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_kernel_equals_the_naive_sum(n in 1usize..300, d in 1usize..230) {
            check::<f32>(n, d, 1e-6);
            check::<f64>(n, d, 1e-15);
        }
    }

    #[test]
    fn threads_give_what_one_thread_gives() {
        let (n, d) = (3 * DEPTH - 7, 301);
        let rows: Vec<f64> = (0..n * d).map(noise).collect();
        let sum = |threads| {
            crate::set_num_threads(threads);
            let fill = |i: usize, row: &mut [f64]| row.copy_from_slice(&rows[i * d..][..d]);
            let packed = Packed::new(n, &vec![0.0; d], None, &fill);
            let mut scatter = vec![0.0; triangle(d)];
            add(&packed, d, &mut scatter);
            crate::set_num_threads(0);
            scatter
        };
        assert_eq!(sum(1), sum(3));
    }
}
