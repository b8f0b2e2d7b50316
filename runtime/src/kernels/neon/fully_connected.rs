//! Matrix times vector: sixteen outputs at once share the activations.

use super::matrix::{Matrix, Pixel};
use super::requantize::Output;
use crate::format::{ChannelRecord, Family};
use crate::kernels::portable;
use crate::packing::MatrixOrder;

/// Fast for weights in neon order and whole words of four k; the portable kernel does the rest.
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    // SAFETY: no dot product asked for.
    unsafe { fully_connected_by::<false>(order, weights, channels, activation, input, output) }
}

/// The same by dot product.
///
/// # Safety
/// The core has the dot-product instructions.
pub(crate) unsafe fn fully_connected_dotprod(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    // SAFETY: the caller's promise.
    unsafe { fully_connected_by::<true>(order, weights, channels, activation, input, output) }
}

/// # Safety
/// With `DOT` the core has the dot-product instructions.
unsafe fn fully_connected_by<const DOT: bool>(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    let assumed = order.family == Family::Neon
        && order.k.is_multiple_of(4)
        && weights.len() == order.bytes()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    let matrix = Matrix {
        weights: weights.as_ptr(),
        channels,
        segments: 1,
        blocks: order.k / 4,
        output: Output::new(channels, activation),
    };
    let pixel = Pixel { at: input.as_ptr(), skip: 0 };
    // SAFETY: `assumed` holds: one run of k activations, weights and channels of every row, as many outputs.
    unsafe { matrix.multiply::<DOT, false, 1, 4>([pixel], [output.as_mut_ptr()]) };
}
