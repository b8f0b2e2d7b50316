//! Depthwise convolution, four channels at a time.
//!
//! For each output pixel a table points to the input pixel of every tap, and to a pixel of zero points for taps in
//! padding: the inner loop knows no edges.

use super::blocks::{Blocks, blocks};
use super::requantize::{clamp, has_left_shift};
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels, a multiple of four and without left shift, in scalar order and at most
/// [`TAPS`] taps, with the scratch memory of
/// [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let words = [input.as_ptr(), scratch.as_ptr(), conv.weights.as_ptr()];
    let assumed = conv.family == Family::Scalar
        && conv.c_in == c
        && c.is_multiple_of(4)
        && taps <= TAPS
        && conv.weights.len() == order.bytes()
        && words.iter().all(|word| word.cast::<u32>().is_aligned())
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= c
        && !has_left_shift(conv.channels);
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let zeros = &mut scratch[..c];
    zeros.fill(conv.zero_point);
    let zeros = zeros.as_ptr();
    let mut table = [zeros; TAPS];
    let table = &mut table[..taps];
    let channels = conv.channels.as_ptr_range();
    let channels = [channels.start, channels.end];
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            // Whether the pixel before, in the same line, reads no padding.
            let mut follows = false;
            for ox in 0..x.output {
                let start = (y.start(oy), x.start(ox));
                let whole = y.is_inside(start.0) && x.is_inside(start.1);
                if follows && whole {
                    table.iter_mut().for_each(|pixel| *pixel = pixel.wrapping_add(x.stride * c));
                } else {
                    point(conv, image, start, zeros, table);
                }
                follows = whole;
                let taps = table.as_ptr_range();
                let taps = [taps.start, taps.end];
                let blocks_of = Blocks { taps, channels, out, weights: conv.weights.as_ptr() };
                // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or the zero
                // points, at a multiple of four; the weights are aligned and have `taps` words for every four channels.
                // `output` has `c` bytes for every pixel.
                unsafe {
                    blocks(&blocks_of);
                    out = out.add(c);
                }
            }
        }
    }
    clamp(conv.activation, output);
}

/// Points the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
#[inline(never)]
fn point(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), zeros: *const i8, table: &mut [*const i8]) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        table.fill(zeros);
    }
    if taps_x.is_empty() {
        return;
    }
    let step = x.dilation * conv.c_in;
    let column = (start.1 + (taps_x.start * x.dilation) as i32) as usize * conv.c_in;
    for (ky, row) in table.chunks_exact_mut(x.kernel).enumerate() {
        if !taps_y.contains(&ky) {
            continue;
        }
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input * conv.c_in;
        // Wrapping, since the pointer past the last tap may lie outside the image and is never used.
        let mut pixel = image.as_ptr().wrapping_add(line + column);
        for entry in &mut row[taps_x.clone()] {
            *entry = pixel;
            pixel = pixel.wrapping_add(step);
        }
    }
}
