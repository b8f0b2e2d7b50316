//! Permutation of axes.

use crate::error::OpFault;
use crate::format::{OpCode, TransposeParams};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_same_quantization;

/// Output axis i is input axis `permutation[i]`.
///
/// **Shapes**: output size i is input size `permutation[i]`. Input and output have one quantization and share no byte
/// of the arena.
pub struct Transpose;

impl Operator for Transpose {
    const CODE: OpCode = OpCode::Transpose;
    const NAME: &'static str = "Transpose";
    type Params = TransposeParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        check_same_quantization(&input, &output)?;
        let permutation = node.params.permutation;
        if (0..4).any(|axis| !permutation.contains(&axis)) {
            return Err(OpFault::Value);
        }
        if permutation.map(|axis| input.shape()[usize::from(axis)]) != output.shape() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to) = (node.input(0), node.output(0));
        let [_, h, w, c] = from.shape();
        let strides = [h * w * c, w * c, c, 1];
        // The mask keeps the index in bounds without a check of its own: the permutation is one of 0..4.
        let strides = node.params.permutation.map(|axis| strides[usize::from(axis & 3)]);
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()]) {
            kernels::transpose(to.shape(), strides, input, output);
        }
    }
}
