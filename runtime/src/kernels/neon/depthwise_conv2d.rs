//! Depthwise convolution, sixteen channels at a time, eight where there are less.
//!
//! A table points to the input pixel of every tap, and to a pixel of zero points for taps in padding. Pixels whose windows
//! lie inside share one table, which moves along the row, and their weights stay in registers; each of the others gets
//! a table of its own. Products of two taps are added in 16 bits, where two fit: 2 · 127 · 128 < 2¹⁵.

use super::lanes::{
    I8x16, I32x4, add_high, add_low, load, load_half, mul_add_high, mul_add_low, mul_high, mul_low, store,
    store_half,
};
use super::requantize::{Four, Output};
use crate::format::Family;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Most taps that the table holds; it lives on the stack.
const TAPS: usize = 64;

/// Fast for as many output as input channels, at least eight, in neon order and at most [`TAPS`] taps, with the scratch
/// memory of [`DepthwiseConv2d::scratch_bytes`](crate::ops::DepthwiseConv2d::scratch_bytes); the portable kernel does
/// the rest.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.window_order();
    let Window { y, x } = conv.window;
    let (c, taps) = (conv.c_out, order.taps);
    let image_bytes = conv.window.image(c);
    let images = input.len() / image_bytes.max(1);
    let assumed = conv.family == Family::Neon
        && conv.c_in == c
        && c >= 8
        && taps <= TAPS
        && conv.weights.len() == order.bytes()
        && conv.channels.len() == c
        && input.len() == images * image_bytes
        && output.len() == images * y.output * x.output * c
        && scratch.len() >= c;
    if !assumed {
        return portable::depthwise_conv2d(conv, input, scratch, output);
    }
    let zeros = &mut scratch[..c];
    zeros.fill(conv.zero_point);
    let run = Run { conv, output: Output::new(conv.channels, conv.activation), step: x.stride * c };
    let mut table = [zeros.as_ptr(); TAPS];
    let table = &mut table[..taps];
    let inside_x = inside(conv);
    let mut rows = output.chunks_exact_mut(x.output * c);
    for image in input.chunks_exact(image_bytes) {
        for oy in 0..y.output {
            let Some(row) = rows.next() else { return };
            let top = y.start(oy);
            let inside_y = y.taps_inside(top).len() == y.kernel;
            let mut ox = 0;
            while ox < x.output {
                point(conv, image, (top, x.start(ox)), zeros.as_ptr(), table);
                let count = if inside_y && inside_x.contains(&ox) { inside_x.end - ox } else { 1 };
                let out = &mut row[ox * c..][..count * c];
                // SAFETY: `assumed` holds. Each pointer of the table leads to `c` bytes, a pixel of the image or the
                // zero points; where it is used for several output pixels, all of their windows lie inside, and their
                // taps `step` bytes on.
                unsafe { run.pixels(table, count, out) };
                ox += count;
            }
        }
    }
}

/// Output columns whose windows lie inside the input from left to right.
fn inside(conv: &Convolution<'_>) -> core::ops::Range<usize> {
    let x = conv.window.x;
    let whole = |&ox: &usize| x.taps_inside(x.start(ox)).len() == x.kernel;
    let first = (0..x.output).find(whole).unwrap_or(x.output);
    first..(first..x.output).find(|ox| !whole(ox)).unwrap_or(x.output)
}

/// Points the table to the pixels that the window at `start` (y, x) reads: `[ky][kx]`.
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
        let mut first = 0;
        while first < c {
            // The last block overlaps the one before it: bytes that are written twice are the same.
            let at = first.min(c - lanes);
            let out = out.as_mut_ptr();
            // SAFETY: the caller's promise; channels at..at + lanes exist.
            unsafe {
                match (lanes, self.output.left) {
                    (16, false) => self.block::<false, 16, 4>(table, count, at, out.add(at)),
                    (16, true) => self.block::<true, 16, 4>(table, count, at, out.add(at)),
                    (_, false) => self.block::<false, 8, 2>(table, count, at, out.add(at)),
                    (_, true) => self.block::<true, 8, 2>(table, count, at, out.add(at)),
                }
            }
            first += lanes;
        }
    }

    /// `LANES` channels from `first` on, four in each of `QUADS` registers.
    ///
    /// # Safety
    /// As [`Self::pixels`]; the channels exist.
    unsafe fn block<const LEFT: bool, const LANES: usize, const QUADS: usize>(
        &self,
        table: &[*const i8],
        count: usize,
        first: usize,
        mut out: *mut i8,
    ) {
        let c = self.conv.c_out;
        // SAFETY: the caller's promise: `LANES` channels, `QUADS` times four records, and weights for every tap.
        unsafe {
            let records = self.conv.channels.as_ptr().add(first);
            let weights = self.conv.weights.as_ptr().add(first);
            let four: [Four; QUADS] = core::array::from_fn(|quad| Four::load(records.add(4 * quad)));
            if let Ok(table) = <&[*const i8; 9]>::try_from(table) {
                // 3 × 3: unrolled, with the weights in registers.
                let w: [I8x16; 9] = core::array::from_fn(|tap| load_lanes::<LANES>(weights.add(tap * c)));
                let mut offset = first;
                for _ in 0..count {
                    let value = |tap: usize| load_lanes::<LANES>(table[tap].wrapping_add(offset));
                    let mut acc = four.map(|four| four.bias);
                    for pair in 0..4 {
                        let tap = 2 * pair;
                        add_two(&mut acc, [value(tap), value(tap + 1)], [w[tap], w[tap + 1]]);
                    }
                    add_one(&mut acc, value(8), w[8]);
                    self.write::<LEFT, QUADS>(acc, &four, out);
                    (offset, out) = (offset + self.step, out.add(c));
                }
                return;
            }
            let mut offset = first;
            for _ in 0..count {
                let mut w = weights;
                let mut acc = four.map(|four| four.bias);
                let (pairs, last) = table.as_chunks::<2>();
                for pair in pairs {
                    let x = pair.map(|x| load_lanes::<LANES>(x.wrapping_add(offset)));
                    add_two(&mut acc, x, [load_lanes::<LANES>(w), load_lanes::<LANES>(w.wrapping_add(c))]);
                    w = w.wrapping_add(2 * c);
                }
                if let [x] = last {
                    add_one(&mut acc, load_lanes::<LANES>(x.wrapping_add(offset)), load_lanes::<LANES>(w));
                }
                self.write::<LEFT, QUADS>(acc, &four, out);
                (offset, out) = (offset + self.step, out.wrapping_add(c));
            }
        }
    }

    /// Requantizes and writes 4 · `QUADS` accumulators.
    ///
    /// # Safety
    /// `out` is valid for writes of 4 · `QUADS` bytes, 8 or 16.
    #[inline(always)]
    unsafe fn write<const LEFT: bool, const QUADS: usize>(
        &self,
        acc: [I32x4; QUADS],
        four: &[Four; QUADS],
        out: *mut i8,
    ) {
        let q = |quad: usize| four[quad].scale::<LEFT>(acc[quad]);
        let low = self.output.shift(q(0), q(1));
        // SAFETY: the caller's promise.
        unsafe {
            if QUADS == 4 {
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

/// Two taps of 8 or 16 channels.
#[inline(always)]
fn add_two<const QUADS: usize>(acc: &mut [I32x4; QUADS], x: [I8x16; 2], w: [I8x16; 2]) {
    let low = mul_add_low(mul_low(x[0], w[0]), x[1], w[1]);
    (acc[0], acc[1]) = (add_low(acc[0], low), add_high(acc[1], low));
    if QUADS == 4 {
        let high = mul_add_high(mul_high(x[0], w[0]), x[1], w[1]);
        (acc[2], acc[3]) = (add_low(acc[2], high), add_high(acc[3], high));
    }
}

/// One tap of 8 or 16 channels.
#[inline(always)]
fn add_one<const QUADS: usize>(acc: &mut [I32x4; QUADS], x: I8x16, w: I8x16) {
    let low = mul_low(x, w);
    (acc[0], acc[1]) = (add_low(acc[0], low), add_high(acc[1], low));
    if QUADS == 4 {
        let high = mul_high(x, w);
        (acc[2], acc[3]) = (add_low(acc[2], high), add_high(acc[3], high));
    }
}
