//! Four windows times every row of weights: the work of a convolution, sums and rounding in one function, since what a
//! call a row would save and restore costs more than a short row.
//!
//! A word X = a + 2¹⁶·b holds an activation of two pixels, so that one 32-bit product X·w holds two. Over two k the
//! lower sum lies within ±2·128·127 and fits 16 bits: P = X₀·w₀ + X₁·w₁ splits without loss. With T = ΣP and H the
//! sum of the upper halves, all modulo 2³², the sums of b and of a are H and T − 2¹⁶·H. The upper half of P is P >> 16,
//! one more where the lower sum is negative: Armv6-M adds bit 15, which `asrs` leaves in the carry; Armv7-M starts P
//! with 2¹⁵, which rounds, and takes that out of T at the end.
//!
//! [`requantize`](super::requantize) explains the product by halves.

#[cfg(all(target_arch = "arm", narrow_multiply))]
use super::requantize::high_word;
use crate::format::ChannelRecord;
use crate::requantize::requantize;

/// Words that the windows of four pixels take for two k: `[2 pairs of pixels][2 k]`.
pub(super) const STEP: usize = 4;

/// What [`rows`] reads and writes; the order of the fields is that of its stack.
#[repr(C)]
pub(super) struct Rows {
    /// The windows, [`STEP`] words for every two k.
    pub x: *const i32,
    /// Behind the steps that whole rounds of four cover, and behind the last one.
    pub ends: [*const i32; 2],
    /// The first row's channel, and the end of the last one's.
    pub channels: [*const ChannelRecord; 2],
    /// The first row's byte of the first pixel.
    pub out: *mut i8,
    /// Bytes from one pixel to the next.
    pub pitch: usize,
    /// The first row's weights.
    pub weights: *const i8,
}

/// Writes the outputs of four pixels, saturated to int8, of channels that have no left shift.
///
/// # Safety
/// - `x` up to its end is valid for reads, the ends are as documented.
/// - There is at least one channel, and for each one two bytes of weights, from an even address on, for every step.
/// - In each of four pixels `pitch` bytes apart `out` is valid for writes of a byte a channel, which nothing else refers
///   to.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn rows(rows: &Rows) {
    // Sums: r0: x; r1: w; r2, r3: two weights; r4, r5: their words of one pair; r6, r7: H of either pair; r8, r9: T;
    // r10, r11: ends of x. Rounding: r0: offset; r1: shift; r2: out; r3: a sum; r4..r7: halves; r8..r10: the sums to
    // come; r11: the lower half of m. r12, lr: bounds.
    macro_rules! step {
        ($offset:literal) => {
            concat!(
                "ldrh r3, [r1, #",
                $offset,
                "]
                 sxtb r2, r3
                 lsls r3, r3, #16
                 asrs r3, r3, #24
                 ldmia r0!, {{r4, r5}}
                 muls r4, r2, r4
                 muls r5, r3, r5
                 adds r4, r4, r5
                 add r8, r4
                 asrs r4, r4, #16
                 adcs r6, r4
                 ldmia r0!, {{r4, r5}}
                 muls r4, r2, r4
                 muls r5, r3, r5
                 adds r4, r4, r5
                 add r9, r4
                 asrs r4, r4, #16
                 adcs r7, r4"
            )
        };
    }
    // From the sum in r3, the halves of m in r6 and r5.
    macro_rules! round {
        () => {
            concat!(
                "uxth r4, r3\nasrs r3, r3, #16\n",
                high_word!(),
                "\nadds r3, r3, r0
             asrs r3, r1
             cmp r3, r12
             bge 8f
             mov r3, r12
             8:
             cmp r3, lr
             ble 9f
             mov r3, lr
             9:
             strb r3, [r2]"
            )
        };
    }
    macro_rules! next {
        ($sum:literal) => {
            concat!("ldr r7, [sp, #24]\nadds r2, r2, r7\nmov r3, ", $sum, "\nmov r6, r11\n", round!())
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        "ldmia r0!, {{r1, r2, r3, r4}}",
        "ldmia r0!, {{r5, r6, r7}}",
        "ldr r0, [r0]",
        // x, its ends, channel, end of channels, out, pitch, w.
        "push {{r0}}",
        "push {{r1, r2, r3, r4, r5, r6, r7}}",
        "movs r1, r0",
        "movs r2, #127",
        "mov lr, r2",
        "mvns r2, r2",
        "mov r12, r2",
        "2:",
        "ldr r0, [sp, #4]",
        "mov r10, r0",
        "ldr r0, [sp, #8]",
        "mov r11, r0",
        "ldr r0, [sp, #12]",
        "ldr r6, [r0]",
        "movs r7, r6",
        "lsls r2, r6, #16",
        "adds r2, r2, r6",
        "mov r8, r2",
        "mov r9, r2",
        "ldr r0, [sp]",
        "cmp r0, r10",
        "beq 4f",
        "3:",
        step!("0"),
        step!("2"),
        step!("4"),
        step!("6"),
        "adds r1, r1, #8",
        "cmp r0, r10",
        "bne 3b",
        "4:",
        "cmp r0, r11",
        "beq 5f",
        step!("0"),
        "adds r1, r1, #2",
        "b 4b",
        "5:",
        "str r1, [sp, #28]",
        "mov r3, r9",
        "lsls r2, r7, #16",
        "subs r3, r3, r2",
        "mov r9, r3",
        "mov r10, r7",
        "mov r3, r8",
        "lsls r2, r6, #16",
        "subs r3, r3, r2",
        "mov r8, r6",
        "ldr r4, [sp, #12]",
        "adds r4, r4, #4",
        "ldmia r4!, {{r5, r6, r7}}",
        "str r4, [sp, #12]",
        "movs r0, r6",
        // The lowest byte of the word is the shift.
        "movs r1, r7",
        "uxth r6, r5",
        "mov r11, r6",
        "lsrs r5, r5, #16",
        "ldr r2, [sp, #20]",
        round!(),
        next!("r8"),
        next!("r9"),
        next!("r10"),
        "ldr r2, [sp, #20]",
        "adds r2, r2, #1",
        "str r2, [sp, #20]",
        "ldr r0, [sp, #12]",
        "ldr r2, [sp, #16]",
        "ldr r1, [sp, #28]",
        "cmp r0, r2",
        "beq 6f",
        "b 2b",
        "6:",
        "add sp, #32",
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
pub(super) unsafe extern "C" fn rows(rows: &Rows) {
    // Sums: r0: x; r1: w; r2, r3: two weights; r4..r7: their words of both pairs; r8, r9: T; r10, r11: H; r12: 2¹⁵;
    // lr: end of x. Rounding: r2: channel; r3: out; r4..r7: its record, then r4: the third pixel; r0: pitch.
    macro_rules! step {
        () => {
            "ldmia r0!, {{r4, r5, r6, r7}}
             ldrsb r2, [r1], #1
             ldrsb r3, [r1], #1
             mla r4, r4, r2, r12
             mla r6, r6, r2, r12
             mla r4, r5, r3, r4
             mla r6, r7, r3, r6
             add r8, r8, r4
             add r10, r10, r4, asr #16
             add r9, r9, r6
             add r11, r11, r6, asr #16"
        };
    }
    macro_rules! round {
        ($sum:literal) => {
            concat!(
                "add ",
                $sum,
                ", ",
                $sum,
                ", r4
                 smull lr, ",
                $sum,
                ", ",
                $sum,
                ", r5
                 add ",
                $sum,
                ", ",
                $sum,
                ", r6
                 asr ",
                $sum,
                ", ",
                $sum,
                ", r7
                 ssat ",
                $sum,
                ", #8, ",
                $sum
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "ldmia r0, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
        // Where T starts: at −2¹⁵ for every step of 16 bytes.
        "subs r9, r3, r1",
        "rsb r10, r9, #0",
        "lsl r10, r10, #11",
        // Where the first round starts, such that it ends with the round: 1 to 8 steps before that.
        "subs r9, r9, #16",
        "ubfx r9, r9, #4, #3",
        "adr r11, 3f",
        "adr r12, 4f",
        "sub r11, r12, r11",
        "lsr r11, r11, #3",
        "adds r9, r9, #1",
        "mls r2, r9, r11, r12",
        "orr r2, r2, #1",
        // x, the first step, T, the end of x; channel, out, end of channels, pitch.
        "sub sp, sp, #32",
        "strd r1, r2, [sp]",
        "strd r10, r3, [sp, #8]",
        "strd r4, r6, [sp, #16]",
        "strd r5, r7, [sp, #24]",
        "mov r1, r8",
        "mov r12, #0x8000",
        "2:",
        "ldmia sp, {{r0, r2, r8, lr}}",
        "mov r9, r8",
        "mov r10, #0",
        "mov r11, #0",
        "bx r2",
        // `adr` leads to multiples of 4; so do all eight steps.
        ".balign 4",
        "3:",
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        step!(),
        "4:",
        "cmp r0, lr",
        "bne 3b",
        "ldrd r2, r3, [sp, #16]",
        "sub r8, r8, r10, lsl #16",
        "sub r9, r9, r11, lsl #16",
        // The lowest byte of the last word is the shift.
        "ldmia r2!, {{r4, r5, r6, r7}}",
        round!("r8"),
        round!("r10"),
        round!("r9"),
        round!("r11"),
        "ldrd r5, r0, [sp, #24]",
        "cmp r2, r5",
        "add r4, r3, r0, lsl #1",
        "strb r10, [r3, r0]",
        "strb r9, [r4]",
        "strb r11, [r4, r0]",
        "strb r8, [r3], #1",
        "strd r2, r3, [sp, #16]",
        "bne 2b",
        "add sp, sp, #32",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn rows(rows: &Rows) {
    // SAFETY: the caller's promise.
    unsafe { any_rows(rows) };
}

/// The same as [`rows`], for channels with a left shift as well: those have no fast way.
///
/// # Safety
/// As [`rows`].
#[cold]
#[inline(never)]
pub(super) unsafe fn any_rows(rows: &Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        let steps = rows.ends[1].offset_from_unsigned(rows.x) / STEP;
        for row in 0..rows.channels[1].offset_from_unsigned(rows.channels[0]) {
            let channel = &*rows.channels[0].add(row);
            let weights = rows.weights.add(2 * steps * row);
            for pair in 0..2 {
                let (mut total, mut high) = (0i32, 0i32);
                for step in 0..steps {
                    let product = |k: usize| {
                        let x = *rows.x.add(STEP * step + 2 * pair + k);
                        x.wrapping_mul((*weights.add(2 * step + k)).into())
                    };
                    let both = product(0).wrapping_add(product(1));
                    total = total.wrapping_add(both);
                    high = high.wrapping_add(both >> 16).wrapping_add((both >> 15) & 1);
                }
                for (pixel, acc) in [total.wrapping_sub(high << 16), high].into_iter().enumerate() {
                    let q = requantize(acc.wrapping_add(channel.bias), channel, i8::MIN, i8::MAX);
                    *rows.out.add(rows.pitch * (2 * pair + pixel) + row) = q;
                }
            }
        }
    }
}
