//! Convolution of every channel by itself, with weights of four bits.

use crate::error::OpFault;
use crate::format::{Conv2dParams, Family, OpCode};
use crate::kernels::int4;
use crate::operator::{Node, Operator, split};
use crate::ops::check::check_nibbles;
use crate::ops::convolution::{
    check_convolution, check_scratch, convolution, convolution_ranges, scratch_bytes, window,
};
use crate::packing::WindowOrder;
/// [`DepthwiseConv2d`](super::DepthwiseConv2d) with weights 16 · w, w in −7..=7: the scale of w is sixteen times that which the channel
/// records count with.
///
/// **Shapes**: as there. The weights are packed as [`nibble_bytes`](crate::packing::nibble_bytes) says.
pub struct DepthwiseConv2dInt4;

impl DepthwiseConv2dInt4 {
    /// Arena bytes that kernels of this family need while they run. The rest of the plan's rules are not checked.
    #[inline]
    pub fn scratch_bytes(
        family: Family,
        params: &Conv2dParams,
        input_shape: [u32; 4],
        output_shape: [u32; 4],
    ) -> usize {
        let [from, to] = [input_shape, output_shape].map(|shape| shape.map(|dim| dim as usize));
        let window = window(params.kernel, params.stride, params.dilation, params.padding, from, to);
        let order = WindowOrder { family, taps: window.taps(), channels: to[3] };
        int4::depthwise_scratch(family, &window, from[3], to[3], order.checked_bytes())
    }
}

impl Operator for DepthwiseConv2dInt4 {
    const CODE: OpCode = OpCode::DepthwiseConv2dInt4;
    const NAME: &'static str = "DepthwiseConv2dInt4";
    type Params = Conv2dParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        let conv = check_convolution(node)?;
        if conv.groups != conv.c_in {
            return Err(OpFault::Value);
        }
        // `window_order` multiplies unchecked.
        conv.window.y.kernel.checked_mul(conv.window.x.kernel).ok_or(OpFault::Data)?;
        check_nibbles(conv.weights, [0; 2], conv.window_order().checked_bytes())?;
        check_scratch(node, scratch_bytes(node, Self::scratch_bytes))
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        if let Some((input, scratch, output)) = split(arena, convolution_ranges(node))
            && let Ok(conv) = convolution(node)
        {
            int4::depthwise_conv2d(&conv, input, scratch, output);
        }
    }
}
