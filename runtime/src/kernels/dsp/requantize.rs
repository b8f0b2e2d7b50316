//! The rounding rule of [`crate::requantize`] in three instructions where no left shift and no bounds of the layer's
//! own are needed: SMMLA onto the constant that holds zero point and rounding, arithmetic shift, saturation.

use super::lanes::{asr, smmla, ssat8};
use crate::format::ChannelRecord;
use crate::requantize::shift_left_saturating;

/// Bounds of a layer's outputs.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Bounds {
    pub low: i32,
    pub high: i32,
}

impl Bounds {
    pub fn new((low, high): (i8, i8)) -> Self {
        Self { low: low.into(), high: high.into() }
    }

    /// Lowest and highest output, each in every byte of a word.
    pub fn bytes(&self) -> [u32; 2] {
        [self.low, self.high].map(|bound| u32::from(bound as u8) * 0x0101_0101)
    }

    /// Requantizes one accumulator.
    #[inline(always)]
    pub fn requantize(&self, acc: i32, channel: &ChannelRecord) -> i8 {
        let acc = if channel.left == 0 { acc } else { saturate(acc, channel.left) };
        let q = ssat8(asr(smmla(acc, channel.multiplier, channel.offset), channel.shift.into()));
        q.max(self.low).min(self.high) as i8
    }
}

/// Out of line: scales of ¼ and more are rare, and the left shift would cost a register and space everywhere.
#[cold]
#[inline(never)]
fn saturate(acc: i32, left: u8) -> i32 {
    shift_left_saturating(acc, left)
}
