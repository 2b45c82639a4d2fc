//! Tiles by the vector instructions of x86-64.

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::mem::MaybeUninit;

use super::kernel::Kernel;
use super::loops;
use tiles::{avx2_f32, avx2_f64, avx512_f32, avx512_f64};

/// A tile by vector instructions, three panels across: accumulators that stay in registers over the whole depth. In
/// assembly, since the compiler moves accumulators about and spills them, which costs a third of the speed.
///
/// `b` names three registers for the columns, `values` those for a row's value; each row has three for its sums.
macro_rules! vector_tile {
    ($name:ident, $feature:literal, $float:ty, lanes: $lanes:literal, size: $size:literal,
     $clear:literal, $load:literal, $spread:literal, $fma:literal, $store:literal,
     b: $b0:tt $b1:tt $b2:tt, values: [$($scratch:tt)*],
     $($row:literal: $value:tt * $s0:tt $s1:tt $s2:tt;)*) => {
        /// # Safety
        /// The processor has the instructions, and `a` and `b` are as long as [`Kernel::multiply`] asks for.
        #[target_feature(enable = $feature)]
        pub(super) unsafe fn $name(
            depth: usize,
            a: &[$float],
            b: &[$float],
            stride: usize,
            ahead: &[$float],
            out: &mut [f64],
        ) {
            let mut tile = MaybeUninit::<[$float; 3 * $lanes * [$($row),*].len()]>::uninit();
            // SAFETY: `depth` steps of one packed row are read from `a` and from three panels of `b`, as the caller
            // vouches for; a prefetch may point anywhere; the stores fill the tile, whose rows are three panels long.
            let tile = unsafe {
                asm!(
                    $(concat!($clear, " ", $s0, ", ", $s0, ", ", $s0),
                      concat!($clear, " ", $s1, ", ", $s1, ", ", $s1),
                      concat!($clear, " ", $s2, ", ", $s2, ", ", $s2),)*
                    "2:",
                    "prefetcht1 [{ahead}]",
                    concat!($load, " ", $b0, ", [{b}]"),
                    concat!($load, " ", $b1, ", [{b} + {stride}]"),
                    concat!($load, " ", $b2, ", [{b} + 2 * {stride}]"),
                    $(concat!($spread, " ", $value, ", [{a} + ", $row, " * ", $size, "]"),
                      concat!($fma, " ", $s0, ", ", $value, ", ", $b0),
                      concat!($fma, " ", $s1, ", ", $value, ", ", $b1),
                      concat!($fma, " ", $s2, ", ", $value, ", ", $b2),)*
                    concat!("add {a}, ", $lanes, " * ", $size),
                    concat!("add {b}, ", $lanes, " * ", $size),
                    concat!("add {ahead}, ", $lanes, " * ", $size, " / 4"),
                    "dec {depth}",
                    "jnz 2b",
                    $(concat!($store, " [{tile} + (", $row, " * 3 + 0) * ", $lanes, " * ", $size, "], ", $s0),
                      concat!($store, " [{tile} + (", $row, " * 3 + 1) * ", $lanes, " * ", $size, "], ", $s1),
                      concat!($store, " [{tile} + (", $row, " * 3 + 2) * ", $lanes, " * ", $size, "], ", $s2),)*
                    depth = inout(reg) depth => _,
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    ahead = inout(reg) ahead.as_ptr() => _,
                    stride = in(reg) stride * $size,
                    tile = in(reg) tile.as_mut_ptr(),
                    out($b0) _, out($b1) _, out($b2) _, $(out($scratch) _,)* $(out($s0) _, out($s1) _, out($s2) _,)*
                    options(nostack)
                );
                tile.assume_init()
            };
            loops::add_widened(&tile, out);
        }
    };
}

/// Brings the values near.
fn fetch(values: &[f64]) {
    for line in values.chunks(64 / size_of::<f64>()) {
        // SAFETY: every x86-64 has the instruction, and it may point anywhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// The kernels of one precision that this processor can run, the fastest first.
macro_rules! kernels {
    ($float:ident, $avx512:ident, $avx512_lanes:literal, $avx2:ident, $avx2_lanes:literal) => {
        pub(super) fn $float() -> Vec<Kernel<$float>> {
            let mut kernels = Vec::new();
            if is_x86_feature_detected!("avx512f") {
                kernels.push(Kernel {
                    name: "AVX-512",
                    lanes: $avx512_lanes,
                    rows: 8,
                    panels: 3,
                    tile: $avx512,
                    pack: loops::pack_avx512::<$float, $avx512_lanes>,
                    settle: loops::settle_avx512,
                    fetch,
                });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.push(Kernel {
                    name: "AVX2",
                    lanes: $avx2_lanes,
                    rows: 4,
                    panels: 3,
                    tile: $avx2,
                    pack: loops::pack_avx2::<$float, $avx2_lanes>,
                    settle: loops::settle_avx2,
                    fetch,
                });
            }
            kernels
        }
    };
}

/// Eight rows of three AVX-512 registers.
macro_rules! avx512_tile {
    ($($head:tt)*) => {
        vector_tile! {
            $($head)*, b: "zmm0" "zmm1" "zmm2", values: ["zmm3" "zmm4" "zmm5" "zmm6"],
            0: "zmm3" * "zmm8" "zmm9" "zmm10";
            1: "zmm4" * "zmm11" "zmm12" "zmm13";
            2: "zmm5" * "zmm14" "zmm15" "zmm16";
            3: "zmm6" * "zmm17" "zmm18" "zmm19";
            4: "zmm3" * "zmm20" "zmm21" "zmm22";
            5: "zmm4" * "zmm23" "zmm24" "zmm25";
            6: "zmm5" * "zmm26" "zmm27" "zmm28";
            7: "zmm6" * "zmm29" "zmm30" "zmm31";
        }
    };
}

/// Four rows of three AVX registers.
macro_rules! avx2_tile {
    ($($head:tt)*) => {
        vector_tile! {
            $($head)*, b: "ymm0" "ymm1" "ymm2", values: ["ymm3"],
            0: "ymm3" * "ymm4" "ymm5" "ymm6";
            1: "ymm3" * "ymm7" "ymm8" "ymm9";
            2: "ymm3" * "ymm10" "ymm11" "ymm12";
            3: "ymm3" * "ymm13" "ymm14" "ymm15";
        }
    };
}

#[rustfmt::skip]
mod tiles {
    use super::*;

    avx512_tile!(
        avx512_f32, "avx512f", f32, lanes: 16, size: 4,
        "vpxord", "vmovups", "vbroadcastss", "vfmadd231ps", "vmovups"
    );
    avx512_tile!(
        avx512_f64, "avx512f", f64, lanes: 8, size: 8,
        "vpxorq", "vmovupd", "vbroadcastsd", "vfmadd231pd", "vmovupd"
    );
    avx2_tile!(
        avx2_f32, "avx2,fma", f32, lanes: 8, size: 4,
        "vxorps", "vmovups", "vbroadcastss", "vfmadd231ps", "vmovups"
    );
    avx2_tile!(
        avx2_f64, "avx2,fma", f64, lanes: 4, size: 8,
        "vxorpd", "vmovupd", "vbroadcastsd", "vfmadd231pd", "vmovupd"
    );
}

kernels!(f32, avx512_f32, 16, avx2_f32, 8);
kernels!(f64, avx512_f64, 8, avx2_f64, 4);
