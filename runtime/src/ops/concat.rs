//! Concatenation along an axis.

use crate::error::OpFault;
use crate::format::{ConcatParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_same_quantization;

/// The inputs one behind the other along `axis`.
///
/// **Shapes**: all axes but `axis` are equal; along `axis` the inputs' sizes add up to the output's. All have one
/// quantization; no input shares a byte of the arena with the output.
pub struct Concat;

impl Operator for Concat {
    const CODE: OpCode = OpCode::Concat;
    const NAME: &'static str = "Concat";
    type Params = ConcatParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        let inputs = node.input_count();
        node.expect_int8(inputs, 1)?;
        let axis = usize::from(node.params.axis);
        if axis >= 4 {
            return Err(OpFault::Value);
        }
        let output = node.output(0);
        let mut size = 0usize;
        for i in 0..inputs {
            let input = node.input(i);
            check_same_quantization(&input, &output)?;
            check_disjoint(&[input.range(), 0..0, output.range()])?;
            let mut shape = input.shape();
            size = size.checked_add(shape[axis]).ok_or(OpFault::Shape)?;
            shape[axis] = output.shape()[axis];
            if shape != output.shape() {
                return Err(OpFault::Shape);
            }
        }
        if size == output.shape()[axis] { Ok(()) } else { Err(OpFault::Shape) }
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let axis = usize::from(node.params.axis);
        let block = |shape: [usize; 4]| shape.iter().skip(axis).product::<usize>();
        let output = node.output(0);
        let mut offset = 0;
        for i in 0..node.input_count() {
            let input = node.input(i);
            let (from, to) = (block(input.shape()), block(output.shape()));
            if let Some((input, _, output)) = split(arena, [input.range(), 0..0, output.range()]) {
                kernels::concat(from, to, offset, input, output);
            }
            offset += from;
        }
    }
}
