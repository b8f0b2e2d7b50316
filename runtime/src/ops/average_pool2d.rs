//! Averages over windows.

use crate::error::OpFault;
use crate::format::{OpCode, Pool2dParams};
use crate::kernels;
use crate::operator::{Node, Operator, split};
use crate::ops::pool2d::{check_pool, pool_window};

/// `output[n, y, x, c] = clamp(floor((2 · Σ x + count − t) ⁄ (2 · count)))` over the window of y and x.
///
/// t is 1 where `ties_away` is set and Σ x < 0, else 0: halves go up, or away from 0, as the integers of TensorFlow Lite
/// have it.
///
/// Without `count_padding` sum and count run over the window's elements inside the input; a window wholly in padding
/// yields the zero point. With it padding counts as elements that read as the zero point. `clamp` is to the
/// activation's bounds. A window has at most 2²² elements, so that no sum overflows.
///
/// **Shapes**: input `[n, h, w, c]`, output `[n, out_h, out_w, c]`; padding below and to the right follows from the
/// output's size. Input and output have one quantization and share no byte of the arena.
pub struct AveragePool2d;

impl Operator for AveragePool2d {
    const CODE: OpCode = OpCode::AveragePool2d;
    const NAME: &'static str = "AveragePool2d";
    type Params = Pool2dParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        check_pool(node)
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        let (from, to) = (node.input(0), node.output(0));
        if let Some((input, _, output)) = split(arena, [from.range(), 0..0, to.range()]) {
            let window = pool_window(node);
            kernels::average_pool2d(&window, node.params, from.zero_point(), from.shape()[3], input, output);
        }
    }
}
