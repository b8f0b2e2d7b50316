//! Convolution as a matrix product with the windows of four pixels, gathered into scratch memory.

use super::requantize::{clamp, has_left_shift};
use super::rows::{Rows, STEP, rows};
use super::windows::Windows;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Fast for one group in scalar order and no left shift, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let (steps, pixels) = (order.k.div_ceil(2), y.output * x.output);
    let images = output.len() / (pixels * conv.c_out).max(1);
    let assumed = conv.family == Family::Scalar
        && conv.groups == 1
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u16>().is_aligned()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && scratch.len() >= 4 * STEP * steps + conv.c_in
        && scratch.as_ptr().cast::<u32>().is_aligned()
        && !has_left_shift(conv.channels);
    if !assumed {
        return portable::conv2d(conv, input, scratch, output);
    }
    let (words, padding) = scratch.split_at_mut(4 * STEP * steps);
    let words = words.as_mut_ptr().cast::<i32>();
    padding[..conv.c_in].fill(conv.zero_point);
    let windows = Windows::new(conv, padding.as_ptr());
    let weights = conv.weights.as_ptr();
    let ends = [steps / 4 * 4, steps].map(|steps| words.wrapping_add(STEP * steps).cast_const());
    let channels = conv.channels.as_ptr_range();
    let channels = [channels.start, channels.end];
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        // The last four pixels' places, how many of them are new, and how many precede these.
        let (mut starts, mut new, mut old) = ([(0, 0); 4], 0, 0);
        for oy in 0..y.output {
            for ox in 0..x.output {
                starts.rotate_left(1);
                starts[3] = (y.start(oy), x.start(ox));
                new += 1;
                let last = oy + 1 == y.output && ox + 1 == x.output;
                if new < 4 && !last && pixels >= 4 {
                    continue;
                }
                // Four pixels at a time: of the last ones some are computed again. An image of fewer pixels has them
                // computed one by one, four times into the same place.
                let (again, pitch) = if old > 0 || new == 4 { (4 - new, conv.c_out) } else { (0, 0) };
                if pitch == 0 {
                    starts = [starts[3]; 4];
                }
                // SAFETY: `scratch` is aligned and holds `STEP` words for every two k, then a pixel, the weights `2 * steps` bytes for
                // each channel. An image has `pixels` outputs of c_out bytes, `out` leads to the first new one, and
                // `again` of them lie before it; nothing else refers to `output`.
                unsafe {
                    windows.gather(image, &starts, words);
                    let first = out.sub(again * conv.c_out);
                    rows(&Rows { x: words, ends, channels, out: first, pitch, weights });
                    out = out.add(new * conv.c_out);
                }
                (new, old) = (0, if pitch == 0 { 0 } else { 4 });
            }
        }
    }
    clamp(conv.activation, output);
}
