//! A window of an image, copied.

use super::lanes;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;

/// Copies the window that starts at `start` (y, x) to `row`: `[ky][kx][c_in]`, padding as the zero point, and zeros
/// behind the last of k elements up to `len`.
///
/// # Safety
/// `row` is valid for writes of `len` >= k bytes and lies outside `image`, which is valid for reads of the convolution's
/// `[h, w, c_in]` input.
#[inline]
pub(super) unsafe fn gather(
    conv: &Convolution<'_>,
    image: *const i8,
    start: (i32, i32),
    row: *mut i8,
    len: usize,
) {
    let Window { y, x } = conv.window;
    let k = conv.window.taps() * conv.c_in;
    let (taps_y, taps_x) = (y.taps_inside(start.0), x.taps_inside(start.1));
    // SAFETY: k <= len.
    unsafe {
        row.write_bytes(conv.zero_point as u8, k);
        row.add(k).write_bytes(0, len - k);
    }
    // Taps that lie one behind the other are copied together.
    let run = if x.dilation == 1 { taps_x.len().max(1) } else { 1 };
    for ky in taps_y {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        let mut kx = taps_x.start;
        while kx < taps_x.end {
            let column = (start.1 + (kx * x.dilation) as i32) as usize;
            // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it; in the row, taps
            // kx..kx + run of ky lie inside the kernel's [ky][kx][c_in] elements.
            unsafe {
                let from = image.add((line + column) * conv.c_in);
                let to = row.add((ky * x.kernel + kx) * conv.c_in);
                lanes::copy(from, to, run * conv.c_in);
            }
            kx += run;
        }
    }
}
