//! Convolution as a matrix product with the windows of four pixels, gathered into scratch memory.

use super::requantize::{clamp, has_left_shift};
use super::rows::{Rows, STEP, any_rows, rows};
use super::windows::Windows;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Fast for one group in scalar order and channels without left shift, with the scratch memory of
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
        && scratch.as_ptr().cast::<u32>().is_aligned();
    if !assumed {
        return portable::conv2d(conv, input, scratch, output);
    }
    let (words, padding) = scratch.split_at_mut(4 * STEP * steps);
    let words = words.as_mut_ptr().cast::<i32>();
    padding[..conv.c_in].fill(conv.zero_point);
    let windows = Windows::new(conv, padding.as_ptr());
    let multiply = if has_left_shift(conv.channels) { any_rows } else { plain_rows };
    let pointwise = conv.window.is_pointwise();
    let weights = conv.weights.as_ptr();
    let ends = [steps / 4 * 4, steps].map(|steps| words.wrapping_add(STEP * steps).cast_const());
    let channels = conv.channels.as_ptr_range();
    let channels = [channels.start, channels.end];
    let mut out = output.as_mut_ptr();
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        let mut walk = Walk { window: &conv.window, at: (0, 0) };
        let mut done = 0;
        while done < pixels {
            // Four pixels at a time: of the last ones some are computed again. An image of fewer pixels has them computed
            // one by one, four times into the same place.
            let (again, new, pitch) = match pixels {
                ..4 => (0, 1, 0),
                _ => {
                    let again = (done + 4).saturating_sub(pixels);
                    (again, 4 - again, conv.c_out)
                }
            };
            // SAFETY: `scratch` is aligned and holds `STEP` words for every two k, then a pixel; the weights have
            // `2 * steps` bytes for each channel. `output` has c_out bytes for every pixel of every image, `out` leads
            // to the first new one, and `again` of them lie before it; nothing else refers to `output`. A pointwise
            // image has as many pixels of c_in bytes.
            unsafe {
                if pointwise && pitch > 0 {
                    windows.gather_pixels(image.as_ptr().add((done - again) * conv.c_in), words);
                } else {
                    (0..again).for_each(|_| walk.back());
                    let starts = if pitch > 0 { [(); 4].map(|()| walk.next()) } else { [walk.next(); 4] };
                    windows.gather(image, &starts, words);
                }
                let first = out.sub(again * conv.c_out);
                multiply(&Rows { x: words, ends, channels, out: first, pitch, weights });
                out = out.add(new * conv.c_out);
            }
            done += new;
        }
    }
    clamp(conv.activation, output);
}

/// Beside [`any_rows`] in a variable, which takes functions of one calling convention.
///
/// # Safety
/// As [`rows`].
unsafe fn plain_rows(these: &Rows) {
    // SAFETY: the caller's promise.
    unsafe { rows(these) };
}

/// From output pixel to output pixel.
struct Walk<'a> {
    window: &'a Window,
    /// Row and column of the next one.
    at: (usize, usize),
}

impl Walk<'_> {
    /// Where the window of the next pixel starts (y, x).
    fn next(&mut self) -> (i32, i32) {
        let Window { y, x } = *self.window;
        let (row, column) = self.at;
        self.at = if column + 1 == x.output { (row + 1, 0) } else { (row, column + 1) };
        (y.start(row), x.start(column))
    }

    /// Undoes a step; there must be one to undo.
    fn back(&mut self) {
        let (row, column) = self.at;
        self.at = if column == 0 { (row - 1, self.window.x.output - 1) } else { (row, column - 1) };
    }
}
