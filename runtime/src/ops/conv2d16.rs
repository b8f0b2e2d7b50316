//! Convolution of int16 activations with int8 weights.

use crate::error::OpFault;
use crate::format::{Conv2d16Params, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::{check_activation16, check_weights, check_wide};
use crate::ops::convolution::window;

/// `output[n, y, x, o] = requantize(bias[o] + Σ input[n, y·sy − py + ky·dy, x·sx − px + kx·dx, g·C + i] ·
/// weight[o][ky, kx, i])`, all but the weights in int16, the sum in 64 bits; see [`crate::wide`].
///
/// The sum runs over ky, kx of the kernel and i in 0..C, with C = c_in ⁄ groups and g = o ⁄ (c_out ⁄ groups), rounded down.
/// Elements outside the input read as 0. Fully connected layers are convolutions of one pixel, depthwise ones have c_in groups.
///
/// **Shapes**: input `[n, h, w, c_in]`, output `[n, out_h, out_w, c_out]`; `groups` divides c_in and c_out. Weights are
/// row-major in every family. Input and output share no byte of the arena.
pub struct Conv2d16;

impl Operator for Conv2d16 {
    const CODE: OpCode = OpCode::Conv2d16;
    const NAME: &'static str = "Conv2d16";
    type Params = Conv2d16Params;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int16(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), node.params);
        check_activation16(params.activation_min, params.activation_max)?;
        let (from, to) = (input.shape(), output.shape());
        let window = window(params.kernel, params.stride, params.dilation, params.padding, from, to);
        window.check()?;
        let groups = params.groups as usize;
        if groups == 0 || from[3] % groups != 0 || to[3] % groups != 0 {
            return Err(OpFault::Value);
        }
        if from[0] != to[0] {
            return Err(OpFault::Shape);
        }
        let taps = window.y.kernel.checked_mul(window.x.kernel);
        let k = taps.and_then(|taps| taps.checked_mul(from[3] / groups));
        let need = k.and_then(|k| k.checked_mul(to[3]));
        check_weights(node.data(params.weights)?, [0; 2], need)?;
        check_wide(node.data(params.channels)?, to[3])?;
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to, params) = (node.input(0), node.output(0), node.params);
        let (c_in, c_out) = (from.shape()[3], to.shape()[3]);
        let window =
            window(params.kernel, params.stride, params.dilation, params.padding, from.shape(), to.shape());
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()])
            && let (Ok(input), Ok(output)) =
                (bytemuck::try_cast_slice(input), bytemuck::try_cast_slice_mut(output))
            && let (Ok(weights), Ok(channels)) = (node.data(params.weights), node.data(params.channels))
        {
            kernels::conv2d16(params, &window, [c_in, c_out], (weights, channels), input, output);
        }
    }
}
