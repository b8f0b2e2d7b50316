//! Layers with weights of four bits: blocks of rows are unpacked into scratch memory, in the family's order of eight bits, and
//! meet the build's own kernels.

use core::ops::Range;

use crate::format::{ChannelRecord, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{self, scratch};
use crate::packing::{MatrixOrder, unpack_nibbles};

/// Stored bytes that are unpacked at once, as far as blocks of [`ROWS`] rows allow.
const UNPACKED: usize = 4096;

/// Rows of the smallest block: a multiple of every family's, so that eight stored bytes never belong to two blocks.
const ROWS: usize = 8;

/// Output pixels that meet an unpacked block at once, about.
const PIXELS: usize = 32;

/// Bytes of scratch memory for `bytes` stored weights.
fn room(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(16).unwrap_or(usize::MAX)
}

/// Scratch memory of a convolution: unpacked weights, the outputs of a block for a band of lines, and the kernel's own.
pub(crate) struct Plan {
    /// Rows of a block.
    rows: usize,
    /// Bytes of its weights.
    weights: usize,
    /// Output lines of a band; 0 where one block is all, and its outputs go to their places.
    lines: usize,
    /// Bytes of the outputs.
    outputs: usize,
}

impl Plan {
    /// For a convolution of one group.
    pub fn new(order: MatrixOrder, window: &Window) -> Option<Self> {
        let all = order.checked_bytes()?;
        if all <= UNPACKED || order.rows <= ROWS {
            return Some(Self { rows: order.rows, weights: room(all), lines: 0, outputs: 0 });
        }
        let bytes = |rows| MatrixOrder { rows, ..order }.checked_bytes();
        let rows = if bytes(2 * ROWS)? <= UNPACKED { 2 * ROWS } else { ROWS };
        let lines = PIXELS.div_ceil(window.x.output.max(1)).min(window.y.output);
        let outputs = lines.checked_mul(window.x.output)?.checked_mul(rows)?;
        Some(Self { rows, weights: room(bytes(rows)?), lines, outputs: room(outputs) })
    }

    /// Bytes, those of the kernel apart.
    pub fn bytes(&self) -> usize {
        self.weights.saturating_add(self.outputs)
    }
}

/// Scratch bytes of a convolution of one group.
pub(crate) fn conv2d_scratch(family: Family, window: &Window, c_in: usize, c_out: usize) -> usize {
    let k = window.y.kernel.saturating_mul(window.x.kernel).saturating_mul(c_in);
    let plan = Plan::new(MatrixOrder { family, rows: c_out, k, dense: false }, window);
    let own = plan.map_or(usize::MAX, |plan| plan.bytes());
    own.saturating_add(scratch::conv2d(family, window, c_in, 1))
}

/// Scratch bytes of a fully connected layer.
pub(crate) fn fully_connected_scratch(order: MatrixOrder) -> usize {
    MatrixOrder { rows: order.rows.min(ROWS), ..order }.checked_bytes().map_or(usize::MAX, room)
}

/// A convolution of one group, whose weights are packed.
pub(crate) fn conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let order = conv.matrix_order();
    let Some(plan) = Plan::new(order, &conv.window) else { return };
    let Some((weights, rest)) = scratch.split_at_mut_checked(plan.weights) else { return };
    if plan.lines == 0 {
        unpack_nibbles(conv.weights, weights);
        let weights = weights.get(..order.bytes()).unwrap_or_default();
        return eight(&Convolution { weights, ..*conv }, input, rest, output);
    }
    let Some((outputs, rest)) = rest.split_at_mut_checked(plan.outputs) else { return };
    let [image_in, line_in] = [conv.window.image(conv.c_in), conv.window.x.input * conv.c_in];
    let line_out = conv.window.x.output * conv.c_out;
    let image_out = conv.window.y.output * line_out;
    let mut row = 0;
    while row < order.rows {
        let rows = plan.rows.min(order.rows - row);
        let block = MatrixOrder { rows, ..order };
        unpack_nibbles(conv.weights.get(row * order.padded_k() / 2..).unwrap_or_default(), weights);
        let weights = weights.get(..block.bytes()).unwrap_or_default();
        let channels = conv.channels.get(row..row + rows).unwrap_or_default();
        for (image, out) in input.chunks_exact(image_in).zip(output.chunks_exact_mut(image_out)) {
            let bands = out.chunks_mut((plan.lines * line_out).max(1));
            for (band, out) in bands.enumerate() {
                let lines = out.len() / line_out;
                let (from, y) = self::band(&conv.window.y, band * plan.lines, lines);
                let window = Window { y, x: conv.window.x };
                let part = Convolution { window, c_out: rows, weights, channels, ..*conv };
                let image = image.get(from.start * line_in..from.end * line_in).unwrap_or_default();
                let pixels = outputs.get_mut(..lines * conv.window.x.output * rows).unwrap_or_default();
                eight(&part, image, rest, pixels);
                let places = out.chunks_exact_mut(conv.c_out);
                for (pixel, place) in pixels.chunks_exact(rows).zip(places) {
                    place.get_mut(row..row + rows).unwrap_or_default().copy_from_slice(pixel);
                }
            }
        }
        row += rows;
    }
}

/// The kernel for eight bits, once for both callers.
#[inline(never)]
fn eight(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    kernels::conv2d(conv, input, scratch, output);
}

/// The lines of the input that `lines` output lines from `first` on read, and their window.
fn band(y: &Axis, first: usize, lines: usize) -> (Range<usize>, Axis) {
    let reach = (y.kernel - 1) * y.dilation + 1 + (lines - 1) * y.stride;
    let start = (first * y.stride) as isize - y.padding as isize;
    let end = start + reach as isize;
    if start >= y.input as isize || end <= 0 {
        // All of it is padding: any line will do, behind the windows.
        return (0..1, Axis { input: 1, output: lines, padding: reach, ..*y });
    }
    let (low, high) = (start.max(0), end.min(y.input as isize));
    let padding = (low - start) as usize;
    (low as usize..high as usize, Axis { input: (high - low) as usize, output: lines, padding, ..*y })
}

/// A depthwise convolution, whose weights are packed.
pub(crate) fn depthwise_conv2d(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let bytes = conv.window_order().bytes();
    let Some((weights, rest)) = scratch.split_at_mut_checked(room(bytes)) else { return };
    unpack_nibbles(conv.weights, weights);
    let weights = weights.get(..bytes).unwrap_or_default();
    kernels::depthwise_conv2d(&Convolution { weights, ..*conv }, input, rest, output);
}

/// Scratch bytes of a depthwise convolution with so many bytes of stored weights.
pub(crate) fn depthwise_scratch(
    family: Family,
    window: &Window,
    c_in: usize,
    c_out: usize,
    stored: Option<usize>,
) -> usize {
    let own = stored.map_or(usize::MAX, room);
    own.saturating_add(scratch::depthwise_conv2d(family, window, c_in, c_out))
}

/// A fully connected layer, whose weights are packed.
pub(crate) fn fully_connected(
    order: MatrixOrder,
    packed: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    (scratch, input): (&mut [i8], &[i8]),
    output: &mut [i8],
) {
    let mut packed = packed.chunks((order.padded_k() * ROWS / 2).max(1));
    for (channels, output) in channels.chunks(ROWS).zip(output.chunks_mut(ROWS)) {
        let block = MatrixOrder { rows: output.len(), ..order };
        unpack_nibbles(packed.next().unwrap_or_default(), scratch);
        let weights = scratch.get(..block.bytes()).unwrap_or_default();
        kernels::fully_connected(block, weights, channels, activation, input, output);
    }
}
