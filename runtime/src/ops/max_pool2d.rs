//! Maxima over windows.

use crate::error::OpFault;
use crate::format::{OpCode, Pool2dParams};
use crate::kernels;
use crate::operator::{Node, Operator, split};
use crate::ops::pool2d::{check_pool, pool_window};

/// `output[n, y, x, c] = clamp(max x)` over the elements inside the input of the window of y and x.
///
/// A window wholly in padding yields the zero point. `clamp` is to the activation's bounds.
///
/// **Shapes**: input `[n, h, w, c]`, output `[n, out_h, out_w, c]`; padding below and to the right follows from the
/// output's size. Input and output have one quantization and share no byte of the arena.
pub struct MaxPool2d;

impl Operator for MaxPool2d {
    const CODE: OpCode = OpCode::MaxPool2d;
    const NAME: &'static str = "MaxPool2d";
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
            kernels::max_pool2d(&window, node.params, from.zero_point(), from.shape()[3], input, output);
        }
    }
}
