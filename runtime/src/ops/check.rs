//! Checks that several operators share.

use crate::error::OpFault;
use crate::format::{ChannelRecord, WideRecord};
use crate::operator::Tensor;
use crate::packing::nibble_bytes;
use crate::requantize;
use crate::wide;

/// Refuses weights of another length or below −127. `flips` are those of their [order](crate::packing::MatrixOrder).
#[inline]
pub(super) fn check_weights(weights: &[i8], flips: [i8; 2], need: Option<usize>) -> Result<(), OpFault> {
    if Some(weights.len()) != need {
        return Err(OpFault::Data);
    }
    let lowest = |(place, &stored): (usize, &i8)| stored ^ flips[place % 2] == i8::MIN;
    if weights.iter().enumerate().any(lowest) { Err(OpFault::Weight) } else { Ok(()) }
}

/// [`check_weights`] for weights of four bits: `stored` is the number of their bytes when they are unpacked, which all weigh
/// −112 or more.
#[inline]
pub(super) fn check_nibbles(packed: &[i8], flips: [i8; 2], stored: Option<usize>) -> Result<(), OpFault> {
    if Some(packed.len()) != stored.and_then(nibble_bytes) {
        return Err(OpFault::Data);
    }
    let lowest = |(place, &packed): (usize, &i8)| {
        let weights = [packed << 4, packed & -16].map(|stored| stored ^ flips[place % 2]);
        weights.contains(&i8::MIN)
    };
    if packed.iter().enumerate().any(lowest) { Err(OpFault::Weight) } else { Ok(()) }
}

/// Refuses another number of channels, and channels outside the numbers contract.
#[inline]
pub(super) fn check_channels(channels: &[ChannelRecord], need: usize, zero_point: i8) -> Result<(), OpFault> {
    if channels.len() != need {
        return Err(OpFault::Data);
    }
    match channels.iter().position(|channel| !requantize::is_valid(channel, zero_point)) {
        Some(channel) => Err(OpFault::Channel { channel }),
        None => Ok(()),
    }
}

/// Refuses records of 64-bit accumulators outside the numbers contract, or another number of them.
#[inline]
pub(super) fn check_wide(records: &[WideRecord], need: usize) -> Result<(), OpFault> {
    if records.len() != need {
        return Err(OpFault::Data);
    }
    match records.iter().position(|record| !wide::is_valid(record)) {
        Some(channel) => Err(OpFault::Channel { channel }),
        None => Ok(()),
    }
}

/// Refuses an empty range of outputs, and −32768.
#[inline]
pub(super) fn check_activation16(min: i16, max: i16) -> Result<(), OpFault> {
    if -i16::MAX <= min && min <= max { Ok(()) } else { Err(OpFault::Value) }
}

/// Refuses an empty range of outputs.
#[inline]
pub(super) fn check_activation(min: i8, max: i8) -> Result<(), OpFault> {
    if min <= max { Ok(()) } else { Err(OpFault::Value) }
}

/// Refuses tensors whose integers stand for different reals.
#[inline]
pub(super) fn check_same_quantization(a: &Tensor<'_>, b: &Tensor<'_>) -> Result<(), OpFault> {
    if a.same_quantization(b) { Ok(()) } else { Err(OpFault::Quantization) }
}
