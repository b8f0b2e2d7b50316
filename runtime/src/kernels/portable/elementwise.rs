//! Operators that map element i to element i. Inputs and output may be the same memory.

use core::cell::Cell;

use crate::format::AddParams;

/// Sum of two tensors; the formula is in [`crate::ops::Add`].
#[inline]
pub(crate) fn add(params: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    let [m0, m1] = params.multipliers;
    let (low, high) = (i32::from(params.activation_min), i32::from(params.activation_max));
    for ((a, b), out) in a.iter().zip(b).zip(output) {
        let products = m0.wrapping_mul(a.get().into()).wrapping_add(m1.wrapping_mul(b.get().into()));
        let q = products.wrapping_add(params.offset) >> (params.shift & 31);
        out.set(q.max(low).min(high) as i8);
    }
}

/// A function of one element; the formula is in [`crate::ops::Table`].
#[inline]
pub(crate) fn table(table: &[i8; 256], input: &[Cell<i8>], output: &[Cell<i8>]) {
    for (x, out) in input.iter().zip(output) {
        // −128 … 127 becomes 0 … 255 by the sign bit alone.
        out.set(table[usize::from(x.get() as u8 ^ 0x80)]);
    }
}

/// Softmax of rows of `channels` elements; the formula is in [`crate::ops::Softmax`].
#[inline]
pub(crate) fn softmax(table: &[u32], channels: usize, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (mut input, mut output) = (input, output);
    // The last row leaves nothing to split.
    while let Some((row, rest)) = input.split_at_checked(channels.max(1)) {
        let max = row.iter().fold(i8::MIN, |max, x| max.max(x.get()));
        let exp = |x: &Cell<i8>| {
            table.get(usize::from(max.wrapping_sub(x.get()) as u8)).copied().unwrap_or_default()
        };
        // At least table[0] = 2²⁰, the maximum's own; at most 2047 · 2²⁰ < 2³¹.
        let sum = row.iter().fold(0u32, |sum, x| sum.wrapping_add(exp(x))).max(1);
        for (x, out) in row.iter().zip(output) {
            let q = ((exp(x) << 8) + sum / 2) / sum;
            out.set((q.min(255) as i32 - 128) as i8);
        }
        input = rest;
        output = output.get(row.len()..).unwrap_or_default();
    }
}
