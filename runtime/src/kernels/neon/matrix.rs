//! Activations times a weight matrix in neon order: the work of convolutions and fully connected layers.
//!
//! A tile is `P` pixels times `R` blocks of four rows. Without dot product a block of weights (4 rows × 4 k) meets a word
//! of activations (4 k, in all lanes) in SMULL and SMULL2; the next block's products are added in 16 bits (two of them fit:
//! 2 · 127 · 128 < 2¹⁵) and SADALP widens the sum: 6 instructions for 32 products. With it one SDOT does 16 products.

use super::lanes::{I8x16, I32x4, add_pairs, mul_high, mul_low, pairs, splat32, spread_high, spread_low};
use super::memory::{load, load_biases, load_two_words, load_word, store, store_half, store_word};
use super::requantize::{Four, Output};
use super::steps::{dot_lane, dot_rows, multiply_rows, multiply_rows_twice, only_after};
use crate::format::ChannelRecord;

/// Where the activations of one pixel lie: `segments` runs of 4 · `blocks` bytes, with `skip` bytes between them.
#[derive(Clone, Copy)]
pub(super) struct Pixel {
    pub at: *const i8,
    pub skip: usize,
}

/// A matrix and what becomes of its products.
pub(super) struct Matrix<'a> {
    /// `[rows / 4][segments · blocks][4][4]`.
    pub weights: *const i8,
    /// One record a row.
    pub channels: &'a [ChannelRecord],
    /// Runs of activations of a pixel.
    pub segments: usize,
    /// Words of four k in a run.
    pub blocks: usize,
    /// Zero point and bounds.
    pub output: Output,
}

impl Matrix<'_> {
    /// Multiplies `P` pixels by all rows, up to `R` (2 or 4) blocks of four at once. `SPLIT` says whether pixels have several segments.
    ///
    /// # Safety
    /// - `weights` is valid for reads of whole blocks of four rows that cover `channels`.
    /// - Every run of every pixel is valid for reads; without `SPLIT` there is one.
    /// - Each of `out` is valid for writes of `channels.len()` bytes that no other pointer or slice reaches, equal
    ///   pixels' apart.
    /// - With `DOT` the core has the dot-product instructions.
    #[inline(always)]
    pub unsafe fn multiply<const DOT: bool, const SPLIT: bool, const P: usize, const R: usize>(
        &self,
        x: [Pixel; P],
        out: [*mut i8; P],
    ) {
        // SAFETY: the caller's promises are the same.
        unsafe {
            if self.output.left {
                self.rows::<DOT, SPLIT, true, P, R>(x, out);
            } else {
                self.rows::<DOT, SPLIT, false, P, R>(x, out);
            }
        }
    }

    /// # Safety
    /// As [`Self::multiply`].
    #[inline(always)]
    unsafe fn rows<const DOT: bool, const SPLIT: bool, const LEFT: bool, const P: usize, const R: usize>(
        &self,
        x: [Pixel; P],
        out: [*mut i8; P],
    ) {
        let block_bytes = self.block_bytes::<SPLIT>();
        let mut weights = self.weights;
        let mut channels = self.channels.as_ptr();
        let mut rest = self.channels.len();
        // The places of the outputs are sums, so that a round moves one number.
        let mut row = 0;
        // SAFETY: each round takes as many rows as are left of channels, weights and outputs.
        unsafe {
            while R == 4 && rest >= 16 {
                self.tile::<DOT, SPLIT, LEFT, P, 4>(x, weights, channels, out.map(|out| out.add(row)));
                (weights, channels) = (weights.add(4 * block_bytes), channels.add(16));
                (row, rest) = (row + 16, rest - 16);
            }
            while rest >= 8 {
                self.tile::<DOT, SPLIT, LEFT, P, 2>(x, weights, channels, out.map(|out| out.add(row)));
                (weights, channels) = (weights.add(2 * block_bytes), channels.add(8));
                (row, rest) = (row + 8, rest - 8);
            }
            while rest >= 4 {
                self.tile::<DOT, SPLIT, LEFT, P, 1>(x, weights, channels, out.map(|out| out.add(row)));
                (weights, channels) = (weights.add(block_bytes), channels.add(4));
                (row, rest) = (row + 4, rest - 4);
            }
            if rest > 0 {
                self.last_rows::<DOT, SPLIT, LEFT, P>(x, weights, rest, out.map(|out| out.add(row)));
            }
        }
    }

    /// The last `rest` rows, less than four: the block's other rows are fillings, whose outputs go nowhere.
    ///
    /// # Safety
    /// As [`Self::multiply`], for `rest` rows; `weights` is their block.
    #[inline(never)]
    unsafe fn last_rows<const DOT: bool, const SPLIT: bool, const LEFT: bool, const P: usize>(
        &self,
        x: [Pixel; P],
        weights: *const i8,
        rest: usize,
        out: [*mut i8; P],
    ) {
        let last = &self.channels[self.channels.len() - rest..];
        // A filling needs some record.
        let mut channels = [last[0]; 4];
        channels[..rest].copy_from_slice(last);
        let mut bytes = [[0i8; 4]; P];
        // SAFETY: the caller's promises; four bytes for each pixel, of which `rest` are its own.
        unsafe {
            let mut row = bytes.iter_mut();
            let to = out.map(|out| row.next().map_or(out, |row| row.as_mut_ptr()));
            self.tile::<DOT, SPLIT, LEFT, P, 1>(x, weights, channels.as_ptr(), to);
            for (out, bytes) in out.into_iter().zip(&bytes) {
                for (i, &q) in bytes[..rest].iter().enumerate() {
                    *out.add(i) = q;
                }
            }
        }
    }

    /// Bytes of weights of a block of four rows.
    #[inline(always)]
    fn block_bytes<const SPLIT: bool>(&self) -> usize {
        if SPLIT { self.segments * self.blocks * 16 } else { self.blocks * 16 }
    }

    /// One tile.
    ///
    /// # Safety
    /// As [`Self::multiply`], for `4 * R` rows.
    #[inline(always)]
    unsafe fn tile<const DOT: bool, const SPLIT: bool, const LEFT: bool, const P: usize, const R: usize>(
        &self,
        x: [Pixel; P],
        weights: *const i8,
        channels: *const ChannelRecord,
        out: [*mut i8; P],
    ) {
        // SAFETY: the caller's promises: 4 · R records; weights and activations.
        unsafe {
            let bias = core::array::from_fn(|r| load_biases(channels.add(4 * r)));
            let acc = if DOT {
                self.dot::<SPLIT, P, R>(x, weights, bias)
            } else {
                self.sum::<SPLIT, P, R>(x, weights, bias)
            };
            // Loaded again, since the sums fill the registers.
            let channels = only_after(acc[0][0], channels);
            let four: [Four; R] = core::array::from_fn(|r| Four::load(channels.add(4 * r)));
            let acc = acc.map(|acc| {
                let mut four = four.iter();
                acc.map(|acc| four.next().map_or(acc, |four| four.scale::<LEFT>(acc)))
            });
            write(&self.output, acc, out);
        }
    }

    /// Where each block of rows begins.
    #[inline(always)]
    fn starts<const SPLIT: bool, const R: usize>(&self, weights: *const i8) -> [*const i8; R] {
        core::array::from_fn(|r| weights.wrapping_add(r * self.block_bytes::<SPLIT>()))
    }

    /// Accumulators by SMULL, SMLAL and SADALP.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    unsafe fn sum<const SPLIT: bool, const P: usize, const R: usize>(
        &self,
        x: [Pixel; P],
        weights: *const i8,
        bias: [I32x4; R],
    ) -> [[I32x4; R]; P] {
        let mut weights: [*const i8; R] = self.starts::<SPLIT, R>(weights);
        // Lanes of a half: two sums each of two rows.
        let start = bias.map(|bias| [spread_low(bias), spread_high(bias)]);
        let mut acc: [[[I32x4; 2]; R]; P] = [start; P];
        let fours = if R.is_multiple_of(2) { self.blocks / 4 } else { 0 };
        let mut at = x.map(|x| x.at);
        for _ in 0..if SPLIT { self.segments } else { 1 } {
            // SAFETY: a segment has `blocks` words of activations, and 16 bytes of weights a block of rows for each.
            unsafe {
                for _ in 0..fours {
                    let mut behind = at;
                    for r in (0..R / 2 * 2).step_by(2) {
                        let w = [weights[r], weights[r + 1]]
                            .map(|w| [load(w), load(w.add(16)), load(w.add(32)), load(w.add(48))]);
                        for ((acc, &at), behind) in acc.iter_mut().zip(&at).zip(&mut behind) {
                            if let [a, b] = &mut acc[r..r + 2] {
                                *behind = multiply_rows_twice([a, b], w, at);
                            }
                        }
                    }
                    at = behind;
                    weights = weights.map(|w| w.add(64));
                }
                for _ in 0..(self.blocks - 4 * fours) / 2 {
                    let w = weights.map(|w| [load(w), load(w.add(16))]);
                    weights = weights.map(|w| w.add(32));
                    for (acc, at) in acc.iter_mut().zip(&mut at) {
                        let x = load_two_words(*at);
                        *at = at.add(8);
                        for (acc, w) in acc.iter_mut().zip(&w) {
                            multiply_rows(acc, *w, x);
                        }
                    }
                }
                if self.blocks % 2 == 1 {
                    let w = weights.map(|w| load(w));
                    weights = weights.map(|w| w.add(16));
                    for (acc, at) in acc.iter_mut().zip(&mut at) {
                        let x = load_word(*at);
                        *at = at.add(4);
                        for (acc, &w) in acc.iter_mut().zip(&w) {
                            acc[0] = add_pairs(acc[0], mul_low(w, x));
                            acc[1] = add_pairs(acc[1], mul_high(w, x));
                        }
                    }
                }
            }
            skip::<SPLIT, P>(&mut at, &x);
        }
        acc.map(|acc| acc.map(|[low, high]| pairs(low, high)))
    }

    /// Accumulators by SDOT.
    ///
    /// # Safety
    /// As [`Self::tile`]; the core has the dot-product instructions.
    #[inline(always)]
    unsafe fn dot<const SPLIT: bool, const P: usize, const R: usize>(
        &self,
        x: [Pixel; P],
        weights: *const i8,
        bias: [I32x4; R],
    ) -> [[I32x4; R]; P] {
        let mut weights: [*const i8; R] = self.starts::<SPLIT, R>(weights);
        let mut acc = [bias; P];
        let mut at = x.map(|x| x.at);
        for _ in 0..if SPLIT { self.segments } else { 1 } {
            // SAFETY: a segment has `blocks` words of activations, and 16 bytes of weights a block of rows for each; the
            // core has the instruction.
            unsafe {
                for _ in 0..self.blocks / 4 {
                    let x = at.map(|at| load(at));
                    at = at.map(|at| at.add(16));
                    for (r, w) in weights.iter_mut().enumerate() {
                        *w = dot_four::<P, R>(&mut acc, r, *w, &x);
                    }
                }
                for _ in 0..self.blocks % 4 {
                    let x = at.map(|at| load_word(at));
                    at = at.map(|at| at.add(4));
                    for (r, w) in weights.iter_mut().enumerate() {
                        let loaded = load(*w);
                        *w = w.add(16);
                        for (acc, &x) in acc.iter_mut().zip(&x) {
                            acc[r] = dot_lane::<0>(acc[r], loaded, x);
                        }
                    }
                }
            }
            skip::<SPLIT, P>(&mut at, &x);
        }
        acc
    }
}

/// Moves on to the next segment.
#[inline(always)]
fn skip<const SPLIT: bool, const P: usize>(at: &mut [*const i8; P], x: &[Pixel; P]) {
    if SPLIT {
        for (at, x) in at.iter_mut().zip(x) {
            // Wrapping, since the place behind the last segment may lie outside the tensor.
            *at = at.wrapping_add(x.skip);
        }
    }
}

/// Four k blocks of the block of rows `r`, whose weights are at `w`; returns the place behind them.
///
/// # Safety
/// `w` is valid for reads of 64 bytes; the core has the dot-product instructions.
#[inline(always)]
unsafe fn dot_four<const P: usize, const R: usize>(
    acc: &mut [[I32x4; R]; P],
    r: usize,
    w: *const i8,
    x: &[I8x16; P],
) -> *const i8 {
    // SAFETY: the caller's promise.
    unsafe {
        if let ([a, b, c, d], Some(x)) = (&mut acc[..], x.first_chunk::<4>()) {
            return dot_rows([&mut a[r], &mut b[r], &mut c[r], &mut d[r]], w, x);
        }
        let loaded = [load(w), load(w.add(16)), load(w.add(32)), load(w.add(48))];
        for (acc, &x) in acc.iter_mut().zip(x) {
            acc[r] = dot_lane::<0>(acc[r], loaded[0], x);
            acc[r] = dot_lane::<1>(acc[r], loaded[1], x);
            acc[r] = dot_lane::<2>(acc[r], loaded[2], x);
            acc[r] = dot_lane::<3>(acc[r], loaded[3], x);
        }
        w.add(64)
    }
}

/// Writes the `4 * R` outputs of each pixel: all there are up to the largest number that fills whole registers.
///
/// # Safety
/// Each of `out` is valid for writes of `4 * R` bytes.
#[inline(always)]
unsafe fn write<const P: usize, const R: usize>(output: &Output, acc: [[I32x4; R]; P], out: [*mut i8; P]) {
    let zero = splat32(0);
    let word = |pixel: usize, r: usize| acc.get(pixel).and_then(|acc| acc.get(r)).copied().unwrap_or(zero);
    // SAFETY: the caller's promise; R blocks are `4 * R` bytes.
    unsafe {
        match R {
            1 => {
                for pixel in (0..P).step_by(4) {
                    let q = output.clamp(
                        output.shift(word(pixel, 0), word(pixel + 1, 0)),
                        output.shift(word(pixel + 2, 0), word(pixel + 3, 0)),
                    );
                    store_word::<0>(out[pixel], q);
                    if pixel + 1 < P {
                        store_word::<1>(out[pixel + 1], q);
                    }
                    if pixel + 2 < P {
                        store_word::<2>(out[pixel + 2], q);
                    }
                    if pixel + 3 < P {
                        store_word::<3>(out[pixel + 3], q);
                    }
                }
            }
            2 => {
                for pixel in (0..P).step_by(2) {
                    let q = output.clamp(
                        output.shift(word(pixel, 0), word(pixel, 1)),
                        output.shift(word(pixel + 1, 0), word(pixel + 1, 1)),
                    );
                    store_half::<0>(out[pixel], q);
                    if pixel + 1 < P {
                        store_half::<1>(out[pixel + 1], q);
                    }
                }
            }
            _ => {
                const { assert!(R == 1 || R == 2 || R == 4, "a tile has 1, 2 or 4 blocks of rows") };
                for (pixel, &out) in out.iter().enumerate() {
                    let q = output.clamp(
                        output.shift(word(pixel, 0), word(pixel, 1)),
                        output.shift(word(pixel, 2), word(pixel, 3)),
                    );
                    store(out, q);
                }
            }
        }
    }
}
