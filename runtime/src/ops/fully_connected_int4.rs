//! Every element of the input against every output, with weights of four bits.

use crate::error::OpFault;
use crate::format::{FullyConnectedInt4Params, OpCode};
use crate::kernels::int4;
use crate::operator::{Node, Operator, check_disjoint, scratch_range, split};
use crate::ops::check::{check_activation, check_channels, check_nibbles};
use crate::packing::MatrixOrder;

/// [`FullyConnected`](super::FullyConnected) with weights 16 · w, w in −7..=7: the scale of w is sixteen times that which the
/// channel records count with.
///
/// **Shapes**: as there. The weights are packed as [`nibble_bytes`](crate::packing::nibble_bytes) says.
pub struct FullyConnectedInt4;

impl FullyConnectedInt4 {
    /// Arena bytes that the kernel needs while it runs, for an input of `k` elements and so many outputs.
    #[inline]
    pub fn scratch_bytes(family: crate::format::Family, k: usize, outputs: usize) -> usize {
        int4::fully_connected_scratch(MatrixOrder { family, rows: outputs, k, dense: true })
    }

    #[inline]
    fn order(node: &Node<'_, FullyConnectedInt4Params>) -> MatrixOrder {
        MatrixOrder { family: node.family(), rows: node.output(0).len(), k: node.input(0).len(), dense: true }
    }
}

impl Operator for FullyConnectedInt4 {
    const CODE: OpCode = OpCode::FullyConnectedInt4;
    const NAME: &'static str = "FullyConnectedInt4";
    type Params = FullyConnectedInt4Params;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), &node.params.dense);
        check_activation(params.activation_min, params.activation_max)?;
        let order = Self::order(node);
        check_nibbles(node.data(params.weights)?, order.flips(), order.checked_bytes())?;
        check_channels(node.data(params.channels)?, output.len(), output.zero_point())?;
        node.check_scratch(node.params.scratch, Self::scratch_bytes(node.family(), order.k, order.rows))?;
        check_disjoint(&[input.range(), scratch_range(node.params.scratch), output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let params = &node.params.dense;
        let ranges = [node.input(0).range(), scratch_range(node.params.scratch), node.output(0).range()];
        if let Some((input, scratch, output)) = split(arena, ranges)
            && let Ok(packed) = node.data(params.weights)
            && let Ok(channels) = node.data(params.channels)
        {
            let activation = (params.activation_min, params.activation_max);
            int4::fully_connected(Self::order(node), packed, channels, activation, (scratch, input), output);
        }
    }
}
