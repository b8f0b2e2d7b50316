//! Matrix times vector: four outputs at once share the loads of the input.

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::{ChannelRecord, Family};
use crate::kernels::portable;
use crate::packing::MatrixOrder;

/// Fast for weights in helium order; the portable kernel does the rest.
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    let assumed = order.family == Family::Helium
        && order.k > 0
        && weights.len() == order.bytes()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    let (quads, rest) = channels.as_chunks::<4>();
    let (outputs, rest_output) = output.as_chunks_mut::<4>();
    let (x, k) = (input.as_ptr(), input.len());
    if !quads.is_empty() {
        let out = outputs.as_mut_ptr();
        let (weights, channels) = (weights.as_ptr(), quads.as_ptr());
        // SAFETY: `assumed` holds, so that every four outputs have their weights, records and results.
        unsafe { multiply(&Dense { x, k, weights, channels, out, quads: quads.len(), activation }) };
    }
    if let [first, ..] = rest {
        let (mut channels, mut out) = ([*first; 4], [0; 4]);
        channels[..rest.len()].copy_from_slice(rest);
        let weights = weights[quads.len() * 4 * order.padded_k()..].as_ptr();
        // SAFETY: the weights' rows are rounded up to fours; records and results are filled up here.
        unsafe {
            multiply(&Dense { x, k, weights, channels: &channels, out: &mut out, quads: 1, activation });
        }
        rest_output.copy_from_slice(&out[..rest.len()]);
    }
}

/// A layer, or the outputs of it that come in fours.
#[repr(C)]
struct Dense {
    x: *const i8,
    /// `[quads][k/16][4][16]`.
    weights: *const i8,
    channels: *const [ChannelRecord; 4],
    out: *mut [i8; 4],
    quads: usize,
    k: usize,
    activation: (i8, i8),
}

/// Computes every output; the rounding is explained in [`super::requantize`].
///
/// # Safety
/// `x` is valid for reads of k bytes, `weights`, `channels` and `out` for reads, or writes, of `quads` fours; neither k
/// nor `quads` is 0. All channels have one zero point.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn multiply(dense: &Dense) {
    // r1: x; r3: weights; r5: channels; r7: out; r9: fours left; r10: x from its start; r11: k; r0, r2, r4, r8:
    // accumulators; r6: zero point. q2, q3: bounds; q0: x, then the results; q1, q4 … q7: weights, then left shift, bias,
    // m and −(n − 31).
    core::arch::naked_asm!(
        helium_core!(),
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "vpush {{d8-d15}}",
        "ldr r10, [r0]",
        "ldr r3, [r0, {weights}]",
        "ldr r5, [r0, {channels}]",
        "ldr r7, [r0, {out}]",
        "ldr r9, [r0, {quads}]",
        "ldr r11, [r0, {k}]",
        "ldrsb r1, [r0, {low}]",
        "ldrsb r2, [r0, {high}]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        // The zero point is what the first record's offset holds above its rounding.
        "ldr r6, [r5, {offset}]",
        "ldrb r1, [r5, {shift}]",
        "asrs r6, r1",
        "2:",
        "mov r1, r10",
        "movs r0, #0",
        "movs r2, #0",
        "movs r4, #0",
        "mov r8, r0",
        "dlstp.8 lr, r11",
        "3:",
        "vldrb.8 q0, [r1], #16",
        "vldrb.8 q1, [r3], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q4, [r3], #16",
        "vmladava.s8 r2, q0, q4",
        "vldrb.8 q5, [r3], #16",
        "vmladava.s8 r4, q0, q5",
        "vldrb.8 q6, [r3], #16",
        "vmladava.s8 r8, q0, q6",
        "letp lr, 3b",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r8",
        "vld40.32 {{q4, q5, q6, q7}}, [r5]",
        "vld41.32 {{q4, q5, q6, q7}}, [r5]",
        "vld42.32 {{q4, q5, q6, q7}}, [r5]",
        "vld43.32 {{q4, q5, q6, q7}}, [r5]!",
        "vadd.i32 q0, q0, q4",
        "vshr.u32 q1, q7, #8",
        "vqshl.s32 q0, q0, q1",
        "vmvn q7, q7",
        "vqdmulh.s32 q0, q0, q5",
        "vrshl.s32 q0, q0, q7",
        "vadd.i32 q0, q0, r6",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r7], #4",
        "subs r9, r9, #1",
        "bne 2b",
        "vpop {{d8-d15}}",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
        weights = const core::mem::offset_of!(Dense, weights),
        channels = const core::mem::offset_of!(Dense, channels),
        out = const core::mem::offset_of!(Dense, out),
        quads = const core::mem::offset_of!(Dense, quads),
        k = const core::mem::offset_of!(Dense, k),
        low = const core::mem::offset_of!(Dense, activation.0),
        high = const core::mem::offset_of!(Dense, activation.1),
        offset = const core::mem::offset_of!(ChannelRecord, offset),
        shift = const core::mem::offset_of!(ChannelRecord, shift),
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn multiply(dense: &Dense) {
    let Dense { x, weights, channels, out, quads, k, activation: (low, high) } = *dense;
    let order = MatrixOrder { family: Family::Helium, rows: 4 * quads, k, dense: true };
    for row in 0..order.rows {
        // SAFETY: the caller's fours hold this row.
        unsafe {
            let channel = &(&(*channels.add(row / 4)))[row % 4];
            let zero_point = (*channels)[0].offset >> (*channels)[0].shift;
            let acc = (0..k).fold(channel.bias, |acc, k| {
                acc.wrapping_add(i32::from(*x.add(k)) * i32::from(*weights.add(order.index(row, k))))
            });
            let value = super::requantize::rounded(acc, channel).wrapping_add(zero_point);
            *out.cast::<i8>().add(row) = value.max(low.into()).min(high.into()) as i8;
        }
    }
}
