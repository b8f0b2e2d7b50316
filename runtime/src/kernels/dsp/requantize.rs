//! The bounds of a layer's outputs, and a model of how the kernels' instructions apply the rounding rule of
//! [`crate::requantize`]: SMMLA onto the constant that holds zero point and rounding, arithmetic shift, saturation.

#[cfg(not(target_arch = "arm"))]
use super::lanes::{asr, smmla, ssat8};
#[cfg(not(target_arch = "arm"))]
use crate::{format::ChannelRecord, requantize::shift_left_saturating};

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
    #[cfg(not(target_arch = "arm"))]
    pub fn requantize(&self, acc: i32, channel: &ChannelRecord) -> i8 {
        let acc = shift_left_saturating(acc, channel.left);
        let q = ssat8(asr(smmla(acc, channel.multiplier, channel.offset), channel.shift.into()));
        q.max(self.low).min(self.high) as i8
    }
}
