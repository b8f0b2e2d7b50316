//! Padding with one value.

use crate::error::OpFault;
use crate::format::{OpCode, PadParams};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_same_quantization;

/// `output[before + i] = input[i]` for every index i of the input; all else is `value`.
///
/// **Shapes**: on each axis the output holds `before` and the input. Input and output have one quantization and share
/// no byte of the arena.
pub struct Pad;

impl Operator for Pad {
    const CODE: OpCode = OpCode::Pad;
    const NAME: &'static str = "Pad";
    type Params = PadParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        check_same_quantization(&input, &output)?;
        let (from, to) = (input.shape(), output.shape());
        for axis in 0..4 {
            let end = from[axis].checked_add(node.params.before[axis].into());
            if end.is_none_or(|end| end > to[axis]) {
                return Err(OpFault::Shape);
            }
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to) = (node.input(0), node.output(0));
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()]) {
            let before = node.params.before.map(usize::from);
            kernels::pad(before, node.params.value, (from.shape(), input), (to.shape(), output));
        }
    }
}
