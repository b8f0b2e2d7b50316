//! Sum of two tensors.

use crate::error::OpFault;
use crate::format::{AddParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_in_place};
use crate::ops::check::check_activation;

/// `output[i] = clamp((m₀ · a[i] + m₁ · b[i] + offset) >> shift)`.
///
/// The compiler chooses shift in 1..=30, mⱼ at or next to sⱼ ⁄ s_out · 2ˢʰⁱᶠᵗ (those that round most pairs of inputs exactly) and
/// `offset = (zp_out << shift) + 2ˢʰⁱᶠᵗ⁻¹ − m₀·zp_a − m₁·zp_b`: one rounding, half up. 128 · (|m₀| + |m₁|) + |offset|
/// stays below 2³¹, so that no sum overflows; `clamp` is to the activation's bounds.
///
/// **Shapes**: all equal. The output may be the very place of an input.
pub struct Add;

impl Operator for Add {
    const CODE: OpCode = OpCode::Add;
    const NAME: &'static str = "Add";
    type Params = AddParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(2, 1)?;
        let params = node.params;
        check_activation(params.activation_min, params.activation_max)?;
        let size = |x: i32| i64::from(x).abs();
        let bound = 128 * (size(params.multipliers[0]) + size(params.multipliers[1])) + size(params.offset);
        if !(1..=30).contains(&params.shift) || bound >= 1 << 31 {
            return Err(OpFault::Value);
        }
        let (a, b, output) = (node.input(0), node.input(1), node.output(0));
        if a.shape() != output.shape() || b.shape() != output.shape() {
            return Err(OpFault::Shape);
        }
        check_in_place(&a.range(), &output.range())?;
        check_in_place(&b.range(), &output.range())
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        let [a, b, output] = [node.input(0), node.input(1), node.output(0)].map(|t| cells.get(t.range()));
        if let (Some(a), Some(b), Some(output)) = (a, b, output) {
            kernels::add(node.params, a, b, output);
        }
    }
}
