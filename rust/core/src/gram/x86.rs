//! Tiles by the vector instructions of x86-64.

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::mem::MaybeUninit;

use super::kernel::Kernel;
use super::loops;

/// A tile by vector instructions: accumulators that stay in registers over the whole depth. In assembly, since the
/// compiler moves accumulators about and spills them, which costs a third of the speed.
///
/// For each panel a register for its columns and where they lie; for each row a register for its value, and for each
/// panel one for the sums beside that of the columns.
macro_rules! vector_tile {
    ($name:ident, $feature:literal, $float:ty, $lanes:literal x $size:literal,
     [$clear:literal $load:literal $spread:literal $fma:literal $store:literal],
     panels: $panels:literal, [$($b:tt at $place:literal),*], values: [$($scratch:tt)*],
     $($row:literal: $value:tt * [$($sum:tt by $column:tt into $panel:literal),*];)*) => {
        /// # Safety
        /// The processor has the instructions, and `a` and `b` are as long as [`Kernel::multiply`] asks for.
        #[target_feature(enable = $feature)]
        unsafe fn $name(
            depth: usize,
            a: &[$float],
            b: &[$float],
            stride: usize,
            ahead: &[$float],
            out: &mut [f64],
        ) {
            let mut tile = MaybeUninit::<[$float; $panels * $lanes * [$($row),*].len()]>::uninit();
            // SAFETY: `depth` steps of one packed row are read from `a` and from the panels of `b`, as the caller vouches
            // for; a prefetch may point anywhere; the stores fill the tile, panel beside panel in each row.
            let tile = unsafe {
                asm!(
                    $($(concat!($clear, " ", $sum, ", ", $sum, ", ", $sum),)*)*
                    "2:",
                    "prefetcht1 [{ahead}]",
                    $(concat!($load, " ", $b, ", [{b} + ", $place, "]"),)*
                    $(concat!($spread, " ", $value, ", [{a} + ", $row, " * ", $size, "]"),
                      $(concat!($fma, " ", $sum, ", ", $value, ", ", $column),)*)*
                    concat!("add {a}, ", $lanes, " * ", $size),
                    concat!("add {b}, ", $lanes, " * ", $size),
                    concat!("add {ahead}, ", $lanes, " * ", $size, " / 4"),
                    "dec {depth}",
                    "jnz 2b",
                    $($(concat!(
                        $store, " [{tile} + (", $row, " * ", $panels, " + ", $panel, ") * ", $lanes, " * ", $size, "], ", $sum
                    ),)*)*
                    "/* {stride} serves tiles of several panels */",
                    depth = inout(reg) depth => _,
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    ahead = inout(reg) ahead.as_ptr() => _,
                    stride = in(reg) stride * $size,
                    tile = in(reg) tile.as_mut_ptr(),
                    $(out($b) _,)* $(out($scratch) _,)* $($(out($sum) _,)*)*
                    options(nostack)
                );
                tile.assume_init()
            };
            loops::add_widened(&tile, out);
        }
    };
}

/// Brings what lies at the address near, to be written to.
#[inline(always)]
pub(super) fn claim<T>(address: *const T) {
    // SAFETY: every processor with AVX2 has the instruction, which may point anywhere. (The intrinsic forgets the writing.)
    unsafe { asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly)) };
}

/// Brings the values near.
fn fetch(values: &[f64]) {
    for line in values.chunks(64 / size_of::<f64>()) {
        // SAFETY: every x86-64 has the instruction, and it may point anywhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// Eight rows of one, two or three AVX-512 registers.
macro_rules! avx512_tile {
    (1, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 1, ["zmm0" at "0"], values: ["zmm3" "zmm4" "zmm5" "zmm6"],
            0: "zmm3" * ["zmm8" by "zmm0" into 0];
            1: "zmm4" * ["zmm11" by "zmm0" into 0];
            2: "zmm5" * ["zmm14" by "zmm0" into 0];
            3: "zmm6" * ["zmm17" by "zmm0" into 0];
            4: "zmm3" * ["zmm20" by "zmm0" into 0];
            5: "zmm4" * ["zmm23" by "zmm0" into 0];
            6: "zmm5" * ["zmm26" by "zmm0" into 0];
            7: "zmm6" * ["zmm29" by "zmm0" into 0];
        }
    };
    (2, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 2, ["zmm0" at "0", "zmm1" at "{stride}"], values: ["zmm3" "zmm4" "zmm5" "zmm6"],
            0: "zmm3" * ["zmm8" by "zmm0" into 0, "zmm9" by "zmm1" into 1];
            1: "zmm4" * ["zmm11" by "zmm0" into 0, "zmm12" by "zmm1" into 1];
            2: "zmm5" * ["zmm14" by "zmm0" into 0, "zmm15" by "zmm1" into 1];
            3: "zmm6" * ["zmm17" by "zmm0" into 0, "zmm18" by "zmm1" into 1];
            4: "zmm3" * ["zmm20" by "zmm0" into 0, "zmm21" by "zmm1" into 1];
            5: "zmm4" * ["zmm23" by "zmm0" into 0, "zmm24" by "zmm1" into 1];
            6: "zmm5" * ["zmm26" by "zmm0" into 0, "zmm27" by "zmm1" into 1];
            7: "zmm6" * ["zmm29" by "zmm0" into 0, "zmm30" by "zmm1" into 1];
        }
    };
    (3, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 3, ["zmm0" at "0", "zmm1" at "{stride}", "zmm2" at "2 * {stride}"], values: ["zmm3" "zmm4" "zmm5" "zmm6"],
            0: "zmm3" * ["zmm8" by "zmm0" into 0, "zmm9" by "zmm1" into 1, "zmm10" by "zmm2" into 2];
            1: "zmm4" * ["zmm11" by "zmm0" into 0, "zmm12" by "zmm1" into 1, "zmm13" by "zmm2" into 2];
            2: "zmm5" * ["zmm14" by "zmm0" into 0, "zmm15" by "zmm1" into 1, "zmm16" by "zmm2" into 2];
            3: "zmm6" * ["zmm17" by "zmm0" into 0, "zmm18" by "zmm1" into 1, "zmm19" by "zmm2" into 2];
            4: "zmm3" * ["zmm20" by "zmm0" into 0, "zmm21" by "zmm1" into 1, "zmm22" by "zmm2" into 2];
            5: "zmm4" * ["zmm23" by "zmm0" into 0, "zmm24" by "zmm1" into 1, "zmm25" by "zmm2" into 2];
            6: "zmm5" * ["zmm26" by "zmm0" into 0, "zmm27" by "zmm1" into 1, "zmm28" by "zmm2" into 2];
            7: "zmm6" * ["zmm29" by "zmm0" into 0, "zmm30" by "zmm1" into 1, "zmm31" by "zmm2" into 2];
        }
    };
}

/// Four rows of one, two or three AVX registers.
macro_rules! avx2_tile {
    (1, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 1, ["ymm0" at "0"], values: ["ymm3"],
            0: "ymm3" * ["ymm4" by "ymm0" into 0];
            1: "ymm3" * ["ymm7" by "ymm0" into 0];
            2: "ymm3" * ["ymm10" by "ymm0" into 0];
            3: "ymm3" * ["ymm13" by "ymm0" into 0];
        }
    };
    (2, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 2, ["ymm0" at "0", "ymm1" at "{stride}"], values: ["ymm3"],
            0: "ymm3" * ["ymm4" by "ymm0" into 0, "ymm5" by "ymm1" into 1];
            1: "ymm3" * ["ymm7" by "ymm0" into 0, "ymm8" by "ymm1" into 1];
            2: "ymm3" * ["ymm10" by "ymm0" into 0, "ymm11" by "ymm1" into 1];
            3: "ymm3" * ["ymm13" by "ymm0" into 0, "ymm14" by "ymm1" into 1];
        }
    };
    (3, $($head:tt)*) => {
        vector_tile! {
            $($head)*, panels: 3, ["ymm0" at "0", "ymm1" at "{stride}", "ymm2" at "2 * {stride}"], values: ["ymm3"],
            0: "ymm3" * ["ymm4" by "ymm0" into 0, "ymm5" by "ymm1" into 1, "ymm6" by "ymm2" into 2];
            1: "ymm3" * ["ymm7" by "ymm0" into 0, "ymm8" by "ymm1" into 1, "ymm9" by "ymm2" into 2];
            2: "ymm3" * ["ymm10" by "ymm0" into 0, "ymm11" by "ymm1" into 1, "ymm12" by "ymm2" into 2];
            3: "ymm3" * ["ymm13" by "ymm0" into 0, "ymm14" by "ymm1" into 1, "ymm15" by "ymm2" into 2];
        }
    };
}

/// The three tiles of an instruction set, and the kernel that they make.
macro_rules! kernel {
    ($function:ident, $name:literal, $feature:literal, $float:ty, $lanes:literal x $size:literal, rows: $rows:literal,
     $tile:ident $instructions:tt, $pack:ident, $settle:ident, $cube:ident) => {
        fn $function() -> Kernel<$float> {
            $tile!(1, one, $feature, $float, $lanes x $size, $instructions);
            $tile!(2, two, $feature, $float, $lanes x $size, $instructions);
            $tile!(3, three, $feature, $float, $lanes x $size, $instructions);
            Kernel {
                name: $name,
                lanes: $lanes,
                rows: $rows,
                tiles: &[one, two, three],
                pack: loops::$pack::<$float, $lanes>,
                settle: loops::$settle,
                cube: loops::$cube::<$float>,
                fetch,
            }
        }
    };
}

kernel!(
    avx512_f32, "AVX-512", "avx512f", f32, 16 x 4, rows: 8,
    avx512_tile ["vpxord" "vmovups" "vbroadcastss" "vfmadd231ps" "vmovups"], pack_avx512, settle_avx512, cube_avx512
);
kernel!(
    avx512_f64, "AVX-512", "avx512f", f64, 8 x 8, rows: 8,
    avx512_tile ["vpxorq" "vmovupd" "vbroadcastsd" "vfmadd231pd" "vmovupd"], pack_avx512, settle_avx512, cube_avx512
);
kernel!(
    avx2_f32, "AVX2", "avx2,fma", f32, 8 x 4, rows: 4,
    avx2_tile ["vxorps" "vmovups" "vbroadcastss" "vfmadd231ps" "vmovups"], pack_avx2, settle_avx2, cube_avx2
);
kernel!(
    avx2_f64, "AVX2", "avx2,fma", f64, 4 x 8, rows: 4,
    avx2_tile ["vxorpd" "vmovupd" "vbroadcastsd" "vfmadd231pd" "vmovupd"], pack_avx2, settle_avx2, cube_avx2
);

/// Those of the two that this processor can run, the fastest first.
fn available<T>(avx512: fn() -> Kernel<T>, avx2: fn() -> Kernel<T>) -> Vec<Kernel<T>> {
    let has_avx512 = is_x86_feature_detected!("avx512f");
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    has_avx512.then(avx512).into_iter().chain(has_avx2.then(avx2)).collect()
}

/// The kernels in single precision.
pub(super) fn f32() -> Vec<Kernel<f32>> {
    available(avx512_f32, avx2_f32)
}

/// The kernels in double precision.
pub(super) fn f64() -> Vec<Kernel<f64>> {
    available(avx512_f64, avx2_f64)
}
