//! Every element of the input against every output.

use crate::error::OpFault;
use crate::format::{ChannelRecord, FullyConnectedParams, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};
use crate::ops::check::{check_activation, check_channels, check_weights};
use crate::packing::MatrixOrder;

/// `output[o] = requantize(bias[o] + Σₖ input[k] · weight[o][k])`.
///
/// **Shapes**: the input's elements, in row-major order, are k; the output's are o. Input and output share no byte of the
/// arena. MACs = k · o.
pub struct FullyConnected;

impl FullyConnected {
    #[inline]
    fn order(node: &Node<'_, FullyConnectedParams>) -> MatrixOrder {
        MatrixOrder { family: node.family(), rows: node.output(0).len(), k: node.input(0).len(), dense: true }
    }

    /// Runs the node by this kernel, which takes order, weights, channels, bounds, input and output.
    #[inline(always)]
    pub(super) fn run_by(
        node: &Node<'_, FullyConnectedParams>,
        arena: &mut [i8],
        kernel: impl FnOnce(MatrixOrder, &[i8], &[ChannelRecord], (i8, i8), &[i8], &mut [i8]),
    ) {
        let params = node.params;
        let ranges = [node.input(0).range(), 0..0, node.output(0).range()];
        if let Some((input, _, output)) = split(arena, ranges)
            && let Ok(weights) = node.data(params.weights)
            && let Ok(channels) = node.data::<ChannelRecord>(params.channels)
        {
            let activation = (params.activation_min, params.activation_max);
            kernel(Self::order(node), weights, channels, activation, input, output);
        }
    }
}

impl Operator for FullyConnected {
    const CODE: OpCode = OpCode::FullyConnected;
    const NAME: &'static str = "FullyConnected";
    type Params = FullyConnectedParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output) = (node.input(0), node.output(0));
        check_disjoint(&[input.range(), 0..0, output.range()])?;
        check_activation(node.params.activation_min, node.params.activation_max)?;
        let order = Self::order(node);
        check_weights(node.data(node.params.weights)?, order.flips(), order.checked_bytes())?;
        check_channels(node.data(node.params.channels)?, output.len(), output.zero_point())
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        Self::run_by(node, arena, kernels::fully_connected);
    }
}
