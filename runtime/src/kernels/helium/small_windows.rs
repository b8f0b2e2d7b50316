//! Depthwise convolution with windows of up to 4 × 4 taps, a line of outputs at a time; the work is in
//! [`words`](super::words).

use super::copy::fill;
use super::words::{Line, interleave, multiply};
use crate::kernels::convolution::{Convolution, VectorWords};
use crate::kernels::window::Window;

/// Computes a convolution of `c` channels and `images` images.
///
/// # Safety
/// Input, weights, channels and output are as long as the convolution says; `scratch` is aligned to words and valid for
/// reads and writes of [`VectorWords::bytes`] of this convolution, which nothing else refers to.
pub(super) unsafe fn convolve(
    conv: &Convolution<'_>,
    need: &VectorWords,
    input: &[i8],
    scratch: *mut i8,
    output: &mut [i8],
) {
    let Window { y, x } = conv.window;
    let c = conv.c_out;
    let words = scratch;
    let weights = words.wrapping_add(need.words);
    let zeros = weights.wrapping_add(need.weights);
    let plane = need.weights / (x.kernel + 1);
    // SAFETY: scratch holds the three parts.
    unsafe {
        fill(conv.zero_point, scratch.cast(), need.words);
        fill(conv.zero_point, zeros, need.zeros);
        spread(conv, plane, weights);
    }
    let (left, right) = (x.padding * 4 * c, (x.padding + x.input) * 4 * c);
    let mut line = Line {
        taps: core::array::from_fn(|kx| if kx < x.kernel { (kx * x.dilation * 4 * c) as u32 } else { 0 }),
        planes: core::array::from_fn(|kx| kx.min(x.kernel) as u32 * plane as u32),
        words,
        weights,
        channels: conv.channels.as_ptr(),
        out: output.as_mut_ptr(),
        pixels: x.output,
        quads: c / 4,
        step: x.stride * 4 * c,
        pitch: c,
        zero_point: conv.channels.first().map_or(0, |channel| channel.offset >> channel.shift),
        activation: conv.activation,
    };
    let shifted = conv.channels.iter().any(|channel| channel.left != 0);
    let mut lines = output.chunks_exact_mut(x.output * c);
    for image in input.chunks_exact(conv.window.image(c)) {
        for oy in 0..y.output {
            let Some(out) = lines.next() else { return };
            let start = y.start(oy);
            let taps_y = y.taps_inside(start);
            let rows = core::array::from_fn(|ky| {
                let row = (start + (ky * y.dilation) as i32) as usize;
                if taps_y.contains(&ky) { image[row * x.input * c..].as_ptr() } else { zeros.cast_const() }
            });
            // SAFETY: a row is a line of the image or the zero points. In the words lie, one behind the other, padding,
            // the line, what rounds it up, or padding that is written again, as far as the last window reads.
            unsafe {
                interleave(rows, x.input * c, words.add(left));
                if !(x.input * c).is_multiple_of(16) {
                    fill(conv.zero_point, words.add(right), need.words - right);
                }
                line.out = out.as_mut_ptr();
                multiply(&line, shifted);
            }
        }
    }
}

/// Brings weights into the order of words, `[kx][channels][4]` with ky in a word, and a plane of zeros behind them.
///
/// # Safety
/// `to` is valid for writes of a plane for each tap of a row and one more.
unsafe fn spread(conv: &Convolution<'_>, plane: usize, to: *mut i8) {
    let Window { y, x } = conv.window;
    let taps = conv.window.taps();
    let nothing = to.wrapping_add(x.kernel * plane);
    // SAFETY: the planes are as long as that, and so are the weights, whose blocks of 16 channels are whole.
    unsafe {
        fill(0, nothing, plane);
        for kx in 0..x.kernel {
            for block in 0..plane / 64 {
                let rows = core::array::from_fn(|ky| {
                    let at = (block * taps + ky * x.kernel + kx) * 16;
                    if ky < y.kernel { conv.weights[at..].as_ptr() } else { nothing.cast_const() }
                });
                interleave(rows, 16, to.add(kx * plane + block * 64));
            }
        }
    }
}
