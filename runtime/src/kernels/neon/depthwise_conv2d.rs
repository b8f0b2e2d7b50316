//! Depthwise convolution, sixteen channels at a time, eight where there are less.
//!
//! Scratch memory holds the input lines under the kernel with their padding, and a line of zero points for those above
//! and below: a table points to the pixel of every tap of a row's first window, and moves along the row without edges.
//! Lines that need no padding stay where they are.

use super::depthwise_run::{PREPARED, Run};
use super::requantize::Output;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels, at least eight, in neon order, without dilation downwards and at most
/// [`TAPS`] taps, with the scratch memory of
/// [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    // SAFETY: no dot product asked for.
    unsafe { depthwise_conv2d_by::<false>(conv, input, scratch, output) }
}

/// The same by dot product where that is faster.
///
/// # Safety
/// The core has the dot-product instructions.
pub(crate) unsafe fn depthwise_conv2d_dotprod(
    conv: &Convolution<'_>,
    input: &[i8],
    scratch: &mut [i8],
    output: &mut [i8],
) {
    // SAFETY: the caller's promise.
    unsafe { depthwise_conv2d_by::<true>(conv, input, scratch, output) }
}

/// # Safety
/// With `DOT` the core has the dot-product instructions.
unsafe fn depthwise_conv2d_by<const DOT: bool>(
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
    let reach = (x.output - 1) * x.stride + (x.kernel - 1) * x.dilation + 1;
    let line_bytes = reach * c;
    let assumed = conv.family == Family::Neon
        && conv.c_in == c
        && c >= 8
        && taps <= TAPS
        && y.dilation == 1
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= (y.kernel + 1) * line_bytes;
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let padded = x.padding > 0 || reach > x.input;
    let (zeros, lines) = scratch.split_at_mut(line_bytes);
    zeros.fill(conv.zero_point);
    lines.fill(conv.zero_point);
    // One pointer for all lines: the table keeps some while others are written.
    let lines = lines.as_mut_ptr();
    // What of a padded line lies in the input: elements of the line, and of the input.
    let inside = x.padding.min(reach) * c..(x.padding + x.input).min(reach) * c;
    let run = Run { conv, output: Output::new(conv.channels, conv.activation), step: x.stride * c };
    let mut prepared = [const { None }; PREPARED];
    let mut table = [zeros.as_ptr(); TAPS];
    let mut rows = output.chunks_exact_mut(x.output * c);
    for image in input.chunks_exact(image_bytes) {
        // The next line to bring into scratch memory.
        let mut next = 0;
        for oy in 0..y.output {
            let Some(row) = rows.next() else { return };
            let top = y.start(oy);
            let taps_y = y.taps_inside(top);
            for ky in 0..y.kernel {
                let mut line = zeros.as_ptr();
                if taps_y.contains(&ky) {
                    // A tap inside, of a kernel without dilation downwards.
                    let iy = (top + ky as i32) as usize;
                    let from = &image[iy * x.input * c..][..x.input * c];
                    line = from.as_ptr();
                    if padded {
                        let slot = lines.wrapping_add(iy % y.kernel * line_bytes);
                        if iy >= next {
                            let from = &from[..inside.len()];
                            // SAFETY: `assumed` holds: scratch has y.kernel lines of `line_bytes` bytes, `inside` lies in
                            // each, and the input lies elsewhere.
                            unsafe {
                                slot.add(inside.start).copy_from_nonoverlapping(from.as_ptr(), from.len());
                            }
                            next = iy + 1;
                        }
                        line = slot;
                    }
                }
                for (kx, entry) in table[ky * x.kernel..][..x.kernel].iter_mut().enumerate() {
                    *entry = line.wrapping_add(kx * x.dilation * c);
                }
            }
            // SAFETY: `assumed` holds. Each pointer of the table leads to a line that reaches to the last tap of the row's
            // last window, whose first window's tap it is. With `DOT` the core has the instructions.
            unsafe { run.pixels::<DOT>(&table[..taps], &mut prepared, row) };
        }
    }
}
