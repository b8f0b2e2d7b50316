//! Single NEON instructions, each with a portable model.
//!
//! On AArch64 every function is the one or two instructions that its documentation names; elsewhere it is plain Rust
//! with the same result on every input, so that the kernels above run under property tests and address checks on any
//! host. Sums wrap unless they are named saturating.

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::*;

use crate::format::ChannelRecord;

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

#[cfg(not(target_arch = "aarch64"))]
fn sums(a: I16x8, b: I16x8) -> I16x8 {
    core::array::from_fn(|i| a[i].wrapping_add(b[i]))
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

/// sum + products of bytes 0 to 7 (SMLAL).
#[cfg(not(target_arch = "aarch64"))]
fn mul_add_low(sum: I16x8, a: I8x16, b: I8x16) -> I16x8 {
    sums(sum, mul_low(a, b))
}

/// sum + products of bytes 8 to 15 (SMLAL2).
#[cfg(not(target_arch = "aarch64"))]
fn mul_add_high(sum: I16x8, a: I8x16, b: I8x16) -> I16x8 {
    sums(sum, mul_high(a, b))
}

lane! {
    /// acc[i] + x[2·i] + x[2·i + 1] (SADALP).
    fn add_pairs(acc: I32x4, x: I16x8) -> I32x4 = vpadalq_s16(acc, x),
    core::array::from_fn(|i| acc[i].wrapping_add(i32::from(x[2 * i]) + i32::from(x[2 * i + 1])))
}

/// acc + halfwords 0 to 3 (SADDW).
#[cfg(not(target_arch = "aarch64"))]
fn add_low(acc: I32x4, x: I16x8) -> I32x4 {
    core::array::from_fn(|i| acc[i].wrapping_add(x[i].into()))
}

/// acc + halfwords 4 to 7 (SADDW2).
#[cfg(not(target_arch = "aarch64"))]
fn add_high(acc: I32x4, x: I16x8) -> I32x4 {
    core::array::from_fn(|i| acc[i].wrapping_add(x[i + 4].into()))
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

/// Two k blocks of a block of four rows: `acc[0]` takes the rows 0 and 1, two sums each, `acc[1]` the rows 2 and 3. Products
/// of the two are added in 16 bits (SMULL, SMLAL), pairs of these sums in 32 (SADALP).
///
/// One block of assembly, since a compiled loop over its intrinsics spills.
#[inline(always)]
pub(super) fn multiply_rows(acc: &mut [I32x4; 2], w: [I8x16; 2], x: [I8x16; 2]) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w0:v}.8b, {x0:v}.8b",
            "smull2 {high:v}.8h, {w0:v}.16b, {x0:v}.16b",
            "smlal {low:v}.8h, {w1:v}.8b, {x1:v}.8b",
            "smlal2 {high:v}.8h, {w1:v}.16b, {x1:v}.16b",
            "sadalp {acc0:v}.4s, {low:v}.8h",
            "sadalp {acc1:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            w0 = in(vreg) w[0],
            w1 = in(vreg) w[1],
            x0 = in(vreg) x[0],
            x1 = in(vreg) x[1],
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        acc[0] = add_pairs(acc[0], mul_add_low(mul_low(w[0], x[0]), w[1], x[1]));
        acc[1] = add_pairs(acc[1], mul_add_high(mul_high(w[0], x[0]), w[1], x[1]));
    }
}

/// Four k blocks of two blocks of four rows: what [`multiply_rows`] does for two k blocks of one. The activations are four
/// words at `from`, each in all lanes (LD4R); returns the place behind them.
///
/// One block of assembly with registers of its own, since the sums of four pixels and the weights fill all others.
///
/// # Safety
/// `from` is valid for reads of 16 bytes.
#[inline(always)]
pub(super) unsafe fn multiply_rows_twice(
    acc: [&mut [I32x4; 2]; 2],
    w: [[I8x16; 4]; 2],
    from: *const i8,
) -> *const i8 {
    let mut from = from;
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a load that the caller promised is valid, and instructions on registers that every AArch64 core has.
    unsafe {
        let [a, b] = acc;
        core::arch::asm!(
            "ld4r {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #16",
            "smull v4.8h, {a0:v}.8b, v0.8b",
            "smull2 v5.8h, {a0:v}.16b, v0.16b",
            "smull v6.8h, {b0:v}.8b, v0.8b",
            "smull2 v7.8h, {b0:v}.16b, v0.16b",
            "smlal v4.8h, {a1:v}.8b, v1.8b",
            "smlal2 v5.8h, {a1:v}.16b, v1.16b",
            "smlal v6.8h, {b1:v}.8b, v1.8b",
            "smlal2 v7.8h, {b1:v}.16b, v1.16b",
            "sadalp {acc0:v}.4s, v4.8h",
            "sadalp {acc1:v}.4s, v5.8h",
            "sadalp {acc2:v}.4s, v6.8h",
            "sadalp {acc3:v}.4s, v7.8h",
            "smull v4.8h, {a2:v}.8b, v2.8b",
            "smull2 v5.8h, {a2:v}.16b, v2.16b",
            "smull v6.8h, {b2:v}.8b, v2.8b",
            "smull2 v7.8h, {b2:v}.16b, v2.16b",
            "smlal v4.8h, {a3:v}.8b, v3.8b",
            "smlal2 v5.8h, {a3:v}.16b, v3.16b",
            "smlal v6.8h, {b3:v}.8b, v3.8b",
            "smlal2 v7.8h, {b3:v}.16b, v3.16b",
            "sadalp {acc0:v}.4s, v4.8h",
            "sadalp {acc1:v}.4s, v5.8h",
            "sadalp {acc2:v}.4s, v6.8h",
            "sadalp {acc3:v}.4s, v7.8h",
            from = inout(reg) from,
            acc0 = inout(vreg) a[0],
            acc1 = inout(vreg) a[1],
            acc2 = inout(vreg) b[0],
            acc3 = inout(vreg) b[1],
            a0 = in(vreg) w[0][0],
            a1 = in(vreg) w[0][1],
            a2 = in(vreg) w[0][2],
            a3 = in(vreg) w[0][3],
            b0 = in(vreg) w[1][0],
            b1 = in(vreg) w[1][1],
            b2 = in(vreg) w[1][2],
            b3 = in(vreg) w[1][3],
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        for (acc, w) in acc.into_iter().zip(w) {
            for half in [0, 2] {
                // SAFETY: 16 bytes are twice 8.
                let x = unsafe { load_two_words(from.add(4 * half)) };
                multiply_rows(acc, [w[half], w[half + 1]], x);
            }
        }
        from = from.wrapping_add(16);
    }
    from
}

/// Two taps of sixteen channels, four a register: products of the two are added in 16 bits (SMULL, SMLAL), and these sums
/// in 32 (SADDW).
///
/// One block of assembly, since the compiler splits the weights into halves of registers that it lacks.
#[inline(always)]
pub(super) fn multiply_taps(acc: &mut [I32x4; 4], w: [I8x16; 2], x: [I8x16; 2]) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w0:v}.8b, {x0:v}.8b",
            "smull2 {high:v}.8h, {w0:v}.16b, {x0:v}.16b",
            "smlal {low:v}.8h, {w1:v}.8b, {x1:v}.8b",
            "smlal2 {high:v}.8h, {w1:v}.16b, {x1:v}.16b",
            "saddw {acc0:v}.4s, {acc0:v}.4s, {low:v}.4h",
            "saddw2 {acc1:v}.4s, {acc1:v}.4s, {low:v}.8h",
            "saddw {acc2:v}.4s, {acc2:v}.4s, {high:v}.4h",
            "saddw2 {acc3:v}.4s, {acc3:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            acc2 = inlateout(vreg) acc[2],
            acc3 = inlateout(vreg) acc[3],
            w0 = in(vreg) w[0],
            w1 = in(vreg) w[1],
            x0 = in(vreg) x[0],
            x1 = in(vreg) x[1],
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let low = mul_add_low(mul_low(w[0], x[0]), w[1], x[1]);
        let high = mul_add_high(mul_high(w[0], x[0]), w[1], x[1]);
        *acc = [add_low(acc[0], low), add_high(acc[1], low), add_low(acc[2], high), add_high(acc[3], high)];
    }
}

/// One tap of sixteen channels, four a register (SMULL, SADDW).
#[inline(always)]
pub(super) fn multiply_tap(acc: &mut [I32x4; 4], w: I8x16, x: I8x16) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w:v}.8b, {x:v}.8b",
            "smull2 {high:v}.8h, {w:v}.16b, {x:v}.16b",
            "saddw {acc0:v}.4s, {acc0:v}.4s, {low:v}.4h",
            "saddw2 {acc1:v}.4s, {acc1:v}.4s, {low:v}.8h",
            "saddw {acc2:v}.4s, {acc2:v}.4s, {high:v}.4h",
            "saddw2 {acc3:v}.4s, {acc3:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            acc2 = inlateout(vreg) acc[2],
            acc3 = inlateout(vreg) acc[3],
            w = in(vreg) w,
            x = in(vreg) x,
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let (low, high) = (mul_low(w, x), mul_high(w, x));
        *acc = [add_low(acc[0], low), add_high(acc[1], low), add_low(acc[2], high), add_high(acc[3], high)];
    }
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

/// acc[i] + Σⱼ w[4·i + j] · x[4·LANE + j] for j in 0..4 (SDOT by element).
///
/// # Safety
/// The core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot_lane<const LANE: usize>(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut acc = acc;
        // SAFETY: one instruction on registers, which the core has by the caller's promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
                acc = inlateout(vreg) acc,
                w = in(vreg) w,
                x = in(vreg) x,
                lane = const LANE,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let word: [i8; 4] = core::array::from_fn(|j| x[4 * LANE + j]);
        dot_words(acc, w, core::array::from_fn(|i| word[i % 4]))
    }
}

/// acc[i] + Σⱼ w[4·i + j] · x[4·i + j] for j in 0..4 (SDOT).
///
/// # Safety
/// The core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut acc = acc;
        // SAFETY: one instruction on registers, which the core has by the caller's promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.16b",
                acc = inlateout(vreg) acc,
                w = in(vreg) w,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        dot_words(acc, w, x)
    }
}

/// Four k blocks of a block of four rows, whose weights are the 64 bytes at `from`, times four words of each of four
/// pixels: `acc[pixel]` takes the four rows (SDOT by element). Returns the place behind the weights.
///
/// One block of assembly, since a compiled loop loads more weights at once than registers are left.
///
/// # Safety
/// `from` is valid for reads of 64 bytes; the core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot_rows(acc: [&mut I32x4; 4], from: *const i8, x: &[I8x16; 4]) -> *const i8 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut from = from;
        let [a, b, c, d] = acc;
        // SAFETY: loads that the caller promised are valid, and instructions that the core has by the same promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "ldp {w0:q}, {w1:q}, [{from}], #32",
                "ldp {w2:q}, {w3:q}, [{from}], #32",
                "sdot {a:v}.4s, {w0:v}.16b, {x0:v}.4b[0]",
                "sdot {b:v}.4s, {w0:v}.16b, {x1:v}.4b[0]",
                "sdot {c:v}.4s, {w0:v}.16b, {x2:v}.4b[0]",
                "sdot {d:v}.4s, {w0:v}.16b, {x3:v}.4b[0]",
                "sdot {a:v}.4s, {w1:v}.16b, {x0:v}.4b[1]",
                "sdot {b:v}.4s, {w1:v}.16b, {x1:v}.4b[1]",
                "sdot {c:v}.4s, {w1:v}.16b, {x2:v}.4b[1]",
                "sdot {d:v}.4s, {w1:v}.16b, {x3:v}.4b[1]",
                "sdot {a:v}.4s, {w2:v}.16b, {x0:v}.4b[2]",
                "sdot {b:v}.4s, {w2:v}.16b, {x1:v}.4b[2]",
                "sdot {c:v}.4s, {w2:v}.16b, {x2:v}.4b[2]",
                "sdot {d:v}.4s, {w2:v}.16b, {x3:v}.4b[2]",
                "sdot {a:v}.4s, {w3:v}.16b, {x0:v}.4b[3]",
                "sdot {b:v}.4s, {w3:v}.16b, {x1:v}.4b[3]",
                "sdot {c:v}.4s, {w3:v}.16b, {x2:v}.4b[3]",
                "sdot {d:v}.4s, {w3:v}.16b, {x3:v}.4b[3]",
                from = inout(reg) from,
                a = inout(vreg) *a,
                b = inout(vreg) *b,
                c = inout(vreg) *c,
                d = inout(vreg) *d,
                x0 = in(vreg) x[0],
                x1 = in(vreg) x[1],
                x2 = in(vreg) x[2],
                x3 = in(vreg) x[3],
                w0 = out(vreg) _,
                w1 = out(vreg) _,
                w2 = out(vreg) _,
                w3 = out(vreg) _,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        from
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        for (acc, &x) in acc.into_iter().zip(x) {
            // SAFETY: the caller's promise.
            unsafe {
                *acc = dot_lane::<0>(*acc, load(from), x);
                *acc = dot_lane::<1>(*acc, load(from.add(16)), x);
                *acc = dot_lane::<2>(*acc, load(from.add(32)), x);
                *acc = dot_lane::<3>(*acc, load(from.add(48)), x);
            }
        }
        from.wrapping_add(64)
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn dot_words(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    let product = |i: usize| i32::from(w[i]) * i32::from(x[i]);
    core::array::from_fn(|i| (0..4).fold(acc[i], |sum, j| sum.wrapping_add(product(4 * i + j))))
}

/// The 16 bytes at `from` (LDR).
///
/// # Safety
/// `from` is valid for reads of 16 bytes.
#[inline(always)]
pub(super) unsafe fn load(from: *const i8) -> I8x16 {
    // SAFETY: the caller's promise; neither way asks for alignment.
    #[cfg(target_arch = "aarch64")]
    return unsafe { vld1q_s8(from) };
    // SAFETY: as above.
    #[cfg(not(target_arch = "aarch64"))]
    return unsafe { from.cast::<I8x16>().read_unaligned() };
}

/// The 8 bytes at `from`, and zeros (LDR).
///
/// # Safety
/// `from` is valid for reads of 8 bytes.
#[inline(always)]
pub(super) unsafe fn load_half(from: *const i8) -> I8x16 {
    // SAFETY: the caller's promise; neither way asks for alignment.
    #[cfg(target_arch = "aarch64")]
    return unsafe { vcombine_s8(vld1_s8(from), vdup_n_s8(0)) };
    #[cfg(not(target_arch = "aarch64"))]
    {
        // SAFETY: as above.
        let half = unsafe { from.cast::<[i8; 8]>().read_unaligned() };
        core::array::from_fn(|i| if i < 8 { half[i] } else { 0 })
    }
}

/// The 4 bytes at `from`, four times (LD1R).
///
/// # Safety
/// `from` is valid for reads of 4 bytes.
#[inline(always)]
pub(super) unsafe fn load_word(from: *const i8) -> I8x16 {
    // SAFETY: the caller's promise; the instruction asks for no alignment.
    #[cfg(target_arch = "aarch64")]
    return unsafe { vreinterpretq_s8_s32(vld1q_dup_s32(from.cast())) };
    #[cfg(not(target_arch = "aarch64"))]
    {
        // SAFETY: as above.
        let word = unsafe { from.cast::<[i8; 4]>().read_unaligned() };
        core::array::from_fn(|i| word[i % 4])
    }
}

/// The 4 bytes at `from`, four times, and the next four likewise (LD2R).
///
/// # Safety
/// `from` is valid for reads of 8 bytes.
#[inline(always)]
pub(super) unsafe fn load_two_words(from: *const i8) -> [I8x16; 2] {
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        let two = unsafe { vld2q_dup_s32(from.cast()) };
        // SAFETY: operands are registers, and the core has NEON.
        #[allow(unused_unsafe)]
        unsafe {
            [vreinterpretq_s8_s32(two.0), vreinterpretq_s8_s32(two.1)]
        }
    }
    // SAFETY: 8 bytes are twice 4.
    #[cfg(not(target_arch = "aarch64"))]
    return unsafe { [load_word(from), load_word(from.add(4))] };
}

/// The words of four channel records: biases, multipliers, offsets, and shift, left shift and zeros in bytes (LD4).
///
/// # Safety
/// `from` is valid for reads of four records.
#[inline(always)]
pub(super) unsafe fn load_channels(from: *const ChannelRecord) -> [I32x4; 4] {
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: four records are 64 bytes, valid by the caller's promise.
        let four = unsafe { vld4q_s32(from.cast()) };
        [four.0, four.1, four.2, four.3]
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        // SAFETY: as above.
        let four = unsafe { from.cast::<[[i32; 4]; 4]>().read_unaligned() };
        core::array::from_fn(|word| core::array::from_fn(|channel| four[channel][word]))
    }
}

/// Writes all 16 bytes (STR).
///
/// # Safety
/// `to` is valid for writes of 16 bytes.
#[inline(always)]
pub(super) unsafe fn store(to: *mut i8, x: I8x16) {
    // SAFETY: the caller's promise; neither way asks for alignment.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        vst1q_s8(to, x);
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "aarch64"))]
    unsafe {
        to.cast::<I8x16>().write_unaligned(x);
    }
}

/// Writes bytes 8·`HALF` to 8·`HALF` + 7 (STR, or ST1 of a lane).
///
/// # Safety
/// `to` is valid for writes of 8 bytes.
#[inline(always)]
pub(super) unsafe fn store_half<const HALF: usize>(to: *mut i8, x: I8x16) {
    // SAFETY: the caller's promise; neither way asks for alignment.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        vst1_s8(to, if HALF == 0 { vget_low_s8(x) } else { vget_high_s8(x) });
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "aarch64"))]
    unsafe {
        to.cast::<[i8; 8]>().write_unaligned(core::array::from_fn(|i| x[8 * HALF + i]));
    }
}

/// Writes bytes 4·`WORD` to 4·`WORD` + 3 (ST1 of a lane).
///
/// # Safety
/// `to` is valid for writes of 4 bytes.
#[inline(always)]
pub(super) unsafe fn store_word<const WORD: i32>(to: *mut i8, x: I8x16) {
    // SAFETY: the caller's promise; neither way asks for alignment.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        vst1q_lane_s32::<WORD>(to.cast(), vreinterpretq_s32_s8(x));
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "aarch64"))]
    unsafe {
        to.cast::<[i8; 4]>().write_unaligned(core::array::from_fn(|i| x[4 * WORD as usize + i]));
    }
}

/// `pointer`, of which the compiler knows only now, with `after`, what it is: what is loaded from there is not loaded
/// before.
#[inline(always)]
pub(super) fn only_after<T>(after: I32x4, pointer: *const T) -> *const T {
    #[cfg(target_arch = "aarch64")]
    {
        let mut pointer = pointer;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!(
                "/* {pointer} {after:v} */",
                pointer = inout(reg) pointer,
                after = in(vreg) after,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        pointer
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let _ = after;
        pointer
    }
}

/// `number`, of which the compiler knows only here what it is: a loop computes places from it rather than move them all.
#[inline(always)]
pub(super) fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "aarch64")]
    {
        let mut number = number;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
        }
        number
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        number
    }
}
