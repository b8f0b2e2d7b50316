//! The taps of a window times 16 channels: the work of a depthwise convolution.
//!
//! VMULLB and VMULLT yield products of 16 bits, those of even and of odd lanes. Two fit one sum of 16 bits, since no
//! weight is −128: 2 · 127 · 128 < 2¹⁵; VMOVLB and VMOVLT widen that sum for the accumulators, of which number i holds
//! the channels 4·j + i. VQMOVNB and VQMOVNT bring results back into order on the way to bytes.

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::ChannelRecord;

/// Channels of a vector.
pub(super) const LANES: usize = 16;

/// What all outputs of a layer share.
#[repr(C)]
pub(super) struct Window16 {
    /// Byte offsets of the records of channels 0, 4, 8 and 12.
    records: [u32; 4],
    /// Number of taps modulo 2.
    odd: usize,
    /// Pairs of taps behind the first tap or, of an even number, the first pair.
    pairs: usize,
    zero_point: i32,
    /// Whether any record has a left shift.
    left: usize,
    /// Lowest and highest result.
    activation: (i8, i8),
}

impl Window16 {
    pub fn new(taps: usize, channels: &[ChannelRecord], activation: (i8, i8)) -> Self {
        let (odd, pairs) = (taps % 2, (taps - 1) / 2);
        let records = core::array::from_fn(|i| (i * 4 * size_of::<ChannelRecord>()) as u32);
        let zero_point = channels.first().map_or(0, |channel| channel.offset >> channel.shift);
        let left = usize::from(channels.iter().any(|channel| channel.left != 0));
        Self { records, odd, pairs, zero_point, left, activation }
    }
}

/// Outputs whose windows lie equally far from one another.
#[repr(C)]
pub(super) struct Run {
    /// A pointer to the pixel of every tap, for the first output.
    pub table: *const *const i8,
    /// Bytes from there to the first channel.
    pub offset: usize,
    /// `[blocks][taps][16]`.
    pub weights: *const i8,
    /// 16 a block.
    pub channels: *const ChannelRecord,
    /// The first result.
    pub out: *mut i8,
    /// Number of outputs.
    pub pixels: usize,
    /// Bytes of input from one output to the next.
    pub step: usize,
    /// Vectors of an output, one behind the other.
    pub blocks: usize,
    /// Bytes, modulo 2³², from the end of an output's last vector to the next output.
    pub skip: usize,
    /// Lanes of the last vector that count.
    pub lanes: usize,
}

/// Computes the outputs of a run.
///
/// # Safety
/// - `table` has a pointer for each of the window's taps, each valid for reads of `lanes` bytes, if there is one block, or
///   of `16 * blocks` at every output; lanes are 16 for more than one block.
/// - Weights, channels and `out` have for each block what the fields say; `out` is not referred to by anything else.
/// - Neither `pixels` nor `blocks` is 0. All channels have one zero point.
#[inline(always)]
pub(super) unsafe fn multiply(window: &Window16, run: &Run) {
    // SAFETY: the caller's promise.
    unsafe { if run.lanes < LANES { some_lanes(window, run) } else { all_lanes(window, run) } }
}

/// Defines one of the two: `$when` and `$then` make loads of pixels and the store conditional on their lane.
#[cfg(target_arch = "arm")]
macro_rules! multiply {
    ($(#[$doc:meta])* $name:ident, $when:literal, $then:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(window: &Window16, run: &Run) {
            // r0: table; r1, r2: pixels of two taps; r3: weights; r4: offset of the block; r5: channels; r6: out;
            // r7: pairs of taps; r8: outputs left; r9: blocks left; r10: run; r11: window; r12: offset of the output.
            // q0 … q3: accumulators.
            macro_rules! requantize {
                ($acc:literal, $record:literal, $shift:expr) => {
                    concat!(
                        "vldrw.u32 q4, [q7, #", $record, "]\n",
                        "vldrw.u32 q5, [q7, #", $record, " + 12]\n",
                        "vadd.i32 ", $acc, ", ", $acc, ", q4\n",
                        $shift,
                        "vldrw.u32 q4, [q7, #", $record, " + 4]\n",
                        "vmvn q5, q5\n",
                        "vqdmulh.s32 ", $acc, ", ", $acc, ", q4\n",
                        "vrshl.s32 ", $acc, ", ", $acc, ", q5\n",
                        "vadd.i32 ", $acc, ", ", $acc, ", r0\n",
                    )
                };
            }
            macro_rules! shift {
                ($acc:literal) => {
                    concat!("vshr.u32 q6, q5, #8\n", "vqshl.s32 ", $acc, ", ", $acc, ", q6\n")
                };
            }
            core::arch::naked_asm!(
                helium_core!(),
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
                "vpush {{d8-d15}}",
                "mov r11, r0",
                "mov r10, r1",
                "ldr r0, [r10, {lanes}]",
                "vctp.8 r0",
                "ldr r7, [r11, {pairs}]",
                "ldr r12, [r10, {offset}]",
                "ldr r6, [r10, {out}]",
                "ldr r8, [r10, {pixels}]",
                "2:",
                "ldr r3, [r10, {weights}]",
                "ldr r5, [r10, {channels}]",
                "ldr r9, [r10, {blocks}]",
                "mov r4, r12",
                "3:",
                "ldr r0, [r10]",
                "ldr r1, [r11, {odd}]",
                "cbz r1, 4f",
                // The first tap of an odd number.
                "ldr r1, [r0], #4",
                "add r1, r4",
                concat!($when, "vldrb", $then, ".8 q6, [r1]"),
                "vldrb.8 q7, [r3], #16",
                "vmullb.s8 q4, q6, q7",
                "vmullt.s8 q5, q6, q7",
                "b 5f",
                // The first pair of an even number.
                "4:",
                "ldrd r1, r2, [r0], #8",
                "add r1, r4",
                "add r2, r4",
                concat!($when, "vldrb", $then, ".8 q6, [r1]"),
                "vldrb.8 q7, [r3], #16",
                "vmullb.s8 q4, q6, q7",
                "vmullt.s8 q5, q6, q7",
                concat!($when, "vldrb", $then, ".8 q6, [r2]"),
                "vldrb.8 q7, [r3], #16",
                "vmullb.s8 q0, q6, q7",
                "vmullt.s8 q1, q6, q7",
                "vadd.i16 q4, q4, q0",
                "vadd.i16 q5, q5, q1",
                "5:",
                "vmovlb.s16 q0, q4",
                "vmovlb.s16 q1, q5",
                "vmovlt.s16 q2, q4",
                "vmovlt.s16 q3, q5",
                "wls lr, r7, 7f",
                "6:",
                "ldrd r1, r2, [r0], #8",
                "add r1, r4",
                "add r2, r4",
                concat!($when, "vldrb", $then, ".8 q4, [r1]"),
                "vldrb.8 q5, [r3], #16",
                "vmullb.s8 q6, q4, q5",
                "vmullt.s8 q4, q4, q5",
                concat!($when, "vldrb", $then, ".8 q5, [r2]"),
                "vldrb.8 q7, [r3]",
                "vmullb.s8 q7, q5, q7",
                "vadd.i16 q6, q6, q7",
                "vldrb.8 q7, [r3], #16",
                "vmullt.s8 q5, q5, q7",
                "vadd.i16 q4, q4, q5",
                "vmovlb.s16 q7, q6",
                "vmovlt.s16 q6, q6",
                "vadd.i32 q0, q0, q7",
                "vmovlb.s16 q5, q4",
                "vadd.i32 q2, q2, q6",
                "vmovlt.s16 q4, q4",
                "vadd.i32 q1, q1, q5",
                "vadd.i32 q3, q3, q4",
                "le lr, 6b",
                "7:",
                "vldrw.u32 q7, [r11]",
                "ldrd r0, r1, [r11, {zero_point}]",
                "vadd.i32 q7, q7, r5",
                "cmp r1, #0",
                "bne 9f",
                requantize!("q0", "0", ""),
                requantize!("q1", "16", ""),
                requantize!("q2", "32", ""),
                requantize!("q3", "48", ""),
                "8:",
                "ldrsb r0, [r11, {low}]",
                "ldrsb r1, [r11, {high}]",
                "vqmovnb.s32 q0, q0",
                "vqmovnb.s32 q1, q1",
                "vqmovnt.s32 q0, q2",
                "vqmovnt.s32 q1, q3",
                "vqmovnb.s16 q0, q0",
                "vdup.8 q2, r0",
                "vqmovnt.s16 q0, q1",
                "vdup.8 q3, r1",
                "vmax.s8 q0, q0, q2",
                "vmin.s8 q0, q0, q3",
                concat!($when, "vstrb", $then, ".8 q0, [r6], #16"),
                "adds r4, r4, #16",
                "add r5, r5, #256",
                "subs r9, r9, #1",
                "bne 3b",
                "ldr r0, [r10, {step}]",
                "ldr r1, [r10, {skip}]",
                "add r12, r0",
                "add r6, r1",
                "subs r8, r8, #1",
                "bne 2b",
                "vpop {{d8-d15}}",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
                "9:",
                requantize!("q0", "0", shift!("q0")),
                requantize!("q1", "16", shift!("q1")),
                requantize!("q2", "32", shift!("q2")),
                requantize!("q3", "48", shift!("q3")),
                "b 8b",
                lanes = const core::mem::offset_of!(Run, lanes),
                pairs = const core::mem::offset_of!(Window16, pairs),
                odd = const core::mem::offset_of!(Window16, odd),
                zero_point = const core::mem::offset_of!(Window16, zero_point),
                low = const core::mem::offset_of!(Window16, activation.0),
                high = const core::mem::offset_of!(Window16, activation.1),
                offset = const core::mem::offset_of!(Run, offset),
                weights = const core::mem::offset_of!(Run, weights),
                channels = const core::mem::offset_of!(Run, channels),
                out = const core::mem::offset_of!(Run, out),
                pixels = const core::mem::offset_of!(Run, pixels),
                blocks = const core::mem::offset_of!(Run, blocks),
                step = const core::mem::offset_of!(Run, step),
                skip = const core::mem::offset_of!(Run, skip),
            )
        }
    };
}

#[cfg(target_arch = "arm")]
multiply! {
    /// # Safety
    /// As [`multiply`], and all lanes count.
    all_lanes, "", ""
}

#[cfg(target_arch = "arm")]
multiply! {
    /// # Safety
    /// As [`multiply`].
    some_lanes, "vpst\n", "t"
}

/// The model of either function above.
///
/// # Safety
/// As [`multiply`].
#[cfg(not(target_arch = "arm"))]
unsafe fn some_lanes(window: &Window16, run: &Run) {
    let taps = window.odd + 2 * window.pairs + 2 * (1 - window.odd);
    let (low, high) = window.activation;
    let mut out = run.out;
    for pixel in 0..run.pixels {
        for block in 0..run.blocks {
            for lane in 0..run.lanes {
                let at = run.offset + pixel * run.step + block * LANES + lane;
                // SAFETY: the caller's promise.
                unsafe {
                    let channel = &*run.channels.add(block * LANES + lane);
                    let acc = (0..taps).fold(channel.bias, |acc, tap| {
                        let x = i32::from(*(*run.table.add(tap)).add(at));
                        let w = i32::from(*run.weights.add((block * taps + tap) * LANES + lane));
                        acc.wrapping_add(x * w)
                    });
                    let q = super::requantize::rounded(acc, channel).wrapping_add(window.zero_point);
                    *out.add(lane) = q.max(low.into()).min(high.into()) as i8;
                }
            }
            out = out.wrapping_add(LANES);
        }
        out = out.wrapping_add(run.skip);
    }
}

#[cfg(not(target_arch = "arm"))]
use some_lanes as all_lanes;
