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
#[inline(never)]
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
    if taps_y.len() < y.kernel || taps_x.len() < x.kernel {
        for i in 0..k {
            // SAFETY: i < k.
            unsafe { *row.add(i) = conv.zero_point };
        }
    }
    for i in k..len {
        // SAFETY: i < len.
        unsafe { *row.add(i) = 0 };
    }
    let run = if x.dilation == 1 { taps_x.len().max(1) } else { 1 };
    for ky in taps_y {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        for kx in taps_x.clone().step_by(run) {
            let column = (start.1 + (kx * x.dilation) as i32) as usize;
            // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it; in the row, taps
            // kx..kx + run of ky lie inside the kernel's [ky][kx][c_in] elements.
            unsafe {
                let from = image.add((line + column) * conv.c_in);
                let to = row.add((ky * x.kernel + kx) * conv.c_in);
                lanes::copy(from, to, run * conv.c_in);
            }
        }
    }
}
