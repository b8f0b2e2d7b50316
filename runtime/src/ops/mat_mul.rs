//! Products of matrices of activations.

use crate::error::OpFault;
use crate::format::{MatMulParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint};
use crate::ops::check::{check_activation, check_channels};

/// `output[n, h, i, j] = requantize(Σₗ (a[n, h, i, l] − zp_a) · (b[n, h, j, l] − zp_b))`: both are read along their last
/// axis.
///
/// `channel` scales by s_a · s_b ⁄ s_out; its bias is 0. The sum has at most [`MatMul::MOST`] terms, so that it stays below
/// 2³¹.
///
/// **Shapes**: a `[n, h, rows, k]`, b `[n, h, columns, k]`, output `[n, h, rows, columns]`. No input shares a byte of the
/// arena with the output.
pub struct MatMul;

impl MatMul {
    /// Most terms of a sum: 255² · 33,025 < 2³¹.
    pub const MOST: usize = 33_025;
}

impl Operator for MatMul {
    const CODE: OpCode = OpCode::MatMul;
    const NAME: &'static str = "MatMul";
    type Params = MatMulParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(2, 1)?;
        let (a, b, output, params) = (node.input(0), node.input(1), node.output(0), node.params);
        check_activation(params.activation_min, params.activation_max)?;
        check_channels(&[params.channel], 1, output.zero_point())?;
        if params.channel.bias != 0 {
            return Err(OpFault::Value);
        }
        let ([n, h, rows, k], [_, _, columns, _]) = (a.shape(), b.shape());
        if b.shape() != [n, h, columns, k] || output.shape() != [n, h, rows, columns] || k > Self::MOST {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[a.range(), 0..0, output.range()])?;
        check_disjoint(&[b.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (a, b, output) = (node.input(0), node.input(1), node.output(0));
        let zero_points = [a.zero_point(), b.zero_point()];
        let ([_, _, rows, k], [_, _, columns, _]) = (a.shape(), b.shape());
        // a and b may be one tensor: cells, not disjoint slices.
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        let [a, b, output] = [a, b, output].map(|t| cells.get(t.range()));
        if let (Some(a), Some(b), Some(output)) = (a, b, output) {
            kernels::mat_mul(node.params, zero_points, [rows, columns, k], a, b, output);
        }
    }
}
