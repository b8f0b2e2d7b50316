//! The rounding rule of [`crate::requantize`] for four channels at a time.
//!
//! VQDMULH yields ⌊acc' · m ⁄ 2³¹⌋, and VRSHL by −(n − 31) rounds its quotient by 2ⁿ⁻³¹ half up, without overflow: what
//! the first drops lies below the bits that the second looks at, so both together are (acc' · m + 2ⁿ⁻¹) >> n. The
//! zero point is added behind that. VQDMULH saturates for acc' = m = −2³¹ alone, and m is not negative. A record holds
//! n − 32, of which the bitwise complement is −(n − 31), and a vector shift looks at the lowest byte of a lane only.

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::ChannelRecord;

/// Accumulators of four channels, and where their results go.
#[repr(C)]
pub(super) struct Quads<'a> {
    /// One entry a pixel, without bias.
    pub acc: *const [i32; 4],
    /// The channels.
    pub channels: &'a [ChannelRecord; 4],
    /// The first pixel's results.
    pub out: *mut i8,
    /// Number of pixels.
    pub pixels: usize,
    /// Bytes from one pixel's results to those of the next.
    pub pitch: usize,
    /// Lowest and highest result.
    pub activation: (i8, i8),
}

/// Requantizes four channels of every pixel; `left` says whether a channel may have a left shift.
///
/// # Safety
/// `acc` is valid for reads of `pixels` entries, `out` for writes of four bytes at each of `pixels` places, which
/// nothing else refers to; `pixels` is not 0. The four channels have one zero point.
#[inline(always)]
pub(super) unsafe fn requantize_quads(quads: &Quads<'_>, left: bool) {
    // SAFETY: the caller's promise.
    unsafe { if left { with_left_shift(quads) } else { without_left_shift(quads) } }
}

/// Defines one of the two: `$shift` stands between bias and product.
#[cfg(target_arch = "arm")]
macro_rules! quads {
    ($(#[$doc:meta])* $name:ident, $shift:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(quads: &Quads<'_>) {
            // r1: acc; r2: channels; r3: out; r5: pitch; r0: zero point; r4, r12: bounds; lr: pixels left. q1, q4, q5, q7:
            // left shift, bias, m, −(n − 31); q2, q3: bounds.
            core::arch::naked_asm!(
                helium_core!(),
                "push {{r4, r5, r6, lr}}",
                "vpush {{d8-d15}}",
                "ldm r0, {{r1, r2, r3, lr}}",
                "ldr r5, [r0, {pitch}]",
                "ldrsb r4, [r0, {low}]",
                "ldrsb r12, [r0, {high}]",
                "vld40.32 {{q4, q5, q6, q7}}, [r2]",
                "vld41.32 {{q4, q5, q6, q7}}, [r2]",
                "vld42.32 {{q4, q5, q6, q7}}, [r2]",
                "vld43.32 {{q4, q5, q6, q7}}, [r2]",
                // The zero point is what the first record's offset holds above its rounding.
                "ldr r0, [r2, {offset}]",
                "ldrb r2, [r2, {shift}]",
                "asrs r0, r2",
                "vshr.u32 q1, q7, #8",
                "vmvn q7, q7",
                "vdup.32 q2, r4",
                "vdup.32 q3, r12",
                "dls lr, lr",
                "2:",
                "vldrw.u32 q0, [r1], #16",
                "vadd.i32 q0, q0, q4",
                $shift,
                "vqdmulh.s32 q0, q0, q5",
                "vrshl.s32 q0, q0, q7",
                "vadd.i32 q0, q0, r0",
                "vmax.s32 q0, q0, q2",
                "vmin.s32 q0, q0, q3",
                "vstrb.32 q0, [r3]",
                "add r3, r5",
                "le lr, 2b",
                "vpop {{d8-d15}}",
                "pop {{r4, r5, r6, pc}}",
                pitch = const core::mem::offset_of!(Quads<'_>, pitch),
                low = const core::mem::offset_of!(Quads<'_>, activation.0),
                high = const core::mem::offset_of!(Quads<'_>, activation.1),
                offset = const core::mem::offset_of!(ChannelRecord, offset),
                shift = const core::mem::offset_of!(ChannelRecord, shift),
            )
        }
    };
}

#[cfg(target_arch = "arm")]
quads! {
    /// # Safety
    /// As [`requantize_quads`].
    with_left_shift, "vqshl.s32 q0, q0, q1"
}

#[cfg(target_arch = "arm")]
quads! {
    /// # Safety
    /// As [`requantize_quads`], and no channel has a left shift.
    without_left_shift, ""
}

/// The model of either function above.
///
/// # Safety
/// As [`requantize_quads`].
#[cfg(not(target_arch = "arm"))]
unsafe fn with_left_shift(quads: &Quads<'_>) {
    let Quads { acc, channels, out, pixels, pitch, activation: (low, high) } = *quads;
    let zero_point = channels[0].offset >> channels[0].shift;
    for pixel in 0..pixels {
        for (i, channel) in channels.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let acc = (*acc.add(pixel))[i];
                let value = rounded(acc.wrapping_add(channel.bias), channel).wrapping_add(zero_point);
                *out.add(pixel * pitch + i) = value.max(low.into()).min(high.into()) as i8;
            }
        }
    }
}

#[cfg(not(target_arch = "arm"))]
use with_left_shift as without_left_shift;

/// VQSHL, VQDMULH and VRSHL of one lane.
#[cfg(not(target_arch = "arm"))]
pub(super) fn rounded(acc: i32, channel: &ChannelRecord) -> i32 {
    let exact = i64::from(acc) << channel.left;
    let acc = exact.clamp(i32::MIN.into(), i32::MAX.into());
    let doubled = (acc * i64::from(channel.multiplier)) >> 31;
    ((doubled + (1 << channel.shift)) >> (channel.shift + 1)) as i32
}
