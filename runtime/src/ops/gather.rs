//! Elements picked along an axis.

use crate::error::OpFault;
use crate::format::{GatherParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_same_quantization;

/// Element i of the output along `axis` is element `indices[i]` of the input.
///
/// **Shapes**: equal but for `axis`, along which the output has as many elements as there are indices. Input and output have
/// one quantization and share no byte of the arena.
pub struct Gather;

impl Operator for Gather {
    const CODE: OpCode = OpCode::Gather;
    const NAME: &'static str = "Gather";
    type Params = GatherParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        check_same_quantization(&input, &output)?;
        let axis = usize::from(node.params.axis);
        if axis >= 4 {
            return Err(OpFault::Value);
        }
        let indices: &[u16] = node.data(node.params.indices)?;
        let size = input.shape()[axis];
        if indices.iter().any(|&index| usize::from(index) >= size) {
            return Err(OpFault::Data);
        }
        let mut shape = input.shape();
        shape[axis] = indices.len();
        if shape != output.shape() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let axis = usize::from(node.params.axis);
        let shape = node.input(0).shape();
        let block = shape.iter().skip(axis + 1).product::<usize>();
        let pitch = shape.iter().skip(axis).product::<usize>();
        if let Some((input, _, output)) = split(arena, [node.input(0).range(), 0..0, node.output(0).range()])
            && let Ok(indices) = node.data(node.params.indices)
        {
            kernels::gather(indices, block, pitch, input, output);
        }
    }
}
