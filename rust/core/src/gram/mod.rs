//! The one hot loop: `scatter += Z^T Z`, lower triangle only, for blocks of rows about a shift of their own.
//!
//! A block of at most [`DEPTH`] rows is packed into panels of `lanes` columns, its shift subtracted on the way.
//! A tile of the result is the product of two stretches of panels, summed over the block in the precision of the
//! rows, and added to the f64 scatter: rounding does not grow with the number of rows.

mod kernel;

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

/// At most [`DEPTH`] rows, the shift they are multiplied about, and what makes their product a scatter about the
/// running mean: `scatter += G - down down^T + up up^T`.
pub(crate) struct Block<'a, T> {
    pub rows: &'a [T],
    pub shift: Vec<T>,
    pub down: Vec<f64>,
    pub up: Vec<f64>,
}

/// Adds the blocks to the lower triangle of `scatter`, (d, d) row-major; the upper triangle is not touched.
pub(crate) fn add<T: Float>(blocks: &[Block<'_, T>], d: usize, scatter: &mut [f64]) {
    let kernel = T::kernel();
    let depth: usize = blocks.iter().map(|block| block.rows.len() / d).sum();
    let threads = if depth * d * d < WORTH_THREADS { 1 } else { num_threads() };
    let packed = in_parallel(blocks.iter().collect(), threads, |block| Panels::pack(&kernel, block, d));
    let bands: Vec<(usize, &mut [f64])> = scatter.chunks_mut(BAND * d).enumerate().collect();
    // The last bands are the longest: they go first, so that the threads end together.
    in_parallel(bands.into_iter().rev().collect(), threads, |(band, rows)| {
        for (block, panels) in blocks.iter().zip(&packed) {
            panels.add_band(&kernel, band * BAND, d, rows);
            correct(block, band * BAND, d, rows);
        }
    });
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
    fn pack(kernel: &Kernel<T>, block: &Block<'_, T>, d: usize) -> Self {
        let lanes = kernel.lanes;
        let depth = block.rows.len() / d;
        // One cache line more than the panel: neighbours would else fall into the same cache sets.
        let stride = depth * lanes + 64 / size_of::<T>();
        // Tiles may reach past the last column: whole tiles of zero panels stand behind it.
        let panels = d.div_ceil(lanes) + kernel.panels;
        let mut data = vec![T::default(); panels * stride];
        for (k, row) in block.rows.chunks_exact(d).enumerate() {
            let columns = row.chunks(lanes).zip(block.shift.chunks(lanes));
            for (panel, (values, shift)) in columns.enumerate() {
                let out = &mut data[panel * stride + k * lanes..][..values.len()];
                for ((o, v), s) in out.iter_mut().zip(values).zip(shift) {
                    *o = *v - *s;
                }
            }
        }
        Self { data, depth, stride }
    }

    /// Adds the product to the rows `first..` of the lower triangle that `band` holds.
    fn add_band(&self, kernel: &Kernel<T>, first: usize, d: usize, band: &mut [f64]) {
        let width = kernel.panels * kernel.lanes;
        let last = first + band.len() / d;
        let mut tile = vec![T::default(); kernel.rows * width];
        for j in (0..last).step_by(width) {
            let b = &self.data[j / kernel.lanes * self.stride..];
            for i in (first..last).step_by(kernel.rows) {
                if i + kernel.rows <= j {
                    continue;
                }
                let a = &self.data[i / kernel.lanes * self.stride + i % kernel.lanes..];
                kernel.multiply(self.depth, a, b, self.stride, &mut tile);
                for (r, sums) in tile.chunks_exact(width).enumerate().take(last - i) {
                    let row = &mut band[(i - first + r) * d..][..d];
                    let stop = (i + r + 1).min(j + width);
                    for (s, v) in row[j.min(stop)..stop].iter_mut().zip(sums) {
                        *s += (*v).into();
                    }
                }
            }
        }
    }
}

/// The rank-two part: from the block's shift to the running mean.
fn correct<T>(block: &Block<'_, T>, first: usize, d: usize, band: &mut [f64]) {
    for (r, row) in band.chunks_exact_mut(d).enumerate() {
        let i = first + r;
        let (up, down) = (block.up[i], block.down[i]);
        for ((s, u), v) in row[..=i].iter_mut().zip(&block.up).zip(&block.down) {
            *s += up * u - down * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `Z^T Z` about the shift, by the definition.
    fn naive<T: Float>(block: &Block<'_, T>, d: usize) -> Vec<f64> {
        let mut sum = vec![0.0; d * d];
        for row in block.rows.chunks_exact(d) {
            let z: Vec<f64> = row.iter().zip(&block.shift).map(|(v, s)| (*v - *s).into()).collect();
            for i in 0..d {
                for j in 0..=i {
                    sum[i * d + j] += z[i] * z[j];
                }
            }
        }
        sum
    }

    fn check<T: Float>(n: usize, d: usize, tolerance: f64) {
        let noise = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
        let rows: Vec<T> = (0..n * d).map(|i| T::round(noise(i))).collect();
        let block = Block {
            rows: &rows,
            shift: (0..d).map(|i| T::round(noise(i + 5) / 8.0)).collect(),
            up: vec![0.0; d],
            down: vec![0.0; d],
        };
        let expected = naive(&block, d);
        for kernel in T::kernels() {
            let mut sum = vec![0.0; d * d];
            let panels = Panels::pack(&kernel, &block, d);
            for (band, rows) in sum.chunks_mut(BAND * d).enumerate() {
                panels.add_band(&kernel, band * BAND, d, rows);
            }
            for (s, e) in sum.iter().zip(&expected) {
                assert!((s - e).abs() <= tolerance * n as f64, "{}: {s} is not {e}, n = {n}, d = {d}", kernel.name);
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
        let (n, d) = (200, 301);
        let rows: Vec<f64> = (0..n * d).map(|i| (i % 97) as f64 / 97.0).collect();
        let block = || Block {
            rows: &rows,
            shift: vec![0.5; d],
            up: (0..d).map(|i| i as f64 / d as f64).collect(),
            down: vec![0.25; d],
        };
        let sum = |threads| {
            crate::set_num_threads(threads);
            let mut sum = vec![0.0; d * d];
            add(&[block(), block()], d, &mut sum);
            crate::set_num_threads(0);
            sum
        };
        assert_eq!(sum(1), sum(3));
    }
}
