//! What [`Conv2d`](super::Conv2d) and [`DepthwiseConv2d`](super::DepthwiseConv2d) share.

use core::ops::Range;

use super::check::{check_activation, check_channels};
use crate::error::OpFault;
use crate::format::{Conv2dParams, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::operator::{Node, check_disjoint, scratch_range};

/// The window of an operator on images `from`, `to`; all else is down, then to the right.
#[inline]
pub(super) fn window(
    kernel: [u16; 2],
    stride: [u16; 2],
    dilation: [u16; 2],
    padding: [u16; 2],
    from: [usize; 4],
    to: [usize; 4],
) -> Window {
    let axis = |i: usize| Axis {
        input: from[1 + i],
        output: to[1 + i],
        kernel: kernel[i].into(),
        stride: stride[i].into(),
        dilation: dilation[i].into(),
        padding: padding[i].into(),
    };
    Window { y: axis(0), x: axis(1) }
}

/// The convolution that a node with operands describes. Checks places and sizes of the data, no values.
#[inline]
pub(super) fn convolution<'a>(node: &Node<'a, Conv2dParams>) -> Result<Convolution<'a>, OpFault> {
    let params = node.params;
    let (input, output) = (node.input(0), node.output(0));
    let (from, to) = (input.shape(), output.shape());
    Ok(Convolution {
        window: window(params.kernel, params.stride, params.dilation, params.padding, from, to),
        c_in: from[3],
        c_out: to[3],
        groups: params.groups as usize,
        family: node.family(),
        weights: node.data(params.weights)?,
        channels: node.data(params.channels)?,
        activation: (params.activation_min, params.activation_max),
        zero_point: input.zero_point(),
    })
}

/// Refuses what either convolution cannot compute, weights apart.
#[inline]
pub(super) fn check_convolution<'a>(node: &Node<'a, Conv2dParams>) -> Result<Convolution<'a>, OpFault> {
    node.expect_int8(1, 1)?;
    let conv = convolution(node)?;
    conv.window.check()?;
    check_activation(conv.activation.0, conv.activation.1)?;
    if conv.groups == 0 || conv.c_in % conv.groups != 0 || conv.c_out % conv.groups != 0 {
        return Err(OpFault::Value);
    }
    if node.input(0).shape()[0] != node.output(0).shape()[0] {
        return Err(OpFault::Shape);
    }
    check_channels(conv.channels, conv.c_out, node.output(0).zero_point())?;
    Ok(conv)
}

/// Scratch bytes by an operator's rule.
#[inline]
pub(super) fn scratch_bytes(
    node: &Node<'_, Conv2dParams>,
    rule: fn(Family, &Conv2dParams, [u32; 4], [u32; 4]) -> usize,
) -> usize {
    // Dimensions come from `u32`.
    let shape = |shape: [usize; 4]| shape.map(|d| d as u32);
    rule(node.family(), node.params, shape(node.input(0).shape()), shape(node.output(0).shape()))
}

/// Refuses scratch memory of fewer bytes, and input, output and scratch that share bytes.
#[inline]
pub(super) fn check_scratch(node: &Node<'_, Conv2dParams>, need: usize) -> Result<(), OpFault> {
    node.check_scratch(node.params.scratch, need)?;
    check_disjoint(&convolution_ranges(node))
}

/// Arena ranges of input, scratch and output.
#[inline]
pub(super) fn convolution_ranges(node: &Node<'_, Conv2dParams>) -> [Range<usize>; 3] {
    [node.input(0).range(), scratch_range(node.params.scratch), node.output(0).range()]
}
