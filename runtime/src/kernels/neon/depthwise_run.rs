//! The inner loops of depthwise convolution: output pixels next to one another, a block of channels at a time.
//!
//! Products of two taps are added in 16 bits, where two fit: 2 · 127 · 128 < 2¹⁵. With dot product a column of three taps
//! is brought together by channel (ZIP), once for the three windows that it belongs to.

use super::lanes::{I8x16, I32x4, splat8, zip_high, zip_low, zip_pairs_high, zip_pairs_low};
use super::memory::{load, load_half, store, store_half};
use super::requantize::{Four, Output};
use super::steps::{dot, multiply_tap, multiply_taps, only_after, opaque};
use crate::kernels::convolution::Convolution;

/// Output pixels next to one another.
pub(super) struct Run<'a> {
    pub conv: &'a Convolution<'a>,
    pub output: Output,
    /// Bytes from a pixel's tap to that of the next one.
    pub step: usize,
}

/// Blocks of channels whose constants are prepared once for all rows; they live on the stack, 448 bytes each.
pub(super) const PREPARED: usize = 16;

/// What the rows of a block of channels share.
pub(super) struct Prepared {
    /// Constants of the channels; in memory, since weights and sums fill the registers.
    four: [Four; 4],
    /// Weights of nine taps, or of three columns of them, four registers each.
    w: [I8x16; 12],
}

/// A block of channels of one row.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// The first window's taps.
    table: &'a [*const i8],
    /// First channel.
    first: usize,
    /// The first pixel's outputs of these channels.
    out: *mut i8,
    prepared: &'a Prepared,
    /// `prepared.four`, of which the compiler does not know so: it is loaded when it is needed.
    four: *const [Four; 4],
}

impl Run<'_> {
    /// All channels of a row. `prepared` is `None` at first, and then what the rows before left.
    ///
    /// # Safety
    /// Each pointer of `table` is valid for reads of c bytes, and again `step` bytes on for each further pixel of the row;
    /// `out` has as many pixels; the convolution has c ≥ 8 channels and weights for them and the table. With `DOT` the core
    /// has the dot-product instructions.
    pub unsafe fn pixels<const DOT: bool>(
        &self,
        table: &[*const i8],
        prepared: &mut [Option<Prepared>; PREPARED],
        out: &mut [i8],
    ) {
        let c = self.conv.c_out;
        let lanes = if c < 16 { 8 } else { 16 };
        let mut slots = prepared.iter_mut();
        for first in (0..c).step_by(lanes) {
            // The last block overlaps the one before it: bytes that are written twice are the same.
            let first = first.min(c - lanes);
            let out = out.as_mut_ptr().wrapping_add(first);
            let mut own = None;
            let slot = slots.next().unwrap_or(&mut own);
            // SAFETY: the caller's promise; channels first..first + lanes exist.
            unsafe {
                match (lanes, self.output.left) {
                    (16, false) => self.block::<DOT, false, 16>(table, slot, first, out),
                    (16, true) => self.block::<DOT, true, 16>(table, slot, first, out),
                    (_, false) => self.block::<DOT, false, 8>(table, slot, first, out),
                    (_, true) => self.block::<DOT, true, 8>(table, slot, first, out),
                }
            }
        }
    }

    /// `LANES` channels from channel `first` on.
    ///
    /// # Safety
    /// As [`Self::pixels`]; the channels exist, and `prepared` is for them.
    unsafe fn block<const DOT: bool, const LEFT: bool, const LANES: usize>(
        &self,
        table: &[*const i8],
        prepared: &mut Option<Prepared>,
        first: usize,
        out: *mut i8,
    ) {
        let window = self.conv.window;
        let nine = table.len() == 9;
        let next_to = self.step == self.conv.c_out && window.x.dilation == 1 && window.y.kernel == 3;
        let columns = DOT && nine && next_to;
        // SAFETY: the caller's promises.
        unsafe {
            let prepared = prepared.get_or_insert_with(|| self.prepare::<LANES>(nine, columns, first));
            let four = only_after(prepared.four[0].bias, &raw const prepared.four);
            let block = Block { table, first, out, prepared, four };
            if columns {
                self.columns::<LEFT, LANES>(block);
            } else if nine {
                self.nine_taps::<LEFT, LANES>(block);
            } else {
                self.taps::<LEFT, LANES>(block);
            }
        }
    }

    /// Constants of `LANES` channels from channel `first` on, weights for `nine` taps or for `columns` alone.
    ///
    /// # Safety
    /// The channels exist; with `nine` they have weights for so many taps.
    #[inline(never)]
    unsafe fn prepare<const LANES: usize>(&self, nine: bool, columns: bool, first: usize) -> Prepared {
        let c = self.conv.c_out;
        // SAFETY: the caller's promise: four records for every four channels, and `LANES` weights a tap.
        unsafe {
            let records = self.conv.channels.as_ptr().add(first);
            // Half a block has records for as many lanes: the upper ones repeat the lower.
            let four = core::array::from_fn(|quad| Four::load(records.add(4 * quad % LANES)));
            let tap = |tap: usize| load_lanes::<LANES>(self.conv.weights.as_ptr().add(first + tap * c));
            let mut w = [splat8(0); 12];
            if columns {
                for (kx, w) in w.chunks_exact_mut(4).enumerate() {
                    w.copy_from_slice(&gather::<LANES>([0, 3, 6].map(|row| tap(row + kx)), splat8(0)));
                }
            } else if nine {
                for (i, w) in w[..9].iter_mut().enumerate() {
                    *w = tap(i);
                }
            }
            Prepared { four, w }
        }
    }

    /// Any taps.
    ///
    /// # Safety
    /// As [`Self::block`].
    unsafe fn taps<const LEFT: bool, const LANES: usize>(&self, block: Block<'_>) {
        let Block { table, first, mut out, four, .. } = block;
        let c = self.conv.c_out;
        let mut offset = first;
        // SAFETY: the caller's promise: `LANES` channels of every tap, and weights for them.
        unsafe {
            let value = |tap: usize, offset: usize| load_lanes::<LANES>(table[tap].wrapping_add(offset));
            for _ in 0..self.conv.window.x.output {
                let mut w = self.conv.weights.as_ptr().add(first);
                let mut acc = biases(four);
                for pair in 0..table.len() / 2 {
                    let x = [value(2 * pair, offset), value(2 * pair + 1, offset)];
                    let two = [load_lanes::<LANES>(w), load_lanes::<LANES>(w.wrapping_add(c))];
                    multiply_taps(&mut acc, two, x);
                    w = w.wrapping_add(2 * c);
                }
                if table.len() % 2 == 1 {
                    multiply_tap(&mut acc, load_lanes::<LANES>(w), value(table.len() - 1, offset));
                }
                self.write::<LEFT, LANES>(acc, four, out);
                (offset, out) = (offset + self.step, out.wrapping_add(c));
            }
        }
    }

    /// Nine taps, unrolled, with the weights in registers.
    ///
    /// # Safety
    /// As [`Self::block`]; there are nine.
    #[inline(always)]
    unsafe fn nine_taps<const LEFT: bool, const LANES: usize>(&self, block: Block<'_>) {
        let c = self.conv.c_out;
        let Block { table, first: mut offset, mut out, prepared, four } = block;
        let w = prepared.w;
        // SAFETY: the caller's promise: `LANES` channels of every tap.
        unsafe {
            for _ in 0..self.conv.window.x.output {
                // One number that moves, rather than nine pointers.
                offset = opaque(offset);
                let value = |tap: usize| load_lanes::<LANES>(table[tap].wrapping_add(offset));
                let mut acc = biases(four);
                for tap in [0, 2, 4, 6] {
                    multiply_taps(&mut acc, [w[tap], w[tap + 1]], [value(tap), value(tap + 1)]);
                }
                multiply_tap(&mut acc, w[8], value(8));
                self.write::<LEFT, LANES>(acc, four, out);
                (offset, out) = (offset + self.step, out.wrapping_add(c));
            }
        }
    }

    /// 3 × 3 taps next to one another, one column further for each pixel, by dot product.
    ///
    /// # Safety
    /// As [`Self::taps`]; the table is 3 × 3 pixels next to one another in each row, the step is one pixel, and the core
    /// has the dot-product instructions.
    #[inline(always)]
    unsafe fn columns<const LEFT: bool, const LANES: usize>(&self, block: Block<'_>) {
        let c = self.conv.c_out;
        let Block { table, first, mut out, prepared, four } = block;
        let w = prepared.w;
        // SAFETY: the caller's promise: `LANES` channels of every tap; a row of pixels has two more columns.
        unsafe {
            let rows = [0, 3, 6].map(|tap| table[tap].wrapping_add(first));
            let column = |i: usize| {
                let rows = rows.map(|row| load_lanes::<LANES>(row.wrapping_add(i * c)));
                // Zero weights meet the fourth byte.
                gather::<LANES>(rows, rows[2])
            };
            let mut columns = [column(0), column(1), column(1)];
            let mut pixel = 0;
            loop {
                // By threes, so that no column changes its registers.
                for turn in 0..3 {
                    if pixel == self.conv.window.x.output {
                        return;
                    }
                    columns[(turn + 2) % 3] = column(pixel + 2);
                    let mut acc = biases(four);
                    for (kx, w) in w.chunks_exact(4).enumerate() {
                        for quad in 0..LANES / 4 {
                            acc[quad] = dot(acc[quad], w[quad], columns[(turn + kx) % 3][quad]);
                        }
                    }
                    self.write::<LEFT, LANES>(acc, four, out);
                    (pixel, out) = (pixel + 1, out.wrapping_add(c));
                }
            }
        }
    }

    /// Requantizes and writes `LANES` accumulators.
    ///
    /// # Safety
    /// `four` is valid; `out` is valid for writes of `LANES` bytes.
    #[inline(always)]
    unsafe fn write<const LEFT: bool, const LANES: usize>(
        &self,
        acc: [I32x4; 4],
        four: *const [Four; 4],
        out: *mut i8,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let q = |quad: usize| (&(*four))[quad].scale::<LEFT>(acc[quad]);
            let low = self.output.shift(q(0), q(1));
            if LANES == 16 {
                store(out, self.output.clamp(low, self.output.shift(q(2), q(3))));
            } else {
                store_half::<0>(out, self.output.clamp(low, low));
            }
        }
    }
}

/// Start values of the accumulators.
///
/// # Safety
/// `four` is valid.
#[inline(always)]
unsafe fn biases(four: *const [Four; 4]) -> [I32x4; 4] {
    // SAFETY: the caller's promise.
    core::array::from_fn(|quad| unsafe { (&(*four))[quad].bias })
}

/// Three rows of channels by channel: `[channels / 4]` registers of `[4][4]`, the fourth byte `last`.
#[inline(always)]
fn gather<const LANES: usize>(rows: [I8x16; 3], last: I8x16) -> [I8x16; 4] {
    let low = [zip_low(rows[0], rows[1]), zip_low(rows[2], last)];
    let first = [zip_pairs_low(low[0], low[1]), zip_pairs_high(low[0], low[1])];
    if LANES == 8 {
        return [first[0], first[1], first[0], first[1]];
    }
    let high = [zip_high(rows[0], rows[1]), zip_high(rows[2], last)];
    [first[0], first[1], zip_pairs_low(high[0], high[1]), zip_pairs_high(high[0], high[1])]
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
