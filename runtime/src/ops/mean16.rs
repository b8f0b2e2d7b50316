//! Mean of an int16 tensor over axes.

use crate::error::OpFault;
use crate::format::{Mean16Params, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::{check_activation16, check_wide};

/// `output[…] = requantize(Σ x)` over the axes that the bit mask `axes` names, in 64 bits; see [`crate::wide`].
///
/// The record scales by s_in ⁄ (s_out · count): the division is part of the one rounding.
///
/// **Shapes**: the output has as many elements as `[n, h, w, c]` with the reduced axes set to 1, in that order. Input and
/// output share no byte of the arena.
pub struct Mean16;

impl Operator for Mean16 {
    const CODE: OpCode = OpCode::Mean16;
    const NAME: &'static str = "Mean16";
    type Params = Mean16Params;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int16(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), node.params);
        check_activation16(params.activation_min, params.activation_max)?;
        check_wide(&[params.record], 1)?;
        if params.axes >= 1 << 4 || params.record.bias != [0; 2] {
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
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()])
            && let (Ok(input), Ok(output)) =
                (bytemuck::try_cast_slice(input), bytemuck::try_cast_slice_mut(output))
        {
            kernels::mean16(node.params, from.shape(), input, output);
        }
    }
}
