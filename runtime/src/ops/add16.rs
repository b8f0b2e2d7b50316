//! Sum of two int16 tensors.

use crate::error::OpFault;
use crate::format::{Add16Params, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint};
use crate::ops::check::check_activation16;

/// `output[i] = clamp((m₀ · a[i] + m₁ · b[i] + 2ˢʰⁱᶠᵗ⁻¹) >> shift)`, in 64 bits.
///
/// mⱼ = round(sⱼ ⁄ s_out · 2ˢʰⁱᶠᵗ), with the largest shift in 1..=40 for which both stay below 2³⁰.
///
/// **Shapes**: all equal. The output shares no byte with an input.
pub struct Add16;

impl Operator for Add16 {
    const CODE: OpCode = OpCode::Add16;
    const NAME: &'static str = "Add16";
    type Params = Add16Params;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int16(2, 1)?;
        let params = node.params;
        check_activation16(params.activation_min, params.activation_max)?;
        if !(1..=40).contains(&params.shift) {
            return Err(OpFault::Value);
        }
        let (a, b, output) = (node.input(0), node.input(1), node.output(0));
        if a.shape() != output.shape() || b.shape() != output.shape() {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[a.range(), 0..0, output.range()])?;
        check_disjoint(&[b.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (a, b, to) = (node.input(0).range(), node.input(1).range(), node.output(0).range());
        // Both inputs lie before or behind the output; they may be one.
        let (low, rest) = arena.split_at_mut(to.start.min(arena.len()));
        let (output, high) = rest.split_at_mut(to.len().min(rest.len()));
        let input = |range: core::ops::Range<usize>| {
            if range.end <= to.start {
                low.get(range)
            } else {
                high.get(range.start.wrapping_sub(to.end)..range.end.wrapping_sub(to.end))
            }
        };
        if let (Some(a), Some(b)) = (input(a), input(b))
            && let (Ok(a), Ok(b)) = (bytemuck::try_cast_slice(a), bytemuck::try_cast_slice(b))
            && let Ok(output) = bytemuck::try_cast_slice_mut(output)
        {
            kernels::add16(node.params, a, b, output);
        }
    }
}
