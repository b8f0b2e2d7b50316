//! Every channel of a pixel of a depthwise convolution, or of two pixels, four at a time, sums and rounding in one
//! function. Armv7-M has registers for the sums of two pixels, which share the loads of weights.
//!
//! For layers whose channels have no left shift; [`requantize`](super::requantize) explains the product by halves.

#[cfg(all(target_arch = "arm", narrow_multiply))]
use super::requantize::high_word;
use crate::format::ChannelRecord;

/// What [`blocks`] reads and writes; the order of the fields is that of its stack.
#[repr(C)]
pub(super) struct Blocks {
    /// For every tap a pointer to the input pixel, or one for each of two pixels, and their end. Behind those of two
    /// pixels stand two that are null; they themselves are moved behind the last channel.
    pub taps: [*mut *const i8; 2],
    /// The first channel and the end of the last one.
    pub channels: [*const ChannelRecord; 2],
    /// The output pixels, which may be the same. With one pixel a tap the second one is not used.
    pub out: [*mut i8; 2],
    /// The weights in scalar order.
    pub weights: *const i8,
}

/// Pixels that the kernel of this core computes at a time.
pub(super) const LANES: usize = if cfg!(narrow_multiply) { 1 } else { 2 };

/// Writes one pixel, saturated to int8.
///
/// # Safety
/// - There are one tap or more, and channels in fours.
/// - Each tap leads to a byte for every channel, at a multiple of 4; the weights, likewise, are a byte for every tap and
///   channel.
/// - `out` is valid for writes of a byte a channel, which nothing else refers to.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
unsafe extern "C" fn one_pixel(blocks: &Blocks) {
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
                 lsrs r5, r5, #16\n",
                high_word!(),
                "\nldmia r1!, {{r4, r5}}
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
        "ldr r6, [r0]",
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

/// Writes two pixels, saturated to int8.
///
/// # Safety
/// As above; `out` is valid for writes of words, at any address.
#[cfg(all(target_arch = "arm", not(narrow_multiply)))]
#[unsafe(naked)]
unsafe extern "C" fn two_pixels(blocks: &Blocks) {
    // Sums: r0: taps; r1: w; r2, r3: pixels; r4..r7, r8..r11: sums of either; r12, lr: an activation, a weight.
    // Rounding: r0: channel; r1, r2, r3, r12: its record.
    macro_rules! channel {
        ($place:literal, $first:literal, $second:literal) => {
            concat!(
                "ldrsb lr, [r1",
                $place,
                "\nldrsb r12, [r2",
                $place,
                "\n",
                "mla ",
                $first,
                ", r12, lr, ",
                $first,
                "\nldrsb r12, [r3",
                $place,
                "\n",
                "mla ",
                $second,
                ", r12, lr, ",
                $second
            )
        };
    }
    macro_rules! round {
        ($first:literal, $second:literal) => {
            concat!("ldmia r0!, {{r1, r2, r3, r12}}\n", round!($first), "\n", round!($second))
        };
        ($sum:literal) => {
            concat!(
                "add ",
                $sum,
                ", ",
                $sum,
                ", r1
                 smull lr, ",
                $sum,
                ", ",
                $sum,
                ", r2
                 add ",
                $sum,
                ", ",
                $sum,
                ", r3
                 asr ",
                $sum,
                ", ",
                $sum,
                ", r12
                 ssat ",
                $sum,
                ", #8, ",
                $sum
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldmia r0, {{r1, r2, r3, r4, r5, r6, r7}}",
        // Taps, channel, end of channels, out, w.
        "push {{r1, r3, r4, r5, r6, r7}}",
        "mov r1, r7",
        "2:",
        "ldr r0, [sp]",
        "mov r4, #0",
        "mov r5, #0",
        "mov r6, #0",
        "mov r7, #0",
        "mov r8, #0",
        "mov r9, #0",
        "mov r10, #0",
        "mov r11, #0",
        "3:",
        "ldrd r2, r3, [r0]",
        "cbz r2, 4f",
        channel!("], #4", "r4", "r8"),
        channel!(", #-3]", "r5", "r9"),
        channel!(", #-2]", "r6", "r10"),
        channel!(", #-1]", "r7", "r11"),
        "strd r2, r3, [r0], #8",
        "b 3b",
        "4:",
        "str r1, [sp, #20]",
        "ldr r0, [sp, #4]",
        // The lowest byte of a record's last word is the shift.
        round!("r4", "r8"),
        round!("r5", "r9"),
        round!("r6", "r10"),
        round!("r7", "r11"),
        "ldrd r1, r2, [sp, #12]",
        "bfi r4, r5, #8, #8",
        "bfi r4, r6, #16, #8",
        "bfi r4, r7, #24, #8",
        "bfi r8, r9, #8, #8",
        "bfi r8, r10, #16, #8",
        "bfi r8, r11, #24, #8",
        "str r4, [r1], #4",
        "str r8, [r2], #4",
        "strd r1, r2, [sp, #12]",
        "str r0, [sp, #4]",
        "ldr r2, [sp, #8]",
        "ldr r1, [sp, #20]",
        "cmp r0, r2",
        "bne 2b",
        "add sp, sp, #24",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

/// Writes `LANES` pixels, saturated to int8.
///
/// # Safety
/// As above.
#[cfg(target_arch = "arm")]
#[inline(always)]
pub(super) unsafe fn blocks<const LANES: usize>(blocks: &Blocks) {
    // SAFETY: the caller's promise.
    #[cfg(narrow_multiply)]
    unsafe {
        one_pixel(blocks)
    }
    // SAFETY: the caller's promise.
    #[cfg(not(narrow_multiply))]
    unsafe {
        two_pixels(blocks)
    }
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn blocks<const LANES: usize>(blocks: &Blocks) {
    use crate::requantize::requantize;

    // SAFETY: the caller's promise.
    unsafe {
        let taps = blocks.taps[1].offset_from_unsigned(blocks.taps[0]) / LANES;
        let channels = blocks.channels[1].offset_from_unsigned(blocks.channels[0]);
        for lane in 0..LANES {
            for c in 0..channels {
                let channel = &*blocks.channels[0].add(c);
                let acc = (0..taps).fold(channel.bias, |acc, tap| {
                    let x = i32::from(*(*blocks.taps[0].add(LANES * tap + lane)).add(c));
                    let w = i32::from(*blocks.weights.add((c / 4 * taps + tap) * 4 + c % 4));
                    acc.wrapping_add(x * w)
                });
                *blocks.out[lane].add(c) = requantize(acc, channel, i8::MIN, i8::MAX);
            }
        }
        if LANES == 2 {
            for entry in 0..2 * taps {
                let pixel = blocks.taps[0].add(entry);
                *pixel = (*pixel).wrapping_add(channels);
            }
        }
    }
}
