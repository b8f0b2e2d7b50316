//! Activations of four output pixels, widened as [`multiply`](super::matrix::multiply) reads them.
//!
//! Four elements (x₀, x₁, x₂, x₃) become two words: the halfwords (x₀, x₂), and (x₁ − 256·x₀ − 128, x₃ − 256·x₂ − 128),
//! for the reason that [`packing`](crate::packing) gives. The second is REV16 of the bytes with all bits but 0..7 of
//! each halfword flipped, and bit 7: −256·x₀ − 256 has the high byte of −x₀ − 1 = !x₀, and x₁ + 128 has the bits of x₁
//! with the highest one flipped.

#[cfg(target_arch = "arm")]
use super::lanes::dsp_core;
use super::lanes::smlad;
#[cfg(not(target_arch = "arm"))]
use super::lanes::{load, sxtb16};
use super::matrix::PIXELS;

/// Words of scratch memory for four elements of every pixel.
pub(super) const WORDS: usize = 2 * PIXELS;

/// Two halfwords of one.
const ONES: u32 = 0x0001_0001;

/// Bytes 0 and 2, and bytes 1 and 3 less 256 times the byte before, less 128.
#[cfg(not(target_arch = "arm"))]
pub(super) fn widen(word: u32) -> (u32, u32) {
    let [a, b, c, d] = word.to_le_bytes();
    (sxtb16(word), u32::from_le_bytes([b, a, d, c]) ^ 0xff80_ff80)
}

/// Σ of elements of even index, on top of `sum`.
#[inline(always)]
pub(super) fn add_even(even: u32, sum: i32) -> i32 {
    smlad(even, ONES, sum)
}

/// Widens `quads` times four elements at `from` to `to` and, past [`WORDS`] words each, behind it; returns the sum of the
/// elements of even index on top of `sum`.
///
/// # Safety
/// `from` is valid for reads of `4 * quads` bytes. `to` is aligned and valid for writes of [`WORDS`] words for each four
/// elements but the last, and of `PIXELS + 1` for that. There are four elements.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn widen_run(from: *const i8, quads: usize, to: *mut u32, sum: i32) -> i32 {
    macro_rules! step {
        () => {
            "ldr r4, [r0], #4
             sxtb16 r5, r4
             rev16 r4, r4
             str r5, [r2], #16
             eor r4, r4, r6
             str r4, [r2], #16
             smlad r3, r5, r7, r3"
        };
    }
    core::arch::naked_asm!(
        dsp_core!(),
        "push {{r4, r5, r6, r7, lr}}",
        "movw r6, #0xff80",
        "movt r6, #0xff80",
        "mov r7, #0x00010001",
        // An odd number of steps begins in the middle of the loop.
        "adds r1, r1, #1",
        "lsrs r1, r1, #1",
        "bcc 3f",
        "2:",
        step!(),
        "3:",
        step!(),
        "subs r1, r1, #1",
        "bne 2b",
        "mov r0, r3",
        "pop {{r4, r5, r6, r7, pc}}",
    )
}

/// The model of the function above.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn widen_run(from: *const i8, quads: usize, to: *mut u32, mut sum: i32) -> i32 {
    for quad in 0..quads {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = widen(load(from.add(4 * quad)));
            *to.add(WORDS * quad) = even;
            *to.add(WORDS * quad + PIXELS) = odd;
            sum = add_even(even, sum);
        }
    }
    sum
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
    pub unsafe fn append(&mut self, from: *const i8, quads: usize) {
        if quads > 0 {
            // SAFETY: the caller's promise.
            self.even = unsafe { widen_run(from, quads, self.next, self.even) };
            self.next = self.next.wrapping_add(WORDS * quads);
        }
    }
}
