//! Convolution as a matrix product of four pixels at a time.
//!
//! A window whose rows lie in the input, each a run of whole words, is read where it is; any other is gathered into
//! scratch memory (im2col) first. The product takes both, since a pixel says how far apart its runs are.

use super::gather::Gather;
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
    let direct = conv.window.is_pointwise() && conv.c_in.is_multiple_of(4);
    let assumed = conv.family == Family::Neon
        && conv.groups == 1
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == conv.c_out
        && output.len() == images * pixels * conv.c_out
        && input.len() == images * conv.window.image(conv.c_in)
        && (direct || scratch.len() >= PIXELS * pitch + Gather::SLACK);
    if !assumed || output.is_empty() {
        return portable::conv2d(conv, input, scratch, output);
    }
    let gather = Gather::new(conv);
    let in_place =
        gather.run.is_multiple_of(4) && x.dilation == 1 && (y.kernel == 1 || gather.run >= SHORTEST_RUN);
    let (segments, run) = if in_place { (y.kernel, gather.run) } else { (1, pitch) };
    let matrix = Matrix {
        weights: conv.weights.as_ptr(),
        channels: conv.channels,
        segments,
        blocks: run / 4,
        output: Output::new(conv.channels, conv.activation),
    };
    let start = Pixel { at: input.as_ptr(), skip: 0 };
    let mut tile =
        Tile { matrix, c_out: conv.c_out, out: output.as_mut_ptr(), count: 0, pixels: [start; PIXELS] };
    if direct {
        // SAFETY: `assumed` holds: a pixel of the input is a run of c_in bytes, and there are as many outputs.
        unsafe { tile.multiply_direct::<DOT>(images * pixels, conv.c_in) };
        return;
    }
    let rows = scratch.as_mut_ptr();
    let inside_x = if x.dilation == 1 { x.inside() } else { 0..0 };
    for image in input.chunks_exact(conv.window.image(conv.c_in)) {
        for oy in 0..y.output {
            let top = y.start(oy);
            let inside_y = y.taps_inside(top).len() == y.kernel;
            let mut ox = 0;
            while ox < x.output {
                let left = x.start(ox);
                let inside = inside_y && inside_x.contains(&ox);
                if in_place && inside && tile.count == 0 && ox + PIXELS <= inside_x.end {
                    let first = (top as usize * x.input + left as usize) * conv.c_in;
                    // SAFETY: as below, for `PIXELS` windows in place.
                    unsafe {
                        let at = image.as_ptr().add(first);
                        let skip = gather.line - run;
                        tile.pixels =
                            core::array::from_fn(|i| Pixel { at: at.add(i * x.stride * conv.c_in), skip });
                        tile.count = PIXELS;
                        tile.finish::<DOT>();
                    }
                    ox += PIXELS;
                    continue;
                }
                // SAFETY: `assumed` holds. A window inside has rows of `run` bytes, `line` apart. Scratch has `PIXELS`
                // windows of `pitch` bytes and the slack behind the last; `count` is below that, and the product reads
                // scratch before it is filled again. There are as many outputs as windows.
                unsafe {
                    let row = rows.add(tile.count * pitch);
                    let pixel = if inside {
                        let first = (top as usize * x.input + left as usize) * conv.c_in;
                        if in_place {
                            Pixel { at: image.as_ptr().add(first), skip: gather.line - run }
                        } else {
                            gather.inside(image, first, row);
                            Pixel { at: row, skip: 0 }
                        }
                    } else {
                        gather.clipped(image, (top, left), row);
                        Pixel { at: row, skip: 0 }
                    };
                    tile.push::<DOT>(pixel);
                }
                ox += 1;
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
    out: *mut i8,
    count: usize,
    pixels: [Pixel; PIXELS],
}

impl Tile<'_> {
    /// Adds a pixel; multiplies when there are enough.
    ///
    /// # Safety
    /// Those of [`Matrix::multiply`] for the pixel, until the product: c_out more bytes are writable.
    #[inline(always)]
    unsafe fn push<const DOT: bool>(&mut self, pixel: Pixel) {
        self.pixels[self.count % PIXELS] = pixel;
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
        let Some(last) = self.count.checked_sub(1) else { return };
        for i in self.count..PIXELS {
            self.pixels[i] = self.pixels[last % PIXELS];
        }
        // SAFETY: the caller's promises; a pixel's outputs follow those of the pixel before.
        unsafe {
            let out = core::array::from_fn(|i| self.out.add(i.min(last) * self.c_out));
            // SDOT leaves registers for twice the rows.
            match (DOT, self.matrix.segments) {
                (true, 1) => self.matrix.multiply::<DOT, false, PIXELS, 4>(self.pixels, out),
                (true, _) => self.matrix.multiply::<DOT, true, PIXELS, 4>(self.pixels, out),
                (false, 1) => self.matrix.multiply::<DOT, false, PIXELS, 2>(self.pixels, out),
                (false, _) => self.matrix.multiply::<DOT, true, PIXELS, 2>(self.pixels, out),
            }
            self.out = self.out.add(self.count * self.c_out);
        }
        self.count = 0;
    }

    /// Multiplies `pixels` pixels of `bytes` bytes that lie one behind the other from the first on.
    ///
    /// # Safety
    /// Those of [`Matrix::multiply`] for each of them.
    unsafe fn multiply_direct<const DOT: bool>(&self, pixels: usize, bytes: usize) {
        let (mut at, mut out) = (self.pixels[0].at, self.out);
        let mut rest = pixels;
        // SAFETY: the caller's promises: `rest` pixels are left at `at` and `out`; a short tile repeats its last.
        unsafe {
            while rest > 0 {
                let count = rest.min(PIXELS);
                let x = core::array::from_fn(|i| Pixel { at: at.add(i.min(count - 1) * bytes), skip: 0 });
                let to = core::array::from_fn(|i| out.add(i.min(count - 1) * self.c_out));
                if DOT {
                    self.matrix.multiply::<DOT, false, PIXELS, 4>(x, to);
                } else {
                    self.matrix.multiply::<DOT, false, PIXELS, 2>(x, to);
                }
                (at, out) = (at.wrapping_add(PIXELS * bytes), out.wrapping_add(PIXELS * self.c_out));
                rest -= count;
            }
        }
    }
}
