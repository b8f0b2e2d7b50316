//! Checks that several operators share.

use crate::error::OpFault;
use crate::format::ChannelRecord;
use crate::operator::Tensor;
use crate::requantize;

/// Refuses weights of another length or below −127.
#[inline]
pub(super) fn check_weights(weights: &[i8], need: Option<usize>) -> Result<(), OpFault> {
    if Some(weights.len()) != need {
        return Err(OpFault::Data);
    }
    // Not `contains`, whose search by words is code of its own.
    if weights.iter().any(|&weight| weight < -127) { Err(OpFault::Weight) } else { Ok(()) }
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
