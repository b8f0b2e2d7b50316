//! Convolution as a matrix product: where an output pixel reads one input pixel of whole vectors, on the input itself;
//! else on the windows of a block of pixels, gathered into scratch memory (im2col).

use super::copy::{Lines, copy, fill};
use super::matrix::{LANES, Matrix};
use crate::format::Family;
use crate::kernels::convolution::{Convolution, vector_pitch, vector_windows};
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Fast for one group in helium order, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let pixels = y.output * x.output;
    let images = output.len() / (pixels * conv.c_out).max(1);
    let (pitch, windows) = (vector_pitch(order.k), vector_windows(order.k, pixels));
    let direct = conv.window.is_pointwise() && conv.c_in.is_multiple_of(LANES);
    let assumed = conv.family == Family::Helium
        && conv.groups == 1
        && order.k > 0
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && (direct || scratch.len() >= pitch.saturating_mul(windows));
    if !assumed {
        return portable::conv2d(conv, input, scratch, output);
    }
    // SAFETY: `assumed` holds: the weights are `pitch` bytes for each channel, rounded up to fours.
    let matrix = unsafe { Matrix::new(conv.weights.as_ptr(), conv.channels, pitch / LANES, conv.activation) };
    if direct {
        // SAFETY: A pointwise output has as many pixels as the input, each of k = c_in = `pitch` bytes.
        unsafe { matrix.multiply(input.as_ptr(), images * pixels, output.as_mut_ptr()) };
        return;
    }
    let rows = scratch.as_mut_ptr();
    for row in 0..windows {
        // SAFETY: scratch holds `windows` rows of `pitch` bytes, of which those past k are written here alone.
        unsafe { fill(0, rows.add(row * pitch + order.k), pitch - order.k) };
    }
    let whole = x.inside();
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        let mut gathered = 0;
        for oy in 0..y.output {
            let mut ox = 0;
            while ox < x.output {
                let now = if whole.contains(&ox) { (windows - gathered).min(whole.end - ox) } else { 1 };
                // SAFETY: `gathered + now` is no more than `windows`; windows of several pixels lie inside the image
                // from left to right.
                unsafe {
                    let row = rows.add(gathered * pitch);
                    gather(conv, image, (y.start(oy), x.start(ox)), now, row, pitch);
                }
                (ox, gathered) = (ox + now, gathered + now);
                if gathered == windows || (oy + 1 == y.output && ox == x.output) {
                    // SAFETY: `gathered` rows of `pitch` bytes lie in scratch. An image has `pixels` outputs of c_out
                    // bytes and each is gathered once, so `out` stays inside `output`, which nothing else refers to.
                    unsafe {
                        matrix.multiply(rows, gathered, out);
                        out = out.add(gathered * conv.c_out);
                    }
                    gathered = 0;
                }
            }
        }
    }
}

/// Copies `count` neighbouring windows, of which the first starts at `start` (y, x), to `row` and the rows that follow it
/// `pitch` bytes apart: `[ky][kx][c_in]`, padding as the zero point.
///
/// # Safety
/// Each row is valid for writes of k elements and lies outside `image`, which holds the convolution's `[h, w, c_in]`
/// input. Where there are several windows, all lie inside the image from left to right.
#[inline(always)]
unsafe fn gather(
    conv: &Convolution<'_>,
    image: &[i8],
    start: (i32, i32),
    count: usize,
    row: *mut i8,
    pitch: usize,
) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        for window in 0..count {
            // SAFETY: a row holds k elements.
            unsafe { fill(conv.zero_point, row.add(window * pitch), conv.window.taps() * conv.c_in) };
        }
    }
    // Taps that lie side by side are copied together.
    let run = if x.dilation == 1 { taps_x.len().max(1) } else { 1 };
    let lines = Lines { len: run * conv.c_in, pitches: [x.stride * conv.c_in, pitch], count };
    for ky in taps_y {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        for kx in taps_x.clone().step_by(run) {
            let column = (start.1 + (kx * x.dilation) as i32) as usize;
            // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it; in the row, taps
            // kx..kx + run of ky lie inside the kernel's [ky][kx][c_in] elements. The same taps of the next window lie a
            // stride further.
            unsafe {
                let from = image.as_ptr().add((line + column) * conv.c_in);
                copy(from, row.add((ky * x.kernel + kx) * conv.c_in), lines);
            }
        }
    }
}
