//! Products of activations, by elements and of matrices; the formulas are in [`crate::ops::Mul`] and
//! [`crate::ops::MatMul`]. Zero points go where they cost nothing inside a loop: all sums are equal modulo 2³².

use core::cell::Cell;

use crate::format::{ChannelRecord, MatMulParams, MulParams};
use crate::requantize::requantize;

/// Product by elements. `strides` are those of b along the axes of `shape`, 0 where b is repeated.
pub(crate) fn mul(
    params: &MulParams,
    [za, zb]: [i8; 2],
    (shape, strides): ([usize; 4], [usize; 4]),
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let left = params.channel.left > 0;
    let (za, zb) = (i32::from(za), i32::from(zb));
    let mut rows = a.chunks(shape[3].max(1)).zip(output.chunks(shape[3].max(1)));
    for n in 0..shape[0] {
        for h in 0..shape[1] {
            for w in 0..shape[2] {
                let at = n * strides[0] + h * strides[1] + w * strides[2];
                // Every place exists; so read, it costs no panic.
                let (Some((a, out)), Some(b)) = (rows.next(), b.get(at..)) else { return };
                match b.first() {
                    Some(b) if strides[3] == 0 => {
                        let b = i32::from(b.get()) - zb;
                        if left {
                            line::<true>(params, za, b, a, out)
                        } else {
                            line::<false>(params, za, b, a, out)
                        }
                    }
                    _ if left => row::<true>(params, [za, zb], a, b, out),
                    _ => row::<false>(params, [za, zb], a, b, out),
                }
            }
        }
    }
}

/// A row of either input. `LEFT`: the requantization shifts left, which is rare and takes longer.
#[inline(never)]
fn row<const LEFT: bool>(
    params: &MulParams,
    [za, zb]: [i32; 2],
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let channel = shifting::<LEFT>(&params.channel);
    for ((a, b), out) in a.iter().zip(b).zip(output) {
        let acc = (i32::from(a.get()) - za) * (i32::from(b.get()) - zb);
        out.set(requantize(acc, &channel, params.activation_min, params.activation_max));
    }
}

/// A row of the first input with one element of the second, b − zp_b.
#[inline(never)]
fn line<const LEFT: bool>(params: &MulParams, za: i32, b: i32, a: &[Cell<i8>], output: &[Cell<i8>]) {
    let channel = shifting::<LEFT>(&params.channel);
    let start = -za * b;
    for (a, out) in a.iter().zip(output) {
        let acc = b.wrapping_mul(a.get().into()).wrapping_add(start);
        out.set(requantize(acc, &channel, params.activation_min, params.activation_max));
    }
}

/// The requantization, whose left shift is known to be 0 where it is.
#[inline(always)]
fn shifting<const LEFT: bool>(channel: &ChannelRecord) -> ChannelRecord {
    ChannelRecord { left: if LEFT { channel.left } else { 0 }, ..*channel }
}

/// Product of matrices: `[rows][k]` times `[columns][k]`, one pair behind the other.
pub(crate) fn mat_mul(
    params: &MatMulParams,
    [za, zb]: [i8; 2],
    [rows, columns, k]: [usize; 3],
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (za, zb) = (i32::from(za), i32::from(zb));
    let pairs = a.chunks_exact((rows * k).max(1)).zip(b.chunks_exact((columns * k).max(1)));
    let outputs = output.chunks_exact((rows * columns).max(1));
    for ((a, b), output) in pairs.zip(outputs) {
        for (row, output) in a.chunks_exact(k.max(1)).zip(output.chunks_exact(columns.max(1))) {
            // Σ (a − zp_a) · (b − zp_b) = Σ (a − zp_a) · b − zp_b · Σ (a − zp_a).
            let sum = row.iter().fold(0i32, |sum, a| sum.wrapping_add(i32::from(a.get()) - za));
            let start = sum.wrapping_mul(zb).wrapping_neg();
            let mut columns = b.chunks_exact(k.max(1));
            for out in output.chunks(2) {
                let first = columns.next().unwrap_or_default();
                let second = if out.len() == 2 { columns.next().unwrap_or_default() } else { first };
                for (out, acc) in out.iter().zip(two(za, row, first, second)) {
                    let acc = acc.wrapping_add(start);
                    out.set(requantize(acc, &params.channel, params.activation_min, params.activation_max));
                }
            }
        }
    }
}

/// Σ (a − zp_a) · b of a row and each of two columns, all of one length.
#[inline(never)]
fn two(za: i32, row: &[Cell<i8>], first: &[Cell<i8>], second: &[Cell<i8>]) -> [i32; 2] {
    row.iter().zip(first).zip(second).fold([0i32; 2], |[x, y], ((a, b), c)| {
        let a = i32::from(a.get()) - za;
        let [b, c] = [b, c].map(|b| a.wrapping_mul(b.get().into()));
        [x.wrapping_add(b), y.wrapping_add(c)]
    })
}
