//! Every channel of one pixel of a depthwise convolution, four at a time, sums and rounding in one function.
//!
//! For layers whose channels have no left shift; [`requantize`](super::requantize) explains the product by halves.

use crate::format::ChannelRecord;

/// What [`blocks`] reads and writes; the order of the fields is that of its stack.
#[repr(C)]
pub(super) struct Blocks {
    /// A pointer to the input pixel of every tap, and its end.
    pub taps: [*const *const i8; 2],
    /// The first channel and the end of the last one.
    pub channels: [*const ChannelRecord; 2],
    /// The output pixel.
    pub out: *mut i8,
    /// The weights in scalar order.
    pub weights: *const i8,
}

/// Writes one pixel, saturated to int8.
///
/// # Safety
/// - There are one tap or more, and channels in fours.
/// - Each tap leads to a byte for every channel, at a multiple of 4; the weights, likewise, are a byte for every tap and
///   channel.
/// - `out` is valid for writes of a byte a channel, which nothing else refers to.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn blocks(blocks: &Blocks) {
    // Sums: r0: taps; r1: w; r2: bytes before the block; r3, r4: words of activations and weights; r5, r6: one of each;
    // r8..r11: sums; r12: end of the taps. Rounding: r1: channel; r2: out; r3..r7: a sum and halves. lr: −128.
    macro_rules! round {
        ($sum:literal, $place:literal) => {
            concat!(
                "mov r3, ",
                $sum,
                "
                 ldmia r1!, {{r4, r5}}
                 adds r3, r3, r4
                 uxth r4, r3
                 asrs r3, r3, #16
                 uxth r6, r5
                 lsrs r5, r5, #16
                 mov r7, r4
                 muls r7, r6, r7
                 lsrs r7, r7, #16
                 muls r6, r3, r6
                 adds r6, r6, r7
                 muls r4, r5, r4
                 muls r3, r5, r3
                 uxth r7, r6
                 asrs r6, r6, #16
                 adds r4, r4, r7
                 asrs r4, r4, #16
                 adds r3, r3, r6
                 adds r3, r3, r4
                 ldmia r1!, {{r4, r5}}
                 adds r3, r3, r4
                 asrs r3, r5
                 cmp r3, lr
                 bge 8f
                 mov r3, lr
                 8:
                 cmp r3, #127
                 ble 9f
                 movs r3, #127
                 9:
                 strb r3, [r2, #",
                $place,
                "]"
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        "movs r7, #0",
        "ldmia r0!, {{r1, r2, r3, r4, r5, r6}}",
        // Taps, their end, channel, end of channels, out, w, bytes before the block.
        "push {{r1, r2, r3, r4, r5, r6, r7}}",
        "mov r12, r2",
        "movs r1, r6",
        "movs r2, #127",
        "mvns r2, r2",
        "mov lr, r2",
        "movs r2, #0",
        "2:",
        "ldr r0, [sp]",
        "movs r3, #0",
        "mov r8, r3",
        "mov r9, r3",
        "mov r10, r3",
        "mov r11, r3",
        "3:",
        "ldmia r0!, {{r3}}",
        "ldr r3, [r3, r2]",
        "ldmia r1!, {{r4}}",
        "sxtb r5, r3",
        "sxtb r6, r4",
        "muls r5, r6, r5",
        "add r8, r5",
        "lsls r5, r3, #16",
        "asrs r5, r5, #24",
        "lsls r6, r4, #16",
        "asrs r6, r6, #24",
        "muls r5, r6, r5",
        "add r9, r5",
        "lsls r5, r3, #8",
        "asrs r5, r5, #24",
        "lsls r6, r4, #8",
        "asrs r6, r6, #24",
        "muls r5, r6, r5",
        "add r10, r5",
        "asrs r3, r3, #24",
        "asrs r4, r4, #24",
        "muls r3, r4, r3",
        "add r11, r3",
        "cmp r0, r12",
        "bne 3b",
        "str r1, [sp, #20]",
        "str r2, [sp, #24]",
        "ldr r1, [sp, #8]",
        "ldr r0, [sp, #16]",
        "adds r2, r0, r2",
        // The lowest byte of a record's last word is the shift.
        round!("r8", "0"),
        round!("r9", "1"),
        round!("r10", "2"),
        round!("r11", "3"),
        "str r1, [sp, #8]",
        "ldr r0, [sp, #12]",
        "ldr r2, [sp, #24]",
        "adds r2, r2, #4",
        "cmp r0, r1",
        "beq 4f",
        "ldr r1, [sp, #20]",
        "b 2b",
        "4:",
        "add sp, #28",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4, r5, r6, r7, pc}}",
    )
}

/// The same for Armv7-M.
///
/// # Safety
/// As above.
#[cfg(all(target_arch = "arm", not(narrow_multiply)))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn blocks(blocks: &Blocks) {
    // r0: channel; r1: taps; r2: w; r3: end of the taps; r4: bytes before the block; r5: pixel, then out; r6..r9: sums;
    // r10, r12 and r11, lr: an activation and a weight, then a channel's record.
    macro_rules! tap {
        () => {
            "ldr r5, [r1], #4
             add r5, r5, r4
             ldrsb r10, [r5]
             ldrsb r12, [r5, #1]
             ldrsb r11, [r2], #4
             ldrsb lr, [r2, #-3]
             mla r6, r10, r11, r6
             mla r7, r12, lr, r7
             ldrsb r10, [r5, #2]
             ldrsb r12, [r5, #3]
             ldrsb r11, [r2, #-2]
             ldrsb lr, [r2, #-1]
             mla r8, r10, r11, r8
             mla r9, r12, lr, r9"
        };
    }
    macro_rules! round {
        ($sum:literal) => {
            concat!(
                "ldmia r0!, {{r10, r11, r12, lr}}
                 add ",
                $sum,
                ", ",
                $sum,
                ", r10
                 smull r10, ",
                $sum,
                ", ",
                $sum,
                ", r11
                 add ",
                $sum,
                ", ",
                $sum,
                ", r12
                 asr ",
                $sum,
                ", ",
                $sum,
                ", lr
                 ssat ",
                $sum,
                ", #8, ",
                $sum,
                "
                 strb ",
                $sum,
                ", [r5], #1"
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "ldmia r0, {{r1, r2, r3, r4, r5, r6}}",
        // Taps, end of channels, out.
        "push {{r1, r4, r5, r6}}",
        "mov r0, r3",
        "mov r3, r2",
        "mov r2, r6",
        "mov r4, #0",
        "2:",
        "ldr r1, [sp]",
        "mov r6, #0",
        "mov r7, #0",
        "mov r8, #0",
        "mov r9, #0",
        "3:",
        tap!(),
        "cmp r1, r3",
        "beq 4f",
        tap!(),
        "cmp r1, r3",
        "bne 3b",
        "4:",
        "ldr r5, [sp, #8]",
        "add r5, r5, r4",
        // The lowest byte of a record's last word is the shift.
        round!("r6"),
        round!("r7"),
        round!("r8"),
        round!("r9"),
        "ldr r1, [sp, #4]",
        "add r4, r4, #4",
        "cmp r0, r1",
        "bne 2b",
        "add sp, sp, #16",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn blocks(blocks: &Blocks) {
    use crate::requantize::requantize;

    // SAFETY: the caller's promise.
    unsafe {
        let taps = blocks.taps[1].offset_from_unsigned(blocks.taps[0]);
        for c in 0..blocks.channels[1].offset_from_unsigned(blocks.channels[0]) {
            let channel = &*blocks.channels[0].add(c);
            let acc = (0..taps).fold(channel.bias, |acc, tap| {
                let x = i32::from(*(*blocks.taps[0].add(tap)).add(c));
                let w = i32::from(*blocks.weights.add((c / 4 * taps + tap) * 4 + c % 4));
                acc.wrapping_add(x * w)
            });
            *blocks.out.add(c) = requantize(acc, channel, i8::MIN, i8::MAX);
        }
    }
}
