//! out[o] = requantize(bias[o] + Σₖ input[k] · weight[o][k]).

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
        let mut acc = channel.bias;
        for (k, &x) in input.iter().enumerate() {
            let weight = weights[order.index(row, k)];
            acc = acc.wrapping_add(i32::from(x) * i32::from(weight));
        }
        *out = requantize(acc, channel, activation.0, activation.1);
    }
}
