//! Depthwise convolution: windows of up to 4 × 4 taps by [`small_windows`], others 16 channels at a time.
//!
//! For these, a table points to the input pixel of every tap. One table serves all output pixels of a line whose windows lie inside
//! the image from left to right; each of the others has its own, where taps in padding point to zero points. Where 1, 2,
//! 4 or 8 channels lie side by side, neighbouring pixels share a vector.

use super::copy::{Lines, copy, fill};
use super::small_windows;
use super::taps::{LANES, Run, Window16, multiply};
use crate::format::{ChannelRecord, Family};
use crate::kernels::convolution::{Convolution, VectorWords};
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels in helium order and at most [`TAPS`] taps, with the scratch memory of
/// [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let assumed = conv.family == Family::Helium
        && conv.c_in == c
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c;
    if let Some(need) = VectorWords::new(y.kernel, &x, c)
        && assumed
        && scratch.len() >= need.bytes()
        && scratch.as_ptr().cast::<u32>().is_aligned()
    {
        // SAFETY: `assumed` holds, and scratch is long enough.
        unsafe { small_windows::convolve(conv, &need, input, scratch.as_mut_ptr(), output) };
        return;
    }
    let line = (x.input * c).next_multiple_of(LANES);
    let repeated = if c < LANES { taps * LANES } else { 0 };
    if !assumed || !(1..=TAPS).contains(&taps) || scratch.len() < line + repeated {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let (zeros, weights) = scratch.split_at_mut(line);
    // SAFETY: the slice is as long as it says.
    unsafe { fill(conv.zero_point, zeros.as_mut_ptr(), zeros.len()) };
    // Channels behind the last whole vector, or pixels side by side, with records for all lanes.
    let whole = c / LANES;
    let mut records = [conv.channels[0]; LANES];
    let (side_by_side, tail_weights) = if c < LANES {
        repeat(conv, &mut weights[..repeated], &mut records);
        (LANES.is_multiple_of(c) && x.stride == 1, weights.as_ptr())
    } else {
        let rest = &conv.channels[whole * LANES..];
        records[..rest.len()].copy_from_slice(rest);
        (false, conv.weights[whole * LANES * taps..].as_ptr())
    };
    let layer = Layer {
        window: Window16::new(taps, conv.channels, conv.activation),
        conv,
        whole,
        side_by_side,
        tail: (tail_weights, &records),
    };
    let zeros = zeros.as_ptr();
    let inside = x.inside();
    let mut table = [zeros; TAPS];
    let mut lines = output.chunks_exact_mut(x.output * c);
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            let Some(out) = lines.next() else { return };
            let mut ox = 0;
            while ox < x.output {
                let pixels = if ox == inside.start { inside.len().max(1) } else { 1 };
                point(conv, image, (y.start(oy), x.start(ox)), zeros, &mut table[..taps]);
                // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or the
                // zero points; where there are several pixels, all their windows lie inside the image from left to
                // right, so that both go on for as many bytes as the last of them reads, a line at most.
                unsafe { layer.run(table.as_ptr(), pixels, out[ox * c..].as_mut_ptr()) };
                ox += pixels;
            }
        }
    }
}

/// Writes the weights and records of fewer than 16 channels into all lanes: those of channel i to i, i + c, i + 2·c, …
fn repeat(conv: &Convolution<'_>, weights: &mut [i8], records: &mut [ChannelRecord; LANES]) {
    let taps = weights.len() / LANES;
    for first in (0..LANES).step_by(conv.c_out) {
        let lines = Lines { len: conv.c_out.min(LANES - first), pitches: [LANES; 2], count: taps };
        // SAFETY: both have 16 lanes for each tap.
        unsafe { copy(conv.weights.as_ptr(), weights.as_mut_ptr().add(first), lines) };
    }
    for (to, from) in records.iter_mut().zip(conv.channels.iter().cycle()) {
        *to = *from;
    }
}

/// Points the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
#[inline(always)]
fn point(conv: &Convolution<'_>, image: &[i8], start: (i32, i32), zeros: *const i8, table: &mut [*const i8]) {
    let Window { y, x } = conv.window;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        table.fill(zeros);
    }
    if taps_x.is_empty() {
        return;
    }
    let step = x.dilation * conv.c_in;
    let column = (start.1 + (taps_x.start * x.dilation) as i32) as usize * conv.c_in;
    for (ky, row) in table.chunks_exact_mut(x.kernel).enumerate() {
        if !taps_y.contains(&ky) {
            continue;
        }
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input * conv.c_in;
        // Wrapping, since the pointer past the last tap may lie outside the image and is never used.
        let mut pixel = image.as_ptr().wrapping_add(line + column);
        for entry in &mut row[taps_x.clone()] {
            *entry = pixel;
            pixel = pixel.wrapping_add(step);
        }
    }
}

/// A convolution whose weights and channels are as long as it says.
struct Layer<'a> {
    conv: &'a Convolution<'a>,
    window: Window16,
    /// Whole vectors of a pixel.
    whole: usize,
    /// Whether neighbouring pixels share a vector.
    side_by_side: bool,
    /// Weights and records of the channels behind the whole vectors, in all lanes.
    tail: (*const i8, &'a [ChannelRecord; LANES]),
}

impl Layer<'_> {
    /// Computes `pixels` neighbouring outputs.
    ///
    /// # Safety
    /// Each of the layer's taps has a pointer in `table`, valid for reads of c bytes at each of `pixels` places that lie
    /// stride · c apart; where pixels share vectors, at all of them. `out` is valid for writes of `pixels` pixels, which
    /// nothing else refers to.
    #[inline(always)]
    unsafe fn run(&self, table: *const *const i8, pixels: usize, out: *mut i8) {
        let Self { conv, window, whole, side_by_side, tail } = self;
        let (c, step) = (conv.c_out, conv.window.x.stride * conv.c_out);
        let (weights, channels) = (tail.0, tail.1.as_ptr());
        // SAFETY: whole vectors and the rest are the caller's channels, or its pixels where these lie side by side.
        unsafe {
            if *side_by_side {
                let bytes = pixels * c;
                let (vectors, lanes) = (bytes / LANES, bytes % LANES);
                let run = Run {
                    table,
                    offset: 0,
                    weights,
                    channels,
                    out,
                    pixels: vectors,
                    step: LANES,
                    blocks: 1,
                    skip: 0,
                    lanes: LANES,
                };
                if vectors > 0 {
                    multiply(window, &run);
                }
                if lanes > 0 {
                    let at = vectors * LANES;
                    multiply(window, &Run { offset: at, out: out.add(at), pixels: 1, lanes, ..run });
                }
                return;
            }
            let lanes = c - whole * LANES;
            if *whole > 0 {
                multiply(
                    window,
                    &Run {
                        table,
                        offset: 0,
                        weights: conv.weights.as_ptr(),
                        channels: conv.channels.as_ptr(),
                        out,
                        pixels,
                        step,
                        blocks: *whole,
                        skip: lanes,
                        lanes: LANES,
                    },
                );
            }
            if lanes > 0 {
                let at = whole * LANES;
                let skip = c.wrapping_sub(LANES);
                multiply(
                    window,
                    &Run {
                        table,
                        offset: at,
                        weights,
                        channels,
                        out: out.add(at),
                        pixels,
                        step,
                        blocks: 1,
                        skip,
                        lanes,
                    },
                );
            }
        }
    }
}
