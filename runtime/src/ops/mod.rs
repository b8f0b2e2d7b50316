//! The operators of a plan. Each file says what the operator computes, checks an op once, and calls its kernel.

mod fully_connected;

pub use fully_connected::FullyConnected;

use crate::operator::OpEntry;

/// Every operator.
pub const ALL: &[OpEntry] = &[OpEntry::of::<FullyConnected>()];

/// Refuses weights of another length or below −127.
fn check_weights(weights: &[i8], need: usize) -> Result<(), crate::OpFault> {
    if weights.len() != need {
        return Err(crate::OpFault::Data);
    }
    if weights.contains(&i8::MIN) { Err(crate::OpFault::Weight) } else { Ok(()) }
}

/// Refuses another number of channels, and channels outside the numbers contract.
fn check_channels(
    channels: &[crate::format::ChannelRecord],
    need: usize,
    zero_point: i8,
) -> Result<(), crate::OpFault> {
    if channels.len() != need {
        return Err(crate::OpFault::Data);
    }
    match channels.iter().position(|channel| !crate::requantize::is_valid(channel, zero_point)) {
        Some(channel) => Err(crate::OpFault::Channel { channel }),
        None => Ok(()),
    }
}
