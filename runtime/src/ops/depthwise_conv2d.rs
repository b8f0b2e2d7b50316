//! Convolution of every channel by itself.

use crate::error::OpFault;
use crate::format::{Conv2dParams, Family, OpCode};
use crate::kernels::convolution::Convolution;
use crate::kernels::{self, scratch};
use crate::operator::{Node, Operator, split};
use crate::ops::check::check_weights;
use crate::ops::convolution::{
    check_convolution, check_scratch, convolution, convolution_ranges, scratch_bytes, window,
};

/// `output[n, y, x, o] = requantize(bias[o] + Σ input[n, y·sy − py + ky·dy, x·sx − px + kx·dx, o ⁄ M] ·
/// weight[o][ky, kx])`.
///
/// The sum runs over ky, kx of the kernel; M = c_out ⁄ c_in is the depth multiplier, and o ⁄ M rounds down. Elements
/// outside the input read as the input's zero point, also where a whole window lies outside.
///
/// **Shapes**: input `[n, h, w, c_in]`, output `[n, out_h, out_w, c_out]`; groups = c_in divides c_out. Padding below
/// and to the right follows from the output's size. The weights are one
/// [`WindowOrder`](crate::packing::WindowOrder). MACs = n · out_h · out_w · c_out · kernel_h · kernel_w.
///
/// Input, output and scratch share no byte of the arena.
pub struct DepthwiseConv2d;

impl DepthwiseConv2d {
    /// Most taps that the dsp kernel takes.
    pub const TAPS: usize = 64;
    /// Most rows of taps that the dsp kernel takes: its arrangements of weights are at most 32.
    pub const ROWS: usize = 31;

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
        scratch::depthwise_conv2d(family, &window, from[3], to[3])
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

impl Operator for DepthwiseConv2d {
    const CODE: OpCode = OpCode::DepthwiseConv2d;
    const NAME: &'static str = "DepthwiseConv2d";
    type Params = Conv2dParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        let conv = check_convolution(node)?;
        if conv.groups != conv.c_in {
            return Err(OpFault::Value);
        }
        // `window_order` multiplies unchecked.
        conv.window.y.kernel.checked_mul(conv.window.x.kernel).ok_or(OpFault::Data)?;
        check_weights(conv.weights, [0; 2], conv.window_order().checked_bytes())?;
        check_scratch(node, Self::scratch(node))
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        Self::run_by(node, arena, kernels::depthwise_conv2d);
    }
}
