//! Windows of four output pixels in scratch memory (im2col), two pixels in a word, as [`rows`](super::rows) reads them:
//! `[k/2][2 pairs of pixels][2 k]`, the first pixel of a pair in the lower half of a word, the second one added in the
//! upper half.

use super::rows::STEP;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;

/// What the windows of a layer have in common.
pub(super) struct Windows<'a> {
    conv: &'a Convolution<'a>,
    /// A pixel of padding.
    padding: *const i8,
    /// Elements from the taps of one ky to those of the next one.
    line: usize,
    /// Taps of one ky that lie together in the input.
    run: usize,
}

impl<'a> Windows<'a> {
    /// `padding` is a pixel of the input's zero point, valid for reads of c_in bytes as long as windows are gathered.
    pub fn new(conv: &'a Convolution<'a>, padding: *const i8) -> Self {
        let Window { y, x } = conv.window;
        let run = if x.dilation == 1 { x.kernel } else { 1 };
        Self { conv, padding, line: y.dilation * x.input * conv.c_in, run }
    }

    /// Writes the windows that start at `starts` (y, x).
    ///
    /// # Safety
    /// `words` is valid for writes of `STEP` words for every two k, rounded up, and lies outside `image`, which holds the
    /// convolution's `[h, w, c_in]` input.
    pub unsafe fn gather(&self, image: &[i8], starts: &[(i32, i32); 4], words: *mut i32) {
        let Window { y, x } = self.conv.window;
        for (i, pair) in starts.as_chunks::<2>().0.iter().enumerate() {
            let words = words.wrapping_add(2 * i);
            let whole = pair.iter().all(|start| y.is_inside(start.0) && x.is_inside(start.1));
            // SAFETY: the words are those of pair i of 2; `whole` says that every tap lies inside the image.
            unsafe {
                if whole {
                    self.gather_whole(image, pair, words);
                } else {
                    self.gather_padded(image, pair, words);
                }
            }
        }
    }

    /// Writes four windows that are each a pixel of the input, one behind the other.
    ///
    /// # Safety
    /// `pixel` is valid for reads of four pixels of c_in bytes; `words` as for [`Self::gather`].
    pub unsafe fn gather_pixels(&self, pixel: *const i8, words: *mut i32) {
        let c_in = self.conv.c_in;
        for pair in 0..2 {
            let first = pixel.wrapping_add(2 * pair * c_in);
            let words = words.wrapping_add(2 * pair);
            // SAFETY: the pixels and words of pair `pair` of 2.
            unsafe {
                write(words, 0, [first, first.wrapping_add(c_in)], c_in);
                if c_in % 2 == 1 {
                    *place(words, c_in) = 0;
                }
            }
        }
    }

    /// Windows without padding.
    ///
    /// # Safety
    /// As [`Self::gather`], for the words of one pair; every tap lies inside the image.
    #[inline(always)]
    unsafe fn gather_whole(&self, image: &[i8], starts: &[(i32, i32); 2], words: *mut i32) {
        let Self { conv, line, run, .. } = *self;
        let Window { y, x } = conv.window;
        let offset = |start: (i32, i32)| (start.0 as usize * x.input + start.1 as usize) * conv.c_in;
        let mut lines = starts.map(|start| image.as_ptr().wrapping_add(offset(start)));
        let mut k = 0;
        for _ in 0..y.kernel {
            let mut taps = lines;
            for _ in (0..x.kernel).step_by(run) {
                // SAFETY: taps inside lie inside the image, a run of them (dilation 1) in one line of it.
                unsafe { write(words, k, taps, run * conv.c_in) };
                k += run * conv.c_in;
                taps = taps.map(|tap| tap.wrapping_add(x.dilation * conv.c_in));
            }
            lines = lines.map(|tap| tap.wrapping_add(line));
        }
        if k % 2 == 1 {
            // SAFETY: k is rounded up to even.
            unsafe { *place(words, k) = 0 };
        }
    }

    /// Windows that reach into the padding, tap by tap.
    ///
    /// # Safety
    /// As [`Self::gather`], for the words of one pair.
    #[inline(never)]
    unsafe fn gather_padded(&self, image: &[i8], starts: &[(i32, i32); 2], words: *mut i32) {
        let Self { conv, padding, .. } = *self;
        let Window { y, x } = conv.window;
        let mut k = 0;
        for ky in 0..y.kernel {
            // Negative places are as large as none on the image.
            let lines = starts.map(|start| {
                let line = (start.0 + (ky * y.dilation) as i32) as usize;
                (line < y.input).then(|| image.as_ptr().wrapping_add(line * x.input * conv.c_in))
            });
            let mut columns = starts.map(|start| start.1);
            for _ in 0..x.kernel {
                let taps = [0, 1].map(|i| match lines[i] {
                    Some(line) if (columns[i] as usize) < x.input => {
                        line.wrapping_add(columns[i] as usize * conv.c_in)
                    }
                    _ => padding,
                });
                columns = columns.map(|column| column + x.dilation as i32);
                // SAFETY: each tap is a pixel of the image or the padding, c_in bytes.
                unsafe { write(words, k, taps, conv.c_in) };
                k += conv.c_in;
            }
        }
        if k % 2 == 1 {
            // SAFETY: k is rounded up to even.
            unsafe { *place(words, k) = 0 };
        }
    }
}

/// Where the word of `k` lies.
#[inline(always)]
fn place(words: *mut i32, k: usize) -> *mut i32 {
    words.wrapping_add(k / 2 * STEP + k % 2)
}

/// Writes `len` words of two pixels from k on.
///
/// # Safety
/// The pixels are valid for reads of `len` bytes, `words` for writes of the words of k to k + len.
#[inline(always)]
unsafe fn write(words: *mut i32, k: usize, [mut a, mut b]: [*const i8; 2], mut len: usize) {
    let mut to = place(words, k);
    // SAFETY: the caller's promise; `to` steps from word to word of the pair.
    unsafe {
        let word = |a: *const i8, b: *const i8| i32::from(*a) + (i32::from(*b) << 16);
        if k % 2 == 1 && len > 0 {
            *to = word(a, b);
            (to, a, b, len) = (to.wrapping_add(STEP - 1), a.add(1), b.add(1), len - 1);
        }
        if len >= 4 {
            four_elements(to, a, b, len / 4);
            let done = len / 4 * 4;
            (to, a, b) = (to.wrapping_add(2 * STEP * (len / 4)), a.add(done), b.add(done));
            len %= 4;
        }
        if len >= 2 {
            *to = word(a, b);
            *to.add(1) = word(a.add(1), b.add(1));
            (to, a, b, len) = (to.wrapping_add(STEP), a.add(2), b.add(2), len - 2);
        }
        if len == 1 {
            *to = word(a, b);
        }
    }
}

/// Writes `4 * fours` words of one pair of pixels, two and two together, from an even k on.
///
/// # Safety
/// `a` and `b` are valid for reads of `4 * fours` bytes, `to` for writes of `2 * STEP * fours` words but for the other
/// pair's; `fours` is not 0.
#[cfg(all(target_arch = "arm", narrow_multiply))]
#[unsafe(naked)]
unsafe extern "C" fn four_elements(to: *mut i32, a: *const i8, b: *const i8, fours: usize) {
    // r0: to; r1, r2: ends of a and b; r3: place before them; r4, r5: words; r6: an element.
    macro_rules! word {
        ($word:literal) => {
            concat!(
                "ldrsb ",
                $word,
                ", [r1, r3]
                 ldrsb r6, [r2, r3]
                 lsls r6, r6, #16
                 adds ",
                $word,
                ", ",
                $word,
                ", r6
                 adds r3, r3, #1"
            )
        };
    }
    core::arch::naked_asm!(
        "push {{r4, r5, r6, lr}}",
        // r3 runs from −4 · fours up to 0.
        "lsls r3, r3, #2",
        "adds r1, r1, r3",
        "adds r2, r2, r3",
        "rsbs r3, r3, #0",
        "2:",
        word!("r4"),
        word!("r5"),
        "stmia r0!, {{r4, r5}}",
        word!("r4"),
        word!("r5"),
        "str r4, [r0, #8]",
        "str r5, [r0, #12]",
        "adds r0, r0, #24",
        "cmp r3, #0",
        "bne 2b",
        "pop {{r4, r5, r6, pc}}",
    )
}

/// The same for Armv7-M.
///
/// # Safety
/// As above.
#[cfg(all(target_arch = "arm", not(narrow_multiply)))]
#[unsafe(naked)]
unsafe extern "C" fn four_elements(to: *mut i32, a: *const i8, b: *const i8, fours: usize) {
    // r0: to; r1: a; r2: b; r3: rounds left; r4..r7: elements, then words.
    core::arch::naked_asm!(
        "push {{r4, r5, r6, r7}}",
        "2:",
        "ldrsb r4, [r1], #4",
        "ldrsb r5, [r1, #-3]",
        "ldrsb r6, [r2], #4",
        "ldrsb r7, [r2, #-3]",
        "add r4, r4, r6, lsl #16",
        "add r5, r5, r7, lsl #16",
        "strd r4, r5, [r0], #32",
        "ldrsb r4, [r1, #-2]",
        "ldrsb r5, [r1, #-1]",
        "ldrsb r6, [r2, #-2]",
        "ldrsb r7, [r2, #-1]",
        "add r4, r4, r6, lsl #16",
        "add r5, r5, r7, lsl #16",
        "strd r4, r5, [r0, #-16]",
        "subs r3, r3, #1",
        "bne 2b",
        "pop {{r4, r5, r6, r7}}",
        "bx lr",
    )
}

/// The model of the functions above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
unsafe fn four_elements(to: *mut i32, a: *const i8, b: *const i8, fours: usize) {
    for k in 0..4 * fours {
        // SAFETY: the caller's promise.
        unsafe { *place(to, k) = i32::from(*a.add(k)) + (i32::from(*b.add(k)) << 16) };
    }
}
