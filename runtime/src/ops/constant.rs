//! A tensor that is always the same.

use crate::error::OpFault;
use crate::format::{ConstantParams, OpCode};
use crate::operator::{Node, Operator};

/// `output[i] = contents[i]`.
///
/// **Shapes**: as many elements as there are contents. There is no input.
pub struct Constant;

impl Operator for Constant {
    const CODE: OpCode = OpCode::Constant;
    const NAME: &'static str = "Constant";
    type Params = ConstantParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(0, 1)?;
        let contents: &[i8] = node.data(node.params.contents)?;
        if contents.len() == node.output(0).len() { Ok(()) } else { Err(OpFault::Data) }
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        if let Some(output) = arena.get_mut(node.output(0).range())
            && let Ok(contents) = node.data::<i8>(node.params.contents)
            && contents.len() == output.len()
        {
            output.copy_from_slice(contents);
        }
    }
}
