//! Depthwise convolution, four channels at a time.
//!
//! For each output pixel a table points to the input pixel of every tap, and to a pixel of zero points for taps in
//! padding: the inner loop knows no edges. Channels behind the last four take the portable way, since a word would
//! reach past the tensor.

use super::requantize::Rounding;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels, a multiple of four, in scalar order and at most [`TAPS`] taps, with the
/// scratch memory of [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel
/// does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let words = [input.as_ptr(), scratch.as_ptr(), conv.weights.as_ptr()];
    let assumed = conv.family == Family::Scalar
        && conv.c_in == c
        && c.is_multiple_of(4)
        && taps <= TAPS
        && conv.weights.len() == order.bytes()
        && words.iter().all(|word| word.cast::<u32>().is_aligned())
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= c;
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let rounding = Rounding::new(conv.activation, conv.channels);
    let zeros = &mut scratch[..c];
    zeros.fill(conv.zero_point);
    let zeros = zeros.as_ptr();
    let mut table = [zeros; TAPS];
    let table = &mut table[..taps];
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                point(conv, image, (y.start(oy), x.start(ox)), zeros, table);
                let mut weights = conv.weights.as_ptr();
                for (block, channels) in conv.channels.chunks_exact(4).enumerate() {
                    let mut acc = [0; 4];
                    // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or
                    // the zero points, at a multiple of four; the weights are aligned and have `taps` words for every
                    // four channels. `output` has four bytes for every block, each written once.
                    unsafe {
                        four_channels(&mut acc, table.as_ptr(), weights, taps, 4 * block);
                        rounding.channels(&mut acc, channels, out);
                        (weights, out) = (weights.add(4 * taps), out.add(4));
                    }
                }
            }
        }
    }
}

/// Points the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
#[inline(always)]
fn point(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), zeros: *const i8, table: &mut [*const i8]) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        table.fill(zeros);
    }
    if taps_x.is_empty() {
        return;
    }
    let step = x.dilation * conv.c_in;
    let column = (start.1 + (taps_x.start * x.dilation) as i32) as usize * conv.c_in;
    for (ky, row) in table.chunks_exact_mut(x.kernel).enumerate() {
        if !taps_y.contains(&ky) {
            continue;
        }
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input * conv.c_in;
        // Wrapping, since the pointer past the last tap may lie outside the image and is never used.
        let mut pixel = image.as_ptr().wrapping_add(line + column);
        for entry in &mut row[taps_x.clone()] {
            *entry = pixel;
            pixel = pixel.wrapping_add(step);
        }
    }
}

/// acc[c] = Σₜ x[t][c] · w[t][c] for four channels c.
///
/// # Safety
/// - `table` is valid for reads of `taps` pointers, at least one, each valid for reads of 4 bytes `offset` behind it, at
///   a multiple of 4.
/// - `w` is a multiple of 4 and valid for reads of `4 * taps` bytes.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
unsafe extern "C" fn four_channels(
    acc: &mut [i32; 4],
    table: *const *const i8,
    w: *const i8,
    taps: usize,
    offset: usize,
) {
    // r0: table; r1: w; r2: offset; r3, r4: words of activations and weights; r5, r6: one of each; r8..r11: acc;
    // r12: end of the table.
    core::arch::naked_asm!(
        "push {{r0, r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        "movs r0, r1",
        "movs r1, r2",
        "ldr r2, [sp, #40]",
        "lsls r3, r3, #2",
        "adds r3, r3, r0",
        "mov r12, r3",
        "movs r3, #0",
        "mov r8, r3",
        "mov r9, r3",
        "mov r10, r3",
        "mov r11, r3",
        "2:",
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
        "bne 2b",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "ldr r0, [sp, #16]",
        "stmia r0!, {{r4, r5, r6, r7}}",
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
unsafe extern "C" fn four_channels(
    acc: &mut [i32; 4],
    table: *const *const i8,
    w: *const i8,
    taps: usize,
    offset: usize,
) {
    // r1: table; r2: w; r3: end of the table; r4: offset; r5: pixel; r6..r9: acc; r10, r11 and r12, lr: an activation
    // and a weight.
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "ldr r4, [sp, #40]",
        "add r3, r1, r3, lsl #2",
        "mov r6, #0",
        "mov r7, #0",
        "mov r8, #0",
        "mov r9, #0",
        "2:",
        "ldr r5, [r1], #4",
        "add r5, r5, r4",
        "ldrsb r10, [r5]",
        "ldrsb r12, [r5, #1]",
        "ldrsb r11, [r2], #4",
        "ldrsb lr, [r2, #-3]",
        "mla r6, r10, r11, r6",
        "mla r7, r12, lr, r7",
        "ldrsb r10, [r5, #2]",
        "ldrsb r12, [r5, #3]",
        "ldrsb r11, [r2, #-2]",
        "ldrsb lr, [r2, #-1]",
        "mla r8, r10, r11, r8",
        "mla r9, r12, lr, r9",
        "cmp r1, r3",
        "bne 2b",
        "stm r0, {{r6, r7, r8, r9}}",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn four_channels(
    acc: &mut [i32; 4],
    table: *const *const i8,
    w: *const i8,
    taps: usize,
    offset: usize,
) {
    *acc = [0; 4];
    for tap in 0..taps {
        for (c, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let (x, w) = unsafe { (*(*table.add(tap)).add(offset + c), *w.add(4 * tap + c)) };
            *acc = acc.wrapping_add(i32::from(x) * i32::from(w));
        }
    }
}
