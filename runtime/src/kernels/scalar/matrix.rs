//! Four windows times one row of weights: the work of every convolution.
//!
//! A word X = a + 2¹⁶·b holds an activation of two pixels, so that one 32-bit product X·w holds two. Over two k the
//! lower sum lies within ±2·128·127 and fits 16 bits: P = X₀·w₀ + X₁·w₁ splits without loss. With T = ΣP and H the
//! sum of the upper halves, all modulo 2³², the sums of b and of a are H and T − 2¹⁶·H. The upper half of P is P >> 16,
//! one more where the lower sum is negative: Armv6-M adds bit 15, which `asrs` leaves in the carry; Armv7-M starts P
//! with 2¹⁵, which rounds, and takes that out of T at the end.

/// Words that the windows of four pixels take for two k: `[2 pairs of pixels][2 k]`.
pub(super) const STEP: usize = 4;

/// acc[p] = Σₖ x[p][k] · w[k] for four pixels p; k runs over `2 * steps`.
///
/// # Safety
/// - `x` is valid for reads of `STEP * steps` words.
/// - `w` is even and valid for reads of `2 * steps` bytes.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn four_pixels(acc: &mut [i32; 4], x: *const u32, w: *const i8, steps: usize) {
    // r0: x; r1: w; r2, r3: two weights; r4, r5: their words of one pair; r6, r7: H of either pair; r8, r9: T;
    // r10: end of the rounds, r11: end of the steps.
    macro_rules! step {
        ($offset:literal) => {
            concat!(
                "ldrh r3, [r1, #", $offset, "]
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
    core::arch::naked_asm!(
        "push {{r0, r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        "movs r0, r1",
        "movs r1, r2",
        // Ends, by x: whole rounds of four steps, all steps.
        "lsls r4, r3, #4",
        "adds r4, r4, r0",
        "mov r11, r4",
        "lsrs r4, r3, #2",
        "lsls r4, r4, #6",
        "adds r4, r4, r0",
        "mov r10, r4",
        "movs r6, #0",
        "mov r8, r6",
        "mov r9, r6",
        "movs r7, r6",
        "cmp r0, r10",
        "beq 3f",
        "2:",
        step!("0"),
        step!("2"),
        step!("4"),
        step!("6"),
        "adds r1, r1, #8",
        "cmp r0, r10",
        "bne 2b",
        "3:",
        "cmp r0, r11",
        "beq 5f",
        "4:",
        step!("0"),
        "adds r1, r1, #2",
        "cmp r0, r11",
        "bne 4b",
        "5:",
        "mov r4, r8",
        "lsls r2, r6, #16",
        "subs r4, r4, r2",
        "mov r5, r9",
        "lsls r2, r7, #16",
        "subs r2, r5, r2",
        "movs r5, r6",
        "ldr r0, [sp, #16]",
        "stmia r0!, {{r4, r5}}",
        "stmia r0!, {{r2, r7}}",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r0, r4, r5, r6, r7, pc}}",
    )
}

/// The same for Armv7-M.
///
/// # Safety
/// As above.
#[cfg(all(target_arch = "arm", not(narrow_multiply)))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn four_pixels(acc: &mut [i32; 4], x: *const u32, w: *const i8, steps: usize) {
    // r0: x; r1: w; r2, r3: two weights; r4..r7: their words of both pairs; r8, r9: T; r10, r11: H; r12: 2¹⁵;
    // lr: end of the rounds, then of the steps.
    macro_rules! step {
        ($first:literal, $second:literal) => {
            concat!(
                "ldmia r0!, {{r4, r5, r6, r7}}
                 ldrsb r2, [r1, #", $first, "]
                 ldrsb r3, [r1, #", $second, "]
                 mla r4, r4, r2, r12
                 mla r6, r6, r2, r12
                 mla r4, r5, r3, r4
                 mla r6, r7, r3, r6
                 add r8, r8, r4
                 add r10, r10, r4, asr #16
                 add r9, r9, r6
                 add r11, r11, r6, asr #16"
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r0, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "mov r0, r1",
        "mov r1, r2",
        // T starts at −2¹⁵ for every step.
        "lsl r8, r3, #15",
        "rsb r8, r8, #0",
        "mov r9, r8",
        "mov r10, #0",
        "mov r11, #0",
        "mov r12, #0x8000",
        "lsrs r4, r3, #2",
        "add lr, r0, r4, lsl #6",
        "beq 3f",
        "2:",
        step!("0", "1"),
        step!("2", "3"),
        step!("4", "5"),
        step!("6", "7"),
        "adds r1, r1, #8",
        "cmp r0, lr",
        "bne 2b",
        "3:",
        "ldr r4, [sp, #4]",
        "ands r4, r4, #3",
        "beq 5f",
        "add lr, r0, r4, lsl #4",
        "4:",
        step!("0", "1"),
        "adds r1, r1, #2",
        "cmp r0, lr",
        "bne 4b",
        "5:",
        "sub r8, r8, r10, lsl #16",
        "sub r9, r9, r11, lsl #16",
        "ldr r0, [sp]",
        "strd r8, r10, [r0]",
        "strd r9, r11, [r0, #8]",
        "pop {{r0, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn four_pixels(acc: &mut [i32; 4], x: *const u32, w: *const i8, steps: usize) {
    let (mut total, mut high) = ([0i32; 2], [0i32; 2]);
    for step in 0..steps {
        for pair in 0..2 {
            let product = |k: usize| {
                // SAFETY: step < steps, in the ranges that the caller promised.
                let (x, w) = unsafe { (*x.add(STEP * step + 2 * pair + k), *w.add(2 * step + k)) };
                (x as i32).wrapping_mul(w.into())
            };
            let both = product(0).wrapping_add(product(1));
            total[pair] = total[pair].wrapping_add(both);
            high[pair] = high[pair].wrapping_add(both >> 16).wrapping_add(both >> 15 & 1);
        }
    }
    for pair in 0..2 {
        acc[2 * pair] = total[pair].wrapping_sub(high[pair] << 16);
        acc[2 * pair + 1] = high[pair];
    }
}
