//! Depthwise convolution, sixteen channels at a time, eight where there are less.
//!
//! Scratch memory holds the input lines under the kernel with their padding, and a line of zero points for those above
//! and below: a table points to the pixel of every tap of a row's first window, and moves along the row without edges.
//! Lines that need no padding stay where they are.

use super::lanes::{I8x16, load, load_half, multiply_tap, multiply_taps, store, store_half};
use super::requantize::{Four, Output};
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
    // What of a padded line lies in the input: elements of the line, and of the input.
    let inside = x.padding.min(reach) * c..(x.padding + x.input).min(reach) * c;
    let run = Run { conv, output: Output::new(conv.channels, conv.activation), step: x.stride * c };
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
                        let slot = &mut lines[iy % y.kernel * line_bytes..][..line_bytes];
                        if iy >= next {
                            slot[inside.clone()].copy_from_slice(&from[..inside.len()]);
                            next = iy + 1;
                        }
                        line = slot.as_ptr();
                    }
                }
                for (kx, entry) in table[ky * x.kernel..][..x.kernel].iter_mut().enumerate() {
                    *entry = line.wrapping_add(kx * x.dilation * c);
                }
            }
            // SAFETY: `assumed` holds. Each pointer of the table leads to a line that reaches to the last tap of the row's
            // last window, whose first window's tap it is.
            unsafe { run.pixels(&table[..taps], x.output, row) };
        }
    }
}

/// Output pixels next to one another.
struct Run<'a> {
    conv: &'a Convolution<'a>,
    output: Output,
    /// Bytes from a pixel's tap to that of the next one.
    step: usize,
}

impl Run<'_> {
    /// All channels of `count` pixels.
    ///
    /// # Safety
    /// Each pointer of `table` is valid for reads of c bytes, and again `step` bytes on for each further pixel; `out`
    /// has `count` pixels; the convolution has c ≥ 8 channels and weights for them and the table.
    unsafe fn pixels(&self, table: &[*const i8], count: usize, out: &mut [i8]) {
        let c = self.conv.c_out;
        let lanes = if c < 16 { 8 } else { 16 };
        let out = out.as_mut_ptr();
        for first in (0..c).step_by(lanes) {
            // The last block overlaps the one before it: bytes that are written twice are the same.
            let at = first.min(c - lanes);
            // SAFETY: the caller's promise; channels at..at + lanes exist.
            unsafe {
                match (lanes, self.output.left) {
                    (16, false) => self.block::<false, 16>(table, count, at, out.add(at)),
                    (16, true) => self.block::<true, 16>(table, count, at, out.add(at)),
                    (_, false) => self.block::<false, 8>(table, count, at, out.add(at)),
                    (_, true) => self.block::<true, 8>(table, count, at, out.add(at)),
                }
            }
        }
    }

    /// `LANES` channels from `first` on.
    ///
    /// # Safety
    /// As [`Self::pixels`]; the channels exist.
    unsafe fn block<const LEFT: bool, const LANES: usize>(
        &self,
        table: &[*const i8],
        count: usize,
        first: usize,
        mut out: *mut i8,
    ) {
        let c = self.conv.c_out;
        // SAFETY: the caller's promise: four records for every four channels, and weights for every tap.
        unsafe {
            let records = self.conv.channels.as_ptr().add(first);
            let weights = self.conv.weights.as_ptr().add(first);
            // Half a block has records for as many lanes: the upper ones repeat the lower.
            let four: [Four; 4] = core::array::from_fn(|quad| Four::load(records.add(4 * quad % LANES)));
            let start = four.map(|four| four.bias);
            let value = |tap: usize, offset: usize| load_lanes::<LANES>(table[tap].wrapping_add(offset));
            let mut offset = first;
            if let Ok(table) = <&[*const i8; 9]>::try_from(table) {
                // 3 × 3: unrolled.
                let w: [I8x16; 9] = core::array::from_fn(|tap| load_lanes::<LANES>(weights.add(tap * c)));
                let value = |tap: usize, offset: usize| load_lanes::<LANES>(table[tap].wrapping_add(offset));
                for _ in 0..count {
                    let mut acc = start;
                    for tap in [0, 2, 4, 6] {
                        let x = [value(tap, offset), value(tap + 1, offset)];
                        multiply_taps(&mut acc, [w[tap], w[tap + 1]], x);
                    }
                    multiply_tap(&mut acc, w[8], value(8, offset));
                    self.write::<LEFT, LANES>(acc, &four, out);
                    (offset, out) = (offset + self.step, out.wrapping_add(c));
                }
                return;
            }
            for _ in 0..count {
                let mut w = weights;
                let mut acc = start;
                for pair in 0..table.len() / 2 {
                    let x = [value(2 * pair, offset), value(2 * pair + 1, offset)];
                    let two = [load_lanes::<LANES>(w), load_lanes::<LANES>(w.wrapping_add(c))];
                    multiply_taps(&mut acc, two, x);
                    w = w.wrapping_add(2 * c);
                }
                if table.len() % 2 == 1 {
                    multiply_tap(&mut acc, load_lanes::<LANES>(w), value(table.len() - 1, offset));
                }
                self.write::<LEFT, LANES>(acc, &four, out);
                (offset, out) = (offset + self.step, out.wrapping_add(c));
            }
        }
    }

    /// Requantizes and writes `LANES` accumulators.
    ///
    /// # Safety
    /// `out` is valid for writes of `LANES` bytes.
    #[inline(always)]
    unsafe fn write<const LEFT: bool, const LANES: usize>(
        &self,
        acc: [super::lanes::I32x4; 4],
        four: &[Four; 4],
        out: *mut i8,
    ) {
        let q = |quad: usize| four[quad].scale::<LEFT>(acc[quad]);
        let low = self.output.shift(q(0), q(1));
        // SAFETY: the caller's promise.
        unsafe {
            if LANES == 16 {
                store(out, self.output.clamp(low, self.output.shift(q(2), q(3))));
            } else {
                store_half::<0>(out, self.output.clamp(low, low));
            }
        }
    }
}

/// 16 bytes, or 8 and zeros.
///
/// # Safety
/// `from` is valid for reads of `LANES` bytes.
#[inline(always)]
unsafe fn load_lanes<const LANES: usize>(from: *const i8) -> I8x16 {
    // SAFETY: the caller's promise.
    unsafe { if LANES == 16 { load(from) } else { load_half(from) } }
}
