//! Four pixels times a weight matrix: the work of every convolution.
//!
//! Two rows of weights meet four pixels whose activations are widened already ([`Pixels`](super::pixels::Pixels)): for
//! four k, 5 double loads and 2 extensions feed 16 SMLADs, 32 multiply-accumulates.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
#[cfg(not(target_arch = "arm"))]
use super::lanes::{smlad, sxtb16_ror8};
use super::requantize::Bounds;
use crate::format::ChannelRecord;

/// Pixels in a tile.
pub(super) const PIXELS: usize = 4;

/// What [`multiply`] works on. The layout is known to its instructions.
#[repr(C)]
pub(super) struct Tile {
    /// Output channels left.
    pub rows: usize,
    /// Record of the next output channel.
    pub channel: *const ChannelRecord,
    /// Widened activations: for every four k, (k₀, k₂) of each pixel, then (k₁, k₃) of each pixel.
    pub x: *const u32,
    /// The end of them.
    pub x_end: *const u32,
    /// What each pixel takes off every accumulator.
    pub folded: [i32; PIXELS],
    /// Where each pixel's next output goes. Pixels that are not wanted share the place of the first.
    pub out: [*mut i8; PIXELS],
    /// Bounds of the outputs.
    pub bounds: Bounds,
}

/// Computes every output of a tile. `weights` is a matrix in dsp order.
///
/// A function of its own without prologue, since it takes every register but `sp`: a compiled loop spills.
///
/// # Safety
/// - `x..x_end` is a multiple of 32 bytes, at least 32, valid for reads; `channel` is valid for reads of `rows` records.
/// - `weights` is aligned and valid for reads of a quarter of that number of bytes for each two rows.
/// - Each of `out` is valid for writes of `rows` bytes, and no other pointer or slice in use reaches those.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(tile: &mut Tile, weights: *const u32) {
    // r4..r7 and r8..r11: accumulators of both rows, by pixel; r0: x; r1: weights; r2, r3: a word of weights of either
    // row; r12, lr: activations of two pixels. [sp]: the tile; [sp, #4]: the end of x.
    macro_rules! step {
        () => {
            "ldrd r2, r3, [r1], #8
             ldrd r12, lr, [r0], #8
             smlad r4, r2, r12, r4
             smlad r5, r2, lr, r5
             smlad r8, r3, r12, r8
             smlad r9, r3, lr, r9
             ldrd r12, lr, [r0], #8
             smlad r6, r2, r12, r6
             smlad r7, r2, lr, r7
             smlad r10, r3, r12, r10
             smlad r11, r3, lr, r11
             ldrd r12, lr, [r0], #8
             sxtb16 r2, r2, ror #8
             sxtb16 r3, r3, ror #8
             smlad r4, r2, r12, r4
             smlad r5, r2, lr, r5
             smlad r8, r3, r12, r8
             smlad r9, r3, lr, r9
             ldrd r12, lr, [r0], #8
             smlad r6, r2, r12, r6
             smlad r7, r2, lr, r7
             smlad r10, r3, r12, r10
             smlad r11, r3, lr, r11"
        };
    }
    // Requantizes four accumulators by the record at r12, whose multiplier, offset and shift go to r2, r3 and lr. A left
    // shift by L is L saturating doublings.
    macro_rules! requantize {
        ($a:literal, $b:literal, $c:literal, $d:literal, $at:literal) => {
            concat!(
                "ldr lr, [r12, #",
                $at,
                " + 12]\n",
                "ldrd r2, r3, [r12, #",
                $at,
                " + 4]\n",
                "ands r0, lr, #0xff00\n",
                "beq 7f\n",
                "lsrs r0, r0, #8\n",
                "6:\n",
                "qadd ",
                $a,
                ", ",
                $a,
                ", ",
                $a,
                "\n",
                "qadd ",
                $b,
                ", ",
                $b,
                ", ",
                $b,
                "\n",
                "qadd ",
                $c,
                ", ",
                $c,
                ", ",
                $c,
                "\n",
                "qadd ",
                $d,
                ", ",
                $d,
                ", ",
                $d,
                "\n",
                "subs r0, r0, #1\n",
                "bne 6b\n",
                "7:\n",
                "smmla ",
                $a,
                ", ",
                $a,
                ", r2, r3\n",
                "smmla ",
                $b,
                ", ",
                $b,
                ", r2, r3\n",
                "smmla ",
                $c,
                ", ",
                $c,
                ", r2, r3\n",
                "smmla ",
                $d,
                ", ",
                $d,
                ", r2, r3\n",
                "asr ",
                $a,
                ", ",
                $a,
                ", lr\n",
                "asr ",
                $b,
                ", ",
                $b,
                ", lr\n",
                "asr ",
                $c,
                ", ",
                $c,
                ", lr\n",
                "asr ",
                $d,
                ", ",
                $d,
                ", lr\n",
                "ssat ",
                $a,
                ", #8, ",
                $a,
                "\n",
                "ssat ",
                $b,
                ", #8, ",
                $b,
                "\n",
                "ssat ",
                $c,
                ", #8, ",
                $c,
                "\n",
                "ssat ",
                $d,
                ", #8, ",
                $d,
                "\n",
            )
        };
    }
    macro_rules! clamp {
        ($($q:literal),*) => {
            concat!($(
                "cmp ", $q, ", r2\nit lt\nmovlt ", $q, ", r2\n",
                "cmp ", $q, ", r3\nit gt\nmovgt ", $q, ", r3\n",
            )*)
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldr r2, [r0, #{x_end}]",
        "push {{r0, r2}}",
        // A pair of rows. The second one of a last row alone is a copy of it, and not stored.
        "1:",
        "ldrd r2, r3, [r0, #{rows}]",
        "ldr r12, [r3]",
        "cmp r2, #1",
        "it hi",
        "addhi r3, r3, #16",
        "ldr lr, [r3]",
        "add r2, r0, #{folded}",
        "ldm r2, {{r8, r9, r10, r11}}",
        "sub r4, r12, r8",
        "sub r5, r12, r9",
        "sub r6, r12, r10",
        "sub r7, r12, r11",
        "sub r8, lr, r8",
        "sub r9, lr, r9",
        "sub r10, lr, r10",
        "sub r11, lr, r11",
        "ldrd r0, r2, [r0, #{x}]",
        // An odd number of steps begins in the middle of the loop.
        "sub r2, r2, r0",
        "lsls r2, r2, #26",
        "bmi 3f",
        "2:",
        step!(),
        "3:",
        step!(),
        "ldr r12, [sp, #4]",
        "cmp r0, r12",
        "bne 2b",
        "ldr r0, [sp]",
        "ldr r12, [r0, #{channel}]",
        requantize!("r4", "r5", "r6", "r7", "0"),
        "ldr r0, [sp]",
        "ldr r2, [r0, #{rows}]",
        "cmp r2, #1",
        "beq 4f",
        requantize!("r8", "r9", "r10", "r11", "16"),
        "ldr r0, [sp]",
        "4:",
        "ldrd r2, r3, [r0, #{bounds}]",
        "sub lr, r3, r2",
        "cmp lr, #255",
        "beq 5f",
        clamp!("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"),
        "5:",
        "ldr r12, [r0, #{rows}]",
        "subs r12, r12, #2",
        "str r12, [r0, #{rows}]",
        "ldr r12, [r0, #{channel}]",
        "add r12, r12, #32",
        "str r12, [r0, #{channel}]",
        "add r12, r0, #{out}",
        "ldm r12, {{r0, r2, r3, lr}}",
        "blo 8f",
        // The first pixel last: others may share its place.
        "strb r11, [lr, #1]",
        "strb r7, [lr], #2",
        "strb r10, [r3, #1]",
        "strb r6, [r3], #2",
        "strb r9, [r2, #1]",
        "strb r5, [r2], #2",
        "strb r8, [r0, #1]",
        "strb r4, [r0], #2",
        "stm r12, {{r0, r2, r3, lr}}",
        "ldr r0, [sp]",
        "bne 1b",
        "b 9f",
        "8:",
        "strb r7, [lr]",
        "strb r6, [r3]",
        "strb r5, [r2]",
        "strb r4, [r0]",
        "9:",
        "pop {{r0, r2}}",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        rows = const core::mem::offset_of!(Tile, rows),
        channel = const core::mem::offset_of!(Tile, channel),
        x = const core::mem::offset_of!(Tile, x),
        x_end = const core::mem::offset_of!(Tile, x_end),
        folded = const core::mem::offset_of!(Tile, folded),
        out = const core::mem::offset_of!(Tile, out),
        bounds = const core::mem::offset_of!(Tile, bounds),
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe extern "C" fn multiply(tile: &mut Tile, mut weights: *const u32) {
    // SAFETY: one end of the caller's range follows the other.
    let words = unsafe { tile.x_end.offset_from(tile.x) } as usize;
    while tile.rows > 0 {
        let pair = tile.rows.min(2);
        for row in 0..pair {
            // SAFETY: `row` is one of the `rows` records left; for each pair the weights hold a word a row for every
            // eight words of x.
            let channel = unsafe { &*tile.channel.add(row) };
            for pixel in (0..PIXELS).rev() {
                let mut acc = channel.bias.wrapping_sub(tile.folded[pixel]);
                for k in 0..words / 8 {
                    // SAFETY: as above.
                    let (w, even, odd) = unsafe {
                        let x = tile.x.add(8 * k + pixel);
                        (*weights.add(2 * k + row), *x, *x.add(PIXELS))
                    };
                    acc = smlad(sxtb16_ror8(w), odd, smlad(w, even, acc));
                }
                // SAFETY: each pixel's place has room for the rows left.
                unsafe { *tile.out[pixel].add(row) = tile.bounds.requantize(acc, channel) };
            }
        }
        // SAFETY: the pair's weights, records and outputs are behind; the ends of the ranges are allowed.
        unsafe {
            weights = weights.add(words / 4);
            tile.channel = tile.channel.add(pair);
            tile.out = tile.out.map(|out| out.add(pair));
        }
        tile.rows -= pair;
    }
}
