//! Products of activations, by elements and of matrices; the formulas are in [`crate::ops::Mul`] and
//! [`crate::ops::MatMul`].

use core::cell::Cell;

use crate::format::{MatMulParams, MulParams};
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
    let mut elements = a.iter().zip(output);
    for n in 0..shape[0] {
        for h in 0..shape[1] {
            for w in 0..shape[2] {
                let at = n * strides[0] + h * strides[1] + w * strides[2];
                for (c, (a, out)) in elements.by_ref().take(shape[3]).enumerate() {
                    // Every place exists; so read, it costs no panic.
                    let b = b.get(at + c * strides[3]).map_or(0, Cell::get);
                    let acc = (i32::from(a.get()) - i32::from(za)) * (i32::from(b) - i32::from(zb));
                    out.set(requantize(acc, &params.channel, params.activation_min, params.activation_max));
                }
            }
        }
    }
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
    let mut outputs = output.iter();
    let pairs = a.chunks_exact((rows * k).max(1)).zip(b.chunks_exact((columns * k).max(1)));
    for (a, b) in pairs {
        for row in a.chunks_exact(k.max(1)) {
            for (column, out) in b.chunks_exact(k.max(1)).zip(&mut outputs) {
                let products = row
                    .iter()
                    .zip(column)
                    .map(|(a, b)| (i32::from(a.get()) - za).wrapping_mul(i32::from(b.get()) - zb));
                let acc = products.fold(0i32, i32::wrapping_add);
                out.set(requantize(acc, &params.channel, params.activation_min, params.activation_max));
            }
        }
    }
}
