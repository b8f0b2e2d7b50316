//! Windows copied to scratch memory (im2col): `[ky][kx][c_in]`, padding as the zero point, and zeros up to whole words.
//!
//! Copies are 16 bytes wide and may write past what they have to, never past [`Gather::SLACK`] bytes behind the window:
//! windows are filled in the order in which they lie, so that the next one overwrites the excess.

use super::lanes::splat8;
use super::memory::{load, store};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;

/// How a convolution of one group copies its windows.
pub(super) struct Gather<'a> {
    conv: &'a Convolution<'a>,
    /// Bytes of a window's row.
    pub run: usize,
    /// Bytes from a row of a window to the next in the image.
    pub line: usize,
}

impl<'a> Gather<'a> {
    /// Bytes behind a window that a copy may overwrite.
    pub const SLACK: usize = 16;

    pub fn new(conv: &'a Convolution<'a>) -> Self {
        let Window { y, x } = conv.window;
        Self { conv, run: x.kernel * conv.c_in, line: y.dilation * x.input * conv.c_in }
    }

    /// Copies the window whose rows lie in the image, each in one piece, from element `first` on.
    ///
    /// # Safety
    /// The window lies in `image`; `row` is valid for writes of k bytes, rounded up to a multiple of 4, and
    /// [`Self::SLACK`], and lies outside `image`.
    #[inline(always)]
    pub unsafe fn inside(&self, image: &[i8], first: usize, row: *mut i8) {
        let rows = self.conv.window.y.kernel;
        let blocks = self.run.div_ceil(16);
        let wide = first + (rows - 1) * self.line + 16 * blocks <= image.len();
        // SAFETY: the caller's promise. A wide copy reads up to 15 bytes past a row, which the image has behind the last
        // one, and writes as many past it.
        unsafe {
            let (mut from, mut to) = (image.as_ptr().add(first), row);
            for _ in 0..rows {
                if wide {
                    for block in 0..blocks {
                        store(to.add(16 * block), load(from.add(16 * block)));
                    }
                } else {
                    copy(from, to, self.run);
                }
                // Wrapping, since the step past the last row may leave the image.
                (from, to) = (from.wrapping_add(self.line), to.wrapping_add(self.run));
            }
            to.cast::<u32>().write_unaligned(0);
        }
    }

    /// Copies the window that starts at `start` (y, x), as far as it lies in the image.
    ///
    /// # Safety
    /// `image` is the convolution's `[h, w, c_in]` input; `row` as for [`Self::inside`].
    #[inline(never)]
    pub unsafe fn clipped(&self, image: &[i8], start: (i32, i32), row: *mut i8) {
        let Window { y, x } = self.conv.window;
        let c_in = self.conv.c_in;
        let k = y.kernel * self.run;
        let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
        let run = if x.dilation == 1 { taps_x.len().max(1) } else { 1 };
        // SAFETY: the caller's promise: k bytes rounded up to 16 are within the slack, as is the word behind k. Taps inside
        // lie inside the image, a run of them (dilation 1) in one line of it; in the row, taps kx..kx + run of ky lie
        // inside the kernel's [ky][kx][c_in] elements.
        unsafe {
            let padding = splat8(self.conv.zero_point);
            for at in (0..k).step_by(16) {
                store(row.add(at), padding);
            }
            row.add(k).cast::<u32>().write_unaligned(0);
            for ky in taps_y {
                let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
                for kx in taps_x.clone().step_by(run) {
                    let column = (start.1 + (kx * x.dilation) as i32) as usize;
                    let from = image.as_ptr().add((line + column) * c_in);
                    copy(from, row.add((ky * x.kernel + kx) * c_in), run * c_in);
                }
            }
        }
    }
}

/// Copies `len` bytes: runs are short, and a call of `memcpy` costs more than the copy of one. The two words of a length
/// between may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, len: usize) {
    // SAFETY: each access lies in the first or the last bytes of `len`, as many as its branch says there are.
    unsafe {
        match len {
            4..=7 => {
                let ends = [0, len - 4].map(|i| from.add(i).cast::<u32>().read_unaligned());
                to.cast::<u32>().write_unaligned(ends[0]);
                to.add(len - 4).cast::<u32>().write_unaligned(ends[1]);
            }
            8..=16 => {
                let ends = [0, len - 8].map(|i| from.add(i).cast::<u64>().read_unaligned());
                to.cast::<u64>().write_unaligned(ends[0]);
                to.add(len - 8).cast::<u64>().write_unaligned(ends[1]);
            }
            0..=3 => {
                for i in 0..len {
                    *to.add(i) = *from.add(i);
                }
            }
            _ => to.copy_from_nonoverlapping(from, len),
        }
    }
}
