//! Matrix times vector, two outputs in a word.
//!
//! Of a word of weights w + 128 of two rows and two k, `& 0x00ff00ff` leaves the bytes of the first k and, shifted by 8,
//! those of the second one, each as a + 2¹⁶·b: a 32-bit product with an activation holds those of both rows. For two k
//! the constant D = 2¹⁵ − 128·(2¹⁶ + 1)·(x₀ + x₁) takes the 128 back, so that either sum lies within ±2·128·127 and
//! P = V₀·x₀ + V₁·x₁ + D splits as in [`rows`](super::rows).

use super::requantize::Rounding;
use crate::format::{ChannelRecord, Family};
use crate::kernels::portable;
use crate::packing::MatrixOrder;

/// Rows whose sums are kept, and pairs of k whose activations are, at a time; both live on the stack.
const ROWS: usize = 64;
const STEPS: usize = 64;

/// A pair of activations: x₀, x₁, D.
type Step = [i32; 3];

/// Fast for weights in scalar order; the portable kernel does the rest.
#[inline(never)]
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    let assumed = order.family == Family::Scalar
        && order.dense
        && weights.len() == order.bytes()
        && weights.as_ptr().cast::<u32>().is_aligned()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    let rounding = Rounding::new(activation, channels);
    // Bytes of four rows.
    let pitch = 4 * order.padded_k();
    let mut first = weights.as_ptr();
    for (channels, output) in channels.chunks(ROWS).zip(output.chunks_mut(ROWS)) {
        let quads = channels.len().div_ceil(4);
        let mut sums = [[0; 4]; ROWS / 4];
        let sums = &mut sums[..quads];
        let mut column = first;
        for input in input.chunks(2 * STEPS) {
            let mut steps = [[0; 3]; STEPS];
            let steps = &mut steps[..input.len().div_ceil(2)];
            for (step, x) in steps.iter_mut().zip(input.chunks(2)) {
                let (x0, x1) = (i32::from(x[0]), x.get(1).map_or(0, |&x| x.into()));
                *step = [x0, x1, 0x8000i32.wrapping_sub((x0 + x1).wrapping_mul(0x80_0080))];
            }
            let mut weights = column;
            for acc in sums.iter_mut() {
                // SAFETY: `assumed` holds, so that every four rows have `pitch` aligned bytes, eight for every step.
                unsafe { four_rows(acc, steps.as_ptr(), weights, steps.len()) };
                weights = weights.wrapping_add(pitch);
            }
            column = column.wrapping_add(8 * steps.len());
        }
        first = first.wrapping_add(quads * pitch);
        // SAFETY: `output` has a byte for every channel.
        unsafe { rounding.channels(sums.as_flattened_mut(), channels, output.as_mut_ptr()) };
    }
}

/// acc[j] += Σₖ x[k] · w[j][k] for four rows j; k runs over `2 * steps`.
///
/// # Safety
/// - `x` is valid for reads of `steps` steps, at least one.
/// - `w` is a multiple of 4 and valid for reads of `8 * steps` bytes.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
unsafe extern "C" fn four_rows(acc: &mut [i32; 4], x: *const Step, w: *const i8, steps: usize) {
    // r0: x; r1: w; r2: the mask; r3, r4: V of two k; r5..r7: a step; r8, r9: T; r10, r11: H; r12: end of w.
    macro_rules! two_rows {
        ($total:literal, $high:literal) => {
            concat!(
                "ldmia r1!, {{r3}}
                 lsrs r4, r3, #8
                 ands r3, r3, r2
                 ands r4, r4, r2
                 muls r3, r5, r3
                 muls r4, r6, r4
                 adds r3, r3, r4
                 adds r3, r3, r7
                 add ",
                $total,
                ", r3
                 asrs r3, r3, #16
                 add ",
                $high,
                ", r3"
            )
        };
    }
    macro_rules! step {
        () => {
            concat!("ldmia r0!, {{r5, r6, r7}}\n", two_rows!("r8", "r10"), "\n", two_rows!("r9", "r11"))
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
        "ldr r2, 6f",
        "lsls r4, r3, #3",
        "adds r4, r4, r1",
        "mov r12, r4",
        // T starts at −2¹⁵ for every step.
        "lsls r4, r3, #15",
        "rsbs r4, r4, #0",
        "mov r8, r4",
        "mov r9, r4",
        "movs r4, #0",
        "mov r10, r4",
        "mov r11, r4",
        "lsrs r3, r3, #1",
        "bcc 2f",
        step!(),
        "cmp r1, r12",
        "beq 3f",
        "2:",
        step!(),
        step!(),
        "cmp r1, r12",
        "bne 2b",
        "3:",
        "ldr r0, [sp, #16]",
        "ldmia r0!, {{r4, r5, r6, r7}}",
        "mov r1, r10",
        "adds r5, r5, r1",
        "lsls r1, r1, #16",
        "subs r4, r4, r1",
        "add r4, r8",
        "mov r1, r11",
        "adds r7, r7, r1",
        "lsls r1, r1, #16",
        "subs r6, r6, r1",
        "add r6, r9",
        "subs r0, r0, #16",
        "stmia r0!, {{r4, r5, r6, r7}}",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r0, r4, r5, r6, r7, pc}}",
        ".balign 4",
        "6:",
        ".word 0x00ff00ff",
    )
}

/// The same for Armv7-M.
///
/// # Safety
/// As above.
#[cfg(all(target_arch = "arm", not(narrow_multiply)))]
#[unsafe(naked)]
unsafe extern "C" fn four_rows(acc: &mut [i32; 4], x: *const Step, w: *const i8, steps: usize) {
    // r1: x; r2: w; r3: end of w; r4, r5: words of two rows; r6..r8: a step; r9: V of the first k; r10, r11: T;
    // r12, lr: H; r0: the mask.
    macro_rules! two_rows {
        ($word:literal, $total:literal, $high:literal) => {
            concat!(
                "and r9, ",
                $word,
                ", r0
                 and ",
                $word,
                ", r0, ",
                $word,
                ", lsr #8
                 mla r9, r9, r6, r8
                 mla r9, ",
                $word,
                ", r7, r9
                 add ",
                $total,
                ", ",
                $total,
                ", r9
                 add ",
                $high,
                ", ",
                $high,
                ", r9, asr #16"
            )
        };
    }
    macro_rules! step {
        () => {
            concat!(
                "ldmia r2!, {{r4, r5}}\nldmia r1!, {{r6, r7, r8}}\n",
                two_rows!("r4", "r10", "r12"),
                "\n",
                two_rows!("r5", "r11", "lr")
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r0, r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        // T starts at −2¹⁵ for every step.
        "lsl r10, r3, #15",
        "rsb r10, r10, #0",
        "mov r11, r10",
        "mov r12, #0",
        "mov lr, #0",
        "mov r0, #0x00ff00ff",
        "lsrs r4, r3, #1",
        "add r3, r2, r3, lsl #3",
        "bcc 2f",
        step!(),
        "cmp r2, r3",
        "beq 3f",
        "2:",
        step!(),
        step!(),
        "cmp r2, r3",
        "bne 2b",
        "3:",
        "pop {{r0}}",
        "sub r10, r10, r12, lsl #16",
        "sub r11, r11, lr, lsl #16",
        "ldmia r0, {{r4, r5, r6, r7}}",
        "add r4, r4, r10",
        "add r5, r5, r12",
        "add r6, r6, r11",
        "add r7, r7, lr",
        "stmia r0, {{r4, r5, r6, r7}}",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn four_rows(acc: &mut [i32; 4], x: *const Step, w: *const i8, steps: usize) {
    for step in 0..steps {
        for (pair, acc) in acc.chunks_mut(2).enumerate() {
            // SAFETY: the caller's promise; a step reads two words of weights.
            let ([x0, x1, d], word) = unsafe { (*x.add(step), *w.cast::<u32>().add(2 * step + pair)) };
            let weights = [word, word >> 8].map(|word| (word & 0x00ff_00ff) as i32);
            let both = weights[0].wrapping_mul(x0).wrapping_add(weights[1].wrapping_mul(x1)).wrapping_add(d);
            let high = both >> 16;
            acc[0] = acc[0].wrapping_add(both.wrapping_sub(0x8000)).wrapping_sub(high << 16);
            acc[1] = acc[1].wrapping_add(high);
        }
    }
}
