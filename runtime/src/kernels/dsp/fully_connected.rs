//! Matrix times vector: four outputs at once share the widened activations.

use super::lanes::{load, smlad, widen};
use super::requantize::{Bounds, requantize};
use crate::format::{ChannelRecord, Family};
use crate::kernels::portable;
use crate::packing::MatrixOrder;

/// Fast for weights in dsp order; the portable kernel does the rest.
pub(crate) fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    let assumed = order.family == Family::Dsp1
        && weights.len() == order.bytes()
        && weights.as_ptr().cast::<u32>().is_aligned()
        && channels.len() == order.rows
        && output.len() == order.rows
        && input.len() == order.k;
    if !assumed {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    let bounds = Bounds::new(activation);
    let pair_words = 2 * order.k.div_ceil(4);
    let mut weights = weights.as_ptr().cast::<u32>();
    let (quads, rest) = channels.as_chunks::<4>();
    let (quads_out, rest_out) = output.as_chunks_mut::<4>();
    for (channels, out) in quads.iter().zip(quads_out) {
        // SAFETY: `assumed` holds, so each pair of rows has `pair_words` aligned words; this quad's two pairs are
        // followed by those of the quads to come.
        let acc = unsafe {
            let acc = dot(input, [weights, weights.add(pair_words)]);
            weights = weights.add(2 * pair_words);
            acc
        };
        for i in 0..4 {
            out[i] =
                requantize::<true>(acc[i / 2][i % 2].wrapping_add(channels[i].bias), &channels[i], &bounds);
        }
    }
    for (channels, out) in rest.chunks(2).zip(rest_out.chunks_mut(2)) {
        // SAFETY: as above, for one pair; rows are rounded up to even.
        let [acc] = unsafe {
            let acc = dot(input, [weights]);
            weights = weights.add(pair_words);
            acc
        };
        for ((out, channel), acc) in out.iter_mut().zip(channels).zip(acc) {
            *out = requantize::<true>(acc.wrapping_add(channel.bias), channel, &bounds);
        }
    }
}

/// Σₖ x[k] · weight[k] of `PAIRS` pairs of rows.
///
/// # Safety
/// Each of `weights` is aligned and valid for reads of 2 words for every 4 elements of `x`, rounded up.
#[inline(always)]
unsafe fn dot<const PAIRS: usize>(x: &[i8], mut weights: [*const u32; PAIRS]) -> [[i32; 2]; PAIRS] {
    let mut acc = [[0; 2]; PAIRS];
    let (words, tail) = x.as_chunks::<4>();
    for word in words {
        // SAFETY: an array of 4 bytes is valid for a load; the weights have 2 words for it.
        unsafe {
            step(&mut acc, load(word.as_ptr()), weights);
            weights = weights.map(|w| w.add(2));
        }
    }
    if !tail.is_empty() {
        let mut word = [0; 4];
        word[..tail.len()].copy_from_slice(tail);
        // SAFETY: as above: the weights are rounded up to whole fours.
        unsafe { step(&mut acc, load(word.as_ptr()), weights) };
    }
    acc
}

/// Four k.
///
/// # Safety
/// Each of `weights` is aligned and valid for reads of 2 words.
#[inline(always)]
unsafe fn step<const PAIRS: usize>(acc: &mut [[i32; 2]; PAIRS], x: u32, weights: [*const u32; PAIRS]) {
    let x = widen(x);
    for (acc, weights) in acc.iter_mut().zip(weights) {
        for (j, acc) in acc.iter_mut().enumerate() {
            // SAFETY: j < 2.
            let w = widen(unsafe { *weights.add(j) });
            *acc = smlad(x.1, w.1, smlad(x.0, w.0, *acc));
        }
    }
}
