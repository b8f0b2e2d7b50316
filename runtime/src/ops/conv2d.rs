//! Convolution over images.

use crate::error::OpFault;
use crate::format::{Conv2dParams, Family, OpCode};
use crate::kernels::convolution::Convolution;
use crate::kernels::{self, scratch};
use crate::operator::{Node, Operator, split};
use crate::ops::check::check_weights;
use crate::ops::convolution::{
    check_convolution, check_scratch, convolution, convolution_ranges, scratch_bytes, window,
};

/// `output[n, y, x, o] = requantize(bias[o] + Σ input[n, y·sy − py + ky·dy, x·sx − px + kx·dx, g·C + i] ·
/// weight[o][ky, kx, i])`.
///
/// The sum runs over ky, kx of the kernel and i in 0..C, with C = c_in ⁄ groups and g = o ⁄ (c_out ⁄ groups), rounded
/// down. Elements outside the input read as the input's zero point, also where a whole window lies outside.
///
/// **Shapes**: input `[n, h, w, c_in]`, output `[n, out_h, out_w, c_out]`; `groups` divides c_in and c_out. The
/// output's size is what the plan says: padding below and to the right follows from it. The weights are one
/// [`MatrixOrder`](crate::packing::MatrixOrder) a group, with c_out ⁄ groups rows and k over `[ky][kx][i]`, one
/// behind the other. MACs = n · out_h · out_w · c_out · kernel_h · kernel_w · C.
///
/// Input, output and scratch share no byte of the arena.
pub struct Conv2d;

impl Conv2d {
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
        scratch::conv2d(family, &window, from[3], params.groups as usize)
    }

    #[inline]
    fn scratch(node: &Node<'_, Conv2dParams>) -> usize {
        scratch_bytes(node, Self::scratch_bytes)
    }

    /// Runs the node by this kernel, which takes input, scratch memory and output.
    #[inline(always)]
    pub(super) fn run_by(
        node: &Node<'_, Conv2dParams>,
        arena: &mut [i8],
        kernel: impl FnOnce(&Convolution<'_>, &[i8], &mut [i8], &mut [i8]),
    ) {
        let ranges = convolution_ranges(node);
        if let Some((input, scratch, output)) = split(arena, ranges)
            && let Ok(conv) = convolution(node)
        {
            kernel(&conv, input, scratch, output);
        }
    }
}

impl Operator for Conv2d {
    const CODE: OpCode = OpCode::Conv2d;
    const NAME: &'static str = "Conv2d";
    type Params = Conv2dParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        let conv = check_convolution(node)?;
        let order = conv.matrix_order();
        let need = order.checked_bytes().and_then(|bytes| bytes.checked_mul(conv.groups));
        check_weights(conv.weights, order.flips(), need)?;
        check_scratch(node, Self::scratch(node))
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        Self::run_by(node, arena, kernels::conv2d);
    }
}
