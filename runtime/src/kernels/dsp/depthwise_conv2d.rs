//! Depthwise convolution, four channels and two rows at a time.
//!
//! SMLAD sums two products, so that two elements of one channel must meet in a word. Rows of the input are paired, (0, 1),
//! (2, 3) and so on, counted from the first row of padding: [`Rows`] keeps the pairs that a window needs, each in a slot
//! of its own, and a pair is made once for all windows that it is part of. A window of three rows is then two pairs,
//! wherever it begins: weights (w₀, w₁), (w₂, 0) or (0, w₀), (w₁, w₂).
//!
//! Channels behind the last four are left to [`element`], since a word would reach past the tensor.

use super::lanes::{load, pkhbt, pkhtb, sxtb16, sxtb16_ror8};
use super::requantize::Bounds;
use super::taps::{Constants, Row, multiply};
use crate::format::{ChannelRecord, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::element::{self, Weights};
use crate::kernels::window::Window;
use crate::ops::DepthwiseConv2d;

/// Bytes of four elements of two rows.
const PAIR: usize = 16;

/// Fast for as many output as input channels in dsp order, no dilation and at most [`DepthwiseConv2d::TAPS`] taps
/// in [`DepthwiseConv2d::ROWS`] rows, with
/// the scratch memory of [`DepthwiseConv2d::scratch_bytes`]; [`element`] does the rest.
#[inline]
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let window = conv.window.lengthwise();
    let Window { y, x } = window;
    let (c, taps) = (conv.c_out, order.taps);
    let (image_bytes, image_out) = (conv.window.image(conv.c_in), y.output * x.output * c);
    let images = input.len() / image_bytes.max(1);
    let slots = y.kernel / 2 + 1;
    let row_bytes = PAIR * slots * ((x.output - 1) * x.stride + x.kernel);
    let assumed = conv.family == Family::Dsp
        && conv.c_in == c
        && (y.dilation, x.dilation) == (1, 1)
        && taps <= DepthwiseConv2d::TAPS
        && y.kernel <= DepthwiseConv2d::ROWS
        && conv.weights.len() == order.bytes()
        && conv.weights.as_ptr().cast::<u32>().is_aligned()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * image_out
        && scratch.len() >= row_bytes + 2 * slots * slots * x.kernel * PAIR
        && scratch.as_ptr().cast::<u32>().is_aligned();
    if !assumed {
        return element::channels(conv, Weights::Window, input, (0, c), output);
    }
    let (quads, rest) = conv.channels.as_chunks::<4>();
    let words = scratch.as_mut_ptr().cast::<u32>();
    for (block, channels) in quads.iter().enumerate() {
        if channels.iter().any(|channel| channel.left != 0) {
            // Scales of ¼ and more are rare.
            element::channels(conv, Weights::Window, input, (4 * block, 4), output);
            continue;
        }
        let mut rows = Rows {
            conv,
            window,
            image: input.as_ptr().wrapping_add(4 * block),
            slots,
            pairs: words,
            weights: conv.weights.as_ptr().cast::<u32>().wrapping_add(block * taps),
            arranged: words.wrapping_add(row_bytes / 4),
            made: 0,
            known: 0,
        };
        let mut out = output.as_mut_ptr().wrapping_add(4 * block);
        for _ in 0..images {
            // SAFETY: `assumed` holds: block `block` has 4 bytes at every pixel of each image and output, and a word of weights
            // for every tap; scratch has room for a row of pairs and 2 · slots arrangements of the weights.
            unsafe { rows.multiply(channels, out) };
            rows.image = rows.image.wrapping_add(image_bytes);
            rows.made = 0;
            out = out.wrapping_add(image_out);
        }
    }
    if !rest.is_empty() {
        element::channels(conv, Weights::Window, input, (4 * quads.len(), rest.len()), output);
    }
}

/// Four channels of an image, row pair by row pair.
struct Rows<'a> {
    conv: &'a Convolution<'a>,
    window: Window,
    /// The block's first channel of the first pixel.
    image: *const i8,
    /// Pairs that a window needs at most.
    slots: usize,
    /// `[padded column][slot][channel]`.
    pairs: *mut u32,
    /// A word a tap.
    weights: *const u32,
    /// By first row modulo 2 · slots: `[kx][slot][channel]`.
    arranged: *mut u32,
    /// Pairs made so far.
    made: usize,
    /// Arrangements made so far, one a bit.
    known: u32,
}

impl Rows<'_> {
    /// Every output of the block.
    ///
    /// # Safety
    /// - `image` is valid for reads of 4 bytes at every pixel, `weights` of a word a tap; `output` is valid for writes of 4
    ///   bytes at every output pixel, to which nothing else in use refers.
    /// - `pairs` and `arranged` are aligned and have room for what they hold.
    unsafe fn multiply(&mut self, channels: &[ChannelRecord; 4], output: *mut i8) {
        let Window { y, x } = self.window;
        let constants = Constants::new(channels, Bounds::new(self.conv.activation));
        let steps = x.kernel * self.slots;
        for oy in 0..y.output {
            let first = oy * y.stride;
            // SAFETY: the caller's promise; the row's pairs and weights exist once they are made.
            unsafe {
                while self.made <= (first + y.kernel - 1) / 2 {
                    // A stride may leave out pairs.
                    if self.made >= first / 2 {
                        self.make_pair(self.made);
                    }
                    self.made += 1;
                }
                multiply(&mut Row {
                    x: self.pairs,
                    x_step: x.stride * self.slots * PAIR,
                    weights: self.arrange(first),
                    steps,
                    constants: &constants,
                    out: output.add(oy * x.output * self.conv.c_out),
                    out_step: self.conv.c_out,
                    pixels: x.output,
                });
            }
        }
    }

    /// Makes pair `index`: rows 2 · index and 2 · index + 1 of the padded image.
    ///
    /// # Safety
    /// As [`Self::multiply`].
    #[inline(never)]
    unsafe fn make_pair(&mut self, index: usize) {
        let Window { y, x } = self.window;
        let c = self.conv.c_in;
        let zeros = u32::from(self.conv.zero_point as u8) * 0x0101_0101;
        // A row of padding is one word that is read again and again.
        let row = |padded: usize| match padded.checked_sub(y.padding).filter(|&row| row < y.input) {
            Some(row) => (self.image.wrapping_add(row * x.input * c), c),
            None => ((&raw const zeros).cast::<i8>(), 0),
        };
        let ((mut a, step_a), (mut b, step_b)) = (row(2 * index), row(2 * index + 1));
        let step = 4 * self.slots;
        let mut to = self.pairs.wrapping_add(index % self.slots * 4);
        let columns = (x.output - 1) * x.stride + x.kernel;
        let left = x.padding.min(columns);
        let inside = x.input.min(columns - left);
        // SAFETY: the caller's promise: `columns` pairs fit, and the rows inside have `inside` pixels of at least 4 bytes.
        unsafe {
            for _ in 0..left {
                write_pair(to, zeros, zeros);
                to = to.wrapping_add(step);
            }
            for _ in 0..inside {
                write_pair(to, load(a), load(b));
                (a, b, to) = (a.wrapping_add(step_a), b.wrapping_add(step_b), to.wrapping_add(step));
            }
            for _ in left + inside..columns {
                write_pair(to, zeros, zeros);
                to = to.wrapping_add(step);
            }
        }
    }

    /// The weights of a window whose first row is `first` of the padded image: `[kx][slot][channel]`, zero where a pair
    /// reaches out of the window.
    ///
    /// # Safety
    /// As [`Self::multiply`].
    #[inline(never)]
    unsafe fn arrange(&mut self, first: usize) -> *const u32 {
        let phase = first % (2 * self.slots);
        let words = self.slots * self.window.x.kernel * 4;
        let to = self.arranged.wrapping_add(phase * words);
        if self.known >> phase & 1 == 0 {
            self.known |= 1 << phase;
            let odd = phase % 2;
            // SAFETY: the caller's promise.
            unsafe {
                if phase == odd {
                    self.write_arrangement(odd, to);
                } else {
                    // The same pairs, each in another slot.
                    let _ = self.arrange(odd);
                    self.turn_arrangement(self.arranged.wrapping_add(odd * words), phase / 2, to);
                }
            }
        }
        to
    }

    /// The arrangement for a window that begins at the first pair's row `odd`.
    ///
    /// # Safety
    /// As [`Self::multiply`].
    #[inline]
    unsafe fn write_arrangement(&self, odd: usize, mut to: *mut u32) {
        let Window { y, x } = self.window;
        for kx in 0..x.kernel {
            let tap = |ky: usize| {
                let inside = ky < y.kernel;
                // SAFETY: a tap of the window.
                if inside { unsafe { *self.weights.add(ky * x.kernel + kx) } } else { 0 }
            };
            for slot in 0..self.slots {
                let a = (2 * slot).wrapping_sub(odd);
                // SAFETY: `to` has room for kx · slots pairs.
                unsafe { write_pair(to, tap(a), tap(a.wrapping_add(1))) };
                to = to.wrapping_add(4);
            }
        }
    }

    /// Copies an arrangement with every pair `turns` slots later, the last before the first.
    ///
    /// # Safety
    /// As [`Self::multiply`].
    #[inline]
    unsafe fn turn_arrangement(&self, from: *const u32, turns: usize, to: *mut u32) {
        let (from, to) = (from.cast::<[u32; 4]>(), to.cast::<[u32; 4]>());
        let mut at = 0;
        for _ in 0..self.window.x.kernel {
            for slot in 0..self.slots {
                let turned = if slot + turns < self.slots { slot + turns } else { slot + turns - self.slots };
                // SAFETY: both are inside arrangements of kx · slots pairs.
                unsafe { *to.add(at + turned) = *from.add(at + slot) };
            }
            at += self.slots;
        }
    }
}

/// Writes the pairs (a_c, b_c) of four channels.
///
/// # Safety
/// `to` is aligned and valid for writes of 4 words.
#[inline(always)]
unsafe fn write_pair(to: *mut u32, a: u32, b: u32) {
    let (a, b) = ((sxtb16(a), sxtb16_ror8(a)), (sxtb16(b), sxtb16_ror8(b)));
    // SAFETY: the caller's promise.
    unsafe {
        to.cast::<[u32; 4]>().write([pkhbt(a.0, b.0), pkhbt(a.1, b.1), pkhtb(b.0, a.0), pkhtb(b.1, a.1)]);
    }
}
