//! Convolution; the formula is in [`crate::ops::Conv2d`].
//!
//! An output pixel is a matrix product with its window: a pixel of the input where the window is just that, else a copy
//! of the window in scratch memory, padding included.

use super::dot::dot;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;
use crate::requantize::requantize;

/// `input` is `[n, h, w, c_in]`, `output` is `[n, h, w, c_out]`; `scratch` holds one window of one group, unless the
/// convolution has one group and is pointwise.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let Window { y, x } = conv.window;
    let order = conv.matrix_order();
    if conv.groups == 1 && conv.window.is_pointwise() {
        for (window, out) in input.chunks_exact(conv.c_in).zip(output.chunks_exact_mut(conv.c_out)) {
            multiply(conv, 0, window, out);
        }
        return;
    }
    let Some(window) = scratch.get_mut(..order.k) else {
        return;
    };
    let mut pixels = output.chunks_exact_mut(conv.c_out);
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let Some(pixel) = pixels.next() else { return };
                for (group, out) in pixel.chunks_exact_mut(order.rows).enumerate() {
                    gather(conv, image, (y.start(oy), x.start(ox)), group, window);
                    multiply(conv, group, window, out);
                }
            }
        }
    }
}

/// One group's output channels of one pixel.
fn multiply(conv: &Convolution<'_>, group: usize, window: &[i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let weights = &conv.weights[group * order.bytes()..];
    let channels = &conv.channels[group * order.rows..];
    for (row, (out, channel)) in output.iter_mut().zip(channels).enumerate() {
        let acc = channel.bias.wrapping_add(dot(order, weights, row, window));
        *out = requantize(acc, channel, conv.activation.0, conv.activation.1);
    }
}

/// Copies one group's channels of the window that starts at `start` (y, x): `[ky][kx][c_in ⁄ groups]`.
fn gather(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), group: usize, window: &mut [i8]) {
    let Window { y, x } = conv.window;
    let c_group = conv.c_in / conv.groups.max(1);
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        window.fill(conv.zero_point);
    }
    // Where taps and channels of a kernel row lie together in the input, they are copied together.
    let run = if x.dilation == 1 && conv.groups == 1 { taps_x.len() } else { 1 };
    for ky in taps_y {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        let mut kx = taps_x.start;
        while kx < taps_x.end {
            let column = (start.1 + (kx * x.dilation) as i32) as usize;
            let from = (line + column) * conv.c_in + group * c_group;
            let to = (ky * x.kernel + kx) * c_group;
            window[to..to + run * c_group].copy_from_slice(&image[from..from + run * c_group]);
            kx += run;
        }
    }
}
