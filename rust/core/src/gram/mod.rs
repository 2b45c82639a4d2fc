//! The one hot loop: `scatter += Z^T Z`, lower triangle only, for blocks of rows about a shift of their own.
//!
//! A block of at most [`DEPTH`] rows is packed into panels of `lanes` columns, its shift subtracted on the way.
//! A tile of the result is the product of two stretches of panels, summed over the block in the precision of the
//! rows, and added to the f64 scatter: rounding does not grow with the number of rows.

mod kernel;
mod loops;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;
use std::sync::Mutex;

pub(crate) use kernel::Float;
use kernel::Kernel;

use crate::threads::num_threads;

/// Rows multiplied in their own precision before the sum goes to f64.
pub(crate) const DEPTH: usize = 256;
/// Rows of the result that one job computes: a multiple of every kernel's tile, and small enough for the L2 cache.
const BAND: usize = 96;
/// Below this many multiplications the threads cost more than they save.
const WORTH_THREADS: usize = 1 << 22;

/// Squared step between the means of the halves of a block, relative to the variance within them, beyond which f32
/// does not serve: the drift would drown what is left. Rows in random order stay far below it.
const DRIFT: f64 = 4.0;
/// Squared correlation of neighbouring columns beyond which f32 does not serve: a component that they have in common, as
/// where the means of rows in random order differ far more than the rows about them, would drown what is left.
const COMMON: f64 = 0.9;
/// Fewer rows than this show neither a drift nor a component: they are multiplied in f64, which costs little.
pub(crate) const FEW: usize = 16;
/// Every so many rows one is looked at for the shift and for a drift.
const SAMPLED: usize = 4;

/// At most [`DEPTH`] packed rows less their shift, and what makes their product a scatter about the running mean:
/// `scatter += G - down down^T + up up^T`.
pub(crate) struct Block<T> {
    panels: Panels<T>,
    pub rows: usize,
    /// Mean of the rows.
    pub mean: Vec<f64>,
    down: Vec<f64>,
    pub up: Vec<f64>,
}

/// Packs rows (n, d) by blocks of [`DEPTH`] rows. A block is None where its precision does not serve: where products of
/// deviations from the mean would overflow or vanish, and in f32 also where the mean drifts within the block, where
/// neighbouring columns move as one, or where the rows are too few to tell.
pub(crate) fn pack<T: Float>(rows: &[T], d: usize) -> Vec<Option<Block<T>>> {
    let blocks: Vec<&[T]> = rows.chunks(DEPTH * d).collect();
    in_parallel(blocks, threads_for(rows.len() / d, d), |rows| Block::pack(&T::kernel(), rows, d))
}

/// Adds the blocks to the lower triangle of `scatter`, (d, d) row-major; the upper triangle is not touched.
pub(crate) fn add<T: Float>(blocks: &[Block<T>], d: usize, scatter: &mut [f64]) {
    if blocks.is_empty() {
        return;
    }
    let kernel = T::kernel();
    let bands: Vec<(usize, &mut [f64])> = scatter.chunks_mut(BAND * d).enumerate().collect();
    let threads = threads_for(blocks.iter().map(|block| block.rows).sum(), d);
    // The last bands are the longest: they go first, so that the threads end together.
    in_parallel(bands.into_iter().rev().collect(), threads, |(band, rows)| {
        let width = kernel.panels * kernel.lanes;
        // The tiles of one stretch of columns stay in the cache while all blocks are added to them.
        for columns in (0..band * BAND + rows.len() / d).step_by(width) {
            for block in blocks {
                block.panels.add_tiles(&kernel, band * BAND, columns, d, rows);
            }
            for block in blocks {
                block.correct(band * BAND, columns..columns + width, d, rows);
            }
        }
    });
}

fn threads_for(rows: usize, d: usize) -> usize {
    if rows * d * d < WORTH_THREADS { 1 } else { num_threads() }
}

impl<T: Float> Block<T> {
    fn pack(kernel: &Kernel<T>, rows: &[T], d: usize) -> Option<Self> {
        let shift = T::shift(rows, d)?;
        let (mut sums, mut extremes) = (vec![0.0; d], vec![T::default(); d]);
        let panels = Panels::pack(kernel, rows, &shift, &mut sums, &mut extremes);
        let mut magnitudes = extremes.iter().map(|&v| v.into().abs());
        if !magnitudes.all(|v| v == 0.0 || T::SAFE.contains(&v)) {
            return None;
        }
        let n = (rows.len() / d) as f64;
        // The shift is about the mean, and rounded; the sum of what is left mends both.
        let mean = shift.iter().zip(&sums).map(|(&c, rest)| c.into() + rest / n).collect();
        let down = sums.iter().map(|rest| rest / n.sqrt()).collect();
        Some(Self { panels, rows: rows.len() / d, mean, down, up: vec![0.0; d] })
    }

    /// The rank-two part, from the block's shift to the running mean, of some columns of a band.
    fn correct(&self, first: usize, columns: Range<usize>, d: usize, band: &mut [f64]) {
        for (r, row) in band.chunks_exact_mut(d).enumerate() {
            let i = first + r;
            let (up, down) = (self.up[i], self.down[i]);
            let columns = columns.start..columns.end.min(i + 1).max(columns.start);
            let parts = self.up[columns.clone()].iter().zip(&self.down[columns.clone()]);
            for (s, (u, v)) in row[columns].iter_mut().zip(parts) {
                *s += up * u - down * v;
            }
        }
    }
}

/// About the mean of rows (n, d), from a sample of them. None where `steady` asks for rows about one mean, each column
/// for itself, and these drift, move as one, or are too few to tell.
pub(crate) fn sampled_mean<T: Float>(rows: &[T], d: usize, steady: bool) -> Option<Vec<T>> {
    let n = rows.len() / d;
    if steady && n < FEW {
        return None;
    }
    let step = if n >= DEPTH / 2 { SAMPLED } else { 1 };
    let sampled: Vec<&[T]> = rows.chunks_exact(d).step_by(step).collect();
    let (first, second) = sampled.split_at(sampled.len() / 2);
    let sum = |rows: &[&[T]]| {
        let mut sums = vec![0.0; d];
        for row in rows {
            sums.iter_mut().zip(*row).for_each(|(s, v)| *s += (*v).into());
        }
        sums
    };
    let (early, late) = (sum(first), sum(second));
    let total = sampled.len() as f64;
    let mean: Vec<T> = early.iter().zip(&late).map(|(a, b)| T::round((a + b) / total)).collect();
    if steady {
        let (mut squares, mut products) = (vec![0.0; d], vec![0.0; d]);
        for row in &sampled {
            let mut before = 0.0;
            for (((s, p), v), m) in squares.iter_mut().zip(&mut products).zip(*row).zip(&mean) {
                let deviation: f64 = (*v - *m).into();
                *s += deviation * deviation;
                *p += deviation * before;
                before = deviation;
            }
        }
        let common = (1..d).any(|i| products[i] * products[i] > COMMON * squares[i] * squares[i - 1]);
        let (a, b) = (first.len() as f64, second.len() as f64);
        let drifts = (0..d).any(|i| {
            let step = (early[i] / a - late[i] / b).powi(2);
            step > DRIFT * (squares[i] / total - step / 4.0)
        });
        if drifts || common {
            return None;
        }
    }
    Some(mean)
}

/// `jobs` through `work` on up to `threads` threads of this call's own: none outlive it, so a fork is safe.
fn in_parallel<J: Send, R: Send>(jobs: Vec<J>, threads: usize, work: impl Fn(J) -> R + Sync) -> Vec<R> {
    let threads = threads.min(jobs.len());
    if threads <= 1 {
        return jobs.into_iter().map(work).collect();
    }
    let mut done: Vec<Option<R>> = Vec::new();
    done.resize_with(jobs.len(), || None);
    {
        let queue = Mutex::new(jobs.into_iter().zip(done.iter_mut()));
        let drain = || {
            loop {
                let next = queue.lock().map(|mut queue| queue.next());
                let Ok(Some((job, slot))) = next else { break };
                *slot = Some(work(job));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(drain);
            }
            drain();
        });
    }
    done.into_iter().flatten().collect()
}

/// A packed block: panel `j` holds columns `j * lanes..`, row after row, the last panel padded with zeros.
struct Panels<T> {
    data: Vec<T>,
    depth: usize,
    stride: usize,
}

impl<T: Float> Panels<T> {
    fn pack(kernel: &Kernel<T>, rows: &[T], shift: &[T], sums: &mut [f64], extremes: &mut [T]) -> Self {
        let (d, lanes) = (shift.len(), kernel.lanes);
        let depth = rows.len() / d;
        // One cache line more than the panel: neighbours would else fall into the same cache sets.
        let stride = depth * lanes + 64 / size_of::<T>();
        // Tiles may reach past the last column: whole tiles of zero panels stand behind it.
        let mut data = vec![T::default(); (d.div_ceil(lanes) + kernel.panels) * stride];
        kernel.pack(rows, shift, stride, &mut data, sums, extremes);
        Self { data, depth, stride }
    }

    /// Adds the tiles that begin at column `j` to the rows `first..` of the lower triangle that `band` holds.
    fn add_tiles(&self, kernel: &Kernel<T>, first: usize, j: usize, d: usize, band: &mut [f64]) {
        let width = kernel.panels * kernel.lanes;
        let last = first + band.len() / d;
        let mut tile = vec![T::default(); kernel.rows * width];
        let b = &self.data[j / kernel.lanes * self.stride..];
        for i in (first..last).step_by(kernel.rows).filter(|i| i + kernel.rows > j) {
            let a = &self.data[i / kernel.lanes * self.stride + i % kernel.lanes..];
            kernel.multiply(self.depth, a, b, self.stride, &mut tile);
            for (r, sums) in tile.chunks_exact(width).enumerate().take(last - i) {
                let row = &mut band[(i - first + r) * d..][..d];
                let stop = (i + r + 1).min(j + width);
                kernel.add_widened(sums, &mut row[j.min(stop)..stop]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0
    }

    /// `Z^T Z` about the shift, by the definition.
    fn naive<T: Float>(rows: &[T], shift: &[T]) -> Vec<f64> {
        let d = shift.len();
        let mut sum = vec![0.0; d * d];
        for row in rows.chunks_exact(d) {
            let z: Vec<f64> = row.iter().zip(shift).map(|(v, s)| (*v - *s).into()).collect();
            for i in 0..d {
                for j in 0..=i {
                    sum[i * d + j] += z[i] * z[j];
                }
            }
        }
        sum
    }

    fn check<T: Float>(n: usize, d: usize, tolerance: f64) {
        let rows: Vec<T> = (0..n * d).map(|i| T::round(noise(i))).collect();
        let shift: Vec<T> = (0..d).map(|i| T::round(noise(i + 5) / 8.0)).collect();
        let expected = naive(&rows, &shift);
        for kernel in T::kernels() {
            let mut sum = vec![0.0; d * d];
            let (mut sums, mut extremes) = (vec![0.0; d], vec![T::default(); d]);
            let panels = Panels::pack(&kernel, &rows, &shift, &mut sums, &mut extremes);
            for (band, rows) in sum.chunks_mut(BAND * d).enumerate() {
                for j in (0..d).step_by(kernel.panels * kernel.lanes) {
                    panels.add_tiles(&kernel, band * BAND, j, d, rows);
                }
            }
            for (s, e) in sum.iter().zip(&expected) {
                assert!((s - e).abs() <= tolerance * n as f64, "{}: {s} is not {e}, n = {n}, d = {d}", kernel.name);
            }
            for i in 0..d {
                let deviations = || rows.iter().skip(i).step_by(d).map(|v| (*v - shift[i]).into());
                // Higham's bound of recursive summation: a few rows in their own precision, the rest in f64.
                let magnitude: f64 = deviations().map(f64::abs).sum();
                let bound = (4.0 * T::UNIT + n as f64 * f64::EPSILON) * magnitude;
                assert!((deviations().sum::<f64>() - sums[i]).abs() <= bound, "{}: sums", kernel.name);
                assert_eq!(deviations().map(f64::abs).fold(0.0, f64::max), extremes[i].into().abs());
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
            let blocks: Vec<_> = pack(&rows, d).into_iter().flatten().collect();
            let mut sum = vec![0.0; d * d];
            add(&blocks, d, &mut sum);
            crate::set_num_threads(0);
            sum
        };
        assert_eq!(sum(1), sum(3));
    }
}
