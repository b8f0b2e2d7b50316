//! Depthwise convolution; the formula is in [`crate::ops::DepthwiseConv2d`].
//!
//! Works on blocks of channels whose weights, for one tap, lie together: four in every order, more in a row-major one.

use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;
use crate::requantize::requantize;

/// Most channels in a block.
const BLOCK: usize = 16;

/// `input` is `[n, h, w, c_in]`, `output` is `[n, h, w, c_out]`.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], _scratch: &mut [i8], output: &mut [i8]) {
    let Window { y, x } = conv.window;
    let row_major = matches!(conv.family, Family::Portable | Family::Helium | Family::Neon);
    let block = if row_major { BLOCK } else { 4 };
    let mut pixels = output.chunks_exact_mut(conv.c_out);
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let Some(pixel) = pixels.next() else { return };
                let start = (y.start(oy), x.start(ox));
                for (i, out) in pixel.chunks_mut(block).enumerate() {
                    depthwise_block(conv, image, start, i * block, out);
                }
            }
        }
    }
}

/// A block of channels from `first` on, of the output pixel whose window starts at `start` (y, x).
fn depthwise_block(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), first: usize, output: &mut [i8]) {
    let Window { y, x } = conv.window;
    let order = conv.window_order();
    let channels = &conv.channels[first..first + output.len()];
    let mut acc = [0i32; BLOCK];
    for (acc, channel) in acc.iter_mut().zip(channels) {
        *acc = channel.bias;
    }
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    let padding = [conv.zero_point; BLOCK];
    let mut gathered = padding;
    for ky in 0..y.kernel {
        let line = (start.0 + (ky * y.dilation) as i32) as usize;
        for kx in 0..x.kernel {
            let values = if taps_y.contains(&ky) && taps_x.contains(&kx) {
                let column = (start.1 + (kx * x.dilation) as i32) as usize;
                let pixel = &image[(line * x.input + column) * conv.c_in..][..conv.c_in];
                if conv.c_in == conv.c_out {
                    &pixel[first..]
                } else {
                    gather(pixel, conv.c_out, first, &mut gathered[..output.len()]);
                    &gathered
                }
            } else {
                &padding[..]
            };
            let at = order.index(ky * x.kernel + kx, first);
            let weights = &conv.weights[at..at + output.len()];
            for ((acc, &x), &w) in acc.iter_mut().zip(values).zip(weights) {
                *acc = acc.wrapping_add(i32::from(x) * i32::from(w));
            }
        }
    }
    for ((out, &acc), channel) in output.iter_mut().zip(&acc).zip(channels) {
        *out = requantize(acc, channel, conv.activation.0, conv.activation.1);
    }
}

/// The input elements that output channels from `first` on read, where there are more of these.
fn gather(pixel: &[i8], c_out: usize, first: usize, values: &mut [i8]) {
    let multiplier = (c_out / pixel.len().max(1)).max(1);
    for (i, value) in values.iter_mut().enumerate() {
        *value = pixel[(first + i) / multiplier];
    }
}
