//! What [`AveragePool2d`](super::AveragePool2d) and [`MaxPool2d`](super::MaxPool2d) share.

use super::check::{check_activation, check_same_quantization};
use super::convolution::window;
use crate::error::OpFault;
use crate::format::Pool2dParams;
use crate::kernels::window::Window;
use crate::operator::{Node, check_disjoint};

/// The window of a pool.
#[inline]
pub(super) fn pool_window(node: &Node<'_, Pool2dParams>) -> Window {
    let params = node.params;
    let (from, to) = (node.input(0).shape(), node.output(0).shape());
    window(params.kernel, params.stride, [1, 1], params.padding, from, to)
}

/// Refuses what either pool cannot compute.
#[inline]
pub(super) fn check_pool(node: &Node<'_, Pool2dParams>) -> Result<(), OpFault> {
    // 2 · 128 · 2²² + 2²² < 2³¹: no sum over a window overflows.
    const TAPS_LIMIT: usize = 1 << 22;
    node.expect_int8(1, 1)?;
    let (input, output) = (node.input(0), node.output(0));
    let window = pool_window(node);
    window.check()?;
    check_activation(node.params.activation_min, node.params.activation_max)?;
    check_same_quantization(&input, &output)?;
    // Both factors are below 2¹⁶.
    if window.y.kernel as u64 * window.x.kernel as u64 > TAPS_LIMIT as u64 {
        return Err(OpFault::Value);
    }
    let (from, to) = (input.shape(), output.shape());
    if from[0] != to[0] || from[3] != to[3] {
        return Err(OpFault::Shape);
    }
    check_disjoint(&[input.range(), 0..0, output.range()])
}
