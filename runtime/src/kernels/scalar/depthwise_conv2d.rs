//! Depthwise convolution, four channels at a time.
//!
//! For each output pixel a table points to the input pixel of every tap, and to a pixel of zero points for taps in
//! padding: the inner loop knows no edges.

use super::blocks::{Blocks, LANES, blocks};
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
    depthwise::<LANES>(conv, input, scratch, output);
}

/// The same, one or two pixels at a time.
pub(super) fn depthwise<const LANES: usize>(
    conv: &Convolution<'_>,
    input: &[i8],
    scratch: &mut [i8],
    output: &mut [i8],
) {
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
    let mut table = [[core::ptr::null::<i8>(); LANES]; TAPS + 1];
    let table = &mut table[..taps];
    let channels = conv.channels.as_ptr_range();
    let channels = [channels.start, channels.end];
    // From a pixel of the last round to its successor, which lies `LANES` further on the same line. Where there are two,
    // the kernel went past the channels.
    let step = (LANES * x.stride * c).wrapping_sub((LANES - 1) * c);
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(image_bytes) {
        // Column of the last round's pixel, where it read no padding.
        let mut last = [None; LANES];
        let (mut oy, mut ox) = (0, 0);
        while oy < y.output {
            let mut pixels = [out; 2];
            for lane in 0..LANES {
                if oy == y.output {
                    // A last pixel alone is computed twice.
                    (oy, ox) = (y.output - 1, x.output - 1);
                } else {
                    pixels[lane] = out;
                    out = out.wrapping_add(c);
                }
                let start = (y.start(oy), x.start(ox));
                let whole = y.is_inside(start.0) && x.is_inside(start.1);
                if whole && last[lane].is_some_and(|last| last + LANES == ox) {
                    table.iter_mut().for_each(|tap| tap[lane] = tap[lane].wrapping_add(step));
                } else {
                    point(conv, image, start, zeros, table, lane);
                }
                last[lane] = whole.then_some(ox);
                ox += 1;
                if ox == x.output {
                    (oy, ox) = (oy + 1, 0);
                }
            }
            let taps = table.as_flattened_mut().as_mut_ptr_range();
            let taps = [taps.start, taps.end];
            // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or the zero
            // points, at a multiple of four; behind those of every tap stand null ones. The weights are aligned and have
            // `taps` words for every four channels. `output` has `c` bytes for every pixel.
            unsafe {
                blocks::<LANES>(&Blocks { taps, channels, out: pixels, weights: conv.weights.as_ptr() })
            };
        }
    }
    clamp(conv.activation, output);
}

/// Points a lane of the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
#[inline(never)]
fn point<const LANES: usize>(
    conv: &Convolution<'_>,
    image: &[i8],
    start: (i32, i32),
    zeros: *const i8,
    table: &mut [[*const i8; LANES]],
    lane: usize,
) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        table.iter_mut().for_each(|tap| tap[lane] = zeros);
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
        for tap in &mut row[taps_x.clone()] {
            tap[lane] = pixel;
            pixel = pixel.wrapping_add(step);
        }
    }
}
