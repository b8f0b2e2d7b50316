//! Convolution on int16: two products an instruction, summed in 64 bits.

use super::lanes::{load, pkhbt, pkhtb, smlald, sxtb16, sxtb16_ror8};
use crate::format::{Conv2d16Params, WideRecord};
use crate::kernels::portable::conv2d16_by;
use crate::kernels::window::Window;

/// As the portable one, with sums by SMLALD.
pub(crate) fn conv2d16(
    params: &Conv2d16Params,
    window: &Window,
    channels: [usize; 2],
    weights: (&[i8], &[WideRecord]),
    input: &[i16],
    output: &mut [i16],
) {
    conv2d16_by(params, window, channels, weights, (input, output), dot);
}

/// Σ x · w of as many elements as both have.
#[inline(always)]
pub(super) fn dot(x: &[i16], w: &[i8]) -> i64 {
    let ((fours, x), (words, w)) = (x.as_chunks::<4>(), w.as_chunks::<4>());
    let mut sum = x.iter().zip(w).fold(0, |sum, (&x, &w)| sum + i64::from(i32::from(x) * i32::from(w)));
    for (x, w) in fours.iter().zip(words) {
        // SAFETY: four halfwords and four bytes are valid for these loads.
        let (first, second, w) =
            unsafe { (load(x.as_ptr().cast()), load(x.as_ptr().add(2).cast()), load(w.as_ptr())) };
        let (even, odd) = (sxtb16(w), sxtb16_ror8(w));
        sum = smlald(first, pkhbt(even, odd), sum);
        sum = smlald(second, pkhtb(odd, even), sum);
    }
    sum
}
