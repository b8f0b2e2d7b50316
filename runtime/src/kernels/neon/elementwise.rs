//! Addition, sixteen elements at once.

use core::cell::Cell;

use super::lanes::{
    I16x8, I32x4, max8, min8, mul_add32, narrow8, narrow16, shift_down, splat8, splat32, widen_high,
    widen_low, words_high, words_low,
};
use super::memory::{load, store};
use crate::format::AddParams;
use crate::kernels::portable;

/// Sum of two tensors; the last elements, less than sixteen, the portable way.
pub(crate) fn add(params: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    let [m0, m1] = params.multipliers.map(splat32);
    let offset = splat32(params.offset);
    // The portable kernel masks likewise.
    let down = splat32(-i32::from(params.shift & 31));
    let (low, high) = (splat8(params.activation_min), splat8(params.activation_max));
    let sum = |a: I32x4, b: I32x4| shift_down(mul_add32(mul_add32(offset, a, m0), b, m1), down);
    // A sum outside 8 bits saturates twice to the end at which the bounds find it.
    let eight =
        |a: I16x8, b: I16x8| narrow16(sum(words_low(a), words_low(b)), sum(words_high(a), words_high(b)));
    let blocks = a.len().min(b.len()).min(output.len()) / 16;
    for block in 0..blocks {
        let from = 16 * block;
        // SAFETY: elements from..from + 16 exist in all three slices, whose cells no one else uses meanwhile: cells are
        // not shared between threads. Both inputs are read before the output is written.
        unsafe {
            let x = load(a.as_ptr().add(from).cast());
            let y = load(b.as_ptr().add(from).cast());
            let q = narrow8(eight(widen_low(x), widen_low(y)), eight(widen_high(x), widen_high(y)));
            let out = output.as_ptr().add(from).cast::<i8>().cast_mut();
            store(out, min8(max8(q, low), high));
        }
    }
    let done = 16 * blocks;
    portable::add(params, &a[done..], &b[done..], &output[done..]);
}
