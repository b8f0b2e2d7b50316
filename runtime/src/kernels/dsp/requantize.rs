//! The rounding rule of [`crate::requantize`] in three instructions where no left shift and no bounds of the layer's
//! own are needed: SMMLA onto the constant that holds zero point and rounding, arithmetic shift, saturation.

use super::lanes::{asr, smmla, ssat8};
use crate::format::ChannelRecord;
use crate::requantize::shift_left_saturating;

/// Bounds of a layer's outputs.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: i32,
    high: i32,
}

impl Bounds {
    pub fn new((low, high): (i8, i8)) -> Self {
        Self { low: low.into(), high: high.into() }
    }

    /// Whether saturation alone does not apply them.
    pub fn are_narrow(&self) -> bool {
        (self.low, self.high) != (i8::MIN.into(), i8::MAX.into())
    }
}

/// Requantizes one accumulator; `NARROW` says [`Bounds::are_narrow`].
#[inline(always)]
pub(super) fn requantize<const NARROW: bool>(acc: i32, channel: &ChannelRecord, bounds: &Bounds) -> i8 {
    let acc = if channel.left == 0 { acc } else { saturate(acc, channel.left) };
    let q = asr(smmla(acc, channel.multiplier, channel.offset), channel.shift.into());
    if NARROW { q.max(bounds.low).min(bounds.high) as i8 } else { ssat8(q) as i8 }
}

/// Out of line: scales of ¼ and more are rare, and the left shift would cost a register and space everywhere.
#[cold]
#[inline(never)]
fn saturate(acc: i32, left: u8) -> i32 {
    shift_left_saturating(acc, left)
}
