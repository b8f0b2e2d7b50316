//! Matrix times vector: four rows of weights share the widened activations.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
use super::lanes::{load, sxtb16};
#[cfg(not(target_arch = "arm"))]
use super::lanes::{smlad, sxtb16_ror8};
use super::pixels::add_even;
#[cfg(not(target_arch = "arm"))]
use super::pixels::widen;
use super::requantize::Bounds;
use crate::format::{ChannelRecord, Family};
use crate::kernels::portable;
use crate::packing::MatrixOrder;

/// Fast for weights in dsp order; the portable kernel does the rest.
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    let assumed = order.family == Family::Dsp
        && order.dense
        && weights.len() == order.bytes()
        && weights.as_ptr().cast::<u32>().is_aligned()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    let bounds = Bounds::new(activation);
    let (words, rest) = input.as_chunks::<4>();
    let mut tail = [[0; 4]];
    tail[0][..rest.len()].copy_from_slice(rest);
    let tail = &tail[..usize::from(!rest.is_empty())];
    let even = words.iter().chain(tail).fold(0, |sum, word| {
        // SAFETY: an array of four bytes is valid for a load.
        add_even(sxtb16(unsafe { load(word.as_ptr()) }), sum)
    });
    let folded = even.wrapping_mul(128);
    let mut weights = weights.as_ptr().cast::<u32>();
    for (channels, out) in channels.chunks(4).zip(output.chunks_mut(4)) {
        let mut acc = [0i32; 4];
        for (acc, channel) in acc.iter_mut().zip(channels) {
            *acc = channel.bias.wrapping_sub(folded);
        }
        for words in [words, tail] {
            if !words.is_empty() {
                // SAFETY: `assumed` holds: for each four rows, rounded up, and each word of x, rounded up, the weights have
                // four aligned words.
                weights = unsafe {
                    accumulate(
                        words.as_ptr_range().start.cast(),
                        weights,
                        words.as_ptr_range().end.cast(),
                        &mut acc,
                    )
                };
            }
        }
        for ((out, acc), channel) in out.iter_mut().zip(acc).zip(channels) {
            *out = bounds.requantize(acc, channel);
        }
    }
}

/// acc[j] += what the words from `x` to `end` and the words of row j from `weights` on, every fourth, amount to; returns
/// the end of the weights read.
///
/// # Safety
/// `x..end` is a multiple of 4 bytes, at least 4, valid for reads; `weights` is aligned and valid for reads of 4 words
/// for each word of x.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn accumulate(
    x: *const i8,
    weights: *const u32,
    end: *const i8,
    acc: &mut [i32; 4],
) -> *const u32 {
    // r4..r7: acc; r8..r11: a word of each row; r0: x; r1: weights; r2: end; r3, lr: a word of x; r12: what turns REV16
    // into a widened word.
    macro_rules! step {
        () => {
            "ldr r3, [r0], #4
             ldm r1!, {{r8, r9, r10, r11}}
             sxtb16 lr, r3
             rev16 r3, r3
             smlad r4, r8, lr, r4
             smlad r5, r9, lr, r5
             smlad r6, r10, lr, r6
             smlad r7, r11, lr, r7
             eor r3, r3, r12
             sxtb16 r8, r8, ror #8
             sxtb16 r9, r9, ror #8
             sxtb16 r10, r10, ror #8
             sxtb16 r11, r11, ror #8
             smlad r4, r8, r3, r4
             smlad r5, r9, r3, r5
             smlad r6, r10, r3, r6
             smlad r7, r11, r3, r7"
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldm r3, {{r4, r5, r6, r7}}",
        "movw r12, #0xff80",
        "movt r12, #0xff80",
        // An odd number of steps begins in the middle of the loop.
        "subs r3, r2, r0",
        "lsls r3, r3, #29",
        "bmi 3f",
        "2:",
        step!(),
        "3:",
        step!(),
        "cmp r0, r2",
        "bne 2b",
        "mov r0, r1",
        "pop {{r3}}",
        "stm r3, {{r4, r5, r6, r7}}",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn accumulate(
    mut x: *const i8,
    mut weights: *const u32,
    end: *const i8,
    acc: &mut [i32; 4],
) -> *const u32 {
    while x != end {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = widen(load(x));
            for (j, acc) in acc.iter_mut().enumerate() {
                let w = *weights.add(j);
                *acc = smlad(sxtb16_ror8(w), odd, smlad(w, even, *acc));
            }
            (x, weights) = (x.add(4), weights.add(4));
        }
    }
    weights
}
