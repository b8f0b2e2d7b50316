//! Depthwise convolution, four channels at a time.
//!
//! For each output pixel a table points to the input pixel of every tap, and to a pixel of zero points for taps in
//! padding: the inner loop knows no edges. Channels behind the last four take the portable way, since a word would
//! reach past the tensor.

use super::lanes::{load, smlabb, smlatt, widen};
use super::requantize::{Bounds, requantize};
use crate::format::{ChannelRecord, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels in dsp order and at most [`TAPS`] taps, with the scratch memory of
/// [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let assumed = conv.family == Family::Dsp1
        && conv.c_in == c
        && taps <= TAPS
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u32>().is_aligned()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= c;
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let bounds = Bounds::new(conv.activation);
    let zeros = &mut scratch[..c];
    zeros.fill(conv.zero_point);
    let zeros = zeros.as_ptr();
    let (quads, rest) = conv.channels.as_chunks::<4>();
    let mut table = [zeros; TAPS];
    let table = &mut table[..taps];
    let mut pixels = output.chunks_exact_mut(c);
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let start = (y.start(oy), x.start(ox));
                point(conv, image, start, zeros, table);
                let Some(pixel) = pixels.next() else { return };
                let (out, tail) = pixel.as_chunks_mut::<4>();
                // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or
                // the zero points; the weights are aligned and have `taps` words for every four channels.
                unsafe {
                    let weights = conv.weights.as_ptr().cast();
                    if bounds.are_narrow() {
                        blocks::<true>(table, weights, quads, &bounds, out);
                    } else {
                        blocks::<false>(table, weights, quads, &bounds, out);
                    }
                }
                if !rest.is_empty() {
                    portable::depthwise_block(conv, image, start, quads.len() * 4, tail);
                }
            }
        }
    }
}

/// Points the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
#[inline(always)]
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

/// All whole blocks of four channels of one pixel.
///
/// # Safety
/// Each pointer of `table` is valid for reads of 4 bytes a block; `weights` is aligned and valid for reads of
/// `table.len()` words a block.
#[inline(always)]
unsafe fn blocks<const NARROW: bool>(
    table: &[*const i8],
    mut weights: *const u32,
    channels: &[[ChannelRecord; 4]],
    bounds: &Bounds,
    output: &mut [[i8; 4]],
) {
    for (block, (out, channels)) in output.iter_mut().zip(channels).enumerate() {
        let mut acc = [channels[0].bias, channels[1].bias, channels[2].bias, channels[3].bias];
        let (pairs, last) = table.as_chunks::<2>();
        // SAFETY: block `block` has 4 bytes at every tap's pixel, and a word of weights for every tap.
        unsafe {
            for pair in pairs {
                tap(&mut acc, pair[0].add(4 * block), weights);
                tap(&mut acc, pair[1].add(4 * block), weights.add(1));
                weights = weights.add(2);
            }
            if let [pixel] = last {
                tap(&mut acc, pixel.add(4 * block), weights);
                weights = weights.add(1);
            }
        }
        for i in 0..4 {
            out[i] = requantize::<NARROW>(acc[i], &channels[i], bounds);
        }
    }
}

/// One tap of four channels.
///
/// # Safety
/// `x` is valid for reads of 4 bytes; `weights` is aligned and valid for reads of a word.
#[inline(always)]
unsafe fn tap(acc: &mut [i32; 4], x: *const i8, weights: *const u32) {
    // SAFETY: the caller's promise.
    let (x, w) = unsafe { (widen(load(x)), widen(*weights)) };
    acc[0] = smlabb(x.0, w.0, acc[0]);
    acc[2] = smlatt(x.0, w.0, acc[2]);
    acc[1] = smlabb(x.1, w.1, acc[1]);
    acc[3] = smlatt(x.1, w.1, acc[3]);
}
