//! Pixels times a weight matrix: the work of every convolution.
//!
//! Two pixels meet four rows of weights: 6 loads feed 8 VMLADAVs, 128 multiply-accumulates. Accumulators go to memory
//! first, those of a block of pixels for four rows of weights; then all of them are requantized under constants that
//! stay in registers.

#[cfg(target_arch = "arm")]
use super::helium_core;
use super::requantize::{Quads, requantize_quads};
use crate::format::ChannelRecord;
use crate::requantize::requantize;

/// Most pixels in a block.
pub(super) const PIXELS: usize = 32;

/// Bytes of a vector.
pub(super) const LANES: usize = 16;

/// A weight matrix in helium order and what its results become.
pub(super) struct Matrix<'a> {
    /// `[rows/4][chunks][4][16]`.
    weights: *const i8,
    /// One record a row.
    channels: &'a [ChannelRecord],
    /// k / 16, rounded up.
    chunks: usize,
    activation: (i8, i8),
    /// Whether any record has a left shift.
    left: bool,
}

impl<'a> Matrix<'a> {
    /// # Safety
    /// `weights` lives as long as `'a` and holds `64 * chunks` bytes for every four channels, rounded up; `chunks` is
    /// not 0.
    pub unsafe fn new(
        weights: *const i8,
        channels: &'a [ChannelRecord],
        chunks: usize,
        activation: (i8, i8),
    ) -> Self {
        Self { weights, channels, chunks, activation, left: channels.iter().any(|c| c.left != 0) }
    }

    /// Multiplies `pixels` pixels that lie behind one another, 16 · chunks bytes each.
    ///
    /// # Safety
    /// `x` is valid for reads of all pixels, `out` for writes of one byte for each pixel and channel, that nothing else
    /// refers to.
    pub unsafe fn multiply(&self, mut x: *const i8, mut pixels: usize, mut out: *mut i8) {
        let mut acc = [const { core::mem::MaybeUninit::<[i32; 4]>::uninit() }; PIXELS];
        let acc = acc.as_mut_ptr().cast::<[i32; 4]>();
        while pixels > 0 {
            let now = pixels.min(PIXELS);
            // SAFETY: `now` of the caller's pixels, and as many outputs, are left.
            unsafe {
                self.multiply_block(x, now, acc, out);
                x = x.add(now * LANES * self.chunks);
                out = out.add(now * self.channels.len());
            }
            pixels -= now;
        }
    }

    /// # Safety
    /// As [`Self::multiply`], for `pixels` up to [`PIXELS`]; `acc` is valid for writes of as many pixels.
    #[inline(always)]
    unsafe fn multiply_block(&self, x: *const i8, pixels: usize, acc: *mut [i32; 4], mut out: *mut i8) {
        let Self { mut weights, channels, chunks, activation, left } = *self;
        let pitch = channels.len();
        let (quads, rest) = channels.as_chunks::<4>();
        for quad in quads {
            // SAFETY: the weights of this quad exist, and so do four bytes of every output pixel from `out` on.
            unsafe {
                accumulate(x, chunks, weights, pixels, acc);
                let work = Quads { acc, channels: quad, out, pixels, pitch, activation };
                requantize_quads(&work, left);
                weights = weights.add(4 * LANES * chunks);
                out = out.add(4);
            }
        }
        if rest.is_empty() {
            return;
        }
        // SAFETY: the weights' rows are rounded up to fours; `rest.len()` bytes of every output pixel are left, and `acc`
        // holds what was just written.
        unsafe {
            accumulate(x, chunks, weights, pixels, acc);
            for pixel in 0..pixels {
                for (i, (channel, acc)) in rest.iter().zip(*acc.add(pixel)).enumerate() {
                    let acc = acc.wrapping_add(channel.bias);
                    *out.add(pixel * pitch + i) = requantize(acc, channel, activation.0, activation.1);
                }
            }
        }
    }
}

/// acc[p][i] = Σₖ x[p][k] · weight[i][k] for every pixel p and four rows i.
///
/// # Safety
/// `x` is valid for reads of `pixels` rows of `16 * chunks` bytes, `weights` for reads of four, `acc` for writes of
/// `pixels` entries; `chunks` and `pixels` are not 0.
#[inline(always)]
unsafe fn accumulate(x: *const i8, chunks: usize, weights: *const i8, pixels: usize, acc: *mut [i32; 4]) {
    let pairs = pixels / 2;
    // SAFETY: `2 * pairs` pixels exist. An odd one is left behind them.
    unsafe {
        if pairs > 0 {
            accumulate_pairs(x, chunks, weights, pairs, acc);
        }
        if pixels % 2 == 1 {
            let x = x.add(2 * pairs * LANES * chunks);
            accumulate_one(x, chunks, weights, acc.add(2 * pairs));
        }
    }
}

/// [`accumulate`] for `pairs` pairs of pixels.
///
/// # Safety
/// As [`accumulate`].
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn accumulate_pairs(
    x: *const i8,
    chunks: usize,
    weights: *const i8,
    pairs: usize,
    acc: *mut [i32; 4],
) {
    // r1, r3: pixels; r5: weights; r7: pairs of chunks left; r9: pairs left; r11: acc. r0, r2, r4, r6 and r8, r10, r12, lr: the
    // accumulators of either pixel, which VMLADAV takes in registers of even number. On the stack: weights, chunks
    // behind the first, bytes of a pixel.
    macro_rules! chunk {
        ($mul:literal) => {
            concat!(
                "vldrb.8 q0, [r1], #16\n",
                "vldrb.8 q2, [r5], #16\n",
                "vldrb.8 q1, [r3], #16\n",
                $mul,
                " r0, q0, q2\n",
                "vldrb.8 q3, [r5], #16\n",
                $mul,
                " r8, q1, q2\n",
                "vldrb.8 q2, [r5], #16\n",
                $mul,
                " r2, q0, q3\n",
                $mul,
                " r10, q1, q3\n",
                "vldrb.8 q3, [r5], #16\n",
                $mul,
                " r4, q0, q2\n",
                $mul,
                " r12, q1, q2\n",
                $mul,
                " r6, q0, q3\n",
                $mul,
                " lr, q1, q3\n",
            )
        };
    }
    core::arch::naked_asm!(
        helium_core!(),
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldr r11, [sp, #36]",
        "mov r9, r3",
        "lsls r5, r1, #4",
        "subs r4, r1, #1",
        "mov r1, r0",
        "push {{r2, r4, r5}}",
        "2:",
        "ldrd r5, r7, [sp]",
        "ldr r0, [sp, #8]",
        "add r3, r1, r0",
        chunk!("vmladav.s8"),
        "lsrs r7, r7, #1",
        "bcc 3f",
        chunk!("vmladava.s8"),
        "3:",
        "cbz r7, 5f",
        "4:",
        chunk!("vmladava.s8"),
        chunk!("vmladava.s8"),
        "subs r7, r7, #1",
        "bne 4b",
        "5:",
        "mov r1, r3",
        "stmia r11!, {{r0, r2, r4, r6, r8, r10, r12, lr}}",
        "subs r9, r9, #1",
        "bne 2b",
        "add sp, sp, #12",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn accumulate_pairs(
    x: *const i8,
    chunks: usize,
    weights: *const i8,
    pairs: usize,
    acc: *mut [i32; 4],
) {
    for pixel in 0..2 * pairs {
        // SAFETY: the caller's pixels.
        unsafe { accumulate_one(x.add(pixel * LANES * chunks), chunks, weights, acc.add(pixel)) };
    }
}

/// [`accumulate`] for one pixel.
///
/// # Safety
/// As [`accumulate`].
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn accumulate_one(x: *const i8, chunks: usize, weights: *const i8, acc: *mut [i32; 4]) {
    // r0: the pixel; r1: weights; r3: acc; r2, r4, r8, r12: accumulators.
    core::arch::naked_asm!(
        helium_core!(),
        "push {{r4, r8, lr}}",
        "mov lr, r1",
        "mov r1, r2",
        "movs r2, #0",
        "movs r4, #0",
        "mov r8, r2",
        "mov r12, r2",
        "dls lr, lr",
        "2:",
        "vldrb.8 q0, [r0], #16",
        "vldrb.8 q1, [r1], #16",
        "vmladava.s8 r2, q0, q1",
        "vldrb.8 q2, [r1], #16",
        "vmladava.s8 r4, q0, q2",
        "vldrb.8 q1, [r1], #16",
        "vmladava.s8 r8, q0, q1",
        "vldrb.8 q2, [r1], #16",
        "vmladava.s8 r12, q0, q2",
        "le lr, 2b",
        "stm r3, {{r2, r4, r8, r12}}",
        "pop {{r4, r8, pc}}",
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn accumulate_one(x: *const i8, chunks: usize, weights: *const i8, acc: *mut [i32; 4]) {
    let mut sums = [0i32; 4];
    for k in 0..LANES * chunks {
        for (row, sum) in sums.iter_mut().enumerate() {
            let at = (k / LANES) * 4 * LANES + row * LANES + k % LANES;
            // SAFETY: k and row lie in the caller's range.
            let product = unsafe { i32::from(*x.add(k)) * i32::from(*weights.add(at)) };
            *sum = sum.wrapping_add(product);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { *acc = sums };
}
