//! Any function of one int16 element.

use crate::error::OpFault;
use crate::format::{OpCode, Table16Params};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};

/// `output[i] = t[j] + (((t[j + 1] − t[j]) · r + 64) >> 7)` with j = (x + 32768) >> 7 and r = (x + 32768) mod 128.
///
/// The compiler fills the 513 entries in f64: entry j is the quantized function of the real that 128 · j − 32768 stands for.
///
/// **Shapes**: as many elements in as out. Input and output share no byte of the arena.
pub struct Table16;

impl Operator for Table16 {
    const CODE: OpCode = OpCode::Table16;
    const NAME: &'static str = "Table16";
    type Params = Table16Params;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int16(1, 1)?;
        let table: &[i16] = node.data(node.params.table)?;
        if table.len() != 513 {
            return Err(OpFault::Data);
        }
        if table.contains(&i16::MIN) {
            return Err(OpFault::Value);
        }
        let (input, output) = (node.input(0), node.output(0));
        if input.len() != output.len() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        if let Some((input, _, output)) = split(arena, [node.input(0).range(), 0..0, node.output(0).range()])
            && let (Ok(input), Ok(output)) =
                (bytemuck::try_cast_slice(input), bytemuck::try_cast_slice_mut(output))
            && let Ok(table) = node.data(node.params.table)
        {
            kernels::table16(table, input, output);
        }
    }
}
