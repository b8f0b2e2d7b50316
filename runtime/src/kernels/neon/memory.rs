//! Loads and stores of registers, at any address, each with a portable model as in [`lanes`](super::lanes).

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::*;

use super::lanes::{I8x16, I32x4};
use crate::format::ChannelRecord;

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

/// The first words of four channel records, their biases (LD4).
///
/// In assembly, since the compiler takes three loads for every word of which it does not need the neighbours.
///
/// # Safety
/// `from` is valid for reads of four records.
#[inline(always)]
pub(super) unsafe fn load_biases(from: *const ChannelRecord) -> I32x4 {
    #[cfg(target_arch = "aarch64")]
    {
        let biases;
        // SAFETY: four records are 64 bytes, valid by the caller's promise.
        unsafe {
            core::arch::asm!(
                "ld4 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}]",
                from = in(reg) from,
                out("v0") biases,
                out("v1") _,
                out("v2") _,
                out("v3") _,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        biases
    }
    // SAFETY: as above.
    #[cfg(not(target_arch = "aarch64"))]
    return unsafe { load_channels(from)[0] };
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
