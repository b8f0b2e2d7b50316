//! Convolution over images with weights of four bits.

use crate::error::OpFault;
use crate::format::{Conv2dParams, Family, OpCode};
use crate::kernels::int4;
use crate::operator::{Node, Operator, split};
use crate::ops::check::check_nibbles;
use crate::ops::convolution::{
    check_convolution, check_scratch, convolution, convolution_ranges, scratch_bytes, window,
};

/// [`Conv2d`](super::Conv2d) with weights 16 · w, w in −7..=7: the scale of w is sixteen times that which the channel
/// records count with.
///
/// **Shapes**: as there; there is one group. The weights are packed as [`nibble_bytes`](crate::packing::nibble_bytes) says.
pub struct Conv2dInt4;

impl Conv2dInt4 {
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
        int4::conv2d_scratch(family, &window, from[3], to[3])
    }
}

impl Operator for Conv2dInt4 {
    const CODE: OpCode = OpCode::Conv2dInt4;
    const NAME: &'static str = "Conv2dInt4";
    type Params = Conv2dParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        let conv = check_convolution(node)?;
        if conv.groups != 1 {
            return Err(OpFault::Value);
        }
        let order = conv.matrix_order();
        check_nibbles(conv.weights, order.flips(), order.checked_bytes())?;
        check_scratch(node, scratch_bytes(node, Self::scratch_bytes))
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        if let Some((input, scratch, output)) = split(arena, convolution_ranges(node))
            && let Ok(conv) = convolution(node)
        {
            int4::conv2d(&conv, input, scratch, output);
        }
    }
}
