//! Matrix times vector; the formula is in [`crate::ops::FullyConnected`].

use super::dot::dot;
use crate::format::ChannelRecord;
use crate::packing::MatrixOrder;
use crate::requantize::requantize;

/// Every element of `input` (k) against every output (`order.rows`).
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    for (row, (out, channel)) in output.iter_mut().zip(channels).enumerate() {
        let acc = channel.bias.wrapping_add(dot(order, weights, row, input));
        *out = requantize(acc, channel, activation.0, activation.1);
    }
}
