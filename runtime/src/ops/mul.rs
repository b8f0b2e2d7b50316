//! Product of two tensors by elements.

use crate::error::OpFault;
use crate::format::{MulParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, check_in_place};
use crate::ops::check::{check_activation, check_channels};

/// `output[i] = requantize((a[i] − zp_a) · (b[j] − zp_b))`, where j is i with 0 on the axes on which b has size 1.
///
/// `channel` scales by s_a · s_b ⁄ s_out; its bias is 0.
///
/// **Shapes**: a's is the output's; b has the same size or 1 on every axis. The output may be the very place of an
/// input of its shape; it shares no byte with a b of another.
pub struct Mul;

impl Operator for Mul {
    const CODE: OpCode = OpCode::Mul;
    const NAME: &'static str = "Mul";
    type Params = MulParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(2, 1)?;
        let (a, b, output, params) = (node.input(0), node.input(1), node.output(0), node.params);
        check_activation(params.activation_min, params.activation_max)?;
        check_channels(&[params.channel], 1, output.zero_point())?;
        if params.channel.bias != 0 {
            return Err(OpFault::Value);
        }
        let broadcast = b.shape().iter().zip(output.shape()).all(|(&b, size)| b == 1 || b == size);
        if a.shape() != output.shape() || !broadcast {
            return Err(OpFault::Shape);
        }
        check_in_place(&a.range(), &output.range())?;
        if b.shape() == output.shape() {
            return check_in_place(&b.range(), &output.range());
        }
        check_disjoint(&[b.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (a, b, output) = (node.input(0), node.input(1), node.output(0));
        let [_, h, w, c] = b.shape();
        let dense = [h * w * c, w * c, c, 1];
        let strides = core::array::from_fn(|i| if b.shape()[i] == 1 { 0 } else { dense[i] });
        let zero_points = [a.zero_point(), b.zero_point()];
        let cells = core::cell::Cell::from_mut(arena).as_slice_of_cells();
        let shape = output.shape();
        let [a, b, output] = [a, b, output].map(|t| cells.get(t.range()));
        if let (Some(a), Some(b), Some(output)) = (a, b, output) {
            kernels::mul(node.params, zero_points, (shape, strides), a, b, output);
        }
    }
}
