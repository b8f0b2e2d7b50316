//! Single NEON instructions, each with a portable model.
//!
//! On AArch64 every function is the one or two instructions that its documentation names; elsewhere it is plain Rust
//! with the same result on every input, so that the kernels above run under property tests and address checks on any
//! host. Sums wrap unless they are named saturating.

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::*;

/// 16 bytes.
#[cfg(target_arch = "aarch64")]
pub(super) type I8x16 = int8x16_t;
/// 8 halfwords.
#[cfg(target_arch = "aarch64")]
pub(super) type I16x8 = int16x8_t;
/// 4 words.
#[cfg(target_arch = "aarch64")]
pub(super) type I32x4 = int32x4_t;

/// 16 bytes.
#[cfg(not(target_arch = "aarch64"))]
pub(super) type I8x16 = [i8; 16];
/// 8 halfwords.
#[cfg(not(target_arch = "aarch64"))]
pub(super) type I16x8 = [i16; 8];
/// 4 words.
#[cfg(not(target_arch = "aarch64"))]
pub(super) type I32x4 = [i32; 4];

/// Defines one function on registers: its NEON intrinsics, and its model.
macro_rules! lane {
    ($(#[$doc:meta])* fn $name:ident($($x:ident: $type:ty),+) -> $out:ty = $neon:expr, $model:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($x: $type),+) -> $out {
            #[cfg(target_arch = "aarch64")]
            {
                // SAFETY: every AArch64 core that Rust builds for has NEON, and the operands are registers.
                #[allow(unused_unsafe)]
                unsafe { $neon }
            }
            #[cfg(not(target_arch = "aarch64"))]
            {
                $model
            }
        }
    };
}

#[cfg(not(target_arch = "aarch64"))]
fn products(a: &[i8], b: &[i8]) -> I16x8 {
    core::array::from_fn(|i| i16::from(a[i]) * i16::from(b[i]))
}

lane! {
    /// The word in all lanes (DUP).
    fn splat32(x: i32) -> I32x4 = vdupq_n_s32(x), [x; 4]
}

lane! {
    /// The halfword in all lanes (DUP).
    fn splat16(x: i16) -> I16x8 = vdupq_n_s16(x), [x; 8]
}

lane! {
    /// The byte in all lanes (DUP).
    fn splat8(x: i8) -> I8x16 = vdupq_n_s8(x), [x; 16]
}

lane! {
    /// Products of bytes 0 to 7 (SMULL).
    fn mul_low(a: I8x16, b: I8x16) -> I16x8 = vmull_s8(vget_low_s8(a), vget_low_s8(b)), products(&a[..8], &b[..8])
}

lane! {
    /// Products of bytes 8 to 15 (SMULL2).
    fn mul_high(a: I8x16, b: I8x16) -> I16x8 = vmull_high_s8(a, b), products(&a[8..], &b[8..])
}

lane! {
    /// acc[i] + x[2·i] + x[2·i + 1] (SADALP).
    fn add_pairs(acc: I32x4, x: I16x8) -> I32x4 = vpadalq_s16(acc, x),
    core::array::from_fn(|i| acc[i].wrapping_add(i32::from(x[2 * i]) + i32::from(x[2 * i + 1])))
}

lane! {
    /// Bytes 0 to 7 as halfwords (SXTL).
    fn widen_low(x: I8x16) -> I16x8 = vmovl_s8(vget_low_s8(x)), core::array::from_fn(|i| x[i].into())
}

lane! {
    /// Bytes 8 to 15 as halfwords (SXTL2).
    fn widen_high(x: I8x16) -> I16x8 = vmovl_high_s8(x), core::array::from_fn(|i| x[i + 8].into())
}

lane! {
    /// [a₀ + a₁, a₂ + a₃, b₀ + b₁, b₂ + b₃] (ADDP).
    fn pairs(a: I32x4, b: I32x4) -> I32x4 = vpaddq_s32(a, b),
    [a[0].wrapping_add(a[1]), a[2].wrapping_add(a[3]), b[0].wrapping_add(b[1]), b[2].wrapping_add(b[3])]
}

lane! {
    /// [x₀, 0, x₁, 0] (ZIP1).
    fn spread_low(x: I32x4) -> I32x4 = vzip1q_s32(x, vdupq_n_s32(0)), [x[0], 0, x[1], 0]
}

lane! {
    /// [x₂, 0, x₃, 0] (ZIP2).
    fn spread_high(x: I32x4) -> I32x4 = vzip2q_s32(x, vdupq_n_s32(0)), [x[2], 0, x[3], 0]
}

lane! {
    /// acc + x · m (MLA), modulo 2³².
    fn mul_add32(acc: I32x4, x: I32x4, m: I32x4) -> I32x4 = vmlaq_s32(acc, x, m),
    core::array::from_fn(|i| acc[i].wrapping_add(x[i].wrapping_mul(m[i])))
}

lane! {
    /// Halfwords 0 to 3 as words (SXTL).
    fn words_low(x: I16x8) -> I32x4 = vmovl_s16(vget_low_s16(x)), core::array::from_fn(|i| x[i].into())
}

lane! {
    /// Halfwords 4 to 7 as words (SXTL2).
    fn words_high(x: I16x8) -> I32x4 = vmovl_high_s16(x), core::array::from_fn(|i| x[i + 4].into())
}

lane! {
    /// sat32(xᵢ · 2ⁿⁱ) for n in 0..=31 (SQSHL).
    fn shift_left_saturating(x: I32x4, n: I32x4) -> I32x4 = vqshlq_s32(x, n),
    core::array::from_fn(|i| crate::requantize::shift_left_saturating(x[i], n[i] as u8))
}

lane! {
    /// (xᵢ · mᵢ) >> 31 of the exact product, for m ≥ 0 (SQDMULH).
    fn mul_high_doubled(x: I32x4, m: I32x4) -> I32x4 = vqdmulhq_s32(x, m),
    core::array::from_fn(|i| ((i64::from(x[i]) * i64::from(m[i])) >> 31) as i32)
}

lane! {
    /// xᵢ · 2ⁿⁱ, rounded half up, for n in −31..=−1; only the low byte of nᵢ counts (SRSHL).
    fn shift_rounding(x: I32x4, n: I32x4) -> I32x4 = vrshlq_s32(x, n),
    core::array::from_fn(|i| {
        let right = -i32::from(n[i] as i8);
        ((i64::from(x[i]) + (1 << (right - 1))) >> right) as i32
    })
}

lane! {
    /// xᵢ >> nᵢ, rounded down, for −n in −31..=0; only the low byte of nᵢ counts (SSHL).
    fn shift_down(x: I32x4, n: I32x4) -> I32x4 = vshlq_s32(x, n), core::array::from_fn(|i| x[i] >> -(n[i] as i8))
}

lane! {
    /// Every bit inverted (MVN).
    fn invert(x: I32x4) -> I32x4 = vmvnq_s32(x), x.map(|x| !x)
}

lane! {
    /// Each word's bytes 1 to 3 (USHR by 8).
    fn upper_bytes(x: I32x4) -> I32x4 = vreinterpretq_s32_u32(vshrq_n_u32::<8>(vreinterpretq_u32_s32(x))),
    x.map(|x| (x as u32 >> 8) as i32)
}

lane! {
    /// The words of a and of b, saturated to halfwords (SQXTN, SQXTN2).
    fn narrow16(a: I32x4, b: I32x4) -> I16x8 = vqmovn_high_s32(vqmovn_s32(a), b),
    core::array::from_fn(|i| if i < 4 { a[i] } else { b[i - 4] }.clamp(i16::MIN.into(), i16::MAX.into()) as i16)
}

lane! {
    /// sat16(a + b) (SQADD).
    fn add16_saturating(a: I16x8, b: I16x8) -> I16x8 = vqaddq_s16(a, b),
    core::array::from_fn(|i| a[i].saturating_add(b[i]))
}

lane! {
    /// The halfwords of a and of b, saturated to bytes (SQXTN, SQXTN2).
    fn narrow8(a: I16x8, b: I16x8) -> I8x16 = vqmovn_high_s16(vqmovn_s16(a), b),
    core::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] }.clamp(i8::MIN.into(), i8::MAX.into()) as i8)
}

lane! {
    /// The larger of each pair of bytes (SMAX).
    fn max8(a: I8x16, b: I8x16) -> I8x16 = vmaxq_s8(a, b), core::array::from_fn(|i| a[i].max(b[i]))
}

lane! {
    /// The smaller of each pair of bytes (SMIN).
    fn min8(a: I8x16, b: I8x16) -> I8x16 = vminq_s8(a, b), core::array::from_fn(|i| a[i].min(b[i]))
}

lane! {
    /// Bytes 0 to 7 of a and of b by turns (ZIP1).
    fn zip_low(a: I8x16, b: I8x16) -> I8x16 = vzip1q_s8(a, b),
    core::array::from_fn(|i| if i % 2 == 0 { a[i / 2] } else { b[i / 2] })
}

lane! {
    /// Bytes 8 to 15 of a and of b by turns (ZIP2).
    fn zip_high(a: I8x16, b: I8x16) -> I8x16 = vzip2q_s8(a, b),
    core::array::from_fn(|i| if i % 2 == 0 { a[8 + i / 2] } else { b[8 + i / 2] })
}

lane! {
    /// Halfwords 0 to 3 of a and of b by turns (ZIP1).
    fn zip_pairs_low(a: I8x16, b: I8x16) -> I8x16 = vreinterpretq_s8_s16(vzip1q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b))),
    core::array::from_fn(|i| if i % 4 < 2 { a[i / 4 * 2 + i % 2] } else { b[i / 4 * 2 + i % 2] })
}

lane! {
    /// Halfwords 4 to 7 of a and of b by turns (ZIP2).
    fn zip_pairs_high(a: I8x16, b: I8x16) -> I8x16 = vreinterpretq_s8_s16(vzip2q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b))),
    core::array::from_fn(|i| if i % 4 < 2 { a[8 + i / 4 * 2 + i % 2] } else { b[8 + i / 4 * 2 + i % 2] })
}
