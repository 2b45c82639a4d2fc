//! Rows on their way to the product: in panels, less a shift near their mean, and judged by what their precision bears.

use std::ops::Range;

use super::kernel::{Float, Kernel};
use super::loops::{ROWS_PACKED, Tally};
use super::{DEPTH, worth_threads};
use crate::fourth::Fourth;
use crate::threads::in_parallel;

/// Squared step between the means of the halves of a block, relative to the variance within them, beyond which f32
/// does not serve: the drift would drown what is left. Rows in random order stay far below it.
const DRIFT: f64 = 4.0;
/// Squared correlation of neighbouring columns beyond which f32 does not serve: a component that they have in common, as
/// where the means of rows in random order differ far more than the rows about them, would drown what is left.
const COMMON: f64 = 0.9;
/// Squared distance of a block's mean from the shift, relative to its variance, beyond which it gets a shift of its own.
const FAR: f64 = 1.0;
/// Distances of so many roundings of the shift are none.
const ROUNDINGS: f64 = 4.0;
/// Fewer rows than this show neither a drift nor a component: they are multiplied in f64, which costs little.
pub(crate) const FEW: usize = 16;

/// Rows (n, d) in blocks of at most [`DEPTH`], each in panels of the kernel's lanes, row after row.
pub(crate) struct Packed<T: Float> {
    room: Vec<T>,
    /// Values of a block in `room`.
    size: usize,
    /// Values from panel to panel.
    stride: usize,
    depths: Vec<usize>,
    /// The blocks, by their shift.
    pub groups: Vec<Group>,
    /// Rows that this precision does not serve: where products of deviations would overflow or vanish, and in f32 also
    /// where the mean drifts within a block, where neighbouring columns move as one, or where rows are too few to tell.
    pub refused: Vec<Range<usize>>,
    /// Fourth powers of the rows in the groups, where they were asked for.
    pub fourth: Option<Fourth>,
}

/// Blocks about one shift, and what makes their product a scatter about the running mean:
/// `scatter += G - down down^T + up up^T`.
pub(crate) struct Group {
    pub(super) blocks: Vec<usize>,
    pub rows: usize,
    /// Mean of the rows, (d,).
    pub mean: Vec<f64>,
    pub(super) down: Vec<f64>,
    pub up: Vec<f64>,
}

/// A packed block: panels that lie `stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Block<'a, T> {
    pub panels: &'a [T],
    pub depth: usize,
    pub stride: usize,
}

/// How a block was packed, with the sums of its deviations, (d,), and its fourth powers.
enum Outcome<T> {
    Together { sums: Vec<f64>, fourth: Option<Fourth> },
    Alone { shift: Vec<T>, sums: Vec<f64>, fourth: Option<Fourth> },
    Refused,
}

impl<T: Float> Packed<T> {
    /// Packs `n` rows that `fill` writes out: about `mean` (d,) where it serves, and each block about its own mean where
    /// it does not. Adds up fourth powers about the centre of `fourth`.
    pub fn new(n: usize, mean: &[f64], fourth: Option<&Fourth>, fill: &(impl Fn(usize, &mut [T]) + Sync)) -> Self {
        let (d, kernel) = (mean.len(), T::kernel());
        // One cache line more than the panel: neighbours would else fall into the same cache sets.
        let stride = DEPTH.min(n) * kernel.lanes + 64 / size_of::<T>();
        // Tiles may reach past the last column: what stands there is multiplied, but never looked at.
        let size = (d.div_ceil(kernel.lanes) + kernel.panels()) * stride;
        let blocks: Vec<Range<usize>> = (0..n).step_by(DEPTH).map(|start| start..n.min(start + DEPTH)).collect();
        let mut room = T::ROOM.take();
        if room.len() < blocks.len() * size {
            room.resize(blocks.len() * size, T::default());
        }
        let shift: Vec<T> = mean.iter().map(|&m| T::round(m)).collect();
        let jobs: Vec<_> = blocks.iter().cloned().zip(room.chunks_exact_mut(size)).collect();
        let fourth = fourth.map(|fourth| fourth.empty(fourth.centre()));
        let outcomes = in_parallel(jobs, worth_threads(n, d), |(rows, panels)| {
            pack(&kernel, rows, &shift, stride, panels, fourth.as_ref(), fill)
        });
        let depths = blocks.iter().map(Range::len).collect();
        let mut packed = Self { room, size, stride, depths, groups: Vec::new(), refused: Vec::new(), fourth };
        packed.sort(blocks, outcomes, &shift);
        packed
    }

    fn sort(&mut self, blocks: Vec<Range<usize>>, outcomes: Vec<Outcome<T>>, shift: &[T]) {
        let (mut together, mut total) = (Vec::new(), vec![0.0; shift.len()]);
        for (i, (rows, outcome)) in blocks.into_iter().zip(outcomes).enumerate() {
            let fourth = match outcome {
                Outcome::Together { sums, fourth } => {
                    together.push(i);
                    total.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
                    fourth
                }
                Outcome::Alone { shift, sums, fourth } => {
                    self.groups.push(Group::new(vec![i], rows.len(), &shift, &sums));
                    fourth
                }
                Outcome::Refused => {
                    self.refused.push(rows);
                    None
                }
            };
            if let (Some(total), Some(fourth)) = (&mut self.fourth, fourth) {
                total.join(&fourth);
            }
        }
        if !together.is_empty() {
            let rows = together.iter().map(|&i| self.depths[i]).sum();
            self.groups.push(Group::new(together, rows, shift, &total));
        }
    }

    pub(super) fn block(&self, i: usize) -> Block<'_, T> {
        Block { panels: &self.room[i * self.size..][..self.size], depth: self.depths[i], stride: self.stride }
    }
}

impl<T: Float> Drop for Packed<T> {
    fn drop(&mut self) {
        T::ROOM.set(std::mem::take(&mut self.room));
    }
}

impl Group {
    fn new<T: Float>(blocks: Vec<usize>, rows: usize, shift: &[T], sums: &[f64]) -> Self {
        let n = rows as f64;
        // The shift is about the mean, and rounded; the sum of what is left mends both.
        let mean = shift.iter().zip(sums).map(|(&c, rest)| c.into() + rest / n).collect();
        let down = sums.iter().map(|rest| rest / n.sqrt()).collect();
        Self { blocks, rows, mean, down, up: vec![0.0; sums.len()] }
    }
}

/// The mean of a few rows: near enough to that of all.
pub(crate) fn first_mean<T: Float>(n: usize, d: usize, fill: &impl Fn(usize, &mut [T])) -> Vec<f64> {
    let rows: Vec<usize> = (0..n).step_by(n.div_ceil(FEW)).collect();
    let (mut row, mut mean) = (vec![T::default(); d], vec![0.0; d]);
    for &i in &rows {
        fill(i, &mut row);
        mean.iter_mut().zip(&row).for_each(|(m, &v)| *m += v.into() / rows.len() as f64);
    }
    mean
}

/// Packs some rows as a block: about the shift, or else about their own mean, or not at all.
fn pack<T: Float>(
    kernel: &Kernel<T>,
    rows: Range<usize>,
    shift: &[T],
    stride: usize,
    panels: &mut [T],
    fourth: Option<&Fourth>,
    fill: &impl Fn(usize, &mut [T]),
) -> Outcome<T> {
    if T::STEADY && rows.len() < FEW {
        return Outcome::Refused;
    }
    let found = Deviations::pack(kernel, rows.clone(), shift, stride, panels, fourth, fill);
    match found.judge(shift) {
        Judgement::Serves => return Outcome::Together { sums: found.sums(), fourth: found.fourth },
        Judgement::Refused => return Outcome::Refused,
        Judgement::Far => {}
    }
    let own: Vec<T> = shift.iter().zip(found.sums()).map(|(&c, s)| T::round(c.into() + s / found.rows())).collect();
    let found = Deviations::pack(kernel, rows, &own, stride, panels, fourth, fill);
    match found.judge(&own) {
        // In f64 the mean of rows that hardly vary may be farther from itself, by rounding, than they are.
        Judgement::Refused => Outcome::Refused,
        Judgement::Far if T::STEADY => Outcome::Refused,
        _ => Outcome::Alone { shift: own, sums: found.sums(), fourth: found.fourth },
    }
}

enum Judgement {
    Serves,
    /// The shift is too far from the mean.
    Far,
    Refused,
}

/// What is known of the deviations of a block from its shift.
struct Deviations<T> {
    early: (usize, Vec<f64>),
    late: (usize, Vec<f64>),
    tally: Tally<T>,
    fourth: Option<Fourth>,
}

impl<T: Float> Deviations<T> {
    fn pack(
        kernel: &Kernel<T>,
        rows: Range<usize>,
        shift: &[T],
        stride: usize,
        panels: &mut [T],
        fourth: Option<&Fourth>,
        fill: &impl Fn(usize, &mut [T]),
    ) -> Self {
        let (d, mut fourth) = (shift.len(), fourth.cloned());
        let mut tally = Tally::new(d);
        let mut halves = [(0, vec![0.0; d]), (0, vec![0.0; d])];
        let mut few = vec![T::default(); ROWS_PACKED * d];
        let middle = rows.len() / 2;
        for start in rows.clone().step_by(ROWS_PACKED) {
            let count = ROWS_PACKED.min(rows.end - start);
            for (i, row) in few.chunks_exact_mut(d).take(count).enumerate() {
                fill(start + i, row);
            }
            if let Some(fourth) = &mut fourth {
                fourth.add(kernel, &few[..count * d], &[1.0; ROWS_PACKED][..count]);
            }
            let place = start - rows.start;
            let (seen, sums) = &mut halves[usize::from(place >= middle)];
            *seen += count;
            kernel.pack(&few[..count * d], shift, stride, &mut panels[place * kernel.lanes..], &mut tally, sums);
        }
        let [early, late] = halves;
        Self { early, late, tally, fourth }
    }

    fn rows(&self) -> f64 {
        (self.early.0 + self.late.0) as f64
    }

    fn sums(&self) -> Vec<f64> {
        self.early.1.iter().zip(&self.late.1).map(|(a, b)| a + b).collect()
    }

    fn judge(&self, shift: &[T]) -> Judgement {
        let (n, early, late) = (self.rows(), self.early.0.max(1) as f64, self.late.0.max(1) as f64);
        let Tally { extremes, squares, sampled, products } = &self.tally;
        let safe = |v: &T| (*v).into() == 0.0 || T::SAFE.contains(&(*v).into().abs());
        let wide = |v: &T| (*v).into();
        let mut far = false;
        for i in 0..shift.len() {
            let distance = (self.early.1[i] + self.late.1[i]) / n;
            let step = self.early.1[i] / early - self.late.1[i] / late;
            let variance = wide(&squares[i]) / n - distance * distance;
            let rounding = (ROUNDINGS * T::UNIT * wide(&shift[i])).powi(2);
            far |= distance * distance > FAR * variance + rounding;
            if T::STEADY && step * step > DRIFT * (variance - step * step / 4.0) + rounding {
                return Judgement::Refused;
            }
        }
        let together = |i: usize| wide(&products[i]).powi(2) > COMMON * wide(&sampled[i]) * wide(&sampled[i - 1]);
        if !far && T::STEADY && (1..shift.len()).any(together) || !extremes.iter().all(safe) {
            return Judgement::Refused;
        }
        if far { Judgement::Far } else { Judgement::Serves }
    }
}
