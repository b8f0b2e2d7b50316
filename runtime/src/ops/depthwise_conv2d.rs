//! Convolution of every channel by itself.

use crate::error::OpFault;
use crate::format::{Conv2dParams, Family, OpCode};
use crate::kernels;
use crate::kernels::convolution::Convolution;
use crate::operator::{Node, Operator};
use crate::ops::check::check_weights;
use crate::ops::convolution::{
    check_convolution, check_scratch, convolution, convolution_ranges, scratch_bytes,
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
    /// Arena bytes that kernels of this family need while they run. The rest of the plan's rules are not checked.
    ///
    /// The dsp1 kernel keeps one pixel of zero points, which taps in padding read; the neon kernel as many lines as the
    /// kernel has, with their padding, and a line of zero points, but with dilation downwards none.
    pub fn scratch_bytes(
        family: Family,
        params: &Conv2dParams,
        input_shape: [u32; 4],
        output_shape: [u32; 4],
    ) -> usize {
        let channels = input_shape[3] as usize;
        if output_shape[3] != input_shape[3] {
            return 0;
        }
        match family {
            Family::Dsp1 => channels,
            Family::Neon if params.dilation[0] == 1 => {
                let windows = (output_shape[2] as usize).saturating_sub(1);
                let (stride, taps) = (usize::from(params.stride[1]), usize::from(params.kernel[1]));
                let kernel = taps.saturating_sub(1) * usize::from(params.dilation[1]) + 1;
                let reach = windows.saturating_mul(stride).saturating_add(kernel);
                (usize::from(params.kernel[0]) + 1).saturating_mul(reach.saturating_mul(channels))
            }
            _ => 0,
        }
    }

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
        let ranges = convolution_ranges(node, Self::scratch(node));
        if let Ok([input, scratch, output]) = arena.get_disjoint_mut(ranges)
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

    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        Self::run_by(node, arena, kernels::depthwise_conv2d);
    }
}
