//! A row of outputs of four channels of a depthwise convolution.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
#[cfg(not(target_arch = "arm"))]
use super::lanes::{asr, smlad, smmla, ssat8};
use super::requantize::Bounds;
use crate::format::ChannelRecord;

/// What four channels' accumulators begin with and are requantized by. The layout is known to [`multiply`].
#[repr(C)]
pub(super) struct Constants {
    bias: [i32; 4],
    multiplier: [i32; 4],
    offset: [i32; 4],
    shift: [u32; 4],
    /// Lowest and highest output, in every byte.
    low: u32,
    high: u32,
}

impl Constants {
    /// Of channels without left shift.
    pub fn new(channels: &[ChannelRecord; 4], bounds: Bounds) -> Self {
        let [low, high] = bounds.bytes();
        Self {
            bias: channels.each_ref().map(|channel| channel.bias),
            multiplier: channels.each_ref().map(|channel| channel.multiplier),
            offset: channels.each_ref().map(|channel| channel.offset),
            shift: channels.each_ref().map(|channel| channel.shift.into()),
            low,
            high,
        }
    }
}

/// What [`multiply`] works on. The layout is known to its instructions.
#[repr(C)]
pub(super) struct Row<'a> {
    /// Pairs of activations under the next output: for every step those of four channels.
    pub x: *const u32,
    /// Bytes of pairs from one output to the next.
    pub x_step: usize,
    /// Where the next output goes.
    pub out: *mut i8,
    /// Bytes from one output to the next.
    pub out_step: usize,
    /// Outputs left.
    pub pixels: usize,
    /// Pairs of weights, as those of activations.
    pub weights: *const u32,
    /// Pairs under an output.
    pub steps: usize,
    pub constants: &'a Constants,
}

/// Computes the outputs of a row: for each channel the sum over all steps of both products of a pair, requantized.
///
/// # Safety
/// - There is an output and a step. `x` is valid for reads of 16 bytes a step at every output, `weights` of 16 bytes a
///   step.
/// - `out` is valid for writes of 4 bytes at every output, to which nothing else in use refers.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(row: &mut Row<'_>) {
    // r4..r7: accumulators; r8..r11: activations; r2, r3, r12, lr: weights; r0: x; r1: weights.
    macro_rules! step {
        () => {
            "ldm r0!, {{r8, r9, r10, r11}}
             ldm r1!, {{r2, r3, r12, lr}}
             smlad r4, r8, r2, r4
             smlad r5, r9, r3, r5
             smlad r6, r10, r12, r6
             smlad r7, r11, lr, r7"
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldr r1, [r0, #{weights}]",
        "ldr r2, [r0, #{steps}]",
        "ldr r3, [r0, #{constants}]",
        "add r12, r1, r2, lsl #4",
        // The first round skips (6 - steps % 6) % 6 steps of 24 bytes.
        "mov r8, #6",
        "udiv r9, r2, r8",
        "mls r2, r9, r8, r2",
        "subs r2, r8, r2",
        "cmp r2, #6",
        "it eq",
        "moveq r2, #0",
        "mov r8, #24",
        "mul r2, r2, r8",
        "push {{r0, r12}}",
        "push {{r2, r3}}",
        "ldr r0, [r0, #{x}]",
        // [sp]: bytes to skip; [sp, #4]: the constants; [sp, #8]: the row; [sp, #12]: the end of the weights.
        "1:",
        "ldrd r8, r3, [sp]",
        "ldm r3, {{r4, r5, r6, r7}}",
        "add pc, r8",
        // `pc` reads as the address of what follows this.
        "nop",
        "2:",
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        "ldr r8, [sp, #12]",
        "cmp r1, r8",
        "bne 2b",
        "ldr lr, [sp, #4]",
        "add lr, lr, #16",
        "ldm lr!, {{r0, r1, r2, r3, r8, r9, r10, r11}}",
        "smmla r4, r4, r0, r8",
        "smmla r5, r5, r1, r9",
        "smmla r6, r6, r2, r10",
        "smmla r7, r7, r3, r11",
        "ldm lr, {{r0, r1, r2, r3, r8, r9}}",
        "asr r4, r4, r0",
        "asr r5, r5, r1",
        "asr r6, r6, r2",
        "asr r7, r7, r3",
        "ssat r4, #8, r4",
        "ssat r5, #8, r5",
        "ssat r6, #8, r6",
        "ssat r7, #8, r7",
        "bfi r4, r5, #8, #8",
        "bfi r4, r6, #16, #8",
        "bfi r4, r7, #24, #8",
        // In every byte the greater of output and lowest, then the lesser of that and highest.
        "ssub8 r1, r4, r8",
        "sel r4, r4, r8",
        "ssub8 r1, r9, r4",
        "sel r4, r4, r9",
        "ldr r12, [sp, #8]",
        "ldm r12, {{r0, r1, r2, r3, r8, r9}}",
        "add r0, r0, r1",
        "str r4, [r2]",
        "add r2, r2, r3",
        "subs r8, r8, #1",
        "stm r12, {{r0, r1, r2, r3, r8}}",
        "mov r1, r9",
        "bne 1b",
        "add sp, sp, #16",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        x = const core::mem::offset_of!(Row<'_>, x),
        weights = const core::mem::offset_of!(Row<'_>, weights),
        steps = const core::mem::offset_of!(Row<'_>, steps),
        constants = const core::mem::offset_of!(Row<'_>, constants),
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn multiply(row: &mut Row<'_>) {
    let constants = row.constants;
    for pixel in 0..row.pixels {
        for channel in 0..4 {
            let mut acc = constants.bias[channel];
            for step in 0..row.steps {
                // SAFETY: the caller's promise.
                let (x, w) = unsafe {
                    let x = row.x.byte_add(pixel * row.x_step);
                    (*x.add(4 * step + channel), *row.weights.add(4 * step + channel))
                };
                acc = smlad(x, w, acc);
            }
            let acc = smmla(acc, constants.multiplier[channel], constants.offset[channel]);
            let bound = |bytes: u32| i32::from(bytes as i8);
            let q = ssat8(asr(acc, constants.shift[channel]));
            let q = q.max(bound(constants.low)).min(bound(constants.high));
            // SAFETY: the caller's promise.
            unsafe { *row.out.add(pixel * row.out_step + channel) = q as i8 };
        }
    }
}
