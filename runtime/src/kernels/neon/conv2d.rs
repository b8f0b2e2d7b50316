//! Convolution as a matrix product of four pixels at a time.
//!
//! A window whose rows lie in the input, each a run of whole words, is read where it is; any other is gathered into
//! scratch memory (im2col) first. The product takes both, since a pixel says how far apart its runs are.

use super::matrix::{Matrix, Pixel};
use super::requantize::Output;
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Pixels at a time, and windows in scratch memory.
const PIXELS: usize = 4;

/// Least bytes of a window's row that is read in place, where the window has several: shorter ones cost more in the
/// product than the copy.
const SHORTEST_RUN: usize = 32;

/// Fast for one group in neon order, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    // SAFETY: no dot product asked for.
    unsafe { conv2d_by::<false>(conv, input, scratch, output) }
}

/// The same by dot product.
///
/// # Safety
/// The core has the dot-product instructions.
pub(crate) unsafe fn conv2d_dotprod(
    conv: &Convolution<'_>,
    input: &[i8],
    scratch: &mut [i8],
    output: &mut [i8],
) {
    // SAFETY: the caller's promise.
    unsafe { conv2d_by::<true>(conv, input, scratch, output) }
}

/// # Safety
/// With `DOT` the core has the dot-product instructions.
unsafe fn conv2d_by<const DOT: bool>(
    conv: &Convolution<'_>,
    input: &[i8],
    scratch: &mut [i8],
    output: &mut [i8],
) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let (pitch, pixels) = (order.k.next_multiple_of(4), y.output * x.output);
    let images = output.len() / (pixels * conv.c_out).max(1);
    let direct = conv.is_pointwise() && conv.c_in.is_multiple_of(4);
    let assumed = conv.family == Family::Neon
        && conv.groups == 1
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && (direct || scratch.len() >= PIXELS * pitch);
    if !assumed || output.is_empty() {
        return portable::conv2d(conv, input, scratch, output);
    }
    let run = x.kernel * conv.c_in;
    let in_place = run.is_multiple_of(4) && x.dilation == 1 && (y.kernel == 1 || run >= SHORTEST_RUN);
    let (segments, run) = if in_place { (y.kernel, run) } else { (1, pitch) };
    let matrix = Matrix {
        weights: conv.weights.as_ptr(),
        channels: conv.channels,
        segments,
        blocks: run / 4,
        output: Output::new(conv.channels, conv.activation),
    };
    let mut tile = Tile { matrix, c_out: conv.c_out, at: output.as_mut_ptr(), count: 0, pixels: None };
    if direct {
        for pixel in input.chunks_exact(conv.c_in) {
            // SAFETY: `assumed` holds: a pixel of the input is a run of c_in bytes, and there are as many outputs.
            unsafe { tile.push::<DOT>(Pixel { at: pixel.as_ptr(), step: 0 }) };
        }
    } else {
        let line = y.dilation * x.input * conv.c_in;
        for image in input.chunks_exact(conv.window.image(conv.c_in)) {
            for oy in 0..y.output {
                let top = y.start(oy);
                let inside_y = in_place && y.taps_inside(top).len() == y.kernel;
                for ox in 0..x.output {
                    let left = x.start(ox);
                    let inside = inside_y && left >= 0 && left as usize + x.kernel <= x.input;
                    // SAFETY: `assumed` holds. A window inside has rows of `run` bytes, `line` apart; one in scratch
                    // has `pitch` bytes, of which there are `PIXELS`; `count` is below that, and the product reads
                    // scratch before it is filled again. There are as many outputs as windows.
                    unsafe {
                        let pixel = if inside {
                            let first = (top as usize * x.input + left as usize) * conv.c_in;
                            Pixel { at: image.as_ptr().add(first), step: line }
                        } else {
                            let row = scratch.as_mut_ptr().add(tile.count * pitch);
                            gather(conv, image, (top, left), order.k, row);
                            Pixel { at: row, step: run }
                        };
                        tile.push::<DOT>(pixel);
                    }
                }
            }
        }
    }
    // SAFETY: what is left was pushed.
    unsafe { tile.finish::<DOT>() };
}

/// Pixels on their way to the product.
struct Tile<'a> {
    matrix: Matrix<'a>,
    c_out: usize,
    /// Where the first pixel's outputs go.
    at: *mut i8,
    count: usize,
    pixels: Option<[Pixel; PIXELS]>,
}

impl Tile<'_> {
    /// Adds a pixel; multiplies when there are enough.
    ///
    /// # Safety
    /// Those of [`Matrix::multiply`] for the pixel, until the product: c_out more bytes are writable.
    #[inline(always)]
    unsafe fn push<const DOT: bool>(&mut self, pixel: Pixel) {
        let pixels = self.pixels.get_or_insert([pixel; PIXELS]);
        pixels[self.count % PIXELS] = pixel;
        self.count += 1;
        if self.count == PIXELS {
            // SAFETY: the caller's promises.
            unsafe { self.finish::<DOT>() };
        }
    }

    /// Multiplies what there is: a short tile repeats its last pixel, which gives the same bytes again.
    ///
    /// # Safety
    /// Those of [`Self::push`].
    #[inline(never)]
    unsafe fn finish<const DOT: bool>(&mut self) {
        let (Some(mut pixels), Some(last)) = (self.pixels, self.count.checked_sub(1)) else { return };
        for i in self.count..PIXELS {
            pixels[i] = pixels[last];
        }
        let at = self.at;
        // SAFETY: the caller's promises; a pixel's outputs follow those of the pixel before.
        unsafe {
            let out = core::array::from_fn(|i| at.add(i.min(last) * self.c_out));
            self.matrix.multiply::<DOT, PIXELS, 2>(pixels, out);
            self.at = at.add(self.count * self.c_out);
        }
        self.count = 0;
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
    // SAFETY: k elements, and those up to a multiple of 4, lie in the row.
    unsafe {
        if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
            row.write_bytes(conv.zero_point as u8, k);
        }
        for i in k..k.next_multiple_of(4) {
            *row.add(i) = 0;
        }
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
                copy(from, to, run * conv.c_in);
            }
        }
    }
}

/// Copies `len` bytes: runs are short, and a call of `memcpy` costs more than the copy of one. The last two words of a
/// length between overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, len: usize) {
    // SAFETY: each access lies in the first or the last bytes of `len`, as many as its branch says there are.
    unsafe {
        match len {
            4..=7 => {
                let ends = [0, len - 4].map(|i| from.add(i).cast::<u32>().read_unaligned());
                to.cast::<u32>().write_unaligned(ends[0]);
                to.add(len - 4).cast::<u32>().write_unaligned(ends[1]);
            }
            8..=16 => {
                let ends = [0, len - 8].map(|i| from.add(i).cast::<u64>().read_unaligned());
                to.cast::<u64>().write_unaligned(ends[0]);
                to.add(len - 8).cast::<u64>().write_unaligned(ends[1]);
            }
            0..=3 => {
                for i in 0..len {
                    *to.add(i) = *from.add(i);
                }
            }
            _ => to.copy_from_nonoverlapping(from, len),
        }
    }
}
