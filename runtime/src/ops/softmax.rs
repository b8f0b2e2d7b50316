//! Softmax over channels.

use crate::error::OpFault;
use crate::format::{OpCode, SoftmaxParams};
use crate::kernels;
use crate::operator::{Node, Operator, check_in_place};

/// `output[i] = min(127, (256 · e[i] + sum ⁄ 2) ⁄ sum − 128)` over each row of c elements.
///
/// `e[i] = table[max − input[i]]` with the row's largest input, `sum = Σ e[i]`; divisions round down, in u32. The
/// compiler fills the table: entry d is round(2²⁰ · exp(−scale · d)), entry 0 is 2²⁰. Output scale is 1/256, output
/// zero point −128.
///
/// **Shapes**: equal; c is at most 2047, so that sum < 2³¹. The output may be the very place of the input.
pub struct Softmax;

/// Entry 0 of the table, its largest: exp(0).
const ONE: u32 = 1 << 20;
/// Largest row.
const CHANNELS_LIMIT: usize = 2047;

impl Operator for Softmax {
    const CODE: OpCode = OpCode::Softmax;
    const NAME: &'static str = "Softmax";
    type Params = SoftmaxParams;

    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8_operands(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        let table: &[u32] = node.data(node.params.table)?;
        if table.len() != 256 || table[0] != ONE || table.iter().any(|&entry| entry > ONE) {
            return Err(OpFault::Data);
        }
        if input.shape() != output.shape() || input.shape()[3] > CHANNELS_LIMIT {
            return Err(OpFault::Shape);
        }
        if output.zero_point() != -128 || output.scale().to_bits() != (1.0f32 / 256.0).to_bits() {
            return Err(OpFault::Quantization);
        }
        check_in_place(&input.range(), &output.range())
    }

    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        if let Some(input) = cells.get(node.input(0).range())
            && let Some(output) = cells.get(node.output(0).range())
            && let Ok(table) = node.data(node.params.table)
            && let Ok(table) = table.try_into()
        {
            kernels::softmax(table, node.input(0).shape()[3], input, output);
        }
    }
}
