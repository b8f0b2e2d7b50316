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
use crate::kernels::convolution::Convolution;
use crate::kernels::element::{self, Weights};
use crate::kernels::window::{Axis, Window};
use crate::packing::MatrixOrder;

/// Fast for weights in dsp order; [`element`] does the rest.
#[inline]
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
        && !input.is_empty()
        && weights.len() == order.bytes()
        && weights.as_ptr().cast::<u32>().is_aligned()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        // Each input element is a channel of an image of one pixel.
        let axis = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, padding: 0 };
        let conv = Convolution {
            window: Window { y: axis, x: axis },
            c_in: order.k,
            c_out: order.rows,
            groups: 1,
            family: order.family,
            weights,
            channels,
            activation,
            zero_point: 0,
        };
        return element::channels(&conv, Weights::Matrix(order), input, (0, order.rows), output);
    }
    let (words, rest) = input.as_chunks::<4>();
    let mut tail = [0; 4];
    tail[..rest.len()].copy_from_slice(rest);
    // SAFETY: an array of four bytes is valid for a load.
    let even = |sum, word: &[i8; 4]| add_even(sxtb16(unsafe { load(word.as_ptr()) }), sum);
    // Zeros add nothing, so that the tail counts whether or not there is one.
    let even = words.iter().chain([&tail]).fold(0, even);
    let bounds = Bounds::new(activation);
    let [low, high] = bounds.bytes();
    let (quads, others) = channels.as_chunks::<4>();
    let (outputs, other_outputs) = output.as_chunks_mut::<4>();
    let mut rows = Rows {
        quads: quads.len(),
        x: words.as_ptr_range().start.cast(),
        x_end: words.as_ptr_range().end.cast(),
        tail,
        has_tail: usize::from(!rest.is_empty()),
        channel: quads.as_ptr().cast(),
        out: outputs.as_mut_ptr().cast(),
        folded: even.wrapping_mul(128),
        weights: weights.as_ptr().cast(),
        low,
        high,
    };
    if !quads.is_empty() {
        // SAFETY: `assumed` holds: four words of weights for every four rows and every word of x, the tail included; x is not
        // empty; four records and four outputs a quad.
        unsafe { multiply(&mut rows) };
    }
    if let [first, ..] = others {
        let (mut records, mut out) = ([*first; 4], [0; 4]);
        records[..others.len()].copy_from_slice(others);
        (rows.quads, rows.channel, rows.out) = (1, records.as_ptr(), out.as_mut_ptr());
        // SAFETY: as above; the weights have a last quad of rows, some of them filled up.
        unsafe { multiply(&mut rows) };
        other_outputs.copy_from_slice(&out[..others.len()]);
    }
}

/// What [`multiply`] works on. The layout is known to its instructions.
#[repr(C)]
struct Rows {
    /// Fours of rows left.
    quads: usize,
    channel: *const ChannelRecord,
    weights: *const u32,
    out: *mut i8,
    x: *const i8,
    x_end: *const i8,
    /// Elements behind the last whole word of x, filled up with zeros.
    tail: [i8; 4],
    has_tail: usize,
    /// What the input takes off every accumulator.
    folded: i32,
    /// Lowest and highest output, in every byte.
    low: u32,
    high: u32,
}

/// Computes four outputs a quad. Afterwards `weights` points behind those read.
///
/// # Safety
/// - There is a quad. `channel` is valid for reads of 4 records a quad, `out` for writes of 4 bytes a quad, to which nothing
///   else in use refers.
/// - `x..x_end` are whole words, valid for reads; there is one or `has_tail` is 1. `weights` is aligned and valid for reads
///   of 4 words a quad for each word of x and for the tail.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn multiply(rows: &mut Rows) {
    // r4..r7: accumulators; r8..r11: weights of each row; r0: x; r1: weights; r2: end of x; r3, lr: a word of x;
    // r12: what turns REV16 into a widened word. [sp]: the rows.
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
    // Requantizes one accumulator by the record at r10. A left shift by L is L saturating doublings.
    macro_rules! requantize {
        ($acc:literal, $at:literal) => {
            concat!(
                "ldr r3, [r10, #",
                $at,
                " + 12]\n",
                "ldrd r8, r9, [r10, #",
                $at,
                " + 4]\n",
                "ands r2, r3, #0xff00\n",
                "beq 7f\n",
                "lsrs r2, r2, #8\n",
                "6:\n",
                "qadd ",
                $acc,
                ", ",
                $acc,
                ", ",
                $acc,
                "\n",
                "subs r2, r2, #1\n",
                "bne 6b\n",
                "7:\n",
                "smmla ",
                $acc,
                ", ",
                $acc,
                ", r8, r9\n",
                "asrs ",
                $acc,
                ", ",
                $acc,
                ", r3\n",
                "ssat ",
                $acc,
                ", #8, ",
                $acc,
                "\n",
            )
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r0, r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "movw r12, #0xff80",
        "movt r12, #0xff80",
        "1:",
        "ldr r1, [r0, #{weights}]",
        "ldr r10, [r0, #{channel}]",
        "ldr r3, [r0, #{folded}]",
        "ldr r4, [r10]",
        "ldr r5, [r10, #16]",
        "ldr r6, [r10, #32]",
        "ldr r7, [r10, #48]",
        "subs r4, r4, r3",
        "subs r5, r5, r3",
        "subs r6, r6, r3",
        "subs r7, r7, r3",
        "ldrd r0, r2, [r0, #{x}]",
        "subs r3, r2, r0",
        "beq 4f",
        // An odd number of steps begins in the middle of the loop.
        "lsls r3, r3, #29",
        "bmi 3f",
        "2:",
        step!(),
        "3:",
        step!(),
        "cmp r0, r2",
        "bne 2b",
        "4:",
        // The tail, once: afterwards x ends in it.
        "ldr r3, [sp]",
        "add r8, r3, #{tail} + 4",
        "cmp r0, r8",
        "beq 5f",
        "ldr r9, [r3, #{has_tail}]",
        "cmp r9, #0",
        "beq 5f",
        "sub r0, r8, #4",
        "mov r2, r8",
        "b 3b",
        "5:",
        "ldr r0, [sp]",
        "str r1, [r0, #{weights}]",
        "ldr r10, [r0, #{channel}]",
        requantize!("r4", "0"),
        requantize!("r5", "16"),
        requantize!("r6", "32"),
        requantize!("r7", "48"),
        "add r10, r10, #64",
        "str r10, [r0, #{channel}]",
        "bfi r4, r5, #8, #8",
        "bfi r4, r6, #16, #8",
        "bfi r4, r7, #24, #8",
        // In every byte the greater of output and lowest, then the lesser of that and highest.
        "ldrd r8, r9, [r0, #{low}]",
        "ssub8 r1, r4, r8",
        "sel r4, r4, r8",
        "ssub8 r1, r9, r4",
        "sel r4, r4, r9",
        "ldr r1, [r0, #{out}]",
        "str r4, [r1], #4",
        "str r1, [r0, #{out}]",
        "ldr r1, [r0, #{quads}]",
        "subs r1, r1, #1",
        "str r1, [r0, #{quads}]",
        "bne 1b",
        "pop {{r0, r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        quads = const core::mem::offset_of!(Rows, quads),
        channel = const core::mem::offset_of!(Rows, channel),
        weights = const core::mem::offset_of!(Rows, weights),
        out = const core::mem::offset_of!(Rows, out),
        x = const core::mem::offset_of!(Rows, x),
        tail = const core::mem::offset_of!(Rows, tail),
        has_tail = const core::mem::offset_of!(Rows, has_tail),
        folded = const core::mem::offset_of!(Rows, folded),
        low = const core::mem::offset_of!(Rows, low),
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn multiply(rows: &mut Rows) {
    let bound = |bytes: u32| bytes as i8;
    let bounds = Bounds::new((bound(rows.low), bound(rows.high)));
    for _ in 0..rows.quads {
        // SAFETY: the caller's promise.
        unsafe {
            let words = rows.x_end.offset_from(rows.x) as usize / 4;
            for row in 0..4 {
                let channel = &*rows.channel.add(row);
                let mut acc = channel.bias.wrapping_sub(rows.folded);
                for word in 0..words + rows.has_tail {
                    let x = if word < words { rows.x.wrapping_add(4 * word) } else { rows.tail.as_ptr() };
                    let ((even, odd), w) = (widen(load(x)), *rows.weights.add(4 * word + row));
                    acc = smlad(sxtb16_ror8(w), odd, smlad(w, even, acc));
                }
                *rows.out.add(row) = bounds.requantize(acc, channel);
            }
            rows.weights = rows.weights.add(4 * (words + rows.has_tail));
            rows.channel = rows.channel.add(4);
            rows.out = rows.out.add(4);
        }
    }
    rows.quads = 0;
}
