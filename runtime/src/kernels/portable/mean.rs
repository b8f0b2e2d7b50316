//! Mean over axes; the formula is in [`crate::ops::Mean`].

use crate::format::MeanParams;
use crate::requantize::requantize;

/// Channels in a block.
const BLOCK: usize = 8;

/// Mean of `input` over the axes of its `shape` that `params` names.
#[inline]
pub(crate) fn mean(params: &MeanParams, shape: [usize; 4], input: &[i8], output: &mut [i8]) {
    let reduced = |axis: usize| params.axes >> axis & 1 == 1;
    // Of each axis: sizes that the output runs over, and sizes that one sum runs over.
    let kept: [usize; 4] = core::array::from_fn(|axis| if reduced(axis) { 1 } else { shape[axis] });
    let summed: [usize; 4] = core::array::from_fn(|axis| if reduced(axis) { shape[axis] } else { 1 });
    let q = |acc| requantize(acc, &params.channel, params.activation_min, params.activation_max);
    let mut pixels = output.chunks_exact_mut(kept[3]);
    for n in 0..kept[0] {
        for h in 0..kept[1] {
            for w in 0..kept[2] {
                let Some(out) = pixels.next() else { return };
                if reduced(3) {
                    let mut acc = params.channel.bias;
                    for_each_pixel(shape, [n, h, w], summed, input, |pixel| {
                        acc = pixel.iter().fold(acc, |acc, &x| acc.wrapping_add(x.into()));
                    });
                    out.fill(q(acc));
                    continue;
                }
                for (i, out) in out.chunks_mut(BLOCK).enumerate() {
                    let mut acc = [params.channel.bias; BLOCK];
                    for_each_pixel(shape, [n, h, w], summed, input, |pixel| {
                        for (acc, &x) in acc.iter_mut().zip(&pixel[i * BLOCK..][..out.len()]) {
                            *acc = acc.wrapping_add(x.into());
                        }
                    });
                    for (out, acc) in out.iter_mut().zip(acc) {
                        *out = q(acc);
                    }
                }
            }
        }
    }
}

/// Calls `f` with every pixel from `at` on over `summed` positions of n, h and w.
#[inline(always)]
fn for_each_pixel(
    shape: [usize; 4],
    at: [usize; 3],
    summed: [usize; 4],
    input: &[i8],
    mut f: impl FnMut(&[i8]),
) {
    for n in at[0]..at[0] + summed[0] {
        for h in at[1]..at[1] + summed[1] {
            for w in at[2]..at[2] + summed[2] {
                let pixel = ((n * shape[1] + h) * shape[2] + w) * shape[3];
                f(&input[pixel..pixel + shape[3]]);
            }
        }
    }
}
