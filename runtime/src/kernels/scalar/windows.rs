//! Windows of four output pixels in scratch memory (im2col), two pixels in a word, as [`rows`](super::rows) reads
//! them: `[k/2][2 pairs of pixels][2 k]`, the first pixel of a pair in the lower half of a word, the second one added in
//! the upper half.

use super::rows::STEP;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;

/// Writes the windows that start at `starts` (y, x).
///
/// # Safety
/// `words` is valid for writes of `STEP` words for every two k, rounded up, and lies outside `image`, which holds the
/// convolution's `[h, w, c_in]` input.
pub(super) unsafe fn gather(conv: &Convolution<'_>, image: &[i8], starts: &[(i32, i32); 4], words: *mut i32) {
    for (i, &pair) in starts.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: words of pair i of 2.
        unsafe { gather_pair(conv, image, pair, words.add(2 * i)) };
    }
}

/// # Safety
/// As [`gather`], for the words of one pair.
#[inline(always)]
unsafe fn gather_pair(conv: &Convolution<'_>, image: &[i8], starts: [(i32, i32); 2], words: *mut i32) {
    let Window { y, x } = conv.window;
    let k = y.kernel * x.kernel * conv.c_in;
    if k % 2 == 1 {
        // SAFETY: k is rounded up to even.
        unsafe { *place(words, k) = 0 };
    }
    let taps = starts.map(|start| (y.taps_inside(start.0), x.taps_inside(start.1)));
    let whole = taps.iter().all(|taps| taps.0.len() == y.kernel && taps.1.len() == x.kernel);
    let pixel = |start: (i32, i32), ky: usize, kx: usize| {
        let line = (start.0 + (ky * y.dilation) as i32) as usize * x.input;
        (line + (start.1 + (kx * x.dilation) as i32) as usize) * conv.c_in
    };
    if whole {
        let run = if x.dilation == 1 { x.kernel } else { 1 };
        for ky in 0..y.kernel {
            for kx in (0..x.kernel).step_by(run) {
                // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it.
                unsafe {
                    let [a, b] = starts.map(|start| image.as_ptr().add(pixel(start, ky, kx)));
                    write(words, (ky * x.kernel + kx) * conv.c_in, a, b, run * conv.c_in);
                }
            }
        }
        return;
    }
    let padding = i32::from(conv.zero_point) * 0x1_0001;
    for k in 0..k {
        // SAFETY: k is in the window.
        unsafe { *place(words, k) = padding };
    }
    for (i, (start, taps)) in starts.into_iter().zip(taps).enumerate() {
        let run = if x.dilation == 1 { taps.1.len().max(1) } else { 1 };
        for ky in taps.0 {
            for kx in taps.1.clone().step_by(run) {
                let from = &image[pixel(start, ky, kx)..][..run * conv.c_in];
                let first = (ky * x.kernel + kx) * conv.c_in;
                for (k, &x) in (first..).zip(from) {
                    let more = i32::from(x) - i32::from(conv.zero_point);
                    // SAFETY: k is in the window.
                    unsafe { *place(words, k) += more << (16 * i) };
                }
            }
        }
    }
}

/// Where the word of `k` lies.
#[inline(always)]
fn place(words: *mut i32, k: usize) -> *mut i32 {
    words.wrapping_add(k / 2 * STEP + k % 2)
}

/// Writes `len` words of `a` and `b` from k on.
///
/// # Safety
/// `a` and `b` are valid for reads of `len` bytes, `words` for writes of the words of k to k + len.
#[inline(always)]
unsafe fn write(words: *mut i32, k: usize, mut a: *const i8, mut b: *const i8, len: usize) {
    let mut to = place(words, k);
    let mut len = len;
    // SAFETY: the caller's promise; `to` steps from word to word of the pair.
    unsafe {
        let word = |a: *const i8, b: *const i8| i32::from(*a) + (i32::from(*b) << 16);
        if k % 2 == 1 && len > 0 {
            *to = word(a, b);
            (to, a, b, len) = (to.add(STEP - 1), a.add(1), b.add(1), len - 1);
        }
        for _ in 0..len / 2 {
            *to = word(a, b);
            *to.add(1) = word(a.add(1), b.add(1));
            (to, a, b) = (to.wrapping_add(STEP), a.add(2), b.add(2));
        }
        if len % 2 == 1 {
            *to = word(a, b);
        }
    }
}
