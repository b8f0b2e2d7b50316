//! Mean over axes.

use crate::error::OpFault;
use crate::format::{MeanParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::{check_activation, check_channels};

/// `output[…] = requantize(channel.bias + Σ x)` over the axes that the bit mask `axes` names.
///
/// `channel` scales by s_in ⁄ (s_out · count), and its bias is −count · input zero point: the division is part of the
/// one rounding.
///
/// **Shapes**: the output has as many elements as `[n, h, w, c]` with the reduced axes set to 1, in that order. Input
/// and output share no byte of the arena.
pub struct Mean;

impl Operator for Mean {
    const CODE: OpCode = OpCode::Mean;
    const NAME: &'static str = "Mean";
    type Params = MeanParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), node.params);
        check_activation(params.activation_min, params.activation_max)?;
        check_channels(&[params.channel], 1, output.zero_point())?;
        if params.axes >= 1 << 4 {
            return Err(OpFault::Value);
        }
        let kept = (0..4).filter(|axis| params.axes >> axis & 1 == 0).map(|axis| input.shape()[axis]);
        if kept.product::<usize>() != output.len() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to) = (node.input(0), node.output(0));
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()]) {
            kernels::mean(node.params, from.shape(), input, output);
        }
    }
}
