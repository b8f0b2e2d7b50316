//! Rectifier with a slope of its own for each channel.

use crate::error::OpFault;
use crate::format::{OpCode, PReluParams};
use crate::kernels;
use crate::operator::{Node, Operator, check_in_place};

/// `output[.., c] = clamp((m · (x[.., c] − zp_in) + offset) >> shift)` to int8, where m is `multiplier` for x ≥ zp_in and
/// `slopes[c]` below.
///
/// The compiler chooses the largest shift in 1..=22 for which all |m| ≤ 2²¹ and |offset| < 2³⁰ (no sum overflows),
/// `multiplier` = round(s_in ⁄ s_out · 2ˢʰⁱᶠᵗ), `slopes[c]` = round(slope · s_in ⁄ s_out · 2ˢʰⁱᶠᵗ) and `offset = (zp_out <<
/// shift) + 2ˢʰⁱᶠᵗ⁻¹`: one rounding, half up.
///
/// **Shapes**: input and output are equal. The output may be the very place of the input.
pub struct PRelu;

/// Largest |m|.
const LARGEST: u32 = 1 << 21;

impl Operator for PRelu {
    const CODE: OpCode = OpCode::PRelu;
    const NAME: &'static str = "PRelu";
    type Params = PReluParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), node.params);
        let slopes: &[i32] = node.data(params.slopes)?;
        if slopes.len() != output.shape()[3] {
            return Err(OpFault::Data);
        }
        let large = |m: &i32| m.unsigned_abs() > LARGEST;
        if slopes.iter().any(large)
            || large(&params.multiplier)
            || params.offset.unsigned_abs() >= 1 << 30
            || !(1..=22).contains(&params.shift)
        {
            return Err(OpFault::Value);
        }
        if input.shape() != output.shape() {
            return Err(OpFault::Shape);
        }
        check_in_place(&input.range(), &output.range())
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let zero_point = node.input(0).zero_point();
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        if let Some(input) = cells.get(node.input(0).range())
            && let Some(output) = cells.get(node.output(0).range())
            && let Ok(slopes) = node.data(node.params.slopes)
        {
            kernels::prelu(node.params, slopes, zero_point, input, output);
        }
    }
}
