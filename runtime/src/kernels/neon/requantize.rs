//! The rounding rule of [`crate::requantize`] on four accumulators at once: SQSHL where a layer has left shifts, SQDMULH,
//! SRSHL by −(n − 31), then saturation to 16 bits, the zero point, saturation to 8 bits, the layer's bounds.
//!
//! SQDMULH rounds (acc' · m) / 2³¹ down; adding half and shifting by n − 31 rounds the exact product once, since
//! rounding down twice is rounding down once. Saturation to 16 bits before the zero point is added changes no result
//! that fits 8 bits, nor the end of the range to which another one saturates.

use super::lanes::{
    I8x16, I16x8, I32x4, add16_saturating, invert, max8, min8, mul_high_doubled, narrow8, narrow16,
    shift_left_saturating, shift_rounding, splat8, splat16, upper_bytes,
};
use super::memory::load_channels;
use crate::format::ChannelRecord;

/// What four channels are requantized by.
#[derive(Clone, Copy)]
pub(super) struct Four {
    /// Start values of the accumulators.
    pub bias: I32x4,
    multiplier: I32x4,
    /// −(n − 31) in the low bytes.
    shift: I32x4,
    left: I32x4,
}

impl Four {
    /// # Safety
    /// `channels` is valid for reads of four records.
    #[inline(always)]
    pub unsafe fn load(channels: *const ChannelRecord) -> Self {
        // SAFETY: the caller's promise.
        let [bias, multiplier, _, shifts] = unsafe { load_channels(channels) };
        // −(n − 31) = −(shift + 1) is the inverted shift.
        Self { bias, multiplier, shift: invert(shifts), left: upper_bytes(shifts) }
    }

    /// Accumulators to values without zero point; `LEFT` says whether a channel of the layer has a left shift.
    #[inline(always)]
    pub fn scale<const LEFT: bool>(&self, acc: I32x4) -> I32x4 {
        let acc = if LEFT { shift_left_saturating(acc, self.left) } else { acc };
        shift_rounding(mul_high_doubled(acc, self.multiplier), self.shift)
    }
}

/// What all channels of a layer share: zero point and bounds of the output.
#[derive(Clone, Copy)]
pub(super) struct Output {
    zero_point: I16x8,
    low: I8x16,
    high: I8x16,
    /// Whether any channel has a left shift.
    pub left: bool,
}

impl Output {
    /// Of a layer's channels, whose zero points the operator found equal.
    pub fn new(channels: &[ChannelRecord], (low, high): (i8, i8)) -> Self {
        // The rest of the offset is half a unit.
        let zero_point = channels.first().map_or(0, |c| c.offset >> (c.shift & 31)) as i16;
        let left = channels.iter().fold(0, |any, c| any | c.left) != 0;
        Self { zero_point: splat16(zero_point), low: splat8(low), high: splat8(high), left }
    }

    /// Eight scaled values with the zero point.
    #[inline(always)]
    pub fn shift(&self, a: I32x4, b: I32x4) -> I16x8 {
        add16_saturating(narrow16(a, b), self.zero_point)
    }

    /// Sixteen outputs.
    #[inline(always)]
    pub fn clamp(&self, a: I16x8, b: I16x8) -> I8x16 {
        min8(max8(narrow8(a, b), self.low), self.high)
    }
}
