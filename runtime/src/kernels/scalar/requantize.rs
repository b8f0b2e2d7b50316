//! The rounding rule of [`crate::requantize`] over a few accumulators at once.

use crate::format::ChannelRecord;
use crate::requantize::shift_left_saturating;

/// What outputs of a layer have in common.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    low: i32,
    high: i32,
    /// Whether any channel has a left shift: rare, since it takes a scale of ¼ or more.
    left: bool,
}

impl Rounding {
    pub fn new((low, high): (i8, i8), channels: &[ChannelRecord]) -> Self {
        Self { low: low.into(), high: high.into(), left: has_left_shift(channels) }
    }

    /// Requantizes one sum of each channel, biases not yet added, to bytes behind one another.
    ///
    /// # Safety
    /// `out` is valid for writes of `channels.len()` bytes, which nothing else refers to.
    #[inline(always)]
    pub unsafe fn channels(&self, acc: &mut [i32], channels: &[ChannelRecord], out: *mut i8) {
        let len = acc.len().min(channels.len());
        let acc = &mut acc[..len];
        if self.left {
            acc.iter_mut().zip(channels).for_each(|(acc, channel)| shift(acc, channel));
        }
        // SAFETY: the caller's promise; there are `len` channels.
        unsafe { write(acc, channels.as_ptr(), out, self) };
    }
}

/// Whether any channel has a left shift.
pub(super) fn has_left_shift(channels: &[ChannelRecord]) -> bool {
    channels.iter().any(|channel| channel.left != 0)
}

/// Applies the bounds of a layer to outputs that are saturated to int8 already; most layers have no others.
pub(super) fn clamp((low, high): (i8, i8), output: &mut [i8]) {
    if (low, high) != (i8::MIN, i8::MAX) {
        output.iter_mut().for_each(|q| *q = (*q).max(low).min(high));
    }
}

/// Makes `acc` such that, the bias added, it is the shifted accumulator.
#[cold]
#[inline(never)]
fn shift(acc: &mut i32, channel: &ChannelRecord) {
    let shifted = shift_left_saturating(acc.wrapping_add(channel.bias), channel.left);
    *acc = shifted.wrapping_sub(channel.bias);
}

/// Requantizes every sum by `channel`, the one behind it, and so on, without left shift, to bytes behind one another.
///
/// # Safety
/// `channel` is valid for reads of all channels that this names, `out` for writes of the bytes.
#[cfg(not(all(target_arch = "arm", narrow_multiply)))]
#[inline(always)]
unsafe fn write(acc: &[i32], channel: *const ChannelRecord, out: *mut i8, rounding: &Rounding) {
    for (i, &acc) in acc.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let channel = &*channel.add(i);
            let acc = i64::from(acc.wrapping_add(channel.bias));
            let high = ((acc * i64::from(channel.multiplier)) >> 32) as i32;
            let q = high.wrapping_add(channel.offset) >> (channel.shift & 31);
            *out.add(i) = q.max(rounding.low).min(rounding.high) as i8;
        }
    }
}

/// The same for Armv6-M.
///
/// # Safety
/// As above.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[inline(always)]
unsafe fn write(acc: &[i32], channel: *const ChannelRecord, out: *mut i8, rounding: &Rounding) {
    if acc.is_empty() {
        return;
    }
    let end = acc.as_ptr().wrapping_add(acc.len());
    // SAFETY: the caller's promise.
    unsafe { write_narrow(acc.as_ptr(), channel, out, &End { end, low: rounding.low, high: rounding.high }) };
}

/// Where [`write_narrow`] ends, and its bounds.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[repr(C)]
struct End {
    end: *const i32,
    low: i32,
    high: i32,
}

/// The instructions that multiply a sum by m: r3 becomes the high word of the product, from the halves of the sum in r3 (the
/// upper one, signed) and r4, and those of m in r5 and r6. They change r4, r6 and r7.
///
/// With a sum of 2¹⁶·A + a and an m of 2¹⁶·M + μ it is A·M + (middle >> 16) + ((a·M + (middle & 0xffff)) >> 16), where middle =
/// A·μ + (a·μ >> 16), and no sum leaves 32 bits.
#[cfg(all(target_arch = "arm", narrow_multiply))]
macro_rules! high_word {
    () => {
        "mov r7, r4
         muls r7, r6, r7
         lsrs r7, r7, #16
         muls r6, r3, r6
         adds r6, r6, r7
         muls r4, r5, r4
         muls r3, r5, r3
         uxth r7, r6
         asrs r6, r6, #16
         adds r4, r4, r7
         asrs r4, r4, #16
         adds r3, r3, r6
         adds r3, r3, r4"
    };
}
#[cfg(all(target_arch = "arm", narrow_multiply))]
pub(super) use high_word;

/// Requantizes from `acc` up to its end.
///
/// # Safety
/// As [`write`]; there is at least one output.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
unsafe extern "C" fn write_narrow(acc: *const i32, channel: *const ChannelRecord, out: *mut i8, end: &End) {
    // r10: end; r11, r12: bounds.
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r6, r7}}",
        "ldmia r3!, {{r5, r6, r7}}",
        "mov r10, r5",
        "mov r11, r6",
        "mov r12, r7",
        "2:",
        "ldmia r0!, {{r3}}",
        "ldmia r1!, {{r4, r5}}",
        "adds r3, r3, r4",
        "uxth r4, r3",
        "asrs r3, r3, #16",
        "uxth r6, r5",
        "lsrs r5, r5, #16",
        high_word!(),
        "ldmia r1!, {{r4, r5}}",
        "adds r3, r3, r4",
        // The lowest byte of the word is the shift.
        "asrs r3, r5",
        "cmp r3, r11",
        "bge 3f",
        "mov r3, r11",
        "3:",
        "cmp r3, r12",
        "ble 4f",
        "mov r3, r12",
        "4:",
        "strb r3, [r2]",
        "adds r2, r2, #1",
        "cmp r0, r10",
        "bne 2b",
        "pop {{r6, r7}}",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4, r5, r6, r7, pc}}",
    )
}
