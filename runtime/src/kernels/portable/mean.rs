//! Mean over axes; the formula is in [`crate::ops::Mean`].

use super::sum::sum;
use crate::format::MeanParams;
use crate::requantize::requantize;

/// Mean of `input` over the axes of its `shape` that `params` names.
#[inline]
pub(crate) fn mean(params: &MeanParams, shape: [usize; 4], input: &[i8], output: &mut [i8]) {
    let [_, h, w, c] = shape;
    let strides = [h * w * c, w * c, c, 1];
    // Of each axis: the size that the output runs over, and the size that one sum runs over.
    let split = |axis: usize| if params.axes >> axis & 1 == 1 { (1, shape[axis]) } else { (shape[axis], 1) };
    let [n, h, w, c] = [split(0), split(1), split(2), split(3)];
    let steps = |axis: (usize, usize), i: usize| (axis.1, strides[i]);
    // The two axes inside, which are most of the work, are h and w, or w and c where the sum runs along channels.
    let (outside, rows, columns) =
        if c.1 == 1 { ((1, 0), steps(h, 1), steps(w, 2)) } else { (steps(h, 1), steps(w, 2), steps(c, 3)) };
    let sum_from = |start: usize| {
        let mut acc = params.channel.bias;
        for n in 0..n.1 {
            for i in 0..outside.0 {
                let at = start + n * strides[0] + i * outside.1;
                acc = acc.wrapping_add(sum(input, at, rows, columns));
            }
        }
        acc
    };
    let mut outputs = output.iter_mut();
    for n in 0..n.0 {
        for h in 0..h.0 {
            for w in 0..w.0 {
                for c in 0..c.0 {
                    let acc = sum_from(n * strides[0] + h * strides[1] + w * strides[2] + c);
                    let Some(out) = outputs.next() else { return };
                    *out = requantize(acc, &params.channel, params.activation_min, params.activation_max);
                }
            }
        }
    }
}
