//! Rows of activations times a weight matrix: the work of every convolution.
//!
//! Two rows of activations meet two rows of weights: 3 loads and 8 extensions feed 8 SMLADs, 16 multiply-accumulates.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
use super::lanes::{load, smlad, widen};
use super::requantize::{Bounds, requantize};
use crate::format::ChannelRecord;

/// Two rows of `words` · 4 activations, one behind the other, times every row of a dsp-ordered matrix.
///
/// # Safety
/// - `x` is valid for reads of `8 * words` bytes.
/// - `weights` is aligned and valid for reads of `words` words for each channel, their number rounded up to even.
/// - Each of `out` is valid for writes of `channels.len()` bytes, and no other pointer or slice reaches those.
pub(super) unsafe fn two_rows<const NARROW: bool>(
    words: usize,
    mut weights: *const u32,
    channels: &[ChannelRecord],
    bounds: &Bounds,
    x: *const i8,
    mut out: [*mut i8; 2],
) {
    let (pairs, last) = channels.as_chunks::<2>();
    for [a, b] in pairs {
        let mut acc = [a.bias, b.bias, a.bias, b.bias];
        // SAFETY: a pair reads `2 * words` words of weights, and this pair's exist; `x` is valid as the caller
        // promised; two bytes of each `out` belong to this pair.
        unsafe {
            weights = accumulate_2x2(&mut acc, x, weights, words);
            *out[0] = requantize::<NARROW>(acc[0], a, bounds);
            *out[1] = requantize::<NARROW>(acc[2], a, bounds);
            *out[0].add(1) = requantize::<NARROW>(acc[1], b, bounds);
            *out[1].add(1) = requantize::<NARROW>(acc[3], b, bounds);
            out = out.map(|out| out.add(2));
        }
    }
    if let [a] = last {
        let mut acc = [a.bias, 0, a.bias, 0];
        // SAFETY: as above; the weights' rows are rounded up to even, and of each `out` one byte is left.
        unsafe {
            accumulate_2x2(&mut acc, x, weights, words);
            *out[0] = requantize::<NARROW>(acc[0], a, bounds);
            *out[1] = requantize::<NARROW>(acc[2], a, bounds);
        }
    }
}

/// acc[2·i + j] += Σₖ x[i][k] · weight[j][k] for a pair of rows i of activations and a pair j of weights; returns the
/// end of the weights read.
///
/// A function of its own without prologue, since it takes every register but `sp`: a compiled loop spills.
///
/// # Safety
/// `x` is valid for reads of `8 * words` bytes; `weights` is aligned and valid for reads of `2 * words` words.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn accumulate_2x2(
    acc: &mut [i32; 4],
    x: *const i8,
    weights: *const u32,
    words: usize,
) -> *const u32 {
    // r4..r7: acc; r1, r12: rows of activations; r2: weights; lr: end of the rounds, then the steps left;
    // r8, r10 and r9, r11: a word of either row of weights, widened; r0, r3: a word of activations, widened.
    // `ldrd` needs word alignment, which weights have; activations need not be aligned, which `ldr` takes.
    macro_rules! step {
        () => {
            "ldrd r8, r9, [r2], #8
             ldr r0, [r1], #4
             sxtb16 r10, r8, ror #8
             sxtb16 r8, r8
             sxtb16 r11, r9, ror #8
             sxtb16 r9, r9
             sxtb16 r3, r0, ror #8
             sxtb16 r0, r0
             smlad r4, r0, r8, r4
             smlad r5, r0, r9, r5
             smlad r4, r3, r10, r4
             ldr r0, [r12], #4
             smlad r5, r3, r11, r5
             sxtb16 r3, r0, ror #8
             sxtb16 r0, r0
             smlad r6, r0, r8, r6
             smlad r7, r0, r9, r7
             smlad r6, r3, r10, r6
             smlad r7, r3, r11, r7"
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r0, r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldm r0, {{r4, r5, r6, r7}}",
        "add r12, r1, r3, lsl #2",
        "lsrs r3, r3, #2",
        "add lr, r2, r3, lsl #5",
        "beq 3f",
        "2:",
        step!(),
        step!(),
        step!(),
        step!(),
        "cmp r2, lr",
        "bne 2b",
        "3:",
        "ldr lr, [sp, #4]",
        "ands lr, lr, #3",
        "beq 5f",
        "4:",
        step!(),
        "subs lr, lr, #1",
        "bne 4b",
        "5:",
        "pop {{r0, r3}}",
        "stm r0, {{r4, r5, r6, r7}}",
        "mov r0, r2",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn accumulate_2x2(acc: &mut [i32; 4], x: *const i8, weights: *const u32, words: usize) -> *const u32 {
    // SAFETY: the rows lie one behind the other in the bytes that the caller promised.
    unsafe {
        let (first, second) = acc.split_at_mut(2);
        accumulate_1x2(first, x, weights, words);
        accumulate_1x2(second, x.add(4 * words), weights, words)
    }
}

/// One row of `words` · 4 activations times every row of a dsp-ordered matrix.
///
/// # Safety
/// - `x` is valid for reads of `4 * words` bytes.
/// - `weights` is aligned and valid for reads of `words` words for each channel, their number rounded up to even.
/// - `out` is valid for writes of `channels.len()` bytes, and no other pointer or slice reaches those.
pub(super) unsafe fn one_row<const NARROW: bool>(
    words: usize,
    mut weights: *const u32,
    channels: &[ChannelRecord],
    bounds: &Bounds,
    x: *const i8,
    mut out: *mut i8,
) {
    for pair in channels.chunks(2) {
        let mut acc = [0; 2];
        // SAFETY: a pair reads `2 * words` words of weights, and this pair's exist; `x` is valid as the caller promised.
        weights = unsafe { accumulate_1x2(&mut acc, x, weights, words) };
        for (acc, channel) in acc.into_iter().zip(pair) {
            // SAFETY: one byte of `out` belongs to each channel.
            unsafe {
                *out = requantize::<NARROW>(acc.wrapping_add(channel.bias), channel, bounds);
                out = out.add(1);
            }
        }
    }
}

/// acc[j] += Σₖ x[k] · weight[j][k] for a pair of rows j; returns the end of the weights read.
///
/// # Safety
/// `x` is valid for reads of `4 * words` bytes; `weights` is aligned and valid for reads of `2 * words` words.
#[inline(always)]
unsafe fn accumulate_1x2(acc: &mut [i32], x: *const i8, mut weights: *const u32, words: usize) -> *const u32 {
    let [mut first, mut second] = [0; 2];
    for i in 0..words {
        // SAFETY: word i of `x` and words 2·i and 2·i + 1 of the weights, in the range that the caller promised.
        let (x, a, b) = unsafe {
            let words = (load(x.add(4 * i)), *weights, *weights.add(1));
            weights = weights.add(2);
            (widen(words.0), widen(words.1), widen(words.2))
        };
        first = smlad(x.1, a.1, smlad(x.0, a.0, first));
        second = smlad(x.1, b.1, smlad(x.0, b.0, second));
    }
    for (acc, sum) in acc.iter_mut().zip([first, second]) {
        *acc = acc.wrapping_add(sum);
    }
    weights
}
