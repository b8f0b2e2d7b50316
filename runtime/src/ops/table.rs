//! Any function of one element.

use crate::error::OpFault;
use crate::format::{OpCode, TableParams};
use crate::kernels;
use crate::operator::{Node, Operator, check_in_place};

/// `output[i] = table[input[i] + 128]`.
///
/// The compiler fills the 256 entries in f64: entry j is the quantized function of the real that j − 128 stands for.
///
/// **Shapes**: as many elements in as out. The output may be the very place of the input.
pub struct Table;

impl Operator for Table {
    const CODE: OpCode = OpCode::Table;
    const NAME: &'static str = "Table";
    type Params = TableParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let table: &[i8] = node.data(node.params.table)?;
        if table.len() != 256 {
            return Err(OpFault::Data);
        }
        let (input, output) = (node.input(0), node.output(0));
        if input.len() != output.len() {
            return Err(OpFault::Shape);
        }
        check_in_place(&input.range(), &output.range())
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        if let Some(input) = cells.get(node.input(0).range())
            && let Some(output) = cells.get(node.output(0).range())
            && let Ok(table) = node.data(node.params.table)
            && let Ok(table) = table.try_into()
        {
            kernels::table(table, input, output);
        }
    }
}
