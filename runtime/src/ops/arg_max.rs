//! Where the largest element of a row is.

use crate::error::OpFault;
use crate::format::{ArgMaxParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};

/// `output = index − 128`, where index is the place of the largest of the c elements of a row: of equals the first, or the
/// last where `last` is 1.
///
/// The output has scale 1 and zero point −128, so that its real value is the index.
///
/// **Shapes**: the output has one element a row; c is at most 256. Input and output share no byte of the arena.
pub struct ArgMax;

impl Operator for ArgMax {
    const CODE: OpCode = OpCode::ArgMax;
    const NAME: &'static str = "ArgMax";
    type Params = ArgMaxParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        if output.zero_point() != -128 || output.scale().to_bits() != 1f32.to_bits() {
            return Err(OpFault::Quantization);
        }
        let c = input.shape()[3];
        // A check without elements has gone before: c is at least 1.
        if c > 256 || input.len() / c.max(1) != output.len() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let c = node.input(0).shape()[3];
        if let Some((input, _, output)) = split(arena, [node.input(0).range(), 0..0, node.output(0).range()])
        {
            kernels::arg_max(node.params.last != 0, c, input, output);
        }
    }
}
