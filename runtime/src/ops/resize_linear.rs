//! Linear interpolation between rows and between columns.

use crate::error::OpFault;
use crate::format::{OpCode, ResizeLinearParams, TapRecord};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::check_same_quantization;

/// `output[n, y, x, c] = (Σ x[n, i, j, c] · wᵢ · wⱼ + 2²¹) >> 22`, over the two rows i and the two columns j that `rows[y]` and
/// `columns[x]` name, with w = 2048 − share for the one before and w = share for the one behind.
///
/// share is 2048 times the fraction, rounded: the result is off by at most ½ + 255 ⁄ 2048 steps.
///
/// **Shapes**: `[n, h, w, c]` to `[n, rows, columns, c]`. Input and output have one quantization and share no byte of the
/// arena.
pub struct ResizeLinear;

impl Operator for ResizeLinear {
    const CODE: OpCode = OpCode::ResizeLinear;
    const NAME: &'static str = "ResizeLinear";
    type Params = ResizeLinearParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        check_same_quantization(&input, &output)?;
        let [n, h, w, c] = input.shape();
        let size = |taps: &[TapRecord], size: usize| {
            let outside = |tap: &TapRecord| usize::from(tap.low.max(tap.high)) >= size || tap.share > 2048;
            if taps.iter().any(outside) { Err(OpFault::Data) } else { Ok(taps.len()) }
        };
        let rows = size(node.data(node.params.rows)?, h)?;
        let columns = size(node.data(node.params.columns)?, w)?;
        if output.shape() != [n, rows, columns, c] {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let shape = node.input(0).shape();
        if let Some((input, _, output)) = split(arena, [node.input(0).range(), 0..0, node.output(0).range()])
            && let Ok(rows) = node.data(node.params.rows)
            && let Ok(columns) = node.data(node.params.columns)
        {
            kernels::resize_linear((rows, columns), shape, input, output);
        }
    }
}
