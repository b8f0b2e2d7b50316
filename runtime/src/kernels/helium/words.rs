//! Depthwise windows of up to 4 × 4 taps: one dot product a window.
//!
//! A line of words holds, for every column and channel, the bytes of up to four rows of the input: word `(x, c)` is
//! `(row 0, row 1, row 2, row 3)`. A window of one channel is then up to four words, which one VLDRW gathers, and one
//! VMLADAV multiplies with weights in the same order: 16 products, of which a 3 × 3 window fills 9.

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::ChannelRecord;

/// Interleaves bytes of four rows: word i of `to` becomes `(rows[0][i], rows[1][i], rows[2][i], rows[3][i])`.
///
/// # Safety
/// Each row is valid for reads of `len` bytes, `to` for writes of 4 · len, rounded up to a multiple of 64; no row lies
/// within these.
#[inline(always)]
pub(super) unsafe fn interleave(rows: [*const i8; 4], len: usize, to: *mut i8) {
    #[cfg(target_arch = "arm")]
    // SAFETY: whole vectors are read and written as often as they fit, and the last loads read only what is left; the
    // stores behind them write the rounded end. Registers that change are declared.
    unsafe {
        core::arch::asm!(
            helium_core!(),
            "wls lr, {vectors}, 3f",
            "2:",
            "vldrb.8 q0, [{a}], #16",
            "vldrb.8 q1, [{b}], #16",
            "vldrb.8 q2, [{c}], #16",
            "vldrb.8 q3, [{d}], #16",
            "vst40.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst41.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst42.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst43.8 {{q0, q1, q2, q3}}, [{to}]!",
            "le lr, 2b",
            "3:",
            "cmp {rest}, #0",
            "beq 4f",
            "vctp.8 {rest}",
            "vpstttt",
            "vldrbt.8 q0, [{a}]",
            "vldrbt.8 q1, [{b}]",
            "vldrbt.8 q2, [{c}]",
            "vldrbt.8 q3, [{d}]",
            "vst40.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst41.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst42.8 {{q0, q1, q2, q3}}, [{to}]",
            "vst43.8 {{q0, q1, q2, q3}}, [{to}]",
            "4:",
            vectors = in(reg) len / 16,
            rest = in(reg) len % 16,
            a = inout(reg) rows[0] => _,
            b = inout(reg) rows[1] => _,
            c = inout(reg) rows[2] => _,
            d = inout(reg) rows[3] => _,
            to = inout(reg) to => _,
            out("lr") _,
            out("q0") _,
            out("q1") _,
            out("q2") _,
            out("q3") _,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "arm"))]
    for i in 0..len.next_multiple_of(16) {
        for (row, from) in rows.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *to.add(4 * i + row) = if i < len { *from.add(i) } else { 0 } };
        }
    }
}

/// A line of outputs.
#[repr(C)]
pub(super) struct Line {
    /// Byte offsets of the four words of the first window.
    pub taps: [u32; 4],
    /// Byte offsets of the four words of weights of a channel, in the order of the taps.
    pub planes: [u32; 4],
    /// The first channel's word that the offsets count from.
    pub words: *const i8,
    /// Words of weights.
    pub weights: *const i8,
    pub channels: *const ChannelRecord,
    pub out: *mut i8,
    /// Outputs, and fours of channels.
    pub pixels: usize,
    pub quads: usize,
    /// Bytes from one output's words, and from its results, to those of the next.
    pub step: usize,
    pub pitch: usize,
    pub zero_point: i32,
    /// Lowest and highest result.
    pub activation: (i8, i8),
}

/// Computes a line of outputs; `left` says whether a channel may have a left shift.
///
/// # Safety
/// - For each output and channel, the taps are offsets of aligned words from `words` that are valid for reads, and so are
///   the planes from `weights`, channels being a word apart and outputs `step` bytes.
/// - `channels` holds four records for each of `quads`, all with one zero point; `out` is valid for writes of as many
///   results for each output, `pitch` bytes apart, which nothing else refers to.
/// - Neither `pixels` nor `quads` is 0.
#[inline(always)]
pub(super) unsafe fn multiply(line: &Line, left: bool) {
    // SAFETY: the caller's promise.
    unsafe { if left { with_left_shift(line) } else { without_left_shift(line) } }
}

/// Defines one of the two: `$one` and `$two` stand between bias and product of one result and of two.
#[cfg(target_arch = "arm")]
macro_rules! multiply {
    ($(#[$doc:meta])* $name:ident, $one:expr, $two:expr) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(line: &Line) {
            // r0, r2, r4, r6: sums of four channels; r1: words; r3: weights; r5: channels; r9: pitch; r8: out of the four
            // channels; r7: out; r10: step; r11: line; r12: zero point; lr: pairs of outputs left.
            // q0 … q3: weights of four channels; q4: addresses of the window's words; q5 … q7: words, then results and what
            // they are requantized by. On the stack: bias, m, −(n − 31), left shift, lowest, highest; fours left.
            macro_rules! sums {
                ($to:literal, $a:literal, $b:literal) => {
                    concat!(
                        "vldrw.u32 ", $a, ", [q4]\n",
                        "vldrw.u32 ", $b, ", [q4, #4]\n",
                        "vmladav.s8 r0, ", $a, ", q0\n",
                        "vldrw.u32 ", $a, ", [q4, #8]\n",
                        "vmladav.s8 r2, ", $b, ", q1\n",
                        "vldrw.u32 ", $b, ", [q4, #12]\n",
                        "vmladav.s8 r4, ", $a, ", q2\n",
                        "vadd.i32 q4, q4, r10\n",
                        "vmladav.s8 r6, ", $b, ", q3\n",
                        "vmov ", $to, "[2], ", $to, "[0], r0, r4\n",
                        "vmov ", $to, "[3], ", $to, "[1], r2, r6\n",
                    )
                };
            }
            core::arch::naked_asm!(
                helium_core!(),
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
                "vpush {{d8-d15}}",
                "sub sp, sp, #104",
                "mov r11, r0",
                "ldrsb r0, [r11, {low}]",
                "ldrsb r2, [r11, {high}]",
                "vdup.32 q0, r0",
                "vdup.32 q1, r2",
                "vstrw.32 q0, [sp, #64]",
                "vstrw.32 q1, [sp, #80]",
                "ldr r1, [r11, {words}]",
                "ldr r3, [r11, {weights}]",
                "ldr r5, [r11, {channels}]",
                "ldr r8, [r11, {out}]",
                "ldr r0, [r11, {quads}]",
                "ldr r10, [r11, {step}]",
                "ldr r9, [r11, {pitch}]",
                "ldr r12, [r11, {zero_point}]",
                "2:",
                "str r0, [sp, #96]",
                "vldrw.u32 q4, [r11, {planes}]",
                "vadd.i32 q4, q4, r3",
                "vldrw.u32 q0, [q4]",
                "vldrw.u32 q1, [q4, #4]",
                "vldrw.u32 q2, [q4, #8]",
                "vldrw.u32 q3, [q4, #12]",
                "vld40.32 {{q4, q5, q6, q7}}, [r5]",
                "vld41.32 {{q4, q5, q6, q7}}, [r5]",
                "vld42.32 {{q4, q5, q6, q7}}, [r5]",
                "vld43.32 {{q4, q5, q6, q7}}, [r5]!",
                "vshr.u32 q6, q7, #8",
                "vmvn q7, q7",
                "vstrw.32 q4, [sp]",
                "vstrw.32 q5, [sp, #16]",
                "vstrw.32 q7, [sp, #32]",
                "vstrw.32 q6, [sp, #48]",
                "vldrw.u32 q4, [r11, {taps}]",
                "vadd.i32 q4, q4, r1",
                "mov r7, r8",
                "ldr r0, [r11, {pixels}]",
                "lsrs r2, r0, #1",
                "wls lr, r2, 4f",
                "3:",
                sums!("q5", "q5", "q6"),
                sums!("q6", "q6", "q7"),
                "vldrw.u32 q7, [sp]",
                "vadd.i32 q5, q5, q7",
                "vadd.i32 q6, q6, q7",
                $two,
                "vldrw.u32 q7, [sp, #16]",
                "vqdmulh.s32 q5, q5, q7",
                "vqdmulh.s32 q6, q6, q7",
                "vldrw.u32 q7, [sp, #32]",
                "vrshl.s32 q5, q5, q7",
                "vrshl.s32 q6, q6, q7",
                "vldrw.u32 q7, [sp, #64]",
                "vadd.i32 q5, q5, r12",
                "vadd.i32 q6, q6, r12",
                "vmax.s32 q5, q5, q7",
                "vmax.s32 q6, q6, q7",
                "vldrw.u32 q7, [sp, #80]",
                "vmin.s32 q5, q5, q7",
                "vmin.s32 q6, q6, q7",
                "vstrb.32 q5, [r7]",
                "add r7, r9",
                "vstrb.32 q6, [r7]",
                "add r7, r9",
                "le lr, 3b",
                "4:",
                "ldr r0, [r11, {pixels}]",
                "lsls r0, r0, #31",
                "beq 5f",
                sums!("q5", "q5", "q6"),
                "vldrw.u32 q7, [sp]",
                "vadd.i32 q5, q5, q7",
                $one,
                "vldrw.u32 q7, [sp, #16]",
                "vqdmulh.s32 q5, q5, q7",
                "vldrw.u32 q7, [sp, #32]",
                "vrshl.s32 q5, q5, q7",
                "vldrw.u32 q7, [sp, #64]",
                "vadd.i32 q5, q5, r12",
                "vmax.s32 q5, q5, q7",
                "vldrw.u32 q7, [sp, #80]",
                "vmin.s32 q5, q5, q7",
                "vstrb.32 q5, [r7]",
                "5:",
                "adds r1, #16",
                "adds r3, #16",
                "add r8, r8, #4",
                "ldr r0, [sp, #96]",
                "subs r0, #1",
                "bne 2b",
                "add sp, sp, #104",
                "vpop {{d8-d15}}",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
                taps = const core::mem::offset_of!(Line, taps),
                planes = const core::mem::offset_of!(Line, planes),
                words = const core::mem::offset_of!(Line, words),
                weights = const core::mem::offset_of!(Line, weights),
                channels = const core::mem::offset_of!(Line, channels),
                out = const core::mem::offset_of!(Line, out),
                pixels = const core::mem::offset_of!(Line, pixels),
                quads = const core::mem::offset_of!(Line, quads),
                step = const core::mem::offset_of!(Line, step),
                pitch = const core::mem::offset_of!(Line, pitch),
                zero_point = const core::mem::offset_of!(Line, zero_point),
                low = const core::mem::offset_of!(Line, activation.0),
                high = const core::mem::offset_of!(Line, activation.1),
            )
        }
    };
}

#[cfg(target_arch = "arm")]
multiply! {
    /// # Safety
    /// As [`multiply`], and no channel has a left shift.
    without_left_shift, "", ""
}

#[cfg(target_arch = "arm")]
multiply! {
    /// # Safety
    /// As [`multiply`].
    with_left_shift,
    "vldrw.u32 q7, [sp, #48]\nvqshl.s32 q5, q5, q7",
    "vldrw.u32 q7, [sp, #48]\nvqshl.s32 q5, q5, q7\nvqshl.s32 q6, q6, q7"
}

/// The model of either function above.
///
/// # Safety
/// As [`multiply`].
#[cfg(not(target_arch = "arm"))]
unsafe fn with_left_shift(line: &Line) {
    let (low, high) = line.activation;
    for pixel in 0..line.pixels {
        for c in 0..4 * line.quads {
            // SAFETY: the caller's promise.
            unsafe {
                let channel = &*line.channels.add(c);
                let mut acc = channel.bias;
                for (tap, plane) in line.taps.into_iter().zip(line.planes) {
                    for row in 0..4 {
                        let x = *line.words.add(tap as usize + pixel * line.step + 4 * c + row);
                        let w = *line.weights.add(plane as usize + 4 * c + row);
                        acc = acc.wrapping_add(i32::from(x) * i32::from(w));
                    }
                }
                let q = super::requantize::rounded(acc, channel).wrapping_add(line.zero_point);
                *line.out.add(pixel * line.pitch + c) = q.max(low.into()).min(high.into()) as i8;
            }
        }
    }
}

#[cfg(not(target_arch = "arm"))]
use with_left_shift as without_left_shift;
