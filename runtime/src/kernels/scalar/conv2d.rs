//! Convolution as a matrix product with the windows of four pixels, gathered into scratch memory.

use super::matrix::{STEP, four_pixels};
use super::requantize::Rounding;
use super::rows::{Rows, rows};
use super::windows::gather;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Fast for one group in scalar order, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let (steps, pixels) = (order.k.div_ceil(2), y.output * x.output);
    let images = output.len() / (pixels * conv.c_out).max(1);
    let words = scratch.as_mut_ptr().cast::<i32>();
    let assumed = conv.family == Family::Scalar
        && conv.groups == 1
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u16>().is_aligned()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && scratch.len() / (4 * STEP) >= steps
        && words.is_aligned();
    if !assumed {
        return portable::conv2d(conv, input, scratch, output);
    }
    let rounding = Rounding::new(conv.activation, conv.channels);
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        // The last eight pixels' places, the new ones behind the four before them.
        let (mut starts, mut count) = ([(0, 0); 4], 0);
        let mut earlier = 0;
        for oy in 0..y.output {
            for ox in 0..x.output {
                if count == 4 {
                    (count, earlier) = (0, 4);
                }
                // Behind the places of pixels that are done, which make up the last four with new ones.
                if earlier > 0 {
                    starts.rotate_left(1);
                    starts[3] = (y.start(oy), x.start(ox));
                } else {
                    starts[count] = (y.start(oy), x.start(ox));
                }
                count += 1;
                let last = oy + 1 == y.output && ox + 1 == x.output;
                if count < 4 && !last {
                    continue;
                }
                // Four pixels wherever the image has them: of the last ones some are computed again.
                let again = if earlier > 0 { 4 - count } else { 0 };
                // SAFETY: `scratch` is aligned and holds `STEP` words for every two k. An image has `pixels` outputs of
                // c_out bytes, `out` leads to the first new one, and `again` of them lie before it; nothing else refers
                // to `output`.
                unsafe {
                    let first = out.sub(again * conv.c_out);
                    gather(conv, image, &starts[..again + count], words);
                    multiply(conv, words, steps, &rounding, again + count, first);
                    out = out.add(count * conv.c_out);
                }
            }
        }
    }
}

/// Every output channel of `pixels` pixels, one to four.
///
/// # Safety
/// `words` is valid for reads of `STEP * steps` words; the weights have an even address and `2 * steps` bytes for each
/// channel; `out` is valid for writes of `pixels * c_out` bytes, which nothing else refers to.
unsafe fn multiply(
    conv: &Convolution<'_>,
    words: *const i32,
    steps: usize,
    rounding: &Rounding,
    pixels: usize,
    mut out: *mut i8,
) {
    let mut weights = conv.weights.as_ptr();
    if pixels == 4 && rounding.is_plain() {
        let ends = [steps / 4 * 4, steps].map(|steps| words.wrapping_add(STEP * steps));
        let channels = conv.channels.as_ptr_range();
        let channels = [channels.start, channels.end];
        // SAFETY: the caller's promise; a convolution has an output channel.
        unsafe { rows(&Rows { x: words, ends, channels, out, pitch: conv.c_out, weights }) };
        return;
    }
    for channel in conv.channels {
        let mut acc = [0; 4];
        // SAFETY: each channel has `2 * steps` weights, and a byte in each pixel's c_out.
        unsafe {
            four_pixels(&mut acc, words.cast(), weights, steps);
            rounding.pixels(&mut acc[..pixels], channel, out, conv.c_out);
            (weights, out) = (weights.add(2 * steps), out.add(1));
        }
    }
}
