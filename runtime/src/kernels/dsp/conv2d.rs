//! Convolution as a matrix product: the windows of four output pixels are widened into scratch memory (im2col), then
//! meet every row of weights.

use super::gather::gather;
use super::lanes::copy;
use super::matrix::{PIXELS, Tile, multiply};
use super::pixels::{Pixel, WORDS};
use super::requantize::Bounds;
use core::ops::Range;

use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::element::{self, Weights};
use crate::kernels::window::Window;

/// Fast for one group in dsp order, with the scratch memory of
/// [`Conv2d::scratch_bytes`](crate::ops::Conv2d::scratch_bytes); [`element`] does the rest.
#[inline]
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Window { y, x } = conv.window;
    let quads = order.k.div_ceil(4);
    let image_out = y.output * x.output * conv.c_out;
    let (image_bytes, images) = (conv.window.image(conv.c_in), output.len() / image_out.max(1));
    let assumed = conv.family == Family::Dsp
        && conv.groups == 1
        && order.k > 0
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u32>().is_aligned()
        && conv.channels.len() == conv.c_out
        && output.len() == images * image_out
        && input.len() == images * image_bytes
        && scratch.len() >= 4 * (WORDS + 1) * quads
        && scratch.as_ptr().cast::<u32>().is_aligned();
    if !assumed {
        return element::channels(conv, Weights::Matrix(order), input, (0, conv.c_out), output);
    }
    let words = scratch.as_mut_ptr().cast::<u32>();
    // Taps that lie one behind the other are read together.
    let inside = if x.dilation == 1 { [y.inside(), x.inside()] } else { [0..0, 0..0] };
    let windows = Windows { conv, quads, words, window: words.wrapping_add(quads * WORDS).cast(), inside };
    let mut place = Place { image: input.as_ptr(), oy: 0, ox: 0 };
    let (mut out, mut left) = (output.as_mut_ptr(), images * y.output * x.output);
    while left > 0 {
        let mut tile = Tile {
            rows: conv.c_out,
            channel: conv.channels.as_ptr(),
            x: words,
            x_end: words.wrapping_add(quads * WORDS),
            folded: [0; PIXELS],
            // Pixels past the last are computed from what lies in scratch, and overwritten by the first.
            out: [out; PIXELS],
            bounds: Bounds::new(conv.activation),
        };
        let pixels = left.min(PIXELS);
        for (index, (out_place, folded)) in tile.out.iter_mut().zip(&mut tile.folded).take(pixels).enumerate()
        {
            *out_place = out;
            out = out.wrapping_add(conv.c_out);
            // SAFETY: `assumed` holds: `words` has room for `quads` fours of every pixel and for a window behind them; there
            // are as many output pixels as places in the images.
            *folded = unsafe { windows.widen(&place, index) };
            place.advance(conv, image_bytes);
        }
        left -= pixels;
        // SAFETY: `assumed` holds: quads >= 1, one record a row, a byte of weights for each row and element of a four,
        // rows rounded up to even; `out` are c_out bytes of `output` each, and nothing else refers to them.
        unsafe { multiply(&mut tile, conv.weights.as_ptr().cast()) };
    }
}

/// An output pixel, and the image that it reads.
struct Place {
    image: *const i8,
    oy: usize,
    ox: usize,
}

impl Place {
    #[inline(always)]
    fn advance(&mut self, conv: &Convolution<'_>, image_bytes: usize) {
        self.ox += 1;
        if self.ox == conv.window.x.output {
            self.ox = 0;
            self.oy += 1;
            if self.oy == conv.window.y.output {
                self.oy = 0;
                // Behind the last image it points to the input's end.
                self.image = self.image.wrapping_add(image_bytes);
            }
        }
    }
}

/// The windows of a convolution.
struct Windows<'a> {
    conv: &'a Convolution<'a>,
    quads: usize,
    /// Room for the widened windows of four pixels.
    words: *mut u32,
    /// Room for a window in int8.
    window: *mut i8,
    /// Output rows and columns whose windows lie inside the input.
    inside: [Range<usize>; 2],
}

impl Windows<'_> {
    /// Widens the window of the output pixel at `place`, `[ky][kx][c_in]`, padding as the zero point; returns what it takes
    /// off every accumulator.
    ///
    /// # Safety
    /// The image is valid for reads; `words` has room for `quads` fours of every pixel, and `window` for one of them in
    /// int8.
    #[inline(never)]
    unsafe fn widen(&self, place: &Place, index: usize) -> i32 {
        let Window { y, x } = self.conv.window;
        let start = (y.start(place.oy), x.start(place.ox));
        let mut pixel = Pixel::new(self.words, index);
        // SAFETY: the caller's promise.
        unsafe {
            if self.inside[0].contains(&place.oy) && self.inside[1].contains(&place.ox) {
                let line = x.input * self.conv.c_in;
                let from = place.image.add(start.0 as usize * line + start.1 as usize * self.conv.c_in);
                self.widen_inside(from, y.dilation * line, &mut pixel);
            } else {
                gather(self.conv, place.image, start, self.window, 4 * self.quads);
                pixel.append(self.window, self.quads);
            }
        }
        pixel.folded()
    }

    /// A window that lies inside the image, from `from` on, its rows `pitch` bytes apart.
    ///
    /// # Safety
    /// As [`Self::widen`].
    #[inline(always)]
    unsafe fn widen_inside(&self, mut from: *const i8, pitch: usize, pixel: &mut Pixel) {
        let rows = self.conv.window.y.kernel;
        let row = self.conv.window.x.kernel * self.conv.c_in;
        if row.is_multiple_of(4) {
            for _ in 0..rows {
                // SAFETY: a row of taps.
                unsafe { pixel.append(from, row / 4) };
                from = from.wrapping_add(pitch);
            }
            return;
        }
        let mut to = self.window;
        // SAFETY: a row of taps each, `quads` fours in all; what is behind the last is zero.
        unsafe {
            to.add(4 * (self.quads - 1)).cast::<u32>().write(0);
            for _ in 0..rows {
                copy(from, to, row);
                (from, to) = (from.wrapping_add(pitch), to.add(row));
            }
            pixel.append(self.window, self.quads);
        }
    }
}
