//! Activations of four output pixels, widened as [`multiply`](super::matrix::multiply) reads them.
//!
//! Four elements (x₀, x₁, x₂, x₃) become two words: the halfwords (x₀, x₂), and (x₁ − 256·x₀ − 128, x₃ − 256·x₂ − 128),
//! for the reason that [`packing`](crate::packing) gives. The second is REV16 of the bytes with all bits but 0..7 of
//! each halfword flipped, and bit 7: −256·x₀ − 256 has the high byte of −x₀ − 1 = !x₀, and x₁ + 128 has the bits of x₁
//! with the highest one flipped.

use super::lanes::{load, rev16, smlad, sxtb16};
use super::matrix::PIXELS;

/// Words of scratch memory for four elements of every pixel.
pub(super) const WORDS: usize = 2 * PIXELS;

/// Two halfwords of one.
const ONES: u32 = 0x0001_0001;

/// Bytes 0 and 2, and bytes 1 and 3 less 256 times the byte before, less 128.
#[inline(always)]
pub(super) fn widen(word: u32) -> (u32, u32) {
    (sxtb16(word), rev16(word) ^ 0xff80_ff80)
}

/// Σ of elements of even index, on top of `sum`.
#[inline(always)]
pub(super) fn add_even(even: u32, sum: i32) -> i32 {
    smlad(even, ONES, sum)
}

/// Writes one pixel of four.
pub(super) struct Pixel {
    next: *mut u32,
    /// Σ of the elements of even k so far.
    even: i32,
}

impl Pixel {
    /// Pixel `index` of the words at `scratch`. What is written later must lie in valid memory.
    pub fn new(scratch: *mut u32, index: usize) -> Self {
        Self { next: scratch.wrapping_add(index), even: 0 }
    }

    /// What the pixel takes off every accumulator.
    pub fn folded(&self) -> i32 {
        self.even.wrapping_mul(128)
    }

    /// Appends `quads` times four elements.
    ///
    /// # Safety
    /// `from` is valid for reads of `4 * quads` bytes, the scratch memory for writes of [`WORDS`] words for each four
    /// elements, these included.
    #[inline(always)]
    pub unsafe fn append(&mut self, mut from: *const i8, quads: usize) {
        for _ in 0..quads {
            // SAFETY: the caller's promise.
            unsafe {
                self.push(load(from));
                from = from.add(4);
            }
        }
    }

    /// Appends `quads` times four elements of one value.
    ///
    /// # Safety
    /// As [`Self::append`] for the scratch memory.
    pub unsafe fn fill(&mut self, value: i8, quads: usize) {
        for _ in 0..quads {
            // SAFETY: the caller's promise.
            unsafe { self.push(u32::from(value as u8) * 0x0101_0101) };
        }
    }

    /// # Safety
    /// As [`Self::append`] for the scratch memory.
    #[inline(always)]
    unsafe fn push(&mut self, word: u32) {
        let (even, odd) = widen(word);
        // SAFETY: the caller's promise.
        unsafe {
            *self.next = even;
            *self.next.add(PIXELS) = odd;
        }
        self.next = self.next.wrapping_add(WORDS);
        self.even = add_even(even, self.even);
    }
}
