//! Between int8 and int16, or between scales of int16.

use crate::error::OpFault;
use crate::format::{ConvertParams, DataType, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_wide;
use crate::wide;

/// `output[i] = requantize(input[i] − zp_in) + zp_out`, clamped to −32767..=32767 or to int8.
///
/// The record scales by s_in ⁄ s_out; its bias is −zp_in.
///
/// **Shapes**: as many elements in as out. Input and output share no byte of the arena; one of them at least is int16.
pub struct Convert;

impl Operator for Convert {
    const CODE: OpCode = OpCode::Convert;
    const NAME: &'static str = "Convert";
    type Params = ConvertParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_operands(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        let (from, to) = (input.dtype(), output.dtype());
        for (tensor, dtype) in [(&input, from), (&output, to)] {
            if dtype == DataType::Int16 as u8 { tensor.expect_int16()? } else { tensor.expect_int8()? }
        }
        if from == to && from == DataType::Int8 as u8 {
            return Err(OpFault::DataType);
        }
        check_wide(&[node.params.record], 1)?;
        let zero_point = if from == DataType::Int8 as u8 { input.zero_point().into() } else { 0 };
        if wide::bias(&node.params.record) != -zero_point {
            return Err(OpFault::Value);
        }
        if input.len() != output.len() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to) = (node.input(0), node.output(0));
        let int8 = |dtype: u8| dtype == DataType::Int8 as u8;
        let record = &node.params.record;
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()]) {
            if int8(from.dtype()) {
                if let Ok(output) = bytemuck::try_cast_slice_mut(output) {
                    kernels::widen(record, input, output);
                }
            } else if let Ok(input) = bytemuck::try_cast_slice(input) {
                if int8(to.dtype()) {
                    kernels::narrow(record, to.zero_point(), input, output);
                } else if let Ok(output) = bytemuck::try_cast_slice_mut(output) {
                    kernels::rescale(record, input, output);
                }
            }
        }
    }
}
