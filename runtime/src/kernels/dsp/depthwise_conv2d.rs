//! Depthwise convolution, four channels at a time.
//!
//! For each output pixel a table points to the input pixel of every tap, and to a pixel of zero points for taps in
//! padding: the inner loop knows no edges. The weights are widened once, into scratch memory. Channels behind the last
//! four take the portable way, since a word would reach past the tensor.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
#[cfg(not(target_arch = "arm"))]
use super::lanes::{load, smlabb, smlatt};
use super::lanes::{sxtb16, sxtb16_ror8};
use super::requantize::Bounds;
use crate::format::{ChannelRecord, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = crate::ops::DepthwiseConv2d::TAPS;

/// Fast for as many output as input channels in dsp order and at most [`TAPS`] taps, with the scratch memory of
/// [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let blocks = c / 4;
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let assumed = conv.family == Family::Dsp
        && conv.c_in == c
        && c >= 4
        && taps <= TAPS
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u32>().is_aligned()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= blocks * 8 * taps + c
        && scratch.as_ptr().cast::<u32>().is_aligned();
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let (widened, zeros) = scratch.split_at_mut(blocks * 8 * taps);
    let zeros = &mut zeros[..c];
    zeros.fill(conv.zero_point);
    let zeros = zeros.as_ptr();
    let widened = widened.as_mut_ptr().cast::<u32>();
    for i in 0..blocks * taps {
        // SAFETY: `assumed` holds: the weights are a word a tap and block, and two words of scratch belong to each.
        unsafe {
            let word = *conv.weights.as_ptr().cast::<u32>().add(i);
            *widened.add(2 * i) = sxtb16(word);
            *widened.add(2 * i + 1) = sxtb16_ror8(word);
        }
    }
    let mut table = [zeros; TAPS];
    let table = &mut table[..taps];
    let mut pixels = output.chunks_exact_mut(c);
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let start = (y.start(oy), x.start(ox));
                point(conv, image, start, zeros, table);
                let Some(pixel) = pixels.next() else { return };
                let mut tile = Tile {
                    blocks,
                    channel: conv.channels.as_ptr(),
                    table: table.as_ptr(),
                    table_end: table.as_ptr_range().end,
                    weights: widened,
                    out: pixel.as_mut_ptr(),
                    bounds: Bounds::new(conv.activation),
                };
                // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or the
                // zero points; `pixel` has c bytes, and c is at least 4 times `blocks`.
                unsafe { multiply(&mut tile) };
                if blocks * 4 < c {
                    portable::depthwise_block(conv, image, start, blocks * 4, &mut pixel[blocks * 4..]);
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

/// One output pixel. The layout is known to the instructions of [`multiply`].
#[repr(C)]
struct Tile {
    /// Blocks of four channels.
    blocks: usize,
    channel: *const ChannelRecord,
    /// The input pixel of every tap.
    table: *const *const i8,
    table_end: *const *const i8,
    /// For each block and tap the halfwords (w₀, w₂) and (w₁, w₃).
    weights: *const u32,
    out: *mut i8,
    bounds: Bounds,
}

/// Computes the outputs of all blocks.
///
/// # Safety
/// - There is a block. `channel` is valid for reads of 4 records a block, `out` for writes of 4 bytes a block that
///   nothing else in use refers to.
/// - `table..table_end` has at least one pointer, each valid for reads of 4 bytes a block; `weights` is valid for reads
///   of 2 words a block and tap.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn multiply(tile: &mut Tile) {
    // r4..r7: accumulators; r0: table; r1: weights; r2: bytes of the channels before; r8, r9: weights of a tap;
    // r3, r12: activations of a tap; r10: end of the table; r11: records; lr: outputs. [sp]: the tile.
    macro_rules! tap {
        () => {
            "ldr r3, [r0], #4
             ldrd r8, r9, [r1], #8
             ldr r3, [r3, r2]
             sxtb16 r12, r3, ror #8
             sxtb16 r3, r3
             smlabb r4, r3, r8, r4
             smlatt r6, r3, r8, r6
             smlabb r5, r12, r9, r5
             smlatt r7, r12, r9, r7"
        };
    }
    // Requantizes one accumulator by the record at r11. A left shift by L is L saturating doublings.
    macro_rules! requantize {
        ($acc:literal, $at:literal) => {
            concat!(
                "ldr r12, [r11, #",
                $at,
                " + 12]\n",
                "ldrd r8, r9, [r11, #",
                $at,
                " + 4]\n",
                "ands r3, r12, #0xff00\n",
                "beq 7f\n",
                "lsrs r3, r3, #8\n",
                "6:\n",
                "qadd ",
                $acc,
                ", ",
                $acc,
                ", ",
                $acc,
                "\n",
                "subs r3, r3, #1\n",
                "bne 6b\n",
                "7:\n",
                "smmla ",
                $acc,
                ", ",
                $acc,
                ", r8, r9\n",
                "asr ",
                $acc,
                ", ",
                $acc,
                ", r12\n",
                "ssat ",
                $acc,
                ", #8, ",
                $acc,
                "\n",
            )
        };
    }
    macro_rules! clamp {
        ($($q:literal),*) => {
            concat!($(
                "cmp ", $q, ", r8\nit lt\nmovlt ", $q, ", r8\n",
                "cmp ", $q, ", r9\nit gt\nmovgt ", $q, ", r9\n",
            )*)
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r0, r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldr r10, [r0, #{table_end}]",
        "ldr r11, [r0, #{channel}]",
        "ldr r1, [r0, #{weights}]",
        "ldr lr, [r0, #{out}]",
        "movs r2, #0",
        "1:",
        "ldr r0, [sp]",
        "ldr r0, [r0, #{table}]",
        "ldr r4, [r11]",
        "ldr r5, [r11, #16]",
        "ldr r6, [r11, #32]",
        "ldr r7, [r11, #48]",
        // One tap where their number is odd, then two at a time.
        "sub r3, r10, r0",
        "lsls r3, r3, #29",
        "bmi 3f",
        "2:",
        tap!(),
        "3:",
        tap!(),
        "cmp r0, r10",
        "bne 2b",
        requantize!("r4", "0"),
        requantize!("r5", "16"),
        requantize!("r6", "32"),
        requantize!("r7", "48"),
        "ldr r0, [sp]",
        "ldrd r8, r9, [r0, #{bounds}]",
        "sub r3, r9, r8",
        "cmp r3, #255",
        "beq 4f",
        clamp!("r4", "r5", "r6", "r7"),
        "4:",
        "bfi r4, r5, #8, #8",
        "bfi r4, r6, #16, #8",
        "bfi r4, r7, #24, #8",
        "str r4, [lr], #4",
        "add r11, r11, #64",
        "adds r2, r2, #4",
        "ldr r3, [r0, #{blocks}]",
        "subs r3, r3, #1",
        "str r3, [r0, #{blocks}]",
        "bne 1b",
        "pop {{r0, r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        blocks = const core::mem::offset_of!(Tile, blocks),
        channel = const core::mem::offset_of!(Tile, channel),
        table = const core::mem::offset_of!(Tile, table),
        table_end = const core::mem::offset_of!(Tile, table_end),
        weights = const core::mem::offset_of!(Tile, weights),
        out = const core::mem::offset_of!(Tile, out),
        bounds = const core::mem::offset_of!(Tile, bounds),
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn multiply(tile: &mut Tile) {
    // SAFETY: the caller's promise covers every block and tap.
    unsafe {
        let taps = tile.table_end.offset_from(tile.table) as usize;
        for block in 0..tile.blocks {
            let channels = core::slice::from_raw_parts(tile.channel.add(4 * block), 4);
            let mut acc = [0, 1, 2, 3].map(|i: usize| channels[i].bias);
            for tap in 0..taps {
                let x = load((*tile.table.add(tap)).add(4 * block));
                let weights = tile.weights.add(2 * (block * taps + tap));
                let (even, odd) = (sxtb16(x), sxtb16_ror8(x));
                acc[0] = smlabb(even, *weights, acc[0]);
                acc[2] = smlatt(even, *weights, acc[2]);
                acc[1] = smlabb(odd, *weights.add(1), acc[1]);
                acc[3] = smlatt(odd, *weights.add(1), acc[3]);
            }
            for i in 0..4 {
                *tile.out.add(4 * block + i) = tile.bounds.requantize(acc[i], &channels[i]);
            }
        }
    }
}
