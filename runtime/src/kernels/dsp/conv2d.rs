//! Convolution as a matrix product: where an output pixel reads one input pixel, on the input itself; else on the
//! windows of two pixels, gathered into scratch memory (im2col).

use super::lanes;
use super::matrix::{one_row, two_rows};
use super::requantize::Bounds;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Fast for one group in dsp order, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let (pitch, pixels) = (order.k.next_multiple_of(4), y.output * x.output);
    let images = output.len() / (pixels * conv.c_out).max(1);
    let direct = conv.is_pointwise() && conv.c_in.is_multiple_of(4);
    let assumed = conv.family == Family::Dsp1
        && conv.groups == 1
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u32>().is_aligned()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && (direct || scratch.len() >= 2 * pitch);
    if !assumed {
        return portable::conv2d(conv, input, scratch, output);
    }
    let rows = Rows { conv, words: pitch / 4, bounds: Bounds::new(conv.activation) };
    if direct {
        // SAFETY: `assumed` holds. A pointwise output has as many pixels as the input, each of k = c_in = pitch
        // bytes.
        unsafe { rows.multiply(input.as_ptr(), images * pixels, output.as_mut_ptr()) };
        return;
    }
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        let mut gathered = 0;
        for oy in 0..y.output {
            for ox in 0..x.output {
                // SAFETY: `scratch` holds two rows and `gathered` is 0 or 1.
                unsafe {
                    let row = scratch.as_mut_ptr().add(gathered * pitch);
                    gather(conv, image, (y.start(oy), x.start(ox)), order.k, row);
                }
                gathered += 1;
                let last = oy + 1 == y.output && ox + 1 == x.output;
                if gathered == 2 || last {
                    // SAFETY: `gathered` rows of `pitch` bytes lie in scratch. An image has `pixels` outputs of c_out
                    // bytes and each is gathered once, so `out` stays inside `output`, which nothing else refers to.
                    unsafe {
                        rows.multiply(scratch.as_ptr(), gathered, out);
                        out = out.add(gathered * conv.c_out);
                    }
                    gathered = 0;
                }
            }
        }
    }
}

/// The matrix product of a convolution whose weights and channels are as long as it says.
struct Rows<'a> {
    conv: &'a Convolution<'a>,
    words: usize,
    bounds: Bounds,
}

impl Rows<'_> {
    /// Multiplies `rows` rows that lie behind one another.
    ///
    /// # Safety
    /// `x` is valid for reads of `rows * 4 * words` bytes, `out` for writes of `rows * c_out` bytes that nothing else
    /// refers to; the weights are aligned and hold `words` words for each channel, rounded up to even.
    unsafe fn multiply(&self, x: *const i8, rows: usize, out: *mut i8) {
        // SAFETY: the caller's promise is the same.
        unsafe {
            if self.bounds.are_narrow() {
                self.multiply_within::<true>(x, rows, out);
            } else {
                self.multiply_within::<false>(x, rows, out);
            }
        }
    }

    /// # Safety
    /// As [`Self::multiply`].
    unsafe fn multiply_within<const NARROW: bool>(&self, mut x: *const i8, rows: usize, mut out: *mut i8) {
        let Self { conv, words, ref bounds } = *self;
        let (pitch, c_out) = (4 * words, conv.c_out);
        let weights = conv.weights.as_ptr().cast::<u32>();
        for _ in 0..rows / 2 {
            // SAFETY: two of the caller's rows are left.
            unsafe {
                two_rows::<NARROW>(words, weights, conv.channels, bounds, x, [out, out.add(c_out)]);
                (x, out) = (x.add(2 * pitch), out.add(2 * c_out));
            }
        }
        if rows % 2 == 1 {
            // SAFETY: one of the caller's rows is left.
            unsafe { one_row::<NARROW>(words, weights, conv.channels, bounds, x, out) };
        }
    }
}

/// Copies the window that starts at `start` (y, x) to `row`: `[ky][kx][c_in]`, padding as the zero point, and zeros
/// behind the last of k elements.
///
/// # Safety
/// `row` is valid for writes of k rounded up to a multiple of 4 and lies outside `image`, which holds the
/// convolution's `[h, w, c_in]` input.
unsafe fn gather(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), k: usize, row: *mut i8) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        for i in 0..k {
            // SAFETY: i < k.
            unsafe { *row.add(i) = conv.zero_point };
        }
    }
    for i in k..k.next_multiple_of(4) {
        // SAFETY: the row is rounded up to a multiple of 4.
        unsafe { *row.add(i) = 0 };
    }
    let run = if x.dilation == 1 { taps_x.len().max(1) } else { 1 };
    for ky in taps_y {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        for kx in taps_x.clone().step_by(run) {
            let column = (start.1 + (kx * x.dilation) as i32) as usize;
            // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it; in the row, taps
            // kx..kx + run of ky lie inside the kernel's [ky][kx][c_in] elements.
            unsafe {
                let from = image.as_ptr().add((line + column) * conv.c_in);
                let to = row.add((ky * x.kernel + kx) * conv.c_in);
                lanes::copy(from, to, run * conv.c_in);
            }
        }
    }
}
