//! Sum of products with the weights of one output channel, in any weight order.

use crate::format::Family;
use crate::packing::MatrixOrder;

/// Σₖ x[k] · weight[row][k], less what the order folds into the bias.
#[inline]
pub(super) fn dot(order: MatrixOrder, weights: &[i8], row: usize, x: &[i8]) -> i32 {
    if let Family::Portable = order.family {
        return products(x, &weights[row * order.k..][..order.k]);
    }
    let start = order.folded(weights, row).wrapping_neg();
    x.iter()
        .enumerate()
        .fold(start, |acc, (k, &x)| acc.wrapping_add(i32::from(x) * i32::from(order.weight(weights, row, k))))
}

/// Σᵢ x[i] · w[i], up to the shorter end.
///
/// A function of its own: amid the loops of a convolution its few values would not stay in registers.
#[inline(never)]
fn products(x: &[i8], w: &[i8]) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w));
    products.fold(0, i32::wrapping_add)
}
